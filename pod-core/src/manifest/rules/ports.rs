//! Rules of ports of containers.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Container, ContainerPort};

use super::{Rules, name};
use crate::manifest::shown;

impl Rules<'_> {
    pub(super) fn ports(&mut self, path: &str, ports: &[ContainerPort], host_network: bool) {
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (index, port) in ports.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if let Some(given) = port.name.as_deref().filter(|given| !given.is_empty()) {
                let at = format!("{path}.name");
                self.require(&at, name::port(given));
                if let Some(first) = names.insert(given, index) {
                    self.error(&at, format!("{} is already the name of ports[{first}]", shown(given)));
                }
            }
            if let Some(address) = port.host_ip.as_deref() {
                self.address(&format!("{path}.hostIP"), address);
            }
            if host_network
                && let Some(host) = port.host_port
                && host != 0
                && host != port.container_port
            {
                let message = format!(
                    "must be {} as containerPort is, because hostNetwork is true",
                    port.container_port
                );
                self.error_hint(&format!("{path}.hostPort"), message, "leave hostPort out");
            }
        }
    }

    /// Checks that each host port leads to one container only. With hostNetwork, every port is a host port.
    pub(super) fn host_ports(&mut self, path: &str, containers: &[Container], host_network: bool) {
        let mut taken: HashMap<(&str, &str, i32), String> = HashMap::new();
        for (index, container) in containers.iter().enumerate() {
            for (number, port) in container.ports.iter().flatten().enumerate() {
                let given = port.host_port.filter(|host| *host != 0);
                let host = given.or(host_network.then_some(port.container_port));
                let Some(host) = host else { continue };
                let protocol = port.protocol.as_deref().unwrap_or("TCP");
                let address = match port.host_ip.as_deref() {
                    None | Some("0.0.0.0") => "",
                    Some(address) => address,
                };
                let at = format!("{path}[{index}].ports[{number}]");
                if let Some(first) = taken.get(&(protocol, address, host)) {
                    let message = format!("{host}/{protocol} is already published by {first}");
                    let field = if given.is_some() { "hostPort" } else { "containerPort" };
                    self.error(&format!("{at}.{field}"), message);
                } else {
                    taken.insert((protocol, address, host), at);
                }
            }
        }
    }
}
