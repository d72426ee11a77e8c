//! Ingresses.

use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerIngress};
use pod_core::kind::Kind;

use super::table::{KindTable, Look, age, column, cut_addresses, first_three, name, or_none};

pub const TABLE: KindTable = KindTable {
    kind: Kind::Ingress,
    columns: &[
        column("NAME"),
        column("CLASS"),
        column("HOSTS"),
        column("ADDRESS"),
        column("PORTS"),
        column("AGE"),
    ],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(ingress: &Ingress, look: Look) -> Vec<String> {
    let spec = ingress.spec.clone().unwrap_or_default();
    let hosts =
        spec.rules.iter().flatten().filter_map(|rule| rule.host.clone()).filter(|host| !host.is_empty());
    let hosts: Vec<String> = hosts.collect();
    let default = if spec.tls.is_some_and(|tls| !tls.is_empty()) { "80, 443" } else { "80" };
    let ports = ports(ingress).unwrap_or_else(|| default.to_owned());
    vec![
        name(&ingress.metadata),
        or_none(spec.ingress_class_name.as_deref()),
        if hosts.is_empty() { "*".to_owned() } else { first_three(&hosts) },
        cut_addresses(addresses(ingress).join(","), look),
        ports,
        age(&ingress.metadata, look),
    ]
}

/// Returns the ports at which an Ingress is reached, if its status tells: a setting may have chosen others than kubectl
/// prints.
fn ports(ingress: &Ingress) -> Option<String> {
    let points = ingress.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?;
    let ports = points.first()?.ports.as_ref()?.iter().filter(|port| port.error.is_none());
    Some(ports.map(|port| port.port.to_string()).collect::<Vec<_>>().join(", "))
}

/// Returns the addresses at which an Ingress is reached.
pub fn addresses(ingress: &Ingress) -> Vec<String> {
    let status = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let points = status.and_then(|status| status.ingress.as_deref()).unwrap_or_default();
    let address = |point: &IngressLoadBalancerIngress| point.ip.clone().or_else(|| point.hostname.clone());
    points.iter().filter_map(address).collect()
}
