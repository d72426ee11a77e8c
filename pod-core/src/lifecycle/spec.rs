use k8s_openapi::api::core::v1::{Container, Pod};

/// `terminationGracePeriodSeconds` where a pod gives none.
const DEFAULT_GRACE_SECONDS: u64 = 30;

/// Role of a container in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ordinary init container.
    Init,
    /// App container.
    App,
}

/// restartPolicy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Whatever the exit code.
    Always,
    /// Unless it was 0.
    OnFailure,
    /// Never.
    Never,
}

impl RestartPolicy {
    /// Whether an app container that ended with `code` is to run again.
    pub fn restarts(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => code != 0,
            Self::Never => false,
        }
    }
}

/// What the machine needs to know of a pod; derived from the PodPlan, never changes.
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

/// What the machine needs to know of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Name.
    pub name: String,
    /// Init or app.
    pub role: Role,
    /// spec image, for the status.
    pub image: String,
}

impl PodSpec {
    /// What of a pod its life depends on. Fields that are missing get the API's defaults.
    pub fn from_pod(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref();
        let container = |role| {
            move |c: &Container| ContainerSpec {
                name: c.name.clone(),
                role,
                image: c.image.clone().unwrap_or_default(),
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

    /// Whether the pod has init containers: what its containers wait for is then called `PodInitializing`.
    pub fn has_init(&self) -> bool {
        self.containers.iter().any(|c| c.role == Role::Init)
    }
}
