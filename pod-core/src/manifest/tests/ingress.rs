//! Rules of Ingresses and IngressClasses.

use super::*;

fn ingress(spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web}}\nspec:\n  {spec}\n")
}

/// The paths of one rule.
fn paths(paths: &str) -> String {
    ingress(&format!("rules: [{{host: a.example, http: {{paths: [{paths}]}}}}]"))
}

fn annotated(annotations: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web, annotations: {{{annotations}}}}}\nspec:\n  \
         ingressClassName: nginx\n  rules:\n  - http:\n      paths:\n      - path: /api(/|$)(.*)\n        pathType: \
         ImplementationSpecific\n        backend: {{service: {{name: web, port: {{name: http}}}}}}\n"
    )
}

#[test]
fn rules_of_ingresses() {
    insta::assert_snapshot!(gallery(
        [
            "{}",
            "defaultBackend: {service: {name: web, port: {number: 80}}}",
            "defaultBackend: {}",
            "defaultBackend: {service: {name: web, port: {number: 80}}, resource: {kind: Bucket, name: b}}",
            "defaultBackend: {resource: {kind: Bucket, name: b}}",
            "rules: [{host: 10.0.0.1}, {host: '*.a.example'}, {host: 'a.*.example'}, {host: A.example}, {host: '*'}]",
            "rules: [{host: a.example, http: {}}, {http: {paths: []}}]",
            "defaultBackend: {service: {name: web, port: {number: 80}}}\ntls: [{hosts: ['*.b.example', b_example], secretName: A}, {}]",
            "defaultBackend: {service: {name: web, port: {number: 80}}}\ningressClassName: a b",
            "defaultBackend: {service: {name: web, port: {number: 80}}}\ningressClassName: alb",
            "backend: {serviceName: web, servicePort: 80}",
        ],
        ingress
    ));
}

#[test]
fn rules_of_paths_of_ingresses() {
    insta::assert_snapshot!(gallery(
        [
            "{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}",
            "{path: /, backend: {service: {name: web, port: {number: 80}}}}",
            "{path: /, pathType: prefix, backend: {service: {name: web, port: {number: 80}}}}",
            "{path: api, pathType: Exact, backend: {service: {name: web, port: {number: 80}}}}",
            "{pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}",
            "{pathType: ImplementationSpecific, backend: {service: {name: web, port: {number: 80}}}}",
            "{path: /a//b/../c%2F/., pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}",
            "{path: /, pathType: Prefix, backend: {service: {name: web}}}",
            "{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80, name: http}}}}",
            "{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 70000}}}}",
            "{path: /, pathType: Prefix, backend: {service: {name: Web_, port: {name: HTTP_PORT}}}}",
            "{path: /, pathType: Prefix, backend: {service: {name: web, port: 80}}}",
            "{path: /, pathType: Prefix, backend: {serviceName: web, servicePort: 80}}",
        ],
        paths
    ));
}

#[test]
fn annotations_of_ingresses() {
    insta::assert_snapshot!(gallery(
        [
            "nginx.ingress.kubernetes.io/rewrite-target: /$2, nginx.ingress.kubernetes.io/proxy-buffering: 'off'",
            "nginx.ingress.kubernetes.io/ssl-redirect: 'yes', nginx.ingress.kubernetes.io/proxy-body-size: lots",
            "nginx.ingress.kubernetes.io/auth-url: x, nginx.ingress.kubernetes.io/limit-rps: '5', traefik.ingress.kubernetes.io/router.tls: 'true'",
            "nginx.ingress.kubernetes.io/enable-cors: 'true'",
            "kubernetes.io/ingress.class: traefik",
            "kubernetes.io/ingress.class: nginx, cert-manager.io/cluster-issuer: letsencrypt",
        ],
        annotated
    ));
}

#[test]
fn a_path_that_is_no_regular_expression_is_not_served() {
    let text = annotated("nginx.ingress.kubernetes.io/use-regex: 'true'").replace("/api(/|$)(.*)", "/(?!x)y");
    insta::assert_snapshot!(told(&text));
}

#[test]
fn rules_of_ingress_classes() {
    let class = |spec: &str| {
        format!("apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: c}}\nspec: {spec}\n")
    };
    insta::assert_snapshot!(gallery(
        [
            "{controller: kube-play/ingress}",
            "{controller: k8s.io/ingress-nginx, parameters: {kind: P, name: p}}",
            "{controller: nginx}",
            "{controller: 'a b/c'}",
            "{}",
        ],
        class
    ));
}

#[test]
fn removed_versions_of_ingress_are_left_out() {
    insta::assert_snapshot!(told(
        "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: web}\nspec: {backend: {serviceName: a}}\n---\n\
         apiVersion: networking.k8s.io/v1beta1\nkind: IngressClass\nmetadata: {name: c}\n---\n\
         apiVersion: networking.k8s.io/v2\nkind: Ingress\nmetadata: {name: web}\nspec: {}\n"
    ));
}
