//! Connections that the kernel tracks. A UDP client that keeps sending from one port keeps the translation of its first
//! packet. Without this module it would send to a removed endpoint, or to none, for as long as it sends.
//!
//! By nfnetlink: linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.

use std::io;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::Port;
use crate::nfnetlink::{NFGENMSG, NLA_F_NESTED, Socket, attribute, attributes};

/// Messages of `NFNL_SUBSYS_CTNETLINK`, which is the upper byte.
const IPCTNL_MSG_CT_GET: u16 = (1 << 8) | 1;
const IPCTNL_MSG_CT_DELETE: u16 = (1 << 8) | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// UDP flows to a Service whose packets do not go where they should any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StaleFlow {
    /// The address to which the client sends; `None` means any.
    pub to: Option<IpAddr>,
    /// The port to which the client sends.
    pub port: u16,
    /// The endpoint that gets the packets; `None` means that their destination is not changed.
    pub endpoint: Option<SocketAddr>,
}

/// Makes the kernel forget UDP flows to published ports, so that their next packets follow the present rules. If that
/// fails, the flows end some minutes after their last packet; the failure is logged.
pub(crate) fn forget(ports: &[Port]) {
    let ports: Vec<u16> = ports.iter().filter(|p| p.protocol == "udp").map(|p| p.host_port).collect();
    if !ports.is_empty() {
        forget_udp(&|flow| ports.contains(&flow.to.port()));
    }
}

/// Makes the kernel forget flows to Services, as [`forget`] does.
pub(crate) fn forget_stale(stale: &[StaleFlow]) {
    if !stale.is_empty() {
        forget_udp(&|flow| stale.iter().any(|stale| stale.is(flow)));
    }
}

fn forget_udp(is_meant: &dyn Fn(&Flow) -> bool) {
    for family in [libc::AF_INET, libc::AF_INET6] {
        let family = u8::try_from(family).unwrap_or_default();
        if let Err(error) = forget_family(family, is_meant) {
            tracing::debug!(%error, "cannot make the kernel forget UDP flows");
        }
    }
}

