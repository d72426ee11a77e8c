//! The formats of names and words in Kubernetes; each check says what is wrong.

use crate::kind::Kind;
use crate::manifest::shown;

/// Maximum length of the value of a label.
pub(crate) const MAX_LABEL_VALUE: usize = 63;
/// Maximum length of the name of most objects.
pub(crate) const MAX_NAME: usize = 253;
/// Maximum length of a Job's name, which becomes the label `batch.kubernetes.io/job-name` of its pods.
pub(crate) const MAX_JOB: usize = MAX_LABEL_VALUE;
/// Maximum length of a StatefulSet's name. With a dash and the ten characters of a revision it becomes the label
/// `controller-revision-hash` of its pods.
pub(crate) const MAX_STATEFUL_SET: usize = MAX_LABEL_VALUE - 11;
/// Maximum length of a Service's name, which is a DNS label.
pub(crate) const MAX_SERVICE: usize = 63;

/// Why a name is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    pub message: String,
    pub hint: Option<String>,
}

impl Invalid {
    fn new(given: &str, rule: &str) -> Self {
        Self { message: format!("{} is not valid: {rule}", shown(given)), hint: None }
    }
    fn suggest(mut self, better: String) -> Self {
        if !better.is_empty() {
            self.hint = Some(format!("for example {better}"));
        }
        self
    }
}

fn is_lower(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| is_lower(c) || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Converts text to lower-case letters, digits, `-` and the characters in `extra`.
fn lowered(text: &str, extra: &str, most: usize) -> String {
    let mapped: String = text
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if is_lower(c) || extra.contains(c) { c } else { '-' })
        .take(most)
        .collect();
    let trimmed = mapped.trim_matches(|c| c == '-' || c == '.');
    trimmed
        .split('.')
        .map(|part| part.trim_matches('-'))
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(".")
}

/// Checks a DNS label (RFC 1123): names of containers, volumes, hosts, namespaces.
pub(super) fn dns_label(text: &str) -> Result<(), Invalid> {
    if is_label(text) && text.len() <= 63 {
        return Ok(());
    }
    let rule = "at most 63 of a-z, 0-9 and -, beginning and ending with a letter or digit";
    Err(Invalid::new(text, rule).suggest(lowered(text, "", 63)))
}

/// Checks the name of an object of `kind`.
pub(super) fn of_kind(kind: Kind, text: &str) -> Result<(), Invalid> {
    let invalid = |rule: &str| Err(Invalid::new(text, rule));
    match kind {
        Kind::Service if !is_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) => invalid(
            "the name of a Service has a-z, 0-9 and -, begins with a letter and ends with a letter or digit",
        ),
        Kind::Service if text.len() > MAX_SERVICE => {
            invalid("the name of a Service has at most 63 characters")
        }
        Kind::StatefulSet if !is_label(text) || text.len() > MAX_STATEFUL_SET => invalid(
            "the name of a StatefulSet has at most 52 of a-z, 0-9 and -, for its pods are named after it",
        ),
        Kind::Job if text.len() > MAX_JOB => {
            invalid("the name of a Job has at most 63 characters, for it is a label of its pods")
        }
        _ => dns_subdomain(text),
    }
}

/// Checks a DNS subdomain (RFC 1123): names of most objects.
pub(super) fn dns_subdomain(text: &str) -> Result<(), Invalid> {
    if text.len() <= 253 && text.split('.').all(is_label) {
        return Ok(());
    }
    let rule = "at most 253 of a-z, 0-9, - and ., every part beginning and ending with a letter or digit";
    Err(Invalid::new(text, rule).suggest(lowered(text, ".", 253)))
}

fn is_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Checks the key of a label or an annotation: `[prefix/]name`.
pub(super) fn qualified(text: &str) -> Result<(), Invalid> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if let Some(prefix) = prefix
        && dns_subdomain(prefix).is_err()
    {
        return Err(Invalid::new(text, "what stands before the / must be a DNS name in lower case"));
    }
    if is_name(name) {
        return Ok(());
    }
    let rule = "at most 63 letters, digits, -, _ and ., beginning and ending with a letter or digit";
    Err(Invalid::new(text, rule))
}

/// Checks the value of a label.
pub(super) fn label_value(text: &str) -> Result<(), Invalid> {
    if text.is_empty() || is_name(text) {
        return Ok(());
    }
    let rule = "a label's value has at most 63 letters, digits, -, _ and ., and begins and ends with a letter or digit";
    let invalid = Invalid::new(text, rule);
    Err(if text.len() > 63 {
        Invalid { hint: Some("longer text belongs in an annotation".to_owned()), ..invalid }
    } else {
        invalid
    })
}

fn is_port(text: &str) -> bool {
    is_label(text)
        && text.len() <= 15
        && !text.contains("--")
        && text.contains(|c: char| c.is_ascii_lowercase())
}

/// Checks the name of a port (IANA service name, RFC 6335).
pub(super) fn port(text: &str) -> Result<(), Invalid> {
    if is_port(text) {
        return Ok(());
    }
    let rule = "a port's name has at most 15 of a-z, 0-9 and single -, and at least one letter";
    let better = lowered(text, "", 15).replace("--", "-");
    Err(Invalid::new(text, rule).suggest(if is_port(&better) { better } else { String::new() }))
}

