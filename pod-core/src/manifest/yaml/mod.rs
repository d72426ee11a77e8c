//! The program's YAML reader and writer; there is no other.
//!
//! The reader turns text into trees of nodes that know their positions. It accepts what Kubernetes accepts: YAML 1.1 as
//! Go's yaml.v2 understands it, and JSON. [`split`] separates documents, [`parse()`] reads one of them, `indent` repairs
//! indentation that the parser rejects, `scalar` resolves words and numbers, `node` is the tree. [`write()`] prints JSON
//! values so that every reader reads the same values back.

mod indent;
mod node;
mod parse;
mod scalar;
mod split;
mod write;

pub(crate) use node::{Data, Entry, Node, Scalar, Value as ScalarValue};
pub(crate) use parse::parse;
pub(crate) use split::{Chunk, split};
pub use write::write;

/// Reads a text of one document, YAML or JSON; `None` if it cannot be read. For files that are not manifests.
pub(crate) fn read(text: &str) -> Option<serde_json::Value> {
    let parsed = parse(split(text).next()?);
    if parsed.problems.iter().any(|problem| problem.fatal) {
        return None;
    }
    parsed.documents.first().map(Node::to_json)
}
