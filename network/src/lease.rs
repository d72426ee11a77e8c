//! The addresses and interfaces of an endpoint. A lease is written to disk durably before anything of the endpoint is
//! created, and contains everything that is needed to remove the endpoint.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base::file::Durability;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::address::{self, Pool};
use crate::bridge::Network;
use crate::host::Host;
use crate::record;
use crate::{Endpoint, Error, Networks, Port, bridge, subnet};

/// An endpoint's lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub id: String,
    pub names: Vec<String>,
    pub netns: PathBuf,
    pub ports: Vec<Port>,
    pub interfaces: Vec<Interface>,
    /// The ranges of Services to which the endpoint needs routes, because it has no default route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_ranges: Vec<IpNet>,
}

/// One network of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Interface {
    /// The network at the time when the endpoint joined.
    pub network: Network,
    /// The addresses, IPv4 first.
    pub ips: Vec<IpAddr>,
    pub mac: Option<String>,
    /// The name in the namespace: eth0, eth1, ...
    pub name: String,
    /// The name on the host, derived from the endpoint's id, so that the interface can be found without the lease.
    pub host_name: String,
}

impl Lease {
    /// Returns the endpoint's name for messages.
    pub(crate) fn name(&self) -> String {
        self.names.first().unwrap_or(&self.id).clone()
    }

    /// Returns whether the endpoint has an interface on a network.
    pub(crate) fn is_on(&self, network: &str) -> bool {
        self.interfaces.iter().any(|i| i.network.name == network)
    }
}

/// The addresses that a lease takes.
#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    id: String,
    /// The endpoint's name, for messages.
    by: String,
    /// The addresses on each of its networks.
    ips: Vec<(String, Vec<IpAddr>)>,
}

impl Taken {
    fn by(lease: Lease) -> Self {
        let by = lease.name();
        let ips = lease.interfaces.into_iter().map(|i| (i.network.name, i.ips)).collect();
        Self { id: lease.id, by, ips }
    }
}

/// Returns the name of the host's end of an endpoint's n-th interface: at most 14 bytes (the kernel allows 15).
pub(crate) fn host_interface(id: &str, index: usize) -> String {
    format!("kp{}{index:x}", subnet::hex(id, 10))
}

/// Checks an id or name, which becomes part of file names and of names in DNS.
pub(crate) fn check_endpoint_name(name: &str) -> Result<(), Error> {
    let good = (1..=253).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !name.starts_with('.');
    if good { Ok(()) } else { Err(Error::BadEndpointName(name.to_owned())) }
}

impl Networks {
    pub(crate) fn lease_path(&self, id: &str) -> PathBuf {
        self.dir.join("leases").join(format!("{id}.json"))
    }

    /// Returns the path of the record of the address that was allocated last in a network.
    pub(crate) fn last_path(&self, network: &str) -> PathBuf {
        self.dir.join("last").join(format!("{network}.json"))
    }

    /// Returns the ids of all endpoints with a lease, whether or not their pods exist. An endpoint whose pod no longer
    /// exists is removed with [`Networks::teardown`].
    pub fn leases(&self) -> Result<Vec<String>, Error> {
        record::list(&self.dir.join("leases"))
    }

    /// Returns the names of the endpoints on a network.
    pub fn endpoints(&self, network: &str) -> Result<Vec<String>, Error> {
        let mut taken = self.taken()?;
        taken.retain(|taken| taken.ips.iter().any(|(on, _)| on == network));
        Ok(taken.into_iter().map(|taken| taken.by).collect())
    }

    pub(crate) fn read_lease(&self, id: &str) -> Result<Option<Lease>, Error> {
        match record::read(&self.lease_path(id)) {
            // An endpoint that is set up has a copy of its lease.
            Err(damaged @ Error::Damaged { .. }) => match self.active_endpoint(id) {
                Ok(Some(up)) => Ok(Some(up.lease)),
                _ => Err(damaged),
            },
            read => read,
        }
    }

