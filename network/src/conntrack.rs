//! Connections that the kernel tracks. A UDP client that keeps sending from one port keeps the translation of its first
//! packet. Without this module it would send to a removed endpoint, or to none, for as long as it sends.
//!
//! By nfnetlink: linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.

use std::io;

use crate::Port;
use crate::nfnetlink::{NFGENMSG, NLA_F_NESTED, Socket, attribute, attributes};

/// Messages of `NFNL_SUBSYS_CTNETLINK`, which is the upper byte.
const IPCTNL_MSG_CT_GET: u16 = (1 << 8) | 1;
const IPCTNL_MSG_CT_DELETE: u16 = (1 << 8) | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;

/// Makes the kernel forget UDP flows to published ports, so that their next packets follow the present rules. If that
/// fails, the flows end some minutes after their last packet; the failure is logged.
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
    let socket = Socket::open()?;
    socket.send(IPCTNL_MSG_CT_GET, libc::NLM_F_DUMP, family, &[])?;
    let mut flows = Vec::new();
    socket.receive(|body| {
        let tuple = attributes(body.get(NFGENMSG..).unwrap_or_default())
            .find(|(kind, _)| *kind == CTA_TUPLE_ORIG)
            .map(|(_, tuple)| tuple);
        flows.extend(tuple.filter(|tuple| is_udp_to(tuple, ports)).map(<[u8]>::to_vec));
    })?;
    for tuple in flows {
        let tuple = attribute(NLA_F_NESTED | CTA_TUPLE_ORIG, &tuple);
        socket.send(IPCTNL_MSG_CT_DELETE, libc::NLM_F_ACK, family, &tuple)?;
        match socket.receive(|_| ()) {
            // The flow has ended by itself.
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {}
            done => done?,
        }
    }
    Ok(())
}

/// Returns whether the tuple of a flow's first packet is UDP to one of `ports`.
fn is_udp_to(tuple: &[u8], ports: &[u16]) -> bool {
    let Some((_, protocol)) = attributes(tuple).find(|(kind, _)| *kind == CTA_TUPLE_PROTO) else {
        return false;
    };
    let value = |wanted| attributes(protocol).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    let number = value(CTA_PROTO_NUM).and_then(|n| n.first().copied());
    let port = value(CTA_PROTO_DST_PORT).and_then(|p| p.try_into().ok()).map(u16::from_be_bytes);
    number.is_some_and(|n| i32::from(n) == libc::IPPROTO_UDP) && port.is_some_and(|p| ports.contains(&p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tuple(protocol: u8, port: u16) -> Vec<u8> {
        let inner =
            [attribute(CTA_PROTO_NUM, &[protocol]), attribute(CTA_PROTO_DST_PORT, &port.to_be_bytes())];
        // The tuple's addresses come first.
        [attribute(NLA_F_NESTED | 1, &[0; 16]), attribute(NLA_F_NESTED | CTA_TUPLE_PROTO, &inner.concat())]
            .concat()
    }

    #[test]
    fn flows_are_selected_by_protocol_and_port() {
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
