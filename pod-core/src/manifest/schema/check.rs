//! Checks a node tree against the schema and reports all problems: unknown fields, missing ones, wrong types and
//! values.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::suggest::{Suggestion, suggest};
use super::{Field, Kind, Type, dialect};
use crate::manifest::quantity::Quantity;
use crate::manifest::support::{self, Support};
use crate::manifest::yaml::{Data, Entry, Node, Scalar, ScalarValue};
use crate::manifest::{Diagnostic, MAX_DIAGNOSTICS, Position, Severity, escape, shown};

/// The result of checking a document.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The object in the form that k8s-openapi reads: invalid values are left out, numbers and base64 are normalised.
    pub value: Value,
    /// Position of every field by path.
    pub positions: HashMap<String, Position>,
    /// Paths with an error, so that no path is reported twice.
    pub bad: BTreeSet<String>,
    /// The findings; paths are relative to the object.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks `node` against `root`.
pub(crate) fn check(node: &Node, root: &'static Type, source: &str) -> Checked {
    let mut checker = Checker {
        source,
        path: String::new(),
        chain: Vec::new(),
        positions: HashMap::with_capacity(64),
        bad: BTreeSet::new(),
        diagnostics: Vec::new(),
        quiet: 0,
        in_status: false,
    };
    let value = checker.object(node, root).unwrap_or_default();
    Checked { value, positions: checker.positions, bad: checker.bad, diagnostics: checker.diagnostics }
}

struct Checker<'a> {
    source: &'a str,
    path: String,
    chain: Vec<(&'static Type, String)>,
    positions: HashMap<String, Position>,
    bad: BTreeSet<String>,
    diagnostics: Vec<Diagnostic>,
    /// Depth inside fields that are not honoured and have been reported; 0 outside of them.
    quiet: usize,
    /// Whether the checker is inside the object's own status. An API server decodes the status of an object and then
    /// replaces it, so fields must exist and have the right type, and nothing else about it is validated.
    in_status: bool,
}

fn describe(node: &Node) -> String {
    match &node.data {
        Data::Sequence(_) => "a list".to_owned(),
        Data::Mapping(_) => "a mapping".to_owned(),
        Data::Scalar(Scalar { text, value }) => match value {
            ScalarValue::Null => "null".to_owned(),
            ScalarValue::String => format!("the text {}", shown(text)),
            ScalarValue::Bool(_) if text == "true" || text == "false" => format!("the boolean {text}"),
            ScalarValue::Bool(value) => format!("the boolean {value} (an unquoted {text} is one in YAML)"),
            ScalarValue::Int(value) if value.to_string() != *text => {
                format!("the number {value} (written {text})")
            }
            ScalarValue::Int(_) | ScalarValue::Float(_) => format!("the number {text}"),
        },
    }
}

/// Returns how to fix a value of a wrong type.
fn hint_for(node: &Node, kind: &Kind) -> Option<String> {
    match (&node.data, kind) {
        (Data::Scalar(Scalar { text, value }), _)
            if *value != ScalarValue::String && *value != ScalarValue::Null =>
        {
            match kind {
                Kind::String | Kind::Enum(_) | Kind::Bytes | Kind::Time => {
                    Some(format!("put it in quotes: \"{}\"", escape(text)))
                }
                Kind::List(_) => Some(format!("write a list: [{}]", escape(text))),
                _ => None,
            }
        }
        (Data::Scalar(Scalar { text, value: ScalarValue::String }), Kind::Int(..)) => {
            text.parse::<i64>().ok().map(|_| format!("remove the quotes: {text}"))
        }
        (Data::Scalar(Scalar { text, value: ScalarValue::String }), Kind::Bool) => {
            matches!(text.as_str(), "true" | "false").then(|| format!("remove the quotes: {text}"))
        }
        (Data::Scalar(Scalar { text, value: ScalarValue::String }), Kind::List(inner)) => {
            matches!(inner, Kind::String | Kind::Enum(_))
                .then(|| format!("write a list: [{}]", escape(&Value::from(text.as_str()).to_string())))
                .filter(|hint| hint.len() < 100)
        }
        (Data::Mapping(_), Kind::List(_)) => Some("begin each item with `- `".to_owned()),
        (Data::Sequence(_), Kind::Object(_) | Kind::Map(_)) => {
            Some("write `key: value` lines without `- ` before them".to_owned())
        }
        (Data::Scalar(Scalar { value: ScalarValue::Null, .. }), _) => {
            Some("give it a value or remove it".to_owned())
        }
        _ => None,
    }
}

