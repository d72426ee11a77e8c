//! The ports of the host that Services take. They are claimed as those of pods are, so that no two instances, and no pod
//! and Service, take the same one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use super::{Pending, Protocol, Service, ServicePort};
use crate::host::{Host, PortClaim};
use crate::{Error, Networks, Port, port, route, subnet};

/// A port of the host that a Service wants: protocol, port, and the address if it is an external one.
type Wanted = (Protocol, u16, Option<IpAddr>);

/// Returns the ports of the host that the Services take.
pub(crate) fn wanted(services: &[Service]) -> BTreeSet<(&str, Wanted)> {
    let of =
        |service: &Service| service.ports.iter().flat_map(|port| of_port(service, port)).collect::<Vec<_>>();
    services
        .iter()
        .flat_map(|service| of(service).into_iter().map(|port| (service.name.as_str(), port)))
        .collect()
}

fn of_port(service: &Service, port: &ServicePort) -> Vec<Wanted> {
    let of_host = port.node_port.into_iter().chain(port.load_balancer.then_some(port.port));
    let of_host = of_host.map(|number| (port.protocol, number, None));
    let external = service.external_ips.iter().map(|ip| (port.protocol, port.port, Some(*ip)));
    of_host.chain(external).collect()
}

/// Claims the ports of the host that the Services take, and releases those of this instance that no Service takes any
/// more. `record` is the record of the Services, with which the claims end. Returns the Services without the ports that
/// others have, and those ports. A Service that has a port keeps it.
pub(crate) fn claim(
    host: &Host,
    instance: &Path,
    record: &Path,
    services: &[Service],
) -> Result<(Vec<Service>, Vec<Pending>), Error> {
    let claims = host.port_claims()?;
    let (mine, mut all): (Vec<PortClaim>, Vec<PortClaim>) =
        claims.into_iter().partition(|claim| claim.is_of_service && claim.instance == instance);
    let others = all.len();
    let mut by_name: BTreeMap<&str, Vec<Port>> = BTreeMap::new();
    for (name, port) in wanted(services) {
        by_name.entry(name).or_default().push(published(&port));
    }
    for (name, ports) in &by_name {
        let id = id(instance, name);
        let had =
            mine.iter().find(|claim| claim.id == id).map(|claim| claim.ports.as_slice()).unwrap_or_default();
        all.push(PortClaim {
            ports: had.iter().filter(|port| ports.contains(port)).cloned().collect(),
            id,
            name: (*name).to_owned(),
            instance: instance.to_owned(),
            netns: record.to_owned(),
            is_of_service: true,
        });
    }
    let (mut pending, mut refused_ips) = (Vec::new(), Vec::new());
    for (name, ports) in by_name {
        let id = id(instance, name);
        for port in ports {
            let has = all.iter().any(|claim| claim.id == id && claim.ports.contains(&port));
            // An external address may be that of another machine that routes its packets here.
            if has || !port.host_ip.is_none_or(route::is_host_address) {
                continue;
            }
            match port::check(instance, &id, std::slice::from_ref(&port), &all) {
                Ok(()) => {
                    if let Some(own) = all.iter_mut().find(|claim| claim.id == id) {
                        own.ports.push(port);
                    }
                }
                Err(Error::PortTaken { port: host_port, protocol, by: taken_by }) => {
                    let protocol = protocol_of(&protocol).unwrap_or(Protocol::Tcp);
                    refused_ips.extend(port.host_ip.map(|ip| (name.to_owned(), ip)));
                    pending.push(Pending { service: name.to_owned(), protocol, host_port, taken_by });
                }
                Err(e) => return Err(e),
            }
        }
    }
    let own: Vec<&PortClaim> = all.iter().skip(others).filter(|claim| !claim.ports.is_empty()).collect();
    for claim in own.iter().filter(|claim| !mine.contains(claim)) {
        host.claim_ports(claim)?;
    }
    for claim in mine.iter().filter(|claim| !own.iter().any(|own| own.id == claim.id)) {
        host.release_ports(&claim.id)?;
    }
    let mut granted: Vec<Service> = services.iter().map(|service| without(service, &pending)).collect();
    for service in &mut granted {
        service.external_ips.retain(|ip| !refused_ips.contains(&(service.name.clone(), *ip)));
    }
    Ok((granted, pending))
}

/// Returns the id of a Service's claim.
fn id(instance: &Path, name: &str) -> String {
    format!("service-{}", subnet::hex(&format!("{}\0{name}", instance.display()), 32))
}

fn published(wanted: &Wanted) -> Port {
    let (protocol, host_port, host_ip) = *wanted;
    Port { host_ip, host_port, container_port: host_port, protocol: protocol.as_str().to_owned() }
}

/// Returns a Service without the ports of the host that it could not get.
fn without(service: &Service, pending: &[Pending]) -> Service {
    let is_pending = |port: &ServicePort, number: u16| {
        let is =
            |p: &Pending| p.service == service.name && p.protocol == port.protocol && p.host_port == number;
        pending.iter().any(is)
    };
    let mut granted = service.clone();
    for port in &mut granted.ports {
        // The node port of a LoadBalancer is another port, which may be free.
        port.load_balancer &= !is_pending(port, port.port);
        port.node_port = port.node_port.filter(|number| !is_pending(port, *number));
    }
    granted
}

impl Networks {
    /// Returns who has a port on any address of the host: a socket, a pod, or a Service of another instance. Returns
    /// `None` if nobody has it, or a Service of this instance, which the caller knows.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn who_has_port(&self, protocol: Protocol, number: u16) -> Result<Option<String>, Error> {
        let instance = self.instance();
        let mut claims = Host::lock()?.port_claims()?;
        claims.retain(|claim| !claim.is_of_service || claim.instance != instance);
        match port::check(&instance, "", &[published(&(protocol, number, None))], &claims) {
            Ok(()) => Ok(None),
            Err(Error::PortTaken { by, .. }) => Ok(Some(by)),
            Err(e) => Err(e),
        }
    }
}

fn protocol_of(word: &str) -> Option<Protocol> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|protocol| protocol.as_str() == word)
}
