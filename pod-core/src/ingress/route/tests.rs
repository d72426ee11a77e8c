use super::*;
use crate::service::EndpointView;
use serde_json::{Value, json};

/// An Ingress of the namespace `a`, played at a minute of an hour.
fn ingress(name: &str, minute: u32, spec: Value) -> Ingress {
    annotated(name, minute, json!({}), spec)
}

fn annotated(name: &str, minute: u32, annotations: Value, spec: Value) -> Ingress {
    let created = format!("2026-11-27T10:{minute:02}:00Z");
    let metadata =
        json!({"name": name, "namespace": "a", "creationTimestamp": created, "annotations": annotations});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn backend(name: &str, port: Value) -> Value {
    json!({"service": {"name": name, "port": port}})
}

/// A rule of one path to port 80 of the Service `web`.
fn rule(host: &str, path: &str, kind: &str) -> Value {
    let path = json!({"path": path, "pathType": kind, "backend": backend("web", json!({"number": 80}))});
    json!({"host": host, "http": {"paths": [path]}})
}

fn service(name: &str, ports: &[(&str, u16, &[&str])]) -> View {
    let service = json!({"metadata": {"name": name, "namespace": "a"}, "spec": {}});
    let port = |(port_name, port, endpoints): &(&str, u16, &[&str])| PortView {
        name: Some((*port_name).to_owned()).filter(|name| !name.is_empty()),
        protocol: "TCP".to_owned(),
        port: *port,
        endpoints: endpoints
            .iter()
            .map(|address| EndpointView {
                address: address.trim_end_matches('!').parse().unwrap(),
                pod: None,
                hostname: None,
                ready: !address.ends_with('!'),
            })
            .collect(),
    };
    View { service: serde_json::from_value(service).unwrap(), ports: ports.iter().map(port).collect() }
}

fn secret(name: &str, fields: Value) -> (Name, Secret) {
    let metadata = json!({"name": name, "namespace": "a"});
    let mut secret: Secret = serde_json::from_value(json!({"metadata": metadata})).unwrap();
    let fields = fields.as_object().unwrap().iter().map(|(key, value)| {
        (key.clone(), k8s_openapi::ByteString(value.as_str().unwrap().as_bytes().to_vec()))
    });
    secret.data = Some(fields.collect());
    (("a".to_owned(), name.to_owned()), secret)
}

fn web() -> View {
    service("web", &[("http", 80, &["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080!"]), ("", 81, &[])])
}

/// What the tests vary.
#[derive(Default)]
struct Given {
    ingresses: Vec<Ingress>,
    classes: BTreeMap<String, IngressClass>,
    services: Vec<View>,
    secrets: BTreeMap<Name, Secret>,
}

impl Given {
    fn route(&self) -> Routed {
        let Self { ingresses, classes, services, secrets } = self;
        route(&Inputs { ingresses, classes, services, secrets })
    }
}

fn routed(ingresses: Vec<Ingress>) -> Routed {
    Given { ingresses, services: vec![web()], ..Given::default() }.route()
}

fn problems(routed: &Routed) -> Vec<String> {
    routed
        .problems
        .iter()
        .flat_map(|((_, name), all)| all.iter().map(move |one| format!("{name}: {one}")))
        .collect()
}

/// The paths with their backends and Ingresses.
fn paths(routed: &Routed) -> Vec<String> {
    let of = |host: &Host| {
        let name = host.host.clone();
        let paths = host.paths.iter().map(move |path| {
            format!("{name} {:?} {} -> {} of {}", path.kind, path.path, path.route.backend, path.route.source)
        });
        paths.collect::<Vec<_>>()
    };
    routed.hosts.iter().flat_map(of).collect()
}

#[test]
fn rules_lead_to_the_ready_endpoints_of_services() {
    let by_name =
        json!({"path": "/name", "pathType": "Exact", "backend": backend("web", json!({"name": "http"}))});
    let spec = json!({"rules": [
        rule("a.example", "/", "Prefix"),
        {"http": {"paths": [by_name]}},
    ]});
    let routed = routed(vec![ingress("one", 0, spec)]);
    assert_eq!(
        paths(&routed),
        [" Exact /name -> a/web:80 of a/one", "a.example Prefix / -> a/web:80 of a/one"]
    );
    let endpoints: Vec<String> =
        routed.backends["a/web:80"].endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(endpoints, ["10.0.0.1:8080", "10.0.0.2:8080"]);
    assert!(problems(&routed).is_empty() && !routed.tls);
    assert_eq!(routed.served.len(), 1);
}

#[test]
fn what_is_missing_is_a_problem_and_leads_nowhere() {
    let to = |backend: Value, path: &str| json!({"path": path, "pathType": "Prefix", "backend": backend});
    let paths = json!([
        to(backend("gone", json!({"number": 80})), "/gone"),
        to(backend("web", json!({"number": 8080})), "/number"),
        to(backend("web", json!({"name": "grpc"})), "/name"),
        to(json!({"resource": {"kind": "Bucket", "name": "b"}}), "/resource"),
        to(backend("web", json!({"number": 81})), "/empty"),
    ]);
    let routed =
        routed(vec![ingress("one", 0, json!({"rules": [{"host": "a.example", "http": {"paths": paths}}]}))]);
    insta::assert_snapshot!(problems(&routed).join("\n"), @r"
    one: there is no Service gone for a.example/gone: requests get 503
    one: the Service web has no port 8080 for a.example/number: requests get 503
    one: the Service web has no port grpc for a.example/name: requests get 503
    one: nothing serves the resource of a.example/resource: requests get 503
    ");
    let backends: Vec<&str> = routed.hosts[0].paths.iter().map(|path| path.route.backend.as_str()).collect();
    assert_eq!(backends, ["", "", "", "", "a/web:81"]);
    assert!(routed.backends["a/web:81"].endpoints.is_empty(), "no endpoint is ready: no problem, but 503");
}

#[test]
fn an_external_name_has_no_endpoints() {
    let mut external = web();
    external.service.spec.get_or_insert_default().type_ = Some("ExternalName".into());
    let ingresses = vec![ingress("one", 0, json!({"rules": [rule("", "/", "Prefix")]}))];
    let routed = Given { ingresses, services: vec![external], ..Given::default() }.route();
    let expected = "one: the Service web is an ExternalName, which has no endpoints, for /: requests get 503";
    assert_eq!(problems(&routed), [expected]);
}

#[test]
fn a_service_of_another_namespace_is_not_meant() {
    let mut other = web();
    other.service.metadata.namespace = Some("b".into());
    let ingresses = vec![ingress("one", 0, json!({"rules": [rule("", "/", "Prefix")]}))];
    let routed = Given { ingresses, services: vec![other], ..Given::default() }.route();
    assert_eq!(problems(&routed), ["one: there is no Service web for /: requests get 503"]);
}

#[test]
fn the_older_ingress_keeps_a_path_that_a_newer_one_has_too() {
    let spec = json!({"rules": [rule("a.example", "/x", "Prefix"), rule("a.example", "/x", "Exact")]});
    let newer = json!({"rules": [rule("a.example", "/x/", "ImplementationSpecific"), rule("a.example", "/y", "Prefix")]});
    let routed = routed(vec![ingress("a-newer", 2, newer), ingress("older", 1, spec)]);
    assert_eq!(
        paths(&routed),
        [
            "a.example Prefix /x -> a/web:80 of a/older",
            "a.example Exact /x -> a/web:80 of a/older",
            "a.example Prefix /y -> a/web:80 of a/a-newer"
        ]
    );
    assert_eq!(problems(&routed), ["a-newer: a.example/x/ is served by the older Ingress a/older"]);
}

#[test]
fn a_path_that_is_there_twice_is_told() {
    let spec = json!({"rules": [rule("", "/x", "Prefix"), rule("", "/x", "Prefix")]});
    assert_eq!(
        problems(&routed(vec![ingress("one", 0, spec)])),
        ["one: /x is there twice: the first one counts"]
    );
}

#[test]
fn default_backends_are_of_their_hosts_and_the_oldest_of_all_others() {
    let with = |port: u16, rules: Value| json!({"defaultBackend": backend("web", json!({"number": port})), "rules": rules});
    let routed = routed(vec![
        ingress("older", 1, with(80, json!([rule("a.example", "/x", "Prefix")]))),
        ingress("newer", 2, with(81, json!([{"host": "b.example"}]))),
    ]);
    let of = |host: &str| {
        let host = routed.hosts.iter().find(|one| one.host == host).unwrap();
        host.default.as_ref().unwrap().backend.clone()
    };
    assert_eq!((of("a.example").as_str(), of("b.example").as_str()), ("a/web:80", "a/web:81"));
    assert_eq!(routed.default.as_ref().unwrap().backend, "a/web:80");
}

#[test]
fn annotations_become_options_of_routes() {
    let annotations = json!({
        "nginx.ingress.kubernetes.io/rewrite-target": "/$2",
        "nginx.ingress.kubernetes.io/ssl-redirect": "false",
        "nginx.ingress.kubernetes.io/backend-protocol": "GRPC",
        "nginx.ingress.kubernetes.io/proxy-body-size": "1k",
        "nginx.ingress.kubernetes.io/proxy-read-timeout": "600",
    });
    let spec =
        json!({"rules": [rule("", "/api(/|$)(.*)", "ImplementationSpecific"), rule("", "/x", "Exact")]});
    let routed = routed(vec![annotated("one", 0, annotations, spec)]);
    let [api, exact] = &routed.hosts[0].paths[..] else { panic!("{routed:?}") };
    assert_eq!((api.kind, exact.kind), (PathKind::Regex, PathKind::Exact));
    for path in [api, exact] {
        let route = &path.route;
        assert_eq!(route.rewrite_target.as_deref(), Some("/$2"));
        assert_eq!(
            (route.protocol, route.max_body, route.read_seconds),
            (::ingress::Protocol::Grpc, Some(1024), Some(600))
        );
        assert!(!route.ssl_redirect);
    }
}

#[test]
fn what_is_no_regular_expression_is_left_out() {
    let annotations = json!({"nginx.ingress.kubernetes.io/use-regex": "true"});
    let spec = json!({"rules": [rule("a.example", "/(?!x)", "ImplementationSpecific")]});
    let routed = routed(vec![annotated("one", 0, annotations, spec)]);
    assert!(paths(&routed).is_empty());
    let problems = problems(&routed);
    assert!(
        problems[0].starts_with("one: a.example/(?!x) is not served: no regular expression"),
        "{problems:?}"
    );
}

#[test]
fn a_path_may_be_missing_where_its_type_allows_it() {
    let path =
        json!({"pathType": "ImplementationSpecific", "backend": backend("web", json!({"number": 80}))});
    let routed = routed(vec![ingress("one", 0, json!({"rules": [{"http": {"paths": [path]}}]}))]);
    assert_eq!(paths(&routed), [" Prefix / -> a/web:80 of a/one"]);
}

#[test]
fn an_ingress_of_another_controller_is_left_out() {
    let class = json!({"metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}});
    let class = serde_json::from_value(class).unwrap();
    let spec = json!({"ingressClassName": "nginx", "rules": [rule("", "/", "Prefix")]});
    let mut given =
        Given { ingresses: vec![ingress("one", 0, spec)], services: vec![web()], ..Given::default() };
    given.classes.insert("nginx".to_owned(), class);
    let routed = given.route();
    assert!(routed.served.is_empty() && routed.hosts.is_empty());
    assert_eq!(
        problems(&routed),
        ["one: left out: its class nginx is served by k8s.io/ingress-nginx, which is not here"]
    );
    given.classes.clear();
    assert_eq!(given.route().served.len(), 1);
}

#[test]
fn certificates_come_from_secrets() {
    let pair = certificate::make(&["a.example".to_owned()], (2020, 1, 1), (2099, 1, 1)).unwrap();
    let good = json!({"tls.crt": pair.certificate, "tls.key": pair.key});
    let spec = json!({
        "rules": [rule("a.example", "/", "Prefix"), rule("b.example", "/", "Prefix")],
        "tls": [{"hosts": ["a.example"], "secretName": "good"}],
    });
    let secrets = [secret("good", good)].into();
    let given = Given {
        ingresses: vec![ingress("one", 0, spec)],
        services: vec![web()],
        secrets,
        ..Given::default()
    };
    let routed = given.route();
    assert!(routed.tls && routed.uncertified.is_empty() && problems(&routed).is_empty());
    let [certificate] = &routed.certificates[..] else { panic!("{routed:?}") };
    assert_eq!(certificate.hosts, ["a.example"]);
    let tls: Vec<(&str, bool)> = routed.hosts.iter().map(|host| (host.host.as_str(), host.tls)).collect();
    assert_eq!(tls, [("a.example", true), ("b.example", false)]);
}

#[test]
fn a_secret_that_cannot_be_used_is_a_problem_and_not_an_error() {
    let pair = certificate::make(&["a.example".to_owned()], (2020, 1, 1), (2099, 1, 1)).unwrap();
    let secrets = [
        secret("empty", json!({"tls.crt": pair.certificate})),
        secret("bad", json!({"tls.crt": pair.certificate, "tls.key": "x"})),
    ];
    let spec = json!({
        "rules": [rule("", "/", "Prefix")],
        "tls": [
            {"hosts": ["a.example"], "secretName": "gone"},
            {"hosts": ["b.example"], "secretName": "empty"},
            {"hosts": ["c.example"], "secretName": "bad"},
            {"hosts": ["d.example"]},
            {},
        ],
    });
    let ingresses = vec![ingress("one", 0, spec)];
    let routed =
        Given { ingresses, services: vec![web()], secrets: secrets.into(), ..Given::default() }.route();
    insta::assert_snapshot!(problems(&routed).join("\n"), @r"
    one: there is no Secret gone: a.example gets a self-made certificate
    one: the Secret empty has no tls.key: b.example gets a self-made certificate
    one: the Secret bad cannot be used: the private key is not PEM: no items found: c.example gets a self-made certificate
    one: there is no secretName: d.example gets a self-made certificate
    one: there is no secretName: every host gets a self-made certificate
    ");
    let hosts: Vec<&str> = routed.uncertified.iter().map(String::as_str).collect();
    assert_eq!(hosts, ["a.example", "b.example", "c.example", "d.example"]);
    assert!(routed.tls && routed.certificates.is_empty());
}

#[test]
fn tls_without_hosts_is_for_the_hosts_of_the_ingress() {
    let pair = certificate::make(&["a.example".to_owned()], (2020, 1, 1), (2099, 1, 1)).unwrap();
    let good = json!({"tls.crt": pair.certificate, "tls.key": pair.key});
    let spec = json!({"rules": [rule("a.example", "/", "Prefix")], "tls": [{"secretName": "good"}]});
    let secrets = [secret("good", good)].into();
    let given = Given {
        ingresses: vec![ingress("one", 0, spec)],
        services: vec![web()],
        secrets,
        ..Given::default()
    };
    let routed = given.route();
    assert_eq!(routed.certificates[0].hosts, ["a.example"]);
    assert!(routed.hosts[0].tls);
}
