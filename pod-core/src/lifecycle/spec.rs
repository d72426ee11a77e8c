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
    /// A sidecar: an init container with restartPolicy Always, which runs beside the app containers.
    Sidecar,
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
    /// Reads the policy of a pod or a container; `None` if there is none.
    fn parse(text: Option<&str>) -> Option<Self> {
        match text? {
            "Always" => Some(Self::Always),
            "OnFailure" => Some(Self::OnFailure),
            "Never" => Some(Self::Never),
            _ => None,
        }
    }

    /// Returns whether an app container that ended with exit code `code` has to run again.
    pub fn restarts(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => code != 0,
            Self::Never => false,
        }
    }
}

/// One of restartPolicyRules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartRule {
    /// Whether its action is RestartAllContainers, else Restart.
    pub restarts_all: bool,
    /// Whether the rule matches exit codes that are in `codes` (In) or those that are not (NotIn).
    pub is_in: bool,
    /// exitCodes.values.
    pub codes: Vec<i32>,
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
    /// spec.restartPolicy. What restarts a container is [`ContainerSpec::restarts`].
    pub restart_policy: RestartPolicy,
    /// spec.activeDeadlineSeconds.
    pub active_deadline_seconds: Option<u64>,
    /// The conditions of spec.readinessGates.
    pub readiness_gates: Vec<String>,
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
    /// Whether it is an init container, a sidecar or an app container.
    pub role: Role,
    /// The restartPolicy that applies to it: its own, else the pod's.
    pub restart_policy: RestartPolicy,
    /// Its restartPolicyRules.
    pub restart_rules: Vec<RestartRule>,
    /// The container's `image` field, for the status.
    pub image: String,
    /// Its probes. An ordinary init container has none.
    pub probes: ProbeSpecs,
    /// Its hooks. An ordinary init container has none.
    pub hooks: HookSpecs,
}

impl ContainerSpec {
    /// Returns whether the container has to run again after it has ended by itself with exit code `code`. The first rule
    /// that matches decides, else the restartPolicy. An init container that has succeeded is not asked: it is done.
    ///
    /// Source: `ContainerShouldRestart` of k8s pkg/api/v1/pod.
    pub fn restarts(&self, code: i32) -> bool {
        self.matching_rule(code).is_some() || self.restart_policy.restarts(code)
    }

    /// Returns whether all containers of the pod have to run again after this one has ended with exit code `code`
    /// (KEP-5532).
    pub fn restarts_all(&self, code: i32) -> bool {
        self.matching_rule(code).is_some_and(|rule| rule.restarts_all)
    }

    /// Returns whether an exit code of this container may ask for a restart of all containers of the pod.
    pub fn may_restart_all(&self) -> bool {
        self.restart_rules.iter().any(|rule| rule.restarts_all)
    }

    /// Returns whether one of its restartPolicyRules is for exit code `code`.
    pub fn has_rule_for(&self, code: i32) -> bool {
        self.matching_rule(code).is_some()
    }

    fn matching_rule(&self, code: i32) -> Option<&RestartRule> {
        self.restart_rules.iter().find(|rule| rule.codes.contains(&code) == rule.is_in)
    }
}

impl PodSpec {
    /// Extracts the spec from a pod. Missing fields get the API's defaults.
    pub fn from_pod(pod: &Pod) -> Self {
        let spec = pod.spec.as_ref();
        let restart_policy = spec.and_then(|s| RestartPolicy::parse(s.restart_policy.as_deref()));
        let restart_policy = restart_policy.unwrap_or(RestartPolicy::Always);
        let container = |role, c: &Container| ContainerSpec {
            name: c.name.clone(),
            role,
            restart_policy: RestartPolicy::parse(c.restart_policy.as_deref()).unwrap_or(restart_policy),
            restart_rules: rules(c),
            image: c.image.clone().unwrap_or_default(),
            probes: match role {
                Role::Init => ProbeSpecs::default(),
                Role::Sidecar | Role::App => ProbeSpecs::from_container(c),
            },
            hooks: match role {
                Role::Init => HookSpecs::default(),
                Role::Sidecar | Role::App => HookSpecs::from_container(c),
            },
        };
        let init_role = |c: &Container| match c.restart_policy.as_deref() {
            Some("Always") => Role::Sidecar,
            _ => Role::Init,
        };
        let init = spec.and_then(|s| s.init_containers.as_deref()).unwrap_or_default();
        let app = spec.map(|s| s.containers.as_slice()).unwrap_or_default();
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            namespace: pod.metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            restart_policy,
            active_deadline_seconds: spec
                .and_then(|s| s.active_deadline_seconds)
                .and_then(|seconds| u64::try_from(seconds).ok()),
            readiness_gates: spec
                .and_then(|s| s.readiness_gates.as_deref())
                .unwrap_or_default()
                .iter()
                .map(|gate| gate.condition_type.clone())
                .collect(),
            grace_seconds: spec
                .and_then(|s| s.termination_grace_period_seconds)
                .map_or(DEFAULT_GRACE_SECONDS, |n| u64::try_from(n).unwrap_or(0)),
            containers: init
                .iter()
                .map(|c| container(init_role(c), c))
                .chain(app.iter().map(|c| container(Role::App, c)))
                .collect(),
        }
    }

    /// Returns whether the pod has init containers. The waiting reason of its containers is then `PodInitializing`.
    pub fn has_init(&self) -> bool {
        self.containers.iter().any(|c| c.role != Role::App)
    }
}

fn rules(container: &Container) -> Vec<RestartRule> {
    let rules = container.restart_policy_rules.iter().flatten();
    let rules = rules.filter_map(|rule| {
        let codes = rule.exit_codes.as_ref()?;
        Some(RestartRule {
            restarts_all: rule.action == "RestartAllContainers",
            is_in: codes.operator == "In",
            codes: codes.values.clone().unwrap_or_default(),
        })
    });
    rules.collect()
}
