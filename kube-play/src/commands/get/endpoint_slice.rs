//! EndpointSlices.

use k8s_openapi::api::discovery::v1::{EndpointPort, EndpointSlice};
use pod_core::kind::Kind;

use super::table::{KindTable, Look, age, column, first_three, name};

pub const TABLE: KindTable = KindTable {
    kind: Kind::EndpointSlice,
    columns: &[column("NAME"), column("ADDRESSTYPE"), column("PORTS"), column("ENDPOINTS"), column("AGE")],
    cells: |object, look| Ok(cells(&object.parse()?, look)),
};

fn cells(slice: &EndpointSlice, look: Look) -> Vec<String> {
    let number = |port: &EndpointPort| port.port.map_or_else(|| "*".to_owned(), |port| port.to_string());
    let ports: Vec<String> = slice.ports.iter().flatten().map(number).collect();
    let ports = if ports.is_empty() { "<unset>".to_owned() } else { first_three(&ports) };
    let endpoints = slice.endpoints.iter().flatten().flat_map(|endpoint| endpoint.addresses.clone());
    let endpoints: Vec<String> = endpoints.collect();
    let endpoints = if endpoints.is_empty() { "<unset>".to_owned() } else { first_three(&endpoints) };
    vec![name(&slice.metadata), slice.address_type.clone(), ports, endpoints, age(&slice.metadata, look)]
}
