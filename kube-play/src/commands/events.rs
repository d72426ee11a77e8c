//! `kube events`: list what happened to pods.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use k8s_openapi::api::core::v1::Event;
use pod_core::kind::{EventType, Kind, ObjectRef};
use pod_core::lifecycle::human_duration;
use pod_core::log::events::Reader;
use pod_core::observe::changes::Changes;

use crate::cli::context::Context;
use crate::output::{self, Listing, Shape, Table};

// Arguments of `kube events`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # Recent events
  kube events

  # Follow new events
  kube events -f

  # Events of one pod
  kube events --for pod/web

  # Warnings of every namespace
  kube events -A --types Warning")]
pub struct Args {
    /// Keep printing events as they happen
    #[arg(short, long, visible_short_alias = 'w', visible_alias = "watch")]
    pub follow: bool,
    /// Show events of every namespace
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Show only events about this object: POD or KIND/NAME
    #[arg(long = "for", value_name = "POD|KIND/NAME")]
    pub about: Option<String>,
    /// Show only events of these types
    #[arg(long, value_name = "TYPE", value_delimiter = ',', ignore_case = true)]
    #[arg(value_parser = PossibleValuesParser::new(EventType::ALL.iter().map(|kind| kind.as_str())))]
    pub types: Vec<String>,
    /// The output format.
    #[command(flatten)]
    pub listing: Listing,
}

/// Runs `kube events`.
///
/// # Errors
/// The events cannot be read.
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let filter = Filter::new(context, args)?;
    let mut reader = Reader::new(&context.layout);
    if args.follow {
        return follow(context, args, &filter, &mut reader);
    }
    let mut events = reader.read()?;
    events.retain(|event| filter.matches(event));
    events.sort_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0));
    match args.listing.shape() {
        Shape::Table if events.is_empty() => {
            output::none_found("events", (!args.all_namespaces).then_some(&context.namespace));
        }
        Shape::Table => {
            table(&grouped(events), args, jiff::Timestamp::now()).print(!args.listing.no_headers)?;
        }
        Shape::Names => output::print_lines(events.iter().map(name))?,
        Shape::Objects(format) => output::print_list(&events, format)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn name(event: &Event) -> String {
    format!("event/{}", event.metadata.name.as_deref().unwrap_or_default())
}

/// Prints the recorded events, then new events as they happen.
fn follow(context: &Context, args: &Args, filter: &Filter, reader: &mut Reader) -> anyhow::Result<ExitCode> {
    let changes = Changes::new(&context.layout)?;
    let mut headers = !args.listing.no_headers;
    loop {
        let mut events = reader.read()?;
        events.retain(|event| filter.matches(event));
        for event in events {
            match args.listing.shape() {
                Shape::Table => {
                    // The columns have fixed widths, because the widths of later events are not known yet.
                    let text = followed(&event, args);
                    let header =
                        "LAST SEEN   TYPE      REASON                OBJECT                    MESSAGE\n";
                    let header =
                        if args.all_namespaces { format!("NAMESPACE   {header}") } else { header.to_owned() };
                    output::print(&format!("{}{text}", if headers { header } else { String::new() }))?;
                    headers = false;
                }
                Shape::Names => output::print_lines([name(&event)])?,
                Shape::Objects(format) => output::print_next(&event, format)?,
            }
        }
        changes.wait(None)?;
    }
}

fn followed(event: &Event, args: &Args) -> String {
    let seen = age(event.last_timestamp.as_ref().map(|time| time.0), jiff::Timestamp::now());
    let namespace = match args.all_namespaces {
        true => format!("{:<11} ", event.metadata.namespace.as_deref().unwrap_or_default()),
        false => String::new(),
    };
    let line = format!(
        "{namespace}{seen:<11} {:<9} {:<21} {:<25} {}",
        event.type_.as_deref().unwrap_or_default(),
        event.reason.as_deref().unwrap_or_default(),
        object(event),
        event.message.as_deref().unwrap_or_default().trim(),
    );
    format!("{}\n", base::escape::harmless(&line))
}

/// Equal events that are shown as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The latest of them.
    pub event: Event,
    count: u32,
    /// The count that `event` has itself.
    latest: u32,
    first: Option<jiff::Timestamp>,
}

impl Group {
    /// Returns when the latest was seen, and how often: `20s (x2 over 58s)`.
    pub fn last_seen(&self, now: jiff::Timestamp) -> String {
        let seen = age(self.event.last_timestamp.as_ref().map(|time| time.0), now);
        match self.count {
            0 | 1 => seen,
            count => format!("{seen} (x{count} over {})", age(self.first, now)),
        }
    }
}

/// Groups repeated events into one line with the time of the latest, as kubectl does.
pub fn grouped(events: Vec<Event>) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for event in events {
        let same = [
            event.involved_object.uid.clone(),
            event.involved_object.field_path.clone(),
            event.type_.clone(),
            event.reason.clone(),
            event.message.clone(),
        ]
        .map(Option::unwrap_or_default)
        .join("\0");
        let first = event.first_timestamp.as_ref().map(|time| time.0);
        let count = event.count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1);
        match groups.get_mut(&same) {
            // A repeated event is written again under its name, with a higher count.
            Some(group) if group.event.metadata.name == event.metadata.name => {
                group.count += count.saturating_sub(group.latest);
                (group.latest, group.event) = (count, event);
            }
            Some(group) => {
                group.count += count;
                (group.latest, group.event) = (count, event);
            }
            None => {
                groups.insert(same, Group { event, count, latest: count, first });
            }
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by_key(|group| group.event.last_timestamp.as_ref().map(|time| time.0));
    groups
}

