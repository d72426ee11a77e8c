//! Listeners and the connections that they accept.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with, sockopt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinHandle;

use crate::forward;
use crate::pool::MIN_BUFFER;
use crate::response_body::ResponseBody;
use crate::routes::Listener;
use crate::state::{Acceptor, Activity, Open, Peer, Shared};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;
/// How long an idle connection takes until the kernel asks whether its client still exists.
const PROBED_AFTER: Duration = Duration::from_mins(1);
/// How long the handshake of TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection that was asked to end may take for that when it has no request.
const CLOSING: Duration = Duration::from_secs(2);
/// How long to wait when the process has no descriptor for another connection.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);
/// How many streams of HTTP/2 a client may have at a time. (nginx: `http2_max_concurrent_streams`.)
const MAX_STREAMS: u32 = 128;

/// A listener that accepts connections.
#[derive(Debug)]
pub(crate) struct OpenListener {
    close: oneshot::Sender<()>,
    accepting: JoinHandle<()>,
}

impl OpenListener {
    /// Closes the socket, after the connections that already wait are accepted.
    pub(crate) async fn close(self) {
        drop(self.close);
        let _ = self.accepting.await;
    }
}

/// Listens on an address.
pub(crate) fn open(
    listener: Listener,
    shared: &Arc<Shared>,
    acceptor: &Acceptor,
) -> io::Result<OpenListener> {
    let socket = TcpListener::from_std(listening_socket(listener.address)?)?;
    let (close, closed) = oneshot::channel();
    let (port, shared) = (listener.address.port(), Arc::clone(shared));
    let acceptor = listener.tls.then(|| acceptor.clone());
    let accepting = tokio::spawn(accept(socket, Accepting { port, shared, acceptor }, closed));
    Ok(OpenListener { close, accepting })
}

/// Returns a socket that listens. An IPv6 address takes no IPv4 connections, because `0.0.0.0` is listened on as well.
fn listening_socket(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // Accepted sockets inherit these.
    sockopt::set_tcp_nodelay(&socket, true)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, PROBED_AFTER)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// What a listener does with connections.
struct Accepting {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<Acceptor>,
}

impl Accepting {
    /// Waits until another connection may be open.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.shared.connections).acquire_owned().await.ok()
    }

    fn begin(&self, stream: TcpStream, address: SocketAddr, permit: OwnedSemaphorePermit) {
        let (port, is_secure) = (self.port, self.acceptor.is_some());
        let activity = Activity::new();
        let peer = Peer { address, port, is_secure, activity, _open: Open::new(&self.shared, permit) };
        tokio::spawn(connection(stream, peer, Arc::clone(&self.shared), self.acceptor.clone()));
    }
}

/// Accepts connections until `closed` ends, and those that wait in the kernel at that moment, because their clients count
/// on them.
async fn accept(socket: TcpListener, accepting: Accepting, mut closed: oneshot::Receiver<()>) {
    loop {
        let next = async { Some((accepting.permit().await?, socket.accept().await)) };
        let (permit, accepted) = tokio::select! {
            _ = &mut closed => break,
            next = next => match next {
                Some(next) => next,
                None => return,
            },
        };
        match accepted {
            Ok((stream, address)) => accepting.begin(stream, address, permit),
            Err(e) if is_of_connection(&e) => {}
            Err(e) => {
                tracing::warn!(port = accepting.port, error = %e, "cannot accept connections");
                tokio::time::sleep(NO_DESCRIPTOR).await;
            }
        }
    }
    let Ok(socket) = socket.into_std() else { return };
    while let Ok((stream, address)) = socket.accept() {
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        let permit = Arc::clone(&accepting.shared.connections).try_acquire_owned();
        if let (Ok(stream), Ok(permit)) = (stream, permit) {
            accepting.begin(stream, address, permit);
        }
    }
}

/// Returns whether an error of accept(2) is about one connection only.
fn is_of_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn connection(stream: TcpStream, peer: Peer, shared: Arc<Shared>, acceptor: Option<Acceptor>) {
    let Some(Acceptor(acceptor)) = acceptor else { return serve(stream, peer, shared).await };
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve(stream, peer, shared).await,
        Ok(Err(e)) => tracing::debug!(client = %peer.address, error = %e, "no TLS with a client"),
        Err(_) => tracing::debug!(client = %peer.address, "a client has not finished the handshake of TLS"),
    }
}

/// Serves a connection until it ends, is idle for too long, or the proxy ends.
async fn serve<S>(stream: S, peer: Peer, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let options = &shared.table().options;
    let idle = options.idle();
    let builder = builder(options.max_head);
    let mut ending = shared.ending.subscribe();
    let activity = Arc::clone(&peer.activity);
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, peer) = (Arc::clone(&shared), peer.clone());
        async move {
            Ok::<Response<ResponseBody>, std::convert::Infallible>(
                forward::serve(shared, peer, request).await,
            )
        }
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut deadline = Instant::now() + idle;
    let mut is_closing = *ending.borrow();
    if is_closing {
        connection.as_mut().graceful_shutdown();
    }
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(e) = ended {
                    tracing::debug!(error = %e, "a connection has ended");
                }
                return;
            }
            _ = ending.changed(), if !is_closing => {
                is_closing = true;
                deadline = Instant::now() + CLOSING;
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep_until(deadline.into()) => match activity.idle_since() {
                None if activity.is_stalled(idle) => return,
                None => deadline = Instant::now() + if is_closing { CLOSING } else { idle },
                Some(_) if is_closing => return,
                Some(since) if since.elapsed() < idle => deadline = since + idle,
                Some(_) => {
                    is_closing = true;
                    deadline = Instant::now() + CLOSING;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Returns how connections are served: HTTP/1.1, or HTTP/2 if its preface comes first.
fn builder(max_head: usize) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The deadline of `serve` is for slow heads too, and costs no timer per request.
    builder.http1().max_buf_size(max_head.max(MIN_BUFFER)).header_read_timeout(None);
    let max_head = u32::try_from(max_head).unwrap_or(u32::MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(max_head)
        .max_concurrent_streams(MAX_STREAMS);
    builder
}
