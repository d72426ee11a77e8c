//! Drives netavark and serves names: bridges, addresses, ports and DNS. This crate does not know pods or YAML.
//!
//! Call [`Networks::setup`] and [`Networks::teardown`] in a separate, single-threaded process, because netavark changes
//! the network namespace of its thread.

mod active;
mod address;
mod bridge;
mod conntrack;
mod definition;
mod dns;
mod driver;
mod error;
mod firewall;
mod host;
mod host_ports;
mod iptables;
mod lease;
mod legacy;
pub mod names;
mod netns;
mod nfnetlink;
mod nft;
mod pod_route;
mod port;
mod record;
mod repair;
mod route;
pub mod service;
mod subnet;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base::file::{FileLock, LockKind};
use serde::{Deserialize, Serialize};

pub use bridge::{Network, NetworkOptions, Subnet};
#[cfg(any(test, feature = "fuzz"))]
pub use dns::fuzz;
pub use dns::{CLUSTER_DOMAIN, NAME_SERVER, is_host_name, name_server_main};
pub use error::Error;
pub use host_ports::{HostPort, TakenPort};
pub use netns::{bind_netns, make_netns, netns_exists, remove_netns, set_sysctls, with_netns};
pub use nft::find_nft;
pub use port::NODE_PORTS;
pub use repair::Repaired;
pub use route::host_addresses;

use active::ActiveEndpoint;
use firewall::NetworkTable;
use host::{Host, PortClaim};
use lease::Lease;

/// The networks of one instance (one pair of `--root` and `--runroot`). Several instances can exist on one host.
#[derive(Debug, Clone)]
pub struct Networks {
    /// The folder of definitions and leases, which survive reboots.
    dir: PathBuf,
    /// The folder of the files of netavark and of the name server, which do not survive reboots.
    run_dir: PathBuf,
    /// Our own executable. `<exe> name-server ...` must call [`name_server_main`].
    exe: PathBuf,
}

/// A request to connect a network namespace, which is that of a pod, to networks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Endpoint {
    /// The endpoint's id: unique on this host, and part of the name of everything that is created for the endpoint.
    pub id: String,
    /// The endpoint's name in DNS, followed by its aliases.
    pub names: Vec<String>,
    /// The networks to join, in order (eth0, eth1, ...).
    pub attachments: Vec<Attachment>,
    /// The published ports.
    pub ports: Vec<Port>,
    /// The bind mount of the network namespace, e.g. `/run/kube-play/netns/<uid>`.
    pub netns: PathBuf,
}

/// A network to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// The requested addresses; empty means the next free ones.
    #[serde(default)]
    pub ips: Vec<IpAddr>,
    /// The requested MAC address.
    #[serde(default)]
    pub mac: Option<String>,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The address of the host; `None` means every address.
    pub host_ip: Option<IpAddr>,
    /// The port on the host.
    pub host_port: u16,
    /// The port in the namespace.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// The addresses of an endpoint that is set up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Addresses {
    /// IPv4 and IPv6 addresses, in the order of the networks, IPv4 first.
    pub ips: Vec<IpAddr>,
    /// The addresses of the networks' DNS servers.
    pub dns_servers: Vec<IpAddr>,
    /// Warnings for the user about something on the host because of which the endpoint cannot be reached.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The network that endpoints join if they name none.
pub const DEFAULT_NETWORK: &str = "kube";

impl Endpoint {
    /// Returns the networks to join; the default network if none is named.
    fn attachments(&self) -> Vec<Attachment> {
        if self.attachments.is_empty() {
            vec![Attachment { network: DEFAULT_NETWORK.to_owned(), ips: Vec::new(), mac: None }]
        } else {
            self.attachments.clone()
        }
    }
}

impl Networks {
    /// Creates the value; creates nothing on disk.
    pub fn new(dir: &Path, run_dir: &Path, exe: &Path) -> Self {
        Self { dir: dir.to_owned(), run_dir: run_dir.to_owned(), exe: exe.to_owned() }
    }

    /// Returns the folder that identifies this instance among others on the host.
    fn instance(&self) -> PathBuf {
        std::path::absolute(&self.dir).unwrap_or_else(|_| self.dir.clone())
    }

    /// Locks the records of this instance, so that only one process changes them at a time.
    fn lock(&self) -> Result<FileLock, Error> {
        Ok(FileLock::acquire(&self.dir.join("lock"), LockKind::Exclusive)?)
    }

    /// Removes the temporary files of writers that were killed.
    pub fn remove_temporary_files(&self) -> Result<(), Error> {
        let own = ["", "definitions", "leases", "last"].map(|dir| self.dir.join(dir));
        let run = [self.run_dir.clone(), self.run_dir.join("up"), self.run_dir.join(NAME_SERVER)];
        let find = || own.iter().chain(&run).flat_map(|dir| record::temporary_files(dir)).collect::<Vec<_>>();
        // A file that another process is just writing no longer exists once this process has the lock.
        if !find().is_empty() {
            let _instance = self.lock()?;
            find().iter().try_for_each(|path| record::remove(path))?;
        }
        host::remove_temporary_files()
    }

