use std::fmt;

use super::{Error, Kind};

/// The longest name of an object, in bytes (RFC 1123 subdomain).
const MAX_NAME: usize = 253;

/// A reference to one object by kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// The object's kind.
    pub kind: Kind,
    /// metadata.namespace; "" for a kind that is in no namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
}

impl ObjectRef {
    /// Creates a reference from its parts, which are not checked. The namespace is ignored for a kind that is in none.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        let namespace = if kind.is_namespaced() { namespace } else { "" };
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Parses `KIND/NAME` as kubectl does. A name without a kind is the name of a pod.
    ///
    /// # Errors
    /// If objects of this kind cannot exist on this host, or if the name is not valid.
    pub fn parse(text: &str, namespace: &str) -> Result<Self, Error> {
        let (kind, name) = match text.split_once('/') {
            None => (Kind::Pod, text),
            Some((kind, name)) => {
                let known = Kind::parse(kind).filter(|kind| kind.has_objects());
                (known.ok_or_else(|| Error::NoObjects { kind: kind.to_owned() })?, name)
            }
        };
        Self::with_name(kind, namespace, name)
    }

    /// Creates a reference to the object of this name, also of a kind whose objects exist only while they are shown.
    ///
    /// # Errors
    /// If the name is not valid.
    pub fn with_name(kind: Kind, namespace: &str, name: &str) -> Result<Self, Error> {
        // Names become part of paths, so only names that are valid in Kubernetes are accepted.
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_allowed) || name.starts_with('.')
        {
            return Err(Error::Name { name: name.to_owned() });
        }
        Ok(Self::new(kind, namespace, name))
    }
}

impl fmt::Display for ObjectRef {
    /// Writes the reference as kubectl does, without the namespace: `pod/web`, `deployment.apps/api`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}
