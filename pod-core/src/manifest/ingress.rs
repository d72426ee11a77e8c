//! The annotations of Ingresses, and the class that an Ingress names.
//!
//! Most Ingresses are written for the controller of the class `nginx`, so the annotations of that controller which change
//! where requests go are honoured. Source: the documentation of ingress-nginx ("Annotations").

use std::collections::BTreeMap;

use ::ingress::Protocol;
use ::ingress::routes::Redirect;
use k8s_openapi::api::networking::v1::Ingress;

/// What stands before the names of annotations of the class `nginx`.
const NGINX: &str = "nginx.ingress.kubernetes.io/";

/// The annotation that named the class before `ingressClassName` was there.
pub(crate) const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// What stands before the names of annotations of other controllers.
const OTHERS: [&str; 14] = [
    "alb.ingress.kubernetes.io/",
    "appgw.ingress.kubernetes.io/",
    "haproxy-ingress.github.io/",
    "haproxy.org/",
    "ingress.gcp.kubernetes.io/",
    "ingress.kubernetes.io/",
    "konghq.com/",
    "networking.gke.io/",
    "nginx.com/",
    "nginx.org/",
    "projectcontour.io/",
    "service.beta.kubernetes.io/",
    "traefik.ingress.kubernetes.io/",
    "traefik.io/",
];

/// Annotations of the class `nginx` that need nothing: the proxy passes bodies on as they come, speaks HTTP/1.1 to
/// endpoints and verifies no certificate of theirs.
const NEEDLESS: [&str; 12] = [
    "client-body-buffer-size",
    "preserve-trailing-slash",
    "proxy-buffer-size",
    "proxy-buffering",
    "proxy-buffers-number",
    "proxy-busy-buffers-size",
    "proxy-http-version",
    "proxy-max-temp-file-size",
    "proxy-next-upstream",
    "proxy-next-upstream-tries",
    "proxy-request-buffering",
    "proxy-ssl-verify",
];

/// Classes of controllers that are part of a cloud or a mesh, and what they do beyond HTTP.
const DIFFERENT: [(&str, &str); 11] = [
    ("alb", "the load balancers of AWS"),
    ("azure-application-gateway", "the application gateways of Azure"),
    ("azure/application-gateway", "the application gateways of Azure"),
    ("cilium", "the network of Cilium"),
    ("cloudflare-tunnel", "the tunnels of Cloudflare"),
    ("gce", "the load balancers of Google Cloud"),
    ("gce-internal", "the load balancers of Google Cloud"),
    ("istio", "the mesh of Istio"),
    ("kong", "the plugins of Kong"),
    ("ngrok", "the tunnels of ngrok"),
    ("tailscale", "the network of Tailscale"),
];

/// What the annotations of an Ingress ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IngressOptions {
    /// The path that endpoints get.
    pub rewrite_target: Option<String>,
    /// Whether paths are regular expressions. They are, too, if there is a `rewrite_target`.
    pub use_regex: bool,
    /// Whether requests in the clear are redirected where the host has TLS; the default is that they are.
    pub ssl_redirect: Option<bool>,
    /// Whether requests in the clear are redirected always.
    pub force_ssl_redirect: bool,
    /// What endpoints speak.
    pub protocol: Protocol,
    /// The most bytes of a body.
    pub max_body: Option<u64>,
    /// The most seconds until an endpoint accepts a connection.
    pub connect_seconds: Option<u64>,
    /// The most seconds between two parts of a response.
    pub read_seconds: Option<u64>,
    /// The most seconds between two parts of a request.
    pub send_seconds: Option<u64>,
    /// Where requests for `/` are redirected.
    pub app_root: Option<String>,
    /// Where all requests are redirected.
    pub redirect: Option<Redirect>,
}

impl IngressOptions {
    /// Returns whether paths are regular expressions, as they are for nginx.
    pub fn has_regex(&self) -> bool {
        self.use_regex || self.rewrite_target.is_some()
    }
}

/// What is wrong with the value of an annotation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnnotationError {
    #[error("must be true or false")]
    Bool,
    #[error("must be a number of seconds")]
    Seconds,
    #[error("must be a size, such as 8m")]
    Size,
    #[error("must be HTTP, HTTPS, GRPC or GRPCS; other protocols are not spoken")]
    Protocol,
    #[error("must begin with /")]
    Path,
    #[error("must be a URL that begins with http://, https:// or /")]
    Url,
    #[error("must be a status of a redirect: 301, 302, 303, 307 or 308")]
    Status,
}

/// The annotations of an Ingress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    /// What they ask for.
    pub options: IngressOptions,
    /// Those whose value cannot be used, which count as not given.
    pub invalid: Vec<(String, AnnotationError)>,
    /// Those of the class `nginx` and of other controllers that have no effect.
    pub unknown: Vec<String>,
}

