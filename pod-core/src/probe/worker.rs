//! Checks that need TLS, gRPC or the address of a name. They are done in a short-lived worker, so that the supervisor
//! needs no memory for them. They wait as long as it takes: the supervisor kills the worker when its time is over.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::address::Target;
use super::check::Check;
use super::error::Error;
use super::http::{Answer, Request, Scheme, Verdict};
use super::{connect, grpc, http2, tls};
use crate::lifecycle::ProbeResult;

/// Does a check to its end, in a worker that has one thread.
pub fn run(check: &Check) -> ProbeResult {
    match check {
        Check::Exec(_) => ProbeResult::Unknown("a command is not done here".to_owned()),
        Check::Tcp(target) => match open(target) {
            Ok(_) => ProbeResult::Success,
            Err(reason) => ProbeResult::Failure(reason.to_string()),
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
fn resolve(target: &Target) -> Result<SocketAddr, Error> {
    if let Some(address) = target.address() {
        return Ok(address);
    }
    let failed = |source| Error::Lookup { host: target.host.clone(), source };
    let mut all = (target.host.as_str(), target.port).to_socket_addrs().map_err(failed)?;
    all.next().ok_or_else(|| Error::NoHost(target.host.clone()))
}

fn open(target: &Target) -> Result<TcpStream, Error> {
    let address = resolve(target)?;
    connect::within(target.namespace.as_deref(), || TcpStream::connect(address))
        .map_err(|source| Error::Dial { address, source })
}

/// Makes one request.
fn ask(request: &Request) -> Result<Verdict, Error> {
    if request.is_http2 && request.scheme == Scheme::Http {
        return http2::ask(request, resolve(&request.target)?);
    }
    let bytes = request.bytes()?;
    let stream = open(&request.target)?;
    match request.scheme {
        Scheme::Http => exchange(request, &bytes, stream),
        Scheme::Https => {
            let name = ServerName::try_from(request.target.host.clone())?;
            let connection = ClientConnection::new(Arc::new(tls::config()?), name)?;
            exchange(request, &bytes, StreamOwned::new(connection, stream))
        }
    }
}

fn exchange(request: &Request, bytes: &[u8], mut stream: impl Read + Write) -> Result<Verdict, Error> {
    stream.write_all(bytes).and_then(|()| stream.flush())?;
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
            Err(error) => return Err(error.into()),
        }
    }
    Ok(answer.verdict(request))
}

#[cfg(test)]
mod tests;
