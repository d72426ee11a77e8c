//! The health service of gRPC (grpc.health.v1.Health).

use std::io;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::address::Target;
use super::{USER_AGENT, connect, tls};
use crate::lifecycle::ProbeResult;

const METHOD: &str = "/grpc.health.v1.Health/Check";

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    status: i32,
}

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

/// Asks whether a service is healthy, over TLS if `tls` is true. The process must have one thread.
pub fn check(target: &Target, service: &str, tls: bool) -> ProbeResult {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result =
        connect::within(target.namespace.as_deref(), || Ok(runtime()?.block_on(ask(target, service, tls))));
    result.unwrap_or_else(|error| ProbeResult::Unknown(error.to_string()))
}

/// Opens a connection over TLS whose certificate is not verified (grpc.mode TLS).
async fn connect_tls(host: String, address: String) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
    let mut config = tls::config().map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map(TokioIo::new)
}

async fn ask(target: &Target, service: &str, is_tls: bool) -> ProbeResult {
    let address = target.authority();
    let failed = |error: &dyn std::error::Error| {
        let text = tls::innermost(error);
        ProbeResult::Failure(format!("error: failed to connect service at {address:?}: {text}"))
    };
    // The connector below makes the connection secure; the scheme is what tonic would do by itself.
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = match endpoint.and_then(|endpoint| endpoint.user_agent(USER_AGENT)) {
        Ok(endpoint) => endpoint,
        Err(error) => return failed(&error),
    };
    let connected = match is_tls {
        false => endpoint.connect().await,
        true => {
            let (host, address) = (target.host.clone(), address.clone());
            let connect = move |_| connect_tls(host.clone(), address.clone());
            endpoint.connect_with_connector(service_fn(connect)).await
        }
    };
    let channel = match connected {
        Ok(channel) => channel,
        Err(error) => return failed(&error),
    };
    let mut client = Grpc::new(channel);
    if let Err(error) = client.ready().await {
        return failed(&error);
    }
    let request = Request::new(HealthCheckRequest { service: service.to_owned() });
    let codec = ProstCodec::<HealthCheckRequest, HealthCheckResponse>::default();
    match client.unary(request, PathAndQuery::from_static(METHOD), codec).await {
        Ok(answer) => match answer.into_inner().status() {
            ServingStatus::Serving => ProbeResult::Success,
            status => {
                let name = match status {
                    ServingStatus::NotServing => "NOT_SERVING",
                    ServingStatus::ServiceUnknown => "SERVICE_UNKNOWN",
                    ServingStatus::Unknown | ServingStatus::Serving => "UNKNOWN",
                };
                ProbeResult::Failure(format!("service unhealthy (responded with {name:?})"))
            }
        },
        Err(status) if status.code() == Code::Unimplemented => ProbeResult::Failure(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
            status.message()
        )),
        Err(status) => ProbeResult::Failure(format!(
            "error: health rpc probe failed: rpc error: code = {:?} desc = {}",
            status.code(),
            status.message()
        )),
    }
}
