//! The names that the name server knows beside those of endpoints: names of Services and of their endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Record {
    /// An address (A or AAAA, RFC 1035 and RFC 3596).
    Address(IpAddr),
    /// Another name (CNAME), for a Service of type ExternalName. The name is absolute and has no dot at its end.
    Alias(String),
    /// A port of a host (SRV, RFC 2782). The target is absolute and has no dot at its end.
    Port {
        /// The port.
        port: u16,
        /// The name of the host.
        target: String,
    },
}

/// Records by name. A name is absolute, in lower case, and has no dot at its end: `web.default.svc.cluster.local`. A name
/// that has no record, such as that of a headless Service without endpoints, exists: it has no data.
pub type Names = BTreeMap<String, Vec<Record>>;
