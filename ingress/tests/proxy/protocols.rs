//! HTTP/2, TLS, gRPC and upgrades.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{HeaderMap, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use ingress::certificate::make;
use ingress::{Certificate, KeyPair, Listener, Protocol, Route, Routes};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{
    Body, Http1, InParts, Running, empty, endpoint, free_address, full, http2, read, route, routes, says,
    serve_stream,
};

fn pair(host: &str) -> KeyPair {
    make(&[host.to_owned()], (2020, 1, 1), (2099, 1, 1)).unwrap()
}

fn certificate(hosts: &[&str], pair: &KeyPair) -> Certificate {
    Certificate {
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        certificate: pair.certificate.clone(),
        key: pair.key.clone(),
    }
}

/// Adds a listener with TLS and returns its address.
async fn with_tls(routes: &mut Routes) -> SocketAddr {
    let address = free_address().await;
    routes.listeners.push(Listener { address, tls: true });
    address
}

/// Connects with TLS to `host` at an address. Only `trusted` is accepted as certificate.
async fn connect(
    address: SocketAddr,
    host: &str,
    trusted: &KeyPair,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn each_host_presents_its_certificate_and_unknown_hosts_the_default_one() {
    let (a, b, other) = (pair("a.example"), pair("*.b.example"), pair("unknown.example"));
    let mut all = routes(&[says("web").await], route("b"));
    all.certificates = vec![certificate(&["a.example"], &a), certificate(&["*.b.example"], &b)];
    all.default_certificate = Some(certificate(&[], &other));
    let address = with_tls(&mut all).await;
    let _proxy = Running::new(all).await;
    for (host, pair) in [("a.example", &a), ("x.b.example", &b), ("unknown.example", &other)] {
        let stream = connect(address, host, pair, &[]).await.unwrap_or_else(|e| panic!("{host}: {e}"));
        let request = Request::get("/").header("host", host).body(empty()).unwrap();
        let (status, _, body) = Http1::new(stream).await.send(request).await;
        assert_eq!((status, body.as_str()), (200, "web"), "{host}");
    }
    assert!(connect(address, "a.example", &b, &[]).await.is_err());
}

#[tokio::test]
async fn alpn_chooses_the_version_and_the_endpoint_learns_of_tls() {
    let seen = endpoint(|request: Request<Incoming>| async move {
        let headers = request.headers();
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        let said = [text("host"), text("x-forwarded-proto"), text("x-forwarded-port")].join(" ");
        Response::new(full(format!("{:?} {said}", request.version())))
    })
    .await;
    let a = pair("a.example");
    let mut all = routes(&[seen], route("b"));
    all.certificates = vec![certificate(&["a.example"], &a)];
    let address = with_tls(&mut all).await;
    let _proxy = Running::new(all).await;
    let expected = format!("HTTP/1.1 a.example https {}", address.port());

    let stream = connect(address, "a.example", &a, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let request = Request::get("https://a.example/").body(empty()).unwrap();
    let response = http2(stream).await.send_request(request).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(read(response).await.unwrap().2, expected);

    let stream = connect(address, "a.example", &a, &[b"http/1.1"]).await.unwrap();
    let request = Request::get("/").header("host", "a.example").body(empty()).unwrap();
    assert_eq!(Http1::new(stream).await.send(request).await.2, expected);
}

#[tokio::test]
async fn certificates_change_without_a_new_listener() {
    let (before, after) = (pair("a.example"), pair("a.example"));
    let mut all = routes(&[says("web").await], route("b"));
    all.certificates = vec![certificate(&["a.example"], &before)];
    let address = with_tls(&mut all).await;
    let mut proxy = Running::new(all).await;
    connect(address, "a.example", &before, &[]).await.unwrap();
    proxy.change(|routes| routes.certificates = vec![certificate(&["a.example"], &after)]).await;
    connect(address, "a.example", &after, &[]).await.unwrap();
    assert!(connect(address, "a.example", &before, &[]).await.is_err());
}

#[tokio::test]
async fn http2_is_spoken_without_tls_to_who_begins_with_it() {
    let proxy = Running::to(&[says("web").await]).await;
    let mut client = proxy.http2().await;
    let requests =
        (0..20).map(|_| client.send_request(Request::get("http://a.example/").body(empty()).unwrap()));
    for response in requests.collect::<Vec<_>>() {
        assert_eq!(read(response.await.unwrap()).await.unwrap().2, "web");
    }
}

#[tokio::test]
async fn cookies_of_http2_reach_an_endpoint_of_http1_as_one_field() {
    let seen = endpoint(|request: Request<Incoming>| async move {
        let cookies: Vec<_> = request.headers().get_all("cookie").iter().collect();
        Response::new(full(format!("{cookies:?}")))
    })
    .await;
    let proxy = Running::to(&[seen]).await;
    let request = Request::get("http://a.example/")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(empty())
        .unwrap();
    let response = proxy.http2().await.send_request(request).await.unwrap();
    assert_eq!(read(response).await.unwrap().2, r#"["a=1; b=2"]"#);
}

/// Answers as a gRPC server does: messages back as they come, then the status in trailers.
async fn grpc(request: Request<Incoming>) -> Response<Body> {
    assert_eq!(request.version(), Version::HTTP_2);
    assert_eq!(request.headers()["te"], "trailers");
    assert_eq!(request.uri().authority().unwrap(), "a.example");
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("grpc-message", request.uri().path().parse().unwrap());
    let (send, receive) = tokio::sync::mpsc::channel::<Frame<Bytes>>(1);
    let mut body = request.into_body();
    tokio::spawn(async move {
        while let Some(frame) = body.frame().await {
            let _ = send.send(frame.unwrap()).await;
        }
        let _ = send.send(Frame::trailers(trailers)).await;
    });
    let body = InParts(receive).boxed();
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

async fn call_grpc(mut client: hyper::client::conn::http2::SendRequest<Body>) {
    let (send, receive) = tokio::sync::mpsc::channel::<Frame<Bytes>>(1);
    let body = InParts(receive).boxed();
    let request = Request::post("http://a.example/echo.Echo/Call")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let mut body = response.into_body();
    // Each message comes back before the next one is sent: nothing waits for the end of the stream.
    for message in ["one", "two", "three"] {
        send.send(Frame::data(Bytes::from(message))).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), message);
    }
    drop(send);
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["grpc-message"], "/echo.Echo/Call");
}

#[tokio::test]
async fn grpc_streams_both_ways_and_keeps_its_trailers() {
    let endpoint = endpoint(grpc).await;
    let proxy = Running::new(routes(&[endpoint], Route { protocol: Protocol::Grpc, ..route("b") })).await;
    call_grpc(proxy.http2().await).await;
    call_grpc(proxy.http2().await).await;
}

/// Starts an endpoint with TLS.
async fn secure_endpoint<F, R>(alpn: &'static [u8], answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let pair = pair("anything.example");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
            tokio::spawn(async move { serve_stream(acceptor.accept(stream).await.unwrap(), answer).await });
        }
    });
    address
}

