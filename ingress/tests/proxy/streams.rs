//! Bodies pass through while they are sent, whatever their size.

use std::sync::Arc;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use ingress::Route;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::support::{Running, empty, endpoint, full, read, route, routes};

/// 64 MiB, far more than the buffers of sockets.
const LARGE: usize = 64 << 20;

#[tokio::test]
async fn large_bodies_pass_in_both_directions() {
    let echo = endpoint(|request: Request<Incoming>| async move {
        let length = request.headers()["content-length"].clone();
        let body = request.into_body().map_err(std::io::Error::other).boxed();
        Response::builder().header("content-length", length).body(body).unwrap()
    })
    .await;
    let proxy = Running::to(&[echo]).await;
    let body = Bytes::from(vec![b'x'; LARGE]);
    for is_http2 in [false, true] {
        let uri = if is_http2 { "http://a.example/" } else { "/" };
        let request = Request::post(uri).header("host", "a.example").body(full(body.clone())).unwrap();
        let response = match is_http2 {
            true => proxy.http2().await.send_request(request).await.unwrap(),
            false => proxy.client().await.0.send_request(request).await.unwrap(),
        };
        assert_eq!(read(response).await.unwrap().2.len(), LARGE, "HTTP/2: {is_http2}");
    }
}

#[tokio::test]
async fn a_client_reads_the_beginning_before_the_endpoint_has_written_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Notify::new());
    let go_on = Arc::clone(&seen);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n";
        stream.write_all(head).await.unwrap();
        go_on.notified().await;
        stream.write_all(b"3\r\nend\r\n0\r\n\r\n").await.unwrap();
        go_on.notified().await;
    });
    let proxy = Running::to(&[address]).await;
    let request = Request::get("/").header("host", "a").body(empty()).unwrap();
    let mut body = proxy.client().await.0.send_request(request).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "begin");
    seen.notify_one();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "end");
}

#[tokio::test]
async fn an_endpoint_reads_the_beginning_before_the_client_has_written_the_end() {
    let (send, mut receive) = tokio::sync::mpsc::channel::<Bytes>(1);
    let reader = endpoint(move |request: Request<Incoming>| {
        let send = send.clone();
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                send.send(frame.unwrap().into_data().unwrap()).await.unwrap();
            }
            Response::new(full("read"))
        }
    })
    .await;
    let proxy = Running::to(&[reader]).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let head =
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(receive.recv().await.unwrap(), "begin");
    stream.write_all(b"3\r\nend\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(receive.recv().await.unwrap(), "end");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("read"), "{answer}");
}

#[tokio::test]
async fn an_upload_may_take_longer_than_a_response() {
    let reader = endpoint(|request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(Full::new(body).map_err(|never| match never {}).boxed())
    })
    .await;
    let times = Route { read_seconds: Some(1), send_seconds: Some(1), ..route("b") };
    let proxy = Running::new(routes(&[reader], times)).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\n")
        .await
        .unwrap();
    for part in ["a", "b", "c", "d"] {
        // Less than the time-out each, more than it in all.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        stream.write_all(part.as_bytes()).await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("abcd"), "{answer}");
}

#[tokio::test]
async fn a_client_that_stops_sending_its_body_is_408() {
    let reader = endpoint(|request: Request<Incoming>| async move {
        let _ = request.into_body().collect().await;
        Response::new(empty())
    })
    .await;
    let proxy = Running::new(routes(&[reader], Route { send_seconds: Some(1), ..route("b") })).await;
    let answer = proxy.raw("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn an_endpoint_that_stops_in_its_response_ends_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    let proxy = Running::new(routes(&[address], Route { read_seconds: Some(1), ..route("b") })).await;
    let answer = proxy.raw("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.ends_with("half"), "{answer}");
}

#[tokio::test]
async fn an_endpoint_learns_that_its_client_has_gone() {
    let (gone, is_gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    struct Told(Arc<Notify>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (begun, told) = (Arc::clone(&gone), Arc::clone(&is_gone));
    let slow = endpoint(move |_| {
        begun.notify_one();
        let told = Told(Arc::clone(&told));
        async move {
            let _told = told;
            std::future::pending::<Response<crate::support::Body>>().await
        }
    })
    .await;
    let proxy = Running::to(&[slow]).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    gone.notified().await;
    drop(stream);
    tokio::time::timeout(crate::support::LIMIT, is_gone.notified()).await.unwrap();
}
