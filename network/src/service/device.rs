//! The device of an instance's Services. Nothing ever leaves through it. It has the first address of each range, so that
//! the host has a route to the Services, also where it has no default route, and an address from which it sends to them
//! and to which every pod can answer.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};

use ipnet::IpNet;
use netavark::error::{NetavarkError, NetavarkResult};
use netavark::network::netlink::Socket;
use netavark::network::netlink_route::{CreateLinkOptions, LinkID, NetlinkRoute};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::InfoKind;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::pod_route::is;
use crate::{Error, pod_route, route, subnet};

/// Creates the device, or what is missing of it. Fast if nothing is missing.
pub(crate) fn create(name: &str, ranges: &[IpNet]) -> Result<(), Error> {
    if route::link_exists(name)? && ranges.iter().all(is_routed) {
        return Ok(());
    }
    let doing = || format!("make the device {name} of Services");
    make(name, ranges).map_err(|e| Error::Refused { doing: doing(), why: e.to_string() })
}

fn make(name: &str, ranges: &[IpNet]) -> NetavarkResult<()> {
    let mut socket = Socket::<NetlinkRoute>::new()?;
    // A kernel without the module of dummy devices has that of bridges, which pods need too.
    for kind in [InfoKind::Dummy, InfoKind::Bridge] {
        match socket.create_link(CreateLinkOptions::new(name.to_owned(), kind.clone())) {
            Err(e) if is(&e, libc::EEXIST) => break,
            Err(e) if is(&e, libc::EOPNOTSUPP) && kind == InfoKind::Dummy => {}
            made => {
                made?;
                break;
            }
        }
    }
    base::fail_point!(Worker, "services-device-made");
    let device = socket.get_link(LinkID::Name(name.to_owned()))?.header.index;
    socket.set_up(LinkID::ID(device))?;
    for range in ranges {
        let own = IpNet::new(subnet::gateway(range), range.prefix_len());
        let own = own.map_err(|e| NetavarkError::msg(e.to_string()))?;
        match add_address(&mut socket, device, &own) {
            Err(e) if !is(&e, libc::EEXIST) => return Err(e),
            // The kernel adds the route with the address. Another program may have removed only the route.
            Ok(()) | Err(_) if is_routed(range) => {}
            Ok(()) | Err(_) => pod_route::add_on_link(&mut socket, *range, device, own.addr())?,
        }
    }
    Ok(())
}

/// Returns whether the kernel can translate answers to ::1. It refuses a packet to ::1 that a device hands to it before
/// rules for routed packets see it, unless these see bridged packets too (net.bridge.bridge-nf-call-ip6tables): they then
/// translate the answer while it is in the bridge, which is too early.
pub(crate) fn can_answer_ipv6_loopback() -> bool {
    let filtered = std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-ip6tables");
    filtered.map_or(true, |value| value.trim() == "0")
}

/// Adds or removes the routes that make ::1 an address of the host for answers that come through bridges. The kernel
/// takes such an address only from a device that has a route to it. Bridges that do not exist are left out.
pub(crate) fn route_ipv6_loopback(bridges: &[String], is_wanted: bool) -> Result<(), Error> {
    let set = |socket: &mut Socket<NetlinkRoute>, bridge: &String| -> NetavarkResult<()> {
        let Ok(device) = nix::net::if_::if_nametoindex(bridge.as_str()) else { return Ok(()) };
        match pod_route::set_local(socket, Ipv6Addr::LOCALHOST.into(), device, is_wanted) {
            // The bridge has gone meanwhile.
            Err(e) if is(&e, libc::ENODEV) => Ok(()),
            done => done,
        }
    };
    let all = || -> NetavarkResult<()> {
        let mut socket = Socket::<NetlinkRoute>::new()?;
        bridges.iter().try_for_each(|bridge| set(&mut socket, bridge))
    };
    all().map_err(|e| Error::Refused { doing: "route ::1 of a bridge".to_owned(), why: e.to_string() })
}

/// Adds an address that can be used at once, because nobody else can have it.
fn add_address(socket: &mut Socket<NetlinkRoute>, device: u32, own: &IpNet) -> NetavarkResult<()> {
    let mut message = AddressMessage::default();
    message.header.family = if own.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.prefix_len = own.prefix_len();
    message.header.flags = AddressHeaderFlags::Nodad;
    message.header.index = device;
    message.attributes.push(AddressAttribute::Local(own.addr()));
    let flags = pod_route::flags(&[libc::NLM_F_ACK, libc::NLM_F_CREATE, libc::NLM_F_EXCL]);
    socket.make_netlink_request(RouteNetlinkMessage::NewAddress(message), flags).map(drop)
}

/// Returns whether this host sends packets for a range from the range's own first address.
pub(crate) fn is_routed(range: &IpNet) -> bool {
    let any: IpAddr = if range.addr().is_ipv4() { route::ANY[0] } else { route::ANY[1] };
    let last = match range.broadcast() {
        IpAddr::V4(ip) => IpAddr::V4(std::net::Ipv4Addr::from(u32::from(ip) - 1)),
        IpAddr::V6(ip) => IpAddr::V6(ip),
    };
    // Connecting a UDP socket sends nothing: the kernel looks for the route only.
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((last, 9))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == subnet::gateway(range))
}
