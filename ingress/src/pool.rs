//! Connections to endpoints. Connections of HTTP/1 are kept for later requests; one connection of HTTP/2 carries all
//! requests to its endpoint.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::request_body::RequestBody;
use crate::tls;

/// How long an unused connection is kept. (nginx: `keepalive_timeout` of an upstream.)
const KEPT: Duration = Duration::from_mins(1);
/// How many unused connections are kept per endpoint.
const MAX_KEPT: usize = 256;
/// How long an endpoint that could not be reached is tried only after the others.
const AVOIDED: Duration = Duration::from_secs(2);

/// An endpoint, and whether connections to it begin with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
}

/// Why an endpoint cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("no connection within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] hyper::Error),
}

type Http1 = http1::SendRequest<RequestBody>;
type Http2 = http2::SendRequest<RequestBody>;

/// A connection that takes a request.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: Sender,
    key: Key,
    /// Whether other requests used the connection before, so that the endpoint may be about to close it.
    pub(crate) is_used: bool,
}

#[derive(Debug)]
enum Sender {
    Http1(Http1),
    Http2(Http2),
}

/// A connection of HTTP/1 that is used again after the response.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Arc<Pool>,
    key: Key,
    sender: Http1,
}

impl Lease {
    /// Keeps the connection for the next request.
    pub(crate) fn give_back(self) {
        Pool::keep(&self.pool, self.key, self.sender);
    }
}

impl Connection {
    /// Sends a request. If it was not sent, the error contains it.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    /// Returns what keeps the connection after the response. A connection of HTTP/2 is kept anyway.
    pub(crate) fn lease(self, pool: &Arc<Pool>) -> Option<Lease> {
        match self.sender {
            Sender::Http1(sender) => Some(Lease { pool: Arc::clone(pool), key: self.key, sender }),
            Sender::Http2(_) => None,
        }
    }
}

#[derive(Debug)]
struct Kept {
    sender: Http1,
    since: Instant,
}

/// All connections to endpoints.
pub(crate) struct Pool {
    http1: Mutex<HashMap<Key, Vec<Kept>>>,
    http2: Mutex<HashMap<Key, Http2>>,
    failed: Mutex<HashMap<SocketAddr, Instant>>,
    is_swept: AtomicBool,
    max_head: usize,
    tls_http1: TlsConnector,
    tls_http2: TlsConnector,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// Creates an empty pool.
    pub(crate) fn new(max_head: usize) -> Result<Arc<Self>, rustls::Error> {
        let connector = |config: ClientConfig| TlsConnector::from(Arc::new(config));
        Ok(Arc::new(Self {
            http1: Mutex::default(),
            http2: Mutex::default(),
            failed: Mutex::default(),
            is_swept: AtomicBool::new(false),
            max_head,
            tls_http1: connector(tls::client(false)?),
            tls_http2: connector(tls::client(true)?),
        }))
    }

    /// Returns a connection to an endpoint: one that is kept, or a new one.
    pub(crate) async fn get(
        &self,
        key: Key,
        http2: bool,
        timeout: Duration,
    ) -> Result<Connection, ConnectError> {
        let kept = if http2 { self.shared(key) } else { self.unused(key).await };
        if let Some(sender) = kept {
            return Ok(Connection { sender, key, is_used: true });
        }
        self.connect(key, http2, timeout).await
    }

    /// Connects to an endpoint.
    pub(crate) async fn connect(
        &self,
        key: Key,
        http2: bool,
        timeout: Duration,
    ) -> Result<Connection, ConnectError> {
        let connecting = tokio::time::timeout(timeout, self.new_sender(key, http2)).await;
        let sender = connecting.unwrap_or(Err(ConnectError::TimedOut(timeout))).inspect_err(|_| {
            lock(&self.failed).insert(key.address, Instant::now());
        })?;
        if let Sender::Http2(sender) = &sender {
            lock(&self.http2).insert(key, sender.clone());
        }
        Ok(Connection { sender, key, is_used: false })
    }