/// Reads the annotations of an Ingress.
pub(crate) fn annotations(ingress: &Ingress) -> Annotations {
    let none = BTreeMap::new();
    let given = ingress.metadata.annotations.as_ref().unwrap_or(&none);
    let mut read = Annotations::default();
    let mut status = None;
    for (key, value) in given {
        let Some(name) = key.strip_prefix(NGINX) else {
            if OTHERS.iter().any(|other| key.starts_with(other)) {
                read.unknown.push(key.clone());
            }
            continue;
        };
        let value = value.trim();
        let set = match name {
            "permanent-redirect-code" => parse_status(value).map(|code| status = Some(code)),
            name => match read.options.set(name, value) {
                Some(set) => set,
                None => {
                    if !NEEDLESS.contains(&name) {
                        read.unknown.push(key.clone());
                    }
                    Ok(())
                }
            },
        };
        if let Err(error) = set {
            read.invalid.push((key.clone(), error));
        }
    }
    if let (Some(redirect), Some(status)) = (&mut read.options.redirect, status)
        && redirect.status == PERMANENT
    {
        redirect.status = status;
    }
    read
}

const PERMANENT: u16 = 301;
const TEMPORAL: u16 = 302;

impl IngressOptions {
    /// Sets what one annotation asks for; `None` if there is no such annotation.
    fn set(&mut self, name: &str, value: &str) -> Option<Result<(), AnnotationError>> {
        let redirect = |status| parse_url(value).map(|to| Some(Redirect { to, status }));
        Some(match name {
            "rewrite-target" if value.is_empty() => Ok(()),
            "rewrite-target" => parse_path(value).map(|path| self.rewrite_target = Some(path)),
            "use-regex" => parse_bool(value).map(|on| self.use_regex = on),
            "ssl-redirect" => parse_bool(value).map(|on| self.ssl_redirect = Some(on)),
            "force-ssl-redirect" => parse_bool(value).map(|on| self.force_ssl_redirect = on),
            "backend-protocol" => parse_protocol(value).map(|protocol| self.protocol = protocol),
            "proxy-body-size" => parse_size(value).map(|size| self.max_body = size),
            "proxy-connect-timeout" => parse_seconds(value).map(|time| self.connect_seconds = Some(time)),
            "proxy-read-timeout" => parse_seconds(value).map(|time| self.read_seconds = Some(time)),
            "proxy-send-timeout" => parse_seconds(value).map(|time| self.send_seconds = Some(time)),
            "app-root" => parse_path(value).map(|path| self.app_root = Some(path)),
            "permanent-redirect" => redirect(PERMANENT).map(|to| self.redirect = to),
            // As in nginx, a temporal redirect comes before a permanent one.
            "temporal-redirect" => redirect(TEMPORAL).map(|to| self.redirect = to),
            _ => return None,
        })
    }
}

/// Parses a boolean as Go does (strconv.ParseBool), which Kubernetes' controllers are written in.
fn parse_bool(value: &str) -> Result<bool, AnnotationError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(AnnotationError::Bool),
    }
}

fn parse_seconds(value: &str) -> Result<u64, AnnotationError> {
    let number = value.strip_suffix('s').unwrap_or(value);
    number.parse().ok().filter(|seconds| *seconds > 0).ok_or(AnnotationError::Seconds)
}

/// Parses a size of nginx: a number of bytes, or with `k`, `m` or `g`. 0 is no limit.
fn parse_size(value: &str) -> Result<Option<u64>, AnnotationError> {
    let value = value.to_ascii_lowercase();
    let (number, shift) = match value.strip_suffix(['k', 'm', 'g']) {
        Some(number) if value.ends_with('k') => (number, 10),
        Some(number) if value.ends_with('m') => (number, 20),
        Some(number) => (number, 30),
        None => (value.as_str(), 0),
    };
    let number: u64 = number.parse().map_err(|_| AnnotationError::Size)?;
    let bytes = number.checked_mul(1 << shift).ok_or(AnnotationError::Size)?;
    Ok((bytes > 0).then_some(bytes))
}

fn parse_protocol(value: &str) -> Result<Protocol, AnnotationError> {
    match value.to_ascii_uppercase().as_str() {
        "HTTP" | "AUTO_HTTP" => Ok(Protocol::Http),
        "HTTPS" => Ok(Protocol::Https),
        "GRPC" => Ok(Protocol::Grpc),
        "GRPCS" => Ok(Protocol::Grpcs),
        _ => Err(AnnotationError::Protocol),
    }
}

fn is_printable(value: &str) -> bool {
    value.chars().all(|c| c.is_ascii_graphic())
}

fn parse_path(value: &str) -> Result<String, AnnotationError> {
    let is_path = value.starts_with('/') && is_printable(value);
    is_path.then(|| value.to_owned()).ok_or(AnnotationError::Path)
}

fn parse_url(value: &str) -> Result<String, AnnotationError> {
    let begins = ["http://", "https://", "/"].iter().any(|begin| value.starts_with(begin));
    (begins && is_printable(value)).then(|| value.to_owned()).ok_or(AnnotationError::Url)
}

