//! Objects of kinds without a layout of their own, as `genericDescriber` of k8s.io/kubectl/pkg/describe prints them: all
//! fields, in alphabetical order.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pod_core::observe::objects::Object;
use serde_json::{Map, Value};

use super::{Surroundings, add_events, labels_and_annotations, name};
use crate::output::columns::Columns;
use crate::output::json_path::text;

/// Returns the description of an object.
///
/// # Errors
/// The object has no JSON form.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    let mut json = object.to_json()?;
    let Value::Object(fields) = &mut json else { return Ok(String::new()) };
    let metadata = fields.remove("metadata").unwrap_or_default();
    let metadata: ObjectMeta = serde_json::from_value(metadata)?;
    let mut out = Columns::default();
    name(&mut out, &metadata);
    labels_and_annotations(&mut out, &metadata);
    add_fields(&mut out, 0, fields);
    add_events(&mut out, object.id.kind, &metadata, with);
    Ok(out.render())
}

fn add_fields(out: &mut Columns, level: usize, fields: &Map<String, Value>) {
    let mut sorted: Vec<_> = fields.iter().collect();
    sorted.sort_by_key(|(field, _)| *field);
    for (field, value) in sorted {
        let label = format!("{}:", label(field));
        match value {
            Value::Object(fields) => {
                out.line(level, [&label]);
                add_fields(out, level + 1, fields);
            }
            Value::Array(elements) => {
                out.line(level, [&label]);
                for element in elements {
                    match element {
                        Value::Object(fields) => add_fields(out, level + 1, fields),
                        other => out.line(level + 1, [&text(other)]),
                    }
                }
            }
            Value::Null => out.line(level, [&label, "<nil>"]),
            other => out.line(level, [&label, text(other).trim()]),
        }
    }
}

/// Returns the words of a field: `Involved Object`, `API Version`.
fn label(field: &str) -> String {
    let mut words = String::new();
    for (at, c) in field.char_indices() {
        if at == 0 {
            words.extend(c.to_uppercase());
        } else {
            if c.is_uppercase() {
                words.push(' ');
            }
            words.push(c);
        }
    }
    words.replace("Api ", "API ").replace("Uid", "UID")
}

#[cfg(test)]
mod tests {
    use pod_core::kind::{Kind, ObjectRef};
    use serde_json::json;

    use super::*;
    use crate::commands::describe::tests::with_surroundings;

    #[test]
    fn all_fields_of_an_object_are_described() {
        let json = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "web.1", "namespace": "default"},
            "involvedObject": {"kind": "Pod", "name": "web", "uid": "u"}, "reason": "Started", "count": 2,
            "message": "it \u{1b}[31mhappened\n", "list": [{"a": 1}, "b"],
        });
        let object = Object::new(ObjectRef::new(Kind::Event, "default", "web.1"), json);
        with_surroundings(Some(Vec::new()), |with| {
            insta::assert_snapshot!(describe(&object, with).unwrap());
        });
    }
}
