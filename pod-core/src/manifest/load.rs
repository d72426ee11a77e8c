//! Reads text into validated documents.

use crate::kind::Kind;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::kind::{Found, KUSTOMIZE, Reader, find, names_of_played};
use super::repeats::Repeats;
use super::schema::check::{Checked, check};
use super::yaml::{self, Data, Node};
use super::{
    Diagnostic, Document, Loaded, MAX_DIAGNOSTICS, Object, Position, Severity, Source, escape, rules, shown,
};

/// Maximum number of documents per call.
pub const MAX_DOCUMENTS: usize = 10_000;
/// Maximum size of one document in bytes: the limit of an API server (3 MiB), so that the document also fits a cluster.
pub const MAX_DOCUMENT: usize = 3 << 20;
/// Maximum nesting of Lists.
pub(super) const MAX_LISTS: usize = 4;

/// Returns the message about a document that exceeds [`MAX_DOCUMENT`].
pub(super) fn too_long() -> String {
    format!("a document of more than {} MiB", MAX_DOCUMENT >> 20)
}

/// Reads and validates all `sources`. `namespace` is used for objects without one.
pub fn load(sources: &[Source], namespace: &str) -> Loaded {
    let mut loader = Loader {
        namespace,
        loaded: Loaded::default(),
        seen: HashMap::new(),
        documents: 0,
        repeats: Repeats::default(),
    };
    for source in sources {
        loader.source(source);
    }
    if loader.documents == 0
        && !loader.loaded.has_errors()
        && let Some(source) = sources.first()
    {
        let position = Position { line: 1, column: 1 };
        let message = if sources.len() > 1 {
            "no Kubernetes object in it, nor in the files after it"
        } else {
            "no Kubernetes object in it"
        };
        loader.report(source, Severity::Error, position, "", message.to_owned(), None);
    }
    loader.repeats.count(&mut loader.loaded.diagnostics);
    loader.loaded
}

struct Loader<'a> {
    namespace: &'a str,
    loaded: Loaded,
    /// Where each (kind, namespace, name) occurred first.
    seen: HashMap<(Kind, String, String), String>,
    documents: usize,
    repeats: Repeats,
}

