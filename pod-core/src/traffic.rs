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
}

/// Brings everything in line with the recorded objects and the states of pods. Fast if there are no Services and no
/// Ingresses.
///
/// # Errors
/// If something cannot be changed. The next call tries again.
pub fn sync(layout: &Layout, exe: &Path) -> Result<Synced, Error> {
    if !service::is_used(layout) && !service::was_applied(layout) {
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
    if !service::is_used(layout) && !was_applied {
        return Ok(false);
    }
    if was_applied && !was_lost && service::inputs(layout)?.1 {
        return Ok(false);
    }
    apply(layout, exe, was_lost)?;
    Ok(true)
}

fn apply(layout: &Layout, exe: &Path, again: bool) -> Result<Synced, Error> {
    let lock = service::lock(layout)?;
    let applied = service::apply(layout, exe, again, &lock)?;
    ingress::sync(layout, exe, &applied.views)?;
    for (name, message) in applied.new_pending.iter().map(service::words) {
        report(layout, &name, &message);
    }
    Ok(Synced { pending: applied.pending.iter().map(service::words).collect(), left: applied.left })
}

/// Appends an event about a Service that cannot get a port of the host, in the words of Kubernetes' service controller.
fn report(layout: &Layout, service: &str, message: &str) {
    let (namespace, name) = service.split_once('/').unwrap_or(("default", service));
    let about = ObjectReference {
        api_version: Some(Kind::Service.api_version().to_owned()),
        kind: Some(Kind::Service.name().to_owned()),
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..ObjectReference::default()
    };
    let message = format!("Error syncing load balancer: {message}");
    let once = Occurrence::once(Timestamp::now());
    let told =
        events::append_about(layout, about, EventType::Warning, "SyncLoadBalancerFailed", &message, once);
    if let Err(error) = told {
        tracing::error!("{error}");
    }
}
