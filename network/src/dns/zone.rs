//! The names that the name server knows, and for whom. Pure.
//!
//! Every name is known without the domain of the cluster, so `web.default.svc.cluster.local` and `web.default.svc` are
//! the same name. Endpoints are seen only by clients on their networks, Services by all clients.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::CLUSTER_DOMAIN;
use super::config::{Endpoints, Services};
use super::reverse::{self, ReverseName};
use crate::bridge::Subnet;
use crate::names::Record;

/// The version of the rules by which names of Services are made (Kubernetes' DNS-Based Service Discovery).
const DNS_VERSION: &str = "1.1.0";

/// All names.
#[derive(Debug, Default)]
pub(super) struct Zone {
    networks: Vec<NetworkZone>,
    /// The networks of each client that is an endpoint, by its addresses.
    clients: HashMap<IpAddr, Vec<usize>>,
    /// The network of each gateway; a list of one, for other clients.
    gateways: HashMap<IpAddr, Vec<usize>>,
    /// The records of Services; `None` for the end of other names, which has no data.
    services: HashMap<Box<str>, Option<Vec<Record>>>,
    /// The names of Services by address.
    service_addresses: HashMap<IpAddr, Vec<Box<str>>>,
    service_ranges: Vec<IpNet>,
}

/// The names of the endpoints on one network.
#[derive(Debug, Default)]
struct NetworkZone {
    internal: bool,
    subnets: Vec<Subnet>,
    /// Addresses by name. A name without addresses is the end of other names and has no data.
    addresses: HashMap<Box<str>, Vec<IpAddr>>,
    /// The name that a reverse look-up gives.
    names: HashMap<IpAddr, Box<str>>,
}

/// A zone as one client sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    zone: &'a Zone,
    networks: &'a [usize],
    reaches_outside: bool,
}

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A name of Services, with all of its records.
    Service(&'a [Record]),
    /// A name of endpoints, with all of their addresses.
    Endpoint(Vec<IpAddr>),
    /// An address, with its names.
    Pointers(Vec<&'a str>),
    /// The domain of the cluster itself.
    Apex,
    /// The name server of the domain, with its addresses.
    NameServer(Vec<IpAddr>),
    /// The name that tells the version of the names (TXT).
    Version(&'static str),
    /// A name that exists and has no data.
    NoData,
    /// A name that does not exist.
    NoSuchName,
    /// A name for the host's name servers.
    Elsewhere,
}

/// What is known of a name, and the zone that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lookup<'a> {
    pub found: Found<'a>,
    /// How many labels of the name, counted from the root, are the name of its zone. `None` is the name itself.
    pub zone_labels: Option<usize>,
}

impl Zone {
    /// Collects the names of two files.
    pub(super) fn new(endpoints: Endpoints, services: Services) -> Self {
        let mut zone = Self { service_ranges: services.ranges, ..Self::default() };
        for (index, network) in endpoints.networks.into_iter().enumerate() {
            for subnet in &network.subnets {
                zone.gateways.insert(subnet.gateway, vec![index]);
            }
            zone.networks.push(NetworkZone {
                internal: network.internal,
                subnets: network.subnets,
                ..NetworkZone::default()
            });
        }
        for endpoint in &endpoints.endpoints {
            let networks: Vec<usize> = endpoint.ips.iter().map(|(network, _)| *network).collect();
            let full = endpoint.names.iter().find(|name| in_domain(name).is_some());
            let full = full.or(endpoint.names.first());
            for (index, ips) in &endpoint.ips {
                let Some(network) = zone.networks.get_mut(*index) else { continue };
                for ip in ips {
                    zone.clients.insert(*ip, networks.clone());
                    if let Some(full) = full {
                        network.names.insert(*ip, full.to_ascii_lowercase().into());
                    }
                }
                for name in &endpoint.names {
                    network.add(&name.to_ascii_lowercase(), ips);
                }
            }
        }
        for (name, records) in services.names {
            zone.add_service(&name.to_ascii_lowercase(), records);
        }
        zone
    }

    fn add_service(&mut self, name: &str, records: Vec<Record>) {
        for record in &records {
            if let Record::Address(ip) = record {
                self.service_addresses.entry(*ip).or_default().push(name.into());
            }
        }
        let key = match in_domain(name) {
            Some(key) => {
                add_parents(&mut self.services, key);
                key
            }
            None => name,
        };
        self.services.insert(key.into(), Some(records));
    }

    /// Returns the gateways of all networks: the addresses to listen on.
    pub(super) fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        self.gateways.keys().copied()
    }

    /// Returns whether an address is in the subnet of a network.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        self.subnets().any(|subnet| subnet.contains(&ip))
    }

    fn subnets(&self) -> impl Iterator<Item = &IpNet> {
        self.networks.iter().flat_map(|network| &network.subnets).map(|subnet| &subnet.subnet)
    }

    /// Returns the zone as a client sees it that asks at a gateway. An endpoint sees the names of all of its networks,
    /// at any gateway. Another client, such as the host, sees those of the gateway's network. `None` if the gateway is
    /// that of no network.
    pub(super) fn view(&self, client: IpAddr, gateway: IpAddr) -> Option<View<'_>> {
        let of_gateway = self.gateways.get(&gateway)?;
        let networks = self.clients.get(&client).unwrap_or(of_gateway);
        let is_host = self.gateways.contains_key(&client) || !self.contains(client);
        let leads_out = |index: &usize| self.networks.get(*index).is_some_and(|network| !network.internal);
        Some(View { zone: self, networks, reaches_outside: is_host || networks.iter().any(leads_out) })
    }
}