fn wanted(kind: &Kind) -> &'static str {
    match kind {
        Kind::String | Kind::Enum(_) => "text",
        Kind::Bool => "true or false",
        Kind::Int(..) => "an integer",
        Kind::Number => "a number",
        Kind::Quantity => "a quantity",
        Kind::IntOrString => "an integer or text",
        Kind::Time => "a time",
        Kind::Bytes => "base64 text",
        Kind::Object(_) | Kind::Map(_) => "a mapping",
        Kind::List(_) => "a list",
        Kind::Any => "anything",
    }
}

impl Checker<'_> {
    fn report(&mut self, severity: Severity, position: Position, message: String, hint: Option<String>) {
        if severity == Severity::Error {
            self.bad.insert(self.path.clone());
        }
        self.diagnostics.push(Diagnostic {
            severity,
            source: self.source.to_owned(),
            position,
            path: self.path.clone(),
            message,
            hint,
        });
    }

    fn error(
        &mut self,
        position: Position,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Option<Value> {
        self.report(Severity::Error, position, message.into(), hint);
        None
    }

    /// Runs `inner` with `.name` or `[index]` added to the path.
    fn at<R>(&mut self, segment: Segment<'_>, inner: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.path.len();
        segment.push(&mut self.path);
        let result = inner(self);
        self.path.truncate(length);
        result
    }

    fn remember(&mut self, key: Position, value: &Node) {
        let position = match &value.data {
            Data::Scalar(_) if !value.is_null() => value.position,
            _ => key,
        };
        self.positions.insert(self.path.clone(), position);
    }

    fn object(&mut self, node: &Node, ty: &'static Type) -> Option<Value> {
        let Data::Mapping(entries) = &node.data else {
            return self.mismatch(node, &Kind::Object(ty));
        };
        self.chain.push((ty, self.path.clone()));
        let fields = support::of(ty.name);
        let mut object = Map::with_capacity(entries.len());
        let mut meant: Vec<&'static str> = Vec::new();
        for entry in entries {
            self.at(Segment::Field(&entry.key), |this| {
                this.remember(entry.position, &entry.value);
                let Some(field) = ty.field(&entry.key) else {
                    meant.extend(this.unknown(entry));
                    return;
                };
                let loud = this.quiet == 0 && this.warn_unsupported(entry, fields);
                this.quiet += usize::from(loud);
                let outside = this.in_status;
                this.in_status |=
                    this.chain.len() == 1 && entry.key == "status" && field.kind.object().is_some();
                if !entry.value.is_null()
                    && !is_unset_word(&entry.value, field)
                    && let Some(value) = this.value(&entry.value, ty, field)
                {
                    let empty = value.as_str() == Some("");
                    if field.required && empty && !this.in_status && !may_be_empty(ty, field.name) {
                        this.error(entry.value.position, "is required and must not be empty", None);
                    }
                    object.insert(entry.key.clone(), value);
                }
                this.quiet -= usize::from(loud);
                this.in_status = outside;
            });
        }
        self.apply_dialect(node, ty, &mut object);
        // A misspelled field is reported once, and not as a missing field too.
        for name in &meant {
            self.at(Segment::Field(name), |this| this.bad.insert(this.path.clone()));
        }
        let required = |field: &&Field| field.required && !self.in_status && !meant.contains(&field.name);
        for field in ty.fields.iter().filter(required).collect::<Vec<_>>() {
            match node.get(field.name) {
                Some(entry) if !entry.value.is_null() => {}
                _ if object.contains_key(field.name) => {}
                entry => {
                    let position = entry.map_or(node.position, |entry| entry.position);
                    self.at(Segment::Field(field.name), |this| this.error(position, "is required", None));
                }
            }
        }
        self.chain.pop();
        Some(Value::Object(object))
    }

    /// Returns the value of a field, first by podman's dialect, else by its type.
    fn value(&mut self, node: &Node, ty: &'static Type, field: &'static Field) -> Option<Value> {
        let Some(text) = dialect::variable(ty, field.name, node) else {
            return self.kind(node, &field.kind);
        };
        if self.quiet == 0 {
            let message = "is no text, and is taken as it is written".to_owned();
            let hint = "a cluster takes text only: put it in quotes".to_owned();
            self.report(Severity::Warning, node.position, message, Some(hint));
        }
        Some(text)
    }

    /// Applies podman's harmless extensions to an object and reports them.
    fn apply_dialect(&mut self, node: &Node, ty: &'static Type, object: &mut Map<String, Value>) {
        let Some(remark) = dialect::apply(ty, object) else { return };
        let severity = if remark.is_error { Severity::Error } else { Severity::Warning };
        if self.quiet > 0 && severity == Severity::Warning {
            return;
        }
        let position = node.get(remark.field).map_or(node.position, |entry| entry.value.position);
        self.at(Segment::Field(remark.field), |this| {
            this.report(severity, position, remark.message, Some(remark.hint));
        });
    }

    /// Reports a field that does not exist. Returns the field of this object that was probably meant.
    fn unknown(&mut self, entry: &Entry) -> Option<&'static str> {
        // More diagnostics than this are not shown.
        let seen = self.diagnostics.len() <= MAX_DIAGNOSTICS;
        let suggestion = seen.then(|| suggest(&entry.key, &self.chain)).flatten();
        let (hint, meant) = match suggestion {
            Some(Suggestion::Field(name)) => (Some(format!("did you mean `{name}`?")), Some(name)),
            Some(Suggestion::Elsewhere(path)) => (Some(format!("it belongs at `{path}`")), None),
            None => (None, None),
        };
        self.error(entry.position, "there is no such field", hint);
        meant
    }

    /// Warns about a field that is not honoured. Returns whether it did.
    fn warn_unsupported(&mut self, entry: &Entry, fields: &[(&str, Support)]) -> bool {
        let Some(support) = fields.iter().find(|(name, _)| *name == entry.key).map(|(_, support)| support)
        else {
            return false;
        };
        let Some(message) = support.warning(&entry.value) else { return false };
        // `kubectl create --dry-run` writes `status: {loadBalancer: {}}`.
        if entry.value.is_empty() || entry.key == "status" && entry.value.says_nothing() {
            return false;
        }
        let position = entry.position;
        self.report(Severity::Warning, position, message, None);
        true
    }

    fn mismatch(&mut self, node: &Node, kind: &Kind) -> Option<Value> {
        let message = format!("must be {}, not {}", wanted(kind), describe(node));
        let hint = hint_for(node, kind);
        self.error(node.position, message, hint)
    }

    fn kind(&mut self, node: &Node, kind: &'static Kind) -> Option<Value> {
        match kind {
            Kind::Any => return Some(node.to_json()),
            Kind::Object(ty) => return self.object(node, ty),
            Kind::List(inner) => {
                let Data::Sequence(items) = &node.data else { return self.mismatch(node, kind) };
                return Some(Value::Array(self.list(items, inner)));
            }
            Kind::Map(inner) => {
                let Data::Mapping(entries) = &node.data else { return self.mismatch(node, kind) };
                return Some(self.map(entries, inner));
            }
            _ => {}
        }
        let Data::Scalar(scalar) = &node.data else { return self.mismatch(node, kind) };
        let text = scalar.text.as_str();
        match (kind, scalar.value) {
            (Kind::String, ScalarValue::String)
            | (Kind::Bool, ScalarValue::Bool(_))
            | (Kind::Number, ScalarValue::Int(_)) => Some(scalar.to_json()),
            (Kind::Number, ScalarValue::Float(value)) if value.is_finite() => Some(scalar.to_json()),
            (Kind::Enum(_), ScalarValue::String) if self.in_status => Some(text.into()),
            (Kind::Enum(values), ScalarValue::String) => self.word(node, text, values),
            (Kind::Int(least, most), ScalarValue::Int(value)) => self.int(node, value, *least, *most),
            #[allow(clippy::cast_possible_truncation)] // checked to be whole and small enough
            (Kind::Int(least, most), ScalarValue::Float(value))
                if value.fract() == 0.0 && value.abs() < 9e15 =>
            {
                self.int(node, value as i128, *least, *most)
            }
            (Kind::IntOrString, ScalarValue::String) => Some(scalar.to_json()),
            (Kind::IntOrString, ScalarValue::Int(value)) => {
                self.int(node, value, i32::MIN.into(), i32::MAX.into())
            }
            (Kind::Quantity, ScalarValue::String | ScalarValue::Int(_) | ScalarValue::Float(_)) => {
                let text = match scalar.value {
                    ScalarValue::Int(value) => value.to_string(),
                    _ => text.to_owned(),
                };
                if Quantity::parse(&text).is_some() {
                    return Some(text.into());
                }
                let hint = "a quantity is a number with a suffix: 500m, 2, 128Mi, 1G";
                self.error(
                    node.position,
                    format!("must be a quantity, not {}", describe(node)),
                    Some(hint.into()),
                )
            }
            (Kind::Time, ScalarValue::String) => {
                if text.parse::<jiff::Timestamp>().is_ok() {
                    return Some(scalar.to_json());
                }
                let hint = "write it as 2026-01-31T12:00:00Z".to_owned();
                self.error(node.position, format!("must be a time, not {}", describe(node)), Some(hint))
            }
            (Kind::Bytes, ScalarValue::String) => self.bytes(node, text),
            _ => self.mismatch(node, kind),
        }
    }

    fn list(&mut self, items: &[Node], inner: &'static Kind) -> Vec<Value> {
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let value = self.at(Segment::Index(index), |this| {
                this.positions.insert(this.path.clone(), item.position);
                this.kind(item, inner)
            });
            // An invalid item is replaced, so that the items after it keep their index.
            list.push(value.unwrap_or_else(|| stand_in(inner)));
        }
        list
    }

    fn map(&mut self, entries: &[Entry], inner: &'static Kind) -> Value {
        let mut map = Map::with_capacity(entries.len());
        for entry in entries {
            self.at(Segment::Key(&entry.key), |this| {
                this.remember(entry.position, &entry.value);
                // Kubernetes reads a key without a value as empty text, or as a quantity that is not set.
                let value = match (entry.value.is_null(), inner) {
                    (true, Kind::String | Kind::Bytes) => Some(Value::String(String::new())),
                    (true, Kind::Quantity) => None,
                    _ => this.kind(&entry.value, inner),
                };
                if let Some(value) = value {
                    map.insert(entry.key.clone(), value);
                }
            });
        }
        Value::Object(map)
    }

    fn word(&mut self, node: &Node, text: &str, values: &[&str]) -> Option<Value> {
        if values.contains(&text) {
            return Some(text.into());
        }
        let same = |value: &str| {
            value.eq_ignore_ascii_case(text)
                || value.strip_prefix("SIG").is_some_and(|signal| signal.eq_ignore_ascii_case(text))
        };
        let close =
            |value: &str| !value.is_empty() && text.len() < 40 && strsim::osa_distance(value, text) <= 2;
        let near =
            values.iter().find(|value| same(value)).or_else(|| values.iter().find(|value| close(value)));
        let hint = near.map(|near| format!("did you mean {near}?"));
        let list: Vec<&str> = values.iter().map(|v| if v.is_empty() { "\"\"" } else { v }).take(10).collect();
        let more = if values.len() > list.len() { ", ..." } else { "" };
        let message = format!("must be one of {}{more}, not {}", list.join(", "), shown(text));
        self.error(node.position, message, hint)
    }

    fn int(&mut self, node: &Node, value: i128, least: i64, most: i64) -> Option<Value> {
        if (i128::from(least)..=i128::from(most)).contains(&value) {
            return i64::try_from(value).ok().map(Value::from);
        }
        let octal = least == 0 && most == 0o777;
        let message = match (least, most) {
            (0, i64::MAX | 0x7fff_ffff) if value < 0 => format!("must not be negative, is {value}"),
            _ if octal => format!("must be between 0 and 0777 (511), is {}", describe(node)),
            (_, i64::MAX) if value < i128::from(least) => format!("must be at least {least}, is {value}"),
            _ => format!("must be between {least} and {most}, is {value}"),
        };
        // 644 was probably meant as 0644.
        let hint = if octal && (0..=777).contains(&value) && !value.to_string().contains(['8', '9']) {
            Some(format!("file modes are octal: write 0{value}"))
        } else {
            None
        };
        self.error(node.position, message, hint)
    }

    fn bytes(&mut self, node: &Node, text: &str) -> Option<Value> {
        use base64::Engine as _;
        // Line breaks are ignored, as in Go's decoder, because block scalars have them.
        let compact: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        match base64::engine::general_purpose::STANDARD.decode(&compact) {
            Ok(_) => Some(compact.into()),
            Err(_) => {
                let hint = if self.path.starts_with("data") {
                    "encode it (`base64 -w0`), or give the plain text under stringData".to_owned()
                } else {
                    "encode it: `base64 -w0`".to_owned()
                };
                // The value may be a secret, so it is not shown.
                self.error(node.position, "must be base64, and is not", Some(hint))
            }
        }
    }
}

