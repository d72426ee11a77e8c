//! On the real kernel, as root: each test has folders, names and namespaces of its own, and so may run beside
//! any other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod crashes;
mod instance;
mod namespaces;
mod neighbours;
mod ports_and_subnets;
mod reach;
mod repair;
