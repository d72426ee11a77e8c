//! Selects the proxy of a request from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, with the rules of Go's
//! httpproxy, which podman and docker use. Pure.

use std::net::IpAddr;

use reqwest::Url;

/// The proxy settings of this user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    except: Vec<Exception>,
}

/// An entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    /// `*`: no request uses a proxy.
    Everything,
    /// An address, or a network: `10.0.0.0/8`.
    Network { address: IpAddr, bits: u32, port: Option<u16> },
    /// A domain: `example.org` includes itself and its subdomains; `*.example.org` only the subdomains.
    Domain { name: String, itself: bool, port: Option<u16> },
}

impl Proxies {
    /// Reads the variables, in upper or lower case.
    pub(super) fn from_env(env: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| {
            [name.to_owned(), name.to_lowercase()].iter().find_map(|name| env(name).filter(|v| !v.is_empty()))
        };
        let all = get("ALL_PROXY");
        let proxy = |name: &str| get(name).or_else(|| all.clone()).and_then(|text| proxy(&text));
        // In a CGI program HTTP_PROXY is the `Proxy:` header that the client sent (CVE-2016-5385).
        let http = if env("REQUEST_METHOD").is_some() { None } else { proxy("HTTP_PROXY") };
        let except = get("NO_PROXY").unwrap_or_default();
        Self {
            http,
            https: proxy("HTTPS_PROXY"),
            except: except.split(|c: char| c == ',' || c.is_whitespace()).filter_map(exception).collect(),
        }
    }

    /// Returns the proxy for a URL; `None` means a direct connection, as always for this machine itself.
    pub(super) fn of(&self, url: &Url) -> Option<Url> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        let host = url.host_str()?.trim_end_matches('.').to_lowercase();
        let port = url.port_or_known_default();
        let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let direct = host == "localhost"
            || address.is_some_and(|address| address.is_loopback())
            || self.except.iter().any(|exception| exception.covers(&host, address, port));
        if direct { None } else { proxy.clone() }
    }
}

/// Parses a proxy's address; `proxy:3128` means `http://proxy:3128`.
fn proxy(text: &str) -> Option<Url> {
    let text = text.trim();
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    Url::parse(&text).ok().filter(|url| url.has_host())
}

fn exception(text: &str) -> Option<Exception> {
    if text.is_empty() {
        return None;
    }
    if text == "*" {
        return Some(Exception::Everything);
    }
    if let Some((address, bits)) = text.split_once('/') {
        let (address, bits) = (address.parse().ok()?, bits.parse().ok()?);
        return (bits <= width(address)).then_some(Exception::Network { address, bits, port: None });
    }
    let (host, port) = split_port(text);
    if let Ok(address) = host.parse() {
        return Some(Exception::Network { address, bits: width(address), port });
    }
    let host = host.trim_end_matches('.').to_lowercase();
    let (name, itself) = match (host.strip_prefix("*."), host.strip_prefix('.')) {
        (Some(name), _) => (name, false),
        // curl and wget match the domain itself too, Go does not. A request without a proxy is the smaller surprise.
        (None, Some(name)) => (name, true),
        (None, None) => (host.as_str(), true),
    };
    (!name.is_empty()).then(|| Exception::Domain { name: name.to_owned(), itself, port })
}

/// Splits `host:port`; the port of an IPv6 address follows its brackets.
fn split_port(text: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (text, None),
        },
        _ => (text, None),
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        // In the upper bits, so that both families are shifted in the same way.
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    }
}

