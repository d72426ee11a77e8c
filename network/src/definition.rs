//! The definitions of an instance's networks: recorded, looked up, chosen again, removed.

use std::path::PathBuf;

use base::file::Durability;
use ipnet::IpNet;

use crate::bridge::{Network, NetworkOptions, check_name};
use crate::host::Host;
use crate::record;
use crate::{Error, Networks, subnet};

impl Networks {
    pub(crate) fn definition_path(&self, name: &str) -> PathBuf {
        self.dir.join("definitions").join(format!("{name}.json"))
    }

    /// Returns all networks of this instance, sorted by name. Definitions that cannot be read are logged and left out.
    pub fn list(&self) -> Result<Vec<Network>, Error> {
        let mut networks = Vec::new();
        for name in record::list(&self.dir.join("definitions"))? {
            networks.extend(record::or_none(self.definition(&name)));
        }
        Ok(networks)
    }

    pub(crate) fn definition(&self, name: &str) -> Result<Option<Network>, Error> {
        let read = record::read(&self.definition_path(name));
        if !matches!(read, Err(Error::Damaged { .. })) {
            return read;
        }
        // A lease of an endpoint on the network contains a copy of the definition.
        let ids = self.leases().unwrap_or_default();
        let mut interfaces =
            ids.iter().filter_map(|id| self.read_lease(id).ok().flatten()).flat_map(|lease| lease.interfaces);
        match interfaces.find(|interface| interface.network.name == name) {
            Some(interface) => Ok(Some(interface.network)),
            None => read,
        }
    }

    /// Records a new network. Its bridge is created when the first endpoint joins.
    pub fn create(&self, name: &str, options: &NetworkOptions) -> Result<Network, Error> {
        check_name(name)?;
        let _instance = self.lock()?;
        let host = Host::lock()?;
        if self.definition(name)?.is_some() {
            return Err(Error::NetworkExists(name.to_owned()));
        }
        self.record_definition(&host, name, options, None)
    }

    fn record_definition(
        &self,
        host: &Host,
        name: &str,
        options: &NetworkOptions,
        made_for: Option<&str>,
    ) -> Result<Network, Error> {
        let used = self.used_subnets(host, name)?;
        let mut network = Network::plan(&self.instance().to_string_lossy(), name, options, &used)?;
        network.made_for = made_for.map(str::to_owned);
        record::write(&self.definition_path(name), &network, Durability::Machine)?;
        base::fail_point!(Worker, "network-defined");
        host.claim_network(&network, &self.definition_path(name))?;
        tracing::debug!(network = name, bridge = network.bridge, subnets = ?network.subnets, "recorded a network");
        Ok(network)
    }

    /// Returns all subnets with which network `name` must not collide: the host's routes and addresses, the networks of
    /// other instances, and the other networks of this instance.
    fn used_subnets(&self, host: &Host, name: &str) -> Result<Vec<IpNet>, Error> {
        let mut used = crate::route::used_by_host()?;
        used.extend(host.claimed_subnets(&self.definition_path(name))?);
        used.extend(self.recorded_ranges().map(|ranges| ranges.nets()).unwrap_or_default());
        for other in self.list()?.iter().filter(|other| other.name != name) {
            used.extend(other.nets());
        }
        Ok(used)
    }

    /// Returns the network that the endpoint `id` is about to join. The network is recorded on first use. Its subnets
    /// are chosen again if it has no bridge at present and they collide with a new route of the host; it has no IPv6 on
    /// a host on which IPv6 is disabled.
    pub(crate) fn network_to_join(&self, host: &Host, name: &str, id: &str) -> Result<Network, Error> {
        let has_ipv6 = crate::route::host_has_ipv6();
        let mut network = self.defined_or_chosen(host, name, id, has_ipv6)?;
        if !has_ipv6 && network.nets().any(|net| net.addr().is_ipv4()) {
            network.subnets.retain(|s| s.gateway.is_ipv4());
        }
        Ok(network)
    }

    fn defined_or_chosen(&self, host: &Host, name: &str, id: &str, has_ipv6: bool) -> Result<Network, Error> {
        let Some(network) = self.definition(name)? else {
            if !has_ipv6 {
                tracing::warn!(network = name, "IPv6 is disabled on this host: the network is IPv4 only");
            }
            let options = NetworkOptions { ipv6: has_ipv6, ..NetworkOptions::default() };
            return self.record_definition(host, name, &options, Some(id));
        };
        if crate::route::link_exists(&network.bridge)? {
            return Ok(network);
        }
        let used = self.used_subnets(host, name)?;
        let collision = network.nets().find_map(|net| Some((net, subnet::collision(&net, &used)?)));
        match collision {
            None => {
                host.claim_network(&network, &self.definition_path(name))?;
                Ok(network)
            }
            Some((subnet, with)) if network.subnets_chosen => {
                tracing::warn!(
                    network = name,
                    %subnet,
                    %with,
                    "the network's subnet collides with a route of this host: it gets another one"
                );
                let ipv6 = network.nets().any(|net| net.addr().is_ipv6());
                let options = NetworkOptions { ipv6, internal: network.internal, subnets: Vec::new() };
                self.record_definition(host, name, &options, network.made_for.as_deref())
            }
            Some((subnet, with)) => Err(Error::SubnetTaken { subnet, with }),
        }
    }

    /// Removes the definition of a network. Fails if an endpoint is on the network.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        check_name(name)?;
        let _instance = self.lock()?;
        let host = Host::lock()?;
        if !self.definition_path(name).exists() {
            return Err(Error::NoSuchNetwork(name.to_owned()));
        }
        let by = self.endpoints(name)?;
        if !by.is_empty() {
            return Err(Error::NetworkInUse { network: name.to_owned(), by });
        }
        self.forget(&host, name)
    }

    /// Removes the networks that were recorded because one of the endpoints `ids` joined them and that no endpoint is
    /// on. A network that existed before, was created by name, or has been joined by another endpoint is kept.
    pub fn remove_made_for(&self, ids: &[&str]) -> Result<(), Error> {
        // Checked without the lock first, because most often there are no such networks.
        let is_made_for = |network: &Network| network.made_for.as_deref().is_some_and(|id| ids.contains(&id));
        if !self.list()?.iter().any(is_made_for) {
            return Ok(());
        }
        let _instance = self.lock()?;
        let host = Host::lock()?;
        for network in self.list()?.iter().filter(|network| is_made_for(network)) {
            if self.endpoints(&network.name)?.is_empty() {
                self.forget(&host, &network.name)?;
            }
        }
        Ok(())
    }

    fn forget(&self, host: &Host, name: &str) -> Result<(), Error> {
        record::remove(&self.definition_path(name))?;
        record::remove(&self.last_path(name))?;
        host.release_network(&self.definition_path(name))
    }
}
