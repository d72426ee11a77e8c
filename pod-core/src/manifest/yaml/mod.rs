//! YAML to trees of nodes that know where they were written.
//!
//! Reads what Kubernetes reads: YAML 1.1 as Go's yaml.v2 understands it, and JSON.

mod indent;
mod node;
mod parse;
mod scalar;
mod split;

pub(crate) use node::{Data, Entry, Node, Scalar, Value as ScalarValue};
pub(crate) use parse::parse;
pub(crate) use split::{Chunk, split};
