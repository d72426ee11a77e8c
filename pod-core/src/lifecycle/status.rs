//! Computes a pod's Kubernetes status, as the kubelet would report it.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState as ApiState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    ContainerState, Phase, PodSpec, PodState, PostStart, Role, RunState, Terminated, Transition, Waiting,
};
use crate::kind::ConditionType;
use crate::plan::qos::qos_class;

/// The most bytes of the termination messages of a pod's containers together. As with the kubelet, each container has an
/// equal share (`MaxPodTerminationMessageLogLength` of k8s pkg/kubelet/container).
const MAX_POD_MESSAGES: usize = 12 * 1024;

/// Returns the pod as `kubectl get pod -o json` shows it: with its status and, once the pod was asked to stop, with
/// metadata.deletionTimestamp and deletionGracePeriodSeconds.
pub fn pod_with_status(pod: &Pod, state: &PodState, host_ips: &[IpAddr]) -> Pod {
    let mut pod = pod.clone();
    if let Some(stop) = &state.stop {
        pod.metadata.deletion_timestamp = Some(Time(stop.until));
        pod.metadata.deletion_grace_period_seconds = i64::try_from(stop.grace_seconds).ok();
    }
    pod.status = Some(pod_status(&pod, state, host_ips));
    pod
}

/// Returns the status of a pod in `state` on a node with the addresses `host_ips`, the preferred one first.
fn pod_status(pod: &Pod, state: &PodState, host_ips: &[IpAddr]) -> PodStatus {
    let spec = PodSpec::from_pod(pod);
    let longest = MAX_POD_MESSAGES / spec.containers.len().max(1);
    let statuses = |is_init: bool| {
        let all = spec.containers.iter().zip(&state.containers);
        let found = all.filter(|(of, _)| (of.role != Role::App) == is_init);
        let status = |(of, c): (&super::ContainerSpec, &ContainerState)| {
            with_resources(container_status(c, of.role, &of.image, longest), pod)
        };
        some(found.map(status).collect())
    };
    PodStatus {
        phase: Some(state.phase.as_str().to_owned()),
        conditions: Some(conditions(&spec, state)),
        host_ip: host_ips.first().map(IpAddr::to_string),
        host_ips: some(host_ips.iter().map(|ip| HostIP { ip: ip.to_string() }).collect()),
        pod_ip: state.ips.first().map(IpAddr::to_string),
        pod_ips: some(state.ips.iter().map(|ip| PodIP { ip: ip.to_string() }).collect()),
        start_time: state.start_time.map(Time),
        qos_class: Some(qos_class(pod).as_str().to_owned()),
        reason: state.failure.as_ref().map(|failure| failure.reason.clone()),
        message: state.failure.as_ref().map(|failure| failure.message.clone()),
        init_container_statuses: statuses(true),
        container_statuses: statuses(false),
        ..PodStatus::default()
    }
}

/// Adds the resources that a container has: those of its spec, to which its cgroups are set.
fn with_resources(status: ContainerStatus, pod: &Pod) -> ContainerStatus {
    let spec = pod.spec.as_ref();
    let mut containers =
        spec.into_iter().flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers));
    let container = containers.find(|container| container.name == status.name);
    let given = container.and_then(|container| container.resources.as_ref());
    let given = given.filter(|given| given.limits.is_some() || given.requests.is_some());
    let runs = status.state.as_ref().is_some_and(|state| state.running.is_some());
    ContainerStatus {
        allocated_resources: given.and_then(|given| given.requests.clone()),
        resources: given.filter(|_| runs).cloned(),
        ..status
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() { None } else { Some(list) }
}

fn container_status(c: &ContainerState, role: Role, image: &str, longest: usize) -> ContainerStatus {
    let terminated = |t: &Terminated| terminated(t, longest);
    let ended = || (c.latest.as_ref().map(&terminated).unwrap_or_default(), c.previous.as_ref());
    let (state, last) = match &c.state {
        RunState::Waiting(w) | RunState::Starting { waiting: Some(w) } => (waiting(w), c.latest.as_ref()),
        // Until its postStart hook has returned, a container is shown as before it was started.
        RunState::Running { since, .. } => match &c.post_start {
            PostStart::Done => (running(*since), c.latest.as_ref()),
            PostStart::Running { waiting: Some(w) } => (waiting(w), c.latest.as_ref()),
            PostStart::Running { waiting: None } => ended(),
            PostStart::Failed { .. } => {
                (c.post_start.failure().as_ref().map(waiting).unwrap_or_default(), c.latest.as_ref())
            }
        },
        RunState::Starting { waiting: None } | RunState::Terminated => ended(),
    };
    ContainerStatus {
        name: c.name.clone(),
        image: image.to_owned(),
        image_id: c.image_id.clone(),
        container_id: Some(c.container_id.clone()).filter(|id| !id.is_empty()),
        ready: c.is_ready(role),
        restart_count: i32::try_from(c.restart_count()).unwrap_or(i32::MAX),
        started: Some(c.is_started()),
        state: Some(state),
        last_state: Some(last.map(terminated).unwrap_or_default()),
        ..ContainerStatus::default()
    }
}

