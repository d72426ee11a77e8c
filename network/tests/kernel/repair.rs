//! Damage that other programs do to existing networks, and its repair by the next check.

use std::fs;
use std::path::Path;

use network::Repaired;

use crate::instance::{Instance, answer, free_port, get, inside, port, resolve, run, serve};
use crate::neighbours::{HOST, Lan, ip, programs_of};

/// A page published to a LAN.
struct Published {
    instance: Instance,
    lan: Lan,
    host_port: u16,
}

impl Published {
    fn new() -> Self {
        let instance = Instance::new();
        let lan = Lan::new(&instance);
        let mut web = instance.endpoint("web");
        let host_port = free_port();
        web.ports = vec![port(None, host_port, 80, "tcp")];
        instance.try_setup_on(&lan.host, &web).unwrap();
        serve(&web.netns, 80, "through");
        let published = Self { instance, lan, host_port };
        assert_eq!(published.look(), Repaired { is_new: true, ..Repaired::default() });
        published
    }

    /// Checks the networks as every command does.
    fn look(&self) -> Repaired {
        let mut look = self.instance.command("repair", "-");
        serde_json::from_str(&answer(&inside(&self.lan.host, || look.output().unwrap())).unwrap()).unwrap()
    }

    fn bridge(&self) -> String {
        self.instance.network("kube").bridge
    }

    /// Returns true if the neighbour can load the page from all addresses of the host.
    fn is_reached(&self) -> bool {
        HOST.iter().all(|ip| {
            let address = std::net::SocketAddr::new(*ip, self.host_port);
            let wait = std::time::Duration::from_millis(700);
            inside(&self.lan.neighbour, || std::net::TcpStream::connect_timeout(&address, wait).is_ok())
        })
    }

    /// Breaks something, and verifies that the next check repairs it and that the check after that has nothing to do.
    fn survives(&self, what: &str, message: &str, break_it: impl FnOnce() + Send) {
        inside(&self.lan.host, break_it);
        let repaired = self.look();
        assert!(repaired.mended.iter().any(|line| line.contains(message)), "{what}: {repaired:?}");
        assert!(repaired.problems.is_empty(), "{what}: {repaired:?}");
        assert!(self.is_reached(), "{what}: not reached after it was mended");
        let again = self.look();
        assert_eq!(again, Repaired::default(), "{what}: it is looked at once");
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        inside(&self.lan.host, || self.instance.teardown("web"));
    }
}

#[test]
fn rules_that_were_flushed_are_made_anew() {
    let published = Published::new();
    published.survives("nft flush ruleset", "firewall rules", || drop(run("nft", &["flush", "ruleset"])));
    let bridge = published.bridge();
    // `nft flush table` keeps the table and its chains.
    published.survives("nft flush table", "firewall rules", || {
        run("nft", &["flush", "table", "inet", &bridge]);
    });
    published.survives("nft delete chain", "firewall rules", || {
        run("nft", &["flush", "chain", "inet", &bridge, "ports"]);
    });
}

#[test]
fn a_chain_that_is_closed_later_is_opened() {
    for kind in ["nft", "legacy"] {
        let dir = tempfile::tempdir().unwrap();
        programs_of(kind, dir.path()).unwrap_or_else(|| panic!("no iptables-{kind} here"));
        let published = Published::new();
        let program = |name: &str| format!("{}/{name}", dir.path().display());
        // dockerd does this when it starts.
        published.survives(kind, "FORWARD", || {
            for name in ["iptables", "ip6tables"] {
                run(&program(name), &["-P", "FORWARD", "DROP"]);
            }
        });
        // `ufw reload` does this: the rules of the bridge are gone, the policy stays.
        published.survives(kind, "FORWARD", || {
            for name in ["iptables", "ip6tables"] {
                run(&program(name), &["-F", "FORWARD"]);
            }
        });
    }
}

#[test]
fn sysctls_that_were_reset_are_set_again() {
    let published = Published::new();
    published.survives("ip_forward", "net.ipv4.ip_forward", || {
        fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
    });
    published.survives("forwarding", "net.ipv6.conf.all.forwarding", || {
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "0").unwrap();
    });
    let file = format!("/proc/sys/net/ipv4/conf/{}/route_localnet", published.bridge());
    published.survives("route_localnet", "route_localnet", || fs::write(&file, "0").unwrap());
    let local = inside(&published.lan.host, || get(([127, 0, 0, 1], published.host_port)));
    assert_eq!(local.unwrap(), "through");
}

#[test]
fn addresses_that_were_taken_from_a_bridge_are_given_back() {
    let published = Published::new();
    let bridge = published.bridge();
    published.survives("ip addr flush", "has lost", || ip(&["addr", "flush", "dev", &bridge]));
    let gateway = published.instance.network("kube").subnets[0].gateway;
    let web = published.instance.netns("web");
    assert_eq!(inside(&web, || resolve(gateway, "web", 4)).len(), 1, "names are found again");
}

#[test]
fn what_cannot_be_mended_is_told_once_as_new_and_stays_a_problem() {
    let published = Published::new();
    let bridge = published.bridge();
    inside(&published.lan.host, || ip(&["link", "del", &bridge]));
    let first = published.look();
    assert!(first.is_new && first.problems.iter().any(|line| line.contains("is gone")), "{first:?}");
    let second = published.look();
    assert_eq!((second.is_new, second.problems), (false, first.problems));
}

#[test]
fn a_look_at_what_nothing_happened_to_writes_nothing() {
    let published = Published::new();
    let checked = |path: &Path| fs::metadata(path.join("checked.json")).unwrap().modified().unwrap();
    let (_, run_dir) = published.instance.dirs();
    let before = checked(&run_dir);
    assert_eq!(published.look(), Repaired::default());
    assert_eq!(checked(&run_dir), before);
}
