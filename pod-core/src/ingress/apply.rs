//! Brings the proxy in line with the recorded Ingresses, and shows Ingresses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ::ingress::{Listener, Routes, Status};
use base::file::{read_json, write_json_volatile};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use network::{HostPort, Networks};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::process::{self, Files};
use super::route::{self, Inputs, Name, Routed};
use super::settings::{Port, Settings};
use super::view::{self, Open, Pending, View};
use super::{classes, self_made};
use crate::kind::{Kind, ObjectRef};
use crate::plan::node;
use crate::service;
use crate::store::{self, Layout, Objects, damage};

/// Why Ingresses are not served as they should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of the store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It cannot be said whether Services have changed.
    #[error(transparent)]
    Service(#[from] service::Error),
    /// The ports of the host cannot be checked.
    #[error("the Ingresses are not up to date: {0}")]
    Network(#[from] network::Error),
    /// An error of the proxy.
    #[error(transparent)]
    Proxy(#[from] process::Error),
}

impl From<base::file::Error> for Error {
    fn from(error: base::file::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The result of [`sync`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Synced {
    /// The ports that the proxy could not get.
    pub pending: Vec<Pending>,
    /// Whether the call before did not report them.
    pub is_new: bool,
    /// What of each Ingress, as `NAMESPACE/NAME`, cannot be honoured now.
    pub problems: Vec<(String, String)>,
    /// The Ingresses that are served, as `NAMESPACE/NAME`.
    pub served: Vec<String>,
}

/// What the last [`sync`] has done.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Last {
    /// [`stamp`] before everything was read.
    stamp: String,
    /// The ports that others have.
    pending: Vec<Pending>,
}

/// The recorded objects that routes depend on.
#[derive(Default)]
struct Recorded {
    ingresses: Vec<Ingress>,
    classes: BTreeMap<String, IngressClass>,
    secrets: BTreeMap<Name, Secret>,
}

impl Recorded {
    /// Reads all Ingresses and what they name. Objects that cannot be read are logged and left out.
    fn load(layout: &Layout) -> Result<Self, store::Error> {
        let ingresses: Vec<Ingress> = typed(layout, Kind::Ingress)?.into_iter().map(|(_, one)| one).collect();
        if ingresses.is_empty() {
            return Ok(Self::default());
        }
        let classes = typed(layout, Kind::IngressClass)?.into_iter().map(|((_, name), class)| (name, class));
        let mut secrets = BTreeMap::new();
        for key in ingresses.iter().flat_map(secrets_of) {
            let id = ObjectRef::new(Kind::Secret, &key.0, &key.1);
            let secret = damage::or_none(Objects::get(layout, &id));
            if let Some(secret) = secret.and_then(|secret| serde_json::from_value(secret).ok()) {
                secrets.insert(key, secret);
            }
        }
        Ok(Self { classes: classes.collect(), ingresses, secrets })
    }

    fn routed(&self, services: &[service::View]) -> Routed {
        let Self { ingresses, classes, secrets } = self;
        route::route(&Inputs { ingresses, classes, services, secrets })
    }
}

fn typed<T: DeserializeOwned>(layout: &Layout, kind: Kind) -> Result<Vec<(Name, T)>, store::Error> {
    let read = |(name, value)| Some((name, serde_json::from_value(value).ok()?));
    Ok(Objects::list(layout, kind)?.into_iter().filter_map(read).collect())
}

/// Returns the Secrets that an Ingress names.
fn secrets_of(ingress: &Ingress) -> Vec<Name> {
    let (namespace, _) = route::name_of(ingress);
    let tls = ingress.spec.as_ref().and_then(|spec| spec.tls.as_ref());
    let names = tls.into_iter().flatten().filter_map(|tls| tls.secret_name.clone());
    names.map(|name| (namespace.clone(), name)).collect()
}

fn is_used(layout: &Layout) -> bool {
    Objects::names(layout, Kind::Ingress).is_ok_and(|names| !names.is_empty())
}

fn last(files: &Files) -> Last {
    damage::or_none(read_json(&files.path("applied.json"))).unwrap_or_default()
}

/// Returns a text that differs whenever routes may differ.
fn stamp(layout: &Layout) -> Result<String, Error> {
    let mut text = service::inputs(layout)?.0;
    let mut add = |path: &Path| {
        if let Ok(meta) = std::fs::metadata(path) {
            let _ = write!(text, " {}.{}.{}", meta.ino(), meta.ctime(), meta.ctime_nsec());
        }
    };
    for ((_, _), ingress) in typed::<Ingress>(layout, Kind::Ingress)? {
        for (namespace, name) in secrets_of(&ingress) {
            add(&Objects::path(layout, &ObjectRef::new(Kind::Secret, &namespace, &name)));
        }
    }
    add(&layout.ingress().join("settings.json"));
    Ok(text)
}

/// Returns whether the proxy is as the last [`sync`] has left it and nothing has changed since. Fast if there are no
/// Ingresses.
///
/// # Errors
/// If a folder cannot be read.
pub fn is_current(layout: &Layout) -> Result<bool, Error> {
    let files = Files::new(layout);
    if !is_used(layout) {
        return Ok(!files.exist());
    }
    let last = last(&files);
    // A port that was taken may be free by now.
    if !last.pending.is_empty() || last.stamp != stamp(layout)? {
        return Ok(false);
    }
    let Some(routes) = files.routes() else { return Ok(!is_any_served(layout)?) };
    Ok(files.running().is_some_and(|(_, status)| status.generation == routes.generation))
}

fn is_any_served(layout: &Layout) -> Result<bool, store::Error> {
    Ok(!Recorded::load(layout)?.routed(&[]).served.is_empty())
}

/// Makes the proxy forward the requests of all Ingresses to the endpoints of `services`. The proxy runs only while an
/// Ingress exists that this machine serves.
///
/// # Errors
/// If the proxy cannot be brought up to date. The next call tries again.
pub fn sync(layout: &Layout, exe: &Path, services: &[service::View]) -> Result<Synced, Error> {
    let files = Files::new(layout);
    if !is_used(layout) && !files.exist() {
        return Ok(Synced::default());
    }
    let stamp = stamp(layout)?;
    let routed = Recorded::load(layout)?.routed(services);
    let before = last(&files).pending;
    let pending = if routed.served.is_empty() {
        files.end()?;
        Vec::new()
    } else {
        serve(layout, exe, &files, &routed)?
    };
    if is_used(layout) {
        write_json_volatile(&files.path("applied.json"), &Last { stamp, pending: pending.clone() })?;
    }
    base::fail_point!(Worker, "ingress-applied");
    let full = |(namespace, name): &Name| format!("{namespace}/{name}");
    let problems = routed
        .problems
        .iter()
        .flat_map(|(name, all)| all.iter().map(move |problem| (full(name), problem.clone())));
    Ok(Synced {
        is_new: pending != before,
        pending,
        problems: problems.collect(),
        served: routed.served.iter().map(full).collect(),
    })
}

/// Makes the proxy serve routes. Returns the ports that others have.
fn serve(layout: &Layout, exe: &Path, files: &Files, routed: &Routed) -> Result<Vec<Pending>, Error> {
    let settings = Settings::load(layout);
    let wanted = wanted(&settings, routed.tls, has_ipv6());
    let before = files.routes().unwrap_or_default();
    let running = files.running().map(|(_, status)| status);
    let held: BTreeSet<SocketAddr> = running.iter().flat_map(held).collect();
    let (own, new): (Vec<Listener>, Vec<Listener>) =
        wanted.into_iter().partition(|one| held.contains(&one.address));
    let ports: Vec<HostPort> =
        new.iter().map(|one| HostPort { ip: one.address.ip(), port: one.address.port() }).collect();
    let mut routes = routes(layout, &settings, routed)?;
    let mut write_and_serve = |free: &[HostPort]| -> Result<Status, Error> {
        let is_free = |one: &&Listener| {
            free.iter().any(|port| port.ip == one.address.ip() && port.port == one.address.port())
        };
        routes.listeners = own.iter().chain(new.iter().filter(is_free)).copied().collect();
        routes.generation = before.generation;
        // A port that the proxy has lost, or could not get, is tried again by routes of another generation.
        if routes != before || !free.is_empty() {
            routes.generation += 1;
            files.write_routes(&routes)?;
        }
        Ok(files.serve(exe, routes.generation)?)
    };
    if new.is_empty() {
        let status = write_and_serve(&[])?;
        return Ok(failed(&status, &[]));
    }
    let networks = Networks::new(&layout.networks(), &layout.networks_run(), exe);
    let (status, taken) = networks.listen_on_free(&ports, write_and_serve)?;
    let taken: Vec<Pending> =
        taken.into_iter().map(|taken| Pending { port: taken.port.port, by: taken.by }).collect();
    Ok(failed(&status?, &taken))
}

/// Returns where the proxy should listen.
fn wanted(settings: &Settings, tls: bool, ipv6: bool) -> Vec<Listener> {
    let of = |port: Port, tls| port.addresses().into_iter().map(move |address| Listener { address, tls });
    let https = of(settings.https(), true).filter(|_| tls);
    let is_possible = |one: &Listener| ipv6 || one.address.is_ipv4() || !one.address.ip().is_unspecified();
    of(settings.http(), false).chain(https).filter(is_possible).collect()
}

/// Returns whether this host has IPv6: whether a socket can be bound to an address of it.
fn has_ipv6() -> bool {
    std::net::UdpSocket::bind((std::net::Ipv6Addr::UNSPECIFIED, 0)).is_ok()
}

/// Returns where a proxy listens.
fn held(status: &Status) -> impl Iterator<Item = SocketAddr> + '_ {
    status.listeners.iter().filter(|listener| listener.error.is_none()).map(|listener| listener.address)
}

/// Returns the ports that the proxy has on no address, each with the reason: those in `taken`, and those that it could
/// not open.
fn failed(status: &Status, taken: &[Pending]) -> Vec<Pending> {
    let mut all: BTreeMap<u16, String> = BTreeMap::new();
    let has_any = |port: u16| held(status).any(|address| address.port() == port);
    for listener in &status.listeners {
        let port = listener.address.port();
        if let Some(error) = listener.error.clone().filter(|_| !has_any(port)) {
            all.entry(port).or_insert(error);
        }
    }
    // Whoever has one of the addresses may be who clients mean.
    all.extend(taken.iter().map(|taken| (taken.port, taken.by.clone())));
    all.into_iter().map(|(port, by)| Pending { port, by }).collect()
}

/// Returns the file of the proxy, without listeners and generation.
fn routes(layout: &Layout, settings: &Settings, routed: &Routed) -> Result<Routes, Error> {
    let mut options = settings.options(layout);
    let mut default_certificate = None;
    if routed.tls {
        options.https_port = Some(settings.https().port);
        match self_made::certificate(layout, &routed.uncertified) {
            Ok(certificate) => default_certificate = Some(certificate),
            Err(self_made::Error::Store(e)) => return Err(e.into()),
            Err(e @ self_made::Error::Certificate(_)) => tracing::warn!("{e}"),
        }
    }
    let mut certificates = routed.certificates.clone();
    certificates.extend(default_certificate.clone().filter(|own| !own.hosts.is_empty()));
    Ok(Routes {
        generation: 0,
        listeners: Vec::new(),
        options,
        certificates,
        default_certificate,
        backends: routed.backends.clone(),
        hosts: routed.hosts.clone(),
        default: routed.default.clone(),
    })
}

/// Returns all Ingresses with their status, ordered by namespace and name.
///
/// # Errors
/// If a folder cannot be read.
pub fn views(layout: &Layout) -> Result<Vec<View>, store::Error> {
    let recorded = Recorded::load(layout)?;
    if recorded.ingresses.is_empty() {
        return Ok(Vec::new());
    }
    let mut routed = recorded.routed(&service::views(layout)?);
    let open = open(layout);
    let host = node::ips();
    let Recorded { ingresses, classes, .. } = recorded;
    let view = |mut ingress: Ingress| {
        let name = route::name_of(&ingress);
        let is_served = routed.served.contains(&name);
        let mut problems = Vec::new();
        if is_served {
            problems.extend(open.pending.iter().map(ToString::to_string));
            ingress.status = Some(view::status(&ingress, &open, &host));
        }
        problems.extend(routed.problems.remove(&name).unwrap_or_default());
        let class = classes::class_of(&ingress, &classes).map(str::to_owned);
        View { ingress, class, is_served, problems }
    };
    Ok(ingresses.into_iter().map(view).collect())
}

/// Returns the ports on which the proxy serves now.
fn open(layout: &Layout) -> Open {
    let files = Files::new(layout);
    let settings = Settings::load(layout);
    let status = files.running().map(|(_, status)| status).unwrap_or_default();
    let is_open = |port: &u16| held(&status).any(|address| address.port() == *port);
    Open {
        http: Some(settings.http().port).filter(is_open),
        https: Some(settings.https().port).filter(is_open),
        pending: last(&files).pending,
    }
}

/// What `kube info` shows about Ingresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The ports of HTTP and HTTPS that are set.
    pub ports: (u16, u16),
    /// Whether the ports are those of [`super::PORTS_VARIABLE`].
    pub is_set: bool,
    /// How many Ingresses are recorded.
    pub ingresses: usize,
    /// The process of the proxy, if it runs.
    pub pid: Option<u32>,
    /// The ports that others have.
    pub pending: Vec<Pending>,
}

/// Returns what `kube info` shows.
///
/// # Errors
/// If a folder cannot be read.
pub fn summary(layout: &Layout) -> Result<Summary, store::Error> {
    let files = Files::new(layout);
    let settings = Settings::load(layout);
    Ok(Summary {
        ports: (settings.http().port, settings.https().port),
        is_set: settings.has_ports(),
        ingresses: Objects::names(layout, Kind::Ingress)?.len(),
        pid: files.running().map(|(_, status)| status.pid),
        pending: last(&files).pending,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::ingress::ListenerStatus;

    fn status(listeners: &[(&str, Option<&str>)]) -> Status {
        let listeners = listeners.iter().map(|(address, error)| ListenerStatus {
            address: address.parse().unwrap(),
            error: error.map(str::to_owned),
        });
        Status { listeners: listeners.collect(), ..Status::default() }
    }

    #[test]
    fn a_port_is_pending_if_it_is_taken_or_could_be_opened_on_no_address() {
        let all =
            status(&[("0.0.0.0:80", None), ("[::]:80", Some("no IPv6")), ("0.0.0.0:443", Some("in use"))]);
        let taken = [Pending { port: 8080, by: "nginx, pid 7".into() }];
        assert_eq!(
            failed(&all, &taken),
            [Pending { port: 443, by: "in use".into() }, Pending { port: 8080, by: "nginx, pid 7".into() }]
        );
        let half = [Pending { port: 80, by: "nginx, pid 7".into() }];
        assert_eq!(failed(&status(&[("[::]:80", None)]), &half), half, "nginx has it on 0.0.0.0");
    }

    #[test]
    fn the_port_of_tls_is_wanted_only_where_an_ingress_has_tls() {
        let settings = Settings::default();
        let shown = |tls| {
            let all = wanted(&settings, tls, true);
            all.iter().map(|one| format!("{} {}", one.address, one.tls)).collect::<Vec<_>>()
        };
        assert_eq!(shown(false), ["0.0.0.0:80 false", "[::]:80 false"]);
        assert_eq!(shown(true), ["0.0.0.0:80 false", "[::]:80 false", "0.0.0.0:443 true", "[::]:443 true"]);
        assert_eq!(wanted(&settings, true, false).len(), 2);
    }

    #[test]
    fn without_ingresses_there_is_nothing_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().join("root"), runroot: dir.path().join("run") };
        assert!(is_current(&layout).unwrap());
        assert_eq!(sync(&layout, Path::new("/bin/false"), &[]).unwrap(), Synced::default());
        assert!(views(&layout).unwrap().is_empty());
        assert!(!layout.ingress_run().exists() && !layout.root.exists());
    }
}
