//! Detects and repairs what has happened to the networks since they were created: `nft flush ruleset`, a firewall that
//! was started or reloaded, sysctls that were reset, addresses that another program removed. Every command checks this,
//! so the check is fast: it compares a few numbers that change whenever something may be wrong with those of the last
//! check.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base::file::{Durability, FileLock, LockKind};
use ipnet::IpNet;
use netavark::firewall::firewalld;
use serde::{Deserialize, Serialize};

use crate::bridge::Network;
use crate::firewall::NetworkTable;
use crate::lease::Lease;
use crate::record;
use crate::service::ServicesFault;
use crate::{Error, Networks, dns, driver, iptables, legacy, nft, pod_route, route};

/// What a check of the networks has found and repaired.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// The faults that were repaired, one sentence each.
    pub mended: Vec<String>,
    /// The faults that could not be repaired.
    pub problems: Vec<String>,
    /// True if this check found the problems, false if an earlier command reported them.
    pub is_new: bool,
}

/// A fault because of which pods cannot be reached, or cannot reach others.
enum Fault {
    /// A sysctl was reset: its file below /proc/sys, and its required value.
    Sysctl(String, &'static str),
    /// A bridge was removed by another program.
    Bridge(Network),
    /// An address of a bridge was removed by another program.
    Address(Network, IpNet),
    /// Rules differ from those that were put in place.
    Rules(Box<NetworkTable>),
    /// A chain of iptables was closed; with the rule that opens it.
    Closed(Network, iptables::Missing),
    /// The host's end of a pod's interface no longer exists.
    Link(String),
    /// Services cannot be reached.
    Services(ServicesFault),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctl(name, value) => write!(f, "{} is not {value}", name.replace('/', ".")),
            Self::Bridge(network) => {
                write!(f, "the bridge {} of network {} is gone", network.bridge, network.name)
            }
            Self::Address(network, net) => {
                write!(f, "the bridge {} of network {} has lost {net}", network.bridge, network.name)
            }
            Self::Rules(table) => {
                write!(f, "the firewall rules of network {} are not in place", table.name())
            }
            Self::Closed(network, missing) => {
                write!(
                    f,
                    "the chain {} of {} keeps pods of network {} from being reached",
                    missing.chain, missing.program, network.name
                )
            }
            Self::Link(pod) => write!(f, "the network interface of pod {pod} is gone"),
            Self::Services(fault) => fault.fmt(f),
        }
    }
}

/// A network at the last check, with what the next check needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Watched {
    bridge: String,
    gateways: Vec<IpAddr>,
}

/// Values of which at least one changes whenever something may be wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    /// The kernel's counter of changes of nftables, which include those by iptables-nft.
    generation: Option<u32>,
    /// Hashes of the legacy filter tables of iptables, because the kernel does not count their changes.
    legacy: [Option<u64>; 2],
    /// The values of the sysctls.
    sysctls: Vec<String>,
    /// For each gateway: whether the address exists.
    gateways: Vec<bool>,
    /// For each range of Services: whether it has its route.
    ranges: Vec<bool>,
}

