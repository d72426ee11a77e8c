//! status of Services. It is pure.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, LoadBalancerStatus, Service, ServiceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use network::service::Pending;

use super::forwarded::{is_load_balancer, protocol_name};

/// Returns the status of a Service. `pending` are the ports of the host that Services could not get, and `since` is when
/// that was found; `host` are the addresses of this machine.
pub(super) fn status(
    service: &Service,
    pending: &[Pending],
    since: Timestamp,
    host: &[IpAddr],
) -> ServiceStatus {
    let Some(spec) = service.spec.as_ref().filter(|spec| is_load_balancer(spec)) else {
        return ServiceStatus {
            load_balancer: Some(LoadBalancerStatus::default()),
            ..ServiceStatus::default()
        };
    };
    let metadata = &service.metadata;
    let name = format!(
        "{}/{}",
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default()
    );
    let is_port = |port: &Pending| {
        port.service == name && spec.ports.iter().flatten().any(|own| own.port == i32::from(port.host_port))
    };
    let missing: Vec<String> = pending.iter().filter(|port| is_port(port)).map(taken).collect();
    if !missing.is_empty() {
        let condition = Condition {
            type_: "LoadBalancerPortsError".to_owned(),
            status: "True".to_owned(),
            reason: "PortTaken".to_owned(),
            message: missing.join("; "),
            last_transition_time: Time(since),
            observed_generation: None,
        };
        return ServiceStatus {
            conditions: Some(vec![condition]),
            load_balancer: Some(LoadBalancerStatus::default()),
        };
    }
    let ingress = host.iter().map(|ip| LoadBalancerIngress {
        ip: Some(ip.to_string()),
        ip_mode: Some("VIP".to_owned()),
        ..LoadBalancerIngress::default()
    });
    let load_balancer = LoadBalancerStatus { ingress: Some(ingress.collect()) };
    ServiceStatus { conditions: None, load_balancer: Some(load_balancer) }
}

/// Returns who has a port of the host that a Service could not get.
pub(super) fn taken(port: &Pending) -> String {
    let Pending { host_port, protocol, taken_by, .. } = port;
    format!("port {host_port}/{} of this machine is taken by {taken_by}", protocol_name(*protocol))
}

#[cfg(test)]
mod tests {
    use network::service::Protocol;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_load_balancer_has_the_addresses_of_the_host_or_says_who_has_its_port() {
        let service = |spec: serde_json::Value| -> Service {
            serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "a"}, "spec": spec}))
                .unwrap()
        };
        let host: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let pending = Pending {
            service: "a/web".to_owned(),
            protocol: Protocol::Tcp,
            host_port: 80,
            taken_by: "nginx (pid 7)".to_owned(),
        };
        let of = |spec: &serde_json::Value, pending: &[Pending]| {
            serde_json::to_value(status(&service(spec.clone()), pending, Timestamp::UNIX_EPOCH, &host))
                .unwrap()
        };
        let balancer = json!({"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30080}]});
        let ingress = json!([{"ip": "192.0.2.1", "ipMode": "VIP"}, {"ip": "2001:db8::1", "ipMode": "VIP"}]);
        assert_eq!(of(&balancer, &[]), json!({"loadBalancer": {"ingress": ingress}}));
        let waits = of(&balancer, std::slice::from_ref(&pending));
        assert_eq!(waits["loadBalancer"], json!({}));
        assert_eq!(
            waits["conditions"][0]["message"],
            "port 80/TCP of this machine is taken by nginx (pid 7)"
        );
        let other = Pending { service: "b/web".to_owned(), ..pending.clone() };
        let node_port = Pending { host_port: 30080, ..pending };
        assert_eq!(of(&balancer, &[other, node_port]), of(&balancer, &[]));
        let of_class = json!({"type": "LoadBalancer", "loadBalancerClass": "a/b", "ports": [{"port": 80}]});
        assert_eq!(of(&of_class, &[]), json!({"loadBalancer": {}}));
    }
}
