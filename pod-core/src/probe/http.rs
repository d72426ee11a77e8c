//! One HTTP/1.1 request of a probe and what its answer means, without a connection: bytes out, bytes in.

use std::fmt::Write;
use std::net::SocketAddr;

use url::Url;

use super::address::Target;
use super::error::Error;
use super::{HOOK_USER_AGENT, MAX_REDIRECTS, USER_AGENT};
use crate::lifecycle::ProbeResult;

/// How much of a body is read (the kubelet's maxRespBodyLength).
pub const MAX_BODY: usize = 10 * 1024;
/// How long the head of an answer may be.
const MAX_HEAD: usize = 64 * 1024;
/// How many headers an answer may have.
const MAX_HEADERS: usize = 100;

/// The scheme of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// TLS, whose certificate is not verified.
    Https,
}

/// A GET request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its scheme.
    pub scheme: Scheme,
    /// Where it goes.
    pub target: Target,
    /// Path and query.
    path: String,
    headers: Vec<(String, String)>,
    /// How many redirects led to it.
    redirects: u32,
    /// Whether it is sent over HTTP/2 in the clear, without an upgrade from HTTP/1.1.
    pub is_http2: bool,
    /// Whether it is made for a hook, to which every answer is a success, as it is to the kubelet.
    is_of_hook: bool,
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The result of the probe.
    Result(ProbeResult),
    /// Another request is to be made.
    Follow(Box<Request>),
}

impl Request {
    /// Creates a request. A `path` without a leading slash gets one.
    pub fn new(scheme: Scheme, target: Target, path: &str, headers: Vec<(String, String)>) -> Self {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let path = path.split('#').next().unwrap_or_default();
        let path = format!("{slash}{}", encoded(path));
        Self { scheme, target, path, headers, redirects: 0, is_http2: false, is_of_hook: false }
    }

    /// Returns the same request, made for a hook.
    #[must_use]
    pub fn of_hook(self) -> Self {
        Self { is_of_hook: true, ..self }
    }

    /// Returns the same request over HTTP/2.
    #[must_use]
    pub fn over_http2(self) -> Self {
        Self { is_http2: true, ..self }
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        format!("{scheme}://{}{}", self.target.authority(), self.path)
    }

    /// Returns where a request over HTTP/1.1 in the clear goes; `None` if it needs HTTP/2, TLS, or the address of a name.
    pub fn plain_address(&self) -> Option<SocketAddr> {
        self.target.address().filter(|_| self.scheme == Scheme::Http && !self.is_http2)
    }

    /// Returns the last given value of a header.
    fn given(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().rev();
        all.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns path and query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the Host header, which HTTP/2 calls `:authority`.
    pub fn host(&self) -> String {
        self.given("Host").map_or_else(|| self.target.authority(), str::to_owned)
    }

    /// Returns the headers in addition to Host.
    ///
    /// # Errors
    /// A header that cannot be sent.
    pub fn headers(&self) -> Result<Vec<(&str, &str)>, Error> {
        let agent = if self.is_of_hook { HOOK_USER_AGENT } else { USER_AGENT };
        let defaults = [("User-Agent", agent), ("Accept", "*/*")];
        let mut headers: Vec<_> =
            defaults.into_iter().filter(|(name, _)| self.given(name).is_none()).collect();
        headers.extend(self.headers.iter().filter_map(|(name, value)| {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            // One of the defaults that is given and empty is left out.
            let is_left_out = value.is_empty() && defaults.iter().any(|(default, _)| is(default));
            (!is("Host") && !is("Connection") && !is_left_out).then(|| (name.as_str(), value.trim()))
        }));
        headers.into_iter().map(checked).collect()
    }

    /// Returns what is sent over HTTP/1.1.
    ///
    /// # Errors
    /// A header that cannot be sent.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        let mut text = format!("GET {} HTTP/1.1\r\n", self.path);
        let host = self.host();
        let host = checked(("Host", host.trim()))?;
        let all = std::iter::once(host).chain(self.headers()?).chain([("Connection", "close")]);
        for (name, value) in all {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("\r\n");
        Ok(text.into_bytes())
    }

    /// Returns a failure of this request with its reason, as Go's client writes it.
    pub fn failure(&self, reason: impl std::fmt::Display) -> ProbeResult {
        ProbeResult::Failure(format!("Get {:?}: {reason}", self.url()))
    }

    /// Returns the failure of a request that took too long.
    pub fn timed_out(&self) -> ProbeResult {
        self.failure("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
    }

    /// Returns the request that a redirect to `location` asks for; `None` if it leads to another host.
    fn redirected(&self, location: &str) -> Result<Option<Self>, Error> {
        let url = Url::parse(&self.url()).and_then(|base| base.join(location));
        let url = url.map_err(|source| Error::Location { location: location.to_owned(), source })?;
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(Error::Scheme(other.to_owned())),
        };
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if !host.eq_ignore_ascii_case(&self.target.host) {
            return Ok(None);
        }
        let port = url.port_or_known_default().unwrap_or(self.target.port);
        let mut headers = self.headers.clone();
        // An address that is given in full says by itself what host it means.
        if Url::parse(location).is_ok() {
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case("Host"));
        }
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Some(Self {
            scheme,
            target: Target { port, ..self.target.clone() },
            path: format!("{}{query}", url.path()),
            headers,
            redirects: self.redirects + 1,
            is_http2: self.is_http2,
            is_of_hook: self.is_of_hook,
        }))
    }
}

