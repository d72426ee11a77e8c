//! What all connections share, and what each of them counts.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::access_log::AccessLog;
use crate::pool::Pool;
use crate::router::Router;
use crate::routes::Options;

/// The routes as they are now.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) router: Router,
    pub(crate) options: Options,
}

impl Table {
    /// Returns whether a client is a proxy whose word about clients counts.
    pub(crate) fn is_trusted(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.options.trusted_proxies.iter().any(|network| network.contains(&client))
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    table: RwLock<Arc<Table>>,
    log: RwLock<Option<Arc<AccessLog>>>,
    pub(crate) pool: Arc<Pool>,
    /// One permit per open connection of a client.
    pub(crate) connections: Arc<Semaphore>,
    /// How many connections of clients are open.
    open: AtomicUsize,
    /// Whether memory is about to be released.
    is_resting: AtomicBool,
    /// True once connections have to end.
    pub(crate) ending: watch::Sender<bool>,
}

impl Shared {
    /// Creates the state of a proxy without routes.
    pub(crate) fn new(options: &Options) -> Result<Arc<Self>, rustls::Error> {
        Ok(Arc::new(Self {
            table: RwLock::default(),
            log: RwLock::default(),
            pool: Pool::new(options.max_head)?,
            connections: Arc::new(Semaphore::new(options.max_connections.min(Semaphore::MAX_PERMITS))),
            open: AtomicUsize::new(0),
            is_resting: AtomicBool::new(false),
            ending: watch::Sender::new(false),
        }))
    }

    /// Changes to other routes.
    pub(crate) fn set_table(&self, table: Table) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    /// Opens the access log, closes it, or leaves it as it is if it is open already.
    pub(crate) fn set_access_log(&self, path: Option<&Path>) -> std::io::Result<()> {
        let mut log = self.log.write().unwrap_or_else(PoisonError::into_inner);
        if log.as_ref().map(|log| log.path()) == path {
            return Ok(());
        }
        *log = None;
        *log = path.map(AccessLog::open).transpose()?;
        Ok(())
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Releases memory after a moment, unless a connection is open then. Half of what a process needs for its first requests
    /// need not stay.
    pub(crate) fn rest(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.is_resting.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = Arc::clone(self);
        runtime.spawn(async move {
            tokio::time::sleep(base::memory::QUIET).await;
            shared.is_resting.store(false, Ordering::Relaxed);
            if shared.open.load(Ordering::Relaxed) == 0 {
                base::memory::give_back();
            }
        });
    }

    pub(crate) fn access_log(&self) -> Option<Arc<AccessLog>> {
        self.log.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts a connection until it is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    pub(crate) fn new(shared: &Arc<Shared>, permit: OwnedSemaphorePermit) -> Arc<Self> {
        shared.open.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { shared: Arc::clone(shared), _permit: permit })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.shared.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.shared.rest();
        }
    }
}

/// A connection of a client, for as long as anything of it is open.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The client's address.
    pub(crate) address: SocketAddr,
    /// The port on which the proxy received the connection.
    pub(crate) port: u16,
    /// Whether the connection has TLS.
    pub(crate) is_secure: bool,
    pub(crate) activity: Arc<Activity>,
    pub(crate) _open: Arc<Open>,
}

/// What goes on on a connection.
#[derive(Debug)]
pub(crate) struct Activity {
    begun: Instant,
    requests: AtomicUsize,
    /// How many responses wait for their client to read what it was sent.
    unread: AtomicUsize,
    /// When something was done for a client last, in milliseconds since `begun`: a part of a response was sent, or a
    /// request ended.
    moved_at: AtomicU64,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        let (requests, unread, moved_at) = <(AtomicUsize, AtomicUsize, AtomicU64)>::default();
        Arc::new(Self { begun: Instant::now(), requests, unread, moved_at })
    }

    fn moves(&self) {
        let at = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_at.store(at, Ordering::Relaxed);
    }

    fn moved_at(&self) -> Instant {
        self.begun + Duration::from_millis(self.moved_at.load(Ordering::Relaxed))
    }

    /// Counts a request until the returned value is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Ordering::Relaxed);
        InFlight { activity: Arc::clone(self), is_unread: false }
    }

    /// Returns since when no request is being served; `None` while one is.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        (self.requests.load(Ordering::Relaxed) == 0).then(|| self.moved_at())
    }

    /// Returns whether the client has read nothing of any response for so long.
    pub(crate) fn is_stalled(&self, limit: Duration) -> bool {
        let requests = self.requests.load(Ordering::Relaxed);
        requests > 0 && self.unread.load(Ordering::Relaxed) == requests && self.moved_at().elapsed() >= limit
    }
}

/// A request that is being served.
#[derive(Debug)]
pub(crate) struct InFlight {
    activity: Arc<Activity>,
    is_unread: bool,
}

impl InFlight {
    /// Notes that a part of the response was sent, or that the client asks for more.
    pub(crate) fn set_unread(&mut self, is_unread: bool) {
        match (self.is_unread, is_unread) {
            (false, true) => {
                self.activity.moves();
                self.activity.unread.fetch_add(1, Ordering::Relaxed);
            }
            (true, false) => {
                self.activity.unread.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
        self.is_unread = is_unread;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.set_unread(false);
        self.activity.moves();
        self.activity.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// [`TlsAcceptor`] with the settings that clients get.
#[derive(Clone)]
pub(crate) struct Acceptor(pub(crate) TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}