impl Stamp {
    fn now(networks: &[Watched], ranges: Vec<bool>) -> Self {
        Self {
            generation: nft::generation().ok(),
            legacy: [libc::AF_INET, libc::AF_INET6].map(legacy::filter_stamp),
            sysctls: networks
                .iter()
                .flat_map(sysctls)
                .map(|(name, _)| read_sysctl(&name))
                .chain([read_sysctl("net/bridge/bridge-nf-call-ip6tables")])
                .collect(),
            gateways: networks
                .iter()
                .flat_map(|n| &n.gateways)
                .map(|ip| route::is_host_address(*ip))
                .collect(),
            ranges,
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Checked {
    networks: Vec<Watched>,
    stamp: Stamp,
    problems: Vec<String>,
}

/// Returns the sysctls that netavark sets when it creates a bridge, and those that published ports need.
fn sysctls(network: &Watched) -> Vec<(String, &'static str)> {
    let mut wanted = vec![
        ("net/ipv4/ip_forward".to_owned(), "1"),
        (format!("net/ipv4/conf/{}/route_localnet", network.bridge), "1"),
    ];
    if network.gateways.iter().any(IpAddr::is_ipv6) {
        wanted.push(("net/ipv6/conf/all/forwarding".to_owned(), "1"));
    }
    wanted
}

fn read_sysctl(name: &str) -> String {
    let text = fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default();
    text.trim().to_owned()
}

impl Networks {
    fn checked_path(&self) -> PathBuf {
        self.run_dir.join("checked.json")
    }

    /// Repairs what has happened to the networks since the last check. Fast if nothing has happened. Does nothing while
    /// another process changes the networks.
    ///
    /// # Errors
    /// A record cannot be read or written.
    pub fn repair(&self) -> Result<Repaired, Error> {
        if record::list(&self.run_dir.join("up"))?.is_empty() && !self.services_path().exists() {
            return Ok(Repaired::default());
        }
        let before: Checked = record::read(&self.checked_path()).ok().flatten().unwrap_or_default();
        let stamp = Stamp::now(&before.networks, self.routed_ranges());
        if stamp == before.stamp {
            return Ok(Repaired { problems: before.problems, ..Repaired::default() });
        }
        let Some(_instance) = FileLock::try_acquire(&self.dir.join("lock"), LockKind::Exclusive)? else {
            return Ok(Repaired::default());
        };
        let up = self.active_endpoints()?;
        let mut repaired = Repaired { is_new: true, ..Repaired::default() };
        for endpoint in up.iter().filter(|endpoint| endpoint.needs_routes()) {
            let told = format!("pod {} sends to its neighbours past the host", endpoint.lease.name());
            match pod_route::add_to_running(&endpoint.lease) {
                Ok(()) => {
                    self.write_active(&endpoint.clone().with_routes())?;
                    repaired.mended.push(told);
                }
                Err(why) => repaired.problems.push(format!("{told}: {why}")),
            }
        }
        let leases: Vec<Lease> = up.into_iter().map(|up| up.lease).collect();
        let networks = networks(&leases);
        for fault in self.faults(&leases)? {
            let told = fault.to_string();
            match self.repair_fault(&fault) {
                Ok(()) => repaired.mended.extend((!repaired.mended.contains(&told)).then_some(told)),
                // If a chain lacks several rules, one reason is enough.
                Err(_) if repaired.problems.iter().any(|problem| problem.starts_with(&told)) => {}
                Err(why) => repaired.problems.push(format!("{told}: {why}")),
            }
        }
        // A firewalld that was reloaded has forgotten which subnets to let pass, and asking it is slow.
        if iptables::nftables_has(libc::NFPROTO_INET, b"firewalld").unwrap_or(false) {
            let dbus = zbus::blocking::Connection::system().ok();
            for net in networks.iter().flat_map(Network::nets) {
                firewalld::add_firewalld_if_possible(&dbus, &net);
            }
        }
        let watched = |network: &Network| Watched {
            bridge: network.bridge.clone(),
            gateways: network.subnets.iter().map(|subnet| subnet.gateway).collect(),
        };
        let networks: Vec<Watched> = networks.iter().map(watched).collect();
        let stamp = Stamp::now(&networks, self.routed_ranges());
        let checked = Checked { stamp, networks, problems: repaired.problems.clone() };
        record::write(&self.checked_path(), &checked, Durability::Process)?;
        Ok(repaired)
    }

    /// Returns the present faults of the networks, one sentence each. Changes nothing.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn problems(&self) -> Result<Vec<String>, Error> {
        let leases: Vec<Lease> = self.active_endpoints()?.into_iter().map(|up| up.lease).collect();
        let mut problems: Vec<String> = self.faults(&leases)?.iter().map(ToString::to_string).collect();
        problems.dedup();
        Ok(problems)
    }

    fn faults(&self, leases: &[Lease]) -> Result<Vec<Fault>, Error> {
        let mut faults = Vec::new();
        let dns_port = self.dns_port();
        for network in networks(leases) {
            if !route::link_exists(&network.bridge)? {
                faults.push(Fault::Bridge(network));
                continue;
            }
            let listings = iptables::Listings::ask(&network);
            for subnet in &network.subnets {
                if !route::is_host_address(subnet.gateway)
                    && let Ok(net) = IpNet::new(subnet.gateway, subnet.subnet.prefix_len())
                {
                    faults.push(Fault::Address(network.clone(), net));
                }
            }
            let watched = Watched {
                bridge: network.bridge.clone(),
                gateways: network.subnets.iter().map(|subnet| subnet.gateway).collect(),
            };
            for (name, value) in sysctls(&watched) {
                let told = |fault: &Fault| matches!(fault, Fault::Sysctl(other, _) if *other == name);
                if read_sysctl(&name) != value && !faults.iter().any(told) {
                    faults.push(Fault::Sysctl(name, value));
                }
            }
            let table = driver::table(&network, leases.iter(), dns_port)?;
            if !table.is_in_place() {
                faults.push(Fault::Rules(Box::new(table)));
            }
            let missing = iptables::missing(&network, dns_port, listings);
            faults.extend(missing.into_iter().map(|missing| Fault::Closed(network.clone(), missing)));
        }
        for lease in leases {
            for interface in &lease.interfaces {
                if !route::link_exists(&interface.host_name)? {
                    faults.push(Fault::Link(lease.name()));
                }
            }
        }
        faults.extend(self.services_fault()?.map(Fault::Services));
        Ok(faults)
    }

    fn repair_fault(&self, fault: &Fault) -> Result<(), RepairError> {
        match fault {
            Fault::Sysctl(name, value) => {
                if name.starts_with("net/ipv6") {
                    route::keep_router_advertisements();
                }
                fs::write(Path::new("/proc/sys").join(name), value).map_err(RepairError::Sysctl)
            }
            Fault::Bridge(_) | Fault::Link(_) => Err(RepairError::NeedsNewPods),
            Fault::Address(network, net) => {
                route::give_address(&network.bridge, net).map_err(Box::new)?;
                dns::wait_for_address(net.addr());
                // A name server that was started without the address listens there now.
                self.tell_dns().map_err(Box::new)?;
                Ok(())
            }
            Fault::Rules(table) => Ok(table.apply().map_err(Box::new)?),
            Fault::Services(_) => Ok(self.mend_services().map_err(Box::new)?),
            Fault::Closed(network, missing) => Ok(iptables::add(network, missing, &self.iptables_dir())?),
        }
    }
}

/// Why a fault could not be repaired.
#[derive(Debug, thiserror::Error)]
enum RepairError {
    /// Only a new endpoint repairs the fault.
    #[error("`kube play --replace` replaces its pods")]
    NeedsNewPods,
    /// The sysctl cannot be written.
    #[error(transparent)]
    Sysctl(std::io::Error),
    /// The address or the rules cannot be set.
    #[error(transparent)]
    Network(#[from] Box<Error>),
    /// The rule of the host's firewall cannot be added.
    #[error(transparent)]
    Rule(#[from] iptables::RuleError),
}

/// Returns the networks of leases without duplicates.
fn networks(leases: &[Lease]) -> Vec<Network> {
    let all = leases.iter().flat_map(|lease| &lease.interfaces).map(|interface| &interface.network);
    let by_name: BTreeMap<&str, &Network> = all.map(|network| (network.name.as_str(), network)).collect();
    by_name.into_values().cloned().collect()
}
