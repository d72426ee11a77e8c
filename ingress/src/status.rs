//! What a proxy reports about itself: which file it serves, and which ports it could not get.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The report of a proxy, in a file beside that of its routes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The process.
    pub pid: u32,
    /// The generation of the routes that it serves.
    pub generation: u64,
    /// Where it listens, and where it cannot.
    pub listeners: Vec<ListenerStatus>,
    /// What of the file it could not use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Whether a proxy listens on an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// The address and the port.
    pub address: SocketAddr,
    /// Why it does not listen there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