/// Returns a header that cannot begin another line.
fn checked<'a>(header: (&'a str, &'a str)) -> Result<(&'a str, &'a str), Error> {
    let (name, value) = header;
    if name.is_empty() || name.contains(|c: char| !is_token(c)) {
        return Err(Error::HeaderName(name.to_owned()));
    }
    if value.contains(|c: char| c.is_control() && c != '\t') {
        return Err(Error::HeaderValue(name.to_owned()));
    }
    Ok(header)
}

/// Whether a header's name may contain a character (RFC 9110, token).
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// Encodes what a request line cannot contain.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'}')
        {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The head of an answer.
#[derive(Debug)]
struct Head {
    status: u16,
    location: Option<String>,
    /// Where the body begins in what was received.
    body: usize,
    /// How long the body is, if the head says so.
    length: Option<usize>,
    is_chunked: bool,
}

/// An answer while it is received.
#[derive(Debug, Default)]
pub struct Answer {
    received: Vec<u8>,
    head: Option<Head>,
    malformed: Option<Error>,
}

impl Answer {
    /// Creates a complete answer of another version of HTTP. `location` is its Location header.
    pub fn of_parts(status: u16, location: Option<String>, body: Vec<u8>) -> Self {
        let head = Head { status, location, body: 0, length: Some(body.len()), is_chunked: false };
        Self { received: body, head: Some(head), malformed: None }
    }

    /// Adds received bytes. Returns true once the answer is complete.
    pub fn receive(&mut self, bytes: &[u8]) -> bool {
        let room = (MAX_HEAD + MAX_BODY).saturating_sub(self.received.len());
        self.received.extend(bytes.iter().take(room));
        // The head ends with a line. Parsing after each byte would take quadratic time.
        if self.head.is_none() && self.malformed.is_none() && bytes.contains(&b'\n') {
            match parse(&self.received) {
                Ok(head) => self.head = head,
                Err(reason) => self.malformed = Some(reason),
            }
        }
        if self.malformed.is_some() {
            return true;
        }
        let Some(head) = &self.head else {
            if self.received.len() >= MAX_HEAD {
                self.malformed = Some(Error::HeadTooLong);
            }
            return self.malformed.is_some();
        };
        let body = self.received.len().saturating_sub(head.body);
        let has_no_body = matches!(head.status, 204 | 304);
        has_no_body
            || body >= MAX_BODY
            || head.length.is_some_and(|length| body >= length)
            || head.is_chunked && self.received.ends_with(b"0\r\n\r\n")
    }

    /// Returns what follows from the answer, which is complete or whose connection has ended.
    pub fn verdict(&self, request: &Request) -> Verdict {
        if let Some(reason) = &self.malformed {
            return Verdict::Result(request.failure(reason));
        }
        let Some(head) = &self.head else {
            let reason = if self.received.is_empty() { Error::NoAnswer } else { Error::CutOff };
            return Verdict::Result(request.failure(reason));
        };
        if !(200..400).contains(&head.status) {
            if request.is_of_hook {
                return Verdict::Result(ProbeResult::Success);
            }
            let message = format!("HTTP probe failed with statuscode: {}", head.status);
            return Verdict::Result(ProbeResult::Failure(message));
        }
        if head.status < 300 {
            return Verdict::Result(ProbeResult::Success);
        }
        let location = head.location.as_deref().filter(|_| matches!(head.status, 301..=303 | 307 | 308));
        match location.map(|location| request.redirected(location)) {
            Some(Ok(Some(next))) if next.redirects >= MAX_REDIRECTS => {
                Verdict::Result(next.failure(Error::Redirects))
            }
            Some(Ok(Some(next))) => Verdict::Follow(Box::new(next)),
            Some(Err(reason)) => Verdict::Result(request.failure(reason)),
            Some(Ok(None)) | None => {
                let body = self.received.get(head.body..).unwrap_or_default();
                let body = String::from_utf8_lossy(body);
                let text = format!("Probe terminated redirects, Response body: {}", body.trim());
                Verdict::Result(ProbeResult::Warning(text))
            }
        }
    }
}

/// Reads the head of an answer; `None` if it is not complete yet.
fn parse(received: &[u8]) -> Result<Option<Head>, Error> {
    let mut start = 0;
    loop {
        let rest = received.get(start..).unwrap_or_default();
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(rest) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => {
                let line: Vec<u8> = rest.iter().copied().take_while(|byte| *byte != b'\n').take(80).collect();
                let line = String::from_utf8_lossy(&line);
                return Err(Error::Malformed(line.trim_end().to_owned()));
            }
        };
        start += length;
        let status = response.code.unwrap_or(0);
        // Such as `100 Continue`: the answer itself comes behind.
        if (100..200).contains(&status) {
            continue;
        }
        let header = |name: &str| {
            let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
        };
        return Ok(Some(Head {
            status,
            location: header("Location").filter(|location| !location.is_empty()),
            body: start,
            length: header("Content-Length").and_then(|length| length.parse().ok()),
            is_chunked: header("Transfer-Encoding")
                .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")),
        }));
    }
}

#[cfg(test)]
mod tests;
