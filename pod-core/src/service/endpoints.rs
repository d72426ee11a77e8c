//! Finds the endpoints of Services. It is pure. Sources: pkg/controller/endpointslice and pkg/proxy/topology.go.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pods::PodEndpoint;
use super::recorded::Recorded;
use super::{EndpointView, PortView, View};
use crate::kind::{Kind, ObjectRef};
use crate::manifest::SERVICE_NAME;

/// A Service with its endpoints of both families.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resolved {
    pub service: Service,
    pub ports: Vec<ResolvedPort>,
    /// The endpoints, whatever their ports: a headless Service may have none.
    pub members: Vec<Member>,
}

/// A port of a Service with its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResolvedPort {
    pub name: Option<String>,
    pub protocol: String,
    pub port: u16,
    pub node_port: Option<u16>,
    /// The endpoints: the index of the member, the target port, and whether connections are sent there.
    pub targets: Vec<Target>,
}

/// An endpoint at a port of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// The index of the member.
    pub member: usize,
    /// The target port.
    pub port: u16,
    /// Whether connections are sent there.
    pub used: bool,
}

/// A pod or another host that a Service leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Its addresses, at most one per family.
    pub ips: Vec<IpAddr>,
    /// The pod.
    pub pod: Option<ObjectRef>,
    /// The pod's uid.
    pub uid: Option<String>,
    /// The name below that of the Service.
    pub hostname: Option<String>,
    /// The condition `ready`.
    pub ready: bool,
    /// The condition `serving`.
    pub serving: bool,
    /// The condition `terminating`.
    pub terminating: bool,
}

impl Resolved {
    pub fn spec(&self) -> Option<&ServiceSpec> {
        self.service.spec.as_ref()
    }

    /// Returns true if the Service has an address of the family. A Service that was recorded without families has both.
    pub fn has_family(&self, ip: IpAddr) -> bool {
        let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
        let families = self.spec().and_then(|spec| spec.ip_families.as_deref()).unwrap_or_default();
        families.is_empty() || families.iter().any(|known| known == family)
    }

    /// Returns the addresses of an endpoint in the families of the Service.
    pub fn ips<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = IpAddr> + 'a {
        member.ips.iter().copied().filter(|ip| self.has_family(*ip))
    }

    /// Returns the Service with its endpoints as commands show it.
    pub fn view(&self) -> View {
        let ports = self.ports.iter().map(|port| {
            let endpoints = port.targets.iter().flat_map(|target| {
                let member = self.members.get(target.member);
                member.into_iter().flat_map(move |member| {
                    self.ips(member).map(move |ip| EndpointView {
                        address: SocketAddr::new(ip, target.port),
                        pod: member.pod.clone(),
                        hostname: member.hostname.clone(),
                        ready: target.used,
                    })
                })
            });
            PortView {
                name: port.name.clone(),
                protocol: port.protocol.clone(),
                port: port.port,
                endpoints: endpoints.collect(),
            }
        });
        View { service: self.service.clone(), ports: ports.collect() }
    }
}

/// Returns the Services with their endpoints.
pub(super) fn resolve(recorded: Recorded, mut pods: Vec<PodEndpoint>) -> Vec<Resolved> {
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let index = Index::new(&pods);
    let Recorded { services, endpoints, slices } = recorded;
    let documents = Documents { endpoints, slices };
    services.into_iter().map(|service| of_service(service, &index, &documents)).collect()
}

fn of_service(service: Service, pods: &Index<'_>, documents: &Documents) -> Resolved {
    let mut members = Vec::new();
    let mut ports: Vec<ResolvedPort> = Vec::new();
    let spec = service.spec.clone().unwrap_or_default();
    let given = spec.ports.as_deref().unwrap_or_default();
    ports.extend(given.iter().filter_map(port));
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let name = service.metadata.name.as_deref().unwrap_or_default();
    if spec.type_.as_deref() == Some("ExternalName") {
        return Resolved { service, ports: Vec::new(), members };
    }
    match spec.selector.as_ref().filter(|selector| !selector.is_empty()) {
        Some(selector) => {
            let publishes = spec.publish_not_ready_addresses == Some(true);
            for pod in pods.select(namespace, selector) {
                let member = members.len();
                members.push(of_pod(pod, name, publishes));
                for (port, given) in ports.iter_mut().zip(given) {
                    if let Some(number) = target_port(pod, given) {
                        port.targets.push(Target { member, port: number, used: false });
                    }
                }
            }
        }
        None => documents.add(namespace, name, &mut ports, &mut members),
    }
    for port in &mut ports {
        choose(&mut port.targets, &members);
    }
    Resolved { service, ports, members }
}

