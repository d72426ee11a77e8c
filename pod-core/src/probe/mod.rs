//! How a probe or a hook is done: by a connection to the pod, or by a command in a container.
//!
//! [`check`] reads a manifest's handler: what to do and where. [`http`] is what is said over a connection, without
//! doing it; [`http2`] does it over HTTP/2. [`connect`] opens connections in the pod's network, and [`attempt`] is one
//! that a supervisor waits for beside everything else. [`worker`] does what needs TLS, [`grpc`] or a name. [`error`] says
//! why there is no answer. Nothing of it runs in the image: it needs no curl, nc or shell there.

mod address;
mod attempt;
mod check;
mod connect;
mod error;
mod grpc;
mod http;
mod http2;
mod tls;
mod worker;

pub(crate) use address::Network;
pub(crate) use attempt::{Attempt, Step};
pub(crate) use check::Check;
pub(crate) use worker::run as run_in_worker;

/// How many redirects are followed (net/http of Go, which the kubelet uses).
const MAX_REDIRECTS: u32 = 10;
/// What requests say they come from: the kubelet of the release whose API this is.
const USER_AGENT: &str = "kube-probe/1.37";
/// The same for requests of hooks.
const HOOK_USER_AGENT: &str = "kube-lifecycle/1.37";
