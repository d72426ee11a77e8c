use super::Kind;

/// Why a text is not a reference to an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text before the `/` is not a kind that has objects on this host.
    #[error("there are no objects of a kind {kind:?} here: {}", kinds_with_objects())]
    NoObjects {
        /// The kind as it was given.
        kind: String,
    },
    /// The text after the `/` cannot be a name.
    #[error("{name:?} cannot be the name of an object: lower case letters, digits, '-' and '.'")]
    Name {
        /// The name as it was given.
        name: String,
    },
}

fn kinds_with_objects() -> String {
    let kinds = Kind::ALL.iter().filter(|kind| kind.has_objects());
    kinds.map(|kind| kind.singular()).collect::<Vec<_>>().join(", ")
}
