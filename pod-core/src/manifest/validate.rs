//! Validates objects that the program has created and not read, with the same schema and rules.

use serde_json::Value;

use super::kind::{reader, schema_of};
use super::schema::check::check;
use super::yaml::Node;
use super::{Diagnostic, Position, Severity, escape, rules};
use crate::kind::Kind;

/// Returns the errors, without warnings, that a cluster's validation would report about `object`, whose kind is one
/// that is played or generated. They have no position, because the object is not in a file.
pub fn validate(object: &Value) -> Vec<Diagnostic> {
    let refused = |path: &str, message: String| Diagnostic {
        severity: Severity::Error,
        source: String::new(),
        position: Position::default(),
        path: path.to_owned(),
        message,
        hint: None,
    };
    let name = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    let Some((kind, schema)) = Kind::from_name(name).and_then(|kind| Some((kind, schema_of(kind)?))) else {
        return vec![refused("kind", format!("{} is not generated", escape(name)))];
    };
    let mut checked = check(&Node::from_json(object), schema, "");
    let mut found = std::mem::take(&mut checked.diagnostics);
    if let Some(reader) = reader(kind) {
        match (reader.read)(&checked.value) {
            Ok(object) => found.append(&mut rules::check(&object, &checked, Position::default(), "")),
            Err(error) => found
                .push(refused("", format!("not {}: {}", kind.with_article(), escape(&error.to_string())))),
        }
    } else {
        found.append(&mut rules::check_generated(kind, &checked));
    }
    found.retain(|diagnostic| diagnostic.severity == Severity::Error);
    found
}
