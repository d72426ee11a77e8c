//! The firewall rules of a network. Each network has its own table in nftables (nft(8)), which is written as a whole,
//! in one transaction, from the records. netavark's own driver shares one table among all networks of the host, reads
//! it before it changes it, and never removes it; it needs four runs of `nft` where this module needs one.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::net::IpAddr;

use netavark::error::{NetavarkError, NetavarkResult};
use netavark::firewall::{FirewallDriver, firewalld};
use netavark::network::internal_types::{
    PortForwardConfig, SetupNetwork, TearDownNetwork, TeardownPortForward,
};

use crate::bridge::{BRIDGE_PREFIX, Network};
use crate::dns::DNS_PORT;
use crate::lease::Interface;
use crate::nft::{self, ADMIN_DIRS, Change};
use crate::{Error, Port};

/// Ports that are published for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    pub ips: Vec<IpAddr>,
    pub ports: Vec<Port>,
}

impl Published {
    /// Returns the ports that an endpoint publishes in `network`. All its ports are published by its first interface
    /// that can be reached from outside, none by the others.
    pub(crate) fn by(interfaces: &[Interface], ports: &[Port], network: &str) -> Option<Self> {
        let interface = interfaces.iter().find(|i| !i.network.internal)?;
        (interface.network.name == network && !ports.is_empty())
            .then(|| Self { ips: interface.ips.clone(), ports: ports.to_vec() })
    }
}

/// The rules of one network, which netavark puts in place at the right moment.
pub(crate) struct NetworkTable {
    network: Network,
    published: Vec<Published>,
    dns_port: u16,
    /// True if exactly these rules are in place, unless another program has removed them.
    stands: bool,
}

impl NetworkTable {
    /// Fails if there is no `nft`. Adds the administrator's folders to this process' PATH if `nft` is only there.
    pub(crate) fn new(network: &Network, published: Vec<Published>, dns_port: u16) -> Result<Self, Error> {
        let path = env::var("PATH").unwrap_or_default();
        if nft::find_in(&path).is_none() {
            if nft::find_nft().is_none() {
                return Err(Error::NftMissing);
            }
            // SAFETY: `Networks` demands a single-threaded process, so no thread reads the environment now.
            unsafe { env::set_var("PATH", format!("{path}:{ADMIN_DIRS}")) };
        }
        Ok(Self { network: network.clone(), published, dns_port, stands: false })
    }

    /// Sets whether the rules are known to be in place. If they are, nothing is done unless the table has been removed,
    /// for example by `nft flush ruleset`.
    pub(crate) fn standing(self, stands: bool) -> Self {
        Self { stands, ..self }
    }

    /// Puts the rules in place, whatever the table contains now.
    pub(crate) fn apply(&self) -> Result<(), Error> {
        self.begin().map_or(Ok(()), |change| change?.finish())
    }

    /// Starts to put the rules in place; the devices that they name may be created meanwhile. Returns `None` if there
    /// is nothing to do.
    pub(crate) fn begin(&self) -> Option<Result<Change, Error>> {
        (!self.stands || !is_whole(&self.network.bridge)).then(|| self.change())
    }

    fn change(&self) -> Result<Change, Error> {
        base::fail_point!(Worker, "rules-missing");
        Change::begin(&ruleset(&self.network, &self.published, self.dns_port), self.doing())
    }

    fn doing(&self) -> String {
        format!("set the firewall rules of network `{}`", self.network.name)
    }

    /// Returns the name of the rules' network.
    pub(crate) fn name(&self) -> &str {
        &self.network.name
    }

    /// Returns whether the table exists with the right numbers of chains and rules.
    pub(crate) fn is_in_place(&self) -> bool {
        let script = ruleset(&self.network, &self.published, self.dns_port);
        is_whole(&self.network.bridge)
            && nft::count_rules(&self.network.bridge).ok() == Some(rules_in(&script))
    }

    /// Removes all rules of the network. Does nothing if there are none.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        // Only an existing table can be deleted, so the table is added first.
        let table = &self.network.bridge;
        Change::begin(&format!("add table inet {table}\ndelete table inet {table}\n"), self.doing())?.finish()
    }
}

/// The number of chains in [`ruleset`]; the kernel counts a table's sets too.
const CHAINS: u32 = 7;

/// Returns whether one of our tables exists with all its chains. If the kernel does not answer, the table counts as
/// missing.
fn is_whole(table: &str) -> bool {
    nft::size_of_table(table).is_some_and(|size| size >= CHAINS)
}

