//! Endpoints, clients and a running proxy, all on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Full, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use ingress::{Backend, Host, Listener, Options, Path, PathKind, Proxy, Route, Routes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub type Body = BoxBody<Bytes, std::io::Error>;

/// The most time for anything that has to happen.
pub const LIMIT: Duration = Duration::from_mins(1);

pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// A body of the parts that are sent to it.
pub struct InParts(pub tokio::sync::mpsc::Receiver<Frame<Bytes>>);

impl hyper::body::Body for InParts {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// Starts an endpoint that speaks HTTP/1 and HTTP/2, with upgrades.
pub async fn endpoint<F, R>(answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, Arc::new(answer)));
    address
}

pub async fn serve<F, R>(listener: TcpListener, answer: Arc<F>)
where
    F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve_stream(stream, Arc::clone(&answer)));
    }
}

pub async fn serve_stream<S, F, R>(stream: S, answer: Arc<F>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let response = answer(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

/// Starts an endpoint that answers with a text.
pub async fn says(text: &'static str) -> SocketAddr {
    endpoint(move |_| async move { Response::new(full(text)) }).await
}

/// Starts an endpoint that reads the head of one request per connection and answers with these bytes.
pub async fn answers_with(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let _ = stream.write_all(bytes).await;
                if bytes.is_empty() {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    address
}

/// Returns an address on which nothing listens.
pub async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

pub fn route(backend: &str) -> Route {
    Route { backend: backend.to_owned(), ..Route::default() }
}

pub fn prefix(path: &str, route: Route) -> Path {
    Path { path: path.to_owned(), kind: PathKind::Prefix, route }
}

/// Routes of every request to the endpoints of one backend.
pub fn routes(endpoints: &[SocketAddr], route: Route) -> Routes {
    let backend = Backend { endpoints: endpoints.to_vec() };
    Routes {
        generation: 1,
        backends: [(route.backend.clone(), backend)].into(),
        hosts: vec![Host { host: String::new(), tls: false, paths: vec![prefix("/", route)], default: None }],
        ..Routes::default()
    }
}

/// A proxy that listens on one address in the clear.
pub struct Running {
    pub proxy: Proxy,
    pub address: SocketAddr,
    pub routes: Routes,
}

impl Running {
    pub async fn new(mut routes: Routes) -> Self {
        let address = free_address().await;
        routes.listeners.push(Listener { address, tls: false });
        let mut proxy = Proxy::new(&routes.options).unwrap();
        let status = proxy.apply(&routes).await;
        assert!(status.listeners.iter().all(|listener| listener.error.is_none()), "{status:?}");
        assert!(status.problems.is_empty(), "{status:?}");
        Self { proxy, address, routes }
    }

    /// Starts a proxy of every request to these endpoints.
    pub async fn to(endpoints: &[SocketAddr]) -> Self {
        Self::new(routes(endpoints, route("b"))).await
    }

    pub async fn change(&mut self, change: impl FnOnce(&mut Routes)) -> ingress::Status {
        change(&mut self.routes);
        self.routes.generation += 1;
        self.proxy.apply(&self.routes).await
    }

    /// Sends the text of a request on a new connection and returns all that comes back until the connection is closed.
    pub async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        self.get_of("a.example", path).await
    }

    pub async fn get_of(&self, host: &str, path: &str) -> (u16, String) {
        let request = Request::get(path).header("host", host).body(empty()).unwrap();
        let response = self.client().await.send(request).await;
        (response.0, response.2)
    }

    /// Opens a connection of HTTP/1.
    pub async fn client(&self) -> Http1 {
        Http1::new(TcpStream::connect(self.address).await.unwrap()).await
    }

    /// Opens a connection of HTTP/2 without TLS.
    pub async fn http2(&self) -> http2::SendRequest<Body> {
        http2(TcpStream::connect(self.address).await.unwrap()).await
    }
}

/// A client of HTTP/1 that keeps its connection.
pub struct Http1(pub http1::SendRequest<Body>);

impl Http1 {
    pub async fn new(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Self(sender)
    }

    /// Returns status, headers and body.
    pub async fn send(&mut self, request: Request<Body>) -> (u16, hyper::HeaderMap, String) {
        self.try_send(request).await.unwrap()
    }

    pub async fn try_send(
        &mut self,
        request: Request<Body>,
    ) -> Result<(u16, hyper::HeaderMap, String), hyper::Error> {
        let exchange = async {
            self.0.ready().await?;
            read(self.0.send_request(request).await?).await
        };
        tokio::time::timeout(LIMIT, exchange).await.unwrap()
    }
}

pub async fn http2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> http2::SendRequest<Body> {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Returns status, headers and body of a response.
pub async fn read(response: Response<Incoming>) -> Result<(u16, hyper::HeaderMap, String), hyper::Error> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((parts.status.as_u16(), parts.headers, String::from_utf8_lossy(&body).into_owned()))
}

pub fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}
