//! Defines which fields of the Kubernetes API are honoured. `docs/kubernetes-support.md` is generated from the same
//! table.

mod table;

use crate::manifest::yaml::{Data, Node};

/// How far a field is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It works as Kubernetes describes.
    Honoured,
    /// It has no effect yet.
    NotYet,
    /// It has no meaning on one machine without a cluster.
    Meaningless,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Support {
    /// How far the field is supported.
    pub status: Status,
    /// A remark for users; may be empty.
    pub note: &'static str,
    /// Values that are accepted without a warning although the field is not honoured, because they ask for the default
    /// behaviour.
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

    /// Returns the warning if a manifest sets the field to `value`.
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

/// Returns the fields of a type in the table. Empty for a type that is only used below fields that are not honoured.
pub fn of(type_name: &str) -> &'static [(&'static str, Support)] {
    table::TABLE.iter().find(|(name, _)| *name == type_name).map_or(&[], |(_, fields)| fields)
}

#[cfg(test)]
mod tests;
