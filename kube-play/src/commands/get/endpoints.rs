//! Endpoints.

use k8s_openapi::api::core::v1::{EndpointSubset, Endpoints};
use pod_core::kind::Kind;

use super::table::{KindTable, Look, age, column, first_three, name};

pub const TABLE: KindTable = KindTable {
    kind: Kind::Endpoints,
    columns: &[column("NAME"), column("ENDPOINTS"), column("AGE")],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(endpoints: &Endpoints, look: Look) -> Vec<String> {
    let subsets = endpoints.subsets.as_deref().unwrap_or_default();
    let all: Vec<String> = subsets.iter().flat_map(addresses).collect();
    vec![name(&endpoints.metadata), first_three(&all), age(&endpoints.metadata, look)]
}

/// Returns the ready addresses of a subset, each with every port.
fn addresses(subset: &EndpointSubset) -> Vec<String> {
    let addresses = || subset.addresses.iter().flatten();
    let ports = subset.ports.as_deref().unwrap_or_default();
    if ports.is_empty() {
        return addresses().map(|address| address.ip.clone()).collect();
    }
    let with_port = |port: i32| addresses().map(move |address| socket(&address.ip, port));
    ports.iter().flat_map(|port| with_port(port.port)).collect()
}

/// Returns an address with a port; one of IPv6 is in brackets.
pub fn socket(ip: &str, port: i32) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}
