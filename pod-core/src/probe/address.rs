//! Where the connections of a pod's probes go.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The network of a pod, as a probe needs it.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// The pod's network namespace; `None` is the host's.
    pub namespace: Option<PathBuf>,
    /// status.podIPs.
    pub ips: Vec<IpAddr>,
}

/// One end of a connection.
///
/// A connection to a pod is made from inside the pod's network namespace. The kubelet connects from the node; from
/// inside, the same address is reached whatever the firewall of the host says, and also in a pod that has no network
/// but loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The network namespace to connect from; `None` is the host's.
    pub namespace: Option<PathBuf>,
    /// An address, or a name.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Target {
    /// Returns `host:port`, with brackets around an IPv6 address.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Returns its address; `None` if its host is a name.
    pub fn address(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}

impl Network {
    /// Returns a port of the pod, or of `host` if a manifest names one. That one is reached from the host, as the
    /// kubelet would.
    pub fn target(&self, host: Option<&str>, port: u16) -> Target {
        match host.filter(|host| !host.is_empty()) {
            Some(host) => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                Target { namespace: None, host, port }
            }
            None => {
                let ip = self.ips.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
                Target { namespace: self.namespace.clone(), host: ip.to_string(), port }
            }
        }
    }
}
