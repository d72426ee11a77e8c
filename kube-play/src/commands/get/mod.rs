//! `kube get`: list objects of any kind in kubectl's columns.
//!
//! Each kind has a file with its table. To add a kind, write such a file and add its table to [`TABLES`].

mod claim;
mod config_map;
mod deployment;
mod endpoint_slice;
pub mod endpoints;
mod event;
mod form;
pub mod ingress;
mod ingress_class;
mod namespace;
pub mod node;
pub mod persistent_volume;
mod pod;
mod replica_set;
mod request;
mod runtime_class;
mod secret;
mod service;
mod sort;
pub mod storage_class;
pub mod table;
mod watch;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use base::escape::harmless_lines;
use jiff::Timestamp;
use pod_core::kind::Kind;
use pod_core::observe::objects::Object;
use pod_core::observe::query;

use self::form::Form;
use self::request::Request;
use self::table::{Extras, KindTable, Look};
use crate::cli::context::Context;
use crate::output::exit::{self, Failure};
use crate::output::{self, terminal};

/// The tables of all kinds.
const TABLES: &[KindTable] = &[
    claim::TABLE,
    config_map::TABLE,
    deployment::TABLE,
    endpoint_slice::TABLE,
    endpoints::TABLE,
    event::TABLE,
    ingress::TABLE,
    ingress_class::TABLE,
    namespace::TABLE,
    node::TABLE,
    persistent_volume::TABLE,
    pod::TABLE,
    replica_set::TABLE,
    runtime_class::TABLE,
    secret::TABLE,
    service::TABLE,
    storage_class::TABLE,
];

// Arguments of `kube get`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The kinds are those of kubectl, with their short names; `all` is pods, Services, Deployments and ReplicaSets. `kube ps` \
lists pods with their published ports.

FORMAT is wide, json, yaml, name, jsonpath=TEMPLATE, jsonpath-file=FILE, custom-columns=HEADER:PATH,... or \
custom-columns-file=FILE. JSONPath is kubectl's dialect.

Examples:
  # Pods of the namespace, Deployments and Services of every namespace
  kube get pods
  kube get deployments,services -A

  # Objects by name
  kube get configmap settings -o yaml
  kube get pod/web deployment/api

  # Everything that runs
  kube get all

  # Watch pods change
  kube get pods -w

  # Fields of objects
  kube get pods -o jsonpath='{range .items[*]}{.metadata.name} {.status.podIP}{\"\\n\"}{end}'
  kube get pods -o custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[*].image

  # The oldest pods first; pods that do not run
  kube get pods --sort-by .metadata.creationTimestamp
  kube get pods -A --field-selector status.phase!=Running

  # Take down the Deployments with a label
  kube get deployments -l app=web -o name | xargs kube down")]
pub struct Args {
    /// What to list: KIND, KIND NAME..., KIND,KIND, KIND/NAME... or all
    #[arg(value_name = "KIND|KIND/NAME", required = true)]
    pub objects: Vec<String>,
    /// Show objects of every namespace
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Show only objects with these labels: app=web, tier!=db, 'env in (a,b)', key, !key
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Show only objects with these fields: metadata.name=web, status.phase!=Running
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
    /// The output format: wide, json, yaml, name, jsonpath=..., custom-columns=...
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<String>,
    /// Print no header line
    #[arg(long)]
    pub no_headers: bool,
    /// Sort by the field of this JSONPath, for example .metadata.creationTimestamp
    #[arg(long, value_name = "JSONPATH")]
    pub sort_by: Option<String>,
    /// Show all labels in the last column
    #[arg(long)]
    pub show_labels: bool,
    /// Show these labels in columns of their own
    #[arg(short = 'L', long, value_name = "LABEL", value_delimiter = ',')]
    pub label_columns: Vec<String>,
    /// Show the kind in front of every name
    #[arg(long)]
    pub show_kind: bool,
    /// Keep printing objects as they change
    #[arg(short, long)]
    pub watch: bool,
    /// Print changes only, without the present objects
    #[arg(long)]
    pub watch_only: bool,
    /// With --watch: print what happened to each object (ADDED, MODIFIED, DELETED)
    #[arg(long)]
    pub output_watch_events: bool,
    /// Exit with 0 if a named object does not exist
    #[arg(long)]
    pub ignore_not_found: bool,
}

