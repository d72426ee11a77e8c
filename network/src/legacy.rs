//! The filter tables of legacy iptables (linux/netfilter_ipv4/ip_tables.h). The kernel does not count their changes, so
//! the whole table is read and hashed to one number.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

/// Options of getsockopt(2), at the level of the protocol.
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;
/// The length of struct ipt_getinfo, and the offset of the size of the entries in it.
const INFO: usize = 84;
const INFO_SIZE: usize = 80;
/// The offset of the entries in struct ipt_get_entries.
const ENTRIES: usize = 40;
/// The length of a table's name, padded with zeros.
const NAME: usize = 32;

/// The layout of struct ipt_entry or ip6t_entry.
struct Layout {
    names: &'static str,
    level: libc::c_int,
    family: AddressFamily,
    /// The offset of the entry's length, which has two bytes.
    next: usize,
    /// The offset of the two counters of eight bytes each, which change with every packet.
    counters: usize,
}

/// Returns a number that changes with the filter table of a family (AF_INET, AF_INET6); `None` if there is no such
/// table.
pub(crate) fn filter_stamp(family: libc::c_int) -> Option<u64> {
    let layout = if family == libc::AF_INET6 {
        Layout {
            names: "/proc/thread-self/net/ip6_tables_names",
            level: libc::IPPROTO_IPV6,
            family: AddressFamily::Inet6,
            next: 142,
            counters: 152,
        }
    } else {
        Layout {
            names: "/proc/thread-self/net/ip_tables_names",
            level: libc::IPPROTO_IP,
            family: AddressFamily::Inet,
            next: 90,
            counters: 96,
        }
    };
    // Asking for a table that does not exist would create it.
    if !fs::read_to_string(layout.names).ok()?.lines().any(|name| name == "filter") {
        return None;
    }
    let entries = entries(&layout)?;
    let mut hasher = DefaultHasher::new();
    let mut rest = entries.as_slice();
    while !rest.is_empty() {
        let length = rest.get(layout.next..layout.next + 2)?;
        let length = usize::from(u16::from_ne_bytes(length.try_into().ok()?));
        let entry = rest.get(..length).filter(|_| length > 0)?;
        hasher.write(entry.get(..layout.counters)?);
        hasher.write(entry.get(layout.counters + 16..)?);
        rest = rest.get(length..)?;
    }
    Some(hasher.finish())
}

fn entries(layout: &Layout) -> Option<Vec<u8>> {
    // iptables(8) uses such a socket for its queries.
    let socket = socket(layout.family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw).ok()?;
    let ask = |option: libc::c_int, buffer: &mut [u8]| -> Option<()> {
        let mut length = libc::socklen_t::try_from(buffer.len()).ok()?;
        // SAFETY: the kernel writes no more than `length` bytes to the buffer, which has as many.
        let done = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                layout.level,
                option,
                buffer.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        (done == 0).then_some(())
    };
    let mut info = [0; INFO];
    info.get_mut(..6)?.copy_from_slice(b"filter");
    ask(GET_INFO, &mut info)?;
    let size = info.get(INFO_SIZE..INFO)?;
    let length = usize::try_from(u32::from_ne_bytes(size.try_into().ok()?)).ok()?;
    let mut buffer = vec![0; ENTRIES + length];
    buffer.get_mut(..6)?.copy_from_slice(b"filter");
    buffer.get_mut(NAME..NAME + 4)?.copy_from_slice(size);
    ask(GET_ENTRIES, &mut buffer)?;
    Some(buffer.split_off(ENTRIES))
}