impl Exception {
    fn covers(&self, host: &str, address: Option<IpAddr>, port: Option<u16>) -> bool {
        match self {
            Self::Everything => true,
            Self::Network { address: network, bits, port: only } => {
                let same = |address: IpAddr| {
                    address.is_ipv4() == network.is_ipv4()
                        && (bits_of(address) ^ bits_of(*network)).leading_zeros() >= *bits
                };
                address.is_some_and(same) && only.is_none_or(|only| Some(only) == port)
            }
            Self::Domain { name, itself, port: only } => {
                let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                (below || *itself && host == name) && only.is_none_or(|only| Some(only) == port)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::from_env(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    fn is_direct(no_proxy: &str, url: &str) -> bool {
        let proxies =
            proxies(&[("HTTPS_PROXY", "http://p:1"), ("HTTP_PROXY", "p:2"), ("NO_PROXY", no_proxy)]);
        proxies.of(&Url::parse(url).unwrap()).is_none()
    }

    #[test]
    fn no_proxy_takes_domains_ports_wildcards_addresses_and_networks() {
        for (no_proxy, url, direct) in [
            ("", "https://r.io/", false),
            ("*", "https://r.io/", true),
            ("r.io", "https://r.io/", true),
            ("r.io", "https://a.r.io/", true),
            ("r.io", "https://xr.io/", false),
            ("R.io.", "https://r.IO/", true),
            (".r.io", "https://r.io/", true),
            (".r.io", "https://a.b.r.io/", true),
            ("*.r.io", "https://a.r.io/", true),
            ("*.r.io", "https://a.b.r.io/", true),
            ("*.r.io", "https://r.io/", false),
            ("*.r.io", "https://xr.io/", false),
            ("r.io:5000", "https://r.io:5000/", true),
            ("r.io:5000", "https://a.r.io:5000/", true),
            ("r.io:5000", "https://r.io/", false),
            ("r.io:443", "https://r.io/", true),
            ("*.r.io:5000", "https://a.r.io:5000/", true),
            ("*.r.io:5000", "https://a.r.io:5001/", false),
            ("other, r.io", "https://r.io/", true),
            ("other r.io", "https://r.io/", true),
            ("10.1.2.3", "https://10.1.2.3:5000/", true),
            ("10.1.2.3:5000", "https://10.1.2.3:5000/", true),
            ("10.1.2.3:5000", "https://10.1.2.3/", false),
            ("10.0.0.0/8", "https://10.1.2.3/", true),
            ("10.0.0.0/8", "https://11.1.2.3/", false),
            ("0.0.0.0/0", "https://11.1.2.3/", true),
            ("0.0.0.0/0", "https://[fd00::1]/", false),
            ("10.0.0.0/33", "https://10.0.0.0/", false),
            ("fd00::/8", "https://[fd00::1]:5000/", true),
            ("[fd00::1]:5000", "https://[fd00::1]:5000/", true),
            ("[fd00::1]:5000", "https://[fd00::1]:1/", false),
            ("fd00::1", "https://[fd00::1]:1/", true),
            ("", "https://localhost/", true),
            ("", "http://127.9.9.9:5000/", true),
            ("", "https://[::1]/", true),
            (",,", "https://r.io/", false),
        ] {
            assert_eq!(is_direct(no_proxy, url), direct, "NO_PROXY={no_proxy} {url}");
        }
    }

    #[test]
    fn the_scheme_chooses_the_proxy_and_all_proxy_stands_in() {
        let of = |variables: &[(&str, &str)], url: &str| {
            proxies(variables).of(&Url::parse(url).unwrap()).map(|url| url.to_string())
        };
        let both = [("HTTPS_PROXY", "http://u:p@secure:1"), ("http_proxy", "plain:2")];
        assert_eq!(of(&both, "https://r.io/").as_deref(), Some("http://u:p@secure:1/"));
        assert_eq!(of(&both, "http://r.io/").as_deref(), Some("http://plain:2/"));
        assert_eq!(of(&[("all_proxy", "all:3")], "https://r.io/").as_deref(), Some("http://all:3/"));
        assert_eq!(of(&[("HTTPS_PROXY", "")], "https://r.io/"), None);
        let cgi = [("HTTP_PROXY", "evil:1"), ("REQUEST_METHOD", "GET")];
        assert_eq!(of(&cgi, "http://r.io/"), None);
    }
}