fn port(port: &ServicePort) -> Option<ResolvedPort> {
    Some(ResolvedPort {
        name: port.name.clone().filter(|name| !name.is_empty()),
        protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
        port: u16::try_from(port.port).ok()?,
        node_port: port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0),
        targets: Vec::new(),
    })
}

fn of_pod(pod: &PodEndpoint, service: &str, publishes_not_ready: bool) -> Member {
    let is_below = pod.subdomain.as_deref() == Some(service);
    let first = |is_ipv4: bool| pod.reach.ips.iter().find(|ip| ip.is_ipv4() == is_ipv4).copied();
    Member {
        ips: [first(true), first(false)].into_iter().flatten().collect(),
        pod: Some(ObjectRef::new(Kind::Pod, &pod.namespace, &pod.name)),
        uid: Some(pod.uid.clone()),
        hostname: pod.hostname.clone().filter(|_| is_below),
        ready: publishes_not_ready || pod.reach.serving && !pod.reach.terminating,
        serving: pod.reach.serving,
        terminating: pod.reach.terminating,
    }
}

/// Returns the port of a pod that a port of a Service leads to; `None` if the pod has no port of that name.
fn target_port(pod: &PodEndpoint, port: &ServicePort) -> Option<u16> {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    match &port.target_port {
        Some(IntOrString::Int(number)) if *number != 0 => u16::try_from(*number).ok(),
        Some(IntOrString::String(name)) if !name.is_empty() => {
            let mut named = pod.ports.iter().filter(|port| port.name == *name && port.protocol == protocol);
            named.next().map(|port| port.port)
        }
        _ => u16::try_from(port.port).ok(),
    }
}

/// Decides which endpoints get connections: those that are ready; if there are none, those that end and still serve.
fn choose(targets: &mut [Target], members: &[Member]) {
    let of = |target: &Target, fits: fn(&Member) -> bool| members.get(target.member).is_some_and(fits);
    let is_ready = |target: &Target| of(target, |member| member.ready);
    let any = targets.iter().any(is_ready);
    for target in targets {
        target.used = match any {
            true => is_ready(target),
            false => of(target, |member| member.serving && member.terminating),
        };
    }
}

/// The pods by namespace and label.
struct Index<'a> {
    pods: &'a [PodEndpoint],
    by_label: HashMap<(&'a str, &'a str, &'a str), Vec<usize>>,
}

impl<'a> Index<'a> {
    fn new(pods: &'a [PodEndpoint]) -> Self {
        let mut by_label: HashMap<_, Vec<usize>> = HashMap::new();
        for (number, pod) in pods.iter().enumerate() {
            for (key, value) in &pod.labels {
                by_label
                    .entry((pod.namespace.as_str(), key.as_str(), value.as_str()))
                    .or_default()
                    .push(number);
            }
        }
        Self { pods, by_label }
    }

    /// Returns the pods of a namespace that have all labels of a selector. A thousand pods are not compared with each of
    /// hundreds of selectors.
    fn select(&self, namespace: &str, selector: &BTreeMap<String, String>) -> Vec<&'a PodEndpoint> {
        let mut fewest: Option<&Vec<usize>> = None;
        for (key, value) in selector {
            let Some(pods) = self.by_label.get(&(namespace, key.as_str(), value.as_str())) else {
                return Vec::new();
            };
            if fewest.is_none_or(|fewest| pods.len() < fewest.len()) {
                fewest = Some(pods);
            }
        }
        let found = fewest.into_iter().flatten().filter_map(|number| self.pods.get(*number));
        found.filter(|pod| selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))).collect()
    }
}

/// Endpoints and EndpointSlices, which say where Services without a selector lead to.
struct Documents {
    endpoints: Vec<k8s_openapi::api::core::v1::Endpoints>,
    slices: Vec<k8s_openapi::api::discovery::v1::EndpointSlice>,
}

