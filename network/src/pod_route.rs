//! The routes of a pod. It sends everything by way of the bridge's address, also to pods of the same bridge: if a pod
//! answered another one directly, the answer to a connection that was sent to a Service or a published port would pass
//! by the host, which has to change its addresses back.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use netavark::error::{NetavarkError, NetavarkResult};
use netavark::network::netlink::Socket;
use netavark::network::netlink_route::{LinkID, NetlinkRoute};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::lease::{Interface, Lease};
use crate::{Error, netns};

/// Gives a pod that is set up already its routes, as [`through_gateway`] and [`ignore_redirects`] do.
pub(crate) fn add_to_running(lease: &Lease) -> Result<(), Error> {
    netns::with_netns(&lease.netns, || {
        let mut socket = Socket::<NetlinkRoute>::new()
            .map_err(|e| Error::Refused { doing: "open a netlink socket".to_owned(), why: e.to_string() })?;
        lease.interfaces.iter().try_for_each(|interface| through_gateway(&mut socket, interface))
    })??;
    ignore_redirects(&lease.netns, &lease.interfaces)
}

/// Replaces the routes to the subnets of an interface, which the kernel added with its addresses, by routes through
/// their gateways. `socket` is in the pod's network namespace.
pub(crate) fn through_gateway(socket: &mut Socket<NetlinkRoute>, interface: &Interface) -> Result<(), Error> {
    let mut replace = || -> NetavarkResult<()> {
        let device = device(socket, interface)?;
        for subnet in &interface.network.subnets {
            let Some(own) = interface.ips.iter().find(|ip| subnet.subnet.contains(*ip)) else { continue };
            add(socket, &route(IpNet::from(subnet.gateway), device, None, Some(*own)))?;
            add(socket, &route(subnet.subnet, device, Some(subnet.gateway), Some(*own)))?;
            // An IPv4 route replaces that of the kernel; an IPv6 route has another metric.
            if subnet.gateway.is_ipv6() {
                let mut direct = route(subnet.subnet, device, None, None);
                direct.header.protocol = RouteProtocol::Kernel;
                remove(socket, &direct)?;
            }
        }
        Ok(())
    };
    replace().map_err(refused(interface))
}

/// Adds routes to the ranges of Services by way of the gateways of an interface.
pub(crate) fn to_services(
    socket: &mut Socket<NetlinkRoute>,
    interface: &Interface,
    ranges: &[IpNet],
) -> Result<(), Error> {
    if ranges.is_empty() {
        return Ok(());
    }
    let mut add_all = || -> NetavarkResult<()> {
        let device = device(socket, interface)?;
        for range in ranges {
            let same = |ip: &IpAddr| ip.is_ipv4() == range.addr().is_ipv4();
            let gateway = interface.network.subnets.iter().map(|s| s.gateway).find(same);
            let own = interface.ips.iter().find(|ip| same(ip));
            if let (Some(gateway), Some(own)) = (gateway, own) {
                add(socket, &route(*range, device, Some(gateway), Some(*own)))?;
            }
        }
        Ok(())
    };
    add_all().map_err(refused(interface))
}

/// Makes a pod ignore redirects. The host tells a pod that another one is on the same bridge, which is what its routes
/// are to hide; `send_redirects` of the bridge alone does not keep the host from it (ip-sysctl.rst of the kernel).
pub(crate) fn ignore_redirects(namespace: &Path, interfaces: &[Interface]) -> Result<(), Error> {
    let mut names = vec!["net/ipv4/conf/all/accept_redirects".to_owned()];
    for Interface { name, network, .. } in interfaces {
        names.push(format!("net/ipv4/conf/{name}/accept_redirects"));
        if network.nets().any(|net| net.addr().is_ipv6()) {
            names.push(format!("net/ipv6/conf/{name}/accept_redirects"));
        }
    }
    let sysctls: Vec<(String, String)> = names.into_iter().map(|name| (name, "0".to_owned())).collect();
    netns::set_sysctls(namespace, &sysctls)
}

