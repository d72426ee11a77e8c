//! Connections of clients and to endpoints: how long they last, and how many there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::support::{LIMIT, Running, empty, endpoint, full, options, route, routes, says, serve_stream};

#[tokio::test]
async fn connections_to_endpoints_are_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let answer = Arc::new(|_| async { Response::new(full("web")) });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve_stream(stream, Arc::clone(&answer)));
        }
    });
    let proxy = Running::to(&[address]).await;
    for _ in 0..20 {
        assert_eq!(proxy.get("/").await.0, 200);
    }
    for _ in 0..20 {
        let request = Request::post("/").header("host", "a").body(full("body")).unwrap();
        assert_eq!(proxy.client().await.send(request).await.0, 200);
    }
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_kept_connection_that_its_endpoint_closes_costs_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // Says that it keeps the connection, and closes it.
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    });
    let proxy = Running::to(&[address]).await;
    let mut client = proxy.client().await;
    for n in 0..50 {
        let request = Request::get("/").header("host", "a").body(empty()).unwrap();
        assert_eq!(client.send(request).await.2, "ok", "request {n}");
    }
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_in_time() {
    let mut all = routes(&[says("web").await], route("b"));
    all.options = options(|options| options.idle_seconds = 1);
    let proxy = Running::new(all).await;
    for beginning in
        ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"]
    {
        let begun = Instant::now();
        let answer = proxy.raw(beginning).await;
        assert!(begun.elapsed() < LIMIT / 2, "{beginning:?}");
        assert_eq!(answer.contains("200 OK"), beginning.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_sends_its_head_slowly_does_not_stay() {
    let mut all = routes(&[says("web").await], route("b"));
    all.options = options(|options| options.idle_seconds = 1);
    let proxy = Running::new(all).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let begun = Instant::now();
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await;
    // Something arrives all the time; what counts is that no head is complete.
    while stream.write_all(b"X: y\r\n").await.is_ok() && begun.elapsed() < LIMIT {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() < LIMIT / 2);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_response_does_not_stay() {
    let large = endpoint(|_| async { Response::new(full(vec![b'x'; 64 << 20])) }).await;
    let mut all = routes(&[large], route("b"));
    all.options = options(|options| options.idle_seconds = 1);
    let proxy = Running::new(all).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let begun = Instant::now();
    // A connection that is closed with data to send is reset: only then writing fails.
    while stream.write_all(b"\r\n").await.is_ok() && begun.elapsed() < LIMIT {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() < LIMIT / 2);
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_its_whole_response() {
    let large = endpoint(|_| async { Response::new(full(vec![b'x'; 16 << 20])) }).await;
    let mut all = routes(&[large], route("b"));
    all.options = options(|options| options.idle_seconds = 1);
    let proxy = Running::new(all).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let (mut count, mut part) = (0, vec![0; 1 << 20]);
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        match stream.read(&mut part).await.unwrap() {
            0 => break,
            read => count += read,
        }
    }
    assert!(count > 16 << 20, "{count}");
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let mut all = routes(&[says("web").await], route("b"));
    all.options = options(|options| options.max_connections = 1);
    let proxy = Running::new(all).await;
    let mut first = proxy.client().await;
    let request = || Request::get("/").header("host", "a").body(empty()).unwrap();
    assert_eq!(first.send(request()).await.0, 200);
    let mut second = proxy.client().await;
    let waiting = tokio::spawn(async move { second.send(request()).await.0 });
    assert_eq!(first.send(request()).await.0, 200);
    assert!(!waiting.is_finished());
    drop(first);
    assert_eq!(tokio::time::timeout(LIMIT, waiting).await.unwrap().unwrap(), 200);
}

#[tokio::test]
async fn at_its_end_the_proxy_finishes_requests_and_takes_no_more() {
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (has_begun, may_finish) = (Arc::clone(&begun), Arc::clone(&finish));
    let slow = endpoint(move |_| {
        has_begun.notify_one();
        let may_finish = Arc::clone(&may_finish);
        async move {
            may_finish.notified().await;
            Response::new(full("finished"))
        }
    })
    .await;
    let proxy = Running::to(&[slow]).await;
    let address = proxy.address;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut client = proxy.client().await;
    let request = Request::get("/").header("host", "a").body(empty()).unwrap();
    let answer = tokio::spawn(async move { client.send(request).await });
    begun.notified().await;
    let ended = tokio::spawn(proxy.proxy.end(LIMIT));
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0, "an idle connection is closed");
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!ended.is_finished());
    finish.notify_one();
    let (status, headers, body) = answer.await.unwrap();
    assert_eq!((status, body.as_str()), (200, "finished"));
    assert_eq!(headers["connection"], "close");
    tokio::time::timeout(LIMIT, ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let stuck = endpoint(|_| std::future::pending::<Response<crate::support::Body>>()).await;
    let proxy = Running::to(&[stuck]).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    proxy.proxy.end(Duration::from_millis(100)).await;
}