    /// Returns the folder of the marks of firewalls that were opened for our bridges.
    fn iptables_dir(&self) -> PathBuf {
        self.run_dir.join("iptables")
    }

    /// Returns the folder in which netavark stores what it needs to restore rules.
    fn netavark_dir(&self) -> PathBuf {
        self.run_dir.join("netavark")
    }

    /// Fails if a port is taken by a socket of the host or by another endpoint, of this or another instance, unless
    /// that endpoint is in `leaving`. Takes nothing: [`Networks::setup`] checks again and takes the ports.
    pub fn check_ports(&self, id: &str, leaving: &[String], ports: &[Port]) -> Result<(), Error> {
        if ports.is_empty() {
            return Ok(());
        }
        let mut claims = Host::lock()?.port_claims()?;
        claims.retain(|claim| !leaving.contains(&claim.id));
        port::check(&self.instance(), id, ports, &claims)
    }

    /// Sets up an endpoint: allocates addresses (recorded durably before anything is created), then creates bridges,
    /// veths, rules and names. A setup that fails undoes itself. The namespace must exist. Idempotent for the same
    /// endpoint: an endpoint that was set up keeps its addresses, also over a reboot. A network that does not exist is
    /// created.
    pub fn setup(&self, endpoint: &Endpoint) -> Result<Addresses, Error> {
        for name in endpoint.names.iter().chain([&endpoint.id]) {
            lease::check_endpoint_name(name)?;
        }
        let _instance = self.lock()?;
        let made = self.take(endpoint).and_then(|lease| Ok((self.connect(&lease)?, lease)));
        made.map(|(warnings, lease)| addresses(&lease, warnings)).inspect_err(|_| {
            for e in self.disconnect(&endpoint.id) {
                tracing::warn!(endpoint = endpoint.id, error = %e, "undoing a failed network setup");
            }
        })
    }

    /// Leases addresses and claims ports; creates nothing else yet.
    fn take(&self, endpoint: &Endpoint) -> Result<Lease, Error> {
        let host = Host::lock()?;
        port::check(&self.instance(), &endpoint.id, &endpoint.ports, &host.port_claims()?)?;
        let lease = self.lease(&host, endpoint)?;
        base::fail_point!(Worker, "addresses-leased");
        if lease.ports.is_empty() {
            host.release_ports(&lease.id)?;
            return Ok(lease);
        }
        host.claim_ports(&PortClaim {
            id: lease.id.clone(),
            name: lease.name(),
            instance: self.instance(),
            netns: std::path::absolute(&lease.netns).unwrap_or_else(|_| lease.netns.clone()),
            ports: lease.ports.clone(),
            is_of_service: false,
        })?;
        base::fail_point!(Worker, "ports-claimed");
        Ok(lease)
    }

    /// Creates everything of a lease. Returns warnings for the user.
    fn connect(&self, lease: &Lease) -> Result<Vec<String>, Error> {
        let mut up = self.other_active_endpoints(&lease.id)?;
        let others: Vec<Lease> = up.iter().map(|up| up.lease.clone()).collect();
        if let Some(before) =
            record::or_none(self.active_endpoint(&lease.id)).filter(|before| before.is_set_up(lease))
        {
            up.push(before);
            self.update_dns(&up)?;
            return Ok(Vec::new());
        }
        let config_dir = self.netavark_dir();
        base::file::create_private_dir_all(&config_dir).map_err(Error::io("create", &config_dir))?;
        // A damaged file is written again. A folder in its place would prevent netavark from doing so.
        let firewall = config_dir.join("firewall/firewall-driver");
        if firewall.is_dir() {
            record::remove(&firewall)?;
        }
        let dns_port = if others.is_empty() { self.choose_dns_port()? } else { self.dns_port() };
        let new = lease.interfaces.iter().map(|i| &i.network);
        let new: Vec<_> = new.filter(|n| !others.iter().any(|other| other.is_on(&n.name))).collect();
        let stands = |network: &str| active::are_rules_in_place(&up, network);
        let tables = driver::tables(lease, &others, dns_port, &stands)?;
        let rules = tables.iter().filter_map(NetworkTable::begin).collect::<Result<Vec<_>, _>>()?;
        let listings: Vec<_> = new.iter().map(|network| iptables::Listings::ask(network)).collect();
        driver::setup(lease, &others, &tables, &config_dir)?;
        base::fail_point!(Worker, "endpoint-connected");
        if !new.is_empty() {
            self.add_networks_to_services()?;
        }
        let mut warnings = Vec::new();
        for (network, listings) in new.iter().zip(listings) {
            warnings.extend(iptables::open(network, dns_port, &self.iptables_dir(), listings));
        }
        let own = ActiveEndpoint::new(lease).with_routes();
        self.write_active(&own)?;
        base::fail_point!(Worker, "endpoint-up");
        for subnet in lease.interfaces.iter().flat_map(|i| &i.network.subnets) {
            dns::wait_for_address(subnet.gateway);
        }
        up.push(own.clone());
        up.sort_by(|a, b| a.lease.id.cmp(&b.lease.id));
        self.update_dns(&up)?;
        base::fail_point!(Worker, "names-known");
        for change in rules {
            change.finish()?;
        }
        base::fail_point!(Worker, "rules-in-place");
        self.write_active(&own.with_rules())?;
        // Flows are forgotten only now, because packets can take the new way only now.
        conntrack::forget(&lease.ports);
        Ok(warnings)
    }

