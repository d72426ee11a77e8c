//! The routes of Ingresses. It is pure.
//!
//! Ingresses are taken by age, so that the older one keeps a host and path that a newer one has too, as with nginx.

use std::collections::{BTreeMap, BTreeSet};

use ::ingress::{Backend, Certificate, Host, Path, PathKind, Route, certificate, router};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, Ingress, IngressBackend, IngressClass, IngressServiceBackend, IngressTLS,
};

use super::classes::{self, Server};
use crate::manifest::ingress::{IngressOptions, annotations};
use crate::service::{PortView, View};

/// Namespace and name.
pub(super) type Name = (String, String);

/// Everything that routes depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub ingresses: &'a [Ingress],
    pub classes: &'a BTreeMap<String, IngressClass>,
    pub services: &'a [View],
    pub secrets: &'a BTreeMap<Name, Secret>,
}

/// The routes of all Ingresses that are served here.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Routed {
    pub backends: BTreeMap<String, Backend>,
    pub hosts: Vec<Host>,
    pub default: Option<Route>,
    pub certificates: Vec<Certificate>,
    /// The hosts with TLS that no Secret has a certificate for.
    pub uncertified: BTreeSet<String>,
    /// Whether an Ingress asks for TLS.
    pub tls: bool,
    /// The Ingresses that are served here.
    pub served: BTreeSet<Name>,
    /// What of each Ingress cannot be honoured now.
    pub problems: BTreeMap<Name, Vec<String>>,
}

/// Returns namespace and name of an Ingress.
pub(super) fn name_of(ingress: &Ingress) -> Name {
    let metadata = &ingress.metadata;
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

/// Returns the routes of all Ingresses.
pub(super) fn route(inputs: &Inputs<'_>) -> Routed {
    let mut ingresses: Vec<&Ingress> = inputs.ingresses.iter().collect();
    ingresses.sort_by_key(|ingress| {
        let created = ingress.metadata.creation_timestamp.as_ref().map(|time| time.0);
        // One whose age is not known is as new as can be.
        (created.is_none(), created, name_of(ingress))
    });
    let mut router = Router { inputs: *inputs, routed: Routed::default(), hosts: BTreeMap::new() };
    for ingress in ingresses {
        router.add(ingress);
    }
    let Router { mut routed, hosts, .. } = router;
    routed.hosts = hosts.into_values().map(|built| built.host).collect();
    routed
}

struct Router<'a> {
    inputs: Inputs<'a>,
    routed: Routed,
    hosts: BTreeMap<String, Built>,
}

/// A host with its paths, each with the Ingress that has it.
struct Built {
    host: Host,
    owners: BTreeMap<(bool, String), Name>,
}

/// One Ingress, while its routes are added.
struct Source<'a> {
    name: Name,
    options: &'a IngressOptions,
}

