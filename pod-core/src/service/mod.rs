//! Services: which endpoints they have, their addresses and names. `sync` writes them to the network.

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Service;

use crate::kind::ObjectRef;
use crate::store::{self, Layout};

/// A Service with its endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The Service with its allocated addresses and ports, and its status.
    pub service: Service,
    /// The endpoints per port.
    pub ports: Vec<PortView>,
}

/// A port of a Service with its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortView {
    /// The port's name in the Service.
    pub name: Option<String>,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The port of the Service.
    pub port: u16,
    /// The endpoints, those that are not ready too.
    pub endpoints: Vec<EndpointView>,
}

/// An endpoint of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointView {
    /// The address and the target port.
    pub address: SocketAddr,
    /// The pod, unless the endpoint is that of an Endpoints or EndpointSlice document.
    pub pod: Option<ObjectRef>,
    /// The host name of the endpoint in a headless Service.
    pub hostname: Option<String>,
    /// Whether connections are sent to the endpoint.
    pub ready: bool,
}

/// Returns all Services with their endpoints, ordered by namespace and name.
pub fn views(layout: &Layout) -> Result<Vec<View>, store::Error> {
    let _ = layout;
    Ok(Vec::new())
}
