//! What of the Kubernetes API is honoured. `docs/kubernetes-support.md` is made of the same table.

mod table;

use crate::manifest::yaml::{Data, Node};

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does what Kubernetes says.
    Honoured,
    /// It will, and does nothing so far.
    NotYet,
    /// It means nothing on one machine without a cluster.
    Meaningless,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Support {
    /// What becomes of the field.
    pub status: Status,
    /// What to know about it; may be empty.
    pub note: &'static str,
    /// Values of a field that is not honoured which ask for what happens anyway.
    pub unless: &'static [&'static str],
}

impl Support {
    const fn new(status: Status, note: &'static str) -> Self {
        Self { status, note, unless: &[] }
    }
    const fn unless(mut self, values: &'static [&'static str]) -> Self {
        self.unless = values;
        self
    }

    /// What to warn of when a manifest gives the field `value`.
    pub(crate) fn warning(&self, value: &Node) -> Option<String> {
        let what = match self.status {
            Status::Honoured => return None,
            Status::NotYet => "is not honoured yet",
            Status::Meaningless => "has no effect on one machine",
        };
        if let Data::Scalar(scalar) = &value.data
            && self.unless.contains(&scalar.text.as_str())
        {
            return None;
        }
        Some(if self.note.is_empty() { what.to_owned() } else { format!("{what}: {}", self.note) })
    }
}

/// The fields of a type that are in the table. Empty for a type that only fields reach which are not honoured.
pub fn of(type_name: &str) -> &'static [(&'static str, Support)] {
    table::TABLE.iter().find(|(name, _)| *name == type_name).map_or(&[], |(_, fields)| fields)
}

#[cfg(test)]
mod tests;
