//! The filter tables of the older iptables (linux/netfilter_ipv4/ip_tables.h), of which the kernel counts no changes: all
//! of a table is read, and its contents become one number.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

/// Options of getsockopt(2), at the level of the protocol.
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;
/// struct ipt_getinfo: its length, and where in it the size of the entries is.
const INFO: usize = 84;
const INFO_SIZE: usize = 80;
/// struct ipt_get_entries: where its entries begin.
const ENTRIES: usize = 40;
/// A table's name, with zeros behind it.
const NAME: usize = 32;

/// The layout of struct ipt_entry, or ip6t_entry.
struct Layout {
    names: &'static str,
    level: libc::c_int,
    family: AddressFamily,
    /// Where the entry says how long it is, in two bytes.
    next: usize,
    /// Where its two counters of eight bytes are, which change with every packet.
    counters: usize,
}

/// A number that changes with the filter table of a family (AF_INET, AF_INET6). `None`: there is no such table.
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
    // Asking for one that is not there would make it.
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
    // iptables(8) asks by such a socket.
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
