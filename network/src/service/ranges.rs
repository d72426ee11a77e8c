//! The ranges of which an instance's Services get their addresses: chosen as the subnets of networks are, and recorded.

use std::path::PathBuf;

use base::file::Durability;
use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::{Error, Networks, record, route, subnet};

/// The length of the prefix of the IPv4 range: 4,093 Services.
const PREFIX_V4: u8 = 20;
/// The length of the prefix of the IPv6 range: 65,535 Services.
const PREFIX_V6: u8 = 112;

/// The recorded ranges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ranges {
    /// The name of the instance's table of Services and of its device, for whoever looks for what is left of them.
    device: String,
    /// IPv4 first.
    ranges: Vec<IpNet>,
}

impl Ranges {
    /// Returns the ranges of the families that the host has.
    pub(crate) fn nets(&self) -> Vec<IpNet> {
        let has_ipv6 = route::host_has_ipv6();
        self.ranges.iter().copied().filter(|range| range.addr().is_ipv4() || has_ipv6).collect()
    }
}

impl Networks {
    /// Returns the name of the table and the device of this instance's Services: 14 bytes (the kernel allows 15). It
    /// begins as the names of bridges do, so that its addresses do not count as those of the host.
    pub(crate) fn services_device(&self) -> String {
        format!("kube-s{}", subnet::hex(&self.ranges_seed(), 8))
    }

    fn ranges_seed(&self) -> String {
        // No network has an empty name.
        format!("{}\0", self.instance().to_string_lossy())
    }

    pub(crate) fn ranges_path(&self) -> PathBuf {
        self.dir.join("service-ranges.json")
    }

    /// Returns the ranges that are recorded.
    pub(crate) fn recorded_ranges(&self) -> Option<Ranges> {
        let read = record::read(&self.ranges_path());
        let was_damaged = matches!(read, Err(Error::Damaged { .. }));
        let recorded = record::or_none(read);
        if !was_damaged {
            return recorded;
        }
        // The ranges of the Services that are in place are the same.
        let ranges = self.ranges_in_place();
        let ranges = (!ranges.is_empty()).then(|| Ranges { device: self.services_device(), ranges })?;
        if let Err(e) = record::write(&self.ranges_path(), &ranges, Durability::Machine) {
            tracing::warn!("{e}");
        }
        Some(ranges)
    }

    /// Returns the ranges, which are chosen and recorded if there are none. They are chosen again if nothing of the
    /// instance uses them and they collide with a new route of the host. The caller holds the lock of the instance.
    pub(crate) fn ranges(&self, host: &Host) -> Result<Ranges, Error> {
        let recorded = self.recorded_ranges();
        if let Some(ranges) = &recorded
            && (route::link_exists(&self.services_device())? || !self.active_endpoints()?.is_empty())
        {
            return Ok(ranges.clone());
        }
        let used = self.used_by_others(host)?;
        if let Some(ranges) = recorded {
            let collision = ranges.ranges.iter().find_map(|net| Some((net, subnet::collision(net, &used)?)));
            let Some((range, with)) = collision else {
                host.claim_subnets(ranges.ranges.clone(), &self.ranges_path())?;
                return Ok(ranges);
            };
            tracing::warn!(%range, %with, "the range of Services collides with a route of this host: Services get others");
        }
        let seed = self.ranges_seed();
        let v4 = subnet::choose_v4(&seed, PREFIX_V4, &used).ok_or(Error::NoFreeServiceRange)?;
        let v6 = subnet::choose_v6(&seed, &used).and_then(|net| Ipv6Net::new(net.addr(), PREFIX_V6).ok());
        let v6 = v6.ok_or(Error::NoFreeServiceRange)?;
        let ranges = Ranges { device: self.services_device(), ranges: vec![v4.into(), v6.into()] };
        record::write(&self.ranges_path(), &ranges, Durability::Machine)?;
        base::fail_point!(Worker, "service-ranges-recorded");
        host.claim_subnets(ranges.ranges.clone(), &self.ranges_path())?;
        Ok(ranges)
    }

    /// Returns all subnets with which the ranges must not collide.
    fn used_by_others(&self, host: &Host) -> Result<Vec<IpNet>, Error> {
        let mut used = route::used_by_host()?;
        used.extend(host.claimed_subnets(&self.ranges_path())?);
        for network in self.list()? {
            used.extend(network.nets());
        }
        Ok(used)
    }
}
