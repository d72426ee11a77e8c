//! `kube describe`: show objects and what happened to them, in kubectl's layout.

mod claim;
mod config_map;
mod container;
mod deployment;
mod endpoint_slice;
mod endpoints;
mod generic;
mod ingress;
mod ingress_class;
mod namespace;
mod node;
mod persistent_volume;
mod pod;
mod replica_set;
mod secret;
mod service;
mod storage_class;
mod template;
mod volume;

use std::collections::BTreeMap;
use std::process::ExitCode;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use pod_core::kind::{Kind, ObjectRef};
use pod_core::log;
use pod_core::observe::objects::{self, Object, Reader};
use pod_core::observe::query;
use pod_core::observe::selector::Selector;
use pod_core::store::Layout;

use crate::cli::context::Context;
use crate::commands::events;
use crate::input::targets::{self, Target};
use crate::output::columns::Columns;
use crate::output::exit::{self, Failure};
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

  # A Service with its endpoints, an Ingress with its rules and backends
  kube describe service/api ingress/shop

  # A ConfigMap, and the keys of a Secret
  kube describe configmap/settings secret/login

  # This machine, with the requests of its pods; every claim, with the pods that use it
  kube describe node
  kube describe pvc")]
pub struct Args {
    /// Objects: POD, KIND/NAME, KIND NAME..., or KIND for all of them; the kinds are those of `kube get`
    #[arg(value_name = "POD|KIND/NAME", required_unless_present = "selector")]
    pub objects: Vec<String>,
    /// Describe every pod, or every object of KIND, with these labels (app=web,tier!=db)
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// Describe objects of every namespace
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// With --show-events=false, leave out the events
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub show_events: bool,
}

/// Runs `kube describe`.
///
/// # Errors
/// A named object does not exist (4).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let targets = targets(args)?;
    let selector: Option<Selector> =
        args.selector.as_deref().map(str::parse).transpose().map_err(query::Error::from)?;
    if selector.is_some() && targets.iter().any(|target| !target.names.is_empty()) {
        return Err(Failure::usage("a name cannot be given together with a selector").into());
    }
    context.repair()?;
    let events = match args.show_events {
        true => Some(log::events::Reader::new(&context.layout).read()?),
        false => None,
    };
    let surroundings = Surroundings {
        layout: &context.layout,
        reader: Reader::new(&context.layout),
        events,
        clock: Clock { now: Timestamp::now(), zone: TimeZone::system() },
    };
    let mut texts = Vec::new();
    let mut missing = Vec::new();
    for target in &targets {
        for found in find(context, &surroundings.reader, target, selector.as_ref(), args.all_namespaces)? {
            match found {
                Ok(object) => texts.push(describe(&object, &surroundings)?),
                Err(error) => missing.push(error),
            }
        }
    }
    if texts.is_empty() && missing.is_empty() {
        return Err(Failure::not_found("no such objects").hint("`kube get KIND` lists them").into());
    }
    print(&texts.join("\n\n"))?;
    exit::each(missing, |error: anyhow::Error| Err(error))
}

/// Returns what the arguments name. A word that is not a kind is the name of a pod.
fn targets(args: &Args) -> Result<Vec<Target>, Failure> {
    let words = match args.objects.as_slice() {
        [] => vec![Kind::Pod.singular().to_owned()],
        [first, ..] if first.contains('/') || !targets::are_kinds(first) => {
            let with_kind = |word: &String| match word.contains('/') {
                true => word.clone(),
                false => format!("{}/{word}", Kind::Pod.singular()),
            };
            args.objects.iter().map(with_kind).collect()
        }
        words => words.to_vec(),
    };
    targets::parse(&words)
}

/// An object, or the error that it does not exist.
type Found = Result<Object, anyhow::Error>;

fn find(
    context: &Context,
    reader: &Reader<'_>,
    target: &Target,
    selector: Option<&Selector>,
    all_namespaces: bool,
) -> anyhow::Result<Vec<Found>> {
    let mut all = reader.list(target.kind)?;
    if target.names.is_empty() {
        all.retain(|object| {
            (all_namespaces || object.id.namespace == context.namespace || !target.kind.is_namespaced())
                && selector.is_none_or(|selector| selector.matches(Some(&object.labels())))
        });
        return Ok(all.into_iter().map(Ok).collect());
    }
    let one = |id: ObjectRef| match all.iter().find(|object| object.id == id) {
        Some(object) => Ok(object.clone()),
        None => Err(objects::not_found(&context.layout, &id, &all).into()),
    };
    Ok(target.objects(&context.namespace)?.into_iter().map(one).collect())
}

