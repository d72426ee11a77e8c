//! Rules of Services. Source: `ValidateService` of pkg/apis/core/validation.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Rules, name};
use crate::manifest::{escape, shown};

/// The ports that NodePorts are taken from: the default of the API server's `--service-node-port-range`.
pub(crate) const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;

impl Rules<'_> {
    pub(super) fn service(&mut self, service: &Service) {
        let Some(spec) = &service.spec else { return };
        let type_ = spec.type_.as_deref().unwrap_or("ClusterIP");
        for (key, value) in spec.selector.iter().flatten() {
            let path = format!("spec.selector[{}]", escape(key));
            self.require(&path, name::qualified(key));
            self.require(&path, name::label_value(value));
        }
        let headless = spec.cluster_ip.as_deref() == Some("None");
        if headless && matches!(type_, "NodePort" | "LoadBalancer") {
            self.error("spec.clusterIP", format!("must not be None for a Service of type {type_}"));
        }
        let ports = spec.ports.as_deref().unwrap_or_default();
        if ports.is_empty() && !headless && type_ != "ExternalName" {
            self.error("spec.ports", "must have at least one port");
        }
        self.service_ports(ports, type_);
        match type_ {
            "ExternalName" => self.external_name(spec),
            _ => self.cluster_ips(spec),
        }
        self.affinity(spec);
        self.outside(spec, type_);
    }

    fn service_ports(&mut self, ports: &[ServicePort], type_: &str) {
        let mut names = HashSet::new();
        let mut numbers = HashSet::new();
        let mut node_ports: HashMap<(i32, &str), usize> = HashMap::new();
        for (index, port) in ports.iter().enumerate() {
            let path = format!("spec.ports[{index}]");
            match port.name.as_deref().filter(|name| !name.is_empty()) {
                Some(given) => {
                    self.require(&format!("{path}.name"), name::dns_label(given));
                    if !names.insert(given) {
                        let message = format!("{} is already the name of another port", shown(given));
                        self.error(&format!("{path}.name"), message);
                    }
                }
                None if ports.len() > 1 => {
                    self.error(&format!("{path}.name"), "is required where there are several ports");
                }
                None => {}
            }
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            if !numbers.insert((protocol, port.port)) {
                self.error(&format!("{path}.port"), format!("{}/{protocol} is given twice", port.port));
            }
            let target = format!("{path}.targetPort");
            match &port.target_port {
                // "" and 0 mean the default, which is `port`.
                Some(IntOrString::String(given)) if !given.is_empty() => {
                    self.require(&target, name::port(given));
                }
                Some(IntOrString::Int(given)) if !(0..=65535).contains(given) => {
                    self.error(&target, format!("must be between 1 and 65535, is {given}"));
                }
                _ => {}
            }
            if let Some(given) = port.app_protocol.as_deref().filter(|given| !given.is_empty()) {
                self.require(&format!("{path}.appProtocol"), name::qualified(given));
            }
            let Some(given) = port.node_port.filter(|port| *port != 0) else { continue };
            let path = format!("{path}.nodePort");
            if !matches!(type_, "NodePort" | "LoadBalancer") {
                self.error(&path, format!("must not be given for a Service of type {type_}"));
            } else if !u16::try_from(given).is_ok_and(|port| NODE_PORTS.contains(&port)) {
                let (least, most) = NODE_PORTS.into_inner();
                self.error_hint(
                    &path,
                    format!("must be between {least} and {most}, is {given}"),
                    "hostPort of a container, or type LoadBalancer, publishes any port",
                );
            } else if let Some(first) = node_ports.insert((given, protocol), index) {
                self.error(&path, format!("{given}/{protocol} is already that of ports[{first}]"));
            }
        }
    }

    fn external_name(&mut self, spec: &ServiceSpec) {
        for (field, given) in [
            ("clusterIP", spec.cluster_ip.as_ref().is_some_and(|ip| !ip.is_empty())),
            ("clusterIPs", spec.cluster_ips.as_ref().is_some_and(|ips| !ips.is_empty())),
            ("ipFamilies", spec.ip_families.as_ref().is_some_and(|families| !families.is_empty())),
            ("ipFamilyPolicy", spec.ip_family_policy.is_some()),
        ] {
            if given {
                self.error(
                    &format!("spec.{field}"),
                    "must not be given for a Service of type ExternalName, which has no address",
                );
            }
        }
        let given = spec.external_name.as_deref().unwrap_or_default();
        let path = "spec.externalName";
        match given.strip_suffix('.').unwrap_or(given) {
            "" => self.error(path, "is required for a Service of type ExternalName"),
            address if address.parse::<IpAddr>().is_ok() => {
                let hint = "a Service without a selector, and Endpoints with the address, lead to an address";
                let message = "is an address, and ExternalName is for names: the name resolves to nothing";
                self.warning(path, message, Some(hint.to_owned()));
            }
            host => self.require(path, name::dns_subdomain(host)),
        }
    }

    /// Checks addresses and families (`ValidateServiceClusterIPsRelatedFields`).
    fn cluster_ips(&mut self, spec: &ServiceSpec) {
        let first = spec.cluster_ip.as_deref().unwrap_or_default();
        let all: Vec<&str> = match spec.cluster_ips.as_deref().unwrap_or_default() {
            [] if first.is_empty() => Vec::new(),
            [] => vec![first],
            all => all.iter().map(String::as_str).collect(),
        };
        let path = |index: usize| match spec.cluster_ips {
            Some(_) => format!("spec.clusterIPs[{index}]"),
            None => "spec.clusterIP".to_owned(),
        };
        if let Some(given) = all.first().filter(|given| **given != first) {
            if first.is_empty() {
                self.error("spec.clusterIPs", "must be empty where clusterIP is not given");
            } else {
                let message = format!("must be that of clusterIP, {}, and is {}", shown(first), shown(given));
                self.error(&path(0), message);
            }
        }
        if all.len() > 2 {
            self.error("spec.clusterIPs", "must be at most one address per family");
        }
        let families = spec.ip_families.as_deref().unwrap_or_default();
        for (index, family) in families.iter().enumerate().skip(1) {
            if index > 1 || families.first() == Some(family) {
                self.error(&format!("spec.ipFamilies[{index}]"), "must be at most IPv4 and IPv6");
            }
        }
        let mut known: Vec<bool> = Vec::new();
        for (index, given) in all.iter().enumerate() {
            if *given == "None" {
                if all.len() > 1 {
                    self.error(&path(index), "must be the only one where it is None");
                }
                continue;
            }
            let Ok(ip) = given.parse::<IpAddr>() else {
                let message = format!("must be an IP address or None, not {}", shown(given));
                self.error(&path(index), message);
                continue;
            };
            if known.contains(&ip.is_ipv4()) {
                self.error(&path(index), "must be at most one address per family");
            }
            known.push(ip.is_ipv4());
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            if families.get(index).is_some_and(|wanted| wanted != family) {
                self.error(&path(index), format!("is {family}, and ipFamilies[{index}] is not"));
            }
        }
        // A headless Service without a selector has both families unless its policy says otherwise.
        let is_free = all == ["None"] && spec.selector.as_ref().is_none_or(BTreeMap::is_empty);
        let is_single = match spec.ip_family_policy.as_deref() {
            None => !is_free,
            Some(policy) => policy == "SingleStack",
        };
        if is_single && (all.len() > 1 || families.len() > 1) {
            self.error("spec.ipFamilyPolicy", "must be PreferDualStack or RequireDualStack for two families");
        }
    }

    fn affinity(&mut self, spec: &ServiceSpec) {
        if spec.session_affinity_config.is_some() && spec.session_affinity.as_deref() != Some("ClientIP") {
            let message = "has no effect unless sessionAffinity is ClientIP";
            self.warning("spec.sessionAffinityConfig", message, None);
        }
    }

    /// Checks what makes a Service reachable from outside.
    fn outside(&mut self, spec: &ServiceSpec, type_: &str) {
        for (index, given) in spec.external_ips.iter().flatten().enumerate() {
            self.reachable_address(&format!("spec.externalIPs[{index}]"), given);
        }
        let is_balancer = type_ == "LoadBalancer";
        for (field, given) in [
            ("loadBalancerClass", spec.load_balancer_class.as_ref().is_some_and(|class| !class.is_empty())),
            ("allocateLoadBalancerNodePorts", spec.allocate_load_balancer_node_ports.is_some()),
            (
                "loadBalancerSourceRanges",
                spec.load_balancer_source_ranges.as_ref().is_some_and(|ranges| !ranges.is_empty()),
            ),
        ] {
            if given && !is_balancer {
                self.error(
                    &format!("spec.{field}"),
                    "must not be given unless the Service is of type LoadBalancer",
                );
            }
        }
        if let Some(class) = spec.load_balancer_class.as_deref().filter(|class| !class.is_empty()) {
            let path = "spec.loadBalancerClass";
            self.require(path, name::qualified(class));
            let message = format!(
                "the class {} is not of this program: the Service waits for its controller, and its ports are not taken \
                 on the addresses of this machine",
                shown(class)
            );
            self.warning(path, message, Some("leave it out".to_owned()));
        }
        for (index, range) in spec.load_balancer_source_ranges.iter().flatten().enumerate() {
            if !is_subnet(range.trim()) {
                let message = format!("must be a subnet such as 10.0.0.0/8, not {}", shown(range));
                self.error(&format!("spec.loadBalancerSourceRanges[{index}]"), message);
            }
        }
        let has_outside = matches!(type_, "NodePort" | "LoadBalancer")
            || spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty());
        if spec.external_traffic_policy.is_some() && !has_outside {
            let message =
                "must not be given unless the Service is of type NodePort or LoadBalancer or has externalIPs";
            self.error("spec.externalTrafficPolicy", message);
        }
        let is_local = spec.external_traffic_policy.as_deref() == Some("Local");
        if spec.health_check_node_port.is_some_and(|port| port != 0) && !(is_balancer && is_local) {
            let message = "must not be given unless the Service is of type LoadBalancer and its externalTrafficPolicy is Local";
            self.error("spec.healthCheckNodePort", message);
        }
    }

    /// Checks an address to which packets are forwarded (`ValidateNonSpecialIP`).
    pub(super) fn reachable_address(&mut self, path: &str, text: &str) {
        let Ok(ip) = text.parse::<IpAddr>() else {
            let message = format!("must be an IP address such as 10.0.0.1 or fd00::1, not {}", shown(text));
            return self.error(path, message);
        };
        let is_link_local = match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        let what = if ip.is_loopback() {
            "a loopback address, which means every machine itself"
        } else if ip.is_unspecified() {
            "the unspecified address"
        } else if ip.is_multicast() {
            "a multicast address"
        } else if is_link_local {
            "a link-local address"
        } else {
            return;
        };
        self.error(path, format!("must not be {what}: {ip}"));
    }
}

fn is_subnet(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let longest = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= longest)
}
