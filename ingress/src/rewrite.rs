//! What the annotations of the nginx class do with a request: another path, a redirect, a limit of its body.
//!
//! Source: the documentation of ingress-nginx ("Rewrite Targets", "Annotations").

use std::borrow::Cow;
use std::fmt::Write as _;

use regex::Captures;

use crate::routes::Route;

/// A path that leads above the root.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path leads above the root")]
pub struct AboveRoot;

/// Returns the path that is compared with rules: percent-escapes are decoded, `//` is one slash, `.` and `..` are
/// resolved (RFC 3986, sections 5.2.4 and 6.2.2). Without this, `/a/../admin` would take the route of `/a` and arrive as
/// a request for `/admin`. What is sent to endpoints is the path as the client wrote it.
///
/// # Errors
/// `..` leads above the root.
pub fn normalize(path: &str) -> Result<Cow<'_, str>, AboveRoot> {
    let is_plain = !path.contains('%') && !path.contains("//") && !path.contains("/.");
    if is_plain {
        return Ok(Cow::Borrowed(if path.is_empty() { "/" } else { path }));
    }
    let decoded = decode(path);
    let mut elements: Vec<&str> = Vec::new();
    let mut ends_with_slash = false;
    for element in decoded.split('/') {
        ends_with_slash = matches!(element, "" | "." | "..");
        match element {
            "" | "." => {}
            ".." => drop(elements.pop().ok_or(AboveRoot)?),
            element => elements.push(element),
        }
    }
    let mut out = String::with_capacity(decoded.len());
    for element in &elements {
        out.push('/');
        out.push_str(element);
    }
    if ends_with_slash {
        out.push('/');
    }
    Ok(Cow::Owned(out))
}

/// Decodes percent-escapes. What is no escape stays, and bytes that are not UTF-8 become U+FFFD.
fn decode(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            out.push(u8::try_from(high * 16 + low).unwrap_or(first));
            rest = after.get(2..).unwrap_or_default();
        } else {
            out.push(first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Returns the path with everything escaped that may not be in one (RFC 3986, section 3.3).
pub fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b','
            | b';' | b'=' | b':' | b'@' | b'/' => out.push(char::from(byte)),
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// Returns `template` with `$1` replaced by what the first parentheses took, and so on. `$` before anything but a digit
/// stays.
pub fn expand(template: &str, captures: &Captures<'_>) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let number = after.chars().next().and_then(|c| c.to_digit(10));
        match number {
            // nginx has nine of them.
            Some(number) => {
                let group = captures.get(number as usize).map_or("", |group| group.as_str());
                out.push_str(group);
                rest = after.get(1..).unwrap_or_default();
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Returns path and query to send for a rewritten path. The template of a rewrite may bring a query of its own.
pub fn path_and_query(rewritten: &str, query: Option<&str>) -> String {
    let (path, own) = match rewritten.split_once('?') {
        Some((path, own)) => (path, Some(own)),
        None => (rewritten, None),
    };
    let mut out = if path.starts_with('/') { String::new() } else { "/".to_owned() };
    out.push_str(&encode(path));
    let mut separator = '?';
    for part in own.into_iter().chain(query).filter(|part| !part.is_empty()) {
        out.push(separator);
        // The query of a client has no other bytes, as the parser of requests has checked. A template may have captured any.
        for byte in part.bytes() {
            match byte {
                b'!' | b'$'..=b';' | b'=' | b'?'..=b'~' => out.push(char::from(byte)),
                _ => drop(write!(out, "%{byte:02X}")),
            }
        }
        separator = '&';
    }
    out
}

/// What a redirect depends on.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Whether the client, or the proxy before this one, used TLS.
    pub is_secure: bool,
    /// The host without port.
    pub host: &'a str,
    /// The path that was compared with rules.
    pub path: &'a str,
    /// Path and query as the client wrote them.
    pub path_and_query: &'a str,
    /// Whether the host is served with TLS.
    pub host_has_tls: bool,
    /// The port of TLS, if the proxy serves TLS.
    pub https_port: Option<u16>,
}

/// A redirect: status and `Location`.
#[derive(Debug, PartialEq, Eq)]
pub struct Redirection {
    /// The status.
    pub status: u16,
    /// The value of the header `Location`.
    pub location: String,
}

/// Returns the redirect that a route asks for.
pub fn redirect(route: &Route, request: &Request<'_>) -> Option<Redirection> {
    if let Some(redirect) = &route.redirect {
        return Some(Redirection { status: redirect.status, location: redirect.to.clone() });
    }
    let wants_tls = route.force_ssl_redirect || (route.ssl_redirect && request.host_has_tls);
    if let Some(port) =
        request.https_port.filter(|_| wants_tls && !request.is_secure && !request.host.is_empty())
    {
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        let location = format!("https://{}{port}{}", request.host, request.path_and_query);
        return Some(Redirection { status: 308, location });
    }
    match &route.app_root {
        Some(root) if request.path == "/" => Some(Redirection { status: 302, location: root.clone() }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
