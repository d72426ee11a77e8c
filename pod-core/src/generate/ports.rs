//! Converts published ports into equivalent hostPorts.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::plan::{PodNetwork, PortMapping};

/// A port that a container declares.
struct Entry {
    list: &'static str,
    container: usize,
    port: usize,
    number: u64,
    protocol: String,
    /// The port mapping that the entry's own hostPort requests, if it has one.
    published: Option<PortMapping>,
    /// Whether the entry has a hostPort that is really published.
    is_published: bool,
}

fn entries(pod: &Map<String, Value>) -> Vec<Entry> {
    let mut found = Vec::new();
    // Ports of app containers come first.
    for list in ["containers", "initContainers"] {
        let containers = pod.get(list).and_then(Value::as_array);
        for (container, value) in containers.into_iter().flatten().enumerate() {
            let ports = value.get("ports").and_then(Value::as_array);
            for (port, value) in ports.into_iter().flatten().enumerate() {
                let Some(number) = value.get("containerPort").and_then(Value::as_u64) else { continue };
                let protocol =
                    value.get("protocol").and_then(Value::as_str).unwrap_or("TCP").to_ascii_lowercase();
                let host_ip = value.get("hostIP").and_then(Value::as_str).and_then(|ip| ip.parse().ok());
                let host_port = value.get("hostPort").and_then(Value::as_u64);
                let mapping = |host_port| {
                    Some(PortMapping {
                        host_ip: host_ip.filter(|ip: &IpAddr| !ip.is_unspecified()),
                        host_port: u16::try_from(host_port).ok().filter(|port| *port != 0)?,
                        container_port: u16::try_from(number).ok()?,
                        protocol: protocol.clone(),
                    })
                };
                let published = host_port.and_then(mapping);
                found.push(Entry { list, container, port, number, protocol, published, is_published: false });
            }
        }
    }
    found
}

fn at<'a>(pod: &'a mut Map<String, Value>, entry: &Entry) -> Option<&'a mut Map<String, Value>> {
    pod.get_mut(entry.list)?.get_mut(entry.container)?.get_mut("ports")?.get_mut(entry.port)?.as_object_mut()
}

fn set(port: &mut Map<String, Value>, mapping: &PortMapping) {
    port.insert("hostPort".to_owned(), json!(mapping.host_port));
    match mapping.host_ip {
        Some(ip) => port.insert("hostIP".to_owned(), json!(ip.to_string())),
        None => port.remove("hostIP"),
    };
}

/// Changes the hostPorts of a pod to those that are really published, because `--publish` and `--publish-all` add or
/// replace host ports.
pub(super) fn publish(pod: &mut Map<String, Value>, network: &PodNetwork) {
    // A pod on the host's network publishes all of its ports, and a pod without a network publishes none.
    if network.host || network.none {
        return;
    }
    let mut entries = entries(pod);
    for entry in &mut entries {
        entry.is_published = entry.published.as_ref().is_some_and(|mapping| network.ports.contains(mapping));
    }
    let kept: Vec<PortMapping> = entries
        .iter()
        .filter(|entry| entry.is_published)
        .filter_map(|entry| entry.published.clone())
        .collect();
    for mapping in network.ports.iter().filter(|mapping| !kept.contains(mapping)) {
        let names = |entry: &Entry| {
            entry.number == u64::from(mapping.container_port) && entry.protocol == mapping.protocol
        };
        let replaced = entries.iter().position(|e| names(e) && !e.is_published && e.published.is_some());
        let free = replaced.or_else(|| entries.iter().position(|e| names(e) && !e.is_published));
        if let Some(entry) = free.and_then(|index| entries.get_mut(index)) {
            entry.is_published = true;
            if let Some(port) = at(pod, entry) {
                set(port, mapping);
            }
            continue;
        }
        let container =
            entries.iter().find(|e| names(e) && e.list == "containers").map_or(0, |e| e.container);
        add(pod, container, mapping);
    }
    for entry in entries.iter().filter(|entry| entry.published.is_some() && !entry.is_published) {
        if let Some(port) = at(pod, entry) {
            port.remove("hostPort");
            port.remove("hostIP");
        }
    }
}

/// Adds a port that no container declares yet.
fn add(pod: &mut Map<String, Value>, container: usize, mapping: &PortMapping) {
    let Some(container) =
        pod.get_mut("containers").and_then(|list| list.get_mut(container)).and_then(Value::as_object_mut)
    else {
        return;
    };
    let mut port = Map::from_iter([("containerPort".to_owned(), json!(mapping.container_port))]);
    set(&mut port, mapping);
    if mapping.protocol != "tcp" {
        port.insert("protocol".to_owned(), json!(mapping.protocol.to_ascii_uppercase()));
    }
    let ports = container.entry("ports").or_insert_with(|| json!([]));
    if !ports.is_array() {
        *ports = json!([]);
    }
    if let Some(ports) = ports.as_array_mut() {
        ports.push(Value::Object(port));
    }
}

/// Removes hostPorts and ports that are impossible on the host's network: there the host port is the container port,
/// and only one container can have it. Manifests can become like this by a flag of `kube play`. Returns the warnings.
pub(super) fn on_host(pod: &mut Map<String, Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    if pod.get("hostNetwork") != Some(&Value::Bool(true)) {
        return warnings;
    }
    for list in ["containers", "initContainers"] {
        let mut taken: Vec<(u64, String, String)> = Vec::new();
        let containers = pod.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers.filter_map(Value::as_object_mut) {
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let Some(Value::Array(ports)) = container.get_mut("ports") else { continue };
            ports.retain_mut(|port| {
                let Some(port) = port.as_object_mut() else { return true };
                let Some(number) = port.get("containerPort").and_then(Value::as_u64) else { return true };
                let text = |key: &str| port.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                let mut address = text("hostIP");
                let protocol = Some(text("protocol")).filter(|p| !p.is_empty()).unwrap_or_else(|| "TCP".to_owned());
                let host = port.get("hostPort").and_then(Value::as_u64).filter(|host| *host != 0);
                if let Some(host) = host.filter(|host| *host != number) {
                    port.remove("hostPort");
                    port.remove("hostIP");
                    address.clear();
                    warnings.push(format!(
                        "it is on the host's network, where port {number} of container {name} is port {number}: \
                         hostPort {host} is left out"
                    ));
                }
                if address == "0.0.0.0" {
                    address.clear();
                }
                let key = (number, protocol, address);
                if list == "containers" && taken.contains(&key) {
                    warnings.push(format!(
                        "it is on the host's network, where only one container can have port {number}/{}: it is \
                         left out of container {name}",
                        key.1
                    ));
                    return false;
                }
                taken.push(key);
                true
            });
            if ports.is_empty() {
                container.remove("ports");
            }
        }
    }
    sysctls(pod, &mut warnings);
    warnings
}

/// Removes the sysctls of the network, because on the host's network they would change the host.
fn sysctls(pod: &mut Map<String, Value>, warnings: &mut Vec<String>) {
    let Some(Value::Object(security)) = pod.get_mut("securityContext") else { return };
    let Some(Value::Array(sysctls)) = security.get_mut("sysctls") else { return };
    sysctls.retain(|sysctl| {
        let name = sysctl.get("name").and_then(Value::as_str).unwrap_or_default();
        let kept = !name.starts_with("net.") && !name.starts_with("net/");
        if !kept {
            warnings.push(format!(
                "it is on the host's network, where the sysctl {name} would change the host: it is left out"
            ));
        }
        kept
    });
    if sysctls.is_empty() {
        security.remove("sysctls");
    }
    if security.is_empty() {
        pod.remove("securityContext");
    }
}
