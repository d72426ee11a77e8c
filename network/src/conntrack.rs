//! Connections that the kernel remembers. A UDP client that goes on sending from one port keeps the translation
//! of its first packet, so it would talk to an endpoint that is gone, or to none, for as long as it sends.
//!
//! By nfnetlink: linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use crate::Port;

/// `NFNL_SUBSYS_CTNETLINK` in the upper byte.
const CONNTRACK: u16 = 1 << 8;
const IPCTNL_MSG_CT_GET: u16 = 1;
const IPCTNL_MSG_CT_DELETE: u16 = 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
/// The upper two bits of an attribute's kind are flags.
const NLA_TYPE_MASK: u16 = 0x3fff;
const NLA_F_NESTED: u16 = 1 << 15;
/// struct nlmsghdr, and struct nfgenmsg behind it.
const NLMSG_HEADER: usize = 16;
const NFGENMSG: usize = 4;

/// Makes the kernel forget UDP flows to published ports, so that their next packets go where the rules now say.
/// Where it cannot, they end some minutes after their last packet; that is logged.
pub(crate) fn forget(ports: &[Port]) {
    let ports: Vec<u16> = ports.iter().filter(|p| p.protocol == "udp").map(|p| p.host_port).collect();
    if ports.is_empty() {
        return;
    }
    for family in [libc::AF_INET, libc::AF_INET6] {
        let family = u8::try_from(family).unwrap_or_default();
        if let Err(error) = forget_family(family, &ports) {
            tracing::debug!(?ports, %error, "cannot make the kernel forget UDP flows");
        }
    }
}

fn forget_family(family: u8, ports: &[u16]) -> io::Result<()> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    send(&socket, &message(IPCTNL_MSG_CT_GET, libc::NLM_F_DUMP, family, &[]))?;
    let mut flows = Vec::new();
    receive(&socket, |body| {
        let tuple = attributes(body.get(NFGENMSG..).unwrap_or_default())
            .find(|(kind, _)| *kind == CTA_TUPLE_ORIG)
            .map(|(_, tuple)| tuple);
        flows.extend(tuple.filter(|tuple| is_udp_to(tuple, ports)).map(<[u8]>::to_vec));
    })?;
    for tuple in flows {
        let tuple = attribute(NLA_F_NESTED | CTA_TUPLE_ORIG, &tuple);
        send(&socket, &message(IPCTNL_MSG_CT_DELETE, libc::NLM_F_ACK, family, &tuple))?;
        match receive(&socket, |_| ()) {
            // It ended by itself.
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {}
            done => done?,
        }
    }
    Ok(())
}

/// True if the tuple of a flow's first packet is UDP to one of `ports`.
fn is_udp_to(tuple: &[u8], ports: &[u16]) -> bool {
    let Some((_, protocol)) = attributes(tuple).find(|(kind, _)| *kind == CTA_TUPLE_PROTO) else {
        return false;
    };
    let value = |wanted| attributes(protocol).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let number = value(CTA_PROTO_NUM).and_then(|n| n.first().copied());
    let port = value(CTA_PROTO_DST_PORT).and_then(|p| p.try_into().ok()).map(u16::from_be_bytes);
    number.is_some_and(|n| i32::from(n) == libc::IPPROTO_UDP) && port.is_some_and(|p| ports.contains(&p))
}

fn send(socket: &OwnedFd, message: &[u8]) -> io::Result<()> {
    sendto(socket.as_raw_fd(), message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    Ok(())
}

/// Hands out the body of each message of an answer, until it ends.
fn receive(socket: &OwnedFd, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        while let Some((header, _)) = rest.split_at_checked(NLMSG_HEADER) {
            let size = number(header, 0, 4).max(NLMSG_HEADER);
            let body = rest.get(NLMSG_HEADER..size).unwrap_or_default();
            match i32::try_from(number(header, 4, 2)) {
                Ok(libc::NLMSG_DONE) => return Ok(()),
                Ok(libc::NLMSG_ERROR) => {
                    // Zero, or a negative errno.
                    let code = body.get(..4).and_then(|c| c.try_into().ok()).map_or(0, i32::from_ne_bytes);
                    return if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) };
                }
                _ => each(body),
            }
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// The attributes in `bytes`: kind and value. Stops at one that does not fit.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let size = number(rest.get(..4)?, 0, 2);
        let kind = u16::try_from(number(rest, 2, 2)).ok()? & NLA_TYPE_MASK;
        let value = rest.get(4..size)?;
        rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// `size` bytes at `at` in the machine's order.
fn number(bytes: &[u8], at: usize, size: usize) -> usize {
    let bytes = bytes.get(at..at + size).unwrap_or_default();
    let fold = |n: usize, byte: &u8| (n << 8) | usize::from(*byte);
    if cfg!(target_endian = "little") { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) }
}

fn message(kind: u16, flags: i32, family: u8, attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(NLMSG_HEADER + NFGENMSG + attributes.len()).unwrap_or_default();
    let flags = u16::try_from(libc::NLM_F_REQUEST | flags).unwrap_or_default();
    [
        &length.to_ne_bytes()[..],
        &(CONNTRACK | kind).to_ne_bytes(),
        &flags.to_ne_bytes(),
        // Sequence number and port id; then family, version, resource id.
        &[0; 8],
        &[family, 0, 0, 0],
        attributes,
    ]
    .concat()
}

/// struct nlattr: length, kind, value; then padding to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or_default();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tuple(protocol: u8, port: u16) -> Vec<u8> {
        let inner =
            [attribute(CTA_PROTO_NUM, &[protocol]), attribute(CTA_PROTO_DST_PORT, &port.to_be_bytes())];
        // Addresses come first.
        [attribute(NLA_F_NESTED | 1, &[0; 16]), attribute(NLA_F_NESTED | CTA_TUPLE_PROTO, &inner.concat())]
            .concat()
    }

    #[test]
    fn flows_are_told_by_protocol_and_port() {
        assert!(is_udp_to(&tuple(17, 53), &[7, 53]));
        assert!(!is_udp_to(&tuple(6, 53), &[53]));
        assert!(!is_udp_to(&tuple(17, 54), &[53]));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(attributes(&bytes).count() <= bytes.len() / 4 + 1);
            is_udp_to(&bytes, &[53]);
        }
    }
}