fn waiting(w: &Waiting) -> ApiState {
    let waiting = ContainerStateWaiting { reason: Some(w.reason.to_string()), message: w.message.clone() };
    ApiState { waiting: Some(waiting), ..ApiState::default() }
}

fn running(since: Timestamp) -> ApiState {
    ApiState { running: Some(ContainerStateRunning { started_at: Some(Time(since)) }), ..ApiState::default() }
}

/// Returns how a run ended. A message of more than `longest` bytes is cut.
fn terminated(t: &Terminated, longest: usize) -> ApiState {
    let terminated = ContainerStateTerminated {
        exit_code: t.exit_code,
        reason: Some(t.reason.to_string()),
        message: t.message.as_deref().map(|message| cut(message, longest).to_owned()),
        started_at: t.started_at.map(Time),
        finished_at: Some(Time(t.finished_at)),
        container_id: Some(t.container_id.clone()).filter(|id| !id.is_empty()),
        signal: None,
    };
    ApiState { terminated: Some(terminated), ..ApiState::default() }
}

/// Returns the beginning of a text: the most whole characters that fit into `longest` bytes.
fn cut(text: &str, longest: usize) -> &str {
    text.get(..text.floor_char_boundary(longest)).unwrap_or(text)
}

/// The reason and the message of a condition.
#[derive(Default)]
struct Why {
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Why {
    fn reason(reason: &'static str) -> Self {
        Self { reason: Some(reason), message: None }
    }
}

fn conditions(spec: &PodSpec, state: &PodState) -> Vec<PodCondition> {
    let all = &state.conditions;
    let initialized = if state.phase == Phase::Succeeded && all.initialized.status {
        Why::reason("PodCompleted")
    } else if all.initialized.status {
        Why::default()
    } else {
        let names = state.incomplete(spec);
        Why {
            reason: Some("ContainersNotInitialized"),
            message: Some(list("containers with incomplete status", names)),
        }
    };
    let containers_ready = || match state.phase {
        Phase::Succeeded => Why::reason("PodCompleted"),
        Phase::Failed => Why::reason("PodFailed"),
        _ if all.containers_ready.status => Why::default(),
        _ => {
            let unready = state.lasting(spec).filter(|(of, c)| !c.is_ready(of.role)).map(|(_, c)| c);
            Why {
                reason: Some("ContainersNotReady"),
                message: Some(list("containers with unready status", unready)),
            }
        }
    };
    let ready = match state.unmet_gates(spec) {
        Some(message) if all.containers_ready.status => {
            Why { reason: Some("ReadinessGatesNotReady"), message: Some(message) }
        }
        _ => containers_ready(),
    };
    // Source: `GenerateAllContainersRestartingCondition` of k8s pkg/kubelet/status.
    let restarting = |transition: Transition| match state.phase {
        Phase::Succeeded => Why::reason("PodCompleted"),
        Phase::Failed => Why::reason("PodFailed"),
        _ if transition.status => Why {
            reason: Some("RestartAllContainersStarted"),
            message: Some("container exited with restart policy rule".to_owned()),
        },
        _ => Why::default(),
    };
    let mut conditions = vec![
        condition(ConditionType::PodReadyToStartContainers, all.ready_to_start, Why::default()),
        condition(ConditionType::Initialized, all.initialized, initialized),
        condition(ConditionType::Ready, all.ready, ready),
        condition(ConditionType::ContainersReady, all.containers_ready, containers_ready()),
        condition(ConditionType::PodScheduled, all.scheduled, Why::default()),
    ];
    conditions.extend(all.all_restarting.map(|transition| {
        condition(ConditionType::AllContainersRestarting, transition, restarting(transition))
    }));
    conditions
}

/// Formats container names as Go prints a list: `what: [a b]`.
fn list<'a>(what: &str, containers: impl Iterator<Item = &'a ContainerState>) -> String {
    let names: Vec<_> = containers.map(|c| c.name.as_str()).collect();
    format!("{what}: [{}]", names.join(" "))
}

fn condition(type_: ConditionType, transition: Transition, why: Why) -> PodCondition {
    PodCondition {
        type_: type_.to_string(),
        status: if transition.status { "True" } else { "False" }.to_owned(),
        last_transition_time: Some(Time(transition.since)),
        reason: why.reason.map(str::to_owned),
        message: why.message,
        ..PodCondition::default()
    }
}