fn table(groups: &[Group], args: &Args, now: jiff::Timestamp) -> Table {
    let mut headers = vec!["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
    if args.all_namespaces {
        headers.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(headers);
    for group in groups {
        let event = &group.event;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut cells = vec![
            group.last_seen(now),
            text(&event.type_),
            text(&event.reason),
            object(event),
            text(&event.message).trim().to_owned(),
        ];
        if args.all_namespaces {
            cells.insert(0, text(&event.metadata.namespace));
        }
        table.row(cells);
    }
    table
}

fn age(since: Option<jiff::Timestamp>, now: jiff::Timestamp) -> String {
    since.map_or_else(|| "<unknown>".to_owned(), |since| human_duration(now.duration_since(since).as_secs()))
}

/// Returns the object of an event: `pod/web`.
fn object(event: &Event) -> String {
    let kind = event.involved_object.kind.as_deref().unwrap_or_default().to_ascii_lowercase();
    format!("{kind}/{}", event.involved_object.name.as_deref().unwrap_or_default())
}

/// Selects the events that a user wants to see.
struct Filter {
    namespace: Option<String>,
    types: Vec<String>,
    about: Option<ObjectRef>,
}

impl Filter {
    fn new(context: &Context, args: &Args) -> anyhow::Result<Self> {
        let about: Option<ObjectRef> = match &args.about {
            Some(name) => Some(ObjectRef::parse(name, &context.namespace)?),
            None => None,
        };
        Ok(Self {
            namespace: (!args.all_namespaces).then(|| context.namespace.clone()),
            types: args.types.clone(),
            about,
        })
    }

    fn matches(&self, event: &Event) -> bool {
        let same = |a: &str, b: &Option<String>| b.as_deref().is_some_and(|b| a.eq_ignore_ascii_case(b));
        let object = &event.involved_object;
        let about = self.about.as_ref().is_none_or(|about| match about.kind {
            // The events of a Deployment are those of its pods, whose names derive from the Deployment's:
            // NAME-HASH-SUFFIX.
            Kind::Deployment if same("pod", &object.kind) => object
                .name
                .as_deref()
                .is_some_and(|name| name.rsplitn(3, '-').nth(2) == Some(about.name.as_str())),
            kind => same(kind.name(), &object.kind) && same(&about.name, &object.name),
        });
        about
            && self.namespace.as_deref().is_none_or(|namespace| same(namespace, &event.metadata.namespace))
            && (self.types.is_empty() || self.types.iter().any(|wanted| same(wanted, &event.type_)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::fixture::context;

    fn event(pod: &str, reason: &str, seconds: u32) -> serde_json::Value {
        let time = format!("2026-11-23T18:00:{seconds:02}Z");
        let kind = if reason == "BackOff" { "Warning" } else { "Normal" };
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": format!("{pod}.{seconds}"), "namespace": "default"},
            "involvedObject": {"kind": "Pod", "name": pod, "uid": format!("u-{pod}")},
            "type": kind, "reason": reason, "message": "it \u{1b}[31mhappened\n",
            "firstTimestamp": time, "lastTimestamp": time,
        })
    }

    const ALL: Args = Args {
        follow: false,
        all_namespaces: false,
        about: None,
        types: Vec::new(),
        listing: Listing { output: None, no_headers: false },
    };

    #[test]
    fn repeated_events_are_one_line_with_the_latest_time() {
        let events =
            [("web", "Started", 1), ("web", "BackOff", 2), ("db", "Started", 3), ("web", "BackOff", 40)];
        let events = events.map(|(pod, reason, at)| serde_json::from_value(event(pod, reason, at)).unwrap());
        let now = "2026-11-23T18:01:00Z".parse().unwrap();
        insta::assert_snapshot!(table(&grouped(events.into()), &ALL, now).render(true), @r"
        LAST SEEN           TYPE      REASON    OBJECT    MESSAGE
        59s                 Normal    Started   pod/web   it \u{1b}[31mhappened
        57s                 Normal    Started   pod/db    it \u{1b}[31mhappened
        20s (x2 over 58s)   Warning   BackOff   pod/web   it \u{1b}[31mhappened
        ");
    }

    #[test]
    fn filters_select_by_namespace_type_and_object() {
        let (_dir, context) = context();
        let lets = |args: &Args, pod, reason| {
            let event = serde_json::from_value(event(pod, reason, 1)).unwrap();
            Filter::new(&context, args).unwrap().matches(&event)
        };
        assert!(lets(&ALL, "web", "Started"));
        let warnings = Args { types: vec!["Warning".to_owned()], ..ALL };
        assert!(lets(&warnings, "web", "BackOff") && !lets(&warnings, "web", "Started"));
        let web = Args { about: Some("web".to_owned()), ..ALL };
        assert!(lets(&web, "web", "Started") && !lets(&web, "db", "Started"));
        let api = Args { about: Some("deploy/my-api".to_owned()), ..ALL };
        assert!(lets(&api, "my-api-5d4f-x2x2x", "Started"));
        assert!(!lets(&api, "my-api", "Started") && !lets(&api, "my-api-other-5d4f-x2x2x", "Started"));
        let elsewhere = Context { namespace: "other".to_owned(), ..context.clone() };
        let event = serde_json::from_value(event("web", "Started", 1)).unwrap();
        assert!(!Filter::new(&elsewhere, &ALL).unwrap().matches(&event));
    }
}
