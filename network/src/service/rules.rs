//! The rules of Services, as kube-proxy's for nftables (KEP-3866): a map from addresses and ports to chains, and a chain
//! per port that picks an endpoint. Pure.
//!
//! The rules of a pod's own network see the packet after its destination has changed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::table::{Chain, Set, SetKind, Table};
use super::{Protocol, Service, ServicePort};
use crate::subnet;

/// Everything that the rules follow from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The Services, without the ports of the host that others have.
    pub services: Vec<Service>,
    /// The bridges of the instance. Only their pods, and the host, reach the addresses of Services.
    pub bridges: Vec<String>,
    /// The subnets of the instance's networks.
    pub subnets: Vec<IpNet>,
    /// The ranges of the Services' addresses.
    pub ranges: Vec<IpNet>,
    /// Whether ports of the host are reached by ::1 too.
    #[serde(default)]
    pub by_ipv6_loopback: bool,
}

/// The families, with the words of nftables for them.
const FAMILIES: [Family; 2] = [
    Family { digit: 4, ip: "ip", kind: "ipv4_addr", nfproto: "ipv4" },
    Family { digit: 6, ip: "ip6", kind: "ipv6_addr", nfproto: "ipv6" },
];

#[derive(Clone, Copy)]
struct Family {
    digit: u8,
    ip: &'static str,
    kind: &'static str,
    nfproto: &'static str,
}

impl Family {
    fn has(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == (self.digit == 4)
    }
}

/// The longest name of a chain or set that is made of a Service's name; the kernel allows 255 bytes (NFT_NAME_MAXLEN).
const LONGEST_NAME: usize = 180;

/// How many clients an endpoint remembers for sessionAffinity. More make the kernel forget none: they are not
/// remembered, and each of their connections goes to any endpoint.
const CLIENTS: u32 = 65_535;

impl Protocol {
    /// Returns the word for the protocol: `tcp`, `udp` or `sctp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// An address and port to which clients send, of one Service. `None` means every address of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Frontend {
    pub ip: Option<IpAddr>,
    pub port: u16,
}

/// Returns the addresses and ports to which clients of a Service's port send.
pub(crate) fn frontends(service: &Service, port: &ServicePort) -> Vec<Frontend> {
    let on = |ip: &IpAddr| Frontend { ip: Some(*ip), port: port.port };
    let mut all: Vec<Frontend> = service.cluster_ips.iter().chain(&service.external_ips).map(on).collect();
    let of_host = port.node_port.into_iter().chain(port.load_balancer.then_some(port.port));
    all.extend(of_host.map(|port| Frontend { ip: None, port }));
    all.sort_unstable();
    all.dedup();
    all
}

impl Plan {
    /// Returns whether no packet is to be changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Returns the ports of Services that have an address or a port of the host.
    fn ports(&self) -> impl Iterator<Item = (&Service, &ServicePort)> {
        let all =
            self.services.iter().flat_map(|service| service.ports.iter().map(move |port| (service, port)));
        all.filter(|(service, port)| !frontends(service, port).is_empty())
    }

    fn is_pod(&self, ip: IpAddr) -> bool {
        self.subnets.iter().any(|subnet| subnet.contains(&ip))
    }

    /// Returns whether a Service takes ports of every address of the host.
    pub(crate) fn has_ports_of_host(&self) -> bool {
        let mut ports = self.services.iter().flat_map(|service| &service.ports);
        ports.any(|port| port.node_port.is_some() || port.load_balancer)
    }

    /// Returns whether the host has to forward packets that do not come from or go to a bridge.
    pub(crate) fn has_endpoints_elsewhere(&self) -> bool {
        self.ports().any(|(_, port)| port.endpoints.iter().any(|endpoint| !self.is_pod(endpoint.ip())))
    }

