//! What the name server reads: two files, one of endpoints and networks, one of the names of Services. They are memos
//! of what records say: a file that is lost or damaged is written again at the next change.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::active::ActiveEndpoint;
use crate::bridge::Subnet;
use crate::names::Names;

/// The file with [`Endpoints`].
pub(super) const ENDPOINTS: &str = "endpoints.json";

/// The file with [`Services`].
pub(super) const SERVICES: &str = "services.json";

/// The networks that have an endpoint, and the endpoints on them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Endpoints {
    pub networks: Vec<ServedNetwork>,
    pub endpoints: Vec<NamedEndpoint>,
}

/// A network on whose gateways the name server listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ServedNetwork {
    pub name: String,
    /// True if endpoints that are on no other network resolve no outside names.
    pub internal: bool,
    pub subnets: Vec<Subnet>,
}

/// An endpoint with its names and addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NamedEndpoint {
    pub names: Vec<String>,
    /// The addresses on each network, which is given by its place in [`Endpoints::networks`].
    pub ips: Vec<(usize, Vec<IpAddr>)>,
}

/// The names of Services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Services {
    /// The ranges of which Services get their addresses: their reverse zones are ours.
    pub ranges: Vec<IpNet>,
    pub names: Names,
}

impl Endpoints {
    /// Collects the endpoints that are set up.
    pub(super) fn of(up: &[ActiveEndpoint]) -> Self {
        let mut all = Self::default();
        for lease in up.iter().map(|up| &up.lease) {
            let mut ips = Vec::new();
            for interface in &lease.interfaces {
                let network = &interface.network;
                let known = all.networks.iter().position(|known| known.name == network.name);
                let index = known.unwrap_or_else(|| {
                    all.networks.push(ServedNetwork {
                        name: network.name.clone(),
                        internal: network.internal,
                        subnets: network.subnets.clone(),
                    });
                    all.networks.len() - 1
                });
                ips.push((index, interface.ips.clone()));
            }
            all.endpoints.push(NamedEndpoint { names: lease.names.clone(), ips });
        }
        all
    }
}
