//! What other machines of the LAN, and pods that write raw packets, can and cannot reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use network::Addresses;

use crate::instance::{Instance, free_port, get, inside, port, run, serve};

/// A separate host with one more machine on its LAN.
pub(crate) struct Lan {
    pub(crate) host: PathBuf,
    pub(crate) neighbour: PathBuf,
}

/// The host's addresses on the LAN.
pub(crate) const HOST: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

impl Lan {
    pub(crate) fn new(instance: &Instance) -> Self {
        let (host, neighbour) = (instance.endpoint("host").netns, instance.endpoint("neighbour").netns);
        let far_end = neighbour.to_str().unwrap();
        let link = ["link", "add", "lan0", "type", "veth", "peer", "name", "lan0", "netns", far_end];
        inside(&host, || ip(&link));
        for (netns, last) in [(&host, 1), (&neighbour, 2)] {
            inside(netns, || {
                ip(&["addr", "add", &format!("192.0.2.{last}/24"), "dev", "lan0"]);
                ip(&["addr", "add", &format!("2001:db8::{last}/64"), "dev", "lan0", "nodad"]);
                ip(&["link", "set", "lan0", "up"]);
            });
        }
        Self { host, neighbour }
    }
}

pub(crate) fn ip(args: &[&str]) {
    let output = std::process::Command::new("ip").args(args).output().unwrap();
    assert!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes a namespace send packets for loopback addresses to a router, as an attacker does.
fn route_loopback(netns: &Path, device: &str, via: &[IpAddr; 2]) {
    inside(netns, || {
        ip(&["link", "set", "lo", "down"]);
        for family in ["-4", "-6"] {
            run("ip", &[family, "addr", "flush", "dev", "lo"]);
        }
        ip(&["route", "add", "127.0.0.0/8", "via", &via[0].to_string(), "dev", device]);
        ip(&["-6", "route", "add", "::1/128", "via", &via[1].to_string(), "dev", device]);
    });
    let sysctls =
        ["all", device].map(|name| (format!("net.ipv4.conf.{name}.route_localnet"), "1".to_owned()));
    network::set_sysctls(netns, &sysctls).unwrap();
}

/// Returns true if a connection from a namespace succeeds. The timeout is short, because nothing is far away.
fn answers(netns: &Path, ip: IpAddr, port: u16) -> bool {
    let address = SocketAddr::new(ip, port);
    inside(netns, || TcpStream::connect_timeout(&address, Duration::from_millis(700)).is_ok())
}

/// Sets up a pod whose port 80 is published on `host_ip`, on a host with a LAN.
fn published(instance: &Instance, lan: &Lan, host_ip: Option<&str>) -> (u16, Addresses) {
    let mut web = instance.endpoint("web");
    let host_port = free_port();
    web.ports = vec![port(host_ip, host_port, 80, "tcp")];
    let got = instance.try_setup_on(&lan.host, &web).unwrap();
    serve(&web.netns, 80, "private");
    (host_port, got)
}

#[test]
fn a_neighbour_reaches_what_is_published_on_every_address() {
    let instance = Instance::new();
    let lan = Lan::new(&instance);
    let (host_port, _) = published(&instance, &lan, None);
    for ip in HOST {
        assert_eq!(inside(&lan.neighbour, || get((ip, host_port))).unwrap(), "private", "{ip}");
    }
    inside(&lan.host, || instance.teardown("web"));
}

#[test]
fn a_neighbour_that_routes_the_loopback_to_us_does_not_reach_what_is_published_there() {
    for host_ip in [Some("127.0.0.1"), None] {
        let instance = Instance::new();
        let lan = Lan::new(&instance);
        let (host_port, _) = published(&instance, &lan, host_ip);
        let local = |ip: IpAddr| (ip, host_port);
        let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
        assert_eq!(inside(&lan.host, || get(local(v4))).unwrap(), "private", "by the host itself");
        route_loopback(&lan.neighbour, "lan0", &HOST);
        for ip in [v4, v6] {
            assert!(!answers(&lan.neighbour, ip, host_port), "a neighbour got through by {ip}");
        }
        assert_eq!(inside(&lan.host, || get(local(v4))).unwrap(), "private", "by the host itself, still");
        inside(&lan.host, || instance.teardown("web"));
    }
}

#[test]
fn a_pod_that_routes_the_loopback_to_us_does_not_reach_what_is_published_there() {
    let instance = Instance::new();
    let lan = Lan::new(&instance);
    let (host_port, _) = published(&instance, &lan, Some("127.0.0.1"));
    let attacker = instance.endpoint("attacker");
    let got = instance.try_setup_on(&lan.host, &attacker).unwrap();
    route_loopback(&attacker.netns, "eth0", &[got.dns_servers[0], got.dns_servers[1]]);
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        assert!(!answers(&attacker.netns, ip, host_port), "another pod got through by {ip}");
    }
    inside(&lan.host, || instance.teardown("web"));
    inside(&lan.host, || instance.teardown("attacker"));
}

