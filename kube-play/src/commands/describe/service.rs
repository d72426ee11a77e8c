//! A Service, as `describeService` of k8s.io/kubectl/pkg/describe prints it.

use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service, ServicePort, ServiceSpec, ServiceStatus};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use pod_core::kind::{Kind, ObjectRef};
use pod_core::observe::objects::Object;
use pod_core::service::{self, PortView};
use pod_core::store::{self, Layout};

use super::{Surroundings, add_events, labels_and_annotations, name};
use crate::commands::get::table::{first_three, or_none, pairs};
use crate::output::columns::Columns;

/// Returns the description of a Service.
///
/// # Errors
/// The endpoints cannot be read.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    let ports = ports_of(with.layout, &object.id)?.unwrap_or_default();
    Ok(text(&object.parse()?, &ports, with))
}

/// Returns the ports of a Service with their endpoints, if there is such a Service.
///
/// # Errors
/// The records cannot be read.
pub fn ports_of(layout: &Layout, id: &ObjectRef) -> Result<Option<Vec<PortView>>, store::Error> {
    let is_meant = |view: &service::View| {
        let metadata = &view.service.metadata;
        metadata.name.as_deref() == Some(&id.name) && metadata.namespace.as_deref() == Some(&id.namespace)
    };
    Ok(service::views(layout)?.into_iter().find(is_meant).map(|view| view.ports))
}

/// Returns the ready endpoints of a port: the first three, and how many more there are.
pub fn endpoints(port: Option<&PortView>) -> String {
    let ready = port.iter().flat_map(|port| &port.endpoints).filter(|endpoint| endpoint.ready);
    let mut addresses: Vec<_> = ready.map(|endpoint| endpoint.address).collect();
    addresses.sort_unstable();
    first_three(&addresses.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn text(service: &Service, ports: &[PortView], with: &Surroundings<'_>) -> String {
    let spec = service.spec.clone().unwrap_or_default();
    let status = service.status.clone().unwrap_or_default();
    let mut out = Columns::default();
    name(&mut out, &service.metadata);
    labels_and_annotations(&mut out, &service.metadata);
    addresses(&mut out, &spec, &status);
    for port in spec.ports.iter().flatten() {
        self::port(&mut out, port, ports);
    }
    out.line(0, ["Session Affinity:", spec.session_affinity.as_deref().unwrap_or("None")]);
    for (title, value) in [
        ("External Traffic Policy:", &spec.external_traffic_policy),
        ("Internal Traffic Policy:", &spec.internal_traffic_policy),
    ] {
        if let Some(value) = value {
            out.line(0, [title, value]);
        }
    }
    if let Some(ranges) = spec.load_balancer_source_ranges.filter(|ranges| !ranges.is_empty()) {
        out.line(0, ["LoadBalancer Source Ranges:", &ranges.join(",")]);
    }
    add_events(&mut out, Kind::Service, &service.metadata, with);
    out.render()
}

fn addresses(out: &mut Columns, spec: &ServiceSpec, status: &ServiceStatus) {
    let list = |list: &Option<Vec<String>>| or_none(Some(&list.as_deref().unwrap_or_default().join(",")));
    out.line(0, ["Selector:", &pairs(spec.selector.as_ref())]);
    out.line(0, ["Type:", spec.type_.as_deref().unwrap_or("ClusterIP")]);
    if let Some(policy) = &spec.ip_family_policy {
        out.line(0, ["IP Family Policy:", policy]);
    }
    out.line(0, ["IP Families:", &list(&spec.ip_families)]);
    out.line(0, ["IP:", spec.cluster_ip.as_deref().unwrap_or_default()]);
    out.line(0, ["IPs:", &list(&spec.cluster_ips)]);
    if spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty()) {
        out.line(0, ["External IPs:", &list(&spec.external_ips)]);
    }
    for (title, value) in
        [("Desired LoadBalancer IP:", &spec.load_balancer_ip), ("External Name:", &spec.external_name)]
    {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            out.line(0, [title, value]);
        }
    }
    let points = status.load_balancer.as_ref().and_then(|balancer| balancer.ingress.as_deref());
    let point = |point: &LoadBalancerIngress| match (&point.ip, &point.ip_mode) {
        (Some(ip), Some(mode)) => format!("{ip} ({mode})"),
        (Some(ip), None) => ip.clone(),
        (None, _) => point.hostname.clone().unwrap_or_default(),
    };
    if let Some(points) = points.filter(|points| !points.is_empty()) {
        let points: Vec<String> = points.iter().map(point).collect();
        out.line(0, ["LoadBalancer Ingress:", &points.join(", ")]);
    }
    for condition in status.conditions.iter().flatten() {
        out.line(
            0,
            [&format!("{}:", condition.type_), &format!("{} ({})", condition.status, condition.message)],
        );
    }
}

fn port(out: &mut Columns, port: &ServicePort, views: &[PortView]) {
    let name = port.name.as_deref().filter(|name| !name.is_empty());
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let shown = name.unwrap_or("<unset>");
    out.line(0, ["Port:", shown, &format!("{}/{protocol}", port.port)]);
    let target = match &port.target_port {
        None => port.port.to_string(),
        Some(IntOrString::Int(number)) => number.to_string(),
        Some(IntOrString::String(name)) => name.clone(),
    };
    out.line(0, ["TargetPort:", &format!("{target}/{protocol}")]);
    if let Some(number) = port.node_port.filter(|number| *number != 0) {
        out.line(0, ["NodePort:", shown, &format!("{number}/{protocol}")]);
    }
    let view = views.iter().find(|view| {
        i32::from(view.port) == port.port
            && view.protocol == protocol
            && view.name.as_deref().filter(|name| !name.is_empty()) == name
    });
    out.line(0, ["Endpoints:", &endpoints(view)]);
}

#[cfg(test)]
mod tests {
    use pod_core::service::EndpointView;
    use serde_json::json;

    use super::*;
    use crate::commands::describe::tests::with_surroundings;

    #[test]
    fn a_service_is_described_with_the_endpoints_of_each_port() {
        let service = json!({
            "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
            "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "clusterIP": "10.96.0.7",
                "clusterIPs": ["10.96.0.7"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
                "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster",
                "ports": [
                    {"name": "http", "port": 80, "targetPort": "web", "nodePort": 30080, "protocol": "TCP"},
                    {"name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP"},
                ]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        });
        let endpoint = |last: u8, ready| EndpointView {
            address: format!("10.0.0.{last}:8080").parse().unwrap(),
            pod: None,
            hostname: None,
            ready,
        };
        let ports = [PortView {
            name: Some("http".to_owned()),
            protocol: "TCP".to_owned(),
            port: 80,
            endpoints: vec![
                endpoint(1, true),
                endpoint(2, false),
                endpoint(3, true),
                endpoint(4, true),
                endpoint(5, true),
            ],
        }];
        let service = serde_json::from_value(service).unwrap();
        with_surroundings(Some(Vec::new()), |with| insta::assert_snapshot!(text(&service, &ports, with)));
    }
}
