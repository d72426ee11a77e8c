//! What has happened to the networks since they were made: `nft flush ruleset`, a firewall that was started or
//! reloaded, sysctls that were reset, addresses that another program removed. Every command looks, so a look is cheap: a
//! few numbers that change whenever something may be wrong are compared with those of the last time.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base::file::{Durability, FileLock, LockKind};
use ipnet::IpNet;
use netavark::firewall::firewalld;
use serde::{Deserialize, Serialize};

use crate::bridge::Network;
use crate::firewall::NetworkTable;
use crate::lease::Lease;
use crate::record;
use crate::{Error, Networks, dns, driver, firewall, iptables, legacy, route};

/// What a look at the networks found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// What was wrong and is right again, one sentence each.
    pub mended: Vec<String>,
    /// What is wrong and could not be mended.
    pub problems: Vec<String>,
    /// The problems were found just now: else an earlier command told of them.
    pub is_new: bool,
}

/// Something that keeps pods from being reached, or from reaching others.
enum Fault {
    /// A sysctl that was reset: its file below /proc/sys, and what it has to be.
    Sysctl(String, &'static str),
    /// A bridge that somebody removed.
    Bridge(Network),
    /// An address that somebody took from a bridge.
    Address(Network, IpNet),
    /// Rules that are not what was put in place.
    Rules(Box<NetworkTable>),
    /// A chain of iptables that was closed, with the rule that opens it.
    Closed(Network, iptables::Missing),
    /// The host's end of a pod's interface is gone.
    Link(String),
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
        }
    }
}

/// A network as it was at the last look: what has to be asked again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Watched {
    bridge: String,
    internal: bool,
    gateways: Vec<IpAddr>,
}

/// What changes whenever something may be wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    /// The kernel counts the changes of its nftables, those by iptables-nft among them.
    generation: Option<u32>,
    /// The filter tables of the older iptables, which nobody counts.
    legacy: [Option<u64>; 2],
    /// Values of sysctls.
    sysctls: Vec<String>,
    /// For each gateway: it is there.
    gateways: Vec<bool>,
    /// The host's name servers: inode and time of the file that names them.
    resolvers: Option<(u64, i64, i64)>,
}

