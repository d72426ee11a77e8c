//! What an endpoint has been given: on disk, durably, before anything of it is made, and all that is needed to
//! take it apart again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base::file::Durability;
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
}

/// One network of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Interface {
    /// As it was when the endpoint joined.
    pub network: Network,
    /// IPv4 first.
    pub ips: Vec<IpAddr>,
    pub mac: Option<String>,
    /// In the namespace: eth0, eth1, ...
    pub name: String,
    /// On the host, derived from the endpoint's id: it can be found when all else is lost.
    pub host_name: String,
}

impl Lease {
    /// For messages.
    pub(crate) fn name(&self) -> String {
        self.names.first().unwrap_or(&self.id).clone()
    }

    /// True if it has an interface on that network.
    pub(crate) fn is_on(&self, network: &str) -> bool {
        self.interfaces.iter().any(|i| i.network.name == network)
    }
}

/// What a lease takes from others.
#[derive(Debug, Serialize, Deserialize)]
struct Taken {
    id: String,
    /// Its name, for messages.
    by: String,
    /// Addresses of each network that it is on.
    ips: Vec<(String, Vec<IpAddr>)>,
}

impl Taken {
    fn by(lease: Lease) -> Self {
        let by = lease.name();
        let ips = lease.interfaces.into_iter().map(|i| (i.network.name, i.ips)).collect();
        Self { id: lease.id, by, ips }
    }
}

/// The host's end of an endpoint's n-th interface: 14 bytes at most (the kernel allows 15).
pub(crate) fn host_interface(id: &str, index: usize) -> String {
    format!("kp{}{index:x}", subnet::hex(id, 10))
}

/// Ids and names go into file names and into aardvark-dns' files.
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

    /// Where the address given out last in a network is remembered.
    pub(crate) fn last_path(&self, network: &str) -> PathBuf {
        self.dir.join("last").join(format!("{network}.json"))
    }

    /// Ids of every endpoint that has a lease, whether it lives or not. What is of no pod any more is given
    /// back with [`Networks::teardown`].
    pub fn leases(&self) -> Result<Vec<String>, Error> {
        record::list(&self.dir.join("leases"))
    }

    /// Names of the endpoints on a network.
    pub fn endpoints(&self, network: &str) -> Result<Vec<String>, Error> {
        let mut taken = self.taken()?;
        taken.retain(|taken| taken.ips.iter().any(|(on, _)| on == network));
        Ok(taken.into_iter().map(|taken| taken.by).collect())
    }

    pub(crate) fn read_lease(&self, id: &str) -> Result<Option<Lease>, Error> {
        match record::read(&self.lease_path(id)) {
            // What is set up has a copy.
            Err(damaged @ Error::Damaged { .. }) => match self.up(id) {
                Ok(Some(up)) => Ok(Some(up.lease)),
                _ => Err(damaged),
            },
            read => read,
        }
    }

    /// What is taken by every lease.
    fn taken(&self) -> Result<Vec<Taken>, Error> {
        // One that cannot be read, and is not set up, takes nothing.
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

    /// Gives an endpoint its addresses, and records them. One that had a lease keeps its addresses where they
    /// are still its own. The instance and the host are locked.
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
                // Lost in a crash, an address is given out again a little early: no harm.
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
