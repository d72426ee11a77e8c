//! The health service of gRPC (grpc.health.v1.Health).

use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use super::USER_AGENT;
use super::address::Target;
use super::connect;
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

/// Asks whether a service is healthy. The process must have one thread.
pub fn check(target: &Target, service: &str) -> ProbeResult {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result =
        connect::within(target.namespace.as_deref(), || Ok(runtime()?.block_on(ask(target, service))));
    result.unwrap_or_else(|error| ProbeResult::Unknown(error.to_string()))
}

async fn ask(target: &Target, service: &str) -> ProbeResult {
    let address = target.authority();
    let failed = |error: &dyn std::error::Error| {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            text = cause.to_string();
            next = cause.source();
        }
        ProbeResult::Failure(format!("error: failed to connect service at {address:?}: {text}"))
    };
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = match endpoint.and_then(|endpoint| endpoint.user_agent(USER_AGENT)) {
        Ok(endpoint) => endpoint,
        Err(error) => return failed(&error),
    };
    let channel = match endpoint.connect().await {
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
