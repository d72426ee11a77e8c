//! Services as the network sees them: addresses and ports of which connections go to endpoints.
//!
//! [`rules`] decides which rules a set of Services needs, [`table`] which commands of `nft` lead from the rules that are
//! in place to those; both are pure. [`change`] carries a change out, and [`ports`], [`ranges`] and [`device`] do what
//! belongs to it: ports of the host, addresses, the route to them.

mod change;
mod device;
mod ports;
mod ranges;
mod rules;
mod table;

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

pub(crate) use change::ServicesFault;

use crate::host::Host;
use crate::{Error, Networks};

/// The protocol of a Service's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A Service whose connections are forwarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The Service's name, unique in the instance: `NAMESPACE/NAME`.
    pub name: String,
    /// The addresses of the Service, at most one per family. Empty for a headless Service.
    pub cluster_ips: Vec<IpAddr>,
    /// Further addresses on which this host receives packets for the Service.
    pub external_ips: Vec<IpAddr>,
    /// How long the connections of one client go to the same endpoint, in seconds.
    pub affinity: Option<u32>,
    /// The ports.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePort {
    /// The protocol.
    pub protocol: Protocol,
    /// The port on the addresses of the Service.
    pub port: u16,
    /// The port on every address of the host.
    pub node_port: Option<u16>,
    /// Whether `port` is taken on every address of the host as well (type LoadBalancer).
    pub load_balancer: bool,
    /// The endpoints that take connections, of both families. Without any, connections are refused at once.
    pub endpoints: Vec<SocketAddr>,
}

/// A port of the host that a Service could not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The Service's name.
    pub service: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The port of the host.
    pub host_port: u16,
    /// Who has it.
    pub taken_by: String,
}

impl Networks {
    /// Returns the ranges of which Services get their addresses, IPv4 first. They are chosen once for the instance, so
    /// that they collide with no route of the host, and chosen again if they do when nothing of the instance uses them.
    /// The first address of each range is the host's own.
    ///
    /// # Errors
    /// A record cannot be read or written, or every candidate collides with a route.
    pub fn service_ranges(&self) -> Result<Vec<ipnet::IpNet>, Error> {
        if let Some(ranges) = self.recorded_ranges()
            && crate::route::link_exists(&self.services_device())?
        {
            return Ok(ranges.nets());
        }
        let _instance = self.lock()?;
        Ok(self.ranges(&Host::lock()?)?.nets())
    }

    /// Makes the host forward the connections of exactly these Services, in one transaction. Returns the ports of the
    /// host that others have; everything else is in place. Without Services, nothing is left.
    ///
    /// # Errors
    /// A record cannot be read or written, or the kernel or `nft` refuses a change.
    pub fn set_services(&self, services: &[Service]) -> Result<Vec<Pending>, Error> {
        if services.is_empty() && !self.services_path().exists() {
            return Ok(Vec::new());
        }
        let _instance = self.lock()?;
        self.change_services(services)
    }
}