    /// Returns the whole table.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table { sets: self.sets(), chains: BTreeMap::new() };
        for (name, hook, rules) in self.base_chains() {
            table.chains.insert(name.to_owned(), Chain { hook, rules });
        }
        for (service, port) in self.ports() {
            self.add_port(&mut table, service, port);
        }
        table
    }

    fn sets(&self) -> BTreeMap<String, Set> {
        let mut sets = BTreeMap::new();
        let mut add = |name: String, kind, definition: &str| sets.insert(name, Set::new(kind, definition));
        for Family { digit, kind, .. } in FAMILIES {
            let port = format!("type {kind} . inet_proto . inet_service");
            add(format!("cluster{digit}"), SetKind::Map, &format!("{port} : verdict;"));
            add(format!("external{digit}"), SetKind::Map, &format!("{port} : verdict;"));
            add(format!("refused{digit}"), SetKind::Set, &format!("{port};"));
            add(format!("elsewhere{digit}"), SetKind::Set, &format!("{port};"));
            add(format!("self{digit}"), SetKind::Set, &format!("type {kind} . {kind};"));
        }
        add("local".to_owned(), SetKind::Map, "type inet_proto . inet_service : verdict;");
        add("bridges".to_owned(), SetKind::Set, "type ifname;");
        for bridge in &self.bridges {
            if let Some(set) = sets.get_mut("bridges") {
                set.elements.insert(format!("\"{bridge}\""), String::new());
            }
        }
        sets
    }

    /// Returns the chains that do not depend on Services: name, hook, rules.
    fn base_chains(&self) -> [(&'static str, Option<&'static str>, Vec<String>); 7] {
        let mut raw = vec![
            // A loopback address on the wire is forged.
            "iifname != \"lo\" ip daddr 127.0.0.0/8 drop".to_owned(),
            "iifname != \"lo\" ip saddr 127.0.0.0/8 drop".to_owned(),
            "iifname != \"lo\" ip6 daddr ::1 drop".to_owned(),
            "iifname != \"lo\" ip6 saddr ::1 drop".to_owned(),
        ];
        let mut to_unused = Vec::new();
        for range in &self.ranges {
            let f = if range.addr().is_ipv4() { "ip" } else { "ip6" };
            // A neighbour that routes the range here gets no answer.
            raw.push(format!("iifname != \"lo\" iifname != @bridges {f} daddr {range} drop"));
            let own = subnet::gateway(range);
            to_unused.push(format!("{f} daddr {range} {f} daddr != {own} goto refuse"));
        }
        let (mut from_bridges, mut from_anywhere, mut source) = (Vec::new(), Vec::new(), Vec::new());
        for Family { digit, ip, .. } in FAMILIES {
            let to = format!("{ip} daddr . meta l4proto . th dport");
            from_bridges.push(format!("{to} vmap @cluster{digit}"));
            from_anywhere.push(format!("{to} vmap @external{digit}"));
            // A packet that still has an external address found no endpoint.
            to_unused.push(format!("{to} @refused{digit} goto refuse"));
            // A pod that reaches itself would answer itself.
            source.push(format!("{ip} saddr . {ip} daddr @self{digit} ct status dnat masquerade"));
            // An endpoint elsewhere would answer the client, which does not know it.
            source.push(format!("oifname != \"lo\" ct status dnat {to} @elsewhere{digit} masquerade"));
        }
        let to_host = "fib daddr type local meta l4proto . th dport vmap @local".to_owned();
        let prerouting = from_bridges.iter().map(|rule| format!("iifname @bridges {rule}"));
        let prerouting = prerouting.chain(from_anywhere.clone()).chain([to_host.clone()]).collect();
        let mut output: Vec<String> = from_bridges.into_iter().chain(from_anywhere).collect();
        let mut sent = to_unused.clone();
        if self.by_ipv6_loopback {
            // Answers to ::1 come back by a bridge only, which has a route to it.
            source.push("oifname @bridges ip6 saddr ::1 ct status dnat masquerade".to_owned());
            sent.push("ip6 saddr ::1 oifname != \"lo\" oifname != @bridges goto refuse".to_owned());
        } else {
            output.push("ip6 daddr ::1 return".to_owned());
        }
        output.push(to_host);
        let refuse = vec!["meta l4proto tcp reject with tcp reset".to_owned(), "reject".to_owned()];
        // `forwarded` and `sent` come before the filters of others, because what these drop is not refused at once.
        [
            ("raw", Some("type filter hook prerouting priority -300"), raw),
            ("prerouting", Some("type nat hook prerouting priority -100"), prerouting),
            ("output", Some("type nat hook output priority -100"), output),
            ("postrouting", Some("type nat hook postrouting priority 100"), source),
            ("forwarded", Some("type filter hook forward priority -5"), to_unused),
            ("sent", Some("type filter hook output priority -5"), sent),
            ("refuse", None, refuse),
        ]
    }

    /// Adds what makes connections to one port of a Service go to its endpoints.
    fn add_port(&self, table: &mut Table, service: &Service, port: &ServicePort) {
        let name = chain_name(service, port);
        let protocol = port.protocol.as_str();
        let mut add = |set: String, element: String, value: String| {
            if let Some(set) = table.sets.get_mut(&set) {
                // Of two Services that name the same address and port, the first one gets it.
                set.elements.entry(element).or_insert(value);
            }
        };
        for Frontend { ip, port } in frontends(service, port) {
            let to_chain = format!("goto {name}");
            let Some(ip) = ip else {
                add("local".to_owned(), format!("{protocol} . {port}"), to_chain);
                continue;
            };
            let digit = if ip.is_ipv4() { 4 } else { 6 };
            let element = format!("{ip} . {protocol} . {port}");
            if service.external_ips.contains(&ip) {
                add(format!("external{digit}"), element.clone(), to_chain);
                add(format!("refused{digit}"), element, String::new());
            } else {
                add(format!("cluster{digit}"), element, to_chain);
            }
        }
        let mut endpoints = port.endpoints.clone();
        endpoints.sort_unstable();
        endpoints.dedup();
        for endpoint in &endpoints {
            let (ip, digit) = (endpoint.ip(), if endpoint.is_ipv4() { 4 } else { 6 });
            if self.is_pod(ip) {
                add(format!("self{digit}"), format!("{ip} . {ip}"), String::new());
            } else {
                add(
                    format!("elsewhere{digit}"),
                    format!("{ip} . {protocol} . {}", endpoint.port()),
                    String::new(),
                );
            }
        }
        let mut rules = Vec::new();
        for family in FAMILIES {
            let endpoints: Vec<SocketAddr> =
                endpoints.iter().filter(|endpoint| family.has(endpoint.ip())).copied().collect();
            if endpoints.is_empty() {
                continue;
            }
            match service.affinity {
                None => rules.push(any_of(family, protocol, &endpoints)),
                Some(seconds) => add_sticky(table, &mut rules, family, protocol, &name, &endpoints, seconds),
            }
        }
        table.chains.insert(name, Chain { hook: None, rules });
    }
}

