//! The names that images have in manifests and on command lines. Pure; the image store is built on these types.
//!
//! [`Reference`] is a parsed `registry/repository:tag@digest`, [`Digest`] a checked `sha256:HEX`, and [`ImageName`]
//! what a user or a container may write for an image in the store: a reference or the beginning of an id. Text is
//! parsed into these types where it enters (a plan, a command line, a worker); all other code takes the types.

mod digest;
mod name;
mod reference;

pub(crate) use digest::Hasher;
pub use digest::{Digest, InvalidDigest};
pub use name::ImageName;
pub use reference::{DEFAULT_REGISTRY, InvalidName, Reference};
