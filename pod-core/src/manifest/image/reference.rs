use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::Digest;

/// The registry of names that have none.
pub const DEFAULT_REGISTRY: &str = "docker.io";

/// Text that is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reference:?} is not an image reference: {reason}")]
pub struct InvalidName {
    /// The text.
    pub reference: String,
    /// Why it is not a reference.
    pub reason: &'static str,
}

/// A parsed, normalised image reference: `docker.io/library/busybox:latest` for `busybox`.
///
/// The grammar is that of the distribution project (registry, repository, tag, digest). Short names always mean
/// docker.io, whose one-word names are in `library/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads a reference as a user writes it. Without tag and digest the tag is `latest`.
    ///
    /// # Errors
    /// `text` is not a reference.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        Self::read(text).map_err(|reason| InvalidName { reference: text.to_owned(), reason })
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("it is empty");
        }
        if text.contains("://") {
            return Err("a reference has no scheme: leave https:// out");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("it contains white space");
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (
                rest,
                Some(Digest::parse(digest).map_err(
                    |_| "what follows @ must be a digest: sha256: and 64 lower-case hexadecimal digits",
                )?),
            ),
            None => (text, None),
        };
        // A colon after the last slash starts a tag; one before it belongs to a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag {
            check_tag(tag)?;
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if is_registry(first) => {
                check_registry(first)?;
                (first, rest)
            }
            _ => (DEFAULT_REGISTRY, name),
        };
        // Host names ignore case. A name that is a host only because of its capitals would become one of docker.io in
        // lower case.
        let registry = registry.to_lowercase();
        if !is_registry(&registry) {
            return Err("a repository must be lower-case");
        }
        let registry = match registry.as_str() {
            "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
            other => other,
        };
        check_repository(path)?;
        if digest.is_none()
            && tag.is_none()
            && path.len() == 64
            && path.bytes().all(|b| b.is_ascii_hexdigit())
        {
            return Err("64 hexadecimal digits are an image id, not a name");
        }
        let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if registry.len() + 1 + repository.len() > 255 {
            return Err("registry and repository are longer than 255 characters");
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, None) => Some("latest".to_owned()),
            (None, Some(_)) => None,
        };
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }

    /// Returns host and port, e.g. `docker.io` or `localhost:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Returns the host that answers API requests, which differs from the registry's name for docker.io.
    pub fn api_host(&self) -> &str {
        match self.registry.as_str() {
            DEFAULT_REGISTRY => "registry-1.docker.io",
            other => other,
        }
    }

    /// Returns the path in the registry, e.g. `library/busybox`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Returns `registry/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns the tag, if any.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest, if any. It takes precedence over the tag.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns what a registry is asked for: the digest, else the tag.
    pub fn version(&self) -> &str {
        self.digest.as_ref().map(Digest::as_str).or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// Returns `registry/repository@digest`.
    pub fn with_digest(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.name())
    }

    /// Returns the name under which the store records the image: `name@digest` if the reference has a digest, else
    /// `name:tag`.
    pub fn stored_name(&self) -> String {
        match &self.digest {
            Some(digest) => self.with_digest(digest),
            None => self.to_string(),
        }
    }

    /// Returns true for `localhost/NAME`, the name that podman and buildah give to images made on this machine. Without a
    /// port it is not a registry.
    pub fn is_of_this_machine(&self) -> bool {
        self.registry == "localhost"
    }

    /// Returns true for `localhost`, 127.0.0.0/8 and `[::1]`, the only registries that are used without TLS.
    pub fn is_loopback(&self) -> bool {
        let (host, _) = split_port(&self.registry);
        host == "localhost"
            || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
            || host
                .strip_prefix('[')
                .and_then(|h| h.strip_suffix(']'))
                .and_then(|h| h.parse::<Ipv6Addr>().ok())
                .is_some_and(|ip| ip.is_loopback())
    }
}

impl FromStr for Reference {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::parse(text)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Splits `host:port`, without splitting at the colons of `[::1]`.
fn split_port(registry: &str) -> (&str, Option<&str>) {
    match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (registry, None),
    }
}

/// Whether the first part of a path names a registry rather than a docker.io namespace.
fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn check_registry(registry: &str) -> Result<(), &'static str> {
    let (host, port) = split_port(registry);
    if port.is_some_and(|p| p.parse::<u16>().is_err() || p.starts_with('+')) {
        return Err("the registry's port is not a number from 0 to 65535");
    }
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').unwrap_or_default();
        return match inner.parse::<Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err("the registry is not a valid IPv6 address"),
        };
    }
    let label_ok = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.split('.').all(label_ok) { Ok(()) } else { Err("the registry is not a valid host name") }
}

