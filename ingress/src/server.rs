//! The proxy, and how it changes to other routes.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::TlsAcceptor;

use crate::certificate::Certificates;
use crate::listener::{self, OpenListener};
use crate::router::Router;
use crate::routes::{Certificate, Listener, Options, Routes};
use crate::state::{Acceptor, Shared, Table};
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

/// The certificates that are presented now, and a message for each that cannot be used. Reading one takes longer than
/// everything else of a change, and endpoints change more often.
#[derive(Debug, Default)]
struct Presented {
    all: Vec<Certificate>,
    default: Option<Certificate>,
    failed: Vec<String>,
}

/// A proxy that runs in the current tokio runtime.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    certificates: Arc<CurrentCertificates>,
    presented: Presented,
    acceptor: Acceptor,
    listeners: HashMap<Listener, OpenListener>,
    generation: u64,
}

impl Proxy {
    /// Creates a proxy that listens nowhere. `options` are those that hold for its whole life: threads and the number of
    /// connections.
    pub fn new(options: &Options) -> Result<Self, ServeError> {
        let certificates = Arc::new(CurrentCertificates::default());
        let config = tls::server(Arc::clone(&certificates))?;
        Ok(Self {
            shared: Shared::new(options)?,
            certificates,
            presented: Presented::default(),
            acceptor: Acceptor(TlsAcceptor::from(Arc::new(config))),
            listeners: HashMap::new(),
            generation: 0,
        })
    }

    /// Changes to other routes. Connections and the requests on them go on; listeners whose address stays are not
    /// touched. Returns what could be done.
    pub async fn apply(&mut self, routes: &Routes) -> Status {
        let (router, mut problems) = Router::new(routes);
        if self.presented.all != routes.certificates || self.presented.default != routes.default_certificate {
            let (certificates, failed) = Certificates::new(routes);
            self.certificates.set(certificates);
            let (all, default) = (routes.certificates.clone(), routes.default_certificate.clone());
            self.presented = Presented { all, default, failed };
        }
        problems.extend(self.presented.failed.iter().cloned());
        let log = routes.options.access_log.as_deref();
        if let (Err(e), Some(path)) = (self.shared.set_access_log(log), log) {
            problems.push(format!("the access log {} cannot be opened: {e}", path.display()));
        }
        let addresses: HashSet<SocketAddr> = router.addresses().collect();
        self.shared.set_table(Table { router, options: routes.options.clone() });
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
        self.shared.rest();
        Status { pid: std::process::id(), generation: self.generation, listeners, problems }
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
