use super::*;
use crate::routes::Redirect;

#[test]
fn paths_are_normalized_before_they_are_compared() {
    for (given, expected) in [
        ("", "/"),
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/a//b", "/a/b"),
        ("//a", "/a"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/..", "/"),
        ("/a/b/.", "/a/b/"),
        ("/%61/b", "/a/b"),
        ("/a/%2e%2e/b", "/b"),
        ("/a%2Fb", "/a/b"),
        ("/caf%C3%A9", "/caf\u{e9}"),
        ("/%ff", "/\u{fffd}"),
        ("/100%", "/100%"),
        ("/%zz", "/%zz"),
        ("/.well-known/x", "/.well-known/x"),
        ("/...", "/..."),
    ] {
        assert_eq!(normalize(given).as_deref(), Ok(expected), "{given}");
    }
}

#[test]
fn a_path_above_the_root_is_refused() {
    for bad in ["/..", "/a/../../b", "/%2e%2e/etc", "/./.."] {
        assert_eq!(normalize(bad), Err(AboveRoot), "{bad}");
    }
}

#[test]
fn templates_are_filled_in() {
    let regex = crate::router::compile("/(a+)/(b*)(c)?").unwrap();
    let captures = regex.captures("/aa/bb").unwrap();
    for (template, expected) in [
        ("/", "/"),
        ("/$1", "/aa"),
        ("/x/$2/$1", "/x/bb/aa"),
        ("/$1y", "/aay"),
        ("/$3", "/"),
        ("/$9", "/"),
        ("/$", "/$"),
        ("/$x", "/$x"),
        ("/$0", "//aa/bb"),
    ] {
        assert_eq!(expand(template, &captures), expected, "{template}");
    }
}

#[test]
fn a_rewritten_path_keeps_the_query_and_is_escaped() {
    for (rewritten, query, expected) in [
        ("/a", None, "/a"),
        ("/a", Some("x=1"), "/a?x=1"),
        ("/a?y=2", Some("x=1"), "/a?y=2&x=1"),
        ("a", None, "/a"),
        ("/a b\u{e9}", Some("x"), "/a%20b%C3%A9?x"),
        ("/a%", None, "/a%25"),
        ("/a", Some(""), "/a"),
        ("/a?b\r\nHost: x", None, "/a?b%0D%0AHost:%20x"),
    ] {
        let text = path_and_query(rewritten, query);
        assert_eq!(text, expected);
        assert!(text.parse::<hyper::http::uri::PathAndQuery>().is_ok());
    }
}

fn request(is_secure: bool) -> Request<'static> {
    Request {
        is_secure,
        host: "a.example",
        path: "/x",
        path_and_query: "/x?y=1",
        host_has_tls: true,
        https_port: Some(443),
    }
}

#[test]
fn requests_in_the_clear_are_redirected_where_the_host_has_tls() {
    let route = Route { ssl_redirect: true, ..Route::default() };
    let location = |request: Request<'_>| redirect(&route, &request).map(|to| (to.status, to.location));
    let expected = Some((308, "https://a.example/x?y=1".to_owned()));
    assert_eq!(location(request(false)), expected);
    assert_eq!(location(request(true)), None);
    assert_eq!(location(Request { host_has_tls: false, ..request(false) }), None);
    assert_eq!(location(Request { https_port: None, ..request(false) }), None);
    let other = Request { https_port: Some(8443), ..request(false) };
    assert_eq!(location(other), Some((308, "https://a.example:8443/x?y=1".to_owned())));
}

#[test]
fn a_forced_redirect_needs_no_tls_of_the_host() {
    let route = Route { force_ssl_redirect: true, ..Route::default() };
    let plain = Request { host_has_tls: false, ..request(false) };
    assert_eq!(redirect(&route, &plain).unwrap().status, 308);
    assert_eq!(redirect(&route, &Request { is_secure: true, ..plain }), None);
}

#[test]
fn only_the_root_is_redirected_to_the_root_of_the_application() {
    let route = Route { app_root: Some("/app".into()), ..Route::default() };
    let root = Request { path: "/", path_and_query: "/", ..request(true) };
    let to = redirect(&route, &root).unwrap();
    assert_eq!((to.status, to.location.as_str()), (302, "/app"));
    assert_eq!(redirect(&route, &request(true)), None);
}

#[test]
fn a_permanent_redirect_comes_before_everything_else() {
    let to = Redirect { to: "https://other.example".into(), status: 301 };
    let route = Route { redirect: Some(to), ssl_redirect: true, ..Route::default() };
    let to = redirect(&route, &request(false)).unwrap();
    assert_eq!((to.status, to.location.as_str()), (301, "https://other.example"));
}

proptest::proptest! {
    #[test]
    fn a_normalized_path_is_normal(path in "/[a-c./%2eEfF]{0,20}") {
        if let Ok(once) = normalize(&path) {
            proptest::prop_assert!(once.starts_with('/'));
            proptest::prop_assert!(!once.contains("//"));
            proptest::prop_assert!(!once.split('/').any(|element| element == ".." || element == "."));
        }
    }

    #[test]
    fn what_is_sent_is_always_a_path(rewritten in "\\PC{0,20}", query in proptest::option::of("[!-~&&[^#]]{0,10}")) {
        let text = path_and_query(&rewritten, query.as_deref());
        proptest::prop_assert!(text.parse::<hyper::http::uri::PathAndQuery>().is_ok(), "{}", text);
    }
}
