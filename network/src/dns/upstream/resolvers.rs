//! The name servers that the host uses, as its resolv.conf(5) says. The file is looked at again when a question has to
//! be asked, at most once per second, so that nothing wakes the process up while nobody asks.

use std::fs;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use crate::dns::DNS_PORT;

/// The file of the host.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The servers behind the stub of systemd-resolved (systemd-resolved.service(8)).
const RESOLVED_CONF: &str = "/run/systemd/resolve/resolv.conf";

/// The address of that stub.
const RESOLVED_STUB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 53));

/// How many servers of a file are used (MAXNS in resolv.conf(5)).
const MOST: usize = 3;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// How long a server that has not answered is not the first to be asked.
const AVOIDED_FOR: Duration = Duration::from_secs(30);

/// What tells whether a file has changed: device, inode, size, time.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// The name servers of the host.
#[derive(Debug, Default)]
pub(crate) struct Resolvers {
    servers: Vec<SocketAddr>,
    /// When the files were looked at, and what their stamps were.
    checked: Option<(Instant, [Stamp; 2])>,
    /// The server to ask first, if not the first one, and since when.
    preferred: Option<(usize, Instant)>,
}

impl Resolvers {
    /// Returns the servers in the order in which they are asked. `is_ours` says which addresses are ours: asking these
    /// would be a loop.
    pub(crate) fn servers(&mut self, now: Instant, is_ours: impl Fn(&SocketAddr) -> bool) -> Vec<SocketAddr> {
        if self.checked.is_none_or(|(at, _)| now.duration_since(at) >= EVERY) {
            let stamps = [RESOLV_CONF, RESOLVED_CONF].map(stamp);
            if self.checked.is_none_or(|(_, before)| before != stamps) {
                let text = |path| fs::read_to_string(path).unwrap_or_default();
                self.servers = parse(&text(RESOLV_CONF), || text(RESOLVED_CONF));
                self.preferred = None;
            }
            self.checked = Some((now, stamps));
        }
        let mut servers: Vec<SocketAddr> = self.servers.clone();
        match self.preferred {
            Some((index, since)) if now.duration_since(since) < AVOIDED_FOR && index < servers.len() => {
                servers.rotate_left(index);
            }
            _ => self.preferred = None,
        }
        servers.retain(|server| !is_ours(server));
        servers
    }

    /// Notes that a server did not answer in time. If it is the first, others are asked before it for a while.
    pub(crate) fn avoid(&mut self, server: SocketAddr, now: Instant) {
        let first = self.preferred.map_or(0, |(index, _)| index);
        if self.servers.get(first) == Some(&server) && self.servers.len() > 1 {
            self.preferred = Some(((first + 1) % self.servers.len(), now));
        }
    }
}

fn stamp(path: &str) -> Stamp {
    let meta = fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
}

/// Returns the servers that a resolv.conf names. If it names the stub of systemd-resolved, the servers behind the stub
/// follow, for the time while the stub does not run.
fn parse(text: &str, resolved: impl FnOnce() -> String) -> Vec<SocketAddr> {
    let mut servers = servers_in(text);
    if servers.iter().any(|server| server.ip() == RESOLVED_STUB) {
        for behind in servers_in(&resolved()) {
            if !servers.contains(&behind) {
                servers.push(behind);
            }
        }
    }
    servers
}

fn servers_in(text: &str) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        if words.next() == Some("nameserver")
            && let Some(server) = words.next().and_then(server)
            && !servers.contains(&server)
        {
            servers.push(server);
        }
    }
    servers.truncate(MOST);
    servers
}

/// Parses an address, which may name its interface: `fe80::1%eth0`.
fn server(word: &str) -> Option<SocketAddr> {
    let Some((address, scope)) = word.split_once('%') else {
        let ip: IpAddr = word.parse().ok()?;
        return (!ip.is_unspecified()).then(|| SocketAddr::new(ip, DNS_PORT));
    };
    let index = scope.parse().ok().or_else(|| nix::net::if_::if_nametoindex(scope).ok())?;
    Some(SocketAddrV6::new(address.parse().ok()?, DNS_PORT, 0, index).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        parse(text, || "nameserver 192.0.2.9\nnameserver 127.0.0.53".to_owned())
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn servers_are_read_as_resolvers_read_them() {
        let text = "# nameserver 192.0.2.1\n\tnameserver\t192.0.2.2 # first\nnameserver 2001:db8::1;\nsearch a\n\
                    nameserver not-an-address\nnameserver 192.0.2.2\nnameserver 0.0.0.0\nnameserver fe80::1%1\n\
                    nameserver 192.0.2.4";
        assert_eq!(shown(text), ["192.0.2.2:53", "[2001:db8::1]:53", "[fe80::1%1]:53"]);
        assert_eq!(shown(""), [""; 0]);
        assert_eq!(shown("nameserver"), [""; 0]);
    }

    #[test]
    fn the_servers_behind_resolved_follow_its_stub() {
        assert_eq!(shown("nameserver 127.0.0.53"), ["127.0.0.53:53", "192.0.2.9:53"]);
    }

    #[test]
    fn a_server_that_does_not_answer_is_not_the_first_for_a_while() {
        let now = Instant::now();
        let servers = parse("nameserver 192.0.2.1\nnameserver 192.0.2.2", String::new);
        let stamps = [RESOLV_CONF, RESOLVED_CONF].map(stamp);
        let mut resolvers =
            Resolvers { servers: servers.clone(), checked: Some((now, stamps)), preferred: None };
        let first = |resolvers: &mut Resolvers, at| {
            resolvers.checked = Some((at, stamps));
            resolvers.servers(at, |_| false)[0]
        };
        assert_eq!(first(&mut resolvers, now), servers[0]);
        resolvers.avoid(servers[1], now);
        assert_eq!(first(&mut resolvers, now), servers[0]);
        resolvers.avoid(servers[0], now);
        assert_eq!(first(&mut resolvers, now + Duration::from_secs(29)), servers[1]);
        assert_eq!(first(&mut resolvers, now + Duration::from_secs(30)), servers[0]);
    }

    #[test]
    fn our_own_addresses_are_not_asked() {
        let now = Instant::now();
        let stamps = [RESOLV_CONF, RESOLVED_CONF].map(stamp);
        let servers = parse("nameserver 10.88.0.1\nnameserver 192.0.2.2", String::new);
        let mut resolvers = Resolvers { servers, checked: Some((now, stamps)), preferred: None };
        let asked = resolvers.servers(now, |server| server.ip() == IpAddr::from([10, 88, 0, 1]));
        assert_eq!(asked, ["192.0.2.2:53".parse().unwrap()]);
    }
}