/// Checks the name of an environment variable: any printable ASCII except `=`, as in Kubernetes 1.34.
pub(super) fn variable(text: &str) -> Result<(), Invalid> {
    if !text.is_empty() && text.chars().all(|c| matches!(c, ' '..='~') && c != '=') {
        return Ok(());
    }
    Err(Invalid::new(text, "a variable's name is printable ASCII without ="))
}

fn is_config_key(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && text != "."
        && !text.starts_with("..")
}

/// Checks a key of a ConfigMap or a Secret, which becomes a file name.
pub(super) fn config_key(text: &str) -> Result<(), Invalid> {
    if is_config_key(text) {
        return Ok(());
    }
    let rule = "a key has at most 253 letters, digits, -, _ and ., and does not begin with ..";
    let better: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
        .take(253)
        .collect();
    Err(Invalid::new(text, rule).suggest(if is_config_key(&better) { better } else { String::new() }))
}

/// Checks the name of a kernel parameter, with dots or slashes.
pub(super) fn sysctl(text: &str) -> Result<(), Invalid> {
    let part = |part: &str| {
        part.starts_with(is_lower)
            && part.ends_with(is_lower)
            && part.chars().all(|c| is_lower(c) || matches!(c, '-' | '_'))
    };
    if text.len() <= 253 && text.split(['.', '/']).all(part) {
        return Ok(());
    }
    Err(Invalid::new(text, "a kernel parameter is written like net.core.somaxconn"))
}

/// Checks a path inside a volume: relative and without `..`.
pub(super) fn descending(text: &str) -> Result<(), Invalid> {
    if text.starts_with('/') {
        let better = text.trim_start_matches('/').to_owned();
        return Err(Invalid::new(text, "must be a relative path").suggest(better));
    }
    if text.split('/').any(|part| part == "..") {
        return Err(Invalid::new(text, "must not contain `..`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kubernetes_rules() {
        let long = |n: usize| "a".repeat(n);
        type Check = fn(&str) -> Result<(), Invalid>;
        let cases: [(&str, Check, Vec<String>, Vec<String>); 8] = [
            (
                "dns_label",
                dns_label,
                ["a", "1", "a-b", "0a"].map(String::from).into_iter().chain([long(63)]).collect(),
                ["", "-a", "a-", "A", "a.b", "a_b", "ä"]
                    .map(String::from)
                    .into_iter()
                    .chain([long(64)])
                    .collect(),
            ),
            (
                "dns_subdomain",
                dns_subdomain,
                ["a", "a.b", "1.2", "a-b.c"].map(String::from).into_iter().chain([long(253)]).collect(),
                ["", ".", "a.", ".a", "a..b", "a.-b", "a.B"]
                    .map(String::from)
                    .into_iter()
                    .chain([long(254)])
                    .collect(),
            ),
            (
                "qualified",
                qualified,
                ["a", "A_b.c-1", "example.com/App", "a.b/c"].map(String::from).to_vec(),
                ["", "/a", "a/", "a/b/c", "Ex.com/a", "-a", "a b", &long(64)].map(String::from).to_vec(),
            ),
            (
                "label_value",
                label_value,
                ["", "a", "1.0", "A_b"].map(String::from).to_vec(),
                ["a b", "-", "a/b", ".a", &long(64)].map(String::from).to_vec(),
            ),
            (
                "port",
                port,
                ["http", "a", "8080-tcp", "abcdefghijklmno"].map(String::from).to_vec(),
                ["", "80", "HTTP", "a--b", "-a", "a_b", "abcdefghijklmnop"].map(String::from).to_vec(),
            ),
            (
                "variable",
                variable,
                ["A", "a.b", "1A", "my var", "%"].map(String::from).to_vec(),
                ["", "A=B", "ä", "a\tb"].map(String::from).to_vec(),
            ),
            (
                "config_key",
                config_key,
                ["a", "a.b", ".a", "A_1", "..."].map(String::from)[..4].to_vec(),
                ["", ".", "..", "..a", "a/b", "a b", &long(254)].map(String::from).to_vec(),
            ),
            (
                "sysctl",
                sysctl,
                ["net.core.somaxconn", "net/ipv4/ip_forward", "kernel.shm_rmid_forced"]
                    .map(String::from)
                    .to_vec(),
                ["", "net..core", "Net.core", "net.core.", "-a"].map(String::from).to_vec(),
            ),
        ];
        for (name, check, good, bad) in cases {
            for text in good {
                assert_eq!(check(&text), Ok(()), "{name} {text:?}");
            }
            for text in bad {
                assert!(check(&text).is_err(), "{name} {text:?}");
            }
        }
    }

    #[test]
    fn a_refused_name_comes_with_a_better_one() {
        let hint = |invalid: Result<(), Invalid>| invalid.unwrap_err().hint;
        assert_eq!(hint(dns_label("My_App.")).as_deref(), Some("for example my-app"));
        assert_eq!(hint(dns_subdomain("My App.Web_")).as_deref(), Some("for example my-app.web"));
        assert_eq!(hint(dns_label("__")), None);
        assert_eq!(hint(port("80")), None);
        assert_eq!(hint(config_key("a/b")).as_deref(), Some("for example a_b"));
    }
}
