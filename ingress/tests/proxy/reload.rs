//! Changes of routes while requests come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::Request;
use ingress::{Backend, Listener};
use tokio::net::TcpStream;

use crate::support::{Http1, Running, empty, free_address, read, says};

/// Sends requests until `stop`, on connections that are kept and on new ones. Returns how many were answered; each has to
/// be.
async fn load(address: std::net::SocketAddr, stop: Arc<AtomicBool>, is_kept: bool) -> usize {
    let mut count = 0;
    let connect = async || Http1::new(TcpStream::connect(address).await.unwrap()).await;
    let mut client = connect().await;
    while !stop.load(Ordering::Relaxed) {
        if !is_kept {
            client = connect().await;
        }
        let request = Request::get("/").header("host", "a.example").body(empty()).unwrap();
        let (status, _, body) = client.send(request).await;
        assert_eq!(status, 200, "after {count}: {body}");
        count += 1;
    }
    count
}

#[tokio::test]
async fn no_request_is_lost_while_endpoints_and_listeners_change() {
    let endpoints = [says("one").await, says("two").await, says("three").await];
    let mut proxy = Running::to(&endpoints[..1]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..6).map(|n| tokio::spawn(load(proxy.address, Arc::clone(&stop), n % 2 == 0))).collect();
    let http2 = {
        let (mut client, stop) = (proxy.http2().await, Arc::clone(&stop));
        tokio::spawn(async move {
            let count = AtomicUsize::new(0);
            while !stop.load(Ordering::Relaxed) {
                let request = Request::get("http://a.example/").body(empty()).unwrap();
                let response = client.send_request(request).await.unwrap();
                assert_eq!(read(response).await.unwrap().0, 200);
                count.fetch_add(1, Ordering::Relaxed);
            }
            count.into_inner()
        })
    };
    for n in 0..60 {
        let extra = free_address().await;
        let status = proxy
            .change(|routes| {
                let endpoints = endpoints.iter().copied().cycle().skip(n).take(1 + n % 3).collect();
                routes.backends.insert("b".into(), Backend { endpoints });
                routes.listeners.truncate(1);
                routes.listeners.push(Listener { address: extra, tls: false });
            })
            .await;
        assert!(status.listeners.iter().all(|listener| listener.error.is_none()), "{status:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 50);
    }
    assert!(http2.await.unwrap() > 50);
}

#[tokio::test]
async fn listeners_are_opened_and_closed_as_the_routes_say() {
    let mut proxy = Running::to(&[says("web").await]).await;
    let (old, new) = (proxy.address, free_address().await);
    let mut kept = proxy.client().await;
    let request = || Request::get("/").header("host", "a").body(empty()).unwrap();
    assert_eq!(kept.send(request()).await.0, 200);
    let status = proxy.change(|routes| routes.listeners = vec![Listener { address: new, tls: false }]).await;
    assert_eq!((status.generation, status.listeners.len()), (2, 1));
    assert!(TcpStream::connect(old).await.is_err());
    assert_eq!(kept.send(request()).await.0, 200, "an open connection goes on");
    proxy.address = new;
    assert_eq!(proxy.get("/").await, (200, "web".into()));
}

#[tokio::test]
async fn a_port_that_another_process_has_is_reported_and_tried_again() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut proxy = Running::to(&[says("web").await]).await;
    let listener = Listener { address, tls: false };
    let status = proxy.change(|routes| routes.listeners.push(listener)).await;
    assert_eq!(status.listeners[0].error, None);
    assert!(status.listeners[1].error.as_deref().unwrap().contains("in use"), "{status:?}");
    drop(taken);
    let status = proxy.change(|_| {}).await;
    assert_eq!(status.listeners[1].error, None);
    proxy.address = address;
    assert_eq!(proxy.get("/").await.0, 200);
}

#[tokio::test]
async fn a_port_may_change_to_tls_and_back() {
    let mut proxy = Running::to(&[says("web").await]).await;
    for tls in [true, false] {
        let status = proxy.change(|routes| routes.listeners[0].tls = tls).await;
        assert_eq!(status.listeners[0].error, None);
    }
    assert_eq!(proxy.get("/").await.0, 200);
}
