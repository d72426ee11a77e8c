//! Why a request or a connection of a probe has no answer.

use std::io;
use std::net::SocketAddr;

use super::MAX_REDIRECTS;
use super::connect::{describe, dial_error};
use super::tls::innermost;

/// Why there is no answer, in the words of Go's client, which the kubelet shows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name of a header cannot be sent.
    #[error("net/http: invalid header field name {0:?}")]
    HeaderName(String),
    /// The value of the header with this name cannot be sent.
    #[error("net/http: invalid header field value for {0:?}")]
    HeaderValue(String),
    /// A redirect leads to something that is no URL.
    #[error("failed to parse Location header {location:?}: {source}")]
    Location {
        /// The header.
        location: String,
        /// Why not.
        #[source]
        source: url::ParseError,
    },
    /// A redirect leads to this scheme.
    #[error("unsupported protocol scheme {0:?}")]
    Scheme(String),
    /// Too many redirects follow each other.
    #[error("stopped after {MAX_REDIRECTS} redirects")]
    Redirects,
    /// The answer is not HTTP; this is its first line.
    #[error("malformed HTTP response {0:?}")]
    Malformed(String),
    /// The head of the answer is too long.
    #[error("net/http: server response headers exceeded the limit")]
    HeadTooLong,
    /// The connection ended before the answer began.
    #[error("EOF")]
    NoAnswer,
    /// The connection ended in the head of the answer.
    #[error("unexpected EOF")]
    CutOff,
    /// A name cannot be looked up.
    #[error("dial tcp: lookup {host}: {source}")]
    Lookup {
        /// The name.
        host: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A name has no address.
    #[error("dial tcp: lookup {0}: no such host")]
    NoHost(String),
    /// No connection was made.
    #[error("{}", dial_error(*address, source))]
    Dial {
        /// Where to.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection failed.
    #[error("{}", describe(.0))]
    Connection(#[from] io::Error),
    /// TLS failed.
    #[error("tls: {0}")]
    Tls(#[from] rustls::Error),
    /// TLS cannot ask for this host.
    #[error("tls: {0}")]
    ServerName(#[from] rustls::pki_types::InvalidDnsNameError),
    /// The request cannot be sent over HTTP/2.
    #[error("http2: {}", innermost(.0))]
    Http2Request(#[from] tonic::codegen::http::Error),
    /// HTTP/2 failed.
    #[error("http2: {}", innermost(.0))]
    Http2(#[from] h2::Error),
}
