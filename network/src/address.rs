//! Chooses the addresses of an endpoint in a network. Pure: the leased addresses are arguments.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::Error;

/// A subnet of a network, with the address that was allocated last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pool {
    pub subnet: IpNet,
    pub gateway: IpAddr,
    /// The address that was allocated last, if any. The search for the next one starts after it, so that a released
    /// address stays unused for as long as possible (neighbours and clients may still know it as another endpoint's).
    pub last: Option<IpAddr>,
}

/// Chooses one address in each pool: the requested one of `wanted`, else the one of `kept` (the endpoint's former
/// addresses, if still free), else the next free one. `taken` maps each leased address of this network to the name of
/// its endpoint.
pub(crate) fn allocate(
    network: &str,
    pools: &[Pool],
    wanted: &[IpAddr],
    kept: &[IpAddr],
    taken: &BTreeMap<IpAddr, String>,
) -> Result<Vec<IpAddr>, Error> {
    for ip in wanted {
        check_wanted(network, pools, *ip, taken)?;
    }
    for version in [4, 6] {
        if wanted.iter().filter(|ip| ip.is_ipv4() == (version == 4)).count() > 1 {
            return Err(Error::TooManyAddresses { version, network: network.to_owned() });
        }
    }
    pools
        .iter()
        .map(|pool| {
            let asked = wanted.iter().find(|ip| pool.subnet.contains(*ip));
            let had = kept.iter().find(|ip| check_wanted(network, &[*pool], **ip, taken).is_ok());
            if let Some(ip) = asked.or(had) {
                return Ok(*ip);
            }
            next_free(pool, taken)
                .ok_or_else(|| Error::NetworkFull { network: network.to_owned(), subnet: pool.subnet })
        })
        .collect()
}

fn check_wanted(
    network: &str,
    pools: &[Pool],
    ip: IpAddr,
    taken: &BTreeMap<IpAddr, String>,
) -> Result<(), Error> {
    let Some(pool) = pools.iter().find(|pool| pool.subnet.contains(&ip)) else {
        let subnets = pools.iter().map(|pool| pool.subnet).collect();
        return Err(Error::AddressOutside { ip, network: network.to_owned(), subnets });
    };
    let reserved = |what| Err(Error::AddressReserved { ip, what, network: network.to_owned() });
    if ip == pool.gateway {
        return reserved("the gateway");
    }
    if ip == pool.subnet.network() {
        return reserved("the network address");
    }
    if ip.is_ipv4() && ip == pool.subnet.broadcast() {
        return reserved("the broadcast address");
    }
    match taken.get(&ip) {
        Some(by) => Err(Error::AddressTaken { ip, network: network.to_owned(), by: by.clone() }),
        None => Ok(()),
    }
}

