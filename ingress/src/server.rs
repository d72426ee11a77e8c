//! The proxy: what all connections share, and how it changes to other routes.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::access_log::AccessLog;
use crate::certificate::Certificates;
use crate::listener::{self, OpenListener};
use crate::pool::Pool;
use crate::router::Router;
use crate::routes::{Listener, Options, Routes};
use crate::status::{ListenerStatus, Status};
use crate::tls::{self, CurrentCertificates};

/// Why a proxy cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The settings of TLS are refused.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] base::file::Error),
    /// The kernel refused something.
    #[error("cannot {action}: {source}")]
    Kernel {
        /// What was tried.
        action: &'static str,
        /// The kernel's error.
        #[source]
        source: std::io::Error,
    },
}

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
    /// True once connections have to end.
    pub(crate) ending: watch::Sender<bool>,
}

impl Shared {
    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn access_log(&self) -> Option<Arc<AccessLog>> {
        self.log.read().unwrap_or_else(PoisonError::into_inner).clone()
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
    /// Counts the connection.
    pub(crate) _permit: Arc<OwnedSemaphorePermit>,
}

/// What goes on on a connection.
#[derive(Debug)]
pub(crate) struct Activity {
    begun: Instant,
    requests: AtomicUsize,
    /// When the last request ended, in milliseconds since `begun`.
    idle_since: AtomicU64,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        let (requests, idle_since) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { begun: Instant::now(), requests, idle_since })
    }

    /// Counts a request until the returned value is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Returns since when no request is being served; `None` while one is.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.requests.load(Ordering::Relaxed) == 0;
        is_idle.then(|| self.begun + Duration::from_millis(self.idle_since.load(Ordering::Relaxed)))
    }
}

/// A request that is being served.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let since = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.idle_since.store(since, Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A proxy that runs in the current tokio runtime.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    certificates: Arc<CurrentCertificates>,
    acceptor: Acceptor,
    listeners: HashMap<Listener, OpenListener>,
    generation: u64,
}

/// [`TlsAcceptor`] with the settings that clients get.
#[derive(Clone)]
pub(crate) struct Acceptor(pub(crate) TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Proxy {
    /// Creates a proxy that listens nowhere. `options` are those that hold for its whole life: threads and the number of
    /// connections.
    pub fn new(options: &Options) -> Result<Self, ServeError> {
        let certificates = Arc::new(CurrentCertificates::default());
        let config = tls::server(Arc::clone(&certificates))?;
        let shared = Shared {
            table: RwLock::default(),
            log: RwLock::default(),
            pool: Pool::new(options.max_head)?,
            connections: Arc::new(Semaphore::new(options.max_connections.min(Semaphore::MAX_PERMITS))),
            ending: watch::Sender::new(false),
        };
        Ok(Self {
            shared: Arc::new(shared),
            certificates,
            acceptor: Acceptor(TlsAcceptor::from(Arc::new(config))),
            listeners: HashMap::new(),
            generation: 0,
        })
    }

    /// Changes to other routes. Connections and the requests on them go on; listeners whose address stays are not
    /// touched. Returns what could be done.
    pub async fn apply(&mut self, routes: &Routes) -> Status {
        let (router, mut problems) = Router::new(routes);
        let (certificates, failed) = Certificates::new(routes);
        problems.extend(failed);
        problems.extend(self.open_log(&routes.options));
        self.certificates.set(certificates);
        let addresses: HashSet<SocketAddr> = router.addresses().collect();
        let table = Arc::new(Table { router, options: routes.options.clone() });
        *self.shared.table.write().unwrap_or_else(PoisonError::into_inner) = table;
        self.shared.pool.retain(&addresses);
        // The ports that are no longer wanted are closed first, because an address may change from or to TLS.
        let gone: Vec<_> =
            self.listeners.extract_if(|listener, _| !routes.listeners.contains(listener)).collect();
        for (_, open) in gone {
            open.close().await;
        }
        let mut listeners = Vec::new();
        for listener in &routes.listeners {
            let mut error = None;
            if !self.listeners.contains_key(listener) {
                match listener::open(*listener, &self.shared, &self.acceptor) {
                    Ok(open) => drop(self.listeners.insert(*listener, open)),
                    Err(e) => error = Some(e.to_string()),
                }
            }
            listeners.push(ListenerStatus { address: listener.address, error });
        }
        self.generation = routes.generation;
        Status { pid: std::process::id(), generation: self.generation, listeners, problems }
    }

    /// Opens the access log, or closes it. Returns why it cannot be opened.
    fn open_log(&self, options: &Options) -> Option<String> {
        let mut log = self.shared.log.write().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &options.access_log else {
            *log = None;
            return None;
        };
        if log.as_ref().is_some_and(|log| log.path() == path) {
            return None;
        }
        match AccessLog::open(path) {
            Ok(open) => {
                *log = Some(open);
                None
            }
            Err(e) => {
                *log = None;
                Some(format!("the access log {} cannot be opened: {e}", path.display()))
            }
        }
    }

    /// Opens the access log again, after its file was renamed.
    pub fn reopen_log(&self) {
        if let Some(log) = self.shared.access_log()
            && let Err(e) = log.reopen()
        {
            tracing::warn!("{}: {e}", log.path().display());
        }
    }

    /// Closes the listeners. Returns once their ports are free.
    pub async fn close(&mut self) {
        for (_, open) in self.listeners.drain() {
            open.close().await;
        }
    }

    /// Closes the listeners and lets every connection end after its requests. Returns once all have, or after `limit`.
    pub async fn end(mut self, limit: Duration) {
        self.close().await;
        self.shared.ending.send_replace(true);
        let _ = tokio::time::timeout(limit, self.shared.ending.closed()).await;
    }
}
