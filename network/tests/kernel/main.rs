//! Tests on the real kernel, as root. Each test has separate folders, names and namespaces, so all tests can run in
//! parallel.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod crashes;
mod instance;
mod names;
mod namespaces;
mod neighbours;
mod ports_and_subnets;
mod reach;
mod repair;
mod service_changes;
mod services;
mod upstream;
