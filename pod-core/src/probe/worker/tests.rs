use std::net::{Ipv4Addr, TcpListener};

use base64::Engine;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use tonic::codegen::http::{HeaderMap, Response};

use super::*;

/// A self-signed certificate that has expired, and its key. The key is used for these tests alone.
const CERTIFICATE: &str = "MIIBeTCCAR+gAwIBAgIUU3k0kthAlR3jr/E4IKnvxpM+YI4wCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHZXhwaXJlZDAeFw0yNjEx\
     MjcwODUwMTRaFw0yNjExMjgwODUwMTRaMBIxEDAOBgNVBAMMB2V4cGlyZWQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATp6xxu\
     4xLz9h552AJMZxo/cyBuuJsG4Uxw2kozmAtGHP0IC9Md8CNKYvFU4gp9HpnQxGFdP95+GtSmq8ANqIbWo1MwUTAdBgNVHQ4EFgQU\
     cemuBMsKTQhm4mEwtgLC9TVDEyAwHwYDVR0jBBgwFoAUcemuBMsKTQhm4mEwtgLC9TVDEyAwDwYDVR0TAQH/BAUwAwEB/zAKBggq\
     hkjOPQQDAgNIADBFAiBAKXxlNsiLRAi9fsiamPeqFe8zcNudgOF5SP2iqzmFgwIhAMHn0uMc7AAL+hG4UNYf8j/Wxw1H77MMXOf4\
     wwhpbWlH";
const KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgBcCbNBHEGh0OspbXQALgYocR9xN55H2VjPb11TIFOxihRANCAATp\
     6xxu4xLz9h552AJMZxo/cyBuuJsG4Uxw2kozmAtGHP0IC9Md8CNKYvFU4gp9HpnQxGFdP95+GtSmq8ANqIbW";

fn target(port: u16) -> Target {
    Target { namespace: None, host: Ipv4Addr::LOCALHOST.to_string(), port }
}

fn failure(text: &str) -> ProbeResult {
    ProbeResult::Failure(text.to_owned())
}

/// Returns the configuration of a server with the certificate.
fn server_config() -> ServerConfig {
    let der = |text: &str| base64::prelude::BASE64_STANDARD.decode(text).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der(KEY)));
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der(CERTIFICATE).into()], key)
        .unwrap()
}

/// Serves one request over TLS and returns the port.
fn serve_tls(answer: &'static str) -> u16 {
    let config = server_config();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let mut received = Vec::new();
        while !received.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            received.push(byte[0]);
        }
        // Ends without the farewell of TLS.
        stream.write_all(answer.as_bytes()).unwrap();
    });
    port
}

fn get(port: u16) -> ProbeResult {
    run(&Check::Http(Box::new(Request::new(Scheme::Https, target(port), "/", Vec::new()))))
}

#[test]
fn tls_is_not_verified() {
    let port = serve_tls("HTTP/1.1 200 OK\r\n\r\nfine");
    assert_eq!(get(port), ProbeResult::Success);
    let port = serve_tls("HTTP/1.1 503 No\r\n\r\n");
    assert_eq!(get(port), failure("HTTP probe failed with statuscode: 503"));
}

#[test]
fn a_name_that_nobody_has_fails() {
    let named = Target { host: "nobody.invalid".to_owned(), ..target(80) };
    let ProbeResult::Failure(text) = run(&Check::Tcp(named)) else { panic!() };
    assert!(text.starts_with("dial tcp: lookup nobody.invalid: "), "{text}");
}

/// Answers the calls of one connection.
async fn answer_grpc(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    message: Option<&'static [u8]>,
    status: &'static str,
) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        let agent = request.headers()["user-agent"].to_str().unwrap();
        assert!(agent.starts_with("kube-probe/"), "{agent}");
        let head = Response::builder().header("content-type", "application/grpc");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.parse().unwrap());
        let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
        if let Some(message) = message {
            stream.send_data(tonic::codegen::Bytes::from_static(message), false).unwrap();
        }
        stream.send_trailers(trailers).unwrap();
    }
}

/// Serves one call of gRPC and returns the port: `message` is the answer, `status` is grpc-status.
fn serve_grpc(message: Option<&'static [u8]>, status: &'static str, is_tls: bool) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            if !is_tls {
                return answer_grpc(stream, message, status).await;
            }
            let mut config = server_config();
            config.alpn_protocols = vec![b"h2".to_vec()];
            let stream = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
            answer_grpc(stream, message, status).await;
        });
    });
    port
}

#[test]
fn a_grpc_service_passes_if_it_answers_serving() {
    let check = |port, tls| Check::Grpc { target: target(port), service: "db".to_owned(), tls };
    let ask = |port| run(&check(port, false));
    assert_eq!(ask(serve_grpc(Some(&[0, 0, 0, 0, 2, 8, 1]), "0", false)), ProbeResult::Success);
    let unhealthy = failure("service unhealthy (responded with \"NOT_SERVING\")");
    assert_eq!(ask(serve_grpc(Some(&[0, 0, 0, 0, 2, 8, 2]), "0", false)), unhealthy);
    let ProbeResult::Failure(unknown) = ask(serve_grpc(None, "5", false)) else { panic!() };
    assert_eq!(unknown, "error: health rpc probe failed: rpc error: code = NotFound desc = ");
    let ProbeResult::Failure(missing) = ask(serve_grpc(None, "12", false)) else { panic!() };
    assert!(
        missing.starts_with("error: this server does not implement the grpc health protocol"),
        "{missing}"
    );
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let ProbeResult::Failure(refused) = ask(port) else { panic!() };
    assert!(
        refused.starts_with(&format!("error: failed to connect service at \"127.0.0.1:{port}\"")),
        "{refused}"
    );
    let serving = || Some(&[0, 0, 0, 0, 2, 8, 1][..]);
    assert_eq!(run(&check(serve_grpc(serving(), "0", true), true)), ProbeResult::Success);
    let ProbeResult::Failure(clear) = run(&check(serve_grpc(serving(), "0", false), true)) else { panic!() };
    assert!(clear.starts_with("error: failed to connect service"), "{clear}");
}

/// Serves one request over HTTP/2 in the clear and returns the port.
fn serve_http2(status: u16, location: Option<&'static str>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    assert_eq!(request.uri().authority().unwrap().as_str(), "health.example");
                    assert_eq!(request.headers()["x-probe"], "1");
                    let is_first = request.uri().path() == "/healthz";
                    let mut head = Response::builder().status(if is_first { status } else { 200 });
                    if let Some(location) = location.filter(|_| is_first) {
                        head = head.header("location", location);
                    }
                    let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
                    stream.send_data(tonic::codegen::Bytes::from_static(b"fine"), true).unwrap();
                }
            }
        });
    });
    port
}

#[test]
fn a_request_over_http2_passes_by_its_status() {
    let ask = |port| {
        let headers = [("Host", "health.example"), ("X-Probe", "1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let request = Request::new(Scheme::Http, target(port), "/healthz", headers.to_vec());
        run(&Check::Http(Box::new(request.over_http2())))
    };
    assert_eq!(ask(serve_http2(200, None)), ProbeResult::Success);
    assert_eq!(ask(serve_http2(503, None)), failure("HTTP probe failed with statuscode: 503"));
    assert_eq!(ask(serve_http2(302, Some("/elsewhere"))), ProbeResult::Success);
    // A server of HTTP/1.1 does not understand the request.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let ProbeResult::Failure(text) = ask(port) else { panic!() };
    assert!(text.starts_with(&format!("Get \"http://127.0.0.1:{port}/healthz\": ")), "{text}");
}
