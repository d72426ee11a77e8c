//! Chooses the subnet of a network. Pure: the host's subnets are arguments.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sha2::{Digest, Sha256};

use crate::Error;

/// The ranges in which IPv4 subnets are chosen, in this order: private ranges (RFC 1918) that avoid the defaults of
/// Docker (172.17/16 on), Podman (10.88/15), kubeadm (10.96/12, 10.244/16) and k3s (10.42/15).
const POOLS_V4: [(Ipv4Addr, u8); 3] = [
    (Ipv4Addr::new(10, 176, 0, 0), 12),
    (Ipv4Addr::new(172, 24, 0, 0), 13),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
];
/// The length of the prefix of a network's IPv4 subnet.
pub(crate) const PREFIX_V4: u8 = 24;
const PREFIX_V6: u8 = 64;

/// Returns whether two subnets have a common address.
pub(crate) fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// Returns the first of `used` that collides with `net`.
pub(crate) fn collision(net: &IpNet, used: &[IpNet]) -> Option<IpNet> {
    used.iter().find(|u| overlap(net, u)).copied()
}

/// Chooses a subnet of the pools, with a prefix of this length, that collides with nothing in `used`. `seed` determines where the search starts, so that
/// different networks get different subnets and one network gets the same subnet again.
pub(crate) fn choose_v4(seed: &str, length: u8, used: &[IpNet]) -> Option<Ipv4Net> {
    let hash = hash64(seed);
    POOLS_V4.iter().find_map(|&(base, prefix)| {
        let count = 1_u64 << length.checked_sub(prefix)?;
        (0..count).find_map(|i| {
            let index = u32::try_from((hash.wrapping_add(i)) % count).ok()?;
            let address = Ipv4Addr::from(u32::from(base) | (index << (32 - u32::from(length))));
            let net = Ipv4Net::new(address, length).ok()?;
            collision(&net.into(), used).is_none().then_some(net)
        })
    })
}

/// Chooses a /64 of fd00::/8 that collides with nothing in `used`: unique local addresses with a pseudo-random global
/// id (RFC 4193, section 3.2.2) made from `seed`.
pub(crate) fn choose_v6(seed: &str, used: &[IpNet]) -> Option<Ipv6Net> {
    (0..1024).find_map(|i| {
        let hash = hash64(&format!("{seed}#{i}"));
        // 8 bits of prefix, 40 of global id, 16 of subnet id, 64 for the interface.
        let global_id = u128::from(hash & 0xff_ffff_ffff);
        let net = Ipv6Net::new(Ipv6Addr::from((0xfd_u128 << 120) | (global_id << 80)), PREFIX_V6).ok()?;
        collision(&net.into(), used).is_none().then_some(net)
    })
}

/// Returns an error for a subnet that cannot be used for pods, or that collides with `used`.
pub(crate) fn check(subnet: &IpNet, used: &[IpNet]) -> Result<IpNet, Error> {
    let bad = |why| Error::BadSubnet { subnet: *subnet, why };
    if subnet.addr() != subnet.network() {
        return Err(bad("the address has bits below its mask"));
    }
    let (most, least) = match subnet {
        IpNet::V4(_) => (30, 8),
        IpNet::V6(_) => (126, 16),
    };
    if subnet.prefix_len() > most {
        return Err(bad("it has no room for a gateway and a pod"));
    }
    if subnet.prefix_len() < least {
        return Err(bad("it is too large"));
    }
    let network = subnet.network();
    if network.is_loopback()
        || network.is_multicast()
        || network.is_unspecified()
        || matches!(network, IpAddr::V6(v6) if v6.is_unicast_link_local())
        || matches!(network, IpAddr::V4(v4) if v4.is_link_local() || v4.octets()[0] >= 240)
    {
        return Err(bad("these addresses have a meaning of their own"));
    }
    match collision(subnet, used) {
        Some(with) => Err(Error::SubnetTaken { subnet: *subnet, with }),
        None => Ok(*subnet),
    }
}

/// Returns the first address of a subnet, which is its gateway.
pub(crate) fn gateway(subnet: &IpNet) -> IpAddr {
    match subnet {
        IpNet::V4(net) => Ipv4Addr::from(u32::from(net.network()) | 1).into(),
        IpNet::V6(net) => Ipv6Addr::from(u128::from(net.network()) | 1).into(),
    }
}

