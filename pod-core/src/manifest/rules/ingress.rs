//! Rules of Ingresses and IngressClasses (`ValidateIngressSpec` of pkg/apis/networking/validation).

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, Ingress, IngressBackend, IngressClass, IngressRule, IngressServiceBackend, IngressTLS,
};

use super::{Rules, name};
use crate::manifest::ingress::{Annotations, CLASS_ANNOTATION, annotations, class_name, different_class};
use crate::manifest::{escape, shown};

/// What may not be in a path of the types Exact and Prefix, because no request has it there.
const NOT_INSIDE: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
/// What such a path may not end with.
const NOT_AT_END: [&str; 2] = ["/..", "/."];

impl Rules<'_> {
    /// Checks an Ingress.
    pub(super) fn ingress(&mut self, ingress: &Ingress) {
        let annotations = annotations(ingress);
        self.ingress_annotations(&annotations);
        self.ingress_class_of(ingress);
        let Some(spec) = &ingress.spec else {
            return self.error_hint("spec", "is required", "an Ingress has rules or a defaultBackend");
        };
        let rules = spec.rules.as_deref().unwrap_or_default();
        if rules.is_empty() && spec.default_backend.is_none() && !self.bad_below("spec") {
            self.error("spec", "must have rules or a defaultBackend");
        }
        if let Some(backend) = &spec.default_backend {
            self.ingress_backend("spec.defaultBackend", backend);
        }
        for (index, tls) in spec.tls.iter().flatten().enumerate() {
            self.ingress_tls(&format!("spec.tls[{index}]"), tls);
        }
        for (index, rule) in rules.iter().enumerate() {
            self.ingress_rule(&format!("spec.rules[{index}]"), rule, &annotations);
        }
    }

    /// Warns about annotations that cannot be honoured: about each with a wrong value, and once about all others.
    fn ingress_annotations(&mut self, annotations: &Annotations) {
        for (key, error) in &annotations.invalid {
            let path = format!("metadata.annotations[{}]", escape(key));
            self.warning(&path, format!("is not honoured: it {error}"), None);
        }
        if let Some(first) = annotations.unknown.first() {
            let names: Vec<_> = annotations.unknown.iter().map(|key| escape(key)).collect();
            let path = format!("metadata.annotations[{}]", escape(first));
            let message = match names.len() {
                1 => "is not honoured".to_owned(),
                _ => format!("is not honoured, nor are {}", names.get(1..).unwrap_or_default().join(", ")),
            };
            self.warning(&path, message, None);
        }
    }

    fn ingress_class_of(&mut self, ingress: &Ingress) {
        let field = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
        let annotation = ingress.metadata.annotations.as_ref().and_then(|all| all.get(CLASS_ANNOTATION));
        if let Some(class) = field {
            self.require("spec.ingressClassName", name::dns_subdomain(class));
            if let Some(other) = annotation.filter(|other| *other != class) {
                let message = format!("{} must be the same as ingressClassName", shown(other));
                self.error(&format!("metadata.annotations[{CLASS_ANNOTATION}]"), message);
            }
        }
        let path = match field {
            Some(_) => "spec.ingressClassName".to_owned(),
            None => format!("metadata.annotations[{CLASS_ANNOTATION}]"),
        };
        if let Some(class) = class_name(ingress)
            && let Some(what) = different_class(class)
        {
            let message = format!("{} is for {what}; kube itself serves it on this machine", shown(class));
            self.warning(&path, message, None);
        }
    }

    fn ingress_tls(&mut self, path: &str, tls: &IngressTLS) {
        for (index, host) in tls.hosts.iter().flatten().enumerate() {
            self.ingress_host(&format!("{path}.hosts[{index}]"), host);
        }
        if let Some(secret) = tls.secret_name.as_deref().filter(|secret| !secret.is_empty()) {
            self.require(&format!("{path}.secretName"), name::dns_subdomain(secret));
        }
    }

    fn ingress_host(&mut self, path: &str, host: &str) {
        if host.parse::<std::net::IpAddr>().is_ok() {
            return self.error_hint(
                path,
                "must be a name, not an address",
                "without host, every host is meant",
            );
        }
        match host.strip_prefix("*.") {
            Some(rest) => self.require(path, name::dns_subdomain(rest)),
            None if host.contains('*') => {
                self.error(path, format!("{} is not valid: * stands for the first label only", shown(host)));
            }
            None => self.require(path, name::dns_subdomain(host)),
        }
    }

    fn ingress_rule(&mut self, path: &str, rule: &IngressRule, annotations: &Annotations) {
        if let Some(host) = rule.host.as_deref().filter(|host| !host.is_empty()) {
            self.ingress_host(&format!("{path}.host"), host);
        }
        let Some(http) = &rule.http else { return };
        if http.paths.is_empty() && !self.bad_below(&format!("{path}.http")) {
            self.error(&format!("{path}.http.paths"), "must have at least one path");
        }
        for (index, one) in http.paths.iter().enumerate() {
            let at = format!("{path}.http.paths[{index}]");
            self.ingress_path(&at, one, annotations);
            self.ingress_backend(&format!("{at}.backend"), &one.backend);
        }
    }

    fn ingress_path(&mut self, at: &str, one: &HTTPIngressPath, annotations: &Annotations) {
        let text = one.path.as_deref().unwrap_or_default();
        let at = format!("{at}.path");
        let is_specific = one.path_type == "ImplementationSpecific";
        if text.is_empty() && is_specific {
            return;
        }
        if !text.starts_with('/') {
            return self.error_hint(&at, "must begin with /", format!("for example /{}", escape(text)));
        }
        if !is_specific {
            if let Some(bad) = NOT_INSIDE.iter().find(|bad| text.contains(**bad)) {
                self.error(&at, format!("must not contain {bad}"));
            }
            if let Some(bad) = NOT_AT_END.iter().find(|bad| text.ends_with(**bad)) {
                self.error(&at, format!("must not end with {bad}"));
            }
        }
        if annotations.options.has_regex()
            && one.path_type != "Exact"
            && ::ingress::router::compile(text).is_err()
        {
            let hint = "what depends on other parts of the path, such as (?=x) or \\1, cannot be compared";
            let message = "is no regular expression that can be compared: it is not served";
            self.warning(&at, message, Some(hint.to_owned()));
        }
    }

    fn ingress_backend(&mut self, path: &str, backend: &IngressBackend) {
        match (&backend.service, &backend.resource) {
            (Some(_), Some(_)) => self.error(path, "must have a service or a resource, not both"),
            (None, None) if !self.bad_below(path) => {
                self.error_hint(path, "is required", "write service: {name: NAME, port: {number: PORT}}");
            }
            (Some(service), None) => self.ingress_service(&format!("{path}.service"), service),
            _ => {}
        }
    }

    fn ingress_service(&mut self, path: &str, service: &IngressServiceBackend) {
        if !service.name.is_empty() {
            self.require(&format!("{path}.name"), name::dns_label(&service.name));
        }
        let port = service.port.as_ref();
        let number = port.and_then(|port| port.number).filter(|number| *number != 0);
        let named = port.and_then(|port| port.name.as_deref()).filter(|named| !named.is_empty());
        let path = format!("{path}.port");
        match (number, named) {
            (Some(_), Some(_)) => self.error(&path, "must have a name or a number, not both"),
            (None, None) if !self.bad_below(&path) => {
                self.error_hint(&path, "is required", "write port: {number: 80}, or the name of a port");
            }
            (None, Some(named)) => self.require(&format!("{path}.name"), name::port(named)),
            (Some(number), None) if !(1..=65535).contains(&number) => {
                self.error(&format!("{path}.number"), format!("must be between 1 and 65535, is {number}"));
            }
            _ => {}
        }
    }

    /// Checks an IngressClass.
    pub(super) fn ingress_class(&mut self, class: &IngressClass) {
        let controller = class.spec.as_ref().and_then(|spec| spec.controller.as_deref()).unwrap_or_default();
        if controller.is_empty() {
            let hint = "kube-play/ingress is the controller of kube";
            return self.error_hint("spec.controller", "is required", hint);
        }
        let is_valid = controller.len() <= 250
            && controller.split_once('/').is_some_and(|(prefix, rest)| {
                name::dns_subdomain(prefix).is_ok()
                    && !rest.is_empty()
                    && rest.chars().all(|c| c.is_ascii_alphanumeric() || "-._~/!$&'()*+,;=:@".contains(c))
            });
        if !is_valid {
            let message = format!("{} must be a DNS name, / and a path", shown(controller));
            self.error_hint("spec.controller", message, "for example kube-play/ingress");
        }
    }
}