impl Router<'_> {
    fn problem(&mut self, name: &Name, problem: String) {
        self.routed.problems.entry(name.clone()).or_default().push(problem);
    }

    fn host(&mut self, host: &str) -> &mut Built {
        self.hosts.entry(host.to_owned()).or_insert_with(|| Built {
            host: Host { host: host.to_owned(), tls: false, paths: Vec::new(), default: None },
            owners: BTreeMap::new(),
        })
    }

    fn add(&mut self, ingress: &Ingress) {
        let name = name_of(ingress);
        if let Server::Other { class, controller } = classes::server(ingress, self.inputs.classes) {
            let problem = format!("left out: its class {class} is served by {controller}, which is not here");
            return self.problem(&name, problem);
        }
        let Some(spec) = &ingress.spec else { return };
        self.routed.served.insert(name.clone());
        let annotations = annotations(ingress);
        let source = Source { name, options: &annotations.options };
        let rules = spec.rules.as_deref().unwrap_or_default();
        let mut hosts: BTreeSet<String> = BTreeSet::new();
        for rule in rules {
            let host = rule.host.clone().unwrap_or_default();
            hosts.insert(host.clone());
            let paths = rule.http.as_ref().map_or(&[][..], |http| &http.paths);
            for path in paths {
                self.path(&source, &host, path);
            }
            // A rule without paths sends everything to the default backend.
            self.host(&host);
        }
        for tls in spec.tls.iter().flatten() {
            self.tls(&source.name, tls, &hosts);
        }
        if annotations.options.force_ssl_redirect {
            self.routed.tls = true;
        }
        if let Some(backend) = &spec.default_backend {
            self.default(&source, backend, &hosts);
        }
    }

    fn path(&mut self, source: &Source<'_>, host: &str, path: &HTTPIngressPath) {
        let text = path.path.as_deref().filter(|text| !text.is_empty()).unwrap_or("/");
        let kind = match path.path_type.as_str() {
            "Exact" => PathKind::Exact,
            _ if source.options.has_regex() => PathKind::Regex,
            _ => PathKind::Prefix,
        };
        if kind == PathKind::Regex
            && let Err(e) = router::compile(text)
        {
            let why = e.to_string();
            let why = why.lines().last().unwrap_or_default().trim();
            let problem =
                format!("{host}{text} is not served: no regular expression that can be compared ({why})");
            return self.problem(&source.name, problem);
        }
        let key = match kind {
            PathKind::Prefix => (false, text.trim_end_matches('/').to_owned()),
            _ => (kind == PathKind::Exact, text.to_owned()),
        };
        if let Some(owner) = self.host(host).owners.get(&key) {
            let problem = if *owner == source.name {
                format!("{host}{text} is there twice: the first one counts")
            } else {
                format!("{host}{text} is served by the older Ingress {}/{}", owner.0, owner.1)
            };
            return self.problem(&source.name, problem);
        }
        let route = self.backend(source, &path.backend, &format!("{host}{text}"));
        let built = self.host(host);
        built.owners.insert(key, source.name.clone());
        built.host.paths.push(Path { path: text.to_owned(), kind, route });
    }

    /// Adds a default backend: to the hosts of its Ingress, and to all others if no older Ingress has one for them.
    fn default(&mut self, source: &Source<'_>, backend: &IngressBackend, hosts: &BTreeSet<String>) {
        let route = self.backend(source, backend, "the default backend");
        for host in hosts {
            self.host(host).host.default.get_or_insert_with(|| route.clone());
        }
        self.routed.default.get_or_insert(route);
    }

    /// Returns the route to a backend. What is missing is a problem, and requests get 503.
    fn backend(&mut self, source: &Source<'_>, backend: &IngressBackend, what: &str) -> Route {
        let IngressOptions {
            rewrite_target,
            ssl_redirect,
            force_ssl_redirect,
            protocol,
            max_body,
            connect_seconds,
            read_seconds,
            send_seconds,
            app_root,
            redirect,
            use_regex: _,
        } = source.options.clone();
        let (namespace, name) = &source.name;
        let mut route = Route {
            backend: String::new(),
            source: format!("{namespace}/{name}"),
            protocol,
            rewrite_target,
            ssl_redirect: ssl_redirect.unwrap_or(true),
            force_ssl_redirect,
            max_body,
            connect_seconds,
            read_seconds,
            send_seconds,
            app_root,
            redirect,
        };
        let found = match &backend.service {
            None => Err("nothing serves the resource of".to_owned()),
            Some(service) => self.endpoints(&source.name, service),
        };
        match found {
            Ok((name, backend)) => {
                route.backend.clone_from(&name);
                self.routed.backends.entry(name).or_insert(backend);
            }
            Err(problem) => self.problem(&source.name, format!("{problem} {what}: requests get 503")),
        }
        route
    }

    /// Returns the name and the endpoints of a port of a Service.
    fn endpoints(
        &self,
        ingress: &Name,
        backend: &IngressServiceBackend,
    ) -> Result<(String, Backend), String> {
        let (namespace, name) = (&ingress.0, &backend.name);
        let is_meant = |view: &&View| {
            let metadata = &view.service.metadata;
            metadata.name.as_ref() == Some(name) && metadata.namespace.as_ref() == Some(namespace)
        };
        let Some(view) = self.inputs.services.iter().find(is_meant) else {
            return Err(format!("there is no Service {name} for"));
        };
        let spec = view.service.spec.as_ref();
        if spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
            return Err(format!("the Service {name} is an ExternalName, which has no endpoints, for"));
        }
        let port = backend.port.as_ref();
        let number = port.and_then(|port| port.number).filter(|number| *number != 0);
        let port_name = port.and_then(|port| port.name.as_deref()).unwrap_or_default();
        let is_port = |view: &&PortView| match number {
            Some(number) => i32::from(view.port) == number,
            None => view.name.as_deref() == Some(port_name),
        };
        let Some(port) = view.ports.iter().filter(|port| port.protocol == "TCP").find(is_port) else {
            let shown = number.map_or_else(|| port_name.to_owned(), |number| number.to_string());
            return Err(format!("the Service {name} has no port {shown} for"));
        };
        let ready = port.endpoints.iter().filter(|endpoint| endpoint.ready);
        let endpoints = ready.map(|endpoint| endpoint.address).collect();
        Ok((format!("{namespace}/{name}:{}", port.port), Backend { endpoints }))
    }

    /// Adds the certificate of an entry of `spec.tls`. `all` are the hosts of the Ingress, which an entry without hosts
    /// means.
    fn tls(&mut self, ingress: &Name, tls: &IngressTLS, all: &BTreeSet<String>) {
        self.routed.tls = true;
        let named = tls.hosts.as_deref().unwrap_or_default();
        let hosts: BTreeSet<String> =
            if named.is_empty() { all.clone() } else { named.iter().cloned().collect() };
        for host in &hosts {
            self.host(host).host.tls = true;
        }
        // Without a host there is nothing to ask for a certificate by: those that it names are meant.
        let hosts: Vec<String> = hosts.into_iter().filter(|host| !host.is_empty()).collect();
        match self.certificate(&ingress.0, tls) {
            Ok((certificate, key)) => {
                self.routed.certificates.push(Certificate { hosts, certificate, key });
            }
            Err(problem) => {
                let whom = if hosts.is_empty() { "every host".to_owned() } else { hosts.join(", ") };
                self.problem(ingress, format!("{problem}: {whom} gets a self-made certificate"));
                self.routed.uncertified.extend(hosts);
            }
        }
    }

    fn certificate(&self, namespace: &str, tls: &IngressTLS) -> Result<(String, String), String> {
        let Some(name) = tls.secret_name.as_deref().filter(|name| !name.is_empty()) else {
            return Err("there is no secretName".to_owned());
        };
        let key = (namespace.to_owned(), name.to_owned());
        let Some(secret) = self.inputs.secrets.get(&key) else {
            return Err(format!("there is no Secret {name}"));
        };
        let text = |key: &str| {
            let value = secret.data.as_ref().and_then(|data| data.get(key));
            let value = value.ok_or_else(|| format!("the Secret {name} has no {key}"))?;
            String::from_utf8(value.0.clone()).map_err(|_| format!("{key} of the Secret {name} is not PEM"))
        };
        let (certificate, key) = (text("tls.crt")?, text("tls.key")?);
        match certificate::check(&certificate, &key) {
            Ok(()) => Ok((certificate, key)),
            Err(e) => Err(format!("the Secret {name} cannot be used: {e}")),
        }
    }
}

#[cfg(test)]
mod tests;