impl NetworkZone {
    fn add(&mut self, name: &str, ips: &[IpAddr]) {
        let key = in_domain(name).unwrap_or(name);
        add_parents(&mut self.addresses, key);
        let known = self.addresses.entry(key.into()).or_default();
        for ip in ips {
            // The same name may be given with and without the domain.
            if !known.contains(ip) {
                known.push(*ip);
            }
        }
    }
}

/// Adds the ends of a name, which exist because it does (RFC 8020).
fn add_parents<T: Default>(names: &mut HashMap<Box<str>, T>, name: &str) {
    let mut rest = name;
    while let Some((_, parent)) = rest.split_once('.') {
        if names.contains_key(parent) {
            break;
        }
        names.insert(parent.into(), T::default());
        rest = parent;
    }
}

/// Returns what precedes the domain of the cluster in a name in lower case; empty for the domain itself.
fn in_domain(name: &str) -> Option<&str> {
    let rest = name.strip_suffix(CLUSTER_DOMAIN)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_suffix('.') }
}

impl<'a> View<'a> {
    /// Returns whether the client's questions for outside names are sent to the host's name servers.
    pub(super) fn reaches_outside(&self) -> bool {
        self.reaches_outside
    }

    fn networks(&self) -> impl Iterator<Item = &'a NetworkZone> {
        let zone = self.zone;
        self.networks.iter().filter_map(move |index| zone.networks.get(*index))
    }

    /// Looks up a name in lower case without a dot at its end.
    pub(super) fn look_up(&self, name: &str) -> Lookup<'a> {
        if let Some(reverse) = ReverseName::parse(name) {
            return self.look_up_address(&reverse);
        }
        let below = in_domain(name);
        let found = self.look_up_key(below.unwrap_or(name));
        match below {
            Some(key) => {
                let found = found.unwrap_or_else(|| match key {
                    "" => Found::Apex,
                    "dns-version" => Found::Version(DNS_VERSION),
                    "ns.dns" => Found::NameServer(self.gateways()),
                    "dns" => Found::NoData,
                    _ => Found::NoSuchName,
                });
                Lookup { found, zone_labels: Some(2) }
            }
            // Names without the domain have no ends of their own: `svc` exists only as `svc.cluster.local`.
            None => match found {
                Some(found) if found != Found::NoData => Lookup { found, zone_labels: None },
                _ => Lookup { found: Found::Elsewhere, zone_labels: None },
            },
        }
    }

    /// Looks up a name without the domain. Services come first.
    fn look_up_key(&self, key: &str) -> Option<Found<'a>> {
        let service = self.zone.services.get(key);
        match service {
            // The name of a headless Service without endpoints.
            Some(Some(records)) if records.is_empty() => return Some(Found::NoData),
            Some(Some(records)) => return Some(Found::Service(records)),
            Some(None) | None => {}
        }
        let (mut exists, mut ips) = (service.is_some(), Vec::new());
        for of_name in self.networks().filter_map(|network| network.addresses.get(key)) {
            exists = true;
            ips.extend(of_name.iter().copied());
        }
        match (exists, ips.is_empty()) {
            (false, _) => None,
            (true, true) => Some(Found::NoData),
            (true, false) => Some(Found::Endpoint(ips)),
        }
    }

    fn gateways(&self) -> Vec<IpAddr> {
        self.networks().flat_map(|network| &network.subnets).map(|subnet| subnet.gateway).collect()
    }

    fn look_up_address(&self, name: &ReverseName) -> Lookup<'a> {
        let ranges = self.zone.subnets().chain(&self.zone.service_ranges);
        let zone_labels = ranges.filter(|range| range.contains(&name.net)).map(reverse::zone_labels).next();
        let names = name.address().map(|ip| self.names_of(ip)).unwrap_or_default();
        let found = match (zone_labels, names.is_empty()) {
            (_, false) => Found::Pointers(names),
            (None, true) => Found::Elsewhere,
            // A part of an address has no data, but what is below it may.
            (Some(_), true) if name.is_exact && name.address().is_none() => Found::NoData,
            (Some(_), true) => Found::NoSuchName,
        };
        Lookup { found, zone_labels }
    }

    /// Returns the names of an address: those of Services, else that of an endpoint. Where an address has the name of
    /// a headless Service and one below it, only the latter is its own.
    fn names_of(&self, ip: IpAddr) -> Vec<&'a str> {
        if let Some(names) = self.zone.service_addresses.get(&ip) {
            let is_end =
                |end: &str, name: &str| name.strip_suffix(end).is_some_and(|rest| rest.ends_with('.'));
            let own = names.iter().filter(|name| !names.iter().any(|other| is_end(name, other)));
            return own.map(|name| &**name).collect();
        }
        self.networks().find_map(|network| network.names.get(&ip)).map(|name| &**name).into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
