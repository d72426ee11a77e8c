//! Which objects a manifest names, read leniently: what was played can be taken down by its file also when
//! that has become invalid in the meantime.

use std::fmt;
use std::path::Path;

use pod_core::manifest::Source;
use serde::Deserialize as _;
use serde_yaml::Value;

use crate::exit::Failure;
use crate::terminal;

/// An object, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// As `kind:` says it.
    pub kind: String,
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.to_ascii_lowercase(), self.name)
    }
}

/// The objects of all documents of a source that say who they are; a List's items stand on their own.
///
/// # Errors
/// It is no YAML, and no document before the place where it breaks names an object.
pub fn of(source: &Source, namespace: &str) -> anyhow::Result<Vec<Identity>> {
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&source.text) {
        match Value::deserialize(document) {
            Ok(value) => gather(&value, namespace, &mut found),
            Err(error) if found.is_empty() => {
                return Err(Failure::invalid(format!("{}: {error}", source.name))
                    .hint("`kube down KIND/NAME` needs no file; `kube ps` tells the names")
                    .into());
            }
            Err(error) => {
                terminal::warning(&format!("{}: {error}: the rest is left alone", source.name));
                break;
            }
        }
    }
    Ok(found)
}

fn gather(value: &Value, namespace: &str, found: &mut Vec<Identity>) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let Some(kind) = text(value.get("kind")) else { return };
    if kind.ends_with("List")
        && let Some(items) = value.get("items").and_then(Value::as_sequence)
    {
        for item in items {
            gather(item, namespace, found);
        }
        return;
    }
    let metadata = value.get("metadata");
    let Some(name) = text(metadata.and_then(|metadata| metadata.get("name"))) else { return };
    let own = text(metadata.and_then(|metadata| metadata.get("namespace")));
    found.push(Identity { kind, namespace: own.unwrap_or_else(|| namespace.to_owned()), name });
}

/// True if `recorded` and `given` are the same source; `given` may be a folder.
pub fn same_source(recorded: &str, given: &str) -> bool {
    if recorded == given {
        return given != "-";
    }
    if recorded == "-" || given == "-" || crate::sources::is_url(recorded) || crate::sources::is_url(given) {
        return false;
    }
    // A file that is gone cannot be canonicalised, but its folder can.
    let canonical = |path: &str| {
        let path = std::path::absolute(path).ok()?;
        let dir = path.parent().and_then(|dir| dir.canonicalize().ok());
        Some(match (dir, path.file_name()) {
            (Some(dir), Some(name)) => dir.join(name),
            _ => path,
        })
    };
    // A recorded source that is not absolute was relative to a folder that nobody knows any more.
    if !Path::new(recorded).is_absolute() {
        return false;
    }
    match (canonical(recorded), canonical(given)) {
        (Some(recorded), Some(given)) => recorded == given || recorded.parent() == Some(&given),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identities(text: &str) -> Vec<String> {
        let source = Source { name: "x.yaml".into(), dir: "/".into(), text: text.into() };
        of(&source, "ns").unwrap().iter().map(|i| format!("{}:{i}", i.namespace)).collect()
    }

    #[test]
    fn documents_that_do_not_validate_still_say_who_they_are() {
        let text = "kind: Pod\nmetadata: {name: web}\nspec: {conatiners: 7}\n---\n\n---\nkind: v1\n---\n\
                    kind: List\nitems:\n- {kind: Deployment, metadata: {name: api, namespace: other}}\n- 5\n";
        assert_eq!(identities(text), ["ns:pod/web", "other:deployment/api"]);
    }

    #[test]
    fn what_is_no_yaml_is_invalid() {
        let source = Source { name: "x.yaml".into(), dir: "/".into(), text: "a: [b\nc: {".into() };
        assert!(of(&source, "ns").is_err());
    }

    #[test]
    fn a_source_is_known_by_its_place() {
        assert!(same_source("/nowhere/web.yaml", "/nowhere/web.yaml"));
        assert!(same_source("/nowhere/web.yaml", "/nowhere/"));
        assert!(!same_source("/nowhere/web.yaml", "/elsewhere/web.yaml"));
        assert!(!same_source("-", "-"), "two different pipes");
        assert!(same_source("http://a/b.yaml", "http://a/b.yaml"));
        let here = std::env::current_dir().unwrap().join("web.yaml");
        assert!(same_source(&here.display().to_string(), "web.yaml"));
    }
}
