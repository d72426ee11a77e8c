//! The tree of nodes that the reader returns.

use serde_json::{Map, Number};

use crate::manifest::Position;

/// A value and its position in the text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// The position where it begins.
    pub position: Position,
    /// Its value.
    pub data: Data,
}

/// The value of a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    /// Text, a number, a boolean, null.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping in the order of the text, with merge keys resolved and without duplicate keys.
    Mapping(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub key: String,
    pub position: Position,
    pub value: Node,
}

/// A scalar, both as written and as resolved.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    pub text: String,
    pub value: Value,
}

/// The type of a scalar by the rules of YAML 1.1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// Between i64::MIN and u64::MAX.
    Int(i128),
    Float(f64),
    /// The text is the value.
    String,
}

impl Node {
    /// Creates a node for a value that has no position.
    pub fn from_json(value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let scalar = |text: String, value| Data::Scalar(Scalar { text, value });
        let data = match value {
            Json::Null => scalar("null".to_owned(), Value::Null),
            Json::Bool(value) => scalar(value.to_string(), Value::Bool(*value)),
            Json::Number(number) => {
                let int = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
                let value = int.map_or_else(|| Value::Float(number.as_f64().unwrap_or(f64::NAN)), Value::Int);
                scalar(number.to_string(), value)
            }
            Json::String(text) => scalar(text.clone(), Value::String),
            Json::Array(items) => Data::Sequence(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => {
                let entry = |(key, value): (&String, _)| Entry {
                    key: key.clone(),
                    position: Position::default(),
                    value: Self::from_json(value),
                };
                Data::Mapping(map.iter().map(entry).collect())
            }
        };
        Self { position: Position::default(), data }
    }

    /// Returns true for null and for a missing value.
    pub fn is_null(&self) -> bool {
        matches!(&self.data, Data::Scalar(Scalar { value: Value::Null, .. }))
    }

    /// Returns true for null, `{}` and `[]`.
    pub fn is_empty(&self) -> bool {
        match &self.data {
            Data::Scalar(_) => self.is_null(),
            Data::Sequence(items) => items.is_empty(),
            Data::Mapping(entries) => entries.is_empty(),
        }
    }

    /// Returns true for null, and for mappings and lists of nothing else.
    pub fn says_nothing(&self) -> bool {
        match &self.data {
            Data::Scalar(_) => self.is_null(),
            Data::Sequence(items) => items.iter().all(Self::says_nothing),
            Data::Mapping(entries) => entries.iter().all(|entry| entry.value.says_nothing()),
        }
    }

    /// Returns the entry of `key` in a mapping.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        match &self.data {
            Data::Mapping(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// Returns the text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar(Scalar { text, value: Value::String }) => Some(text),
            _ => None,
        }
    }

    /// Converts to JSON in the order written. Numbers that JSON does not have become null.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.data {
            Data::Scalar(scalar) => scalar.to_json(),
            Data::Sequence(items) => items.iter().map(Node::to_json).collect(),
            Data::Mapping(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for entry in entries {
                    map.insert(entry.key.clone(), entry.value.to_json());
                }
                serde_json::Value::Object(map)
            }
        }
    }
}

impl Scalar {
    /// Converts to JSON; NaN and the infinities, which JSON does not have, become null.
    pub fn to_json(&self) -> serde_json::Value {
        match self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => value.into(),
            Value::Int(value) => integer(value),
            Value::Float(value) => Number::from_f64(value).map_or(serde_json::Value::Null, Into::into),
            Value::String => self.text.clone().into(),
        }
    }
}

fn integer(value: i128) -> serde_json::Value {
    match (i64::try_from(value), u64::try_from(value)) {
        (Ok(value), _) => value.into(),
        (_, Ok(value)) => value.into(),
        _ => serde_json::Value::Null,
    }
}
