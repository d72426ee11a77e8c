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
    let statuses = |role| {
        let found: Vec<_> = state
            .by_role(&spec, role)
            .map(|(i, c)| container_status(c, role, spec.containers.get(i).map_or("", |s| s.image.as_str())))
            .collect();
        if found.is_empty() { None } else { Some(found) }
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
        init_container_statuses: statuses(Role::Init),
        container_statuses: statuses(Role::App),
        ..PodStatus::default()
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() { None } else { Some(list) }
}

fn container_status(c: &ContainerState, role: Role, image: &str) -> ContainerStatus {
    let ended = || (c.latest.as_ref().map(terminated).unwrap_or_default(), c.previous.as_ref());
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

fn terminated(t: &Terminated) -> ApiState {
    let terminated = ContainerStateTerminated {
        exit_code: t.exit_code,
        reason: Some(t.reason.to_string()),
        message: t.message.clone(),
        started_at: t.started_at.map(Time),
        finished_at: Some(Time(t.finished_at)),
        container_id: Some(t.container_id.clone()).filter(|id| !id.is_empty()),
        signal: None,
    };
    ApiState { terminated: Some(terminated), ..ApiState::default() }
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
        let names = state.by_role(spec, Role::Init).filter(|(_, c)| !c.done);
        Why {
            reason: Some("ContainersNotInitialized"),
            message: Some(list("containers with incomplete status", names)),
        }
    };
    let ready = || match state.phase {
        Phase::Succeeded => Why::reason("PodCompleted"),
        Phase::Failed => Why::reason("PodFailed"),
        _ if all.containers_ready.status => Why::default(),
        _ => {
            let unready = state.by_role(spec, Role::App).filter(|(_, c)| !c.is_ready(Role::App));
            Why {
                reason: Some("ContainersNotReady"),
                message: Some(list("containers with unready status", unready)),
            }
        }
    };
    vec![
        condition(ConditionType::PodReadyToStartContainers, all.ready_to_start, Why::default()),
        condition(ConditionType::Initialized, all.initialized, initialized),
        condition(ConditionType::Ready, all.ready, ready()),
        condition(ConditionType::ContainersReady, all.containers_ready, ready()),
        condition(ConditionType::PodScheduled, all.scheduled, Why::default()),
    ]
}

/// Formats container names as Go prints a list: `what: [a b]`.
fn list<'a>(what: &str, containers: impl Iterator<Item = (usize, &'a ContainerState)>) -> String {
    let names: Vec<_> = containers.map(|(_, c)| c.name.as_str()).collect();
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
