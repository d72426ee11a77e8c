//! Finds the owner of a host port: a listening socket, or an endpoint of this or another instance.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::host::PortClaim;
use crate::{Error, Port, route};

/// A socket of the host that would receive packets for a published port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listener {
    ip: IpAddr,
    port: u16,
    inode: u64,
}

/// TCP_LISTEN of the kernel's include/net/tcp_states.h, in the form of /proc/net/tcp.
const LISTEN: &str = "0A";
/// An unconnected UDP socket, in the same column.
const UNCONNECTED: &str = "07";

/// The ports from which Services get their node ports (`--service-node-port-range` of kube-apiserver).
pub const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// Returns an error for ports that cannot be published: invalid ones, duplicates, and ones that are taken by `claims`
/// (of other endpoints than `id` of this instance) or by sockets of the host.
pub(crate) fn check(instance: &Path, id: &str, ports: &[Port], claims: &[PortClaim]) -> Result<(), Error> {
    // The ports by number and protocol, so that the kernel is asked once. There may be very many ports.
    let mut wanted: HashMap<(u16, &str), Vec<&Port>> = HashMap::new();
    let mut claimed: HashMap<(u16, &str), Vec<(&Port, &PortClaim)>> = HashMap::new();
    for claim in claims.iter().filter(|claim| claim.id != id) {
        for port in &claim.ports {
            claimed.entry(key(port)).or_default().push((port, claim));
        }
    }
    let mut listening: HashMap<&str, Vec<Listener>> = HashMap::new();
    let mut addresses: HashMap<IpAddr, bool> = HashMap::new();
    for port in ports {
        check_one(port)?;
        let taken =
            |by: String| Err(Error::PortTaken { port: port.host_port, protocol: port.protocol.clone(), by });
        let same = wanted.entry(key(port)).or_default();
        if same.iter().any(|other| conflict(port, other)) {
            return taken("the same pod, which names it twice".to_owned());
        }
        same.push(port);
        let rivals = claimed.get(&key(port)).into_iter().flatten();
        if let Some((_, claim)) = rivals.into_iter().find(|(other, _)| conflict(port, other)) {
            return taken(claim.owner(instance));
        }
        let listeners = match listening.entry(&port.protocol) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(listeners(&port.protocol)?),
        };
        if let Some(listener) = listeners
            .iter()
            .find(|l| l.port == port.host_port && same_address(port.host_ip.unwrap_or(route::ANY[1]), l.ip))
        {
            return taken(owner(listener.inode));
        }
        if let Some(ip) = port.host_ip
            && !*addresses.entry(ip).or_insert_with(|| route::is_host_address(ip))
        {
            return Err(Error::NotAnAddressOfTheHost {
                ip,
                port: port.host_port,
                protocol: port.protocol.clone(),
            });
        }
    }
    Ok(())
}

fn key(port: &Port) -> (u16, &str) {
    (port.host_port, &port.protocol)
}

fn check_one(port: &Port) -> Result<(), Error> {
    if !matches!(port.protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(Error::UnknownProtocol(port.protocol.clone()));
    }
    if port.host_ip.is_some_and(|ip| ip.is_ipv6() && ip.is_loopback()) {
        return Err(Error::Ipv6Loopback(port.host_port));
    }
    if port.host_port == 0 || port.container_port == 0 {
        return Err(Error::PortZero);
    }
    Ok(())
}

/// Returns whether two ports receive the same packets.
fn conflict(a: &Port, b: &Port) -> bool {
    a.protocol == b.protocol
        && a.host_port == b.host_port
        && match (a.host_ip, b.host_ip) {
            (Some(a), Some(b)) => published_together(a, b),
            _ => true,
        }
}

/// `0.0.0.0` means every IPv4 address and `::` every IPv6 address; neither receives packets of the other family.
fn published_together(a: IpAddr, b: IpAddr) -> bool {
    a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
}

/// Returns whether a port published on `published` takes packets from a socket bound to `bound`. A socket on `::` may
/// receive IPv4 packets too (/proc does not show this), so it is assumed to do so.
fn same_address(published: IpAddr, bound: IpAddr) -> bool {
    let any = |ip: IpAddr| ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    published.to_canonical() == bound.to_canonical()
        || any(published)
        || any(bound)
        || (published.is_ipv4() == bound.is_ipv4() && (published.is_unspecified() || bound.is_unspecified()))
}