/// Returns true for empty text in an enum field. An API server treats it as a field that is not set, so that a template
/// which leaves a value empty still produces a valid manifest.
fn is_unset_word(node: &Node, field: &Field) -> bool {
    matches!(field.kind, Kind::Enum(values) if !field.required && !values.contains(&""))
        && node.as_str() == Some("")
}

/// Returns true for required text that may be "".
fn may_be_empty(ty: &Type, field: &str) -> bool {
    matches!((ty.name, field), ("HTTPHeader" | "Sysctl", "value"))
}

fn stand_in(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => false.into(),
        Kind::Int(..) | Kind::Number | Kind::IntOrString => 0.into(),
        Kind::Object(_) | Kind::Map(_) => Value::Object(Map::new()),
        Kind::List(_) => Value::Array(Vec::new()),
        Kind::Quantity => "0".into(),
        Kind::String | Kind::Enum(_) | Kind::Time | Kind::Bytes | Kind::Any => "".into(),
    }
}

/// A segment of a path.
#[derive(Clone, Copy)]
enum Segment<'a> {
    Field(&'a str),
    Key(&'a str),
    Index(usize),
}

impl Segment<'_> {
    fn push(self, path: &mut String) {
        use std::fmt::Write as _;
        match self {
            Self::Field(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&escape(name));
            }
            Self::Key(key) => {
                let _ = write!(path, "[{}]", escape(key));
            }
            Self::Index(index) => {
                let _ = write!(path, "[{index}]");
            }
        }
    }
}