/// Returns the rule that sends a connection to any of some endpoints.
fn any_of(Family { ip, .. }: Family, protocol: &str, endpoints: &[SocketAddr]) -> String {
    let targets = endpoints.iter().enumerate();
    let targets: Vec<String> =
        targets.map(|(n, endpoint)| format!("{n} : {} . {}", endpoint.ip(), endpoint.port())).collect();
    format!(
        "meta l4proto {protocol} dnat {ip} to numgen random mod {} map {{ {} }}",
        endpoints.len(),
        targets.join(", ")
    )
}

/// Adds what makes the connections of one client go to one endpoint: each endpoint has a chain, which notes the client in
/// a set. The set has no time-out of its own, so that a change of it changes only rules, and the clients stay.
fn add_sticky(
    table: &mut Table,
    rules: &mut Vec<String>,
    Family { ip, kind, nfproto, .. }: Family,
    protocol: &str,
    name: &str,
    endpoints: &[SocketAddr],
    seconds: u32,
) {
    let mut targets = Vec::new();
    for (n, endpoint) in endpoints.iter().enumerate() {
        let (to, port) = (endpoint.ip(), endpoint.port());
        // No colon can be in a name.
        let own = format!("{name}/to/{}/{port}", to.to_string().replace(':', "_"));
        let clients = format!("{own}/clients");
        table.sets.insert(
            clients.clone(),
            Set::new(SetKind::Set, &format!("type {kind}; size {CLIENTS}; flags dynamic,timeout;")),
        );
        let target = if to.is_ipv4() { format!("{to}:{port}") } else { format!("[{to}]:{port}") };
        table.chains.insert(
            own.clone(),
            Chain {
                hook: None,
                rules: vec![
                    format!("update @{clients} {{ {ip} saddr timeout {seconds}s }}"),
                    format!("meta l4proto {protocol} dnat {ip} to {target}"),
                ],
            },
        );
        rules.push(format!("{ip} saddr @{clients} goto {own}"));
        targets.push(format!("{n} : goto {own}"));
    }
    rules.push(format!(
        "meta nfproto {nfproto} numgen random mod {} vmap {{ {} }}",
        endpoints.len(),
        targets.join(", ")
    ));
}