/// path-component: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, joined by slashes.
fn check_repository(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("the repository is missing");
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("a repository must be lower-case");
    }
    if !path.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/')) {
        return Err("a repository may contain a-z, 0-9, '.', '_', '-' and '/' only");
    }
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    for component in path.split('/') {
        if component.is_empty() {
            return Err("the repository has an empty part");
        }
        if !component.starts_with(alphanumeric) || !component.ends_with(alphanumeric) {
            return Err("each part of a repository must start and end with a letter or digit");
        }
        let separators_ok = component
            .split(alphanumeric)
            .all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'));
        if !separators_ok {
            return Err("parts of a repository are separated by one '.', one or two '_', or '-'");
        }
    }
    Ok(())
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if tag.is_empty() {
        return Err("the tag is empty");
    }
    if tag.len() > 128 {
        return Err("the tag is longer than 128 characters");
    }
    if !tag.bytes().next().is_some_and(word) || !tag.bytes().all(|b| word(b) || b == b'.' || b == b'-') {
        return Err("a tag may contain letters, digits, '_', '.' and '-', and may not start with '.' or '-'");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn full(text: &str) -> String {
        Reference::parse(text).unwrap().to_string()
    }

    #[test]
    fn short_names_mean_docker_io() {
        assert_eq!(full("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(full("busybox:1.36"), "docker.io/library/busybox:1.36");
        assert_eq!(full("grafana/loki"), "docker.io/grafana/loki:latest");
        assert_eq!(full("docker.io/busybox"), "docker.io/library/busybox:latest");
        assert_eq!(full("index.docker.io/library/busybox"), "docker.io/library/busybox:latest");
        assert_eq!(full(&format!("busybox@{D}")), format!("docker.io/library/busybox@{D}"));
        assert_eq!(full(&format!("a/b:1@{D}")), format!("docker.io/a/b:1@{D}"));
    }

    #[test]
    fn a_first_part_with_dot_port_or_localhost_is_a_registry() {
        assert_eq!(full("localhost/a"), "localhost/a:latest");
        assert_eq!(full("localhost:5000/a/b:c"), "localhost:5000/a/b:c");
        assert_eq!(full("quay.io/x__y/z-w"), "quay.io/x__y/z-w:latest");
        assert_eq!(full("[::1]:5000/a"), "[::1]:5000/a:latest");
        assert_eq!(full("EXAMPLE.org/a"), "example.org/a:latest");
        assert_eq!(full("Docker.io/a"), "docker.io/library/a:latest");
        assert!(Reference::parse("EXAMPLE/a").is_err(), "docker.io's example/a is another");
        assert_eq!(full("host:80/a"), "host:80/a:latest");
    }

    #[test]
    fn only_loopback_registries_are_loopback() {
        for yes in ["localhost/a", "localhost:5000/a", "127.0.0.1:5000/a", "127.9.9.9/a", "[::1]:1/a"] {
            assert!(Reference::parse(yes).unwrap().is_loopback(), "{yes}");
        }
        for no in ["a", "localhost.example.org/a", "127.example.org/a", "10.0.0.1:5000/a", "[fe80::1]/a"] {
            assert!(!Reference::parse(no).unwrap().is_loopback(), "{no}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_with_a_reason() {
        let listed = [
            "",
            "Busybox",
            "a b",
            "a:",
            "a@sha256:12",
            "a@b",
            "https://quay.io/a",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a/../b",
            "quay.io/",
            "host:99999/a",
            "-x.io/a",
            "[zz]:1/a",
            "a:.x",
            "busybox:la/te",
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ];
        let shown: Vec<String> = listed
            .iter()
            .map(|bad| match Reference::parse(bad) {
                Ok(r) => panic!("{bad} was read as {r}"),
                Err(error) => format!("{bad:12.12} {}", error.reason),
            })
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
        assert!(Reference::parse(&format!("a:{}", "b".repeat(129))).is_err());
        assert!(Reference::parse(&"a".repeat(256)).is_err());
    }

    proptest! {
        #[test]
        fn printing_and_reading_gives_the_same(
            registry in "(|localhost/|localhost:[0-9]{1,4}/|[a-z]{1,8}\\.[a-z]{2,3}(:[1-9][0-9]{0,3})?/)",
            path in "[a-z0-9]{1,6}([._-][a-z0-9]{1,5}){0,2}(/[a-z0-9]{1,6}(__[a-z0-9]{1,3})?){0,2}",
            tag in "(|:[A-Za-z0-9_][A-Za-z0-9_.-]{0,20})",
            digest in prop::bool::ANY,
        ) {
            let text = format!("{registry}{path}{tag}{}", if digest { format!("@{D}") } else { String::new() });
            if let Ok(reference) = Reference::parse(&text) {
                let again = Reference::parse(&reference.to_string());
                prop_assert_eq!(again.unwrap(), reference);
            } else {
                // Only a name that looks like an image id, or whose first part is a registry, may be refused.
                prop_assert!(text.contains('.') || text.len() >= 64, "{}", text);
            }
        }

        #[test]
        fn no_input_panics_and_none_leaves_its_folder(text in "\\PC{0,80}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert!(!reference.repository().split('/').any(|p| p == ".." || p == "." || p.is_empty()));
            }
        }
    }
}
