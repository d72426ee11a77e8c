//! What a handler of a manifest asks for.

use k8s_openapi::api::core::v1::{
    Container, ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::address::{Network, Target};
use super::http::{Request, Scheme};
use crate::lifecycle::ProbeResult;

/// Why a handler cannot be read, in the kubelet's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// The probe has no handler.
    #[error("missing probe handler")]
    NoProbeHandler,
    /// The hook has no handler.
    #[error("missing hook handler")]
    NoHookHandler,
    /// The number is not a port.
    #[error("invalid port number: {number}")]
    InvalidPort {
        /// The number.
        number: i32,
    },
    /// No port of the container has the name.
    #[error("couldn't find port: {name}")]
    UnknownPort {
        /// The name.
        name: String,
    },
}

/// What a handler does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Runs a command in the container.
    Exec(Vec<String>),
    /// Sends a request.
    Http(Box<Request>),
    /// Opens a connection.
    Tcp(Target),
    /// Asks the health service of gRPC about a service.
    Grpc {
        /// The server.
        target: Target,
        /// The name of the service; empty for the server as a whole.
        service: String,
        /// Whether the connection uses TLS, without verification of the certificate.
        tls: bool,
    },
}

impl Check {
    /// Returns the result of a check that took longer than `timeout`, in seconds.
    pub fn timed_out(&self, timeout: u64) -> ProbeResult {
        ProbeResult::Failure(match self {
            Self::Exec(command) => format!("command {:?} timed out", command.join(" ")),
            Self::Http(request) => return request.timed_out(),
            Self::Tcp(target) => format!("dial tcp {}: i/o timeout", target.authority()),
            Self::Grpc { target, .. } => {
                let address = target.authority();
                format!(
                    "timeout: failed to connect service {address:?} within {timeout}s: context deadline exceeded"
                )
            }
        })
    }

    /// Reads the handler of a probe.
    ///
    /// # Errors
    /// Why it cannot be done, as the probe's result.
    pub fn of_probe(probe: &Probe, container: &Container, network: &Network) -> Result<Self, HandlerError> {
        if let Some(exec) = &probe.exec {
            return Ok(Self::exec(exec));
        }
        if let Some(http) = &probe.http_get {
            return Ok(Self::Http(Box::new(request(http, container, network)?)));
        }
        if let Some(tcp) = &probe.tcp_socket {
            return Self::tcp(tcp, container, network);
        }
        if let Some(grpc) = &probe.grpc {
            let port = port(&IntOrString::Int(grpc.port), container)?;
            return Ok(Self::Grpc {
                target: network.target(None, port),
                service: grpc.service.clone().unwrap_or_default(),
                tls: grpc.mode.as_deref() == Some("TLS"),
            });
        }
        Err(HandlerError::NoProbeHandler)
    }

    /// Reads the handler of a hook that is not a sleep.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub fn of_hook(
        handler: &LifecycleHandler,
        container: &Container,
        network: &Network,
    ) -> Result<Self, HandlerError> {
        if let Some(exec) = &handler.exec {
            return Ok(Self::exec(exec));
        }
        if let Some(http) = &handler.http_get {
            return Ok(Self::Http(Box::new(request(http, container, network)?.of_hook())));
        }
        if let Some(tcp) = &handler.tcp_socket {
            return Self::tcp(tcp, container, network);
        }
        Err(HandlerError::NoHookHandler)
    }

    fn exec(exec: &ExecAction) -> Self {
        Self::Exec(exec.command.clone().unwrap_or_default())
    }

    fn tcp(tcp: &TCPSocketAction, container: &Container, network: &Network) -> Result<Self, HandlerError> {
        let port = port(&tcp.port, container)?;
        Ok(Self::Tcp(network.target(tcp.host.as_deref(), port)))
    }
}

fn request(http: &HTTPGetAction, container: &Container, network: &Network) -> Result<Request, HandlerError> {
    let target = network.target(http.host.as_deref(), port(&http.port, container)?);
    let scheme = match http.scheme.as_deref() {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
        _ => Scheme::Http,
    };
    let headers =
        http.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone()));
    let request = Request::new(scheme, target, http.path.as_deref().unwrap_or("/"), headers.collect());
    Ok(if http.protocol.as_deref() == Some("HTTP2") { request.over_http2() } else { request })
}

/// Returns a port by its number or by its name among the container's ports.
fn port(port: &IntOrString, container: &Container) -> Result<u16, HandlerError> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            named.map(|port| port.container_port).or_else(|| name.parse().ok())
        }
    };
    match (number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0), port) {
        (Some(number), _) => Ok(number),
        (None, IntOrString::Int(number)) => Err(HandlerError::InvalidPort { number: *number }),
        (None, IntOrString::String(name)) => Err(HandlerError::UnknownPort { name: name.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(probe: Value, network: &Network) -> Result<Check, HandlerError> {
        let container = json!({"name": "web", "ports": [{"name": "http", "containerPort": 8080}]});
        let container = serde_json::from_value(container).unwrap();
        Check::of_probe(&serde_json::from_value(probe).unwrap(), &container, network)
    }

    fn network() -> Network {
        let ips = vec!["10.88.0.5".parse().unwrap(), "fd00::5".parse().unwrap()];
        Network { namespace: Some("/run/netns/u".into()), ips }
    }

    #[test]
    fn a_request_goes_to_the_pods_address_from_inside_its_network() {
        let Ok(Check::Http(request)) = check(json!({"httpGet": {"port": 80}}), &network()) else { panic!() };
        assert_eq!(request.url(), "http://10.88.0.5:80/");
        assert_eq!(request.target.namespace, network().namespace);
    }

    #[test]
    fn a_host_that_is_given_is_reached_from_the_host() {
        let probe = json!({"httpGet": {"port": 443, "host": "example.com", "scheme": "HTTPS", "path": "ok"}});
        let Ok(Check::Http(request)) = check(probe, &network()) else { panic!() };
        assert_eq!(request.url(), "https://example.com:443/ok");
        assert_eq!((&request.target.namespace, request.target.address()), (&None, None));
        let Ok(Check::Tcp(target)) = check(json!({"tcpSocket": {"port": 1, "host": "[::1]"}}), &network())
        else {
            panic!()
        };
        assert_eq!(target.authority(), "[::1]:1");
    }

    #[test]
    fn a_pod_without_a_network_is_reached_on_its_loopback() {
        let none = Network { ips: Vec::new(), ..network() };
        let Ok(Check::Tcp(target)) = check(json!({"tcpSocket": {"port": 1}}), &none) else { panic!() };
        assert_eq!((target.authority().as_str(), target.namespace), ("127.0.0.1:1", none.namespace));
    }

    #[test]
    fn named_ports_resolve_against_the_containers_ports() {
        let of = |port: Value| check(json!({"tcpSocket": {"port": port}}), &network());
        let port = |check: Result<Check, HandlerError>| match check {
            Ok(Check::Tcp(target)) => Ok(target.port),
            Ok(_) => panic!(),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(port(of(json!("http"))), Ok(8080));
        assert_eq!(port(of(json!("8081"))), Ok(8081));
        assert_eq!(port(of(json!("grpc"))), Err("couldn't find port: grpc".to_owned()));
        assert_eq!(port(of(json!(0))), Err("invalid port number: 0".to_owned()));
    }
}
