//! Finds the names of the objects in a source even if the source is invalid, so that `kube down` can stop what was
//! played from a file that has been broken since.

use crate::kind::ObjectRef;

use super::kind::{Found, find};
use super::load::{MAX_DOCUMENT, MAX_LISTS, is_kustomization, too_long};
use super::yaml::{self, Data, Node};
use super::{Diagnostic, Position, Severity, Source, escape};

/// The result of [`identities`].
#[derive(Debug, Clone, Default)]
pub struct Identities {
    /// The objects that have a name and a kind that can be played, in order. The items of a List are listed
    /// individually.
    pub found: Vec<ObjectRef>,
    /// One error per document that cannot be read, and per object of a kind that [`super::load`] refuses.
    pub unreadable: Vec<Diagnostic>,
    /// Whether the source has objects of a kind that [`super::load`] leaves out.
    pub left_out: bool,
}

/// Returns the names of the objects in `source`. It reads the source like [`super::load`], so that it finds every
/// object that `load` returns.
pub fn identities(source: &Source, namespace: &str) -> Identities {
    let mut result = Identities::default();
    if is_kustomization(&source.name) {
        result.left_out = true;
        return result;
    }
    for chunk in yaml::split(&source.text) {
        let position = Position { line: chunk.lines_before + 1, column: chunk.columns_before + 1 };
        let mut unreadable = |position, message, hint| {
            let (severity, source, path) = (Severity::Error, source.name.clone(), String::new());
            result.unreadable.push(Diagnostic { severity, source, position, path, message, hint });
        };
        if chunk.text.len() > MAX_DOCUMENT {
            unreadable(position, too_long(), None);
            continue;
        }
        let parsed = yaml::parse(chunk);
        // A document with an error, e.g. a duplicate key, still names its object.
        if parsed.documents.is_empty()
            && let Some(problem) = parsed.problems.into_iter().find(|problem| problem.fatal)
        {
            unreadable(problem.position, problem.message, problem.hint);
        }
        for node in &parsed.documents {
            gather(node, source, namespace, 0, &mut result);
        }
    }
    result
}

/// Adds the object `node`, or the items of the List `node`, to `result`.
fn gather(node: &Node, source: &Source, namespace: &str, depth: usize, result: &mut Identities) {
    let text = |node: &Node, key: &str| {
        let text = node.get(key).and_then(|entry| entry.value.as_str());
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let of_metadata = |key: &str| node.get("metadata").and_then(|metadata| text(&metadata.value, key));
    let Some(kind) = text(node, "kind") else { return };
    match find(&kind, &text(node, "apiVersion").unwrap_or_default()) {
        Found::Played(kind, _) => {
            let Some(name) = of_metadata("name") else { return };
            let namespace = of_metadata("namespace").unwrap_or_else(|| namespace.to_owned());
            result.found.push(ObjectRef::new(kind, &namespace, &name));
        }
        Found::List(_) => {
            let items = node.get("items").map(|items| &items.value.data);
            if let (Some(Data::Sequence(items)), true) = (items, depth < MAX_LISTS) {
                for item in items {
                    gather(item, source, namespace, depth + 1, result);
                }
            }
        }
        Found::Accepted | Found::LeftOut(..) => result.left_out = true,
        Found::Refused(message, hint) => {
            let name = of_metadata("name").map(|name| format!(" ({})", escape(&name))).unwrap_or_default();
            result.unreadable.push(Diagnostic {
                severity: Severity::Error,
                source: source.name.clone(),
                position: node.get("kind").map_or(node.position, |entry| entry.value.position),
                path: "kind".to_owned(),
                message: format!("{message}{name}"),
                hint: Some(hint),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::load;

    fn source(text: &str) -> Source {
        Source { name: "x.yaml".into(), dir: "/".into(), text: text.into() }
    }

    fn named(text: &str) -> Vec<String> {
        let found = identities(&source(text), "ns").found;
        found.into_iter().map(|one| format!("{} {}/{}", one.kind.name(), one.namespace, one.name)).collect()
    }

    #[test]
    fn documents_that_do_not_validate_still_say_who_they_are() {
        let text = "kind: Pod\nmetadata: {name: web, name: web}\nspec: {conatiners: 7}\n---\n\n---\nkind: v1\n---\n\
                    kind: List\nitems:\n- {kind: Deployment, metadata: {name: api, namespace: other}}\n- 5\n\
                    - {kind: Pod, metadata: {name: a, namespace: ''}}\n- {kind: Pod, metadata: {name: 5}}\n";
        assert_eq!(named(text), ["Pod ns/web", "Deployment other/api", "Pod ns/a"]);
    }

    #[test]
    fn a_document_that_cannot_be_read_hides_no_other_and_is_told() {
        let text = "a: [b\n---\nkind: Pod\nmetadata: {name: web}\n---\n\"x\n";
        let result = identities(&source(text), "ns");
        assert_eq!(result.found.len(), 1);
        let lines: Vec<usize> = result.unreadable.iter().map(|told| told.position.line).collect();
        assert_eq!(lines, [2, 6]);
    }

    /// Every object that a play creates from a text is found by a `down` with the same text.
    #[test]
    fn every_object_that_is_loaded_is_named() {
        let map = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
        let json = |name: &str| {
            format!(
                "{{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {{\"name\": \"{name}\"}}}}\n"
            )
        };
        for text in [
            format!("\u{feff}{}", map("a")),
            format!("\u{feff}{}---\n{}", map("a"), map("b")),
            format!("{}{}", json("a"), json("b")),
            format!("{} {}", json("a").trim_end(), json("b")),
            format!("%YAML 1.1\n---\n{}...\n{}", map("a"), map("b")),
            map("a").replace('\n', "\r\n"),
            "apiVersion: v1\nkind: List\nitems:\n- &cm {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n\
             - {<<: *cm, metadata: {name: b}}\n"
                .to_owned(),
            "apiVersion: v1\nkind: List\nitems:\n- &cm\n  apiVersion: v1\n  kind: ConfigMap\n  metadata: &m {name: a}\n\
             - <<: *cm\n  metadata: {<<: *m, namespace: other}\n"
                .to_owned(),
            "apiVersion: v1\nkind: ConfigMapList\nitems: [\n{apiVersion: v1, kind: ConfigMap, metadata: {\nname: a\n}}\n]\n"
                .to_owned(),
            "apiVersion: v1\nkind: List\nitems:\n- kind: List\n  apiVersion: v1\n  items:\n  - {apiVersion: v1, kind: \
             ConfigMap, metadata: {name: !!str 5}}\n"
                .to_owned(),
        ] {
            let loaded = load(&[source(&text)], "ns");
            assert_eq!(loaded.diagnostics, [], "{text}");
            let expected: Vec<String> = loaded
                .documents
                .iter()
                .map(|document| {
                    let metadata = document.object.metadata();
                    let part = |part: &Option<String>| part.clone().unwrap_or_default();
                    format!("ConfigMap {}/{}", part(&metadata.namespace), part(&metadata.name))
                })
                .collect();
            assert_eq!(named(&text), expected, "{text}");
        }
    }
}
