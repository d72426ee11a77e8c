//! What the tables of all kinds have in common.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, Time};
use pod_core::kind::Kind;
use pod_core::lifecycle::human_duration;
use pod_core::observe::objects::Object;

use crate::output::Table;

/// The table of a kind.
pub struct KindTable {
    /// The kind.
    pub kind: Kind,
    /// The columns, in their order.
    pub columns: &'static [Column],
    /// Returns the cell of each column.
    pub cells: fn(&Object, Look) -> Result<Vec<String>, serde_json::Error>,
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    name: &'static str,
    is_wide: bool,
}

/// Returns a column that is always shown.
pub const fn column(name: &'static str) -> Column {
    Column { name, is_wide: false }
}

/// Returns a column that `-o wide` shows.
pub const fn wide(name: &'static str) -> Column {
    Column { name, is_wide: true }
}

/// What the cells depend on, besides the object.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// The time that ages are counted from.
    pub now: Timestamp,
    /// `-o wide`: long lists of addresses are not cut.
    pub is_wide: bool,
}

/// Which columns are shown, besides those of the kind.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    /// `-A`: the namespace.
    pub namespace: bool,
    /// The name with the kind in front of it: `pod/web`.
    pub kind: bool,
    /// `--show-labels`: all labels.
    pub labels: bool,
    /// `-L`: these labels.
    pub label_columns: Vec<String>,
    /// `--output-watch-events`: what happened to the object.
    pub event: bool,
}

impl KindTable {
    /// Returns the cells of an object that are shown, without those of [`Extras`].
    ///
    /// # Errors
    /// The object is not of this kind.
    pub fn row(&self, object: &Object, look: Look) -> Result<Vec<String>, serde_json::Error> {
        let cells = (self.cells)(object, look)?.into_iter().zip(self.columns);
        Ok(cells.filter(|(_, column)| look.is_wide || !column.is_wide).map(|(cell, _)| cell).collect())
    }

    /// Returns the table of objects. Each comes with what happened to it, for `--output-watch-events`.
    ///
    /// # Errors
    /// An object is not of this kind.
    pub fn render(
        &self,
        objects: &[(&Object, &'static str)],
        look: Look,
        extras: &Extras,
    ) -> Result<Table, serde_json::Error> {
        let shown = self.columns.iter().filter(|column| look.is_wide || !column.is_wide);
        let mut headers: Vec<String> = shown.map(|column| column.name.to_owned()).collect();
        let name = headers.iter().position(|header| header == "NAME").filter(|_| extras.kind);
        let namespace = extras.namespace && self.kind.is_namespaced();
        if namespace {
            headers.insert(0, "NAMESPACE".to_owned());
        }
        if extras.event {
            headers.insert(0, "EVENT".to_owned());
        }
        headers.extend(extras.label_columns.iter().map(|label| label_header(label)));
        if extras.labels {
            headers.push("LABELS".to_owned());
        }
        let mut table = Table::new(headers.iter().map(String::as_str));
        for (object, event) in objects {
            let mut cells = self.row(object, look)?;
            if let Some(cell) = name.and_then(|at| cells.get_mut(at)) {
                *cell = object.id.to_string();
            }
            if namespace {
                cells.insert(0, object.id.namespace.clone());
            }
            if extras.event {
                // As wide as the longest word, because later lines continue the columns of this table.
                cells.insert(0, format!("{event:<8}"));
            }
            if extras.labels || !extras.label_columns.is_empty() {
                let labels = object.labels();
                let label = |key: &String| labels.get(key).cloned().unwrap_or_default();
                cells.extend(extras.label_columns.iter().map(label));
                cells.extend(extras.labels.then(|| pairs(Some(&labels))));
            }
            table.exact_row(cells);
        }
        Ok(table)
    }
}

/// Returns the header of a column for a label: the part after the `/`, in upper case, as kubectl does.
fn label_header(label: &str) -> String {
    label.rsplit('/').next().unwrap_or(label).to_uppercase()
}

/// Returns the name of an object.
pub fn name(metadata: &ObjectMeta) -> String {
    metadata.name.clone().unwrap_or_default()
}

/// Returns the age of an object.
pub fn age(metadata: &ObjectMeta, look: Look) -> String {
    since(metadata.creation_timestamp.as_ref(), look)
}

/// Returns how long ago a time was.
pub fn since(time: Option<&Time>, look: Look) -> String {
    time.map_or_else(
        || "<unknown>".to_owned(),
        |time| human_duration(look.now.duration_since(time.0).as_secs()),
    )
}

/// Returns a text, or `<none>` if it is missing or empty.
pub fn or_none(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("<none>").to_owned()
}

/// Returns labels as kubectl prints them in one line: `app=web,tier=front`.
pub fn pairs(labels: Option<&BTreeMap<String, String>>) -> String {
    let pairs = labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}"));
    or_none(Some(&pairs.collect::<Vec<_>>().join(",")))
}

/// Returns a label selector as kubectl prints it: `app=web,tier in (a,b)`.
pub fn selector(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.match_expressions.iter().flatten().map(|one| {
        let values = one.values.as_deref().unwrap_or_default().join(",");
        match one.operator.as_str() {
            "In" => format!("{} in ({values})", one.key),
            "NotIn" => format!("{} notin ({values})", one.key),
            "DoesNotExist" => format!("!{}", one.key),
            _ => one.key.clone(),
        }
    });
    or_none(Some(&labels.chain(expressions).collect::<Vec<_>>().join(",")))
}

/// Returns the names and the images of the containers of a template.
pub fn containers(template: &PodTemplateSpec) -> [String; 2] {
    let containers = || template.spec.iter().flat_map(|spec| &spec.containers);
    let names: Vec<&str> = containers().map(|container| container.name.as_str()).collect();
    let images: Vec<&str> = containers().filter_map(|container| container.image.as_deref()).collect();
    [names.join(","), images.join(",")]
}

/// Returns the first three of a list, and how many more there are, as kubectl does.
pub fn first_three(list: &[String]) -> String {
    match list.get(..3).filter(|_| list.len() > 3) {
        Some(three) => format!("{} + {} more...", three.join(","), list.len() - 3),
        None => or_none(Some(&list.join(","))),
    }
}

/// Shortens access modes as kubectl does: `RWO,ROX`.
pub fn access_modes(modes: Option<&[String]>) -> String {
    let short = |mode: &String| match mode.as_str() {
        "ReadWriteOnce" => "RWO".to_owned(),
        "ReadOnlyMany" => "ROX".to_owned(),
        "ReadWriteMany" => "RWX".to_owned(),
        "ReadWriteOncePod" => "RWOP".to_owned(),
        other => other.to_owned(),
    };
    modes.unwrap_or_default().iter().map(short).collect::<Vec<_>>().join(",")
}

/// Cuts the addresses of a load balancer, as kubectl does, unless `-o wide` is given.
pub fn cut_addresses(text: String, look: Look) -> String {
    /// `loadBalancerWidth` of k8s pkg/printers/internalversion.
    const WIDTH: usize = 16;
    if look.is_wide || text.chars().count() <= WIDTH {
        return text;
    }
    format!("{}...", text.chars().take(WIDTH - 3).collect::<String>())
}
