//! Ingresses as a user sees them: with their status and with what cannot be honoured. It is pure.

use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{
    Ingress, IngressLoadBalancerIngress, IngressLoadBalancerStatus, IngressPortStatus, IngressStatus,
};
use serde::{Deserialize, Serialize};

/// An Ingress with its status.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The Ingress. Its status has the addresses of this machine with the ports on which it is served; none while a port
    /// is taken.
    pub ingress: Ingress,
    /// The class: the one that it names, or the default one.
    pub class: Option<String>,
    /// Whether this machine serves it, and not another controller.
    pub is_served: bool,
    /// What cannot be honoured now, in words: taken ports, missing Services and Secrets.
    pub problems: Vec<String>,
}

/// A port of the host that the proxy could not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// The port.
    pub port: u16,
    /// Who has it, or why it cannot be had.
    pub by: String,
}

impl std::fmt::Display for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "port {}/TCP of this machine is taken by {}", self.port, self.by)
    }
}

/// The ports on which Ingresses are served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Open {
    pub http: Option<u16>,
    pub https: Option<u16>,
    pub pending: Vec<Pending>,
}

/// Returns the ports that an Ingress needs.
pub(super) fn has_tls(ingress: &Ingress) -> bool {
    ingress.spec.as_ref().and_then(|spec| spec.tls.as_ref()).is_some_and(|tls| !tls.is_empty())
}

/// Returns the status of an Ingress that this machine serves on `host`'s addresses.
pub(super) fn status(ingress: &Ingress, open: &Open, host: &[IpAddr]) -> IngressStatus {
    let taken = open.pending.iter().map(|pending| IngressPortStatus {
        error: Some("PortTaken".to_owned()),
        port: i32::from(pending.port),
        protocol: "TCP".to_owned(),
    });
    let https = open.https.filter(|_| has_tls(ingress));
    let served = open.http.into_iter().chain(https).map(|port| IngressPortStatus {
        error: None,
        port: i32::from(port),
        protocol: "TCP".to_owned(),
    });
    let served: Vec<IngressPortStatus> = served.collect();
    // Without a port nobody can reach it.
    if served.is_empty() {
        return IngressStatus { load_balancer: Some(IngressLoadBalancerStatus::default()) };
    }
    let ports: Vec<IngressPortStatus> = served.into_iter().chain(taken).collect();
    let addresses = host.iter().map(|ip| IngressLoadBalancerIngress {
        hostname: None,
        ip: Some(ip.to_string()),
        ports: Some(ports.clone()),
    });
    IngressStatus { load_balancer: Some(IngressLoadBalancerStatus { ingress: Some(addresses.collect()) }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(tls: bool, open: &Open) -> serde_json::Value {
        let spec = if tls { json!({"tls": [{}]}) } else { json!({}) };
        let ingress: Ingress = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        serde_json::to_value(status(&ingress, open, &["192.0.2.1".parse().unwrap()])).unwrap()
    }

    #[test]
    fn the_status_has_the_addresses_and_the_ports_that_are_open() {
        let open = Open { http: Some(80), https: Some(443), pending: Vec::new() };
        let address = |ports: serde_json::Value| json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ports": ports}]}});
        let port = |number: u16| json!({"port": number, "protocol": "TCP"});
        assert_eq!(shown(false, &open), address(json!([port(80)])));
        assert_eq!(shown(true, &open), address(json!([port(80), port(443)])));
        let pending = vec![Pending { port: 443, by: "nginx, pid 7".into() }];
        let taken = json!({"port": 443, "protocol": "TCP", "error": "PortTaken"});
        let half = Open { http: Some(80), https: None, pending };
        assert_eq!(shown(true, &half), address(json!([port(80), taken])));
        let none = Open { http: None, https: None, pending: half.pending };
        assert_eq!(shown(true, &none), json!({"loadBalancer": {}}));
    }

    #[test]
    fn a_taken_port_is_told_with_its_owner() {
        let pending = Pending { port: 80, by: "nginx, pid 812".into() };
        assert_eq!(pending.to_string(), "port 80/TCP of this machine is taken by nginx, pid 812");
    }
}
