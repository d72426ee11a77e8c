//! Finds resources that two pods cannot have at the same time: a host port, a claim of ReadWriteOncePod, a name.

use std::collections::{BTreeSet, HashSet};

use k8s_openapi::api::core::v1::Pod;

use super::{Replicas, Rule, Strategy};
use crate::plan::ports::{self, declared};
use crate::plan::{PodNetwork, PodPlan, PodTemplate, PortMapping};

/// Claims that only one pod at a time may use (accessMode ReadWriteOncePod), as (namespace, name).
pub type Exclusive = HashSet<(String, String)>;

/// A resource that two pods need and cannot have at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Both pods have this name.
    Name(String),
    /// Both pods need this port of the host.
    HostPort(PortMapping),
    /// Both pods need this claim, which only one pod at a time may use.
    Claim(String),
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "the name {name}"),
            Self::HostPort(mapping) => write!(f, "host port {}", ports::describe(mapping)),
            Self::Claim(name) => write!(f, "claim {name}, which is ReadWriteOncePod"),
        }
    }
}

/// Finds a conflict because of which a rollout of `new` would never complete: a new pod needs a resource that an old
/// pod has, and the rule deletes no old pod before a new one is available. `old` are the templates of the existing
/// pods.
///
/// With more than one replica, a resource that two pods of `new` both need is a conflict too.
pub fn conflict(
    old: &[&PodTemplate],
    new: &PodTemplate,
    rule: &Rule,
    exclusive: &Exclusive,
) -> Option<Conflict> {
    let Rule::Replicas(rule) = rule else { return None };
    let wanted = Needs::new(&new.pod, &new.network, exclusive);
    if rule.count > 1
        && let Some(conflict) = wanted.first()
    {
        return Some(conflict);
    }
    if rule.count == 0 || deletes_first(rule) {
        return None;
    }
    old.iter().find_map(|old| wanted.conflict(&Needs::new(&old.pod, &old.network, exclusive)))
}

/// Decides whether a created pod may be started while `others` terminate. The error is the resource that the pod needs
/// and that one of the others still has.
pub fn may_start<'a>(
    pod: &PodPlan,
    others: impl IntoIterator<Item = &'a PodPlan>,
    exclusive: &Exclusive,
) -> Result<(), Conflict> {
    let needs = Needs::new(&pod.pod, &pod.network, exclusive);
    for other in others.into_iter().filter(|other| other.uid != pod.uid) {
        if other.name() == pod.name() && other.namespace() == pod.namespace() {
            return Err(Conflict::Name(pod.name().to_owned()));
        }
        if let Some(conflict) = needs.conflict(&Needs::new(&other.pod, &other.network, exclusive)) {
            return Err(conflict);
        }
    }
    Ok(())
}

/// Returns whether the rollout may delete an old pod before a new one is available.
fn deletes_first(rule: &Replicas) -> bool {
    match rule.strategy {
        Strategy::Recreate => true,
        Strategy::RollingUpdate { .. } => rule.bounds().max_unavailable > 0,
    }
}

/// The resources that a pod needs for itself alone.
struct Needs {
    ports: Vec<PortMapping>,
    claims: BTreeSet<String>,
}

impl Needs {
    fn new(pod: &Pod, network: &PodNetwork, exclusive: &Exclusive) -> Self {
        let spec = pod.spec.as_ref();
        let mut ports = network.ports.clone();
        if network.host {
            let declared = spec.map(declared).unwrap_or_default();
            ports.extend(declared.into_iter().filter_map(|port| {
                Some(PortMapping {
                    host_ip: port.host_ip,
                    host_port: port.host_port?,
                    container_port: port.container_port,
                    protocol: port.protocol,
                })
            }));
        }
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let volumes = spec.and_then(|spec| spec.volumes.as_ref()).into_iter().flatten();
        let claims = volumes
            .filter_map(|volume| Some(&volume.persistent_volume_claim.as_ref()?.claim_name))
            .filter(|name| {
                // Most hosts have no such claims, so the check for an empty set avoids copying names.
                !exclusive.is_empty() && exclusive.contains(&(namespace.to_owned(), (*name).clone()))
            })
            .cloned()
            .collect();
        Self { ports, claims }
    }

    fn first(&self) -> Option<Conflict> {
        let port = self.ports.first().cloned().map(Conflict::HostPort);
        port.or_else(|| self.claims.first().cloned().map(Conflict::Claim))
    }

    fn conflict(&self, other: &Self) -> Option<Conflict> {
        let is_taken = |port: &&PortMapping| other.ports.iter().any(|taken| ports::conflict(port, taken));
        let port = self.ports.iter().find(is_taken).cloned().map(Conflict::HostPort);
        port.or_else(|| self.claims.intersection(&other.claims).next().cloned().map(Conflict::Claim))
    }
}
