//! Suggests the field that was meant by an unknown one.

use super::{Kind, Type};

/// The place where an unknown field would be valid.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Suggestion {
    /// A field of the same object.
    Field(&'static str),
    /// The same name at another level: the path from the document's root.
    Elsewhere(String),
}

/// Words of other tools for a field: type, word, field (or path below the object).
const WORDS: &[(&str, &str, &str)] = &[
    ("Container", "cmd", "args"),
    ("Container", "entrypoint", "command"),
    ("Container", "environment", "env"),
    ("Container", "mounts", "volumeMounts"),
    ("Container", "pullPolicy", "imagePullPolicy"),
    ("Container", "user", "securityContext.runAsUser"),
    ("ContainerPort", "port", "containerPort"),
    ("ContainerPort", "targetPort", "containerPort"),
    ("PodSpec", "restart", "restartPolicy"),
    ("ResourceRequirements", "cpu", "limits.cpu"),
    ("ResourceRequirements", "memory", "limits.memory"),
    ("VolumeMount", "path", "mountPath"),
];

/// Returns what `name` in the last type of `chain` probably means. `chain` holds the types from the root down, each
/// with the path to it.
pub(super) fn suggest(name: &str, chain: &[(&'static Type, String)]) -> Option<Suggestion> {
    let (own, own_path) = chain.last()?;
    if name.len() > 60 {
        return None;
    }
    if let Some((_, _, right)) = WORDS.iter().find(|(ty, word, _)| *ty == own.name && *word == name) {
        return Some(match own.field(right) {
            Some(field) => Suggestion::Field(field.name),
            None => Suggestion::Elsewhere(join(own_path, right)),
        });
    }
    let limit = if name.len() <= 4 { 1 } else { 2 };
    let near = own
        .fields
        .iter()
        .filter(|field| field.name != name)
        .map(|field| {
            let same = field.name.eq_ignore_ascii_case(name);
            (if same { 0 } else { strsim::osa_distance(field.name, name) }, field.name)
        })
        .min();
    if let Some((distance, field)) = near
        && distance <= limit
    {
        return Some(Suggestion::Field(field));
    }
    if let Some(path) = below(own, own_path, name, 2) {
        return Some(Suggestion::Elsewhere(path));
    }
    for (ancestor, path) in chain.iter().rev().skip(1) {
        if ancestor.field(name).is_some() {
            return Some(Suggestion::Elsewhere(join(path, name)));
        }
    }
    for (ancestor, path) in chain.iter().rev().skip(1) {
        if let Some(path) = below(ancestor, path, name, 1) {
            return Some(Suggestion::Elsewhere(path));
        }
    }
    let similar = own
        .fields
        .iter()
        .map(|field| (strsim::jaro_winkler(field.name, name), field.name))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    (similar.0 > 0.88).then_some(Suggestion::Field(similar.1))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Searches for `name` up to `depth` levels below `start`, the nearest first.
fn below(start: &'static Type, path: &str, name: &str, depth: usize) -> Option<String> {
    let mut level = vec![(start, path.to_owned())];
    for _ in 0..depth {
        let mut next = Vec::new();
        for (parent, path) in level {
            for field in parent.fields {
                let Some(inner) = field.kind.object() else { continue };
                if field.name == "status" || field.name == "ephemeralContainers" {
                    continue;
                }
                let brackets = if matches!(field.kind, Kind::List(_)) { "[]" } else { "" };
                let path = format!("{}{brackets}", join(&path, field.name));
                if inner.field(name).is_some() {
                    return Some(join(&path, name));
                }
                next.push((inner, path));
            }
        }
        level = next;
    }
    None
}
