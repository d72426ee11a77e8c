//! Makes the host send traffic to pods: hands the addresses and names of Services and the routes of Ingresses to those who
//! serve them. Whoever changes a Service or the readiness of a pod calls [`sync`].

use std::path::Path;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use serde::{Deserialize, Serialize};

use crate::kind::{EventType, Kind};
use crate::log::{Occurrence, events};
use crate::store::{self, Layout};
use crate::{ingress, service};

/// Why traffic may not go where it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of Services.
    #[error(transparent)]
    Service(#[from] service::Error),
    /// An error of Ingresses.
    #[error(transparent)]
    Ingress(#[from] ingress::Error),
    /// An error of the store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The result of [`sync`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Synced {
    /// The Services, as `NAMESPACE/NAME`, that could not get a port of the host, each with the reason.
    pub pending: Vec<(String, String)>,
    /// The uids of pods that end and get no connections any more.
    pub left: Vec<String>,
    /// What of Ingresses cannot be honoured now.
    pub ingresses: ingress::Synced,
}

/// Brings everything in line with the recorded objects and the states of pods. Fast if there are no Services and no
/// Ingresses.
///
/// # Errors
/// If something cannot be changed. The next call tries again.
pub fn sync(layout: &Layout, exe: &Path) -> Result<Synced, Error> {
    if !service::is_used(layout) && !service::was_applied(layout) && ingress::is_current(layout)? {
        return Ok(Synced::default());
    }
    apply(layout, exe, false)
}

/// Does [`sync`] if the last one has not seen the present state, or if the network has lost what it was told. Returns
/// whether it did.
///
/// # Errors
/// As [`sync`].
pub fn repair(layout: &Layout, exe: &Path, was_lost: bool) -> Result<bool, Error> {
    let was_applied = service::was_applied(layout);
    let are_served = ingress::is_current(layout)?;
    if !service::is_used(layout) && !was_applied && are_served {
        return Ok(false);
    }
    if was_applied && !was_lost && are_served && service::inputs(layout)?.1 {
        return Ok(false);
    }
    apply(layout, exe, was_lost)?;
    Ok(true)
}

fn apply(layout: &Layout, exe: &Path, again: bool) -> Result<Synced, Error> {
    let lock = service::lock(layout)?;
    let applied = service::apply(layout, exe, again, &lock)?;
    for (name, message) in applied.new_pending.iter().map(service::words) {
        // The words of Kubernetes' service controller.
        let message = format!("Error syncing load balancer: {message}");
        report(layout, Kind::Service, &name, "SyncLoadBalancerFailed", &message);
    }
    let ingresses = ingress::sync(layout, exe, &applied.views)?;
    if ingresses.is_new {
        for (name, pending) in
            ingresses.served.iter().flat_map(|name| ingresses.pending.iter().map(move |one| (name, one)))
        {
            report(layout, Kind::Ingress, name, "PortTaken", &pending.to_string());
        }
    }
    let pending = applied.pending.iter().map(service::words).collect();
    Ok(Synced { pending, left: applied.left, ingresses })
}

/// Appends a warning about an object that cannot get a port of the host.
fn report(layout: &Layout, kind: Kind, object: &str, reason: &str, message: &str) {
    let (namespace, name) = object.split_once('/').unwrap_or(("default", object));
    let about = ObjectReference {
        api_version: Some(kind.api_version().to_owned()),
        kind: Some(kind.name().to_owned()),
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectReference::default()
    };
    let once = Occurrence::once(Timestamp::now());
    let told = events::append_about(layout, about, EventType::Warning, reason, message, once);
    if let Err(error) = told {
        tracing::error!("{error}");
    }
}