impl Documents {
    fn add(&self, namespace: &str, name: &str, ports: &mut [ResolvedPort], members: &mut Vec<Member>) {
        let of_namespace = |own: Option<&str>| own.unwrap_or_default() == namespace;
        let all = self.endpoints.iter().filter(|endpoints| {
            of_namespace(endpoints.metadata.namespace.as_deref())
                && endpoints.metadata.name.as_deref() == Some(name)
        });
        for subset in all.flat_map(|endpoints| endpoints.subsets.iter().flatten()) {
            let numbers: Vec<(&str, &str, i32)> = subset
                .ports
                .iter()
                .flatten()
                .map(|port| (text(port.name.as_ref()), protocol(port.protocol.as_ref()), port.port))
                .collect();
            let ready = subset.addresses.iter().flatten().map(|address| (address, true));
            let unready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
            for (address, ready) in ready.chain(unready) {
                let Ok(ip) = address.ip.parse() else { continue };
                let pod = address.target_ref.as_ref().and_then(pod_of);
                let hostname = address.hostname.clone();
                let member = Member { pod, hostname, ..document_member(ip, ready) };
                push(member, &numbers, ports, members);
            }
        }
        let all = self.slices.iter().filter(|slice| {
            let labels = slice.metadata.labels.as_ref();
            of_namespace(slice.metadata.namespace.as_deref())
                && labels.and_then(|labels| labels.get(SERVICE_NAME)).map(String::as_str) == Some(name)
        });
        for slice in all {
            let numbers: Vec<(&str, &str, i32)> = slice
                .ports
                .iter()
                .flatten()
                .filter_map(|port| {
                    Some((text(port.name.as_ref()), protocol(port.protocol.as_ref()), port.port?))
                })
                .collect();
            for endpoint in slice.endpoints.iter().flatten() {
                // As with kube-proxy, all addresses of an endpoint are the same, and the first is used.
                let Some(ip) = endpoint.addresses.first().and_then(|ip| ip.parse().ok()) else { continue };
                let condition =
                    |of: fn(&k8s_openapi::api::discovery::v1::EndpointConditions) -> Option<bool>| {
                        endpoint.conditions.as_ref().and_then(of)
                    };
                let ready = condition(|conditions| conditions.ready).unwrap_or(true);
                let member = Member {
                    pod: endpoint.target_ref.as_ref().and_then(pod_of),
                    hostname: endpoint.hostname.clone(),
                    serving: condition(|conditions| conditions.serving).unwrap_or(ready),
                    terminating: condition(|conditions| conditions.terminating).unwrap_or(false),
                    ..document_member(ip, ready)
                };
                push(member, &numbers, ports, members);
            }
        }
    }
}

fn text(text: Option<&String>) -> &str {
    text.map(String::as_str).unwrap_or_default()
}

fn protocol(protocol: Option<&String>) -> &str {
    protocol.map_or("TCP", String::as_str)
}

fn pod_of(target: &k8s_openapi::api::core::v1::ObjectReference) -> Option<ObjectRef> {
    let is_pod = target.kind.as_deref() == Some("Pod");
    let name = target.name.as_deref().filter(|_| is_pod)?;
    Some(ObjectRef::new(Kind::Pod, target.namespace.as_deref().unwrap_or("default"), name))
}

fn document_member(ip: IpAddr, ready: bool) -> Member {
    Member { ips: vec![ip], pod: None, uid: None, hostname: None, ready, serving: ready, terminating: false }
}

/// Adds an endpoint of a document at the ports of the Service that have the names of its ports.
fn push(
    member: Member,
    numbers: &[(&str, &str, i32)],
    ports: &mut [ResolvedPort],
    members: &mut Vec<Member>,
) {
    let index = members.len();
    for port in ports {
        let named = numbers.iter().find(|(name, protocol, _)| {
            *name == text(port.name.as_ref()) && *protocol == port.protocol.as_str()
        });
        if let Some(number) = named.and_then(|(_, _, number)| u16::try_from(*number).ok()) {
            port.targets.push(Target { member: index, port: number, used: false });
        }
    }
    members.push(member);
}

#[cfg(test)]
pub(super) mod tests;