/// Adds a route to a subnet whose addresses are on a device itself.
pub(crate) fn add_on_link(
    socket: &mut Socket<NetlinkRoute>,
    to: IpNet,
    device: u32,
    source: IpAddr,
) -> NetavarkResult<()> {
    add(socket, &route(to, device, None, Some(source)))
}

/// Makes an address one of the host's own for packets that a device hands to it, or undoes that. For all other packets
/// the kernel's own route to the address has precedence.
pub(crate) fn set_local(
    socket: &mut Socket<NetlinkRoute>,
    ip: IpAddr,
    device: u32,
    is_wanted: bool,
) -> NetavarkResult<()> {
    let mut message = route(IpNet::from(ip), device, None, None);
    message.header.table = libc::RT_TABLE_LOCAL;
    message.header.kind = RouteType::Local;
    message.attributes.push(RouteAttribute::Priority(4096));
    if !is_wanted {
        return remove(socket, &message);
    }
    // Other devices have such a route too, which stays.
    let flags = flags(&[libc::NLM_F_ACK, libc::NLM_F_CREATE, libc::NLM_F_APPEND]);
    match socket.make_netlink_request(RouteNetlinkMessage::NewRoute(message), flags) {
        Err(e) if is(&e, libc::EEXIST) => Ok(()),
        done => done.map(drop),
    }
}

fn device(socket: &mut Socket<NetlinkRoute>, interface: &Interface) -> NetavarkResult<u32> {
    Ok(socket.get_link(LinkID::Name(interface.name.clone()))?.header.index)
}

/// Returns a route of the main table.
fn route(to: IpNet, device: u32, gateway: Option<IpAddr>, source: Option<IpAddr>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family =
        if to.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.destination_prefix_length = to.prefix_len();
    message.header.table = libc::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope =
        if gateway.is_none() && to.addr().is_ipv4() { RouteScope::Link } else { RouteScope::Universe };
    message.header.kind = RouteType::Unicast;
    message.attributes.push(RouteAttribute::Destination(address(to.network())));
    message.attributes.push(RouteAttribute::Oif(device));
    message.attributes.extend(gateway.map(|ip| RouteAttribute::Gateway(address(ip))));
    // The kernel refuses an IPv6 address that it still treats as tentative, and chooses the device's anyway.
    let source = source.filter(IpAddr::is_ipv4);
    message.attributes.extend(source.map(|ip| RouteAttribute::PrefSource(address(ip))));
    message
}

fn address(ip: IpAddr) -> RouteAddress {
    match ip {
        IpAddr::V4(ip) => RouteAddress::Inet(ip),
        IpAddr::V6(ip) => RouteAddress::Inet6(ip),
    }
}

/// Returns flags of netlink(7) in the form in which netavark takes them.
pub(crate) fn flags(flags: &[libc::c_int]) -> u16 {
    flags.iter().fold(0, |all, flag| all | u16::try_from(*flag).unwrap_or_default())
}

fn add(socket: &mut Socket<NetlinkRoute>, route: &RouteMessage) -> NetavarkResult<()> {
    let flags = flags(&[libc::NLM_F_ACK, libc::NLM_F_CREATE, libc::NLM_F_REPLACE]);
    socket.make_netlink_request(RouteNetlinkMessage::NewRoute(route.clone()), flags).map(drop)
}

/// Removes a route. A route that does not exist is no error.
fn remove(socket: &mut Socket<NetlinkRoute>, route: &RouteMessage) -> NetavarkResult<()> {
    let flags = flags(&[libc::NLM_F_ACK]);
    match socket.make_netlink_request(RouteNetlinkMessage::DelRoute(route.clone()), flags) {
        Err(e) if is(&e, libc::ESRCH) => Ok(()),
        done => done.map(drop),
    }
}

/// Returns whether the kernel answered with an error of errno(3).
pub(crate) fn is(e: &NetavarkError, code: i32) -> bool {
    matches!(e.unwrap(), NetavarkError::Netlink(e) if -e.raw_code() == code)
}

fn refused(interface: &Interface) -> impl FnOnce(NetavarkError) -> Error {
    let doing = format!("route the pod's packets through network `{}`", interface.network.name);
    move |e| Error::Refused { doing, why: e.to_string() }
}
