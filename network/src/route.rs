//! Reads and changes the host's network configuration by netlink (rtnetlink(7)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use ipnet::IpNet;
use netavark::error::NetavarkError;
use netavark::network::netlink::Socket;
use netavark::network::netlink_route::{LinkID, NetlinkRoute};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoBridgePort, InfoPortData, InfoPortKind, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute};
use nix::errno::Errno;

use crate::Error;
use crate::bridge::BRIDGE_PREFIX;

fn refused(doing: &'static str) -> impl FnOnce(NetavarkError) -> Error {
    move |e| Error::Refused { doing: doing.to_owned(), why: e.to_string() }
}

/// Returns all subnets in which this host has an address or to which it has a route, in any table, because a VPN's
/// routes are in separate tables. Default routes are left out.
pub(crate) fn used_by_host() -> Result<Vec<IpNet>, Error> {
    let mut socket = open()?;
    let mut used = Vec::new();
    // Table 0 means all tables.
    for route in socket.dump_routes(Some(0)).map_err(refused("read the host's routes"))? {
        let prefix = route.header.destination_prefix_length;
        let destination = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
            RouteAttribute::Destination(RouteAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
            _ => None,
        });
        // A VPN that takes all traffic may use two halves (0.0.0.0/1 and 128.0.0.0/1), which count as default routes
        // too.
        if let Some(ip) = destination
            && prefix > 1
            && let Ok(net) = IpNet::new(ip, prefix)
        {
            used.push(net.trunc());
        }
    }
    for message in socket.dump_addresses(None).map_err(refused("read the host's addresses"))? {
        if let Some(ip) = address_of(&message)
            && let Ok(net) = IpNet::new(ip, message.header.prefix_len)
        {
            used.push(net.trunc());
        }
    }
    used.sort_unstable();
    used.dedup();
    Ok(used)
}

/// Returns whether `ip` is an address of the host, or an unspecified or loopback address.
pub(crate) fn is_host_address(ip: IpAddr) -> bool {
    // Binding is the exact test, because it succeeds exactly for local addresses.
    std::net::UdpSocket::bind((ip, 0)).is_ok()
}

/// Returns this machine's own addresses by which others may reach it, with the names of their interfaces: not loopback,
/// link-local or our bridges' addresses. Only addresses are requested, because a host with hundreds of pods has as many
/// interfaces, and getifaddrs(3) would make the kernel describe all of them.
pub fn host_addresses() -> Result<Vec<(String, IpAddr)>, Error> {
    let mut found = Vec::new();
    for message in open()?.dump_addresses(None).map_err(refused("read the host's addresses"))? {
        let Some(ip) = address_of(&message).filter(is_global) else { continue };
        let Ok(name) = nix::net::if_::if_indextoname(message.header.index) else { continue };
        let name = name.to_string_lossy().into_owned();
        if !name.starts_with(BRIDGE_PREFIX) {
            found.push((name, ip));
        }
    }
    Ok(found)
}

fn is_global(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unspecified() && !v6.is_unicast_link_local(),
    }
}

