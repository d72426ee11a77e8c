//! `kube describe`: show objects and what happened to them, in kubectl's layout.

mod container;
mod data;
mod deployment;
mod pod;
mod volume;

use std::collections::BTreeMap;
use std::process::ExitCode;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use pod_core::kind::{Kind, ObjectRef};
use pod_core::log::events::Reader;
use pod_core::observe::query::{self, Query};
use pod_core::plan::node;

use crate::cli::context::Context;
use crate::commands::events;
use crate::output::columns::Columns;
use crate::output::exit::Failure;
use crate::output::print;

// Arguments of `kube describe`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints kubectl's layout, with the events at the end. Values of Secrets are never printed, only their sizes. `kube inspect` \
prints whole objects.

Examples:
  # A pod: its containers, their states, probes, variables and mounts, its volumes and events
  kube describe web

  # Every pod with a label
  kube describe -l app=web

  # A Deployment with its ReplicaSets
  kube describe deployment/api

  # A ConfigMap, and the keys of a Secret
  kube describe configmap/settings secret/login")]
pub struct Args {
    /// Objects: POD or KIND/NAME (pod, deployment, configmap, secret)
    #[arg(value_name = "POD|KIND/NAME", required_unless_present = "selector")]
    pub objects: Vec<String>,
    /// Describe every pod with these labels (app=web,tier!=db)
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "objects")]
    pub selector: Option<String>,
    /// With --show-events=false, leave out the events
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub show_events: bool,
}

/// Runs `kube describe`.
///
/// # Errors
/// A named object does not exist (4), or objects of its kind are not described (2).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let clock = Clock { now: Timestamp::now(), zone: TimeZone::system() };
    let events = match args.show_events {
        true => Some(Reader::new(&context.layout).read()?),
        false => None,
    };
    let events = events.as_deref();
    let mut texts = Vec::new();
    if args.selector.is_some() {
        let query = Query { selector: args.selector.as_deref(), ..Query::in_namespace(&context.namespace) };
        let host_ips = node::ips();
        let pods = query.pods(&context.layout)?;
        if pods.is_empty() {
            return Err(Failure::not_found("no such pods").hint("`kube ps` lists the pods").into());
        }
        texts.extend(pods.iter().map(|pod| pod::describe(&pod.object(&host_ips), events, &clock)));
    }
    for name in &args.objects {
        let resource = ObjectRef::parse(name, &context.namespace)?;
        texts.push(match resource.kind {
            Kind::Pod => {
                let pod: Pod = query::pod(&context.layout, name, &context.namespace)?.object(&node::ips());
                pod::describe(&pod, events, &clock)
            }
            Kind::Deployment => deployment::load(context, &resource, events, &clock)?,
            Kind::ConfigMap | Kind::Secret => data::load(context, &resource, events, &clock)?,
            _ => {
                return Err(Failure::usage(format!("{resource}: objects of this kind are not described"))
                    .hint(format!("`kube inspect {resource}` shows it in full"))
                    .into());
            }
        });
    }
    print(&texts.join("\n\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The present time, and the time zone in which times are printed.
struct Clock {
    now: Timestamp,
    zone: TimeZone,
}

impl Clock {
    /// Returns a time in the form of RFC 1123 with a numeric zone, as kubectl prints it.
    fn show(&self, time: &Time) -> String {
        time.0.to_zoned(self.zone.clone()).strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
    }
}

/// Adds the labels and annotations of an object.
fn labels_and_annotations(out: &mut Columns, metadata: &ObjectMeta) {
    map(out, 0, "Labels:", metadata.labels.as_ref(), "=");
    map(out, 0, "Annotations:", metadata.annotations.as_ref(), ": ");
}

/// Adds the entries of a map, one per line.
fn map(
    out: &mut Columns,
    level: usize,
    title: &str,
    entries: Option<&BTreeMap<String, String>>,
    separator: &str,
) {
    // kubectl leaves out what `kubectl apply` stores in the object for itself.
    let entries =
        entries.into_iter().flatten().filter(|(key, _)| !key.ends_with("last-applied-configuration"));
    out.multiline(level, title, entries.map(|(key, value)| format!("{key}{separator}{value}")));
}

/// Adds the events about an object: those with its uid, or with its kind, namespace and name if it has none.
fn add_events(out: &mut Columns, kind: Kind, metadata: &ObjectMeta, all: Option<&[Event]>, now: Timestamp) {
    let Some(all) = all else { return };
    let is_about = |event: &&Event| {
        let object = &event.involved_object;
        object.kind.as_deref() == Some(kind.name())
            && object.namespace == metadata.namespace
            && object.name == metadata.name
            && (metadata.uid.is_none() || object.uid.is_none() || object.uid == metadata.uid)
    };
    let groups = events::grouped(all.iter().filter(is_about).cloned().collect());
    if groups.is_empty() {
        out.line(0, ["Events:", "<none>"]);
        return;
    }
    out.line(0, ["Events:"]);
    out.line(1, ["Type", "Reason", "Age", "From", "Message"]);
    out.line(1, ["----", "------", "----", "----", "-------"]);
    for group in &groups {
        let event = &group.event;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let from = event.source.as_ref().and_then(|source| source.component.clone()).unwrap_or_default();
        let (kind, reason, message) = (text(&event.type_), text(&event.reason), text(&event.message));
        out.line(1, [&kind, &reason, &group.last_seen(now), &from, message.trim()]);
    }
}

/// Returns `<none>` for an empty text.
fn or_none(text: Option<&str>) -> &str {
    text.filter(|text| !text.is_empty()).unwrap_or("<none>")
}