fn hash64(text: &str) -> u64 {
    Sha256::digest(text.as_bytes()).iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}

/// Returns the first `digits` hexadecimal digits of a hash of `text`.
pub(crate) fn hex(text: &str, digits: usize) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for byte in Sha256::digest(text.as_bytes()) {
        let _ = write!(out, "{byte:02x}");
    }
    out.truncate(digits);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_net() -> impl Strategy<Value = IpNet> {
        prop_oneof![
            // Subnets around the pools, where collisions happen, large and small.
            (any::<u32>(), 9_u8..=32).prop_map(|(bits, len)| {
                let base = (10_u32 << 24) | (bits & 0x00ff_ffff);
                IpNet::from(Ipv4Net::new(base.into(), len).unwrap().trunc())
            }),
            (any::<u32>(), 1_u8..=32)
                .prop_map(|(bits, len)| Ipv4Net::new(bits.into(), len).unwrap().trunc().into()),
            (any::<u128>(), 1_u8..=128)
                .prop_map(|(bits, len)| Ipv6Net::new(bits.into(), len).unwrap().trunc().into()),
        ]
    }

    proptest! {
        #[test]
        fn a_chosen_subnet_shares_no_address_with_any_route(
            seed in ".{0,12}", used in prop::collection::vec(any_net(), 0..60)
        ) {
            if let Some(net) = choose_v4(&seed, PREFIX_V4, &used) {
                prop_assert!(net.addr().is_private());
                for other in &used {
                    if let IpNet::V4(other) = other {
                        prop_assert!(net.broadcast() < other.network() || other.broadcast() < net.network());
                    }
                }
            } else {
                // If no subnet was chosen, some route must overlap each pool.
                for (base, len) in POOLS_V4 {
                    let pool = IpNet::from(Ipv4Net::new(base, len).unwrap());
                    prop_assert!(collision(&pool, &used).is_some());
                }
            }
            if let Some(net) = choose_v6(&seed, &used) {
                prop_assert_eq!(net.addr().octets()[0], 0xfd);
                for other in &used {
                    if let IpNet::V6(other) = other {
                        prop_assert!(net.broadcast() < other.network() || other.broadcast() < net.network());
                    }
                }
            }
        }

        #[test]
        fn networks_created_one_after_another_never_collide(seeds in prop::collection::vec(".{0,8}", 1..80)) {
            let mut used = Vec::new();
            for seed in seeds {
                let v4 = IpNet::from(choose_v4(&seed, PREFIX_V4, &used).unwrap());
                let v6 = IpNet::from(choose_v6(&seed, &used).unwrap());
                prop_assert!(collision(&v4, &used).is_none() && collision(&v6, &used).is_none());
                used.extend([v4, v6]);
            }
        }

        #[test]
        fn a_network_gets_its_subnet_again(seed in ".{0,12}", used in prop::collection::vec(any_net(), 0..20)) {
            prop_assert_eq!(choose_v4(&seed, PREFIX_V4, &used), choose_v4(&seed, PREFIX_V4, &used));
        }
    }

    #[test]
    fn the_next_pool_is_used_when_the_first_is_routed_elsewhere() {
        let used = ["10.0.0.0/8".parse().unwrap()];
        assert_eq!(choose_v4("x", PREFIX_V4, &used).unwrap().addr().octets()[0], 172);
        let all = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(|n| n.parse().unwrap());
        assert!(choose_v4("x", PREFIX_V4, &all).is_none());
    }

    #[test]
    fn a_subnet_that_cannot_work_is_refused() {
        for bad in ["10.0.0.1/24", "127.0.0.0/24", "10.0.0.0/31", "224.0.0.0/24", "fe80::/64", "0.0.0.0/0"] {
            assert!(matches!(check(&bad.parse().unwrap(), &[]), Err(Error::BadSubnet { .. })), "{bad}");
        }
        let used = ["10.1.0.0/16".parse().unwrap()];
        assert!(matches!(check(&"10.1.2.0/24".parse().unwrap(), &used), Err(Error::SubnetTaken { .. })));
        assert!(check(&"10.2.2.0/24".parse().unwrap(), &used).is_ok());
    }
}