impl Stamp {
    fn now(networks: &[Watched]) -> Self {
        let meta = fs::metadata("/etc/resolv.conf").ok();
        Self {
            generation: firewall::generation().ok(),
            legacy: [libc::AF_INET, libc::AF_INET6].map(legacy::filter_stamp),
            sysctls: networks.iter().flat_map(sysctls).map(|(name, _)| read_sysctl(&name)).collect(),
            gateways: networks
                .iter()
                .flat_map(|n| &n.gateways)
                .map(|ip| route::is_host_address(*ip))
                .collect(),
            resolvers: meta.map(|meta| (meta.ino(), meta.mtime(), meta.mtime_nsec())),
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Checked {
    networks: Vec<Watched>,
    stamp: Stamp,
    problems: Vec<String>,
}

/// What netavark sets when it makes a bridge, and what published ports need.
fn sysctls(network: &Watched) -> Vec<(String, &'static str)> {
    if network.internal {
        return Vec::new();
    }
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

    /// Mends what has happened to the networks since the last look. Cheap where nothing has. Does nothing while somebody
    /// else changes the networks.
    ///
    /// # Errors
    /// Records cannot be read or written.
    pub fn repair(&self) -> Result<Repaired, Error> {
        if record::list(&self.run_dir.join("up"))?.is_empty() {
            return Ok(Repaired::default());
        }
        let before: Checked = record::read(&self.checked_path()).ok().flatten().unwrap_or_default();
        let stamp = Stamp::now(&before.networks);
        if stamp == before.stamp {
            return Ok(Repaired { problems: before.problems, ..Repaired::default() });
        }
        let Some(_instance) = FileLock::try_acquire(&self.dir.join("lock"), LockKind::Exclusive)? else {
            return Ok(Repaired::default());
        };
        if stamp.resolvers != before.stamp.resolvers {
            self.reread_resolvers();
        }
        let leases: Vec<Lease> = self.read_up()?.into_iter().map(|up| up.lease).collect();
        let networks = networks(&leases);
        let mut repaired = Repaired { is_new: true, ..Repaired::default() };
        for fault in self.faults(&leases)? {
            let told = fault.to_string();
            match self.mend(&fault) {
                Ok(()) => repaired.mended.extend((!repaired.mended.contains(&told)).then_some(told)),
                // A chain lacks several rules: one reason will do.
                Err(_) if repaired.problems.iter().any(|problem| problem.starts_with(&told)) => {}
                Err(why) => repaired.problems.push(format!("{told}: {why}")),
            }
        }
        // A firewalld that was reloaded knows no more which subnets to let pass; it cannot be asked cheaply.
        if iptables::nftables_has(libc::NFPROTO_INET, b"firewalld").unwrap_or(false) {
            let dbus = zbus::blocking::Connection::system().ok();
            for net in networks.iter().filter(|network| !network.internal).flat_map(Network::nets) {
                firewalld::add_firewalld_if_possible(&dbus, &net);
            }
        }
        let watched = |network: &Network| Watched {
            bridge: network.bridge.clone(),
            internal: network.internal,
            gateways: network.subnets.iter().map(|subnet| subnet.gateway).collect(),
        };
        let networks: Vec<Watched> = networks.iter().map(watched).collect();
        let checked = Checked { stamp: Stamp::now(&networks), networks, problems: repaired.problems.clone() };
        record::write(&self.checked_path(), &checked, Durability::Process)?;
        Ok(repaired)
    }

    /// What is wrong with the networks now, one sentence each. Changes nothing.
    ///
    /// # Errors
    /// Records cannot be read.
    pub fn problems(&self) -> Result<Vec<String>, Error> {
        let leases: Vec<Lease> = self.read_up()?.into_iter().map(|up| up.lease).collect();
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
            let listings = (!network.internal).then(|| iptables::Listings::ask(&network));
            for subnet in &network.subnets {
                if !route::is_host_address(subnet.gateway)
                    && let Ok(net) = IpNet::new(subnet.gateway, subnet.subnet.prefix_len())
                {
                    faults.push(Fault::Address(network.clone(), net));
                }
            }
            let watched = Watched {
                bridge: network.bridge.clone(),
                internal: network.internal,
                gateways: network.subnets.iter().map(|subnet| subnet.gateway).collect(),
            };
            for (name, value) in sysctls(&watched) {
                let told = |fault: &Fault| matches!(fault, Fault::Sysctl(other, _) if *other == name);
                if read_sysctl(&name) != value && !faults.iter().any(told) {
                    faults.push(Fault::Sysctl(name, value));
                }
            }
            let Some(listings) = listings else { continue };
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
        Ok(faults)
    }

    fn mend(&self, fault: &Fault) -> Result<(), MendError> {
        match fault {
            Fault::Sysctl(name, value) => {
                if name.starts_with("net/ipv6") {
                    route::keep_router_advertisements();
                }
                fs::write(Path::new("/proc/sys").join(name), value).map_err(MendError::Sysctl)
            }
            Fault::Bridge(_) | Fault::Link(_) => Err(MendError::NeedsNewPods),
            Fault::Address(network, net) => {
                route::give_address(&network.bridge, net).map_err(Box::new)?;
                dns::wait_for_address(net.addr());
                Ok(())
            }
            Fault::Rules(table) => Ok(table.apply().map_err(Box::new)?),
            Fault::Closed(network, missing) => Ok(iptables::add(network, missing, &self.iptables_dir())?),
        }
    }
}

/// Why a fault could not be repaired.
#[derive(Debug, thiserror::Error)]
enum MendError {
    /// Only new endpoints repair it.
    #[error("`kube play --replace` makes its pods anew")]
    NeedsNewPods,
    /// A sysctl cannot be written.
    #[error(transparent)]
    Sysctl(std::io::Error),
    /// An address or a table.
    #[error(transparent)]
    Network(#[from] Box<Error>),
    /// A rule of the host's firewall.
    #[error(transparent)]
    Rule(#[from] iptables::RuleError),
}

/// The networks of leases, each once.
fn networks(leases: &[Lease]) -> Vec<Network> {
    let all = leases.iter().flat_map(|lease| &lease.interfaces).map(|interface| &interface.network);
    let by_name: BTreeMap<&str, &Network> = all.map(|network| (network.name.as_str(), network)).collect();
    by_name.into_values().cloned().collect()
}
