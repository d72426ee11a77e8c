//! An Ingress, as `describeIngressV1` of k8s.io/kubectl/pkg/describe prints it.

use k8s_openapi::api::networking::v1::{Ingress, IngressBackend, IngressServiceBackend, IngressTLS};
use pod_core::ingress::{self, View};
use pod_core::kind::{Kind, ObjectRef};
use pod_core::observe::objects::Object;
use pod_core::service::PortView;

use super::{Surroundings, add_events, map, service};
use crate::commands::get::ingress::addresses;
use crate::commands::get::table::or_none;
use crate::output::columns::Columns;

/// Returns the description of an Ingress.
///
/// # Errors
/// The endpoints of its Services cannot be read.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    let namespace = &object.id.namespace;
    let ports = |name: &str| {
        let ports = service::ports_of(with.layout, &ObjectRef::new(Kind::Service, namespace, name));
        pod_core::store::damage::or_none(ports)
    };
    let is_meant = |view: &View| {
        let metadata = &view.ingress.metadata;
        metadata.name.as_deref() == Some(&object.id.name) && metadata.namespace.as_deref() == Some(namespace)
    };
    let view = ingress::views(with.layout)?.into_iter().find(is_meant);
    let problems = view.map(|view| view.problems).unwrap_or_default();
    Ok(text(&object.parse()?, &ports, &problems, with))
}

/// Returns the ports of a Service, if there is such a Service.
type Services<'a> = dyn Fn(&str) -> Option<Vec<PortView>> + 'a;

fn text(ingress: &Ingress, services: &Services<'_>, problems: &[String], with: &Surroundings<'_>) -> String {
    let metadata = &ingress.metadata;
    let spec = ingress.spec.clone().unwrap_or_default();
    let mut out = Columns::default();
    out.line(0, ["Name:", metadata.name.as_deref().unwrap_or_default()]);
    map(&mut out, 0, "Labels:", metadata.labels.as_ref(), "=");
    out.line(0, ["Namespace:", metadata.namespace.as_deref().unwrap_or_default()]);
    out.line(0, ["Address:", &addresses(ingress).join(",")]);
    out.line(0, ["Ingress Class:", &or_none(spec.ingress_class_name.as_deref())]);
    let default = spec.default_backend.as_ref().map(|one| backend(one, services));
    let default = default.unwrap_or_else(|| "<default>".to_owned());
    out.line(0, ["Default backend:", &default]);
    tls(&mut out, spec.tls.as_deref().unwrap_or_default());
    out.line(0, ["Rules:"]);
    out.line(1, ["Host", "Path", "Backends"]);
    out.line(1, ["----", "----", "--------"]);
    let mut has_paths = false;
    for rule in spec.rules.iter().flatten() {
        let Some(http) = &rule.http else { continue };
        has_paths = true;
        let host = rule.host.as_deref().filter(|host| !host.is_empty()).unwrap_or("*");
        out.line(1, [host, ""]);
        for path in &http.paths {
            let target = backend(&path.backend, services);
            out.line(2, ["", path.path.as_deref().unwrap_or_default(), &target]);
        }
    }
    if !has_paths {
        out.line(1, ["*", "*", &default]);
    }
    map(&mut out, 0, "Annotations:", metadata.annotations.as_ref(), ": ");
    if !problems.is_empty() {
        // kubectl shows the events of a controller instead.
        out.multiline(0, "Problems:", problems.iter().cloned());
    }
    add_events(&mut out, Kind::Ingress, metadata, with);
    out.render()
}

fn tls(out: &mut Columns, all: &[IngressTLS]) {
    if all.is_empty() {
        return;
    }
    out.line(0, ["TLS:"]);
    for tls in all {
        let hosts = tls.hosts.as_deref().unwrap_or_default().join(",");
        let line = match tls.secret_name.as_deref().filter(|name| !name.is_empty()) {
            Some(secret) => format!("{secret} terminates {hosts}"),
            None => format!("SNI routes {hosts}"),
        };
        out.line(1, [&line]);
    }
}

/// Returns a backend with its endpoints: `web:80 (10.0.0.1:8080)`.
fn backend(backend: &IngressBackend, services: &Services<'_>) -> String {
    if let Some(service) = &backend.service {
        return of_service(service, services);
    }
    let resource = |resource: &k8s_openapi::api::core::v1::TypedLocalObjectReference| {
        let group = resource.api_group.as_deref().unwrap_or("<none>");
        format!("APIGroup: {group}, Kind: {}, Name: {}", resource.kind, resource.name)
    };
    backend.resource.as_ref().map(resource).unwrap_or_default()
}

fn of_service(backend: &IngressServiceBackend, services: &Services<'_>) -> String {
    let name = &backend.name;
    let port = backend.port.clone().unwrap_or_default();
    let number = port.number.filter(|number| *number != 0);
    let port_name = port.name.unwrap_or_default();
    let shown = number.map_or_else(|| port_name.clone(), |number| number.to_string());
    let Some(ports) = services(name) else {
        return format!("{name}:{shown} (<error: services \"{name}\" not found>)");
    };
    let is_meant = |view: &&PortView| match number {
        Some(number) => i32::from(view.port) == number,
        None => view.name.as_deref() == Some(&port_name),
    };
    format!("{name}:{shown} ({})", service::endpoints(ports.iter().find(is_meant)))
}

#[cfg(test)]
mod tests {
    use pod_core::service::EndpointView;
    use serde_json::json;

    use super::*;
    use crate::commands::describe::tests::with_surroundings;

    #[test]
    fn an_ingress_is_described_with_its_rules_and_backends() {
        let backend = |name: &str, port: serde_json::Value| json!({"service": {"name": name, "port": port}});
        let ingress = json!({
            "metadata": {"name": "shop", "namespace": "default", "annotations": {"note": "x"}},
            "spec": {"ingressClassName": "kube", "tls": [{"hosts": ["shop.example"], "secretName": "cert"}],
                "defaultBackend": backend("web", json!({"number": 80})),
                "rules": [
                    {"host": "shop.example", "http": {"paths": [
                        {"path": "/", "pathType": "Prefix", "backend": backend("web", json!({"name": "http"}))},
                        {"path": "/api", "pathType": "Exact", "backend": backend("gone", json!({"number": 8080}))},
                    ]}},
                    {"http": {"paths": [
                        {"path": "/any", "pathType": "Prefix", "backend": backend("web", json!({"number": 81}))},
                    ]}},
                ]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        });
        let services = |name: &str| {
            let address = "10.0.0.1:8080".parse().unwrap();
            let endpoints = vec![EndpointView { address, pod: None, hostname: None, ready: true }];
            let (port_name, protocol) = (Some("http".to_owned()), "TCP".to_owned());
            (name == "web").then(|| vec![PortView { name: port_name, protocol, port: 80, endpoints }])
        };
        let ingress = serde_json::from_value(ingress).unwrap();
        with_surroundings(Some(Vec::new()), |with| {
            let problems = ["port 80/TCP of this machine is taken by nginx, pid 8".to_owned()];
            insta::assert_snapshot!(text(&ingress, &services, &problems, with));
        });
    }
}