fn parse_status(value: &str) -> Result<u16, AnnotationError> {
    let status = value.parse().ok().filter(|status| matches!(status, 301 | 302 | 303 | 307 | 308));
    status.ok_or(AnnotationError::Status)
}

/// Returns the class that an Ingress names, in the field or in the older annotation.
pub(crate) fn class_name(ingress: &Ingress) -> Option<&str> {
    let field = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
    let annotation = || ingress.metadata.annotations.as_ref()?.get(CLASS_ANNOTATION).map(String::as_str);
    field.or_else(annotation).filter(|class| !class.is_empty())
}

/// Returns what a class uses that is not on this machine; `None` for a class that is served here as its own controller
/// would.
pub(crate) fn different_class(class: &str) -> Option<&'static str> {
    DIFFERENT.iter().find(|(known, _)| *known == class).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(annotations: &[(&str, &str)]) -> Annotations {
        let mut ingress = Ingress::default();
        let annotations = annotations.iter().map(|(key, value)| {
            let key = if key.contains('/') { (*key).to_owned() } else { format!("{NGINX}{key}") };
            (key, (*value).to_owned())
        });
        ingress.metadata.annotations = Some(annotations.collect());
        super::annotations(&ingress)
    }

    #[test]
    fn annotations_of_nginx_are_read() {
        let given = [
            ("rewrite-target", "/$2"),
            ("use-regex", "true"),
            ("ssl-redirect", "false"),
            ("force-ssl-redirect", "True"),
            ("backend-protocol", "grpcs"),
            ("proxy-body-size", "8m"),
            ("proxy-connect-timeout", "3"),
            ("proxy-read-timeout", "3600s"),
            ("proxy-send-timeout", "10"),
            ("app-root", "/app"),
            ("permanent-redirect", "https://b.example"),
            ("permanent-redirect-code", "308"),
        ];
        let expected = IngressOptions {
            rewrite_target: Some("/$2".into()),
            use_regex: true,
            ssl_redirect: Some(false),
            force_ssl_redirect: true,
            protocol: Protocol::Grpcs,
            max_body: Some(8 << 20),
            connect_seconds: Some(3),
            read_seconds: Some(3600),
            send_seconds: Some(10),
            app_root: Some("/app".into()),
            redirect: Some(Redirect { to: "https://b.example".into(), status: 308 }),
        };
        let read = read(&given);
        assert_eq!(read, Annotations { options: expected, ..Annotations::default() });
        assert!(read.options.has_regex());
    }

    #[test]
    fn sizes_are_those_of_nginx() {
        for (text, bytes) in [
            ("0", None),
            ("1024", Some(1024)),
            ("2k", Some(2048)),
            ("1M", Some(1 << 20)),
            ("1g", Some(1 << 30)),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "8mb", "-1", "1.5m", "99999999999999g"] {
            assert_eq!(parse_size(bad), Err(AnnotationError::Size), "{bad}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_used_counts_as_not_given() {
        for (name, value, error) in [
            ("ssl-redirect", "yes", AnnotationError::Bool),
            ("proxy-read-timeout", "0", AnnotationError::Seconds),
            ("proxy-body-size", "lots", AnnotationError::Size),
            ("backend-protocol", "FCGI", AnnotationError::Protocol),
            ("rewrite-target", "$1", AnnotationError::Path),
            ("app-root", "/a b", AnnotationError::Path),
            ("permanent-redirect", "javascript:x", AnnotationError::Url),
            ("temporal-redirect", "https://a\r\nX: y", AnnotationError::Url),
            ("permanent-redirect-code", "200", AnnotationError::Status),
        ] {
            let read = read(&[(name, value)]);
            assert_eq!(read.options, IngressOptions::default(), "{name}");
            assert_eq!(read.invalid, [(format!("{NGINX}{name}"), error)], "{name}");
        }
    }

    #[test]
    fn annotations_without_effect_are_known() {
        let read = read(&[
            ("auth-url", "x"),
            ("proxy-buffering", "off"),
            ("traefik.ingress.kubernetes.io/router.tls", "true"),
            ("cert-manager.io/cluster-issuer", "letsencrypt"),
            ("kubernetes.io/ingress.class", "nginx"),
        ]);
        assert_eq!(
            read.unknown,
            ["nginx.ingress.kubernetes.io/auth-url", "traefik.ingress.kubernetes.io/router.tls"]
        );
    }

    #[test]
    fn the_class_is_in_the_field_or_in_the_annotation() {
        let mut ingress = Ingress::default();
        assert_eq!(class_name(&ingress), None);
        ingress.metadata.annotations = Some([(CLASS_ANNOTATION.to_owned(), "nginx".to_owned())].into());
        assert_eq!(class_name(&ingress), Some("nginx"));
        ingress.spec.get_or_insert_default().ingress_class_name = Some("alb".into());
        assert_eq!(class_name(&ingress), Some("alb"));
        assert!(different_class("alb").is_some() && different_class("nginx").is_none());
    }
}
