//! Rules of Endpoints and EndpointSlices. Sources: `ValidateEndpoints` of pkg/apis/core/validation and
//! `ValidateEndpointSlice` of pkg/apis/discovery/validation.

use std::collections::HashSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Endpoints;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::{Rules, name};
use crate::manifest::shown;

/// The label of an EndpointSlice that names its Service.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The most endpoints of one EndpointSlice, addresses of one endpoint, and ports of one EndpointSlice.
const MOST_ENDPOINTS: usize = 1000;
const MOST_ADDRESSES: usize = 100;
const MOST_PORTS: usize = 20000;

impl Rules<'_> {
    pub(super) fn endpoints(&mut self, endpoints: &Endpoints) {
        for (number, subset) in endpoints.subsets.iter().flatten().enumerate() {
            let path = format!("subsets[{number}]");
            let lists =
                [("addresses", &subset.addresses), ("notReadyAddresses", &subset.not_ready_addresses)];
            if lists.iter().all(|(_, list)| list.as_ref().is_none_or(Vec::is_empty)) && !self.bad_below(&path)
            {
                self.error(&path, "must have addresses or notReadyAddresses");
            }
            for (field, list) in lists {
                for (index, address) in list.iter().flatten().enumerate() {
                    let path = format!("{path}.{field}[{index}]");
                    if !address.ip.is_empty() {
                        self.reachable_address(&format!("{path}.ip"), &address.ip);
                    }
                    if let Some(host) = address.hostname.as_deref().filter(|host| !host.is_empty()) {
                        self.require(&format!("{path}.hostname"), name::dns_label(host));
                    }
                }
            }
            let ports = subset.ports.iter().flatten();
            let ports: Vec<_> =
                ports.map(|port| (port.name.as_deref(), port.app_protocol.as_deref())).collect();
            self.endpoint_ports(&format!("{path}.ports"), &ports, true);
        }
    }

    pub(super) fn endpoint_slice(&mut self, slice: &EndpointSlice) {
        let service = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME));
        if service.is_none_or(String::is_empty) {
            let message = format!("has no label {SERVICE_NAME}, so it belongs to no Service");
            self.warning("metadata", message, None);
        }
        if slice.address_type == "FQDN" {
            let message = "FQDN is deprecated, and nothing is forwarded to names".to_owned();
            let hint = Some("a Service of type ExternalName stands for a name".to_owned());
            self.warning("addressType", message, hint);
        }
        let endpoints = slice.endpoints.as_deref().unwrap_or_default();
        if endpoints.len() > MOST_ENDPOINTS {
            let message = format!("must be at most {MOST_ENDPOINTS}, are {}", endpoints.len());
            self.error("endpoints", message);
        }
        for (index, endpoint) in endpoints.iter().take(MOST_ENDPOINTS).enumerate() {
            let path = format!("endpoints[{index}]");
            if endpoint.addresses.is_empty() && !self.bad_below(&path) {
                self.error(&format!("{path}.addresses"), "must have at least one address");
            }
            if endpoint.addresses.len() > MOST_ADDRESSES {
                let message = format!("must be at most {MOST_ADDRESSES}, are {}", endpoint.addresses.len());
                self.error(&format!("{path}.addresses"), message);
            }
            for (number, address) in endpoint.addresses.iter().take(MOST_ADDRESSES).enumerate() {
                let at = format!("{path}.addresses[{number}]");
                let wanted = slice.address_type.as_str();
                match (wanted, address.parse::<IpAddr>()) {
                    ("FQDN", _) => self.require(&at, name::dns_subdomain(address)),
                    ("IPv4", Ok(IpAddr::V6(_))) | ("IPv6", Ok(IpAddr::V4(_))) => {
                        self.error(&at, format!("must be {wanted}, as addressType says, and is {address}"));
                    }
                    _ => self.reachable_address(&at, address),
                }
            }
            if let Some(host) = endpoint.hostname.as_deref().filter(|host| !host.is_empty()) {
                self.require(&format!("{path}.hostname"), name::dns_label(host));
            }
        }
        let ports = slice.ports.iter().flatten();
        let ports: Vec<_> = ports.map(|port| (port.name.as_deref(), port.app_protocol.as_deref())).collect();
        self.endpoint_ports("ports", &ports, false);
    }

    /// Checks ports, given by name and appProtocol.
    fn endpoint_ports(&mut self, path: &str, ports: &[(Option<&str>, Option<&str>)], needs_names: bool) {
        if ports.len() > MOST_PORTS {
            return self.error(path, format!("must be at most {MOST_PORTS}, are {}", ports.len()));
        }
        let mut names = HashSet::new();
        for (index, (given, app_protocol)) in ports.iter().enumerate() {
            let at = format!("{path}[{index}].name");
            let given = given.unwrap_or_default();
            if given.is_empty() {
                if needs_names && ports.len() > 1 {
                    self.error(&at, "is required where there are several ports");
                    continue;
                }
            } else {
                self.require(&at, name::dns_label(given));
            }
            if !names.insert(given) {
                self.error(&at, format!("{} is already the name of another port", shown(given)));
            }
            if let Some(given) = app_protocol.filter(|given| !given.is_empty()) {
                self.require(&format!("{path}[{index}].appProtocol"), name::qualified(given));
            }
        }
    }
}
