use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

/// What can go wrong. Variants carry what a user needs to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A host port that somebody has.
    #[error("port {protocol}/{port} of the host is taken by {by}")]
    PortTaken {
        /// Port number.
        port: u16,
        /// `tcp`, ...
        protocol: String,
        /// A process (`nginx, pid 812`) or an endpoint of ours, by name.
        by: String,
    },
    /// `hostIP` is none of this host's addresses, so nothing would ever come in.
    #[error("{ip} is not an address of this host, so port {protocol}/{port} cannot be published on it")]
    NotAnAddressOfTheHost {
        /// The `hostIP`.
        ip: IpAddr,
        /// Port number.
        port: u16,
        /// `tcp`, ...
        protocol: String,
    },
    /// The kernel delivers nothing from ::1 to another interface.
    #[error("port {0} cannot be published on ::1, which the kernel keeps to itself: use 127.0.0.1")]
    Ipv6Loopback(u16),
    /// Something other than `tcp`, `udp`, `sctp`.
    #[error("unknown protocol `{0}`: use tcp, udp or sctp")]
    UnknownProtocol(String),
    /// Port 0.
    #[error("port 0 cannot be published: name a port from 1 to 65535")]
    PortZero,
    /// A network's name.
    #[error("`{0}` is no name for a network: use at most 63 of a-z, 0-9 and `-`, not `-` first or last")]
    BadNetworkName(String),
    /// An endpoint's id or one of its names.
    #[error("`{0}` is no name for an endpoint: use letters, digits, `-`, `_` and `.`")]
    BadEndpointName(String),
    /// A MAC address.
    #[error("`{0}` is no MAC address of a single device: write it like 02:42:ac:11:00:02")]
    BadMac(String),
    /// One endpoint names a network twice.
    #[error("network `{0}` is named twice")]
    NamedTwice(String),
    /// A network that is not there.
    #[error("network {0} not found")]
    NoSuchNetwork(String),
    /// A network that is already there.
    #[error("network `{0}` exists already")]
    NetworkExists(String),
    /// A network that cannot be removed.
    #[error("network `{network}` is in use by {}", by.join(", "))]
    NetworkInUse {
        /// Its name.
        network: String,
        /// Names of its endpoints.
        by: Vec<String>,
    },
    /// A static address outside of the network.
    #[error("{ip} is not in network `{network}` ({})", subnets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    AddressOutside {
        /// The address asked for.
        ip: IpAddr,
        /// The network.
        network: String,
        /// Its subnets.
        subnets: Vec<IpNet>,
    },
    /// A static address that is the gateway's, the network's or the broadcast address.
    #[error("{ip} is {what} of network `{network}`")]
    AddressReserved {
        /// The address asked for.
        ip: IpAddr,
        /// What it is for.
        what: &'static str,
        /// The network.
        network: String,
    },
    /// A static address that another endpoint has.
    #[error("{ip} of network `{network}` belongs to {by}")]
    AddressTaken {
        /// The address asked for.
        ip: IpAddr,
        /// The network.
        network: String,
        /// Name of the endpoint that has it.
        by: String,
    },
    /// Two static addresses of one family.
    #[error("more than one IPv{version} address asked for in network `{network}`")]
    TooManyAddresses {
        /// 4 or 6.
        version: u8,
        /// The network.
        network: String,
    },
    /// Every address is leased.
    #[error("network `{network}` has no free address left in {subnet}")]
    NetworkFull {
        /// The network.
        network: String,
        /// Its subnet that is full.
        subnet: IpNet,
    },
    /// Every candidate collides.
    #[error(
        "no free subnet for network `{0}`: every candidate collides with a route of this host; name one with --subnet"
    )]
    NoFreeSubnet(String),
    /// A subnet that is in use.
    #[error("subnet {subnet} collides with {with}")]
    SubnetTaken {
        /// The subnet asked for.
        subnet: IpNet,
        /// A route of the host, or another network.
        with: IpNet,
    },
    /// A subnet that cannot be one.
    #[error("{subnet} is no subnet for pods: {why}")]
    BadSubnet {
        /// The subnet asked for.
        subnet: IpNet,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The program `nft` is missing.
    #[error(
        "the program `nft` is missing, which makes the firewall rules of pod networks: install it \
         (Debian, Ubuntu: apt install nftables; Fedora: dnf install nftables), or use hostNetwork: true"
    )]
    NftMissing,
    /// netavark, the kernel or `nft` refused.
    #[error("{doing}: {why}")]
    Refused {
        /// What was being done.
        doing: String,
        /// netavark's words.
        why: String,
    },
    /// aardvark-dns did not start.
    #[error("the name server of the pod networks did not start: {0}")]
    Dns(String),
    /// A file or a system call.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// e.g. `open`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of ours that does not parse.
    #[error("{} is damaged ({source}): {}", path.display(), remedy(path))]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// What to do about a damaged file, by where it lies.
fn remedy(path: &Path) -> String {
    let names: Vec<&str> = path.iter().rev().filter_map(|name| name.to_str()).collect();
    match names.as_slice() {
        [file, "definitions", ..] => {
            let name = file.strip_suffix(".json").unwrap_or(file);
            format!(
                "take down the pods on network {name}, remove it with `kube network rm {name}` and create it again"
            )
        }
        [_, "leases" | "up", ..] => "it goes with its pod: take that down and play it again".to_owned(),
        _ => "remove it; it is made again when it is needed".to_owned(),
    }
}

impl Error {
    /// For `map_err`: an [`Error::Io`].
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

impl From<base::file::Error> for Error {
    fn from(error: base::file::Error) -> Self {
        match error {
            base::file::Error::Io { action, path, source } => Self::Io { action, path, source },
            base::file::Error::Damaged { path, source } => Self::Damaged { path, source },
        }
    }
}