    /// Returns the addresses that all leases take.
    fn taken(&self) -> Result<Vec<Taken>, Error> {
        // A lease that cannot be read, of an endpoint that is not set up, takes nothing.
        let read = |path: &Path| -> Result<Option<Taken>, Error> {
            let id = path.file_stem().unwrap_or_default().to_string_lossy();
            Ok(record::or_none(self.read_lease(&id)).map(Taken::by))
        };
        let memo = self.run_dir.join("taken.json");
        base::memo::read_through(self.leases()?, |id| self.lease_path(id), &memo, read)
    }

    pub(crate) fn remove_lease(&self, id: &str) -> Result<(), Error> {
        record::remove(&self.lease_path(id))
    }

    /// Leases addresses to an endpoint and records them. An endpoint that had a lease keeps its addresses if they are
    /// still valid and free. The caller holds the locks of the instance and the host.
    pub(crate) fn lease(&self, host: &Host, endpoint: &Endpoint) -> Result<Lease, Error> {
        let before = record::or_none(self.read_lease(&endpoint.id));
        let others: Vec<Taken> = self.taken()?.into_iter().filter(|taken| taken.id != endpoint.id).collect();
        let mut interfaces: Vec<Interface> = Vec::new();
        for (index, attachment) in endpoint.attachments().into_iter().enumerate() {
            bridge::check_name(&attachment.network)?;
            if interfaces.iter().any(|i| i.network.name == attachment.network) {
                return Err(Error::NamedTwice(attachment.network));
            }
            if let Some(mac) = &attachment.mac {
                address::check_mac(mac)?;
            }
            let network = self.network_to_join(host, &attachment.network, &endpoint.id)?;
            let mut taken = BTreeMap::new();
            for other in &others {
                for (_, ips) in other.ips.iter().filter(|(on, _)| *on == network.name) {
                    taken.extend(ips.iter().map(|ip| (*ip, other.by.clone())));
                }
            }
            let last: Vec<IpAddr> =
                record::or_none(record::read(&self.last_path(&network.name))).unwrap_or_default();
            let pools: Vec<Pool> = network
                .subnets
                .iter()
                .map(|s| Pool {
                    subnet: s.subnet,
                    gateway: s.gateway,
                    last: last.iter().find(|ip| s.subnet.contains(*ip)).copied(),
                })
                .collect();
            let kept = before
                .iter()
                .flat_map(|lease| &lease.interfaces)
                .find(|i| i.network.name == network.name)
                .map(|i| i.ips.clone())
                .unwrap_or_default();
            let ips = address::allocate(&network.name, &pools, &attachment.ips, &kept, &taken)?;
            if attachment.ips.is_empty() && ips != kept {
                // If a crash loses this record, an address is reused a little early, which does no harm.
                record::write(&self.last_path(&network.name), &ips, Durability::Process)?;
            }
            interfaces.push(Interface {
                network,
                ips,
                mac: attachment.mac,
                name: format!("eth{index}"),
                host_name: host_interface(&endpoint.id, index),
            });
        }
        let lease = Lease {
            id: endpoint.id.clone(),
            names: endpoint.names.clone(),
            netns: endpoint.netns.clone(),
            ports: endpoint.ports.clone(),
            service_ranges: if interfaces.iter().all(|i: &Interface| i.network.internal) {
                self.ranges(host)?.nets()
            } else {
                Vec::new()
            },
            interfaces,
        };
        if before.as_ref() != Some(&lease) {
            record::write(&self.lease_path(&lease.id), &lease, Durability::Machine)?;
        }
        Ok(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_a_folder_or_break_a_line_are_refused() {
        for good in ["3f2504e0-4f89-11d3-9a0c-0305e82c3301", "web", "web.default.pod"] {
            check_endpoint_name(good).unwrap();
        }
        for bad in ["", "..", ".x", "a/b", "a b", "a,b", "a\nb", &"x".repeat(254)] {
            assert!(check_endpoint_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn interface_names_fit_the_kernel() {
        assert!(host_interface("3f2504e0-4f89-11d3-9a0c-0305e82c3301", 255).len() <= 15);
    }
}
