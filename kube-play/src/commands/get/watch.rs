//! `kube get --watch`: prints every change of objects, one line each.

use std::collections::BTreeMap;
use std::process::ExitCode;

use jiff::Timestamp;
use pod_core::kind::ObjectRef;
use pod_core::observe::changes::Changes;
use pod_core::observe::objects::Object;
use serde_json::{Value, json};

use super::form::Form;
use super::request::Request;
use super::table::Look;
use super::{Args, print_text, table_of};
use crate::cli::context::Context;
use crate::output::exit::Failure;
use crate::output::{self, Table};

/// What is compared to notice a change: what is shown of an object, without ages.
#[derive(PartialEq)]
enum Shown {
    Cells(Vec<String>),
    Json(Value),
}

/// An object as it was printed last.
struct Known {
    shown: Shown,
    object: Object,
}

/// Prints the objects, and each of them again whenever it changes, until the process is interrupted.
///
/// # Errors
/// Objects of several kinds, or several names, are asked for (2); a named object does not exist (4).
pub fn run(context: &Context, args: &Args, request: &Request<'_>) -> anyhow::Result<ExitCode> {
    let [target] = request.targets.as_slice() else {
        return Err(Failure::usage("one kind can be watched at a time").into());
    };
    if target.names.len() > 1 {
        return Err(Failure::usage("one object can be watched at a time, or all objects of a kind")
            .hint("`-l LABELS` chooses some of them")
            .into());
    }
    let changes = Changes::new(&context.layout)?;
    let mut printer = Printer { args, request, widths: Vec::new(), headers: !args.no_headers };
    let mut known: Option<BTreeMap<(ObjectRef, String), Known>> = None;
    loop {
        let (objects, missing) = request.find(target)?;
        if let Some(error) = missing.into_iter().next().filter(|_| known.is_none()) {
            return Err(error.into());
        }
        let mut now = BTreeMap::new();
        let mut changed = Vec::new();
        for object in objects {
            let key = (object.id.clone(), uid(&object)?);
            let shown = request.shown(&object)?;
            match known.as_ref().map(|known| known.get(&key)) {
                None if args.watch_only => {}
                None | Some(None) => changed.push((object.clone(), "ADDED")),
                Some(Some(before)) if before.shown == shown => {}
                Some(Some(_)) => changed.push((object.clone(), "MODIFIED")),
            }
            now.insert(key, Known { shown, object });
        }
        let gone = known.into_iter().flatten().filter(|(key, _)| !now.contains_key(key));
        let gone: Vec<_> = gone.map(|(_, known)| (known.object, "DELETED")).collect();
        changed.splice(0..0, gone);
        printer.print(&changed)?;
        known = Some(now);
        changes.wait(None)?;
    }
}

fn uid(object: &Object) -> Result<String, serde_json::Error> {
    if let Some(pod) = object.pod() {
        return Ok(pod.metadata.uid.clone().unwrap_or_default());
    }
    let json = object.to_json()?;
    Ok(json.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned())
}

impl Request<'_> {
    /// Returns what is compared of an object.
    fn shown(&self, object: &Object) -> anyhow::Result<Shown> {
        if let Form::Table { is_wide } = self.form {
            // Ages that are counted from a constant time do not change.
            let look = Look { now: Timestamp::UNIX_EPOCH, is_wide };
            let mut cells = table_of(object.id.kind)?.row(object, look)?;
            cells.extend(object.labels().into_iter().map(|(key, value)| format!("{key}={value}")));
            return Ok(Shown::Cells(cells));
        }
        let mut json = object.to_json()?;
        // The time is made up where it is not recorded, and different each time.
        if let Some(Value::Object(metadata)) = json.get_mut("metadata")
            && metadata.contains_key("deletionTimestamp")
        {
            metadata.insert("deletionTimestamp".to_owned(), json!(true));
        }
        Ok(Shown::Json(json))
    }
}

/// Prints changed objects. A table continues the one before it, with columns that are as wide.
struct Printer<'a> {
    args: &'a Args,
    request: &'a Request<'a>,
    widths: Vec<usize>,
    headers: bool,
}

impl Printer<'_> {
    fn print(&mut self, changed: &[(Object, &'static str)]) -> anyhow::Result<()> {
        let Some((first, _)) = changed.first() else { return Ok(()) };
        match &self.request.form {
            Form::Table { is_wide } => {
                let look = Look { now: Timestamp::now(), is_wide: *is_wide };
                let rows: Vec<_> = changed.iter().map(|(object, event)| (object, *event)).collect();
                let mut extras = self.args.extras();
                extras.event = self.args.output_watch_events;
                let table = table_of(first.id.kind)?.render(&rows, look, &extras)?;
                self.continue_table(table)
            }
            Form::CustomColumns(columns) => {
                let objects: Vec<&Object> = changed.iter().map(|(object, _)| object).collect();
                self.continue_table(columns.table(&objects)?)
            }
            Form::Names => output::print_lines(changed.iter().map(|(object, _)| object.id.to_string())),
            Form::Objects(format) => changed.iter().try_for_each(|(object, event)| {
                let json = object.to_json()?;
                match self.args.output_watch_events {
                    true => output::print_next(&json!({"type": event, "object": json}), *format),
                    false => output::print_next(&json, *format),
                }
            }),
            Form::JsonPath(template) => {
                changed.iter().try_for_each(|(object, _)| print_text(&template.render(&object.to_json()?)?))
            }
        }
    }

    fn continue_table(&mut self, table: Table) -> anyhow::Result<()> {
        let headers = std::mem::take(&mut self.headers);
        let table = table.at_least(std::mem::take(&mut self.widths));
        self.widths = table.widths(headers);
        table.print(headers)
    }
}
