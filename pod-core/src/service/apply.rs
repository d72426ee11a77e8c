//! Hands the addresses and names of Services to the network, and shows Services with their endpoints.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base::file::{
    FileLock, LockKind, names_in, read_json, remove_dir_if_exists, remove_file_if_exists, write_json_volatile,
};
use jiff::Timestamp;
use network::Networks;
use network::service::Pending;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::View;
use super::endpoints::{Resolved, resolve};
use super::forwarded::{forwarded, is_load_balancer};
use super::names::names;
use super::pods::PODS_MEMO;
use super::recorded::{OBJECTS_MEMO, Recorded};
use super::{pods, status};
use crate::kind::Kind;
use crate::plan::node;
use crate::record::WorkloadRecord;
use crate::store::{self, Layout, Objects, WorkloadId, damage};

/// The folders of recorded objects that say where traffic goes. Ingresses lead to Services.
const OBJECTS: [&str; 5] = ["service", "endpoints", "endpointslice", "ingress", "ingressclass"];

/// The file of what was handed to the network last.
const LAST: &str = "applied.json";

/// Why Services are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of the store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// An error of the network.
    #[error("the Services are not up to date: {0}")]
    Network(#[from] network::Error),
}

impl From<base::file::Error> for Error {
    fn from(error: base::file::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The result of [`apply`].
#[derive(Debug, Default)]
pub struct Applied {
    /// The Services with their endpoints.
    pub views: Vec<View>,
    /// The ports of the host that Services could not get.
    pub pending: Vec<Pending>,
    /// Those of them that the call before did not report.
    pub new_pending: Vec<Pending>,
    /// The uids of pods that end and get no connections any more.
    pub left: Vec<String>,
}

/// What was handed to the network last.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Last {
    /// [`inputs`] before everything was read.
    inputs: String,
    /// A hash of the Services.
    services: String,
    /// A hash of the names.
    names: String,
    /// The ports of the host that others have.
    pending: Vec<Pending>,
    /// When these were found.
    since: Timestamp,
}

/// The lock under which Services are computed and handed to the network, so that the last caller has seen the newest state.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "is released when it is dropped")] FileLock);

/// Takes the lock.
///
/// # Errors
/// If the file cannot be opened.
pub fn lock(layout: &Layout) -> Result<Lock, Error> {
    Ok(Lock(FileLock::acquire(&layout.services_run().join("lock"), LockKind::Exclusive)?))
}

fn last_path(layout: &Layout) -> PathBuf {
    layout.services_run().join(LAST)
}

fn last(layout: &Layout) -> Last {
    damage::or_none(read_json(&last_path(layout))).unwrap_or_default()
}

fn write_last(layout: &Layout, last: &Last) -> Result<(), Error> {
    let path = last_path(layout);
    // What is missing is handed over again.
    if path.is_dir() {
        remove(&path)?;
    }
    Ok(write_json_volatile(&path, last)?)
}

/// Removes a file, or a folder in its place.
fn remove(path: &Path) -> Result<(), Error> {
    Ok(if path.is_dir() { remove_dir_if_exists(path) } else { remove_file_if_exists(path) }?)
}

/// Returns whether Services or Ingresses are recorded. Fast if there never was one.
pub fn is_used(layout: &Layout) -> bool {
    let kinds = [Kind::Service, Kind::Ingress];
    kinds.iter().any(|kind| Objects::files(layout, *kind).is_ok_and(|files| !files.is_empty()))
}

/// Returns whether something was handed to the network in this boot and not taken back.
pub fn was_applied(layout: &Layout) -> bool {
    last_path(layout).exists()
}

/// Returns a text that differs whenever Services or endpoints may differ, from the stamps of all files that they are
/// computed from; and whether it is that of the last [`apply`].
///
/// # Errors
/// If a folder cannot be read.
pub fn inputs(layout: &Layout) -> Result<(String, bool), Error> {
    let mut hash = Sha256::new();
    let mut stamp = |path: &Path| {
        if let Ok(meta) = std::fs::metadata(path) {
            let text = format!(
                "{} {} {} {} {}\n",
                path.display(),
                meta.ino(),
                meta.ctime(),
                meta.ctime_nsec(),
                meta.size()
            );
            hash.update(text);
        }
    };
    for kind in OBJECTS {
        let top = layout.objects().join(kind);
        for namespace in names_in(&top)? {
            let dir = top.join(namespace);
            // Objects in no namespace are files of the folder itself.
            if dir.is_file() {
                stamp(&dir);
                continue;
            }
            for file in names_in(&dir)? {
                stamp(&dir.join(file));
            }
        }
    }
    for id in WorkloadRecord::ids(layout)? {
        stamp(&layout.workload_endpoints_of(&WorkloadId::dir_name(&id)));
    }
    let now = hex(&hash.finalize());
    let is_same = last(layout).inputs == now;
    Ok((now, is_same))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn hash_of<T: Serialize>(value: &T) -> String {
    serde_json::to_vec(value).map(|text| hex(&Sha256::digest(text))).unwrap_or_default()
}

fn load(layout: &Layout) -> Result<Vec<Resolved>, store::Error> {
    Ok(resolve(Recorded::load(layout)?, pods::all(layout)?))
}

/// Returns all Services with their endpoints, ordered by namespace and name.
///
/// # Errors
/// If a folder cannot be read.
pub fn views(layout: &Layout) -> Result<Vec<View>, store::Error> {
    if !is_used(layout) {
        return Ok(Vec::new());
    }
    let resolved = load(layout)?;
    Ok(shown(&resolved, &last(layout)))
}

fn shown(resolved: &[Resolved], last: &Last) -> Vec<View> {
    let is_balancer = |service: &Resolved| service.spec().is_some_and(is_load_balancer);
    let host = if resolved.iter().any(is_balancer) { node::ips() } else { Vec::new() };
    let view = |service: &Resolved| {
        let mut view = service.view();
        view.service.status = Some(status::status(&view.service, &last.pending, last.since, &host));
        view
    };
    resolved.iter().map(view).collect()
}

/// Returns the ports of the host that Services could not get, each with the Service and in words.
pub fn words(pending: &Pending) -> (String, String) {
    (pending.service.clone(), status::taken(pending))
}

/// Makes the network and the name server know the recorded Services and their endpoints. What they know already is not
/// handed to them again, unless `again` is true. The caller holds the [`Lock`].
///
/// # Errors
/// If the network cannot be changed. The next call tries again.
pub fn apply(layout: &Layout, exe: &Path, again: bool, _: &Lock) -> Result<Applied, Error> {
    let (inputs, _) = inputs(layout)?;
    let resolved = load(layout)?;
    let mut last = last(layout);
    let networks = Networks::new(&layout.networks(), &layout.networks_run(), exe);
    let (services, names) = (forwarded(&resolved), names(&resolved));
    let (services_hash, names_hash) = (hash_of(&services), hash_of(&names));
    let before = last.pending.clone();
    // A port that was taken may be free by now.
    let set_services = again || last.services != services_hash || !before.is_empty();
    let set_names = again || last.names != names_hash;
    if set_services || set_names {
        // After a crash from here on, the next call hands over everything. The file stays, because others see by it that
        // something is in place, and which ports are missing.
        (last.inputs, last.services, last.names) = (String::new(), String::new(), String::new());
        write_last(layout, &last)?;
    }
    if set_services {
        last.pending = networks.set_services(&services)?;
        base::fail_point!(Worker, "services-set");
    }
    if set_names {
        networks.set_names(&names)?;
        base::fail_point!(Worker, "service-names-set");
    }
    let new_pending: Vec<Pending> =
        last.pending.iter().filter(|port| !before.contains(port)).cloned().collect();
    if last.pending != before {
        last.since = Timestamp::now();
    }
    (last.inputs, last.services, last.names) = (inputs, services_hash, names_hash);
    let applied = Applied {
        views: shown(&resolved, &last),
        pending: last.pending.clone(),
        new_pending,
        left: left(&resolved),
    };
    if is_used(layout) {
        write_last(layout, &last)?;
    } else {
        for file in [OBJECTS_MEMO, PODS_MEMO, LAST] {
            remove(&layout.services_run().join(file))?;
        }
    }
    base::fail_point!(Worker, "services-applied");
    Ok(applied)
}

/// Returns the pods that end and that a Service would have led to, but does not any more.
fn left(services: &[Resolved]) -> Vec<String> {
    let mut ending = BTreeSet::new();
    let mut used = BTreeSet::new();
    for service in services {
        for member in service.members.iter().filter(|member| member.terminating) {
            ending.extend(member.uid.as_ref());
        }
        let targets = service.ports.iter().flat_map(|port| &port.targets).filter(|target| target.used);
        used.extend(targets.filter_map(|target| service.members.get(target.member)?.uid.as_ref()));
    }
    ending.difference(&used).map(|uid| (*uid).clone()).collect()
}