/// Returns the address itself; on a point-to-point interface the local end's.
fn address_of(message: &AddressMessage) -> Option<IpAddr> {
    let of = |kind: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(kind);
    let local = of(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    local.or_else(|| {
        of(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })
}

/// Returns whether an interface with this name exists.
pub(crate) fn link_exists(name: &str) -> Result<bool, Error> {
    match nix::net::if_::if_nametoindex(name) {
        Ok(_) => Ok(true),
        Err(Errno::ENODEV) => Ok(false),
        Err(e) => Err(Error::Refused { doing: "look for an interface".to_owned(), why: e.to_string() }),
    }
}

/// Returns whether a bridge with this name exists and no interface is connected to it. The kernel describes all
/// connected interfaces, so this must not be called for a bridge that is known to have some.
pub(crate) fn is_empty_bridge(name: &str) -> Result<bool, Error> {
    let mut socket = open()?;
    let bridge = match socket.get_link(LinkID::Name(name.to_owned())) {
        Ok(bridge) => bridge,
        Err(e) if is_gone(&e) => return Ok(false),
        Err(e) => return Err(refused("look for a bridge")(e)),
    };
    let ports = socket
        .dump_links(&mut vec![LinkAttribute::Controller(bridge.header.index)])
        .map_err(refused("look for what is connected to a bridge"))?;
    Ok(ports.is_empty())
}

/// Adds an address to a bridge again that another program removed, and brings the bridge up.
pub(crate) fn give_address(bridge: &str, net: &IpNet) -> Result<(), Error> {
    let doing = "give a bridge its address back";
    let mut socket = open()?;
    let link = socket.get_link(LinkID::Name(bridge.to_owned())).map_err(refused(doing))?;
    socket.add_addr(link.header.index, net).map_err(refused(doing))?;
    // Without a link-local address the kernel sends no neighbour solicitations, so no endpoint could be reached by
    // IPv6.
    let mac = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(mac) => Some(mac.as_slice()),
        _ => None,
    });
    if net.addr().is_ipv6()
        && let Some(link_local) = mac.and_then(link_local)
        && let Err(e) = socket.add_addr(link.header.index, &link_local)
    {
        tracing::debug!(bridge, error = %e, "the bridge has its link-local address still");
    }
    socket.set_up(LinkID::ID(link.header.index)).map_err(refused(doing))
}

/// Returns the link-local address that the kernel derives from a MAC address (RFC 4291, appendix A).
fn link_local(mac: &[u8]) -> Option<IpNet> {
    let [first, rest @ ..] = <[u8; 6]>::try_from(mac).ok()?;
    let bytes: Vec<u8> = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, first ^ 2]
        .into_iter()
        .chain(rest.into_iter().take(2))
        .chain([0xff, 0xfe])
        .chain(rest.into_iter().skip(2))
        .collect();
    let ip = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
    IpNet::new(ip.into(), 64).ok()
}

/// Makes a bridge send packets back to the interface that they came from, if they are for it (hairpin mode).
pub(crate) fn reflect(socket: &mut Socket<NetlinkRoute>, name: &str) -> Result<(), NetavarkError> {
    let index = nix::net::if_::if_nametoindex(name).map_err(|e| NetavarkError::msg(e.to_string()))?;
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)])),
    ]));
    let flags = u16::try_from(libc::NLM_F_ACK).unwrap_or_default();
    socket.make_netlink_request(RouteNetlinkMessage::NewLink(message), flags).map(drop)
}

/// Removes an interface. An interface that does not exist is no error.
pub(crate) fn remove_link(name: &str) -> Result<(), Error> {
    match open()?.del_link(LinkID::Name(name.to_owned())) {
        Err(e) if !is_gone(&e) => {
            Err(Error::Refused { doing: format!("remove interface {name}"), why: e.to_string() })
        }
        _ => Ok(()),
    }
}

fn open() -> Result<Socket<NetlinkRoute>, Error> {
    Socket::new().map_err(refused("open a netlink socket"))
}

/// Returns whether the kernel reported that the device does not exist.
pub(crate) fn is_gone(e: &NetavarkError) -> bool {
    matches!(e.unwrap(), NetavarkError::Netlink(e) if -e.raw_code() == libc::ENODEV)
}

/// Returns whether interfaces of this host may have IPv6 addresses.
pub(crate) fn host_has_ipv6() -> bool {
    let disabled = |path: &str| std::fs::read_to_string(path).is_ok_and(|value| value.trim() == "1");
    Path::new("/proc/sys/net/ipv6").exists()
        && !disabled("/proc/sys/net/ipv6/conf/all/disable_ipv6")
        && !disabled("/proc/sys/net/ipv6/conf/default/disable_ipv6")
}

