//! What a pod can be told about itself: fields of its metadata, and resources of its containers (the downward API).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{Container, ResourceFieldSelector};

use super::resources::effective_request;
use super::{ContainerError, Node, PodPlan};
use crate::manifest::Quantity;

/// Returns the text of a field of metadata, as a file of a downwardAPI volume shows it; `None` if a volume cannot show
/// the field. All labels or annotations are one line each: `key="value"`.
pub fn metadata(pod: &PodPlan, path: &str) -> Option<String> {
    let meta = &pod.pod.metadata;
    let keyed = |prefix: &str| path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']");
    let one = |map: &Option<BTreeMap<String, String>>, key: &str| {
        map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default()
    };
    Some(match path {
        "metadata.name" => pod.name().to_owned(),
        "metadata.namespace" => pod.namespace().to_owned(),
        "metadata.uid" => pod.uid.clone(),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        _ => match keyed("metadata.labels") {
            Some(key) => one(&meta.labels, key),
            None => one(&meta.annotations, keyed("metadata.annotations")?),
        },
    })
}

/// Returns limits.* or requests.* of a container, in units of the divisor and rounded up. If a limit is not set, the
/// capacity of the node is returned. `this` is the container if the reference names none.
///
/// # Errors
/// `CreateContainerConfigError` if there is no such container or resource.
pub fn resource(
    pod: &PodPlan,
    node: &Node,
    this: Option<&Container>,
    reference: &ResourceFieldSelector,
) -> Result<String, ContainerError> {
    let named = reference.container_name.as_deref().filter(|name| !name.is_empty());
    let container = match (named, this) {
        (None, Some(this)) => this,
        (name, _) => {
            let name = name.unwrap_or_default();
            let spec = pod.pod.spec.iter();
            let mut all = spec.flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers));
            all.find(|container| container.name == name).ok_or_else(|| {
                ContainerError::config(format!("resourceFieldRef: the pod has no container {name:?}"))
            })?
        }
    };
    let resources = container.resources.as_ref();
    let (which, name) = reference
        .resource
        .split_once('.')
        .filter(|(which, _)| matches!(*which, "limits" | "requests"))
        .ok_or_else(|| {
            ContainerError::config(format!(
                "resourceFieldRef: {:?} is not limits.* or requests.*",
                reference.resource
            ))
        })?;
    let amount = if which == "limits" {
        let set = resources.and_then(|r| r.limits.as_ref()?.get(name)).map(Quantity::from);
        set.filter(|a| *a > Quantity::default()).unwrap_or_else(|| match name {
            "cpu" => Quantity::from_millis(node.cpu_millis),
            "memory" => Quantity::from_value(node.memory),
            "ephemeral-storage" => Quantity::from_value(node.storage),
            _ => Quantity::default(),
        })
    } else {
        effective_request(container, name).unwrap_or_default()
    };
    let divisor = reference.divisor.as_ref().map(Quantity::from).unwrap_or_default();
    Ok(amount.count_of(divisor).to_string())
}

/// Returns a map as the kubelet writes it: sorted, without a line feed at the end.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let line = |(key, value): (&String, &String)| format!("{key}={}", quoted(value));
    map.into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns text in quotes, escaped as Go's `%q` does.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_written_as_the_kubelet_writes_them() {
        let map: BTreeMap<String, String> = [("b", "x"), ("a", "say \"hi\"\n\u{1}\u{e4}'\\"), ("c", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        assert_eq!(lines(Some(&map)), "a=\"say \\\"hi\\\"\\n\\x01\u{e4}'\\\\\"\nb=\"x\"\nc=\"\"");
        assert_eq!(lines(None), "");
    }
}
