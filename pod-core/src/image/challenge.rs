//! Parses the `WWW-Authenticate` header (RFC 9110, 11.6.1), by which a registry asks for credentials. Pure.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// How a registry wants its callers to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// Returns the first challenge that can be answered; Bearer takes precedence over Basic (RFC 9110, 11.6.1).
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let text = value.to_str().unwrap_or_default();
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer") {
            let parameters = parameters(rest);
            let get = |name: &str| {
                parameters.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone())
            };
            if let Some(realm) = get("realm") {
                found.insert(0, Challenge::Bearer { realm, service: get("service"), scope: get("scope") });
            }
        }
    }
    found.into_iter().next()
}

/// Splits `key="value", key=value`; commas may occur inside quotes.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches([',', ' ']);
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut value = String::new();
                let mut characters = quoted.chars();
                while let Some(c) = characters.next() {
                    match c {
                        '"' => break,
                        '\\' => value.extend(characters.next()),
                        c => value.push(c),
                    }
                }
                (value, characters.as_str())
            }
            None => {
                let (value, after) = after.split_once(',').unwrap_or((after, ""));
                (value.trim().to_owned(), after)
            }
        };
        found.push((key.trim().to_owned(), value));
        rest = after.trim_start_matches([',', ' ']);
    }
    found
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn challenged(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        challenge(&headers)
    }

    #[test]
    fn challenges_are_read_whatever_their_order_and_quoting() {
        let bearer = Challenge::Bearer {
            realm: "https://auth.io/token".into(),
            service: Some("reg".into()),
            scope: Some("repository:a:pull,push".into()),
        };
        let text = r#"Bearer realm="https://auth.io/token",service="reg",scope="repository:a:pull,push""#;
        assert_eq!(challenged(&[text]), Some(bearer.clone()));
        assert_eq!(challenged(&["Basic realm=x", text]), Some(bearer));
        assert_eq!(challenged(&["basic realm=\"x\""]), Some(Challenge::Basic));
        assert_eq!(
            challenged(&["bearer service=a , realm=https://b"]),
            Some(Challenge::Bearer { realm: "https://b".into(), service: Some("a".into()), scope: None })
        );
        assert_eq!(challenged(&["Negotiate", "Bearer x"]), None);
        assert_eq!(challenged(&[]), None);
    }
}
