//! Services.

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service, ServicePort, ServiceSpec};
use pod_core::kind::Kind;

use super::table::{KindTable, Look, age, column, cut_addresses, name, or_none, pairs, wide};

pub const TABLE: KindTable = KindTable {
    kind: Kind::Service,
    columns: &[
        column("NAME"),
        column("TYPE"),
        column("CLUSTER-IP"),
        column("EXTERNAL-IP"),
        column("PORT(S)"),
        column("AGE"),
        wide("SELECTOR"),
    ],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(service: &Service, look: Look) -> Vec<String> {
    let spec = service.spec.clone().unwrap_or_default();
    let ports = spec.ports.as_deref().unwrap_or_default();
    vec![
        name(&service.metadata),
        spec.type_.clone().unwrap_or_else(|| "ClusterIP".to_owned()),
        or_none(spec.cluster_ip.as_deref()),
        external(service, &spec, look),
        or_none(Some(&ports.iter().map(port).collect::<Vec<_>>().join(","))),
        age(&service.metadata, look),
        pairs(spec.selector.as_ref()),
    ]
}

/// Returns the addresses at which a Service is reached from outside. Source: `getServiceExternalIP` of k8s
/// pkg/printers/internalversion.
fn external(service: &Service, spec: &ServiceSpec, look: Look) -> String {
    let given = spec.external_ips.clone().unwrap_or_default();
    match spec.type_.as_deref() {
        Some("ExternalName") => or_none(spec.external_name.as_deref()),
        Some("LoadBalancer") => {
            let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
            let points = status.and_then(|status| status.ingress.as_deref()).unwrap_or_default();
            let address = |point: &LoadBalancerIngress| point.ip.clone().or_else(|| point.hostname.clone());
            let addresses: Vec<String> = points.iter().filter_map(address).collect();
            let balancer = cut_addresses(addresses.join(","), look);
            let all: Vec<String> =
                [balancer].into_iter().filter(|text| !text.is_empty()).chain(given).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        _ => or_none(Some(&given.join(","))),
    }
}

/// `80/TCP`, with the port of the node if there is one: `80:30080/TCP`.
fn port(port: &ServicePort) -> String {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    match port.node_port.filter(|node_port| *node_port != 0) {
        Some(node_port) => format!("{}:{node_port}/{protocol}", port.port),
        None => format!("{}/{protocol}", port.port),
    }
}
