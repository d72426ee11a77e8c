//! Checks that need TLS, gRPC or the address of a name. They are done in a short-lived worker, so that the supervisor
//! needs no memory for them. They wait as long as it takes: the supervisor kills the worker when its time is over.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::address::Target;
use super::check::Check;
use super::http::{Answer, Request, Scheme, Verdict};
use super::{connect, grpc, http2, tls};
use crate::lifecycle::ProbeResult;

/// Does a check to its end, in a worker that has one thread.
pub fn run(check: &Check) -> ProbeResult {
    match check {
        Check::Exec(_) => ProbeResult::Unknown("a command is not done here".to_owned()),
        Check::Tcp(target) => match open(target) {
            Ok(_) => ProbeResult::Success,
            Err(reason) => ProbeResult::Failure(reason),
        },
        Check::Grpc { target, service, tls } => grpc::check(target, service, *tls),
        Check::Http(request) => {
            let mut request = request.clone();
            loop {
                match ask(&request) {
                    Ok(Verdict::Result(result)) => return result,
                    Ok(Verdict::Follow(next)) => request = next,
                    Err(reason) => return request.failure(reason),
                }
            }
        }
    }
}

/// Returns the address of a target, whose name the host resolves.
fn resolve(target: &Target) -> Result<SocketAddr, String> {
    if let Some(address) = target.address() {
        return Ok(address);
    }
    let failed = |error: io::Error| format!("dial tcp: lookup {}: {error}", target.host);
    let mut all = (target.host.as_str(), target.port).to_socket_addrs().map_err(failed)?;
    all.next().ok_or_else(|| format!("dial tcp: lookup {}: no such host", target.host))
}

fn open(target: &Target) -> Result<TcpStream, String> {
    let address = resolve(target)?;
    connect::within(target.namespace.as_deref(), || TcpStream::connect(address))
        .map_err(|error| connect::dial_error(address, &error))
}

/// Makes one request.
fn ask(request: &Request) -> Result<Verdict, String> {
    if request.is_http2 && request.scheme == Scheme::Http {
        return http2::ask(request, resolve(&request.target)?);
    }
    let bytes = request.bytes()?;
    let stream = open(&request.target)?;
    match request.scheme {
        Scheme::Http => exchange(request, &bytes, stream),
        Scheme::Https => {
            let open = || -> Result<_, Box<dyn std::error::Error>> {
                let name = ServerName::try_from(request.target.host.clone())?;
                Ok(ClientConnection::new(Arc::new(tls::config()?), name)?)
            };
            let connection = open().map_err(|error| format!("tls: {error}"))?;
            exchange(request, &bytes, StreamOwned::new(connection, stream))
        }
    }
}

fn exchange(request: &Request, bytes: &[u8], mut stream: impl Read + Write) -> Result<Verdict, String> {
    let failed = |error: io::Error| connect::describe(&error);
    stream.write_all(bytes).and_then(|()| stream.flush()).map_err(failed)?;
    let mut answer = Answer::default();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => {
                if answer.receive(chunk.get(..length).unwrap_or_default()) {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Many servers end a connection without the farewell of TLS.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(answer.verdict(request))
}

#[cfg(test)]
mod tests;
