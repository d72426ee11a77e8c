//! Which answer a request gets: that of an endpoint, or one of the proxy itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::{Request, Response};
use ingress::routes::Redirect;
use ingress::{Backend, Host, PathKind, Route};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{
    Running, answers_with, empty, endpoint, free_address, full, prefix, route, routes, says,
};

#[tokio::test]
async fn a_request_goes_to_the_backend_of_its_host_and_path() {
    let (web, api) = (says("web").await, says("api").await);
    let mut all = routes(&[], route("none"));
    all.backends.insert("web".into(), Backend { endpoints: vec![web] });
    all.backends.insert("api".into(), Backend { endpoints: vec![api] });
    let paths = vec![prefix("/", route("web")), prefix("/api", route("api"))];
    all.hosts = vec![Host { host: "a.example".into(), tls: false, paths, default: None }];
    let proxy = Running::new(all).await;
    assert_eq!(proxy.get_of("a.example", "/x").await, (200, "web".into()));
    assert_eq!(proxy.get_of("A.Example.:80", "/api/x").await, (200, "api".into()));
    assert_eq!(proxy.get_of("b.example", "/").await.0, 404);
}

#[tokio::test]
async fn an_endpoint_sees_the_request_as_it_was_and_who_sent_it() {
    let seen = endpoint(|request: Request<_>| async move {
        let mut lines: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        Response::new(full(format!("{} {}\n{}", request.method(), request.uri(), lines.join("\n"))))
    })
    .await;
    let proxy = Running::to(&[seen]).await;
    let answer = proxy
        .raw(
            "DELETE /a%20b/..%2f?x=1 HTTP/1.1\r\nHost: A.example:80\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\
             X-Forwarded-For: 9.9.9.9\r\nX_Forwarded_Proto: https\r\nAccept: */*\r\n\r\n",
        )
        .await;
    let port = proxy.address.port();
    let expected = format!(
        "DELETE /a%20b/..%2f?x=1\naccept: */*\nhost: A.example:80\nx-forwarded-for: 127.0.0.1\n\
         x-forwarded-host: A.example:80\nx-forwarded-port: {port}\nx-forwarded-proto: http\n\
         x-forwarded-scheme: http\nx-real-ip: 127.0.0.1"
    );
    assert!(answer.ends_with(&expected), "{answer}");
}

