//! Decides which hosts receive which credential when a registry redirects. Pure.
//!
//! An answer counts as the registry's own only if no redirect on the way to it left the registry's origin (scheme, host
//! and port). Otherwise any host that a blob is redirected to could ask for the password with a challenge of its own
//! (CVE-2020-15157). The table in docs/guide.md ("Who sees which credential") describes the same rules.

use reqwest::Url;

/// Maximum number of redirects that are followed for one request.
const MAX_REDIRECTS: usize = 10;

/// Which of the user's secrets a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Secret {
    /// Nothing.
    None,
    /// An `Authorization` header: a password (Basic) or a token (Bearer).
    Authorization,
    /// An identity token in the body. It is as powerful as the password and does not expire soon.
    IdentityToken,
}

/// Why a redirect is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// More than [`MAX_REDIRECTS`] redirects.
    #[error("it redirects more than {MAX_REDIRECTS} times")]
    TooMany,
    /// From HTTPS to another scheme.
    #[error("it redirects from HTTPS to {0}, which is not encrypted: refused")]
    Insecure(String),
    /// The request has an identity token in its body.
    #[error(
        "it redirects a request with an identity token to {0}: refused, the token is sent to no other address"
    )]
    IdentityToken(String),
    /// No `Location`, or one that is not an HTTP URL.
    #[error("it redirects to nowhere")]
    Nowhere,
}

/// The next address of a request and how to treat it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    /// The address, without user name and password.
    pub url: Url,
    /// Whether all addresses so far have the same origin: then the `Authorization` header is sent, and a challenge
    /// counts.
    pub own: bool,
}

/// Decides whether to follow a redirect to `location`. `path` has the addresses that the request was sent to; the last
/// one answered.
pub(super) fn follow(path: &[Url], location: &str, secret: Secret) -> Result<Hop, Refusal> {
    let (Some(first), Some(last)) = (path.first(), path.last()) else { return Err(Refusal::Nowhere) };
    let mut url = last.join(location).map_err(|_| Refusal::Nowhere)?;
    if path.len() > MAX_REDIRECTS {
        return Err(Refusal::TooMany);
    }
    if secret == Secret::IdentityToken {
        return Err(Refusal::IdentityToken(host(&url)));
    }
    match url.scheme() {
        "https" => {}
        "http" if path.iter().all(|url| url.scheme() == "http") => {}
        "http" => return Err(Refusal::Insecure(host(&url))),
        _ => return Err(Refusal::Nowhere),
    }
    without_login(&mut url);
    let own = path.iter().chain([&url]).all(|url| url.origin() == first.origin());
    Ok(Hop { url, own })
}

/// Removes user name and password from an address that a registry sent, because they are not the user's login.
pub(super) fn without_login(url: &mut Url) {
    // Both calls fail only for addresses that cannot have them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

/// Returns `host[:port]` of an address for a message, without path and query, which may contain a signature.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(path: &[&str]) -> Vec<Url> {
        path.iter().map(|url| Url::parse(url).unwrap()).collect()
    }

    fn own(path: &[&str], location: &str) -> Result<bool, Refusal> {
        follow(&urls(path), location, Secret::Authorization).map(|hop| hop.own)
    }

    #[test]
    fn credentials_stay_with_the_origin_that_asked_for_them() {
        let registry = "https://r.io/v2/a/blobs/x";
        for (path, location, expected) in [
            (vec![registry], "/v2/b", true),
            (vec![registry], "https://r.io:443/v2/b", true),
            (vec![registry], "https://R.IO/v2/b", true),
            (vec![registry], "//cdn.io/b", false),
            // Another port, a subdomain, the parent domain and a host with the same beginning are different hosts.
            (vec![registry], "https://r.io:8443/b", false),
            (vec![registry], "https://cdn.r.io/b", false),
            (vec![registry], "https://r.io.evil.io/b", false),
            (vec!["https://cdn.r.io/b"], "https://r.io/b", false),
            // A request that left the registry's origin does not become its own by returning to it.
            (vec![registry, "https://cdn.io/b"], registry, false),
            (vec![registry, "https://cdn.io/b"], "/c", false),
            (vec![registry, "https://r.io/b"], "/c", true),
            // A registry on this machine, without TLS.
            (vec!["http://localhost:5000/v2/a"], "http://localhost:5000/b", true),
            (vec!["http://localhost:5000/v2/a"], "https://localhost:5000/b", false),
            (vec!["http://localhost:5000/v2/a"], "http://127.0.0.1:5000/b", false),
        ] {
            assert_eq!(own(&path, location), Ok(expected), "{path:?} -> {location}");
        }
    }

    #[test]
    fn https_is_never_left_whatever_the_way() {
        for (path, location) in [
            (vec!["https://r.io/a"], "http://r.io/a"),
            (vec!["https://r.io/a"], "http://127.0.0.1/a"),
            (vec!["http://localhost:5000/a", "https://cdn.io/a"], "http://cdn.io/a"),
            (vec!["https://r.io/a", "https://cdn.io/a"], "http://cdn.io/a"),
        ] {
            assert!(matches!(own(&path, location), Err(Refusal::Insecure(_))), "{path:?} -> {location}");
        }
        for location in ["ftp://r.io/a", "file:///etc/passwd", "data:,x", "http://["] {
            assert_eq!(own(&["https://r.io/a"], location), Err(Refusal::Nowhere), "{location}");
        }
    }

    #[test]
    fn an_identity_token_is_sent_to_one_address_only() {
        for location in ["/token2", "https://auth.io/token", "https://evil.io/token"] {
            let refused = follow(&urls(&["https://auth.io/token"]), location, Secret::IdentityToken);
            assert!(matches!(refused, Err(Refusal::IdentityToken(_))), "{location}");
        }
    }

    #[test]
    fn redirects_end_and_bring_no_login_of_their_own() {
        let mut path = urls(&["https://r.io/0"]);
        while let Ok(hop) = follow(&path, "/next", Secret::None) {
            path.push(hop.url);
            assert!(path.len() < 100);
        }
        assert_eq!(path.len(), MAX_REDIRECTS + 1);
        let hop = follow(&urls(&["https://r.io/0"]), "https://user:pass@r.io/1?s=x", Secret::None).unwrap();
        assert_eq!(hop.url.as_str(), "https://r.io/1?s=x");
    }
}
