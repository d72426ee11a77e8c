//! The types of the Kubernetes API as data, and the check of node trees against them.

pub(crate) mod check;
mod dialect;
mod suggest;
#[rustfmt::skip]
mod table;

pub(crate) use table::VOLUME;
pub use table::{
    CONFIG_MAP, DAEMON_SET, DEPLOYMENT, ENDPOINT_SLICE, ENDPOINTS, INGRESS, INGRESS_CLASS, JOB,
    PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, RUNTIME_CLASS, SECRET, SERVICE, STATEFUL_SET,
};

/// A type of the API that has fields.
#[derive(Debug)]
pub struct Type {
    /// Its name in Kubernetes: `PodSpec`.
    pub name: &'static str,
    /// Its fields, sorted by name.
    pub fields: &'static [Field],
}

impl Type {
    /// Returns the field `name`.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        let at = self.fields.binary_search_by(|field| field.name.cmp(name)).ok()?;
        self.fields.get(at)
    }
}

/// A field of a type.
#[derive(Debug)]
pub struct Field {
    /// Its name in a manifest.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// Whether it must be set.
    pub required: bool,
}

impl Field {
    const fn optional(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, required: false }
    }
    const fn required(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, required: true }
    }
}

/// The type of a field's value.
#[derive(Debug)]
pub enum Kind {
    /// Text.
    String,
    /// true or false.
    Bool,
    /// An integer with its minimum and maximum.
    Int(i64, i64),
    /// Any number.
    Number,
    /// A number with a suffix: `500m`, `1Gi`.
    Quantity,
    /// A 32-bit integer, or text: a port by number or name, a count or a percentage.
    IntOrString,
    /// A time (RFC 3339).
    Time,
    /// Base64 data.
    Bytes,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// A mapping with known fields.
    Object(&'static Type),
    /// A list.
    List(&'static Kind),
    /// A mapping with arbitrary keys.
    Map(&'static Kind),
    /// Any value.
    Any,
}

impl Kind {
    /// Returns the type with fields that this is, or that this is a list or map of.
    pub fn object(&self) -> Option<&'static Type> {
        match self {
            Self::Object(inner) => Some(inner),
            Self::List(inner) | Self::Map(inner) => inner.object(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
