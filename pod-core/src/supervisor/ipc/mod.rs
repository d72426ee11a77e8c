//! How commands talk to supervisors, over a Unix stream socket per workload.
//!
//! [`protocol`] is what is said, [`connection`] the supervisor's end of a socket, [`client`] the command's.

pub mod client;
pub(super) mod connection;
pub mod protocol;
