//! Calls netavark's parts in process, as its setup and teardown commands do. The commands themselves cannot be called,
//! because they print and change signal handlers.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::Path;

use netavark::error::NetavarkError;
use netavark::firewall::FirewallDriver;
use netavark::firewall::state::remove_fw_config;
use netavark::network::core_utils::{open_host_netlink_socket, open_netlink_sockets};
use netavark::network::driver::{DriverInfo, get_network_driver};
use netavark::network::types;

use crate::bridge::Network;
use crate::dns::DNS_PORT;
use crate::firewall::{NetworkTable, Published};
use crate::lease::{Interface, Lease};
use crate::{Error, pod_route, route};

fn refused(doing: impl Into<String>) -> impl FnOnce(NetavarkError) -> Error {
    let doing = doing.into();
    move |e| Error::Refused { doing, why: e.to_string() }
}

/// A lease in the form that netavark takes.
struct Options {
    id: String,
    name: String,
    hostname: Option<String>,
    dns_servers: Option<Vec<std::net::IpAddr>>,
    ports: Option<Vec<types::PortMapping>>,
    netns: String,
    networks: Vec<(types::Network, types::PerNetworkOptions)>,
}

impl Options {
    fn new(lease: &Lease) -> Self {
        let ports: Vec<types::PortMapping> = lease
            .ports
            .iter()
            .map(|port| types::PortMapping {
                container_port: port.container_port,
                host_ip: port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
                host_port: port.host_port,
                protocol: port.protocol.clone(),
                range: 1,
            })
            .collect();
        Self {
            id: lease.id.clone(),
            name: lease.name(),
            hostname: None,
            dns_servers: None,
            ports: (!ports.is_empty()).then_some(ports),
            netns: lease.netns.to_string_lossy().into_owned(),
            networks: lease.interfaces.iter().map(|i| (network(&i.network), attachment(i, lease))).collect(),
        }
    }

    fn info<'a>(
        &'a self,
        index: usize,
        firewall: &'a dyn FirewallDriver,
        host: std::os::fd::BorrowedFd<'a>,
        netns: Option<std::os::fd::BorrowedFd<'a>>,
        config_dir: &'a Path,
    ) -> Option<DriverInfo<'a>> {
        let (network, per_network_opts) = self.networks.get(index)?;
        Some(DriverInfo {
            firewall,
            container_id: &self.id,
            container_name: &self.name,
            container_dns_servers: &self.dns_servers,
            netns_host: host,
            netns_container: netns,
            netns_path: &self.netns,
            network,
            per_network_opts,
            port_mappings: &self.ports,
            // Our own rules redirect to another port.
            dns_port: DNS_PORT,
            config_dir,
            rootless: false,
            container_hostname: &self.hostname,
        })
    }
}

fn network(network: &Network) -> types::Network {
    types::Network {
        created: None,
        dns_enabled: true,
        driver: "bridge".to_owned(),
        id: network.id.clone(),
        // netavark would turn routing on the bridge off. Our own rules keep the pods of an internal network inside, and
        // packets to Services have to be routed.
        internal: false,
        ipv6_enabled: network.nets().any(|net| net.addr().is_ipv6()),
        name: network.name.clone(),
        network_interface: Some(network.bridge.clone()),
        options: network
            .internal
            .then(|| HashMap::from([("no_default_route".to_owned(), "true".to_owned())])),
        ipam_options: None,
        subnets: Some(
            network
                .subnets
                .iter()
                .map(|s| types::Subnet { gateway: Some(s.gateway), lease_range: None, subnet: s.subnet })
                .collect(),
        ),
        routes: None,
        network_dns_servers: None,
        labels: None,
    }
}

fn attachment(interface: &Interface, lease: &Lease) -> types::PerNetworkOptions {
    types::PerNetworkOptions {
        aliases: Some(lease.names.clone()),
        interface_name: interface.name.clone(),
        static_ips: Some(interface.ips.clone()),
        static_mac: interface.mac.clone(),
        options: Some(HashMap::from([("host_interface_name".to_owned(), interface.host_name.clone())])),
    }
}

/// Returns the rules of each network of a lease. `others` are the other leases that are set up; `stands` returns
/// whether the rules of a network are in place for those.
pub(crate) fn tables(
    lease: &Lease,
    others: &[Lease],
    dns_port: u16,
    stands: &dyn Fn(&str) -> bool,
) -> Result<Vec<NetworkTable>, Error> {
    let networks = lease.interfaces.iter().map(|interface| &interface.network);
    let all = || others.iter().chain([lease]);
    networks
        .map(|network| Ok(table(network, all(), dns_port)?.standing(adds_none(lease, network, stands))))
        .collect()
}