/// Returns the number of rules that a script of [`ruleset`] creates.
fn rules_in(script: &str) -> usize {
    let is_rule = |line: &&str| {
        let first = line.split_ascii_whitespace().next().unwrap_or_default();
        !matches!(first, "" | "#" | "}" | "table" | "chain" | "type")
    };
    let filled = script.split_once("flush table").map_or("", |(_, filled)| filled);
    filled.lines().skip(1).filter(is_rule).count()
}

/// Returns the table of a network as a script for `nft -f`. The table is flushed and filled in one transaction, so that
/// no packet passes an incomplete table.
fn ruleset(network: &Network, published: &[Published], dns_port: u16) -> String {
    let bridge = &network.bridge;
    let ports: String = port_maps(published).iter().map(|map| format!("    {map}\n")).collect();
    let dns = if dns_port == DNS_PORT {
        String::new()
    } else {
        format!(
            "    iifname \"{bridge}\" fib daddr type local meta l4proto {{ tcp, udp }} th dport {DNS_PORT} redirect to :{dns_port}\n"
        )
    };
    let source = source_rules(network, published);
    let forward = forward_rules(network);
    format!(
        r#"table inet {bridge} {{
  chain ports {{
  }}
  chain raw {{
    type filter hook prerouting priority -300; policy accept;
  }}
  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
  }}
  chain forward {{
    type filter hook forward priority 0; policy accept;
  }}
  chain input {{
    type filter hook input priority 0; policy accept;
  }}
}}
flush table inet {bridge}
table inet {bridge} {{
  chain ports {{
{ports}  }}
  chain raw {{
    # A loopback address on the wire is forged: by a neighbour that routes it here, by a pod that may write raw
    # packets. The kernel looks for that only after a published port has changed the address.
    iifname != "lo" ip daddr 127.0.0.0/8 drop
    iifname != "lo" ip saddr 127.0.0.0/8 drop
    iifname != "lo" ip6 daddr ::1 drop
    iifname != "lo" ip6 saddr ::1 drop
  }}
  chain prerouting {{
{dns}    fib daddr type local jump ports
  }}
  chain output {{
    # The kernel delivers nothing from ::1 to another interface: refused at once is better than no answer.
    ip6 daddr ::1 return
    fib daddr type local jump ports
  }}
  chain postrouting {{
    # Answers to a published port must come back this way: from the host's loopback, from the pods themselves.
    oifname "{bridge}" ip saddr 127.0.0.0/8 ct status dnat masquerade
{source}  }}
  chain forward {{
    iifname "{bridge}" ct state invalid drop
{forward}  }}
  chain input {{
    # Publishing to the loopback opens it (route_localnet): only for answers.
    iifname "{bridge}" ip daddr 127.0.0.0/8 ct state new,invalid,untracked drop
  }}
}}
"#
    )
}

/// Returns the rules about the source addresses of packets that leave through the bridge or come from its pods.
fn source_rules(network: &Network, published: &[Published]) -> String {
    let bridge = &network.bridge;
    let mut rules = String::new();
    if network.internal {
        for net in network.nets() {
            let f = family(net.addr());
            // Pods of an internal network have no route to others, so these must seem to come from the bridge.
            let _ = writeln!(rules, "    oifname \"{bridge}\" {f} saddr != {net} ct status dnat masquerade");
        }
        return rules;
    }
    for is_ipv6 in [false, true] {
        let ips = published.iter().flat_map(|endpoint| &endpoint.ips).filter(|ip| ip.is_ipv6() == is_ipv6);
        let pairs: Vec<String> = ips.map(|ip| format!("{ip} . {ip}")).collect();
        if !pairs.is_empty() {
            let f = if is_ipv6 { "ip6" } else { "ip" };
            // A pod that reaches itself would answer itself.
            let _ = writeln!(
                rules,
                "    oifname \"{bridge}\" {f} saddr . {f} daddr {{ {} }} ct status dnat masquerade",
                pairs.join(", ")
            );
        }
    }
    // A pod that is reached by a published port or a Service sees who it is, and answers by way of this host.
    let _ = writeln!(rules, "    oifname \"{BRIDGE_PREFIX}*\" ct status dnat return");
    for net in network.nets() {
        let (f, multicast) =
            (family(net.addr()), if net.addr().is_ipv4() { "224.0.0.0/4" } else { "ff00::/8" });
        let _ = writeln!(
            rules,
            "    oifname != \"{bridge}\" {f} saddr {net} {f} daddr != {multicast} masquerade"
        );
    }
    rules
}