impl Loader<'_> {
    /// Records a diagnostic; of warnings with the same meaning only the first.
    fn push(&mut self, diagnostic: Diagnostic) {
        if !self.repeats.is_repeat(&diagnostic) {
            self.loaded.diagnostics.push(diagnostic);
        }
    }

    fn report(
        &mut self,
        source: &Source,
        severity: Severity,
        position: Position,
        path: &str,
        message: String,
        hint: Option<String>,
    ) {
        let (source, path) = (source.name.clone(), path.to_owned());
        self.push(Diagnostic { severity, source, position, path, message, hint });
    }

    fn error(
        &mut self,
        source: &Source,
        position: Position,
        path: &str,
        message: &str,
        hint: Option<String>,
    ) {
        self.report(source, Severity::Error, position, path, message.to_owned(), hint);
    }

    fn source(&mut self, source: &Source) {
        if is_kustomization(&source.name) {
            let message = "passed over: kustomize reads it, and what it changes is not applied".to_owned();
            let position = Position { line: 1, column: 1 };
            let hint = Some(KUSTOMIZE.to_owned());
            return self.report(source, Severity::Warning, position, "", message, hint);
        }
        let first = self.loaded.diagnostics.len();
        for chunk in yaml::split(&source.text) {
            let position = Position { line: chunk.lines_before + 1, column: chunk.columns_before + 1 };
            if self.documents >= MAX_DOCUMENTS {
                let message = format!("more than {MAX_DOCUMENTS} documents; the rest is not read");
                self.error(source, position, "", &message, Some("split the file".to_owned()));
                break;
            }
            if self.loaded.diagnostics.len() - first >= MAX_DIAGNOSTICS {
                let message = "too many errors; the rest is not read";
                self.error(source, position, "", message, None);
                break;
            }
            if chunk.text.len() > MAX_DOCUMENT {
                self.documents += 1;
                self.error(source, position, "", &too_long(), None);
                continue;
            }
            let parsed = yaml::parse(chunk);
            let broken = parsed.problems.iter().any(|problem| problem.fatal);
            for problem in parsed.problems {
                let severity = if problem.fatal { Severity::Error } else { Severity::Warning };
                self.report(source, severity, problem.position, "", problem.message, problem.hint);
            }
            for node in &parsed.documents {
                self.object(source, node, "", 0, broken);
            }
        }
        // Sorted by position; diagnostics of the same position stay in the order in which they were found.
        let Some(own) = self.loaded.diagnostics.get_mut(first..) else { return };
        own.sort_by_key(|diagnostic| diagnostic.position);
        let more = own.len().saturating_sub(MAX_DIAGNOSTICS);
        // The last document may exceed the limit by some.
        if more > 20
            && let Some(next) = own.get(MAX_DIAGNOSTICS).map(|diagnostic| diagnostic.position)
        {
            self.loaded.diagnostics.truncate(first + MAX_DIAGNOSTICS);
            self.error(source, next, "", &format!("{more} more errors and warnings are not shown"), None);
        }
    }

    /// Reads one object, or a List of objects at `prefix`.
    fn object(&mut self, source: &Source, node: &Node, prefix: &str, depth: usize, broken: bool) {
        self.documents += 1;
        let Data::Mapping(_) = &node.data else {
            let hint = "an object has apiVersion, kind and metadata".to_owned();
            let path = prefix.trim_end_matches('.');
            return self.error(
                source,
                node.position,
                path,
                "not a Kubernetes object: not a mapping",
                Some(hint),
            );
        };
        let kind = node.get("kind");
        let Some((name, position)) = kind
            .and_then(|entry| entry.value.as_str().map(|name| (name, entry.value.position)))
            .filter(|(name, _)| !name.is_empty())
        else {
            let compose = node.get("services").is_some() && node.get("apiVersion").is_none();
            let hint = match compose {
                true => "this looks like a file for Docker Compose: `kompose convert` makes manifests of it"
                    .to_owned(),
                false => format!("one of {} or List", names_of_played()),
            };
            self.head(source, node, prefix, "apiVersion", None);
            self.head(source, node, prefix, "kind", Some(hint));
            return;
        };
        let api_version = node.get("apiVersion").and_then(|entry| entry.value.as_str()).unwrap_or_default();
        match find(name, api_version) {
            Found::Accepted => {}
            Found::LeftOut(why, hint) => {
                let own = node.get("metadata").and_then(|entry| entry.value.get("name"));
                let own = own.and_then(|entry| entry.value.as_str());
                let own = own.map(|own| format!(" {}", shown(own))).unwrap_or_default();
                let message = format!("the {}{own} is left out: {why}", escape(name));
                let path = format!("{prefix}kind");
                let first = Diagnostic {
                    severity: Severity::Warning,
                    source: source.name.clone(),
                    position,
                    path,
                    message,
                    hint: hint.map(str::to_owned),
                };
                if !self.repeats.is_repeat_of(format!("{name}: {why}"), &first) {
                    self.loaded.diagnostics.push(first);
                }
            }
            Found::Refused(message, hint) => {
                self.error(source, position, &format!("{prefix}kind"), &message, Some(hint));
            }
            Found::List(right) => {
                if let Some(right) = right {
                    self.version(source, node, prefix, name, right);
                }
                self.list(source, node, prefix, depth, broken);
            }
            Found::Played(kind, reader) => {
                let fits = self.version(source, node, prefix, name, kind.api_version());
                self.played(source, node, kind, reader, prefix, broken || !fits);
            }
        }
    }

    /// Reports an apiVersion or kind that is missing or not text.
    fn head(&mut self, source: &Source, node: &Node, prefix: &str, name: &str, hint: Option<String>) {
        let entry = node.get(name);
        let message = match entry.map(|entry| &entry.value) {
            Some(value) if value.as_str().is_some_and(|text| !text.is_empty()) => return,
            Some(value) if !value.is_null() && value.as_str().is_none() => "must be text",
            _ => "is required",
        };
        let position = entry.map_or(node.position, |entry| entry.value.position);
        self.error(source, position, &format!("{prefix}{name}"), message, hint);
    }

    /// Returns whether the apiVersion is the right one for its kind, and reports it if not.
    fn version(&mut self, source: &Source, node: &Node, prefix: &str, kind: &str, right: &str) -> bool {
        let given = node.get("apiVersion").map(|entry| &entry.value);
        let hint = Some(format!("write apiVersion: {right}"));
        match given.and_then(|value| value.as_str().map(|text| (text, value.position))) {
            Some((text, _)) if text == right => true,
            Some((text, position)) if !text.is_empty() => {
                let message = format!("{kind} is not in {}", shown(text));
                self.error(source, position, &format!("{prefix}apiVersion"), &message, hint);
                false
            }
            _ => {
                self.head(source, node, prefix, "apiVersion", hint);
                false
            }
        }
    }

    fn list(&mut self, source: &Source, node: &Node, prefix: &str, depth: usize, broken: bool) {
        if depth >= MAX_LISTS {
            return self.error(
                source,
                node.position,
                prefix.trim_end_matches('.'),
                "lists in lists in lists",
                None,
            );
        }
        if let Data::Mapping(entries) = &node.data {
            for entry in entries {
                if !matches!(entry.key.as_str(), "apiVersion" | "kind" | "metadata" | "items") {
                    let path = format!("{prefix}{}", escape(&entry.key));
                    let hint = (entry.key.len() < 10 && strsim::osa_distance(&entry.key, "items") <= 2)
                        .then(|| "did you mean `items`?".to_owned());
                    self.error(source, entry.position, &path, "there is no such field", hint);
                }
            }
        }
        let Some(items) = node.get("items") else { return };
        match &items.value.data {
            Data::Sequence(nodes) => {
                for (index, item) in nodes.iter().enumerate() {
                    if self.documents >= MAX_DOCUMENTS {
                        let message = format!("more than {MAX_DOCUMENTS} objects; the rest is not read");
                        return self.error(source, item.position, &format!("{prefix}items"), &message, None);
                    }
                    self.object(source, item, &format!("{prefix}items[{index}]."), depth + 1, broken);
                }
            }
            _ if items.value.is_null() => {}
            _ => self.error(source, items.position, &format!("{prefix}items"), "must be a list", None),
        }
    }

    fn played(
        &mut self,
        source: &Source,
        node: &Node,
        kind: Kind,
        reader: Reader,
        prefix: &str,
        broken: bool,
    ) {
        let mut checked = check(node, reader.schema, &source.name);
        let mut found = std::mem::take(&mut checked.diagnostics);
        // Both fields have been checked and reported already.
        found.retain(|diagnostic| diagnostic.path != "apiVersion" && diagnostic.path != "kind");
        if let Value::Object(fields) = &mut checked.value {
            fields.insert("apiVersion".to_owned(), kind.api_version().into());
            fields.insert("kind".to_owned(), kind.name().into());
        }
        let object = match (reader.read)(&checked.value) {
            Ok(mut object) => {
                found.append(&mut rules::check(&object, &checked, node.position, &source.name));
                self.duplicate(&object, kind, &checked, source, node.position, &mut found);
                fill_namespace(&mut object, self.namespace);
                Some(object)
            }
            // The schema accepts something that k8s-openapi does not: an error is better than ignoring the object.
            Err(error) => {
                found.push(Diagnostic {
                    severity: Severity::Error,
                    source: source.name.clone(),
                    position: node.position,
                    path: String::new(),
                    message: format!("not {}: {}", kind.with_article(), escape(&error.to_string())),
                    hint: None,
                });
                None
            }
        };
        // The error that a volume source cannot be mounted replaces the warning that it is not honoured.
        let errors = found.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        let wrong: HashSet<String> = errors
            .filter(|diagnostic| rules::is_volume_source(&diagnostic.path))
            .map(|diagnostic| diagnostic.path.clone())
            .collect();
        found
            .retain(|diagnostic| diagnostic.severity == Severity::Error || !wrong.contains(&diagnostic.path));
        let refused = broken || found.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
        let of_list = prefix.trim_end_matches('.');
        for mut diagnostic in found {
            if !prefix.is_empty() {
                diagnostic.path.insert_str(0, if diagnostic.path.is_empty() { of_list } else { prefix });
            }
            self.push(diagnostic);
        }
        if let (Some(object), false) = (object, refused) {
            self.loaded.documents.push(Document {
                object,
                value: node.to_json(),
                source: source.name.clone(),
                position: node.position,
                dir: source.dir.clone(),
                positions: checked.positions,
            });
        }
    }

    /// Reports two objects with the same kind, namespace and name, because only one of them can be played.
    fn duplicate(
        &mut self,
        object: &Object,
        kind: Kind,
        checked: &Checked,
        source: &Source,
        start: Position,
        found: &mut Vec<Diagnostic>,
    ) {
        let metadata = object.metadata();
        let Some(name) = metadata.name.clone().filter(|name| !name.is_empty()) else { return };
        let namespace =
            metadata.namespace.clone().filter(|n| !n.is_empty()).unwrap_or_else(|| self.namespace.to_owned());
        let position = checked.positions.get("metadata.name").copied().unwrap_or(start);
        let place = format!("{}:{}:{}", source.name, position.line, position.column);
        match self.seen.entry((kind, namespace, name)) {
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(place);
            }
            std::collections::hash_map::Entry::Occupied(first) => found.push(Diagnostic {
                severity: Severity::Error,
                source: source.name.clone(),
                position,
                path: "metadata.name".to_owned(),
                message: format!(
                    "the {} {} is given twice; the first is at {}",
                    kind.name(),
                    shown(&first.key().2),
                    first.get()
                ),
                hint: Some("remove one of them or give it another name".to_owned()),
            }),
        }
    }
}

/// Returns true for the names of the files that kustomize reads in a folder.
pub(super) fn is_kustomization(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    matches!(file, "kustomization.yaml" | "kustomization.yml" | "Kustomization")
}

fn fill_namespace(object: &mut Object, namespace: &str) {
    let is_namespaced = object.kind().is_namespaced();
    let metadata = object.metadata_mut();
    if !is_namespaced {
        metadata.namespace = None;
    } else if metadata.namespace.as_deref().unwrap_or_default().is_empty() {
        metadata.namespace = Some(namespace.to_owned());
    }
}