    /// Undoes a setup according to the records, also if a part of it no longer exists. Collects all errors and always
    /// releases the addresses. An endpoint that was never set up is no error. May take a tenth of a second, during
    /// which other endpoints may be set up: call it in the background.
    pub fn teardown(&self, id: &str) -> Result<(), Vec<Error>> {
        lease::check_endpoint_name(id).map_err(|e| vec![e])?;
        let mut errors = Vec::new();
        // The kernel needs time to remove a device. The lock is not held meanwhile, so that other processes need not
        // wait.
        match self.read_lease(id) {
            Ok(Some(lease)) => errors.extend(remove_links(&lease)),
            Ok(None) => {}
            Err(e) => errors.push(e),
        }
        base::fail_point!(Worker, "links-removed");
        match self.lock() {
            Ok(_instance) => errors.extend(self.disconnect(id)),
            Err(e) => errors.push(e),
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Removes everything that exists of an endpoint. The caller holds the instance's lock.
    fn disconnect(&self, id: &str) -> Vec<Error> {
        let mut errors = Vec::new();
        let mut note = |result: Result<(), Error>| errors.extend(result.err());
        // The names are removed first, so that no client is sent to the endpoint any more. In addition, the name server
        // must stop using a bridge's address before the address is removed.
        note(self.remove_active(id));
        base::fail_point!(Worker, "endpoint-down");
        let up = match self.other_active_endpoints(id) {
            Ok(up) => {
                note(self.update_dns(&up));
                up
            }
            Err(e) => {
                note(Err(e));
                Vec::new()
            }
        };
        base::fail_point!(Worker, "names-removed");
        match self.read_lease(id) {
            Ok(Some(lease)) => {
                for e in remove_links(&lease) {
                    note(Err(e));
                }
                let others: Vec<Lease> = up.iter().map(|up| up.lease.clone()).collect();
                let dns_port = self.dns_port();
                for index in 0..lease.interfaces.len() {
                    let stands = |network: &str| active::are_rules_in_place(&up, network);
                    let torn =
                        driver::teardown(&lease, index, &others, dns_port, &stands, &self.netavark_dir());
                    for e in torn {
                        note(Err(e));
                    }
                }
                base::fail_point!(Worker, "endpoint-disconnected");
                for network in lease.interfaces.iter().map(|i| &i.network) {
                    if !others.iter().any(|other| other.is_on(&network.name)) {
                        iptables::close(network, &self.iptables_dir());
                    }
                }
                conntrack::forget(&lease.ports);
            }
            Ok(None) => {}
            // Without the lease little is known, but the names of devices follow from the endpoint's id.
            Err(e) => {
                note(Err(e));
                note(route::remove_link(&lease::host_interface(id, 0)));
            }
        }
        self.remove_netavark_files(id);
        note(self.remove_lease(id));
        base::fail_point!(Worker, "addresses-given-back");
        note(Host::lock().and_then(|host| host.release_ports(id)));
        errors
    }

    /// Removes the files about an endpoint that netavark could not read and therefore left.
    fn remove_netavark_files(&self, id: &str) {
        let entries = std::fs::read_dir(self.netavark_dir().join("firewall/ports")).into_iter().flatten();
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(id))
                && let Err(e) = record::remove(&path)
            {
                tracing::warn!("{e}");
            }
        }
    }
}

fn remove_links(lease: &Lease) -> Vec<Error> {
    lease.interfaces.iter().filter_map(|i| route::remove_link(&i.host_name).err()).collect()
}

fn addresses(lease: &Lease, warnings: Vec<String>) -> Addresses {
    Addresses {
        warnings,
        ips: lease.interfaces.iter().flat_map(|i| i.ips.clone()).collect(),
        dns_servers: lease.interfaces.iter().flat_map(|i| &i.network.subnets).map(|s| s.gateway).collect(),
    }
}
