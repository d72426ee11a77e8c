//! `--sort-by` of `kube get`. Source: k8s.io/kubectl/pkg/cmd/get/sorter.go.

use std::cmp::Ordering;

use pod_core::manifest::Quantity;
use pod_core::observe::objects::Object;
use serde_json::Value;

use crate::output::exit::Failure;
use crate::output::json_path::Path;

/// Sorts objects by the value that a path selects. Objects without a value come first.
///
/// # Errors
/// The path does not fit an object, or selects nothing in any object (1).
pub fn by_path(objects: Vec<Object>, path: &Path, text: &str) -> anyhow::Result<Vec<Object>> {
    let mut keyed = Vec::with_capacity(objects.len());
    for object in objects {
        let json = object.to_json()?;
        let value = path.select(&json)?.first().map(|value| value.as_ref().clone());
        keyed.push((value, object));
    }
    if !keyed.is_empty() && keyed.iter().all(|(value, _)| value.is_none()) {
        return Err(Failure::failed(format!("--sort-by {text}: no object has this field"))
            .hint("`-o yaml` shows the fields")
            .into());
    }
    keyed.sort_by(|(a, _), (b, _)| compare(a.as_ref(), b.as_ref()));
    Ok(keyed.into_iter().map(|(_, object)| object).collect())
}

fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(Value::String(a)), Some(Value::String(b))) => match (Quantity::parse(a), Quantity::parse(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => natural(a, b),
        },
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            let (a, b) = (a.as_f64(), b.as_f64());
            a.zip(b).and_then(|(a, b)| a.partial_cmp(&b)).unwrap_or(Ordering::Equal)
        }
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

/// Orders values of different types.
fn rank(value: Option<&Value>) -> u8 {
    match value {
        None | Some(Value::Null) => 0,
        Some(Value::Bool(_)) => 1,
        Some(Value::Number(_)) => 2,
        Some(Value::String(_)) => 3,
        Some(Value::Array(_)) => 4,
        Some(Value::Object(_)) => 5,
    }
}

/// Compares texts with the numbers in them as numbers: `web-9` comes before `web-10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (Some(c), Some(d)) = (left.chars().next(), right.chars().next()) else {
            return left.len().cmp(&right.len()).then_with(|| a.cmp(b));
        };
        if c.is_ascii_digit() && d.is_ascii_digit() {
            let (number, after) = digits(left);
            let (other, after_other) = digits(right);
            let significant = |digits: &'_ str| digits.trim_start_matches('0').len();
            let order = significant(number)
                .cmp(&significant(other))
                .then_with(|| number.trim_start_matches('0').cmp(other.trim_start_matches('0')));
            if order != Ordering::Equal {
                return order;
            }
            (left, right) = (after, after_other);
        } else if c == d {
            (left, right) = (left.split_at(c.len_utf8()).1, right.split_at(d.len_utf8()).1);
        } else {
            return c.cmp(&d);
        }
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use pod_core::kind::{Kind, ObjectRef};
    use serde_json::json;

    use super::*;

    fn sorted(path: &str, values: &[Value]) -> Vec<String> {
        let object = |(at, value): (usize, &Value)| {
            let id = ObjectRef::new(Kind::Pod, "default", &at.to_string());
            Object::new(id, json!({"spec": {"x": value}}))
        };
        let objects = values.iter().enumerate().map(object).collect();
        let sorted = by_path(objects, &Path::parse(path).unwrap(), path).unwrap();
        sorted.into_iter().map(|object| object.id.name).collect()
    }

    #[test]
    fn values_are_sorted_by_what_they_mean() {
        for (values, order) in [
            (vec![json!("web-10"), json!("web-9"), json!("web-1"), json!("db")], ["3", "2", "1", "0"]),
            (vec![json!("2Gi"), json!("512Mi"), json!("1G"), json!("1Gi")], ["1", "2", "3", "0"]),
            (vec![json!(10), json!(9), json!(-1), json!(9.5)], ["2", "1", "3", "0"]),
            (
                vec![
                    json!("2026-11-23T18:00:00Z"),
                    json!("2026-02-01T18:00:00Z"),
                    json!(null),
                    json!("2025"),
                ],
                ["2", "3", "1", "0"],
            ),
            (vec![json!(true), json!(false), json!(true), json!(false)], ["1", "3", "0", "2"]),
            (vec![json!("a"), json!("a"), json!("A"), json!("a01")], ["2", "0", "1", "3"]),
        ] {
            assert_eq!(sorted(".spec.x", &values), order, "{values:?}");
        }
    }

    #[test]
    fn a_field_that_no_object_has_is_an_error_and_one_that_some_have_is_none() {
        let object = |x: Value| Object::new(ObjectRef::new(Kind::Pod, "default", "a"), x);
        let path = Path::parse(".spec.x").unwrap();
        let by = |objects| by_path(objects, &path, ".spec.x");
        assert!(by(vec![object(json!({})), object(json!({"spec": {}}))]).is_err());
        assert!(by(Vec::new()).is_ok());
        let some = by(vec![object(json!({"spec": {"x": 1}})), object(json!({}))]).unwrap();
        assert_eq!(some[0].to_json().unwrap(), json!({}));
    }
}
