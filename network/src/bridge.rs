//! A network in the form in which it is recorded: name, bridge, subnets. Pure.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{Error, subnet};

/// The beginning of the names of all our bridges.
pub(crate) const BRIDGE_PREFIX: &str = "kube-";

/// A network of one instance, recorded before its bridge is created. The bridge exists only while the network has an
/// endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The network's name: a DNS label.
    pub name: String,
    /// The network's id: unique on this host; netavark puts its first eight digits into the names of chains.
    pub id: String,
    /// The interface name of its bridge: unique on this host, 13 bytes (the kernel allows 15).
    pub bridge: String,
    /// The network's subnets, IPv4 first.
    pub subnets: Vec<Subnet>,
    /// True if the network has no route to the outside.
    #[serde(default)]
    pub internal: bool,
    /// True if this program chose the subnets. They may be chosen again if the host's routes collide with them.
    #[serde(default)]
    pub subnets_chosen: bool,
    /// The endpoint whose setup recorded the network because no network of this name existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_for: Option<String>,
}

/// A subnet and its gateway, which is the bridge's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The subnet.
    pub subnet: IpNet,
    /// The bridge's address in it; the name server listens there.
    pub gateway: IpAddr,
}

/// The options of a new network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkOptions {
    /// The subnets to use, at most one per family. If empty, subnets are chosen.
    pub subnets: Vec<IpNet>,
    /// True to choose an IPv6 subnet too, if no subnet is given. The default network has IPv6 if the host has it.
    pub ipv6: bool,
    /// True for a network without a route to the outside.
    pub internal: bool,
}

impl Network {
    /// Creates the description of a new network. `used` are all subnets with which the network must not collide.
    pub(crate) fn plan(
        instance: &str,
        name: &str,
        options: &NetworkOptions,
        used: &[IpNet],
    ) -> Result<Self, Error> {
        let id = subnet::hex(&format!("{instance}\0{name}"), 64);
        let chosen = options.subnets.is_empty();
        let mut nets: Vec<IpNet> = Vec::new();
        if chosen {
            let none = || Error::NoFreeSubnet(name.to_owned());
            nets.push(subnet::choose_v4(&id, subnet::PREFIX_V4, used).ok_or_else(none)?.into());
            if options.ipv6 {
                nets.push(subnet::choose_v6(&id, used).ok_or_else(none)?.into());
            }
        } else {
            for net in &options.subnets {
                let two_of_a_family = nets.iter().any(|n| n.addr().is_ipv4() == net.addr().is_ipv4());
                if two_of_a_family {
                    return Err(Error::BadSubnet { subnet: *net, why: "the network has one of its family" });
                }
                nets.push(subnet::check(net, used)?);
            }
            nets.sort_by_key(|net| net.addr().is_ipv6());
        }
        Ok(Self {
            name: name.to_owned(),
            bridge: format!("{BRIDGE_PREFIX}{}", id.get(..8).unwrap_or_default()),
            id,
            subnets: nets
                .into_iter()
                .map(|net| Subnet { subnet: net, gateway: subnet::gateway(&net) })
                .collect(),
            internal: options.internal,
            subnets_chosen: chosen,
            made_for: None,
        })
    }

    pub(crate) fn nets(&self) -> impl Iterator<Item = IpNet> {
        self.subnets.iter().map(|s| s.subnet)
    }
}

/// Checks a network's name, which becomes part of file names: a DNS label (RFC 1123).
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let good = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if good { Ok(()) } else { Err(Error::BadNetworkName(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_networks() {
        for good in ["kube", "a", "my-net-2", &"x".repeat(63)] {
            check_name(good).unwrap();
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "..", "a b", "a%int", "ä", &"x".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bridges_of_two_instances_have_different_names_that_fit() {
        let plan = |instance| Network::plan(instance, "kube", &NetworkOptions::default(), &[]).unwrap();
        let (a, b) = (plan("/var/lib/kube-play"), plan("/tmp/x"));
        assert_ne!(a.bridge, b.bridge);
        assert!(a.bridge.len() <= 15 && a.bridge.starts_with("kube-"));
    }

    #[test]
    fn given_subnets_are_taken_ipv4_first() {
        let options = NetworkOptions {
            subnets: vec!["fd12::/64".parse().unwrap(), "10.5.0.0/16".parse().unwrap()],
            ..Default::default()
        };
        let network = Network::plan("i", "n", &options, &[]).unwrap();
        let gateways: Vec<String> = network.subnets.iter().map(|s| s.gateway.to_string()).collect();
        assert_eq!(gateways, ["10.5.0.1", "fd12::1"]);
        assert!(!network.subnets_chosen);
    }
}
