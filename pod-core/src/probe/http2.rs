//! One request of a probe over HTTP/2 in the clear, without an upgrade from HTTP/1.1.
//!
//! Source: KEP-5999, httpGet.protocol.

use std::future::poll_fn;
use std::net::SocketAddr;

use h2::client;
use tonic::codegen::Bytes;
use tonic::codegen::http::header::LOCATION;
use tonic::codegen::http::{Request as HttpRequest, Version};

use super::connect;
use super::error::Error;
use super::http::{Answer, MAX_BODY, Request, Verdict};

/// Makes one request to an address. The process must have one thread.
///
/// # Errors
/// Why there is no answer.
pub fn ask(request: &Request, address: SocketAddr) -> Result<Verdict, Error> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = connect::within(request.target.namespace.as_deref(), || {
        Ok(runtime()?.block_on(exchange(request, address)))
    });
    Ok(answer??.verdict(request))
}

async fn exchange(request: &Request, address: SocketAddr) -> Result<Answer, Error> {
    let stream = tokio::net::TcpStream::connect(address).await;
    let stream = stream.map_err(|source| Error::Dial { address, source })?;
    let (mut client, connection) = client::handshake(stream).await?;
    let mut head = HttpRequest::builder().version(Version::HTTP_2).uri(format!(
        "http://{}{}",
        request.host(),
        request.path()
    ));
    for (name, value) in request.headers()? {
        head = head.header(name, value);
    }
    let head = head.body(())?;
    let answer = async {
        poll_fn(|context| client.poll_ready(context)).await?;
        let (response, _) = client.send_request(head, true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut received = Vec::new();
        while received.len() < MAX_BODY
            && let Some(chunk) = body.data().await
        {
            let chunk: Bytes = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            received.extend(chunk.iter().take(MAX_BODY.saturating_sub(received.len())));
        }
        let location = head.headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok::<_, h2::Error>(Answer::of_parts(head.status.as_u16(), location, received))
    };
    // The connection has to be driven while the answer is waited for.
    tokio::select! {
        answer = answer => Ok(answer?),
        ended = connection => match ended {
            Ok(()) => Err(Error::NoAnswer),
            Err(error) => Err(error.into()),
        },
    }
}