/// Returns whether the rules of a network are the same with and without a lease.
fn adds_none(lease: &Lease, network: &Network, stands: &dyn Fn(&str) -> bool) -> bool {
    stands(&network.name) && Published::by(&lease.interfaces, &lease.ports, &network.name).is_none()
}

/// Creates bridges, veths, addresses and routes, and puts the rules of `tables` in place in parallel. `others` are the
/// other leases that are set up. After a failure, what was created is left; the caller removes it.
pub(crate) fn setup(
    lease: &Lease,
    others: &[Lease],
    tables: &[NetworkTable],
    config_dir: &Path,
) -> Result<(), Error> {
    let options = Options::new(lease);
    let (mut host, mut netns) =
        open_netlink_sockets(&options.netns).map_err(refused("enter the pod's network namespace"))?;
    for (index, (interface, table)) in lease.interfaces.iter().zip(tables).enumerate() {
        let doing = || format!("join network `{}`", interface.network.name);
        // Removes what a crash left of this same endpoint.
        route::remove_link(&interface.host_name)?;
        // A bridge without connected interfaces was left by a crash, possibly without its addresses.
        let is_alone = !others.iter().any(|other| other.is_on(&interface.network.name));
        if is_alone && route::is_empty_bridge(&interface.network.bridge)? {
            route::remove_link(&interface.network.bridge)?;
        }
        if interface.network.nets().any(|net| net.addr().is_ipv6()) {
            route::keep_router_advertisements();
        }
        let Some(info) = options.info(index, table, host.file.as_fd(), Some(netns.file.as_fd()), config_dir)
        else {
            continue;
        };
        let mut driver = get_network_driver(info, &None).map_err(refused(doing()))?;
        driver.validate().map_err(refused(doing()))?;
        driver.setup((&mut host.netlink, &mut netns.netlink)).map_err(refused(doing()))?;
        base::fail_point!(Worker, "interface-made");
        pod_route::through_gateway(&mut netns.netlink, interface)?;
        base::fail_point!(Worker, "interface-routed");
        // If the kernel filters bridged packets like routed ones (net.bridge.bridge-nf-call-iptables), an endpoint
        // reaches itself by its published port only in this mode. Otherwise the mode changes nothing.
        if let Err(e) = route::reflect(&mut host.netlink, &interface.host_name) {
            tracing::debug!(interface = interface.host_name, error = %e, "cannot set hairpin mode");
        }
    }
    if let Some(interface) = lease.interfaces.first() {
        pod_route::to_services(&mut netns.netlink, interface, &lease.service_ranges)?;
    }
    pod_route::ignore_redirects(&lease.netns, &lease.interfaces)
}

/// Returns the rules of a network for the given endpoints.
pub(crate) fn table<'a>(
    network: &Network,
    leases: impl Iterator<Item = &'a Lease>,
    dns_port: u16,
) -> Result<NetworkTable, Error> {
    let published =
        leases.filter_map(|lease| Published::by(&lease.interfaces, &lease.ports, &network.name)).collect();
    NetworkTable::new(network, published, dns_port)
}

/// Removes one interface of a lease, whose veth is removed already. `others` are the other leases that are set up: with
/// the last lease on a network, the bridge and the rules are removed.
pub(crate) fn teardown(
    lease: &Lease,
    index: usize,
    others: &[Lease],
    dns_port: u16,
    stands: &dyn Fn(&str) -> bool,
    config_dir: &Path,
) -> Vec<Error> {
    let Some(interface) = lease.interfaces.get(index) else { return Vec::new() };
    let network = &interface.network;
    let doing = format!("leave network `{}`", network.name);
    let table = match table(network, others.iter(), dns_port) {
        Ok(table) => table.standing(adds_none(lease, network, stands)),
        Err(e) => return vec![e],
    };
    match route::link_exists(&network.bridge) {
        Ok(true) => {}
        // Another program removed the bridge but not the rules, which netavark would leave.
        Ok(false) => {
            let last = !others.iter().any(|other| other.is_on(&network.name));
            let rules = if last { table.remove() } else { table.apply() };
            let files = remove_fw_config(config_dir, &network.id, &lease.id, last).map_err(refused(doing));
            return rules.err().into_iter().chain(files.err()).collect();
        }
        Err(e) => return vec![e],
    }
    let mut host = match open_host_netlink_socket() {
        Ok(host) => host,
        Err(e) => return vec![refused(doing)(e)],
    };
    let options = Options::new(lease);
    let Some(info) = options.info(index, &table, host.file.as_fd(), None, config_dir) else {
        return Vec::new();
    };
    // Without a namespace netavark leaves the veth alone, which is removed already.
    let torn = get_network_driver(info, &None).and_then(|driver| driver.teardown((&mut host.netlink, None)));
    torn.err().map(refused(doing)).into_iter().collect()
}
