//! What two pods cannot have at the same time: a host port, a claim of ReadWriteOncePod, a name.

use std::collections::{BTreeSet, HashSet};

use k8s_openapi::api::core::v1::Pod;

use super::{Replicas, Rule, Strategy};
use crate::plan::ports::{self, declared};
use crate::plan::{PodNetwork, PodPlan, PodTemplate, PortMapping};

/// Claims that one pod at a time may use (accessMode ReadWriteOncePod), as (namespace, name).
pub type Exclusive = HashSet<(String, String)>;

/// Something that two pods cannot have at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Both have this name.
    Name(String),
    /// Both want this port of the host.
    HostPort(PortMapping),
    /// Both want this claim, which one pod at a time may use.
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

/// Finds what keeps a rollout of `new` from ever completing: something that a pod of it needs and that an old pod has,
/// while no old pod is deleted before a new one is available. `old` are the templates of the pods that exist.
///
/// For more than one replica, what a pod of `new` takes from another pod of `new` counts too.
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

/// Decides whether a created pod may be started while `others` terminate: returns what one of them still has that the
/// pod needs.
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

/// The rollout deletes an old pod before a new one is available.
fn deletes_first(rule: &Replicas) -> bool {
    match rule.strategy {
        Strategy::Recreate => true,
        Strategy::RollingUpdate { .. } => rule.bounds().max_unavailable > 0,
    }
}

/// What a pod needs for itself.
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
                // Most hosts have none, so that nothing is copied.
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