fn listeners(protocol: &str) -> Result<Vec<Listener>, Error> {
    let (files, state) = match protocol {
        "tcp" => (["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"], LISTEN),
        "udp" => (["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"], UNCONNECTED),
        // /proc/net/sctp/eps has other columns. If the kernel module is not loaded, no process can listen.
        _ => {
            let text = fs::read_to_string("/proc/thread-self/net/sctp/eps").unwrap_or_default();
            return Ok(parse_sctp(&text));
        }
    };
    let mut found = Vec::new();
    for file in files {
        match fs::read_to_string(file) {
            Ok(text) => found.extend(parse(&text, state)),
            // A kernel without IPv6.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("read", file.as_ref())(e)),
        }
    }
    Ok(found)
}

/// Returns the sockets in `state` listed in /proc/net/{tcp,udp}{,6} (proc_pid_net(5)): `sl local rem st tx:rx tr:tm
/// retrnsmt uid timeout inode ...`.
fn parse(text: &str, state: &str) -> Vec<Listener> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let local = fields.nth(1)?;
            let st = fields.nth(1)?;
            let inode = fields.nth(5)?.parse().ok()?;
            let (ip, port) = local.split_once(':')?;
            let port = u16::from_str_radix(port, 16).ok()?;
            (st == state).then_some(Listener { ip: parse_ip(ip)?, port, inode })
        })
        .collect()
}

/// Returns the sockets listed in /proc/net/sctp/eps: `ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS`.
fn parse_sctp(text: &str) -> Vec<Listener> {
    text.lines()
        .skip(1)
        .flat_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let port = fields.get(5).and_then(|p| p.parse().ok());
            let inode = fields.get(7).and_then(|i| i.parse().ok());
            let ips = fields.into_iter().skip(8).filter_map(|ip| ip.parse().ok());
            port.zip(inode)
                .map(|(port, inode)| ips.map(move |ip| Listener { ip, port, inode }).collect::<Vec<_>>())
                .unwrap_or_default()
        })
        .collect()
}