/// Returns the rules about what is forwarded from and to the bridge.
fn forward_rules(network: &Network) -> String {
    let bridge = &network.bridge;
    if network.internal {
        return format!(
            r#"    iifname "{bridge}" oifname "{bridge}" accept
    # An internal network has no way out, not by a Service either.
    iifname "{bridge}" oifname != "{BRIDGE_PREFIX}*" ct direction original drop
    ct status dnat accept
    iifname "{bridge}" drop
    oifname "{bridge}" drop
"#
        );
    }
    format!(
        r#"    ct status dnat accept
    # Networks do not see each other.
    oifname "{bridge}" iifname != "{bridge}" iifname "{BRIDGE_PREFIX}*" ct state new drop
"#
    )
}

/// Returns the word of nftables for the family of an address.
fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "ip" } else { "ip6" }
}

/// Returns one rule per kind of published ports. All ports of a kind are in one map, because a packet is then looked up
/// once, and `nft` reads a thousand elements faster than a thousand rules.
fn port_maps(published: &[Published]) -> Vec<String> {
    let mut maps: BTreeMap<(bool, bool), BTreeMap<String, String>> = BTreeMap::new();
    for endpoint in published {
        for port in &endpoint.ports {
            for ip in endpoint.ips.iter().filter(|ip| takes(port, **ip)) {
                let host_ip = port.host_ip.filter(|host_ip| !host_ip.is_unspecified());
                let daddr = host_ip.map(|host_ip| format!("{host_ip} . ")).unwrap_or_default();
                let key = format!("{daddr}{} . {}", port.protocol, port.host_port);
                // Two ports that conflict were refused before; `nft` would refuse the whole table.
                let map = maps.entry((ip.is_ipv6(), host_ip.is_none())).or_default();
                map.entry(key).or_insert_with(|| format!("{ip} . {}", port.container_port));
            }
        }
    }
    let rule = |((is_ipv6, any), map): ((bool, bool), BTreeMap<String, String>)| {
        let family = if is_ipv6 { "ip6" } else { "ip" };
        let daddr = if any { String::new() } else { format!("{family} daddr . ") };
        let elements: Vec<String> = map.into_iter().map(|(key, to)| format!("{key} : {to}")).collect();
        let elements = elements.join(", ");
        format!("dnat {family} to {daddr}meta l4proto . th dport map {{ {elements} }}")
    };
    maps.into_iter().map(rule).collect()
}

/// Returns whether packets to a published port are sent to an endpoint's address: only those of the same family are.
fn takes(port: &Port, ip: IpAddr) -> bool {
    port.host_ip.is_none_or(|host_ip| host_ip.is_ipv4() == ip.is_ipv4())
}

/// netavark calls this driver at the right moments; the rules themselves are ours.
impl FirewallDriver for NetworkTable {
    fn setup_network(
        &self,
        setup: SetupNetwork,
        dbus: &Option<zbus::blocking::Connection>,
    ) -> NetavarkResult<()> {
        // A running firewalld must be asked to let these subnets pass.
        for subnet in setup.subnets.iter().flatten() {
            firewalld::add_firewalld_if_possible(dbus, subnet);
        }
        Ok(())
    }

    fn setup_port_forward(
        &self,
        setup: PortForwardConfig,
        dbus: &Option<zbus::blocking::Connection>,
    ) -> NetavarkResult<()> {
        // The rules themselves have been started before the bridge was created.
        firewalld::check_can_forward_ports(dbus, &setup)
    }

    fn teardown_network(&self, teardown: TearDownNetwork) -> NetavarkResult<()> {
        for subnet in teardown.config.subnets.iter().flatten() {
            firewalld::rm_firewalld_if_possible(subnet);
        }
        Ok(())
    }

    fn teardown_port_forward(&self, teardown: TeardownPortForward) -> NetavarkResult<()> {
        let done = if teardown.complete_teardown { self.remove() } else { self.apply() };
        done.map_err(|e| NetavarkError::msg(e.to_string()))
    }