fn next_free(pool: &Pool, taken: &BTreeMap<IpAddr, String>) -> Option<IpAddr> {
    let (first, end) = match pool.subnet {
        IpNet::V4(net) => (u128::from(u32::from(net.network())), u128::from(u32::from(net.broadcast()))),
        IpNet::V6(net) => (u128::from(net.network()), u128::from(net.broadcast())),
    };
    // At most this many addresses are skipped: the leased ones, the network's, the gateway's and the broadcast address.
    let tries = (end - first).min(taken.len() as u128 + 3);
    let start = match pool.last {
        Some(last) if pool.subnet.contains(&last) => number(last) - first + 1,
        _ => 1,
    };
    (0..=tries).find_map(|i| {
        let offset = (start + i) % (end - first).saturating_add(1);
        let ip = address(&pool.subnet, first + offset);
        check_wanted("", &[*pool], ip, taken).is_ok().then_some(ip)
    })
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn address(subnet: &IpNet, number: u128) -> IpAddr {
    match subnet {
        IpNet::V4(_) => Ipv4Addr::from(u32::try_from(number).unwrap_or_default()).into(),
        IpNet::V6(_) => Ipv6Addr::from(number).into(),
    }
}

/// Checks a MAC address: six hexadecimal bytes, not multicast (IEEE 802: the first byte's lowest bit), not zero.
pub(crate) fn check_mac(mac: &str) -> Result<(), Error> {
    let bad = || Error::BadMac(mac.to_owned());
    let parts: Vec<&str> = mac.split(':').collect();
    let bytes: Vec<u8> = parts
        .iter()
        .map(|part| {
            (part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
                .then(|| u8::from_str_radix(part, 16).ok())
                .flatten()
        })
        .collect::<Option<_>>()
        .ok_or_else(bad)?;
    match bytes.first() {
        Some(first) if bytes.len() == 6 && first & 1 == 0 && bytes.iter().any(|b| *b != 0) => Ok(()),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pool(subnet: &str, last: Option<&str>) -> Pool {
        let subnet = subnet.parse().unwrap();
        Pool { subnet, gateway: crate::subnet::gateway(&subnet), last: last.map(|l| l.parse().unwrap()) }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_next_free_address_follows_the_last_allocated_one() {
        let taken = BTreeMap::from([(ip("10.0.0.3"), "a".to_owned())]);
        let next = |last| allocate("n", &[pool("10.0.0.0/24", last)], &[], &[], &taken).unwrap();
        assert_eq!(next(None), [ip("10.0.0.2")]);
        assert_eq!(next(Some("10.0.0.2")), [ip("10.0.0.4")]);
        assert_eq!(next(Some("10.0.0.254")), [ip("10.0.0.2")]);
    }

    #[test]
    fn an_endpoint_keeps_its_address() {
        let kept = [ip("10.0.0.9"), ip("fd00::9")];
        let pools = [pool("10.0.0.0/24", None), pool("fd00::/64", None)];
        assert_eq!(allocate("n", &pools, &[], &kept, &BTreeMap::new()).unwrap(), kept);
        // An address is not kept if the network's subnet has changed or another endpoint has the address.
        let taken = BTreeMap::from([(ip("fd00::9"), "b".to_owned())]);
        let pools = [pool("10.1.0.0/24", None), pool("fd00::/64", None)];
        assert_eq!(allocate("n", &pools, &[], &kept, &taken).unwrap(), [ip("10.1.0.2"), ip("fd00::2")]);
    }

    #[test]
    fn a_wanted_address_is_in_the_network_and_free() {
        let taken = BTreeMap::from([(ip("10.0.0.3"), "web".to_owned())]);
        let ask = |wanted: &[&str]| {
            let wanted: Vec<IpAddr> = wanted.iter().map(|w| ip(w)).collect();
            allocate("lab", &[pool("10.0.0.0/24", None)], &wanted, &[], &taken).map_err(|e| e.to_string())
        };
        assert_eq!(ask(&["10.0.0.77"]), Ok(vec![ip("10.0.0.77")]));
        assert_eq!(ask(&["10.0.0.3"]).unwrap_err(), "10.0.0.3 of network `lab` belongs to web");
        assert_eq!(ask(&["10.0.1.3"]).unwrap_err(), "10.0.1.3 is not in network `lab` (10.0.0.0/24)");
        assert_eq!(ask(&["10.0.0.1"]).unwrap_err(), "10.0.0.1 is the gateway of network `lab`");
        assert_eq!(ask(&["10.0.0.0"]).unwrap_err(), "10.0.0.0 is the network address of network `lab`");
        assert_eq!(ask(&["10.0.0.255"]).unwrap_err(), "10.0.0.255 is the broadcast address of network `lab`");
        assert_eq!(
            ask(&["10.0.0.7", "10.0.0.8"]).unwrap_err(),
            "more than one IPv4 address asked for in network `lab`"
        );
    }

    #[test]
    fn mac_addresses() {
        for good in ["02:42:ac:11:00:02", "AA:bb:CC:dd:EE:ff"] {
            check_mac(good).unwrap();
        }
        for bad in [
            "",
            "02:42:ac:11:00",
            "02:42:ac:11:00:02:03",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "zz:42:ac:11:00:02",
            "+2:42:ac:11:00:02",
            "2:42:ac:11:00:02",
        ] {
            assert!(check_mac(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_address_is_allocated_once_and_then_the_network_is_full(len in 26_u8..=30, start in any::<u8>()) {
            let subnet: IpNet = IpNet::new(ip("10.9.0.0"), len).unwrap();
            let gateway = crate::subnet::gateway(&subnet);
            let mut taken = BTreeMap::new();
            let mut last = Some(ip(&format!("10.9.0.{start}")));
            let usable = (1_u32 << (32 - len)) - 3;
            for _ in 0..usable {
                let pool = Pool { subnet, gateway, last };
                let got = allocate("n", &[pool], &[], &[], &taken).unwrap()[0];
                prop_assert!(subnet.contains(&got) && got != gateway);
                prop_assert!(got != subnet.network() && got != subnet.broadcast());
                prop_assert!(taken.insert(got, "x".to_owned()).is_none());
                last = Some(got);
            }
            let pool = Pool { subnet, gateway, last };
            prop_assert!(allocate("n", &[pool], &[], &[], &taken).is_err());
        }

        #[test]
        fn a_released_address_is_not_reused_while_others_are_free(frees in 1_usize..40) {
            let mut last = None;
            let mut seen = Vec::new();
            for _ in 0..frees {
                let got = allocate("n", &[Pool { last, ..pool("10.0.0.0/24", None) }], &[], &[], &BTreeMap::new()).unwrap()[0];
                prop_assert!(!seen.contains(&got));
                seen.push(got);
                last = Some(got);
            }
        }
    }
}
