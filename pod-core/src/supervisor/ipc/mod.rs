//! The communication between commands and supervisors, over a Unix stream socket per workload.
//!
//! [`protocol`] defines the messages, [`connection`] is the supervisor's end of a socket, [`client`] the command's.

pub mod client;
pub(super) mod connection;
pub mod protocol;