/// Returns the name of the chain of a Service's port: `port/NAMESPACE/NAME/tcp/80`. A name that `nft` would not read as a
/// word, or that is too long, is replaced by its hash.
fn chain_name(service: &Service, port: &ServicePort) -> String {
    let readable = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'/' | b'_');
    let name = &service.name;
    let fits = name.len() <= LONGEST_NAME && !name.is_empty() && name.bytes().all(readable);
    let name = if fits { name.clone() } else { subnet::hex(name, 32) };
    format!("port/{name}/{}/{}", port.protocol.as_str(), port.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(endpoints: &[&str]) -> Service {
        Service {
            name: "default/web".to_owned(),
            cluster_ips: ["10.96.0.7", "fd00::7"].map(|ip| ip.parse().unwrap()).to_vec(),
            external_ips: Vec::new(),
            affinity: None,
            ports: vec![ServicePort {
                protocol: Protocol::Tcp,
                port: 80,
                node_port: None,
                load_balancer: false,
                endpoints: endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect(),
            }],
        }
    }

    fn plan(service: Service) -> Plan {
        Plan {
            services: vec![service],
            bridges: vec!["kube-12345678".to_owned()],
            subnets: ["10.1.0.0/24", "fd01::/64"].map(|net| net.parse().unwrap()).to_vec(),
            ranges: ["10.96.0.0/20", "fd00::/112"].map(|net| net.parse().unwrap()).to_vec(),
            by_ipv6_loopback: false,
        }
    }

    fn rules(table: &Table, chain: &str) -> Vec<String> {
        table.chains[chain].rules.clone()
    }

    fn elements(table: &Table, set: &str) -> Vec<String> {
        table.sets[set]
            .elements
            .iter()
            .map(|(key, value)| format!("{key} {value}").trim().to_owned())
            .collect()
    }

    const CHAIN: &str = "port/default/web/tcp/80";

    #[test]
    fn a_port_has_a_chain_with_one_rule_per_family() {
        let table = plan(service(&["10.1.0.3:8080", "[fd01::3]:8080", "10.1.0.2:8080"])).table();
        assert_eq!(elements(&table, "cluster4"), [format!("10.96.0.7 . tcp . 80 goto {CHAIN}")]);
        assert_eq!(elements(&table, "cluster6"), [format!("fd00::7 . tcp . 80 goto {CHAIN}")]);
        assert_eq!(
            rules(&table, CHAIN),
            [
                "meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.1.0.2 . 8080, 1 : 10.1.0.3 . 8080 }",
                "meta l4proto tcp dnat ip6 to numgen random mod 1 map { 0 : fd01::3 . 8080 }"
            ]
        );
        assert_eq!(elements(&table, "self4"), ["10.1.0.2 . 10.1.0.2", "10.1.0.3 . 10.1.0.3"]);
    }

    #[test]
    fn a_port_without_endpoints_stays_in_the_maps_so_that_the_first_endpoint_changes_one_chain() {
        let (none, one) = (plan(service(&[])).table(), plan(service(&["10.1.0.2:8080"])).table());
        assert_eq!(rules(&none, CHAIN), [""; 0]);
        let script = none.difference(&one, "t");
        let lines: Vec<&str> = script.lines().collect();
        assert_eq!(
            lines,
            [
                "add element inet t self4 { 10.1.0.2 . 10.1.0.2 }".to_owned(),
                format!(
                    "add rule inet t {CHAIN} meta l4proto tcp dnat ip to numgen random mod 1 map {{ 0 : 10.1.0.2 . 8080 }}"
                ),
            ]
        );
    }

    #[test]
    fn ports_of_the_host_and_external_addresses_lead_to_the_same_chain() {
        let mut service = service(&["10.1.0.2:8080", "192.0.2.9:5432"]);
        service.external_ips = vec!["198.51.100.7".parse().unwrap()];
        service.ports[0].node_port = Some(30080);
        service.ports[0].load_balancer = true;
        let table = plan(service).table();
        assert_eq!(
            elements(&table, "local"),
            [format!("tcp . 30080 goto {CHAIN}"), format!("tcp . 80 goto {CHAIN}")]
        );
        assert_eq!(elements(&table, "external4"), [format!("198.51.100.7 . tcp . 80 goto {CHAIN}")]);
        assert_eq!(elements(&table, "refused4"), ["198.51.100.7 . tcp . 80"]);
        assert_eq!(elements(&table, "elsewhere4"), ["192.0.2.9 . tcp . 5432"], "no pod of ours");
    }

    #[test]
    fn affinity_keeps_the_clients_of_an_endpoint_when_another_one_comes() {
        let with = |endpoints: &[&str], seconds| {
            plan(Service { affinity: Some(seconds), ..service(endpoints) }).table()
        };
        let (one, two) = (with(&["10.1.0.2:8080"], 60), with(&["10.1.0.2:8080", "[fd01::3]:8080"], 60));
        let clients = format!("{CHAIN}/to/10.1.0.2/8080/clients");
        assert_eq!(
            rules(&two, &format!("{CHAIN}/to/10.1.0.2/8080")),
            [
                format!("update @{clients} {{ ip saddr timeout 60s }}"),
                "meta l4proto tcp dnat ip to 10.1.0.2:8080".to_owned()
            ]
        );
        assert!(two.sets.contains_key(&format!("{CHAIN}/to/fd01__3/8080/clients")), "no colon is in a name");
        assert!(!one.difference(&two, "t").contains(&format!("set inet t {clients}")));
        let longer = one.difference(&with(&["10.1.0.2:8080"], 90), "t");
        assert!(!longer.contains(" set ") && longer.contains("timeout 90s"), "{longer}");
    }

    #[test]
    fn names_are_words_of_nft_and_fit_the_kernel() {
        let name = |name: &str| {
            chain_name(&Service { name: name.to_owned(), ..service(&[]) }, &service(&[]).ports[0])
        };
        assert_eq!(name("ns/web.v1"), "port/ns/web.v1/tcp/80");
        for strange in ["", "a b", "a;b", "ä", &"x".repeat(LONGEST_NAME + 1)] {
            let name = name(strange);
            assert!(
                name.len() < 60 && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'/'),
                "{name}"
            );
        }
        let longest = Service {
            affinity: Some(1),
            name: "x".repeat(LONGEST_NAME),
            ..service(&["[1111:2222:3333:4444:5555:6666:7777:8888]:65535"])
        };
        let table = plan(longest).table();
        assert!(table.sets.keys().chain(table.chains.keys()).all(|name| name.len() <= 255));
    }

    #[test]
    fn the_range_is_closed_to_others_and_what_no_endpoint_takes_is_refused() {
        let table = plan(service(&[])).table();
        let raw = rules(&table, "raw");
        assert!(
            raw.contains(&"iifname != \"lo\" iifname != @bridges ip daddr 10.96.0.0/20 drop".to_owned()),
            "{raw:?}"
        );
        for chain in ["forwarded", "sent"] {
            let rule = "ip6 daddr fd00::/112 ip6 daddr != fd00::1 goto refuse".to_owned();
            assert!(rules(&table, chain).contains(&rule), "{chain}");
        }
        let prerouting = rules(&table, "prerouting");
        assert!(
            prerouting
                .iter()
                .filter(|rule| rule.contains("@cluster"))
                .all(|rule| rule.starts_with("iifname @bridges "))
        );
    }
}