#[tokio::test]
async fn tls_is_spoken_to_endpoints_that_want_it() {
    let web = secure_endpoint(b"http/1.1", |_| async { Response::new(full("secret")) }).await;
    let proxy = Running::new(routes(&[web], Route { protocol: Protocol::Https, ..route("b") })).await;
    assert_eq!(proxy.get("/").await, (200, "secret".into()));
    let grpc = secure_endpoint(b"h2", grpc).await;
    let proxy = Running::new(routes(&[grpc], Route { protocol: Protocol::Grpcs, ..route("b") })).await;
    call_grpc(proxy.http2().await).await;
}

/// Switches to a protocol that sends everything back, as a WebSocket does.
async fn echo(mut request: Request<Incoming>) -> Response<Body> {
    if request.headers().get("upgrade").is_none_or(|upgrade| upgrade != "websocket") {
        return Response::builder().status(StatusCode::BAD_REQUEST).body(empty()).unwrap();
    }
    assert_eq!(request.headers()["connection"], "upgrade");
    assert_eq!(request.headers()["sec-websocket-key"], "key");
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", "accepted")
        .body(empty())
        .unwrap()
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: key\r\n\r\n";

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

#[tokio::test]
async fn a_websocket_is_passed_on_and_outlives_changes_of_routes() {
    let mut proxy = Running::to(&[endpoint(echo).await]).await;
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    // What follows the request at once belongs to the other protocol already.
    stream.write_all(format!("{UPGRADE}first").as_bytes()).await.unwrap();
    let answer = head(&mut stream).await;
    assert!(answer.starts_with("http/1.1 101 switching protocols\r\n"), "{answer}");
    for field in ["connection: upgrade", "upgrade: websocket", "sec-websocket-accept: accepted"] {
        assert!(answer.contains(field), "{answer}");
    }
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"first");
    proxy
        .change(|routes| *routes = Routes { listeners: routes.listeners.clone(), ..Routes::default() })
        .await;
    stream.write_all(b"again").await.unwrap();
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"again");
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut echoed).await.unwrap(), 0);
}

#[tokio::test]
async fn an_endpoint_may_refuse_to_switch() {
    let proxy = Running::to(&[says("no").await]).await;
    let answer = proxy.raw(&UPGRADE.replace("keep-alive, Upgrade", "close, Upgrade")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("no"), "{answer}");
}

#[tokio::test]
async fn an_endpoint_cannot_switch_unasked() {
    let bad = crate::support::answers_with(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    )
    .await;
    assert_eq!(Running::to(&[bad]).await.get("/").await.0, 502);
}
