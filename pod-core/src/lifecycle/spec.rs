use k8s_openapi::api::core::v1::{Container, Pod};

use super::hook::HookSpecs;
use super::probe::ProbeSpecs;

/// The default of `terminationGracePeriodSeconds`.
const DEFAULT_GRACE_SECONDS: u64 = 30;

/// The role of a container in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An ordinary init container.
    Init,
    /// An app container.
    App,
}

/// restartPolicy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Restart containers whatever their exit code.
    Always,
    /// Restart containers whose exit code was not 0.
    OnFailure,
    /// Do not restart containers.
    Never,
}

impl RestartPolicy {
    /// Returns whether an app container that ended with exit code `code` has to run again.
    pub fn restarts(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => code != 0,
            Self::Never => false,
        }
    }
}

/// The fields of a pod that the state machine needs. They never change during the pod's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSpec {
    /// metadata.name, for messages.
    pub name: String,
    /// metadata.namespace, for messages.
    pub namespace: String,
    /// metadata.uid, for messages.
    pub uid: String,
    /// spec.restartPolicy.
    pub restart_policy: RestartPolicy,
    /// spec.terminationGracePeriodSeconds.
    pub grace_seconds: u64,
    /// Init containers in order, then app containers.
    pub containers: Vec<ContainerSpec>,
}

/// The fields of a container that the state machine needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// The container's name.
    pub name: String,
    /// Whether it is an init or an app container.
    pub role: Role,
    /// The container's `image` field, for the status.
    pub image: String,
    /// Its probes. An init container has none.
    pub probes: ProbeSpecs,
    /// Its hooks. An init container has none.
    pub hooks: HookSpecs,
}

impl PodSpec {
    /// Extracts the spec from a pod. Missing fields get the API's defaults.
    pub fn from_pod(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref();
        let container = |role| {
            move |c: &Container| ContainerSpec {
                name: c.name.clone(),
                role,
                image: c.image.clone().unwrap_or_default(),
                probes: match role {
                    Role::Init => ProbeSpecs::default(),
                    Role::App => ProbeSpecs::from_container(c),
                },
                hooks: match role {
                    Role::Init => HookSpecs::default(),
                    Role::App => HookSpecs::from_container(c),
                },
            }
        };
        let init = spec.and_then(|s| s.init_containers.as_deref()).unwrap_or_default();
        let app = spec.map(|s| s.containers.as_slice()).unwrap_or_default();
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            namespace: pod.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            restart_policy: match spec.and_then(|s| s.restart_policy.as_deref()) {
                Some("Never") => RestartPolicy::Never,
                Some("OnFailure") => RestartPolicy::OnFailure,
                _ => RestartPolicy::Always,
            },
            grace_seconds: spec
                .and_then(|s| s.termination_grace_period_seconds)
                .map_or(DEFAULT_GRACE_SECONDS, |n| u64::try_from(n).unwrap_or(0)),
            containers: init
                .iter()
                .map(container(Role::Init))
                .chain(app.iter().map(container(Role::App)))
                .collect(),
        }
    }

    /// Returns whether the pod has init containers. The waiting reason of its containers is then `PodInitializing`.
    pub fn has_init(&self) -> bool {
        self.containers.iter().any(|c| c.role == Role::Init)
    }
}