impl Args {
    fn extras(&self) -> Extras {
        Extras {
            namespace: self.all_namespaces,
            kind: self.show_kind,
            labels: self.show_labels,
            label_columns: self.label_columns.clone(),
            event: false,
        }
    }
}

/// Runs `kube get`.
///
/// # Errors
/// A named object does not exist (4); an argument is not valid (2).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let request = Request::new(context, args)?;
    context.repair()?;
    if args.watch || args.watch_only {
        return watch::run(context, args, &request);
    }
    let mut groups = Vec::new();
    let mut missing = Vec::new();
    for target in &request.targets {
        let (found, not_found) = request.find(target)?;
        missing.extend(not_found);
        if !found.is_empty() {
            groups.push(found);
        }
    }
    if args.ignore_not_found {
        missing.clear();
    }
    let is_missing = request.is_for_one() && groups.is_empty();
    if !is_missing {
        print(context, args, &request, &groups, missing.is_empty())?;
    }
    fail(missing)
}

/// Returns the last error, after the others are printed.
fn fail(missing: Vec<query::Error>) -> anyhow::Result<ExitCode> {
    exit::each(missing, |error| Err(error.into()))
}

/// Prints objects, those of each kind together.
fn print(
    context: &Context,
    args: &Args,
    request: &Request<'_>,
    groups: &[Vec<Object>],
    is_complete: bool,
) -> anyhow::Result<()> {
    let objects = || groups.iter().flatten();
    let list = || objects().map(Object::to_json).collect::<Result<Vec<_>, _>>();
    let one = || match groups {
        [group] => group.first().filter(|_| request.is_for_one()),
        _ => None,
    };
    match &request.form {
        Form::Table { .. } if groups.is_empty() => {
            if is_complete && !args.ignore_not_found {
                terminal::note(&nothing_found(context, args, request));
            }
            Ok(())
        }
        Form::Table { is_wide } => {
            let look = Look { now: Timestamp::now(), is_wide: *is_wide };
            output::print(&tables(args, groups, look)?)
        }
        Form::Names => output::print_lines(objects().map(|object| object.id.to_string())),
        Form::Objects(format) => match one() {
            Some(object) => output::print_object(&object.to_json()?, *format),
            None => output::print_object(&output::list(list()?), *format),
        },
        Form::JsonPath(template) => {
            let json = match one() {
                Some(object) => object.to_json()?,
                None => output::list(list()?),
            };
            print_text(&template.render(&json)?)
        }
        Form::CustomColumns(columns) => {
            columns.table(&objects().collect::<Vec<_>>())?.print(!args.no_headers)
        }
    }
}

/// Returns the tables of several kinds, separated by empty lines.
fn tables(args: &Args, groups: &[Vec<Object>], look: Look) -> anyhow::Result<String> {
    let mut extras = args.extras();
    extras.kind |= groups.len() > 1;
    let headers = !args.no_headers;
    let mut texts = Vec::new();
    for group in groups {
        let Some(first) = group.first() else { continue };
        let rows: Vec<_> = group.iter().map(|object| (object, "")).collect();
        let table = table_of(first.id.kind)?.render(&rows, look, &extras)?;
        texts.push(table.render(headers));
    }
    Ok(texts.join(if headers { "\n" } else { "" }))
}

/// Returns the table of a kind.
///
/// # Errors
/// The kind has none (2).
fn table_of(kind: Kind) -> Result<&'static KindTable, Failure> {
    let table = TABLES.iter().find(|table| table.kind == kind);
    table.ok_or_else(|| Failure::usage(format!("objects of the kind {} have no table", kind.name())))
}

/// Returns kubectl's words for an empty list.
fn nothing_found(context: &Context, args: &Args, request: &Request<'_>) -> String {
    let is_namespaced = request.targets.iter().all(|target| target.kind.is_namespaced());
    match is_namespaced && !args.all_namespaces {
        true => format!("No resources found in {} namespace.", context.namespace),
        false => "No resources found".to_owned(),
    }
}

/// Prints what a template made. On a terminal, characters that could drive it are shown in visible form.
fn print_text(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().is_terminal() {
        true => output::print(&harmless_lines(text)),
        false => output::print(text),
    }
}

#[cfg(test)]
mod tests;
