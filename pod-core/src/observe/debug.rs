//! Debug containers in the object of their pod: spec.ephemeralContainers and status.ephemeralContainerStatuses.

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    EphemeralContainer, Pod,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::kind::{TerminatedReason, WaitingReason};
use crate::sandbox::container;
use crate::sandbox::debug::{DebugContainer, DebugEnd};

/// Adds the debug containers of a pod to its object.
pub(super) fn add(object: &mut Pod, uid: &str, debugs: &[DebugContainer]) {
    if debugs.is_empty() {
        return;
    }
    if let Some(spec) = object.spec.as_mut() {
        spec.ephemeral_containers = Some(debugs.iter().map(of_spec).collect());
    }
    if let Some(status) = object.status.as_mut() {
        status.ephemeral_container_statuses = Some(debugs.iter().map(|one| of_status(uid, one)).collect());
    }
}

fn of_spec(DebugContainer { debug, .. }: &DebugContainer) -> EphemeralContainer {
    EphemeralContainer {
        name: debug.name.clone(),
        image: Some(debug.image.clone()),
        command: Some(debug.command.clone()).filter(|command| !command.is_empty()),
        target_container_name: debug.target.clone(),
        stdin: Some(true).filter(|_| debug.stdin),
        tty: Some(true).filter(|_| debug.tty),
        ..EphemeralContainer::default()
    }
}

/// Returns the status of a debug container, which is never ready or restarted.
fn of_status(uid: &str, DebugContainer { debug, started_at, ended }: &DebugContainer) -> ContainerStatus {
    let id = format!("kube://{}", container::id(uid, &debug.name, 0));
    let id = started_at.map(|_| id);
    let state = match (started_at, ended) {
        (_, Some(DebugEnd { exit_code, finished_at })) => {
            let reason = match exit_code {
                Some(0) => TerminatedReason::Completed,
                Some(_) => TerminatedReason::Error,
                None => TerminatedReason::ContainerStatusUnknown,
            };
            let terminated = ContainerStateTerminated {
                exit_code: exit_code.unwrap_or(137),
                reason: Some(reason.to_string()),
                started_at: started_at.map(Time),
                finished_at: Some(Time(*finished_at)),
                container_id: id.clone(),
                ..ContainerStateTerminated::default()
            };
            ContainerState { terminated: Some(terminated), ..ContainerState::default() }
        }
        (Some(at), None) => {
            let running = ContainerStateRunning { started_at: Some(Time(*at)) };
            ContainerState { running: Some(running), ..ContainerState::default() }
        }
        (None, None) => {
            let reason = Some(WaitingReason::ContainerCreating.to_string());
            let waiting = ContainerStateWaiting { reason, message: None };
            ContainerState { waiting: Some(waiting), ..ContainerState::default() }
        }
    };
    ContainerStatus {
        name: debug.name.clone(),
        image: debug.image.clone(),
        container_id: id,
        state: Some(state),
        last_state: Some(ContainerState::default()),
        ..ContainerStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_debug_container_is_shown_as_an_ephemeral_container_with_its_state() {
        let mut pod: Pod = serde_json::from_value(json!({
            "spec": {"containers": []}, "status": {},
        }))
        .unwrap();
        let debug = |name: &str, times: serde_json::Value| {
            let mut one = json!({"debug": {"name": name, "image": "busybox", "command": ["sh"], "target": "main", "tty": true}});
            one.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
            serde_json::from_value::<DebugContainer>(one).unwrap()
        };
        let (begin, end) = ("2026-11-27T10:00:00Z", "2026-11-27T10:00:05Z");
        let all = [
            debug("created", json!({})),
            debug("runs", json!({"startedAt": begin})),
            debug("failed", json!({"startedAt": begin, "ended": {"exitCode": 3, "finishedAt": end}})),
            debug("lost", json!({"startedAt": begin, "ended": {"finishedAt": end}})),
        ];
        add(&mut pod, "u", &all);
        let pod = serde_json::to_value(&pod).unwrap();
        let spec = &pod["spec"]["ephemeralContainers"][0];
        assert_eq!(
            *spec,
            json!({"name": "created", "image": "busybox", "command": ["sh"], "targetContainerName": "main", "tty": true})
        );
        let states = &pod["status"]["ephemeralContainerStatuses"];
        assert_eq!(states[0]["state"]["waiting"]["reason"], "ContainerCreating");
        assert_eq!(states[1]["state"]["running"]["startedAt"], begin);
        assert_eq!(states[1]["containerID"], "kube://u-runs-0");
        assert_eq!(
            (&states[2]["state"]["terminated"]["exitCode"], &states[2]["state"]["terminated"]["reason"]),
            (&json!(3), &json!("Error"))
        );
        assert_eq!(states[3]["state"]["terminated"]["reason"], "ContainerStatusUnknown");
    }
}