/// Makes the host's interfaces accept router advertisements also when the host becomes a router, which the network of a
/// bridge requires. Otherwise the kernel would remove the host's IPv6 default route at that moment. The value 2 means
/// "also when forwarding" (`accept_ra` in the kernel's ip-sysctl.rst).
pub(crate) fn keep_router_advertisements() {
    keep_router_advertisements_in(Path::new("/proc/sys/net/ipv6/conf"));
}

fn keep_router_advertisements_in(conf: &Path) {
    let is = |file: &Path, value: &str| std::fs::read_to_string(file).is_ok_and(|v| v.trim() == value);
    if !is(&conf.join("all/forwarding"), "0") {
        return;
    }
    for interface in std::fs::read_dir(conf).into_iter().flatten().flatten() {
        let accept_ra = interface.path().join("accept_ra");
        let named = !["all", "default", "lo"].iter().any(|name| interface.file_name() == *name);
        if named
            && is(&accept_ra, "1")
            && let Err(e) = std::fs::write(&accept_ra, "2")
        {
            tracing::debug!(file = %accept_ra.display(), error = %e, "cannot keep router advertisements");
        }
    }
}

/// Makes the host forward packets. If that fails, which is logged, only what comes from elsewhere and goes elsewhere
/// is not forwarded.
pub(crate) fn forward(ipv6_too: bool) {
    let mut files = vec!["/proc/sys/net/ipv4/ip_forward"];
    if ipv6_too {
        keep_router_advertisements();
        files.push("/proc/sys/net/ipv6/conf/all/forwarding");
    }
    for file in files {
        let is_on = std::fs::read_to_string(file).is_ok_and(|value| value.trim() == "1");
        if !is_on && let Err(e) = std::fs::write(file, "1") {
            tracing::warn!(file, error = %e, "cannot make the host forward packets");
        }
    }
}

/// The unspecified addresses, which mean every address of the host.
pub(crate) const ANY: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn conf(forwarding: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (interface, accept_ra) in
            [("all", "1"), ("default", "1"), ("lo", "1"), ("eth0", "1"), ("eth1", "0")]
        {
            let interface = dir.path().join(interface);
            fs::create_dir(&interface).unwrap();
            fs::write(interface.join("accept_ra"), format!("{accept_ra}\n")).unwrap();
            fs::write(interface.join("forwarding"), format!("{forwarding}\n")).unwrap();
        }
        dir
    }

    fn accept_ra(dir: &tempfile::TempDir) -> String {
        let read =
            |i: &str| fs::read_to_string(dir.path().join(i).join("accept_ra")).unwrap().trim().to_owned();
        ["all", "default", "lo", "eth0", "eth1"].map(read).concat()
    }

    #[test]
    fn a_host_that_becomes_a_router_keeps_its_default_route() {
        let dir = conf("0");
        keep_router_advertisements_in(dir.path());
        assert_eq!(accept_ra(&dir), "11120");
        // The settings of a host that was a router before are not changed.
        let dir = conf("1");
        keep_router_advertisements_in(dir.path());
        assert_eq!(accept_ra(&dir), "11110");
    }

    #[test]
    fn addresses_that_only_this_machine_or_its_neighbours_know_are_not_global() {
        for ip in ["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1"] {
            assert!(is_global(&ip.parse().unwrap()), "{ip}");
        }
        for ip in ["127.0.0.1", "169.254.1.1", "0.0.0.0", "::1", "::", "fe80::1"] {
            assert!(!is_global(&ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn a_link_local_address_follows_from_the_mac() {
        let mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
        assert_eq!(link_local(&mac), Some("fe80::5054:ff:fe12:3456/64".parse().unwrap()));
        assert_eq!(link_local(&mac[..5]), None);
    }

    #[test]
    fn the_hosts_own_addresses_and_routes_are_used() {
        let used = used_by_host().unwrap();
        assert!(used.contains(&"127.0.0.0/8".parse().unwrap()), "{used:?}");
        assert!(used.iter().all(|net| net.prefix_len() > 1));
    }
}
