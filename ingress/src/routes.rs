//! The file that says which requests go where: listeners, hosts with their paths, backends, certificates, options.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The whole file. It contains private keys, so only its owner may read it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Routes {
    /// Raised by each change of the file; the proxy's status names the one that it serves.
    pub generation: u64,
    /// Where the proxy listens.
    pub listeners: Vec<Listener>,
    /// Settings of the whole proxy.
    pub options: Options,
    /// Certificates for the hosts of TLS.
    pub certificates: Vec<Certificate>,
    /// The certificate for hosts that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_certificate: Option<Certificate>,
    /// Backends by name.
    pub backends: BTreeMap<String, Backend>,
    /// Hosts with their paths.
    pub hosts: Vec<Host>,
    /// The route of requests that no host and path takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Route>,
}

/// An address on which the proxy listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    /// The address and the port.
    pub address: SocketAddr,
    /// Whether connections begin with TLS.
    #[serde(default)]
    pub tls: bool,
}

/// Settings of the whole proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    /// The file of the access log; `None` writes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_log: Option<PathBuf>,
    /// Clients whose X-Forwarded headers are believed, because they are proxies too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<IpNet>,
    /// The port to which requests in the clear are redirected; `None` redirects none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https_port: Option<u16>,
    /// Threads that serve.
    pub threads: usize,
    /// How many connections of clients are open at a time. More wait until one is closed.
    pub max_connections: usize,
    /// How many bytes the head of a request or response may have.
    pub max_head: usize,
    /// How long a connection may be open without a request, how long the head of a request may take, and how long a client
    /// may read nothing of a response, in seconds.
    pub idle_seconds: u64,
    /// How long requests that are being served may go on after the file was removed, in seconds.
    pub drain_seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            access_log: None,
            trusted_proxies: Vec::new(),
            https_port: None,
            threads: 1,
            max_connections: 8192,
            // nginx: large_client_header_buffers has four of 8 KiB.
            max_head: 32 * 1024,
            // nginx: client_header_timeout.
            idle_seconds: 60,
            drain_seconds: 5,
        }
    }
}

impl Options {
    /// Returns how long a connection may be open without a request.
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds.max(1))
    }
}

/// A certificate with its key, both as PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// The hosts that it is presented for, `*.` for one label. Without any: the hosts that the certificate names.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The chain, the certificate of the host first.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// Servers that have the same content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Backend {
    /// The addresses of the servers. Without any, requests are answered with 503.
    pub endpoints: Vec<SocketAddr>,
}

/// A host with its paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// The host in lower case, `*.` in front for any one label, empty for every host.
    pub host: String,
    /// Whether the host is served with TLS too.
    #[serde(default)]
    pub tls: bool,
    /// The paths.
    #[serde(default)]
    pub paths: Vec<Path>,
    /// The route of requests for the host that no path takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Route>,
}

/// A path and the route of the requests that it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Path {
    /// The path.
    pub path: String,
    /// How it is compared.
    pub kind: PathKind,
    /// Where requests go.
    pub route: Route,
}

/// How the path of a request is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathKind {
    /// The whole path, letter by letter.
    Exact,
    /// The elements between slashes from the beginning.
    Prefix,
    /// A regular expression from the beginning, whatever the case of letters is (nginx: `location ~* "^..."`).
    Regex,
}

/// Where requests go, and how they are changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Route {
    /// The name of the backend.
    pub backend: String,
    /// What the route was made of, for the access log: `default/web`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// What is spoken to the endpoints.
    #[serde(skip_serializing_if = "is_default")]
    pub protocol: Protocol,
    /// The path that is sent to endpoints, with `$1` for what the first parentheses of the path took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite_target: Option<String>,
    /// Whether requests in the clear are redirected to TLS where the host has it.
    #[serde(skip_serializing_if = "is_default")]
    pub ssl_redirect: bool,
    /// Whether requests in the clear are redirected to TLS always.
    #[serde(skip_serializing_if = "is_default")]
    pub force_ssl_redirect: bool,
    /// The most bytes that the body of a request may have; `None` is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<u64>,
    /// The most seconds for the connection to an endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_seconds: Option<u64>,
    /// The most seconds between two parts of a response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_seconds: Option<u64>,
    /// The most seconds between two parts of a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_seconds: Option<u64>,
    /// Where requests for `/` are redirected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_root: Option<String>,
    /// Where all requests are redirected, with the status of the redirect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// nginx: `proxy_connect_timeout` of the Ingress controller.
const CONNECT_SECONDS: u64 = 5;
/// nginx: `proxy_read_timeout` and `proxy_send_timeout`.
const TRANSFER_SECONDS: u64 = 60;

impl Route {
    /// Returns the most time for the connection to an endpoint.
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_seconds.unwrap_or(CONNECT_SECONDS).max(1))
    }

    /// Returns the most time between two parts of a response.
    pub fn read_timeout(&self) -> Duration {
        Duration::from_secs(self.read_seconds.unwrap_or(TRANSFER_SECONDS).max(1))
    }

    /// Returns the most time between two parts of a request.
    pub fn send_timeout(&self) -> Duration {
        Duration::from_secs(self.send_seconds.unwrap_or(TRANSFER_SECONDS).max(1))
    }
}

/// A redirect of all requests of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// The URL.
    pub to: String,
    /// The status, of 300 to 308.
    pub status: u16,
}

/// What is spoken to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// HTTP/1.1 in the clear.
    #[default]
    Http,
    /// HTTP/1.1 with TLS. The certificate is not verified.
    Https,
    /// HTTP/2 in the clear.
    Grpc,
    /// HTTP/2 with TLS. The certificate is not verified.
    Grpcs,
}

impl Protocol {
    /// Returns whether connections begin with TLS.
    pub fn has_tls(self) -> bool {
        matches!(self, Self::Https | Self::Grpcs)
    }

    /// Returns whether HTTP/2 is spoken.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Grpc | Self::Grpcs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_options_has_the_defaults() {
        let routes: Routes = serde_json::from_str(
            r#"{"generation": 3, "listeners": [{"address": "0.0.0.0:80"}], "hosts": [
                {"host": "a.example", "paths": [{"path": "/", "kind": "prefix", "route": {"backend": "b"}}]}]}"#,
        )
        .unwrap();
        assert_eq!(routes.options, Options::default());
        assert_eq!(routes.hosts[0].paths[0].route.protocol, Protocol::Http);
        assert!(!routes.listeners[0].tls);
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let route = Route {
            backend: "default/web:80".into(),
            source: "default/web".into(),
            protocol: Protocol::Grpcs,
            rewrite_target: Some("/$1".into()),
            max_body: Some(1),
            redirect: Some(Redirect { to: "https://x.example".into(), status: 308 }),
            ..Route::default()
        };
        let routes = Routes {
            generation: 1,
            certificates: vec![Certificate { hosts: vec![], certificate: "C".into(), key: "K".into() }],
            backends: [(
                "default/web:80".to_owned(),
                Backend { endpoints: vec!["[fd00::1]:80".parse().unwrap()] },
            )]
            .into(),
            default: Some(route),
            ..Routes::default()
        };
        let text = serde_json::to_string(&routes).unwrap();
        assert_eq!(serde_json::from_str::<Routes>(&text).unwrap(), routes);
    }

    #[test]
    fn keys_are_not_printed() {
        let certificate =
            Certificate { hosts: vec!["a".into()], certificate: "C".into(), key: "SECRET".into() };
        assert!(!format!("{certificate:?}").contains("SECRET"));
    }
}
