use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

/// The errors of this crate. Variants contain what a user needs to fix the cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A host port is taken.
    #[error("port {protocol}/{port} of the host is taken by {by}")]
    PortTaken {
        /// Port number.
        port: u16,
        /// `tcp`, ...
        protocol: String,
        /// The owner: a process (`nginx, pid 812`) or the name of an endpoint.
        by: String,
    },
    /// The `hostIP` is not an address of this host, so no packet would ever arrive.
    #[error("{ip} is not an address of this host, so port {protocol}/{port} cannot be published on it")]
    NotAnAddressOfTheHost {
        /// The `hostIP`.
        ip: IpAddr,
        /// Port number.
        port: u16,
        /// `tcp`, ...
        protocol: String,
    },
    /// A port cannot be published on ::1, because the kernel delivers no packet from ::1 to another interface.
    #[error("port {0} cannot be published on ::1, which the kernel keeps to itself: use 127.0.0.1")]
    Ipv6Loopback(u16),
    /// The protocol is not `tcp`, `udp` or `sctp`.
    #[error("unknown protocol `{0}`: use tcp, udp or sctp")]
    UnknownProtocol(String),
    /// A port is 0.
    #[error("port 0 cannot be published: name a port from 1 to 65535")]
    PortZero,
    /// The name of a network is not valid.
    #[error("`{0}` is no name for a network: use at most 63 of a-z, 0-9 and `-`, not `-` first or last")]
    BadNetworkName(String),
    /// The id of an endpoint, or one of its names, is not valid.
    #[error("`{0}` is no name for an endpoint: use letters, digits, `-`, `_` and `.`")]
    BadEndpointName(String),
    /// A MAC address is not valid.
    #[error("`{0}` is no MAC address of a single device: write it like 02:42:ac:11:00:02")]
    BadMac(String),
    /// An endpoint names a network twice.
    #[error("network `{0}` is named twice")]
    NamedTwice(String),
    /// A network does not exist.
    #[error("network {0} not found")]
    NoSuchNetwork(String),
    /// A network exists already.
    #[error("network `{0}` exists already")]
    NetworkExists(String),
    /// A network cannot be removed, because it is in use.
    #[error("network `{network}` is in use by {}", by.join(", "))]
    NetworkInUse {
        /// The network's name.
        network: String,
        /// The names of its endpoints.
        by: Vec<String>,
    },
    /// A requested address is not in the network.
    #[error("{ip} is not in network `{network}` ({})", subnets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    AddressOutside {
        /// The requested address.
        ip: IpAddr,
        /// The network.
        network: String,
        /// The network's subnets.
        subnets: Vec<IpNet>,
    },
    /// A requested address is the gateway's, the network's or the broadcast address.
    #[error("{ip} is {what} of network `{network}`")]
    AddressReserved {
        /// The requested address.
        ip: IpAddr,
        /// What the address is for.
        what: &'static str,
        /// The network.
        network: String,
    },
    /// A requested address belongs to another endpoint.
    #[error("{ip} of network `{network}` belongs to {by}")]
    AddressTaken {
        /// The requested address.
        ip: IpAddr,
        /// The network.
        network: String,
        /// The name of the endpoint that has the address.
        by: String,
    },
    /// More than one address of a family is requested.
    #[error("more than one IPv{version} address asked for in network `{network}`")]
    TooManyAddresses {
        /// 4 or 6.
        version: u8,
        /// The network.
        network: String,
    },
    /// All addresses are leased.
    #[error("network `{network}` has no free address left in {subnet}")]
    NetworkFull {
        /// The network.
        network: String,
        /// The subnet that is full.
        subnet: IpNet,
    },
    /// All candidates for a subnet collide with routes.
    #[error(
        "no free subnet for network `{0}`: every candidate collides with a route of this host; name one with --subnet"
    )]
    NoFreeSubnet(String),
    /// All candidates for the ranges of Services collide with routes.
    #[error("no free range of addresses for Services: every candidate collides with a route of this host")]
    NoFreeServiceRange,
    /// A requested subnet collides with one that is in use.
    #[error("subnet {subnet} collides with {with}")]
    SubnetTaken {
        /// The requested subnet.
        subnet: IpNet,
        /// The route of the host, or the other network's subnet.
        with: IpNet,
    },
    /// A requested subnet is not valid.
    #[error("{subnet} is no subnet for pods: {why}")]
    BadSubnet {
        /// The requested subnet.
        subnet: IpNet,
        /// The reason.
        why: &'static str,
    },
    /// The program `nft` is missing.
    #[error(
        "the program `nft` is missing, which makes the firewall rules of pod networks: install it \
         (Debian, Ubuntu: apt install nftables; Fedora: dnf install nftables), or use hostNetwork: true"
    )]
    NftMissing,
    /// netavark, the kernel or `nft` has refused an action.
    #[error("{doing}: {why}")]
    Refused {
        /// The action.
        doing: String,
        /// The error.
        why: String,
    },
    /// The name server has not started, or cannot do what it was told.
    #[error("the name server of the pod networks does not work: {0}")]
    Dns(String),
    /// A file operation or system call has failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The action, e.g. `open`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// A file of ours cannot be parsed.
    #[error("{} is damaged ({source}): {}", path.display(), remedy(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The error.
        source: serde_json::Error,
    },
}

/// Returns what to do about a damaged file, according to its folder.
fn remedy(path: &Path) -> String {
    let names: Vec<&str> = path.iter().rev().filter_map(|name| name.to_str()).collect();
    match names.as_slice() {
        [file, "definitions", ..] => {
            let name = file.strip_suffix(".json").unwrap_or(file);
            format!(
                "take down the pods on network {name}, remove it with `kube network rm {name}` and create it again"
            )
        }
        [_, "leases" | "up", ..] => "take its pod down and play it again".to_owned(),
        _ => "remove it; it is created again when it is needed".to_owned(),
    }
}

impl Error {
    /// Returns a function for `map_err` that makes an [`Error::Io`].
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
