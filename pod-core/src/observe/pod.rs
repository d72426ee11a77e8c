//! Pods as commands see them, and as Kubernetes objects.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::debug;
use crate::lifecycle::{Goal, Phase, PodSpec, PodState, Role, RunState, pod_with_status};
use crate::plan::{PodPlan, node};
use crate::sandbox::debug::DebugContainer;
use crate::store::WorkloadId;

/// A pod as commands see it.
#[derive(Debug, Clone)]
pub struct PodView {
    /// The workload that the pod belongs to.
    pub workload: WorkloadId,
    /// The plan that the pod was created from.
    pub plan: std::sync::Arc<PodPlan>,
    /// The state that its supervisor wrote last; a new state (Pending) if there is none.
    pub state: PodState,
    /// True if the pod is being removed: metadata.deletionTimestamp is set.
    pub terminating: bool,
    /// Its debug containers.
    pub debugs: Vec<DebugContainer>,
}

/// How useful a pod is for a command that needs one pod of several, the most useful last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usefulness {
    /// The pod does not run.
    NotRunning,
    /// The pod runs and is not Ready.
    Running,
    /// The pod is Ready.
    Ready,
}

impl PodView {
    /// Returns the pod with its status, as `kubectl get pod -o json` shows it. `host_ips` are the addresses of the
    /// host for its status.
    pub fn object(&self, host_ips: &[IpAddr]) -> Pod {
        let mut object = pod_with_status(&self.plan.pod, &self.state, host_ips);
        if let Some(spec) = object.spec.as_mut()
            && spec.node_name.is_none()
        {
            spec.node_name = Some(node::name());
        }
        // The state of a pod that is being removed may be missing.
        if self.terminating && object.metadata.deletion_timestamp.is_none() {
            object.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::now()));
        }
        debug::add(&mut object, &self.plan.uid, &self.debugs);
        object
    }

    /// Returns how useful the pod is for a command that needs one pod of several.
    pub fn usefulness(&self) -> Usefulness {
        match self.state.phase {
            _ if self.state.is_ready() => Usefulness::Ready,
            Phase::Running => Usefulness::Running,
            Phase::Pending | Phase::Succeeded | Phase::Failed => Usefulness::NotRunning,
        }
    }

    /// Returns true if a container has ended and nothing starts it again.
    pub fn will_not_run_again(&self, container: &str) -> bool {
        let spec = PodSpec::from_pod(&self.plan.pod);
        let mut all = spec.containers.iter().zip(&self.state.containers);
        let Some((of, state)) = all.find(|(of, _)| of.name == container) else { return false };
        let end = match state.state {
            RunState::Starting { waiting: None } | RunState::Terminated => state.latest.as_ref(),
            RunState::Starting { .. } | RunState::Waiting(_) | RunState::Running { .. } => None,
        };
        // An init container that has succeeded has done its work, whatever the policy.
        let is_done = |code| of.role == Role::Init && code == 0;
        let pod_ends = self.state.goal == Goal::End && state.state == RunState::Terminated;
        end.is_some_and(|end| is_done(end.exit_code) || pod_ends || !of.restarts(end.exit_code))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kind::Kind;
    use crate::lifecycle::Now;
    use crate::observe::tests::fixture::planned;

    /// A pod with the init container `init` and the container `main`, which both ended with `code`.
    fn ended(policy: &str, code: i32) -> PodView {
        let mut plan = planned("default", "web", &json!({}));
        plan.pod.spec = serde_json::from_value(json!({
            "restartPolicy": policy, "initContainers": [{"name": "init"}], "containers": [{"name": "main"}],
        }))
        .unwrap();
        let now = Now { boot: 0, wall: jiff::Timestamp::UNIX_EPOCH };
        let mut state = PodState::new(&PodSpec::from_pod(&plan.pod), now);
        for container in &mut state.containers {
            let end = json!({
                "exit_code": code, "reason": "Completed", "finished_at": now.wall, "finished_boot": 0,
            });
            container.latest = Some(serde_json::from_value(end).unwrap());
            container.state = RunState::Terminated;
        }
        let workload = WorkloadId::new(Kind::Pod, "default", "web");
        PodView { workload, plan: plan.into(), state, terminating: false, debugs: Vec::new() }
    }

    #[test]
    fn the_restart_policy_and_the_exit_code_say_whether_a_container_runs_again() {
        for (policy, code, init, main) in [
            ("Always", 0, true, false),
            ("Always", 1, false, false),
            ("OnFailure", 0, true, true),
            ("OnFailure", 1, false, false),
            ("Never", 0, true, true),
            ("Never", 1, true, true),
        ] {
            let pod = ended(policy, code);
            let ends = ["init", "main", "other"].map(|container| pod.will_not_run_again(container));
            assert_eq!(ends, [init, main, false], "{policy} {code}");
        }
        let mut running = ended("Never", 0);
        for container in &mut running.state.containers {
            container.state = serde_json::from_value(json!({"Running": {
                "pid": 1, "since": jiff::Timestamp::UNIX_EPOCH, "stop_signal": "SIGTERM", "halt": "None",
            }}))
            .unwrap();
        }
        assert!(!running.will_not_run_again("main"));
    }

    #[test]
    fn a_ready_pod_is_more_useful_than_a_running_one() {
        let mut pod = ended("Always", 1);
        assert_eq!(pod.usefulness(), Usefulness::NotRunning);
        pod.state.phase = Phase::Running;
        assert_eq!(pod.usefulness(), Usefulness::Running);
        pod.state.conditions.ready.status = true;
        assert_eq!(pod.usefulness(), Usefulness::Ready);
        assert!(Usefulness::Ready > Usefulness::Running && Usefulness::Running > Usefulness::NotRunning);
    }

    #[test]
    fn the_object_of_a_pod_that_is_being_removed_has_a_deletion_timestamp() {
        let mut pod = ended("Always", 1);
        assert_eq!(pod.object(&[]).metadata.deletion_timestamp, None);
        pod.terminating = true;
        let object = pod.object(&[]);
        assert!(object.metadata.deletion_timestamp.is_some());
        assert_eq!(object.spec.unwrap().node_name, Some(node::name()));
    }
}