fn forget_family(family: u8, is_meant: &dyn Fn(&Flow) -> bool) -> io::Result<()> {
    let socket = Socket::open()?;
    socket.send(IPCTNL_MSG_CT_GET, libc::NLM_F_DUMP, family, &[])?;
    let mut flows = Vec::new();
    socket.receive(|body| {
        let attributes_of_flow = body.get(NFGENMSG..).unwrap_or_default();
        if Flow::parse(attributes_of_flow).is_some_and(|flow| is_meant(&flow)) {
            flows.extend(find(attributes_of_flow, CTA_TUPLE_ORIG).map(<[u8]>::to_vec));
        }
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

/// A UDP flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flow {
    /// Where its first packet was sent.
    to: SocketAddr,
    /// Who answers.
    answered_by: SocketAddr,
}

impl Flow {
    /// Reads the attributes of a flow. Returns `None` if the flow is not one of UDP.
    fn parse(of_flow: &[u8]) -> Option<Self> {
        let original = find(of_flow, CTA_TUPLE_ORIG)?;
        let protocol = find(find(original, CTA_TUPLE_PROTO)?, CTA_PROTO_NUM)?.first().copied()?;
        if i32::from(protocol) != libc::IPPROTO_UDP {
            return None;
        }
        let reply = find(of_flow, CTA_TUPLE_REPLY)?;
        Some(Self {
            to: endpoint(original, CTA_IP_V4_DST, CTA_IP_V6_DST, CTA_PROTO_DST_PORT)?,
            answered_by: endpoint(reply, CTA_IP_V4_SRC, CTA_IP_V6_SRC, CTA_PROTO_SRC_PORT)?,
        })
    }
}

impl StaleFlow {
    fn is(&self, flow: &Flow) -> bool {
        self.port == flow.to.port()
            && self.to.is_none_or(|to| to == flow.to.ip())
            && self.endpoint.unwrap_or(flow.to) == flow.answered_by
    }
}

fn find(of: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(of).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// Returns one end of a tuple.
fn endpoint(tuple: &[u8], v4: u16, v6: u16, port: u16) -> Option<SocketAddr> {
    let ips = find(tuple, CTA_TUPLE_IP)?;
    let ip = match (find(ips, v4), find(ips, v6)) {
        (Some(bytes), _) => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        (None, Some(bytes)) => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        (None, None) => return None,
    };
    let port = find(find(tuple, CTA_TUPLE_PROTO)?, port)?;
    Some(SocketAddr::new(ip, u16::from_be_bytes(port.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tuple(protocol: u8, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
        let bytes = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let (source, destination) =
            if to.is_ipv4() { (CTA_IP_V4_SRC, CTA_IP_V4_DST) } else { (CTA_IP_V6_SRC, CTA_IP_V6_DST) };
        let ips = [attribute(source, &bytes(from.ip())), attribute(destination, &bytes(to.ip()))];
        let ports = [
            attribute(CTA_PROTO_NUM, &[protocol]),
            attribute(CTA_PROTO_SRC_PORT, &from.port().to_be_bytes()),
            attribute(CTA_PROTO_DST_PORT, &to.port().to_be_bytes()),
        ];
        [
            attribute(NLA_F_NESTED | CTA_TUPLE_IP, &ips.concat()),
            attribute(NLA_F_NESTED | CTA_TUPLE_PROTO, &ports.concat()),
        ]
        .concat()
    }

    /// Returns the attributes of a flow that `from` sent to `to` and that `by` answers.
    fn flow(protocol: u8, from: &str, to: &str, by: &str) -> Vec<u8> {
        let [from, to, by]: [SocketAddr; 3] = [from, to, by].map(|text| text.parse().unwrap());
        [
            attribute(NLA_F_NESTED | CTA_TUPLE_ORIG, &tuple(protocol, from, to)),
            attribute(NLA_F_NESTED | CTA_TUPLE_REPLY, &tuple(protocol, by, from)),
        ]
        .concat()
    }

    #[test]
    fn a_flow_is_read() {
        let read = Flow::parse(&flow(17, "10.0.0.9:4000", "10.1.0.5:53", "10.0.0.3:5353")).unwrap();
        assert_eq!(
            (read.to.to_string(), read.answered_by.to_string()),
            ("10.1.0.5:53".into(), "10.0.0.3:5353".into())
        );
        let read = Flow::parse(&flow(17, "[fd00::9]:4000", "[fd01::5]:53", "[fd00::3]:5353")).unwrap();
        assert_eq!(read.answered_by.to_string(), "[fd00::3]:5353");
        assert!(Flow::parse(&flow(6, "10.0.0.9:4000", "10.1.0.5:53", "10.0.0.3:5353")).is_none());
    }

    #[test]
    fn a_flow_is_stale_by_where_it_was_sent_and_who_answers() {
        let is = |to: Option<&str>, port, endpoint: Option<&str>, by: &str| {
            let (to, endpoint) = (to.map(|ip| ip.parse().unwrap()), endpoint.map(|e| e.parse().unwrap()));
            let flow = Flow::parse(&flow(17, "10.0.0.9:4000", "10.1.0.5:53", by)).unwrap();
            StaleFlow { to, port, endpoint }.is(&flow)
        };
        assert!(is(Some("10.1.0.5"), 53, Some("10.0.0.3:5353"), "10.0.0.3:5353"));
        assert!(is(None, 53, Some("10.0.0.3:5353"), "10.0.0.3:5353"));
        assert!(!is(Some("10.1.0.6"), 53, Some("10.0.0.3:5353"), "10.0.0.3:5353"));
        assert!(!is(None, 54, Some("10.0.0.3:5353"), "10.0.0.3:5353"));
        assert!(
            !is(None, 53, Some("10.0.0.3:5353"), "10.0.0.4:5353"),
            "another endpoint, which may still be there"
        );
        assert!(is(None, 53, None, "10.1.0.5:53") && !is(None, 53, None, "10.0.0.3:5353"));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(attributes(&bytes).count() <= bytes.len() / 4 + 1);
            Flow::parse(&bytes);
        }
    }
}