#[tokio::test]
async fn a_backend_without_endpoints_is_503() {
    assert_eq!(Running::to(&[]).await.get("/").await, (503, "503 Service Unavailable\n".into()));
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_is_502() {
    assert_eq!(Running::to(&[free_address().await]).await.get("/").await.0, 502);
}

#[tokio::test]
async fn an_endpoint_that_does_not_speak_http_is_502() {
    let bad = answers_with(b"SSH-2.0-OpenSSH_9\r\n\r\n").await;
    assert_eq!(Running::to(&[bad]).await.get("/").await.0, 502);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_in_time_is_504() {
    let silent = answers_with(b"").await;
    let proxy = Running::new(routes(&[silent], Route { read_seconds: Some(1), ..route("b") })).await;
    assert_eq!(proxy.get("/").await.0, 504);
}

#[tokio::test]
async fn a_response_that_stops_in_its_middle_is_cut_and_not_completed() {
    let cut = answers_with(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    let proxy = Running::to(&[cut]).await;
    let answer = proxy.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.contains("4\r\nhalf\r\n") && !answer.contains("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_body_above_the_limit_is_413_however_it_is_sent() {
    let count = endpoint(|request: Request<hyper::body::Incoming>| async move {
        let body = http_body_util::BodyExt::collect(request.into_body()).await;
        Response::new(full(body.map_or(0, |body| body.to_bytes().len()).to_string()))
    })
    .await;
    let proxy = Running::new(routes(&[count], Route { max_body: Some(5), ..route("b") })).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    for (body, expected) in [
        ("Content-Length: 5\r\n\r\n12345", "HTTP/1.1 200 OK"),
        ("Content-Length: 6\r\n\r\n123456", "HTTP/1.1 413 Payload Too Large"),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n", "HTTP/1.1 200 OK"),
        (
            "Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n3\r\n456\r\n0\r\n\r\n",
            "HTTP/1.1 413 Payload Too Large",
        ),
    ] {
        let answer = proxy.raw(&format!("{head}{body}")).await;
        assert!(answer.starts_with(expected), "{body}: {answer}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let proxy = Running::to(&[says("web").await]).await;
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n", "x".repeat(40 * 1024));
    let answer = proxy.raw(&request).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn requests_whose_host_is_missing_twice_or_none_are_400() {
    let proxy = Running::to(&[says("web").await]).await;
    for head in [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n",
        "GET / HTTP/1.1\r\nHost: user@a\r\n",
        "GET /../x HTTP/1.1\r\nHost: a\r\n",
    ] {
        let answer = proxy.raw(&format!("{head}Connection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head}: {answer}");
    }
    let old = proxy.raw("GET / HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 OK") && old.ends_with("web"), "{old}");
}

#[tokio::test]
async fn a_request_cannot_hide_another_one() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let seen = endpoint(move |request: Request<hyper::body::Incoming>| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            let _ = http_body_util::BodyExt::collect(request.into_body()).await;
            Response::new(full("ok"))
        }
    })
    .await;
    let proxy = Running::to(&[seen]).await;
    let inner = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    for head in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", inner.len() + 5),
        "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
    ] {
        let before = count.load(Ordering::Relaxed);
        let answer = proxy.raw(&format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}")).await;
        let reached = count.load(Ordering::Relaxed) - before;
        assert!(reached <= 1, "{head}: {answer}");
        assert!(reached == 1 || answer.starts_with("HTTP/1.1 400 "), "{head}: {answer}");
    }
}

#[tokio::test]
async fn redirects_answer_without_an_endpoint() {
    let mut all = routes(&[], Route { ssl_redirect: true, ..route("b") });
    all.options.https_port = Some(8443);
    all.hosts[0].tls = true;
    let to =
        Route { redirect: Some(Redirect { to: "https://b.example/".into(), status: 301 }), ..route("b") };
    all.hosts[0].paths.push(prefix("/old", to));
    let proxy = Running::new(all).await;
    let mut client = proxy.client().await;
    let mut location = async |path: &str| {
        let request = Request::get(path).header("host", "a.example:8080").body(empty()).unwrap();
        let (status, headers, _) = client.send(request).await;
        (status, headers["location"].to_str().unwrap().to_owned())
    };
    assert_eq!(location("/x?y=1").await, (308, "https://a.example:8443/x?y=1".into()));
    assert_eq!(location("/old").await, (301, "https://b.example/".into()));
}

#[tokio::test]
async fn a_path_is_rewritten_on_its_way() {
    let seen =
        endpoint(|request: Request<_>| async move { Response::new(full(request.uri().to_string())) }).await;
    let mut all = routes(&[seen], Route { rewrite_target: Some("/$2".into()), ..route("b") });
    all.hosts[0].paths[0].path = "/api(/|$)(.*)".into();
    all.hosts[0].paths[0].kind = PathKind::Regex;
    let proxy = Running::new(all).await;
    assert_eq!(proxy.get("/api/users/a%20b?x=1").await, (200, "/users/a%20b?x=1".into()));
    assert_eq!(proxy.get("/api").await, (200, "/".into()));
    assert_eq!(proxy.get("/other").await.0, 404);
}

#[tokio::test]
async fn requests_go_to_endpoints_in_turn() {
    let proxy = Running::to(&[says("one").await, says("two").await]).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(proxy.get("/").await.1);
    }
    assert_eq!(answers, ["one", "two", "one", "two"]);
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_costs_no_request() {
    let proxy = Running::to(&[free_address().await, says("alive").await]).await;
    for _ in 0..20 {
        let request = Request::post("/").header("host", "a").body(full("body")).unwrap();
        let (status, _, body) = proxy.client().await.send(request).await;
        assert_eq!(
            (status, body.as_str()),
            (200, "alive"),
            "a body that no endpoint has read can be sent again"
        );
    }
}

#[tokio::test]
async fn a_request_without_a_body_is_repeated_where_an_endpoint_breaks_off() {
    let (broken, good) = (answers_with(b"HTTP/1.1 ").await, says("good").await);
    let proxy = Running::to(&[broken, good]).await;
    for _ in 0..4 {
        assert_eq!(proxy.get("/").await, (200, "good".into()));
    }
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let request = Request::post("/").header("host", "a").body(full("body")).unwrap();
        statuses.push(proxy.client().await.send(request).await.0);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502], "the endpoint may have acted on a POST");
}

#[tokio::test]
async fn expect_continue_is_answered_by_the_proxy() {
    let echo = endpoint(|request: Request<hyper::body::Incoming>| async move {
        assert!(!request.headers().contains_key("expect"));
        let body = http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
        Response::new(full(body))
    })
    .await;
    let proxy = Running::to(&[echo]).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK") && rest.ends_with("body"), "{rest}");
}

#[tokio::test]
async fn each_request_has_a_line_in_the_access_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.log");
    let web = says("hello").await;
    let mut all = routes(&[web], Route { source: "default/web".into(), ..route("b") });
    all.options.access_log = Some(path.clone());
    let proxy = Running::new(all).await;
    proxy.get("/x?y").await;
    let text = std::fs::read_to_string(&path).unwrap();
    let fields: Vec<&str> = text.trim_end().split(' ').collect();
    assert_eq!(fields[1..8], ["127.0.0.1", "GET", "a.example", "/x?y", "HTTP/1.1", "200", "5"], "{text}");
    assert_eq!(fields[9..], [&web.to_string(), "default/web"], "{text}");
}
