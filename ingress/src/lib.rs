//! A reverse proxy for HTTP that forwards requests by host and path. It knows nothing of pods: one JSON file says what
//! goes where ([`Routes`]), and the proxy follows changes of that file.
//!
//! Pure: [`routes`] (the file), [`router`] (which route a request takes), [`rewrite`] (redirects and paths), [`headers`]
//! (what is removed from and added to a message), [`certificate`] (certificates and keys). Thin: `server` (listeners and
//! connections), `forward` (one request), `pool` (connections to endpoints), `reload` (follows the file).
//!
//! [`proxy_main`] is the process. It holds the lock [`LOCK_FILE`] beside its file while it listens, reports in
//! [`STATUS_FILE`] what it has read and which ports it could not get, and ends when the file is removed.

mod access_log;
pub mod certificate;
mod forward;
pub mod headers;
mod listener;
mod pool;
mod process;
mod reload;
mod request_body;
mod response_body;
pub mod rewrite;
pub mod router;
pub mod routes;
mod server;
mod state;
pub mod status;
mod tls;

pub use certificate::{CertificateError, KeyPair};
pub use process::{INGRESS_PROXY, READY_VARIABLE, proxy_main};
pub use routes::{Backend, Certificate, Host, Listener, Options, Path, PathKind, Protocol, Route, Routes};
pub use server::{Proxy, ServeError};
pub use status::{ListenerStatus, Status};

/// The name of the lock that a proxy holds while it listens, in the folder of its file.
pub const LOCK_FILE: &str = "proxy.lock";

/// The name of the file in which a proxy reports, in the folder of its file.
pub const STATUS_FILE: &str = "status.json";