/// What a description shows besides its object.
pub struct Surroundings<'a> {
    layout: &'a Layout,
    reader: Reader<'a>,
    /// All events, unless they are not shown.
    events: Option<Vec<Event>>,
    clock: Clock,
}

/// Returns the description of an object.
///
/// # Errors
/// What belongs to the object cannot be read.
fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    match object.id.kind {
        Kind::Pod => pod::describe(object, with),
        Kind::Deployment => deployment::describe(object, with),
        Kind::ReplicaSet => replica_set::describe(object, with),
        Kind::Service => service::describe(object, with),
        Kind::Endpoints => endpoints::describe(object, with),
        Kind::EndpointSlice => endpoint_slice::describe(object, with),
        Kind::Ingress => ingress::describe(object, with),
        Kind::IngressClass => ingress_class::describe(object, with),
        Kind::ConfigMap => config_map::describe(object, with),
        Kind::Secret => secret::describe(object, with),
        Kind::PersistentVolumeClaim => claim::describe(object, with),
        Kind::PersistentVolume => persistent_volume::describe(object, with),
        Kind::StorageClass => storage_class::describe(object, with),
        Kind::Namespace => namespace::describe(object, with),
        Kind::Node => node::describe(object, with),
        _ => generic::describe(object, with),
    }
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

/// Adds name and namespace of an object.
fn name(out: &mut Columns, metadata: &ObjectMeta) {
    out.line(0, ["Name:", metadata.name.as_deref().unwrap_or_default()]);
    if let Some(namespace) = &metadata.namespace {
        out.line(0, ["Namespace:", namespace]);
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
fn add_events(out: &mut Columns, kind: Kind, metadata: &ObjectMeta, with: &Surroundings<'_>) {
    let Some(all) = &with.events else { return };
    let now = with.clock.now;
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::fixture::context;

    /// Calls `look` with what descriptions of objects of an empty instance need, at a fixed time.
    pub fn with_surroundings(events: Option<Vec<Event>>, look: impl FnOnce(&Surroundings<'_>)) {
        let (_dir, context) = context();
        let clock = Clock { now: "2026-11-23T18:05:00Z".parse().unwrap(), zone: TimeZone::UTC };
        let reader = Reader::without_host_ips(&context.layout);
        look(&Surroundings { layout: &context.layout, reader, events, clock });
    }

    fn args(words: &[&str]) -> Args {
        let objects = words.iter().map(|word| (*word).to_owned()).collect();
        Args { objects, selector: None, all_namespaces: false, show_events: true }
    }

    #[test]
    fn a_word_that_is_not_a_kind_is_the_name_of_a_pod() {
        let target = |kind, names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            Target { kind, names }
        };
        let pods = target(Kind::Pod, &["web", "db"]);
        assert_eq!(targets(&args(&["web", "db"])).unwrap(), std::slice::from_ref(&pods));
        assert_eq!(targets(&args(&["pod", "web", "db"])).unwrap(), std::slice::from_ref(&pods));
        let with_secret = [target(Kind::Pod, &["web"]), target(Kind::Secret, &["login"])];
        assert_eq!(targets(&args(&["web", "secret/login"])).unwrap(), with_secret);
        assert_eq!(targets(&args(&["services"])).unwrap(), [target(Kind::Service, &[])]);
        assert_eq!(targets(&args(&[])).unwrap(), [target(Kind::Pod, &[])]);
    }

    #[test]
    fn every_kind_that_is_listed_is_described() {
        for kind in objects::listed() {
            let id = ObjectRef::new(kind, "default", "x");
            let json = json!({
                "apiVersion": kind.api_version(), "kind": kind, "metadata": {"name": "x"}, "spec": {},
                "addressType": "IPv4", "provisioner": "p", "involvedObject": {},
            });
            with_surroundings(Some(Vec::new()), |with| {
                let text = describe(&Object::new(id.clone(), json), with).unwrap();
                assert!(text.starts_with("Name:"), "{kind}: {text}");
            });
        }
    }
}