    fn driver_name(&self) -> &'static str {
        "nftables"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Subnet;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    fn network() -> Network {
        let subnet = |subnet: &str, gateway: &str| Subnet {
            subnet: subnet.parse().unwrap(),
            gateway: gateway.parse().unwrap(),
        };
        Network {
            name: "kube".to_owned(),
            id: "0".repeat(64),
            bridge: "kube-12345678".to_owned(),
            subnets: vec![subnet("10.1.2.0/24", "10.1.2.1"), subnet("fd00:1::/64", "fd00:1::1")],
            internal: false,
            subnets_chosen: true,
            made_for: None,
        }
    }

    fn port(host_ip: Option<&str>, host_port: u16, protocol: &str) -> Port {
        let host_ip = host_ip.map(|ip| ip.parse().unwrap());
        Port { host_ip, host_port, container_port: 80, protocol: protocol.to_owned() }
    }

    fn port_rules(ports: &[Port]) -> Vec<String> {
        let published = Published {
            ips: vec!["10.1.2.3".parse().unwrap(), "fd00:1::3".parse().unwrap()],
            ports: ports.to_vec(),
        };
        let script = ruleset(&network(), &[published], 5300);
        script.lines().filter(|l| l.contains(" dnat ip")).map(|l| l.trim().to_owned()).collect()
    }

    #[test]
    fn a_port_goes_to_the_endpoints_address_of_the_same_family() {
        assert_eq!(
            port_rules(&[port(None, 8080, "tcp")]),
            [
                "dnat ip to meta l4proto . th dport map { tcp . 8080 : 10.1.2.3 . 80 }",
                "dnat ip6 to meta l4proto . th dport map { tcp . 8080 : fd00:1::3 . 80 }"
            ]
        );
        assert_eq!(
            port_rules(&[port(Some("127.0.0.1"), 53, "udp"), port(Some("::"), 90, "sctp")]),
            [
                "dnat ip to ip daddr . meta l4proto . th dport map { 127.0.0.1 . udp . 53 : 10.1.2.3 . 80 }",
                "dnat ip6 to meta l4proto . th dport map { sctp . 90 : fd00:1::3 . 80 }"
            ]
        );
        assert_eq!(
            port_rules(&[port(Some("0.0.0.0"), 81, "tcp")]),
            ["dnat ip to meta l4proto . th dport map { tcp . 81 : 10.1.2.3 . 80 }"]
        );
    }

    #[test]
    fn a_thousand_ports_are_as_many_rules_as_one() {
        let all: Vec<Port> = (1..1001).map(|n| port(None, n, "tcp")).collect();
        assert_eq!(port_rules(&all).len(), port_rules(&[port(None, 1, "tcp")]).len());
    }

    #[test]
    fn only_a_pod_that_reaches_itself_by_its_published_port_is_masqueraded() {
        let published =
            Published { ips: vec!["10.1.2.3".parse().unwrap()], ports: vec![port(None, 1, "tcp")] };
        let rules = source_rules(&network(), &[published]);
        assert!(
            rules.contains("ip saddr . ip daddr { 10.1.2.3 . 10.1.2.3 } ct status dnat masquerade"),
            "{rules}"
        );
        assert!(!source_rules(&network(), &[]).contains("dnat masquerade"));
    }

    #[test]
    fn a_ruleset_has_as_many_chains_as_the_check_expects() {
        for internal in [false, true] {
            let script = ruleset(&Network { internal, ..network() }, &[], 53);
            let (made, _) = script.split_once("flush table").unwrap();
            assert_eq!(made.matches("  chain ").count(), usize::try_from(CHAINS).unwrap());
        }
    }

    #[test]
    fn the_rules_of_a_script_are_counted() {
        assert_eq!(
            rules_in(
                "table inet x {\n}\nflush table inet x\ntable inet x {\n  chain a {\n    # no\n    type x\n    jump b\n  }\n}\n"
            ),
            1
        );
    }

    #[test]
    fn nft_accepts_the_rules() {
        let published = Published {
            ips: vec!["10.1.2.3".parse().unwrap(), "fd00:1::3".parse().unwrap()],
            ports: vec![
                port(None, 8080, "tcp"),
                port(Some("127.0.0.1"), 53, "udp"),
                port(Some("::1"), 9, "sctp"),
            ],
        };
        for internal in [false, true] {
            let network = Network { internal, ..network() };
            let script = ruleset(&network, std::slice::from_ref(&published), 5300);
            let mut child =
                Command::new("nft").args(["--check", "-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            assert!(child.wait().unwrap().success());
        }
    }
}
