//! What a proxy removes from a message, and what it adds.
//!
//! Sources: RFC 9110, section 7.6 (fields for one connection only); RFC 9113, section 8.2 (what HTTP/2 forbids);
//! ingress-nginx for the names of the fields that tell about the client.

use std::net::IpAddr;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE,
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-scheme");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The fields that tell about the client: what a client writes there itself is removed.
const ABOUT_CLIENT: [HeaderName; 7] =
    [FORWARDED, FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PORT, FORWARDED_PROTO, FORWARDED_SCHEME, REAL_IP];

/// Who sent a request, and how.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// The client's address.
    pub address: IpAddr,
    /// Whether the connection has TLS.
    pub is_secure: bool,
    /// The port on which the proxy received it.
    pub port: u16,
    /// The host that the request names, with its port if it names one.
    pub authority: &'a str,
    /// Whether the client is a proxy whose fields about clients are believed.
    pub is_trusted: bool,
}

/// Returns the protocol that a message asks to switch to (RFC 9110, section 7.8).
pub fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(UPGRADE).filter(|_| asks).cloned()
}

/// Removes the fields that are for one connection only: the known ones, and those that `Connection` names. `TE:
/// trailers` stays, because gRPC needs it.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages name no fields here.
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|token| HeaderName::from_bytes(token.trim().as_bytes()).ok())
            // What says where a request goes and where it ends is not for one connection only.
            .filter(|name| *name != HOST && *name != CONTENT_LENGTH && *name != TE)
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    if let Some(te) = headers.remove(TE) {
        let trailers = te
            .to_str()
            .is_ok_and(|te| te.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers")));
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
}

/// Changes the fields of a client's request to those that an endpoint gets.
pub fn prepare_request(headers: &mut HeaderMap, client: &Client<'_>) {
    // A request with both is read by its chunks (RFC 9112, section 6.3); an endpoint must not read it in another way.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers);
    // The proxy itself answers `100-continue`, once it begins to read the body.
    headers.remove(EXPECT);
    let mut chain: Vec<String> = Vec::new();
    if client.is_trusted {
        let given = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        chain.extend(given.filter(|value| !value.is_empty()).map(str::to_owned));
    } else {
        for name in ABOUT_CLIENT {
            headers.remove(name);
        }
    }
    remove_look_alikes(headers);
    let address = client.address.to_canonical().to_string();
    chain.push(address.clone());
    set(headers, FORWARDED_FOR, &chain.join(", "));
    let scheme = HeaderValue::from_static(if client.is_secure { "https" } else { "http" });
    headers.entry(FORWARDED_SCHEME).or_insert_with(|| scheme.clone());
    headers.entry(FORWARDED_PROTO).or_insert(scheme);
    if !headers.contains_key(FORWARDED_HOST) {
        set(headers, FORWARDED_HOST, client.authority);
    }
    if !headers.contains_key(FORWARDED_PORT) {
        headers.insert(FORWARDED_PORT, HeaderValue::from(client.port));
    }
    if !headers.contains_key(REAL_IP) {
        set(headers, REAL_IP, &address);
    }
}

/// Removes fields that an application may take for those about the client, because CGI and WSGI make the same variable
/// of `-` and `_`.
fn remove_look_alikes(headers: &mut HeaderMap) {
    let is_look_alike = |name: &&HeaderName| {
        let name = name.as_str();
        name.contains('_') && ABOUT_CLIENT.iter().any(|known| known.as_str() == name.replace('_', "-"))
    };
    let found: Vec<HeaderName> = headers.keys().filter(is_look_alike).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(_) => drop(headers.remove(name)),
    }
}

/// Returns whether a request came to the first proxy with TLS.
pub fn is_secure(headers: &HeaderMap, client: &Client<'_>) -> bool {
    match headers.get(FORWARDED_PROTO).filter(|_| client.is_trusted) {
        Some(scheme) => scheme.as_bytes().eq_ignore_ascii_case(b"https"),
        None => client.is_secure,
    }
}

