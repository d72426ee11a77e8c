//! What of Services the kernel forwards. It is pure.

use std::net::{IpAddr, SocketAddr};

use network::service::{Protocol, Service, ServicePort};

use super::endpoints::Resolved;

/// Returns the Services that have addresses or ports of the host.
pub(super) fn forwarded(services: &[Resolved]) -> Vec<Service> {
    services.iter().filter_map(of_service).collect()
}

fn of_service(resolved: &Resolved) -> Option<Service> {
    let spec = resolved.spec()?;
    if spec.type_.as_deref() == Some("ExternalName") || spec.cluster_ip.as_deref() == Some("None") {
        return None;
    }
    let given = spec.cluster_ips.iter().flatten().chain(spec.cluster_ip.iter());
    let mut cluster_ips: Vec<IpAddr> = Vec::new();
    for ip in given.filter_map(|ip| ip.parse().ok()) {
        if !cluster_ips.contains(&ip) {
            cluster_ips.push(ip);
        }
    }
    let external_ips = spec.external_ips.iter().flatten().filter_map(|ip| ip.parse().ok()).collect();
    let affinity = (spec.session_affinity.as_deref() == Some("ClientIP")).then(|| {
        let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        config.and_then(|client| u32::try_from(client.timeout_seconds?).ok()).unwrap_or(10800)
    });
    let load_balancer = is_load_balancer(spec);
    let ports = resolved.ports.iter().map(|port| {
        let used = port.targets.iter().filter(|target| target.used);
        let endpoints = used.flat_map(|target| {
            let member = resolved.members.get(target.member);
            // Of both families: clients reach a NodePort at any address of the host.
            member.into_iter().flat_map(|member| &member.ips).map(|ip| SocketAddr::new(*ip, target.port))
        });
        let mut endpoints: Vec<SocketAddr> = endpoints.collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        ServicePort {
            protocol: protocol(&port.protocol),
            port: port.port,
            node_port: port.node_port,
            load_balancer,
            endpoints,
        }
    });
    let (namespace, name) =
        (resolved.service.metadata.namespace.as_deref()?, resolved.service.metadata.name.as_deref()?);
    Some(Service {
        name: format!("{namespace}/{name}"),
        cluster_ips,
        external_ips,
        affinity,
        ports: ports.collect(),
    })
}

/// Returns whether a Service takes its ports on the addresses of this machine: it is of type LoadBalancer, and of no class
/// of another controller.
pub(super) fn is_load_balancer(spec: &k8s_openapi::api::core::v1::ServiceSpec) -> bool {
    spec.type_.as_deref() == Some("LoadBalancer")
        && spec.load_balancer_class.as_ref().is_none_or(String::is_empty)
}

fn protocol(name: &str) -> Protocol {
    match name {
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        _ => Protocol::Tcp,
    }
}

/// Returns the name of a protocol as Kubernetes writes it.
pub(super) fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::service::endpoints::tests::{pod, resolved};

    fn of(spec: &serde_json::Value) -> Vec<Service> {
        let service = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
        let mut pod = pod("shop", "a", &[("app", "web")], "10.0.0.2", true);
        pod.reach.ips.push("fd00::2".parse().unwrap());
        forwarded(&resolved(&[service], &[], &[], vec![pod]))
    }

    #[test]
    fn a_load_balancer_takes_its_ports_on_every_address() {
        let service = &of(&json!({
            "type": "LoadBalancer", "clusterIP": "10.1.0.5", "ipFamilies": ["IPv4"], "selector": {"app": "web"},
            "externalIPs": ["192.0.2.7"], "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
            "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30080}, {"name": "b", "port": 81, "protocol": "UDP"}],
        }))[0];
        assert_eq!(service.name, "shop/web");
        assert_eq!(service.cluster_ips, ["10.1.0.5".parse::<IpAddr>().unwrap()]);
        assert_eq!((service.external_ips.len(), service.affinity), (1, Some(60)));
        let [first, second] = service.ports.as_slice() else { panic!("{service:?}") };
        let endpoints: Vec<String> = first.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(endpoints, ["10.0.0.2:8080", "[fd00::2]:8080"]);
        assert_eq!(
            (first.protocol, first.node_port, first.load_balancer),
            (Protocol::Tcp, Some(30080), true)
        );
        assert_eq!((second.protocol, second.node_port), (Protocol::Udp, None));
    }

    #[test]
    fn what_has_no_address_is_not_forwarded() {
        assert!(of(&json!({"clusterIP": "None", "ports": [{"port": 80}]})).is_empty());
        assert!(of(&json!({"type": "ExternalName", "externalName": "a"})).is_empty());
        let of_class = of(
            &json!({"type": "LoadBalancer", "loadBalancerClass": "a/b", "clusterIP": "10.1.0.5", "ports": [{"port": 80}]}),
        );
        assert!(!of_class[0].ports[0].load_balancer);
    }
}
