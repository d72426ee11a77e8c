use super::*;
use crate::routes::Path;

fn route(backend: &str) -> Route {
    Route { backend: backend.to_owned(), ..Route::default() }
}

fn path(path: &str, kind: PathKind) -> Path {
    Path { path: path.to_owned(), kind, route: route(&format!("{kind:?} {path}")) }
}

fn host(host: &str, paths: Vec<Path>) -> Host {
    Host { host: host.to_owned(), tls: false, paths, default: None }
}

fn router(hosts: Vec<Host>) -> Router {
    let (router, failed) = Router::new(&Routes { hosts, ..Routes::default() });
    assert!(failed.is_empty(), "{failed:?}");
    router
}

/// Returns the backend of a request.
fn backend(router: &Router, host: &str, path: &str) -> Option<String> {
    router.find(host, path).map(|found| found.target.route.backend.clone())
}

/// The table "Examples" of the Kubernetes documentation of Ingress: kind, paths, path of the request, the path that
/// takes it.
#[test]
fn paths_match_as_the_table_of_kubernetes_says() {
    use PathKind::{Exact, Prefix};
    type Row<'a> = (&'a [(PathKind, &'a str)], &'a str, Option<&'a str>);
    let table: &[Row<'_>] = &[
        (&[(Prefix, "/")], "/", Some("Prefix /")),
        (&[(Prefix, "/")], "/any/path", Some("Prefix /")),
        (&[(Exact, "/foo")], "/foo", Some("Exact /foo")),
        (&[(Exact, "/foo")], "/bar", None),
        (&[(Exact, "/foo")], "/foo/", None),
        (&[(Exact, "/foo/")], "/foo", None),
        (&[(Prefix, "/foo")], "/foo", Some("Prefix /foo")),
        (&[(Prefix, "/foo")], "/foo/", Some("Prefix /foo")),
        (&[(Prefix, "/foo/")], "/foo", Some("Prefix /foo/")),
        (&[(Prefix, "/foo/")], "/foo/", Some("Prefix /foo/")),
        (&[(Prefix, "/aaa/bb")], "/aaa/bbb", None),
        (&[(Prefix, "/aaa/bbb")], "/aaa/bbb", Some("Prefix /aaa/bbb")),
        (&[(Prefix, "/aaa/bbb/")], "/aaa/bbb", Some("Prefix /aaa/bbb/")),
        (&[(Prefix, "/aaa/bbb")], "/aaa/bbb/", Some("Prefix /aaa/bbb")),
        (&[(Prefix, "/aaa/bbb")], "/aaa/bbb/ccc", Some("Prefix /aaa/bbb")),
        (&[(Prefix, "/aaa/bbb")], "/aaa/bbbxyz", None),
        (&[(Prefix, "/"), (Prefix, "/aaa")], "/aaa/ccc", Some("Prefix /aaa")),
        (&[(Prefix, "/"), (Prefix, "/aaa"), (Prefix, "/aaa/bbb")], "/aaa/bbb", Some("Prefix /aaa/bbb")),
        (&[(Prefix, "/"), (Prefix, "/aaa"), (Prefix, "/aaa/bbb")], "/ccc", Some("Prefix /")),
        (&[(Prefix, "/aaa")], "/ccc", None),
        (&[(Prefix, "/foo"), (Exact, "/foo")], "/foo", Some("Exact /foo")),
    ];
    for (paths, asked, expected) in table {
        let paths = paths.iter().map(|(kind, text)| path(text, *kind)).collect();
        let router = router(vec![host("a.example", paths)]);
        assert_eq!(backend(&router, "a.example", asked).as_deref(), *expected, "{asked}");
    }
}

/// The table "Hostname wildcards" of the same page.
#[test]
fn a_wildcard_takes_one_label() {
    let router = router(vec![host("*.foo.com", vec![path("/", PathKind::Prefix)])]);
    assert!(backend(&router, "bar.foo.com", "/").is_some());
    assert!(backend(&router, "baz.bar.foo.com", "/").is_none());
    assert!(backend(&router, "foo.com", "/").is_none());
}

#[test]
fn an_exact_host_comes_before_a_wildcard_and_that_before_none() {
    let of = |name: &str| Path { route: route(name), ..path("/", PathKind::Prefix) };
    let router = router(vec![
        host("", vec![of("any")]),
        host("*.example", vec![of("wildcard")]),
        host("a.example", vec![of("exact")]),
    ]);
    for (asked, expected) in [
        ("a.example", "exact"),
        ("b.example", "wildcard"),
        ("a.b.example", "any"),
        ("other", "any"),
        ("", "any"),
    ] {
        assert_eq!(backend(&router, asked, "/").as_deref(), Some(expected), "{asked}");
    }
}

#[test]
fn a_path_that_the_host_does_not_have_is_looked_for_in_less_exact_hosts() {
    let router = router(vec![
        host("", vec![path("/any", PathKind::Prefix)]),
        host("*.example", vec![path("/wild", PathKind::Prefix)]),
        host("a.example", vec![path("/exact", PathKind::Prefix)]),
    ]);
    for asked in ["/exact", "/wild", "/any"] {
        assert_eq!(backend(&router, "a.example", asked), Some(format!("Prefix {asked}")));
    }
    assert_eq!(backend(&router, "a.example", "/"), None);
}

#[test]
fn the_default_of_a_host_comes_before_that_of_all() {
    let hosts = vec![
        Host { default: Some(route("own")), ..host("a.example", vec![path("/x", PathKind::Prefix)]) },
        host("b.example", vec![path("/x", PathKind::Prefix)]),
    ];
    let routes = Routes { hosts, default: Some(route("all")), ..Routes::default() };
    let (router, _) = Router::new(&routes);
    assert_eq!(backend(&router, "a.example", "/y").as_deref(), Some("own"));
    assert_eq!(backend(&router, "b.example", "/y").as_deref(), Some("all"));
    assert_eq!(backend(&router, "c.example", "/x").as_deref(), Some("all"));
}

#[test]
fn the_first_of_two_equal_paths_wins() {
    for kind in [PathKind::Exact, PathKind::Prefix, PathKind::Regex] {
        let of = |name: &str| Path { route: route(name), ..path("/x", kind) };
        let router = router(vec![host("", vec![of("older"), of("newer")])]);
        assert_eq!(backend(&router, "", "/x").as_deref(), Some("older"), "{kind:?}");
    }
}

#[test]
fn a_regular_expression_begins_at_the_beginning_whatever_the_case() {
    let router = router(vec![host("", vec![path("/api(/|$)(.*)", PathKind::Regex)])]);
    for asked in ["/api", "/api/", "/API/x"] {
        assert!(backend(&router, "", asked).is_some(), "{asked}");
    }
    for asked in ["/apis", "/x/api/y"] {
        assert!(backend(&router, "", asked).is_none(), "{asked}");
    }
}

#[test]
fn the_longer_of_a_regular_expression_and_a_prefix_wins() {
    let router =
        router(vec![host("", vec![path("/", PathKind::Prefix), path("/api(/|$)(.*)", PathKind::Regex)])]);
    assert_eq!(backend(&router, "", "/api/x").as_deref(), Some("Regex /api(/|$)(.*)"));
    assert_eq!(backend(&router, "", "/x").as_deref(), Some("Prefix /"));
}

#[test]
fn a_path_is_rewritten_with_what_the_parentheses_took() {
    let rewriting = |target: &str, mut path: Path| {
        path.route.rewrite_target = Some(target.to_owned());
        router(vec![host("", vec![path])])
    };
    let rewritten = |router: &Router, path: &str| router.find("", path).unwrap().rewritten.unwrap();
    let regex = rewriting("/$2", path("/api(/|$)(.*)", PathKind::Regex));
    assert_eq!(rewritten(&regex, "/api/users/7"), "/users/7");
    assert_eq!(rewritten(&regex, "/api"), "/");
    // Without parentheses the whole path is replaced, as by nginx.
    let whole = rewriting("/", path("/api", PathKind::Regex));
    assert_eq!(rewritten(&whole, "/api/users"), "/");
    let exact = rewriting("/new", path("/old", PathKind::Exact));
    assert_eq!(rewritten(&exact, "/old"), "/new");
}

#[test]
fn what_is_no_regular_expression_is_left_out_and_returned() {
    for bad in ["/api(", "/(?=x)", r"/(.*)/\1"] {
        let routes = Routes {
            hosts: vec![host("a.example", vec![path(bad, PathKind::Regex), path("/x", PathKind::Exact)])],
            ..Routes::default()
        };
        let (router, failed) = Router::new(&routes);
        assert_eq!(failed.len(), 1, "{bad}");
        assert!(failed[0].starts_with(&format!("a.example{bad}: ")), "{failed:?}");
        assert!(backend(&router, "a.example", "/x").is_some());
    }
}

#[test]
fn a_huge_regular_expression_is_refused() {
    assert!(compile("/(a{1000}){1000}").is_err());
}

#[test]
fn a_host_of_an_authority_is_in_lower_case_without_port() {
    for (authority, expected) in [
        ("web.example", "web.example"),
        ("Web.Example:8080", "web.example"),
        ("web.example.", "web.example"),
        ("web.example.:80", "web.example"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("[fd00::1]:80", "[fd00::1]"),
        ("[fd00::1]", "[fd00::1]"),
        ("", ""),
    ] {
        assert_eq!(host_of(authority), expected, "{authority}");
    }
}

#[test]
fn endpoints_take_requests_in_turn() {
    let addresses: Vec<SocketAddr> =
        ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"].map(|a| a.parse().unwrap()).into();
    let endpoints = Endpoints::new(addresses.clone());
    let firsts: Vec<SocketAddr> = (0..4).map(|_| endpoints.in_turn().next().unwrap()).collect();
    assert_eq!(firsts, [addresses[0], addresses[1], addresses[2], addresses[0]]);
    let mut one: Vec<SocketAddr> = endpoints.in_turn().collect();
    one.sort();
    assert_eq!(one, addresses, "a request may try each of them");
    assert_eq!(Endpoints::default().in_turn().count(), 0);
}

#[test]
fn a_backend_that_is_not_described_has_no_endpoints() {
    let router = router(vec![host("", vec![path("/", PathKind::Prefix)])]);
    assert!(router.find("", "/").unwrap().target.endpoints.addresses().is_empty());
}

#[test]
fn paths_to_one_backend_share_its_turns() {
    let of = |text: &str| Path { route: route("b"), ..path(text, PathKind::Prefix) };
    let addresses: Vec<SocketAddr> = ["10.0.0.1:1", "10.0.0.2:1"].map(|a| a.parse().unwrap()).into();
    let routes = Routes {
        backends: [("b".to_owned(), Backend { endpoints: addresses.clone() })].into(),
        hosts: vec![host("", vec![of("/a"), of("/b")])],
        ..Routes::default()
    };
    let (router, _) = Router::new(&routes);
    let first = |path: &str| router.find("", path).unwrap().target.endpoints.in_turn().next().unwrap();
    assert_eq!([first("/a"), first("/b")], addresses[..]);
}

#[test]
fn whether_a_host_has_tls_is_known_of_every_request_for_it() {
    let hosts = vec![
        host("", vec![path("/", PathKind::Prefix)]),
        Host { tls: true, ..host("a.example", vec![path("/x", PathKind::Prefix)]) },
    ];
    let router = router(hosts);
    assert!(router.find("a.example", "/x").unwrap().tls);
    assert!(router.find("a.example", "/other").unwrap().tls);
    assert!(!router.find("b.example", "/").unwrap().tls);
}

proptest::proptest! {
    #[test]
    fn a_prefix_takes_exactly_paths_with_its_elements(
        prefix in "(/[ab]{1,2}){0,3}/?",
        asked in "(/[ab]{1,2}){0,4}/?",
    ) {
        let elements = |path: &str| {
            path.split('/').filter(|element| !element.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let asked = if asked.is_empty() { "/".to_owned() } else { asked };
        let router = router(vec![host("", vec![path(&prefix, PathKind::Prefix)])]);
        let expected = elements(&asked).starts_with(&elements(&prefix));
        proptest::prop_assert_eq!(backend(&router, "", &asked).is_some(), expected);
    }
}
