//! The Kubernetes API as data, and node trees checked against it.

pub(crate) mod check;
mod dialect;
mod suggest;
#[rustfmt::skip]
mod table;

pub(crate) use table::VOLUME;
pub use table::{
    CONFIG_MAP, DAEMON_SET, DEPLOYMENT, JOB, PERSISTENT_VOLUME_CLAIM, POD, SECRET, SERVICE, STATEFUL_SET,
};

/// A type of the API with fields.
#[derive(Debug)]
pub struct Type {
    /// As Kubernetes calls it: `PodSpec`.
    pub name: &'static str,
    /// Its fields, sorted by name.
    pub fields: &'static [Field],
}

impl Type {
    /// The field `name`.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        let at = self.fields.binary_search_by(|field| field.name.cmp(name)).ok()?;
        self.fields.get(at)
    }
}

/// A field of a type.
#[derive(Debug)]
pub struct Field {
    /// As it is written.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// True when it may not be left out.
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

/// What a field holds.
#[derive(Debug)]
pub enum Kind {
    /// Text.
    String,
    /// true or false.
    Bool,
    /// An integer, from and to.
    Int(i64, i64),
    /// Any number.
    Number,
    /// A number with a suffix: `500m`, `1Gi`.
    Quantity,
    /// A 32-bit integer, or text: a port by number or name, a count or a percentage.
    IntOrString,
    /// RFC 3339.
    Time,
    /// Base64.
    Bytes,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// A mapping with known fields.
    Object(&'static Type),
    /// A list.
    List(&'static Kind),
    /// A mapping with keys of the user's own.
    Map(&'static Kind),
    /// Anything.
    Any,
}

impl Kind {
    /// The type with fields that this is, is a list of or is a map of.
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