/// Parses an address of 32-bit words in the machine's byte order, in hexadecimal.
fn parse_ip(hex: &str) -> Option<IpAddr> {
    let word = |i: usize| -> Option<[u8; 4]> {
        Some(u32::from_str_radix(hex.get(i * 8..i * 8 + 8)?, 16).ok()?.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (i, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(i)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// Returns the process that has a socket: `nginx, pid 812`.
fn owner(inode: u64) -> String {
    let link = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let mut fds = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        if fds.any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == link.as_str())) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return format!("{}, pid {pid}", name.trim());
        }
    }
    "a process that this process cannot see".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    fn port(host_ip: Option<&str>, host_port: u16, protocol: &str) -> Port {
        let host_ip = host_ip.map(|ip| ip.parse().unwrap());
        Port { host_ip, host_port, container_port: 80, protocol: protocol.to_owned() }
    }

    fn check(id: &str, ports: &[Port], claims: &[PortClaim]) -> Result<(), Error> {
        super::check(Path::new("/i"), id, ports, claims)
    }

    fn claim(id: &str, ports: &[Port]) -> PortClaim {
        PortClaim {
            id: id.to_owned(),
            name: format!("pod-{id}"),
            instance: "/i".into(),
            netns: "/".into(),
            ports: ports.to_vec(),
            is_of_service: false,
        }
    }

    /// Returns this process' name as the kernel stores it (at most 15 bytes), and its pid.
    fn me() -> String {
        let comm = fs::read_to_string("/proc/self/comm").unwrap();
        // Other processes see the name of the main thread.
        let main = fs::read_to_string(format!("/proc/{}/comm", std::process::id())).unwrap_or(comm);
        format!("{}, pid {}", main.trim(), std::process::id())
    }

    #[test]
    fn a_listening_process_is_named() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0", "[::1]:0"] {
            let socket = TcpListener::bind(address).unwrap();
            let wanted = port(None, socket.local_addr().unwrap().port(), "tcp");
            let Err(Error::PortTaken { by, .. }) = check("a", &[wanted], &[]) else {
                panic!("{address} not seen")
            };
            assert_eq!(by, me());
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let number = socket.local_addr().unwrap().port();
        let e = check("a", &[port(None, number, "udp")], &[]).unwrap_err();
        assert_eq!(e.to_string(), format!("port udp/{number} of the host is taken by {}", me()));
        check("a", &[port(None, number, "sctp")], &[]).unwrap();
    }

    #[test]
    fn a_socket_on_another_address_or_a_connected_one_does_not_conflict() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = listener.local_addr().unwrap().port();
        check("a", &[port(Some("127.0.0.2"), number, "tcp")], &[]).unwrap();
        assert!(check("a", &[port(Some("127.0.0.1"), number, "tcp")], &[]).is_err());
        let outgoing = TcpStream::connect(("127.0.0.1", number)).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        check("a", &[port(None, outgoing.local_addr().unwrap().port(), "tcp")], &[]).unwrap();
        drop(listener);
        check("a", &[port(None, accepted.local_addr().unwrap().port(), "tcp")], &[]).unwrap();
    }

    #[test]
    fn a_port_of_another_endpoint_is_refused_with_the_endpoints_name() {
        let claims = [claim("b", &[port(Some("127.0.0.1"), 64123, "tcp")])];
        let e = check("a", &[port(None, 64123, "tcp")], &claims).unwrap_err();
        assert_eq!(e.to_string(), "port tcp/64123 of the host is taken by pod pod-b");
        let e = super::check(Path::new("/other"), "a", &[port(None, 64123, "tcp")], &claims).unwrap_err();
        assert_eq!(e.to_string(), "port tcp/64123 of the host is taken by pod pod-b, of /i");
        // No conflict: the endpoint's own claim, another address, another protocol.
        check("b", &[port(None, 64123, "tcp")], &claims).unwrap();
        check("a", &[port(Some("127.0.0.2"), 64123, "tcp")], &claims).unwrap();
        check("a", &[port(None, 64123, "udp")], &claims).unwrap();
    }

    #[test]
    fn wildcards_of_one_family_conflict_and_of_two_do_not() {
        let on = |ip| port(Some(ip), 64124, "tcp");
        assert!(conflict(&on("0.0.0.0"), &on("10.0.0.1")));
        assert!(conflict(&on("::"), &on("::1")));
        assert!(!conflict(&on("0.0.0.0"), &on("::")));
        assert!(!conflict(&on("0.0.0.0"), &on("fd00::1")));
        assert!(conflict(&port(None, 64124, "tcp"), &on("fd00::1")));
    }

    #[test]
    fn a_port_that_cannot_be_published_is_refused() {
        let twice = [port(None, 64125, "tcp"), port(Some("127.0.0.1"), 64125, "tcp")];
        let e = check("a", &twice, &[]).unwrap_err();
        assert_eq!(
            e.to_string(),
            "port tcp/64125 of the host is taken by the same pod, which names it twice"
        );
        assert!(matches!(check("a", &[port(None, 0, "tcp")], &[]), Err(Error::PortZero)));
        assert!(matches!(check("a", &[port(None, 64125, "TCP")], &[]), Err(Error::UnknownProtocol(_))));
        assert!(matches!(check("a", &[port(Some("::1"), 64125, "tcp")], &[]), Err(Error::Ipv6Loopback(_))));
        let e = check("a", &[port(Some("198.51.100.77"), 64125, "tcp")], &[]).unwrap_err();
        assert_eq!(
            e.to_string(),
            "198.51.100.77 is not an address of this host, so port tcp/64125 cannot be published on it"
        );
    }

    #[test]
    fn proc_addresses_are_words_in_the_machines_order() {
        if cfg!(target_endian = "little") {
            assert_eq!(parse_ip("0100007F"), Some("127.0.0.1".parse().unwrap()));
            let v6 = parse_ip("000000FD000000000000000002000000");
            assert_eq!(v6, Some("fd00::2".parse().unwrap()));
        }
        assert_eq!(parse_ip("00000000"), Some("0.0.0.0".parse().unwrap()));
        assert_eq!(parse_ip("zz"), None);
    }

    #[test]
    fn sctp_endpoints_are_read() {
        let text = " ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS\n\
                    ffff8800 ffff8801 2   10  29   11111   0  7435 127.0.0.1 10.0.0.1\n";
        let found = parse_sctp(text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].port, found[1].inode), (11111, 7435));
    }
}