#[test]
fn a_port_of_one_address_is_not_reached_by_another_of_the_same_host() {
    let instance = Instance::new();
    let lan = Lan::new(&instance);
    let second = "2001:db8::53";
    inside(&lan.host, || ip(&["addr", "add", "2001:db8::53/64", "dev", "lan0", "nodad"]));
    let (host_port, _) = published(&instance, &lan, Some(second));
    let second: IpAddr = second.parse().unwrap();
    assert_eq!(inside(&lan.neighbour, || get((second, host_port))).unwrap(), "private");
    assert!(HOST.iter().all(|ip| !answers(&lan.neighbour, *ip, host_port)));
    inside(&lan.host, || instance.teardown("web"));
}

/// Returns a PATH that begins with a folder of `iptables` and `ip6tables` of one kind.
pub(crate) fn programs_of(kind: &str, dir: &Path) -> Option<std::ffi::OsString> {
    let path = std::env::var_os("PATH")?;
    for program in ["iptables", "ip6tables"] {
        let name = format!("{program}-{kind}");
        let found = std::env::split_paths(&path).map(|dir| dir.join(&name)).find(|file| file.is_file())?;
        std::os::unix::fs::symlink(found, dir.join(program)).unwrap();
    }
    Some(std::env::join_paths([dir.to_owned()].into_iter().chain(std::env::split_paths(&path))).unwrap())
}

#[test]
fn a_closed_forward_chain_lets_other_machines_reach_what_is_published() {
    for kind in ["nft", "legacy"] {
        let dir = tempfile::tempdir().unwrap();
        let path = programs_of(kind, dir.path()).unwrap_or_else(|| panic!("no iptables-{kind} here"));
        let instance = Instance::new();
        let lan = Lan::new(&instance);
        let program = |name: &str| format!("{}/{name}", dir.path().display());
        for name in ["iptables", "ip6tables"] {
            inside(&lan.host, || run(&program(name), &["-P", "FORWARD", "DROP"]));
        }
        let mut web = instance.endpoint("web");
        let host_port = free_port();
        web.ports = vec![port(None, host_port, 80, "tcp")];
        let mut setup = instance.command("setup", &serde_json::to_string(&web).unwrap());
        let output = inside(&lan.host, || setup.env("PATH", &path).output().unwrap());
        crate::instance::answer(&output).unwrap();
        serve(&web.netns, 80, "through");
        for ip in HOST {
            let got = inside(&lan.neighbour, || get((ip, host_port)));
            assert_eq!(got.unwrap(), "through", "by {ip}, with iptables-{kind}");
        }
        let mut teardown = instance.command("teardown", &web.id);
        inside(&lan.host, || teardown.env("PATH", &path).output().unwrap());
        let left = inside(&lan.host, || run(&program("iptables"), &["-S", "FORWARD"]));
        assert_eq!(left.trim(), "-P FORWARD DROP", "iptables-{kind}");
    }
}

#[test]
fn a_firewall_that_refuses_its_rules_is_told_once_for_each_chain() {
    let dir = tempfile::tempdir().unwrap();
    // The program lists the rules and refuses every change.
    for program in ["iptables", "ip6tables"] {
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *-S*) echo '-P INPUT ACCEPT'; echo '-P FORWARD DROP'; exit;; esac\n\
             echo '{program}: refused' >&2; exit 1\n"
        );
        let file = dir.path().join(format!("{program}-nft"));
        std::fs::write(&file, script).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let instance = Instance::new();
    let lan = Lan::new(&instance);
    inside(&lan.host, || run("iptables-nft", &["-P", "FORWARD", "DROP"]));
    let web = instance.endpoint("web");
    let mut setup = instance.command("setup", &serde_json::to_string(&web).unwrap());
    let output = inside(&lan.host, || setup.env("PATH", &path).output().unwrap());
    let got: Addresses = serde_json::from_str(&crate::instance::answer(&output).unwrap()).unwrap();
    let [warning] = got.warnings.as_slice() else { panic!("{:?}", got.warnings) };
    assert!(warning.contains("chain FORWARD") && warning.contains("iptables: refused"), "{warning}");
    inside(&lan.host, || instance.teardown("web"));
}
