//! Names of reverse zones: `5.0.88.10.in-addr.arpa` (RFC 1035, section 3.5) and the nibbles of `ip6.arpa` (RFC 3596,
//! section 2.5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A name below `in-addr.arpa` or `ip6.arpa`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReverseName {
    /// The addresses that the name covers; one address if the name is complete.
    pub net: IpNet,
    /// True if the name consists of nothing but the digits of `net`. Otherwise labels follow that are no part of an
    /// address, as in `_dns-sd._udp.0.88.10.in-addr.arpa`.
    pub is_exact: bool,
}

impl ReverseName {
    /// Parses a name in lower case without a dot at its end.
    pub(super) fn parse(name: &str) -> Option<Self> {
        if let Some(labels) = below(name, "in-addr.arpa") {
            let mut octets = [0; 4];
            let (len, is_exact) = fill(labels, &mut octets, octet);
            let net = Ipv4Net::new(Ipv4Addr::from(octets), u8::try_from(8 * len).ok()?).ok()?;
            return Some(Self { net: net.into(), is_exact });
        }
        let labels = below(name, "ip6.arpa")?;
        let mut nibbles = [0; 32];
        let (len, is_exact) = fill(labels, &mut nibbles, nibble);
        let bits = nibbles.iter().fold(0_u128, |bits, nibble| (bits << 4) | u128::from(*nibble));
        let net = Ipv6Net::new(Ipv6Addr::from(bits), u8::try_from(4 * len).ok()?).ok()?;
        Some(Self { net: net.into(), is_exact })
    }

    /// Returns the address of a complete name.
    pub(super) fn address(&self) -> Option<IpAddr> {
        (self.is_exact && self.net.prefix_len() == self.net.max_prefix_len()).then(|| self.net.addr())
    }
}

/// Returns how many labels, counted from the root, the largest reverse zone has that lies within `range`.
pub(super) fn zone_labels(range: &IpNet) -> usize {
    let bits = match range {
        IpNet::V4(_) => 8,
        IpNet::V6(_) => 4,
    };
    2 + usize::from(range.prefix_len().div_ceil(bits))
}

/// Returns the part of `name` that is below `zone`; empty for the zone itself.
fn below<'a>(name: &'a str, zone: &str) -> Option<&'a str> {
    let rest = name.strip_suffix(zone)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_suffix('.') }
}

/// Reads digits from the last label to the first. Returns how many were read, and whether these were all labels.
fn fill(labels: &str, digits: &mut [u8], read: fn(&str) -> Option<u8>) -> (usize, bool) {
    let mut labels = labels.rsplit('.').filter(|label| !label.is_empty());
    for (index, digit) in digits.iter_mut().enumerate() {
        match labels.next().map(read) {
            None => return (index, true),
            Some(None) => return (index, false),
            Some(Some(value)) => *digit = value,
        }
    }
    (digits.len(), labels.next().is_none())
}

fn octet(label: &str) -> Option<u8> {
    let has_leading_zero = label.len() > 1 && label.starts_with('0');
    (!has_leading_zero && label.bytes().all(|b| b.is_ascii_digit())).then(|| label.parse().ok())?
}

fn nibble(label: &str) -> Option<u8> {
    let mut digits = label.chars();
    let value = digits.next()?.to_digit(16)?;
    digits.next().is_none().then(|| u8::try_from(value).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str) -> (String, bool) {
        let parsed = ReverseName::parse(name).unwrap();
        (parsed.net.to_string(), parsed.is_exact)
    }

    #[test]
    fn a_reverse_name_covers_the_addresses_of_its_digits() {
        for (name, net) in [
            ("5.0.88.10.in-addr.arpa", "10.88.0.5/32"),
            ("88.10.in-addr.arpa", "10.88.0.0/16"),
            ("in-addr.arpa", "0.0.0.0/0"),
            ("d.f.ip6.arpa", "fd00::/8"),
            ("ip6.arpa", "::/0"),
        ] {
            assert_eq!(parse(name), (net.to_owned(), true), "{name}");
        }
    }

    #[test]
    fn labels_that_are_no_digits_end_the_address() {
        for (name, net) in [
            ("b._dns-sd._udp.0.88.10.in-addr.arpa", "10.88.0.0/24"),
            ("x.5.0.88.10.in-addr.arpa", "10.88.0.5/32"),
            ("05.0.88.10.in-addr.arpa", "10.88.0.0/24"),
            ("300.88.10.in-addr.arpa", "10.88.0.0/16"),
            ("+1.88.10.in-addr.arpa", "10.88.0.0/16"),
            ("10.d.f.ip6.arpa", "fd00::/8"),
        ] {
            assert_eq!(parse(name), (net.to_owned(), false), "{name}");
            assert_eq!(ReverseName::parse(name).unwrap().address(), None);
        }
    }

    #[test]
    fn a_complete_name_is_an_address() {
        for ip in ["10.88.0.5", "fd12:3456::9", "::1", "0.0.0.0", "255.255.255.255"] {
            let ip: IpAddr = ip.parse().unwrap();
            let name = hickory_proto::rr::Name::from(ip).to_string();
            assert_eq!(ReverseName::parse(name.trim_end_matches('.')).unwrap().address(), Some(ip), "{name}");
        }
    }

    #[test]
    fn other_names_are_none() {
        for name in ["", "arpa", "xin-addr.arpa", "web.default.svc", "in-addr.arpa.example"] {
            assert_eq!(ReverseName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_zone_lies_within_its_range() {
        for (range, labels) in
            [("10.88.0.0/16", 4), ("10.88.16.0/20", 5), ("10.0.0.0/30", 6), ("fd00::/64", 18)]
        {
            assert_eq!(zone_labels(&range.parse().unwrap()), labels, "{range}");
        }
    }
}
