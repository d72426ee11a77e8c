//! The environment variables of Services (enableServiceLinks). Source: pkg/kubelet/envvars of Kubernetes.

use k8s_openapi::api::core::v1::Service;

use super::PodPlan;
use crate::store::Objects;

/// Returns whether the containers of a pod have the variables of Services.
pub fn are_enabled(pod: &PodPlan) -> bool {
    pod.pod.spec.as_ref().and_then(|spec| spec.enable_service_links) != Some(false)
}

/// Returns the variables of the Services of the pod's namespace, ordered by the names of the Services.
pub(super) fn variables(pod: &PodPlan, objects: &Objects) -> Vec<(String, String)> {
    if !are_enabled(pod) {
        return Vec::new();
    }
    let own = objects.services.iter().filter(|((namespace, _), _)| namespace == pod.namespace());
    own.flat_map(|((_, name), service)| of_service(name, service)).collect()
}

/// Returns the variables of one Service; none if it has no address of its own.
fn of_service(name: &str, service: &Service) -> Vec<(String, String)> {
    let Some(spec) = service.spec.as_ref() else { return Vec::new() };
    let address = spec.cluster_ip.as_deref().filter(|ip| !matches!(*ip, "" | "None"));
    let (Some(address), Some(ports @ [first, ..])) = (address, spec.ports.as_deref()) else {
        return Vec::new();
    };
    let prefix = word(name);
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let mut variables = vec![
        (format!("{prefix}_SERVICE_HOST"), address.to_owned()),
        (format!("{prefix}_SERVICE_PORT"), first.port.to_string()),
    ];
    for port in ports {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            variables.push((format!("{prefix}_SERVICE_PORT_{}", word(name)), port.port.to_string()));
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let number = port.port;
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let lower = protocol.to_ascii_lowercase();
        let url = format!("{lower}://{host}:{number}");
        // The first port is also that of Docker's links.
        if index == 0 {
            variables.push((format!("{prefix}_PORT"), url.clone()));
        }
        let of_port = format!("{prefix}_PORT_{number}_{}", protocol.to_ascii_uppercase());
        variables.extend([
            (of_port.clone(), url),
            (format!("{of_port}_PROTO"), lower),
            (format!("{of_port}_PORT"), number.to_string()),
            (format!("{of_port}_ADDR"), address.to_owned()),
        ]);
    }
    variables
}

/// Returns a name as part of the name of a variable.
fn word(name: &str) -> String {
    name.replace('-', "_").to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(spec: &serde_json::Value) -> Vec<String> {
        let service: Service =
            serde_json::from_value(json!({"metadata": {"name": "my-db"}, "spec": spec})).unwrap();
        of_service("my-db", &service).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn a_service_with_several_ports_has_the_variables_of_kubernetes() {
        let ports =
            json!([{"name": "sql", "port": 5432}, {"name": "dns-udp", "port": 53, "protocol": "UDP"}]);
        assert_eq!(
            shown(&json!({"clusterIP": "10.0.0.11", "ports": ports})),
            [
                "MY_DB_SERVICE_HOST=10.0.0.11",
                "MY_DB_SERVICE_PORT=5432",
                "MY_DB_SERVICE_PORT_SQL=5432",
                "MY_DB_SERVICE_PORT_DNS_UDP=53",
                "MY_DB_PORT=tcp://10.0.0.11:5432",
                "MY_DB_PORT_5432_TCP=tcp://10.0.0.11:5432",
                "MY_DB_PORT_5432_TCP_PROTO=tcp",
                "MY_DB_PORT_5432_TCP_PORT=5432",
                "MY_DB_PORT_5432_TCP_ADDR=10.0.0.11",
                "MY_DB_PORT_53_UDP=udp://10.0.0.11:53",
                "MY_DB_PORT_53_UDP_PROTO=udp",
                "MY_DB_PORT_53_UDP_PORT=53",
                "MY_DB_PORT_53_UDP_ADDR=10.0.0.11",
            ]
        );
        let six = shown(&json!({"clusterIP": "fd00::a", "ports": [{"port": 80}]}));
        assert!(six.contains(&"MY_DB_PORT=tcp://[fd00::a]:80".to_owned()), "{six:?}");
        assert!(six.contains(&"MY_DB_SERVICE_HOST=fd00::a".to_owned()), "{six:?}");
    }

    #[test]
    fn a_service_without_an_address_has_no_variables() {
        for spec in [
            json!({"clusterIP": "None", "ports": [{"port": 80}]}),
            json!({"type": "ExternalName", "externalName": "a.example"}),
            json!({"ports": [{"port": 80}]}),
        ] {
            assert_eq!(shown(&spec), [""; 0], "{spec}");
        }
    }
}