    async fn new_sender(&self, key: Key, http2: bool) -> Result<Sender, ConnectError> {
        let stream = TcpStream::connect(key.address).await?;
        stream.set_nodelay(true)?;
        if !key.tls {
            return Ok(self.handshake(stream, http2).await?);
        }
        let connector = if http2 { &self.tls_http2 } else { &self.tls_http1 };
        let name = ServerName::IpAddress(key.address.ip().into());
        let stream = connector.connect(name, stream).await?;
        Ok(self.handshake(stream, http2).await?)
    }

    async fn handshake<S>(&self, stream: S, http2: bool) -> Result<Sender, hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        if http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.max_header_list_size(u32::try_from(self.max_head).unwrap_or(u32::MAX));
            let (sender, connection) = builder.handshake(io).await?;
            tokio::spawn(connection);
            return Ok(Sender::Http2(sender));
        }
        let mut builder = http1::Builder::new();
        builder.max_buf_size(self.max_head.max(MIN_BUFFER));
        let (sender, connection) = builder.handshake(io).await?;
        tokio::spawn(connection.with_upgrades());
        Ok(Sender::Http1(sender))
    }

    fn shared(&self, key: Key) -> Option<Sender> {
        let mut all = lock(&self.http2);
        let sender = all.get(&key)?;
        if sender.is_closed() {
            all.remove(&key);
            return None;
        }
        Some(Sender::Http2(sender.clone()))
    }

    /// Returns a kept connection, the one that was used last, because its endpoint will close it last.
    async fn unused(&self, key: Key) -> Option<Sender> {
        loop {
            let mut kept = lock(&self.http1).get_mut(&key)?.pop()?;
            if kept.since.elapsed() < KEPT && !kept.sender.is_closed() {
                // The connection may still have to note that its last response has ended.
                if kept.sender.ready().await.is_ok() {
                    return Some(Sender::Http1(kept.sender));
                }
            }
        }
    }

    fn keep(pool: &Arc<Self>, key: Key, sender: Http1) {
        if sender.is_closed() {
            return;
        }
        let mut all = lock(&pool.http1);
        let kept = all.entry(key).or_default();
        if kept.len() < MAX_KEPT {
            kept.push(Kept { sender, since: Instant::now() });
        }
        drop(all);
        if !pool.is_swept.swap(true, Ordering::Relaxed) {
            tokio::spawn(Self::sweep(Arc::clone(pool)));
        }
    }

    /// Closes connections that are unused for long. Ends once there is none, so that an idle proxy has nothing to do.
    async fn sweep(pool: Arc<Self>) {
        loop {
            tokio::time::sleep(KEPT / 2).await;
            let mut all = lock(&pool.http1);
            all.retain(|_, kept| {
                kept.retain(|kept| kept.since.elapsed() < KEPT && !kept.sender.is_closed());
                !kept.is_empty()
            });
            if all.is_empty() {
                pool.is_swept.store(false, Ordering::Relaxed);
                return;
            }
        }
    }

    /// Returns endpoints in the order in which they are tried: those that failed a moment ago come last.
    pub(crate) fn order(&self, endpoints: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let mut endpoints: Vec<SocketAddr> = endpoints.collect();
        let mut failed = lock(&self.failed);
        if !failed.is_empty() {
            failed.retain(|_, at| at.elapsed() < AVOIDED);
            endpoints.sort_by_key(|address| failed.contains_key(address));
        }
        endpoints
    }

    /// Closes the unused connections to endpoints that no route has any more.
    pub(crate) fn retain(&self, addresses: &HashSet<SocketAddr>) {
        lock(&self.http1).retain(|key, _| addresses.contains(&key.address));
        lock(&self.http2).retain(|key, _| addresses.contains(&key.address));
        lock(&self.failed).retain(|address, _| addresses.contains(address));
    }
}

/// The least buffer of a connection of HTTP/1, in bytes; hyper accepts no smaller one.
pub(crate) const MIN_BUFFER: usize = 8192;
