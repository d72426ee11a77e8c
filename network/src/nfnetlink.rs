//! Sends messages to the kernel's netfilter: linux/netlink.h and linux/netfilter/nfnetlink.h.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// The upper two bits of an attribute's kind are flags.
const NLA_TYPE_MASK: u16 = 0x3fff;
pub(crate) const NLA_F_NESTED: u16 = 1 << 15;
/// The sizes of struct nlmsghdr, and of struct nfgenmsg, which follows it.
const NLMSG_HEADER: usize = 16;
pub(crate) const NFGENMSG: usize = 4;

/// A netlink socket for netfilter.
pub(crate) struct Socket(OwnedFd);

impl Socket {
    pub(crate) fn open() -> io::Result<Self> {
        let protocol = SockProtocol::NetlinkNetFilter;
        Ok(Self(socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?))
    }

    pub(crate) fn send(&self, kind: u16, flags: i32, family: u8, attributes: &[u8]) -> io::Result<()> {
        let message = message(kind, flags, family, attributes);
        sendto(self.0.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        Ok(())
    }

    /// Calls `each` with the body of each message of an answer, until the answer ends.
    pub(crate) fn receive(&self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some((header, _)) = rest.split_at_checked(NLMSG_HEADER) {
                let size = number(header, 0, 4).max(NLMSG_HEADER);
                let body = rest.get(NLMSG_HEADER..size).unwrap_or_default();
                match i32::try_from(number(header, 4, 2)) {
                    Ok(libc::NLMSG_DONE) => return Ok(()),
                    Ok(libc::NLMSG_ERROR) => {
                        // Zero, or a negative errno.
                        let code =
                            body.get(..4).and_then(|c| c.try_into().ok()).map_or(0, i32::from_ne_bytes);
                        return if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) };
                    }
                    _ => each(body),
                }
                rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

fn message(kind: u16, flags: i32, family: u8, attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(NLMSG_HEADER + NFGENMSG + attributes.len()).unwrap_or_default();
    let flags = u16::try_from(libc::NLM_F_REQUEST | flags).unwrap_or_default();
    [
        &length.to_ne_bytes()[..],
        &kind.to_ne_bytes(),
        &flags.to_ne_bytes(),
        // Sequence number and port id; then family, version, resource id.
        &[0; 8],
        &[family, 0, 0, 0],
        attributes,
    ]
    .concat()
}

/// Returns the attributes in `bytes`: kind and value. Ends at an attribute that does not fit.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let size = number(rest.get(..4)?, 0, 2);
        let kind = u16::try_from(number(rest, 2, 2)).ok()? & NLA_TYPE_MASK;
        let value = rest.get(4..size)?;
        rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Returns `size` bytes at `at` as a number, in the machine's byte order.
fn number(bytes: &[u8], at: usize, size: usize) -> usize {
    let bytes = bytes.get(at..at + size).unwrap_or_default();
    let fold = |n: usize, byte: &u8| (n << 8) | usize::from(*byte);
    if cfg!(target_endian = "little") { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) }
}

/// Encodes an attribute as struct nlattr: length, kind, value; then padding to four bytes.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or_default();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(attributes(&bytes).count() <= bytes.len() / 4 + 1);
        }

        #[test]
        fn attributes_are_read_as_they_were_written(
            all in prop::collection::vec((0_u16..0x4000, prop::collection::vec(any::<u8>(), 0..9)), 0..5),
        ) {
            let bytes = all.iter().flat_map(|(kind, value)| attribute(*kind, value)).collect::<Vec<_>>();
            let read: Vec<_> = attributes(&bytes).map(|(kind, value)| (kind, value.to_vec())).collect();
            prop_assert_eq!(read, all);
        }
    }
}
