//! Endpoints and EndpointSlices: those of Services with a selector, which the controllers of a cluster would write, and
//! those that were played for Services without one.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Service;
use serde_json::{Map, Value, json};

use super::{Error, Object, completed, recorded, services};
use crate::kind::{Kind, ObjectRef};
use crate::plan;
use crate::service::{EndpointView, View};
use crate::store::{Layout, Objects};

/// The label that names the Service of a slice (Kubernetes reference, "Well-Known Labels, Annotations and Taints").
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that names the controller of a slice.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The controller that writes the slices of Services with a selector.
const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// The controller that writes the slices of Endpoints that a user has given.
const MIRRORING: &str = "endpointslicemirroring-controller.k8s.io";

/// Returns the Endpoints.
pub fn endpoints(layout: &Layout) -> Result<Vec<Object>, Error> {
    let mut found = recorded(layout, Kind::Endpoints)?;
    for service in services::views(layout)?.iter().filter(|service| has_selector(&service.view.service)) {
        let id = ObjectRef::new(Kind::Endpoints, &service.id.namespace, &service.id.name);
        found.retain(|object| object.id != id);
        let json = completed(&id, endpoints_of(&service.view), service.created);
        found.push(Object::new(id, json));
    }
    Ok(found)
}

/// Returns the EndpointSlices.
pub fn slices(layout: &Layout) -> Result<Vec<Object>, Error> {
    let mut found = recorded(layout, Kind::EndpointSlice)?;
    let given = Objects::names(layout, Kind::Endpoints)?;
    let node = plan::node::name();
    for service in services::views(layout)? {
        let is_mirrored =
            || given.iter().any(|(space, name)| *space == service.id.namespace && *name == service.id.name);
        let controller = match has_selector(&service.view.service) {
            true => CONTROLLER,
            false if is_mirrored() => MIRRORING,
            false => continue,
        };
        for (name, slice) in slices_of(&service.id, &service.view, &node, controller) {
            let id = ObjectRef::new(Kind::EndpointSlice, &service.id.namespace, &name);
            let json = completed(&id, slice, service.created);
            found.push(Object::new(id, json));
        }
    }
    Ok(found)
}

fn has_selector(service: &Service) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| !selector.is_empty())
}

/// A port of an endpoint: name, number and protocol.
type Port = (Option<String>, u16, String);

/// An address with its ports.
struct Address<'a> {
    ip: IpAddr,
    endpoint: &'a EndpointView,
    ports: Vec<Port>,
}

/// Returns the addresses of a Service with the ports that each has, in the order of the addresses.
fn addresses(view: &View) -> Vec<Address<'_>> {
    let mut found: BTreeMap<IpAddr, Address<'_>> = BTreeMap::new();
    for port in &view.ports {
        for endpoint in &port.endpoints {
            let ip = endpoint.address.ip();
            let address = found.entry(ip).or_insert_with(|| Address { ip, endpoint, ports: Vec::new() });
            address.ports.push((port.name.clone(), endpoint.address.port(), port.protocol.clone()));
        }
    }
    found.into_values().collect()
}

/// Groups addresses that have the same ports, as the subsets of Endpoints and the slices of a Service do.
fn by_ports(addresses: Vec<Address<'_>>) -> BTreeMap<Vec<Port>, Vec<Address<'_>>> {
    let mut groups: BTreeMap<Vec<Port>, Vec<Address<'_>>> = BTreeMap::new();
    for address in addresses {
        groups.entry(address.ports.clone()).or_default().push(address);
    }
    groups
}

fn ports(ports: &[Port]) -> Value {
    let port = |(name, number, protocol): &Port| {
        let mut port = Map::new();
        if let Some(name) = name {
            port.insert("name".to_owned(), json!(name));
        }
        port.insert("port".to_owned(), json!(number));
        port.insert("protocol".to_owned(), json!(protocol));
        Value::Object(port)
    };
    ports.iter().map(port).collect()
}

fn reference(pod: &ObjectRef) -> Value {
    json!({"kind": pod.kind, "namespace": pod.namespace, "name": pod.name})
}

/// Returns whether the Endpoints of a Service have IPv4 addresses. As in a cluster, they have those of the first family of
/// the Service only.
fn is_primarily_v4(service: &Service, addresses: &[Address<'_>]) -> bool {
    let families = service.spec.as_ref().and_then(|spec| spec.ip_families.as_ref());
    match families.and_then(|families| families.first()) {
        Some(family) => family == "IPv4",
        None => addresses.is_empty() || addresses.iter().any(|address| address.ip.is_ipv4()),
    }
}

fn endpoints_of(view: &View) -> Value {
    let address = |address: &Address<'_>| {
        let mut fields = Map::new();
        fields.insert("ip".to_owned(), json!(address.ip.to_string()));
        if let Some(hostname) = &address.endpoint.hostname {
            fields.insert("hostname".to_owned(), json!(hostname));
        }
        if let Some(pod) = &address.endpoint.pod {
            fields.insert("targetRef".to_owned(), reference(pod));
        }
        Value::Object(fields)
    };
    let subset = |(its_ports, addresses): (Vec<Port>, Vec<Address<'_>>)| {
        let (ready, not_ready): (Vec<_>, Vec<_>) =
            addresses.iter().partition(|address| address.endpoint.ready);
        let mut subset = Map::new();
        for (field, addresses) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
            if !addresses.is_empty() {
                subset.insert(field.to_owned(), addresses.into_iter().map(address).collect());
            }
        }
        subset.insert("ports".to_owned(), ports(&its_ports));
        Value::Object(subset)
    };
    let mut addresses = addresses(view);
    let is_v4 = is_primarily_v4(&view.service, &addresses);
    addresses.retain(|address| address.ip.is_ipv4() == is_v4);
    let subsets: Vec<Value> = by_ports(addresses).into_iter().map(subset).collect();
    json!({
        "metadata": {"labels": view.service.metadata.labels.clone().unwrap_or_default()},
        "subsets": subsets,
    })
}

