//! Tests of the proxy with clients and endpoints on loopback.

// This is test code, which reports failures by panics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod answers;
mod connections;
mod protocols;
mod reload;
mod streams;
mod support;
