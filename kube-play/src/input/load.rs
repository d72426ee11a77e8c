//! Loads the manifests that a user names, validates them and makes a plan. All errors are reported in one run.

use std::collections::HashMap;
use std::path::PathBuf;

use k8s_openapi::api::node::v1::RuntimeClass;
use pod_core::kind::Kind;
use pod_core::manifest::{self, Diagnostic, Document, Object, Position, Severity, Source};
use pod_core::plan::runtime_class::{self, Class};
use pod_core::plan::{self, Plan, PlanOptions, RuntimeClasses};
use pod_core::store::Objects;

use crate::cli::context::Context;
use crate::input::sources;
use crate::output::exit::Failure;
use crate::output::terminal;

/// What to load.
#[derive(Debug)]
pub struct Request<'a> {
    /// Files, folders, `-`, URLs.
    pub names: &'a [String],
    /// `--configmap`.
    pub configmaps: &'a [PathBuf],
    /// `--strict`.
    pub strict: bool,
    /// True if the command acts on what it loads, so that an error says that nothing was done.
    pub acts: bool,
}

/// Manifests without errors.
#[derive(Debug)]
pub struct Loaded {
    /// Their documents.
    pub documents: Vec<Document>,
    /// The workloads and objects that the documents describe.
    pub plan: Plan,
}

/// Reads, validates and plans manifests. Prints every diagnostic; returns what was read if no diagnostic is an error.
///
/// # Errors
/// A manifest is not valid (3, all errors are printed), or cannot be read.
pub fn load(context: &Context, request: &Request<'_>, options: &PlanOptions) -> anyhow::Result<Loaded> {
    let names: Vec<String> = request.configmaps.iter().map(|path| path.display().to_string()).collect();
    let configmaps = documents_of(context, &sources::read(&names)?);
    let main = documents_of(context, &sources::read(request.names)?);
    let mut diagnostics = configmaps.diagnostics;
    diagnostics.extend(main.diagnostics);
    for document in &configmaps.documents {
        if !matches!(document.object, Object::ConfigMap(_)) {
            diagnostics.push(Diagnostic {
                severity: Severity::Error,
                source: document.source.clone(),
                position: document.position,
                path: "kind".to_owned(),
                message: "a file for --configmap may contain ConfigMaps only".to_owned(),
                hint: Some("name the file as an argument of its own".to_owned()),
            });
        }
    }
    diagnostics.extend(given_twice(&configmaps.documents, &main.documents));
    let documents: Vec<Document> = configmaps.documents.into_iter().chain(main.documents).collect();
    let has_errors = |all: &[Diagnostic]| all.iter().any(|one| one.severity == Severity::Error);
    let mut plan = Plan::default();
    if !has_errors(&diagnostics) {
        let runtime_classes = runtime_classes(context, &documents)?;
        match plan::plan(&documents, &PlanOptions { runtime_classes, ..options.clone() }) {
            Ok((planned, warnings)) => {
                plan = planned;
                diagnostics.extend(warnings);
            }
            Err(errors) => diagnostics.extend(errors),
        }
    }
    if request.strict {
        for diagnostic in &mut diagnostics {
            diagnostic.severity = Severity::Error;
        }
    }
    terminal::diagnostics(&diagnostics);
    if has_errors(&diagnostics) {
        return Err(Failure::invalid(summary(&diagnostics, request.acts)).into());
    }
    Ok(Loaded { documents, plan })
}

/// Returns what runtimeClassName can lead to on this machine, if the documents need it.
fn runtime_classes(context: &Context, documents: &[Document]) -> anyhow::Result<RuntimeClasses> {
    let needs = |document: &Document| {
        document.object.pod_spec().is_some_and(|spec| spec.runtime_class_name.is_some())
    };
    if !documents.iter().any(needs) {
        return Ok(RuntimeClasses::default());
    }
    let recorded = Objects::list(&context.layout, Kind::RuntimeClass)?;
    let played = recorded.into_iter().filter_map(|((_, name), object)| {
        let class: RuntimeClass = serde_json::from_value(object).ok()?;
        Some((name, Class::from(&class)))
    });
    let installed = pod_core::runtime::installed(runtime_class::PROGRAMS);
    Ok(RuntimeClasses { played: played.collect(), installed })
}

/// Returns an error for each ConfigMap that the manifests and `--configmap` both define, because the two definitions
/// would replace each other on every play.
fn given_twice(configmaps: &[Document], main: &[Document]) -> Vec<Diagnostic> {
    let key = |document: &Document| {
        let metadata = document.object.metadata();
        (metadata.namespace.clone(), metadata.name.clone())
    };
    let given: HashMap<_, _> = configmaps.iter().map(|document| (key(document), document)).collect();
    let maps = main.iter().filter(|document| matches!(document.object, Object::ConfigMap(_)));
    maps.filter_map(|document| {
        let first = given.get(&key(document))?;
        let Position { line, column } = first.position_of("metadata.name");
        let name = document.object.metadata().name.as_deref().unwrap_or_default();
        Some(Diagnostic {
            severity: Severity::Error,
            source: document.source.clone(),
            position: document.position_of("metadata.name"),
            path: "metadata.name".to_owned(),
            message: format!(
                "the ConfigMap {name:?} is given by --configmap too, at {}:{line}:{column}",
                first.source
            ),
            hint: Some("remove it from one of the two".to_owned()),
        })
    })
    .collect()
}

fn documents_of(context: &Context, sources: &[Source]) -> manifest::Loaded {
    if sources.is_empty() { manifest::Loaded::default() } else { manifest::load(sources, &context.namespace) }
}

/// Returns `2 errors in web.yaml: nothing was done`; without `: nothing was done` if the command would not have acted.
fn summary(diagnostics: &[Diagnostic], acts: bool) -> String {
    let errors: Vec<_> = diagnostics.iter().filter(|one| one.severity == Severity::Error).collect();
    let mut sources: Vec<&str> = errors.iter().map(|one| one.source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    let count = match errors.len() {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    };
    let place = match sources.as_slice() {
        ["-"] => "stdin".to_owned(),
        [one] => (*one).to_owned(),
        more => format!("{} files", more.len()),
    };
    let end = if acts { ": nothing was done" } else { "" };
    format!("{count} in {place}{end}")
}