/// Returns the slices of a Service with their names: one per address family and set of ports.
fn slices_of(service: &ObjectRef, view: &View, node: &str, controller: &str) -> Vec<(String, Value)> {
    let ObjectRef { namespace, name, .. } = service;
    let mut found = Vec::new();
    for (family, is_v4) in [("IPv4", true), ("IPv6", false)] {
        let mut of_family = addresses(view);
        of_family.retain(|address| address.ip.is_ipv4() == is_v4);
        for (its_ports, addresses) in by_ports(of_family) {
            let endpoint = |address: &Address<'_>| {
                let ready = address.endpoint.ready;
                let mut fields = Map::new();
                fields.insert("addresses".to_owned(), json!([address.ip.to_string()]));
                let conditions = json!({"ready": ready, "serving": ready, "terminating": false});
                fields.insert("conditions".to_owned(), conditions);
                if let Some(hostname) = &address.endpoint.hostname {
                    fields.insert("hostname".to_owned(), json!(hostname));
                }
                if let Some(pod) = &address.endpoint.pod {
                    fields.insert("nodeName".to_owned(), json!(node));
                    fields.insert("targetRef".to_owned(), reference(pod));
                }
                Value::Object(fields)
            };
            let mut labels = view.service.metadata.labels.clone().unwrap_or_default();
            labels.insert(SERVICE_NAME.to_owned(), name.clone());
            labels.insert(MANAGED_BY.to_owned(), controller.to_owned());
            let owner = json!({
                "apiVersion": "v1", "kind": Kind::Service, "name": name,
                "uid": view.service.metadata.uid.clone().unwrap_or_default(),
                "controller": true, "blockOwnerDeletion": true,
            });
            let slice = json!({
                "metadata": {"labels": labels, "ownerReferences": [owner]},
                "addressType": family,
                "endpoints": addresses.iter().map(endpoint).collect::<Vec<_>>(),
                "ports": ports(&its_ports),
            });
            // Five characters, as an API server appends to a generateName; the same for the same slice.
            let suffix = plan::hash::short_hash(&json!([namespace, name, family, its_ports]));
            found.push((format!("{name}-{}", suffix.chars().take(5).collect::<String>()), slice));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Endpoints;
    use k8s_openapi::api::discovery::v1::EndpointSlice;

    use super::*;
    use crate::service::PortView;

    /// The Service web with a port that one pod does not have, and a pod that is not Ready.
    fn view() -> View {
        let endpoint = |address: &str, pod: &str, ready| EndpointView {
            address: address.parse().unwrap(),
            pod: Some(ObjectRef::new(Kind::Pod, "default", pod)),
            hostname: None,
            ready,
        };
        let port = |name: &str, port, endpoints| PortView {
            name: Some(name.to_owned()),
            protocol: "TCP".to_owned(),
            port,
            endpoints,
        };
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"},
                "creationTimestamp": "2026-11-23T12:00:00Z"},
            "spec": {"selector": {"app": "web"}},
        });
        View {
            service: serde_json::from_value(service).unwrap(),
            ports: vec![
                port(
                    "http",
                    80,
                    vec![
                        endpoint("10.0.0.2:8080", "a", true),
                        endpoint("10.0.0.3:8080", "b", false),
                        endpoint("10.0.0.4:8080", "c", true),
                        endpoint("[fd00::2]:8080", "a", true),
                    ],
                ),
                port(
                    "metrics",
                    90,
                    vec![endpoint("10.0.0.2:9090", "a", true), endpoint("10.0.0.3:9090", "b", false)],
                ),
            ],
        }
    }

    #[test]
    fn addresses_with_the_same_ports_are_a_subset_and_a_slice() {
        let id = ObjectRef::new(Kind::Endpoints, "default", "web");
        let object = completed(&id, endpoints_of(&view()), None);
        serde_json::from_value::<Endpoints>(object.clone()).unwrap();
        let mut all = vec![object];
        let service = ObjectRef::new(Kind::Service, "default", "web");
        for (name, slice) in slices_of(&service, &view(), "box", CONTROLLER) {
            let id = ObjectRef::new(Kind::EndpointSlice, "default", &name);
            let slice = completed(&id, slice, None);
            serde_json::from_value::<EndpointSlice>(slice.clone()).unwrap();
            all.push(slice);
        }
        insta::assert_snapshot!(crate::manifest::to_yaml(&all));
    }
}
