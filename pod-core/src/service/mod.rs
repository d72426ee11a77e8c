//! Services: which endpoints they have, their addresses and names.
//!
//! Everything is computed from the recorded Services and from what supervisors say of their pods (`pods`), by pure
//! functions: `allocate` gives a Service its addresses and NodePorts when it is played, `endpoints` finds the pods of each
//! Service, `names` and `forwarded` are what the name server and the kernel get of them, `status` is what a user sees.
//! `apply` hands names and addresses to the network. Start reading at [`apply`] and [`views`].

mod allocate;
mod apply;
mod endpoints;
mod forwarded;
mod names;
mod pods;
mod recorded;
mod status;

use std::net::SocketAddr;

use k8s_openapi::api::core::v1::Service;

use crate::kind::ObjectRef;

pub use allocate::{Pool, Refused, complete};
pub use apply::{Applied, Error, Lock, apply, inputs, is_used, lock, views, was_applied, words};
pub use pods::{NamedPort, PodEndpoint, Reach, write as write_pods};

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