/// Makes one field of several `Cookie` fields, into which HTTP/2 may split them (RFC 9113, section 8.2.3). HTTP/1 has
/// one.
pub fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(name, value);
        }
        map
    }

    fn client() -> Client<'static> {
        Client {
            address: "10.0.0.9".parse().unwrap(),
            is_secure: true,
            port: 443,
            authority: "web.example",
            is_trusted: false,
        }
    }

    fn prepared(fields: &[(&'static str, &'static str)], client: &Client<'_>) -> HeaderMap {
        let mut headers = map(fields);
        prepare_request(&mut headers, client);
        headers
    }

    #[test]
    fn fields_for_one_connection_are_removed() {
        let mut headers = map(&[
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip, trailers"),
            ("accept", "*/*"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("te", "trailers"), ("accept", "*/*")]));
    }

    #[test]
    fn connection_cannot_name_what_says_where_a_request_goes() {
        let mut headers =
            map(&[("connection", "host, content-length"), ("host", "a"), ("content-length", "3")]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("host", "a"), ("content-length", "3")]));
    }

    #[test]
    fn endpoints_learn_about_the_client() {
        let headers = prepared(&[("host", "web.example")], &client());
        let get = |name: &str| headers[name].to_str().unwrap();
        assert_eq!(get("x-forwarded-for"), "10.0.0.9");
        assert_eq!(get("x-real-ip"), "10.0.0.9");
        assert_eq!(get("x-forwarded-proto"), "https");
        assert_eq!(get("x-forwarded-host"), "web.example");
        assert_eq!(get("x-forwarded-port"), "443");
    }

    #[test]
    fn what_a_client_says_about_itself_is_not_believed() {
        let said = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-real-ip", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
            ("forwarded", "for=1.1.1.1"),
            ("x_forwarded_for", "1.1.1.1"),
            ("x-real_ip", "1.1.1.1"),
        ];
        let headers = prepared(&said, &Client { is_secure: false, ..client() });
        assert_eq!(headers["x-forwarded-for"], "10.0.0.9");
        assert_eq!(headers["x-real-ip"], "10.0.0.9");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "web.example");
        for gone in ["forwarded", "x_forwarded_for", "x-real_ip"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn a_connection_field_cannot_remove_what_the_proxy_says() {
        let headers = prepared(&[("connection", "x-forwarded-for")], &client());
        assert_eq!(headers["x-forwarded-for"], "10.0.0.9");
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_added_to_the_chain() {
        let trusted = Client { is_trusted: true, is_secure: false, ..client() };
        let said = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "1.1.1.1"),
        ];
        let headers = prepared(&said, &trusted);
        assert_eq!(headers["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 10.0.0.9");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-real-ip"], "1.1.1.1");
        assert!(is_secure(&map(&said), &trusted));
        assert!(!is_secure(&map(&said), &Client { is_secure: false, ..client() }));
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_socket_has_its_ipv4_address() {
        let client = Client { address: "::ffff:10.0.0.9".parse().unwrap(), ..client() };
        assert_eq!(prepared(&[], &client)["x-forwarded-for"], "10.0.0.9");
    }

    #[test]
    fn a_length_beside_chunks_does_not_reach_an_endpoint() {
        let headers = prepared(&[("transfer-encoding", "chunked"), ("content-length", "3")], &client());
        assert!(!headers.contains_key("content-length") && !headers.contains_key("transfer-encoding"));
    }

    #[test]
    fn an_upgrade_needs_both_fields() {
        assert_eq!(
            upgrade(&map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")])).unwrap(),
            "websocket"
        );
        assert!(upgrade(&map(&[("upgrade", "websocket")])).is_none());
        assert!(upgrade(&map(&[("connection", "upgrade")])).is_none());
    }

    #[test]
    fn cookies_that_http2_split_are_one_field_again() {
        let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2"), ("accept", "*/*")]);
        join_cookies(&mut headers);
        assert_eq!(headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
