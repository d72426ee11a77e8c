//! The hooks of containers: postStart and preStop.
//!
//! When a hook runs, and what its end means, is decided by the state machine; [`checks`](super::checks) does it.

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};

use super::Supervisor;
use super::checks::{Limit, Purpose, Work, hook_group};
use crate::lifecycle::{Event, HookRun, ProbeResult};
use crate::probe::Check;
use crate::runtime::cgroup;
use crate::sandbox::container;

impl Supervisor {
    /// Starts a hook.
    pub(super) fn start_hook(&mut self, uid: &str, run: HookRun) {
        let Some(pod) = self.pods.get(uid) else { return };
        // Its container may have ended while the action waited for others.
        if !pod.state.may_run(&run) {
            return;
        }
        let Some(container) = pod.container(&run.container) else { return };
        let Some(handler) = run.kind.of(container) else { return };
        if let Some(sleep) = &handler.sleep {
            let seconds = u64::try_from(sleep.seconds).unwrap_or(0);
            let at = super::now().boot.saturating_add(seconds.saturating_mul(1000));
            let limit = Limit { at, result: ProbeResult::Success };
            self.add_check(uid, Purpose::Hook(run), Work::Sleep, Some(limit));
            return;
        }
        // A hook has no timeout: postStart may take as long as it needs, and preStop ends with the grace period.
        match Check::of_hook(handler, container, &pod.network()) {
            Ok(check) => self.start_check(uid, Purpose::Hook(run), check, None),
            Err(error) => self.on_hook_ended(uid, &run, &ProbeResult::Unknown(error.to_string())),
        }
    }

    /// Goes on with a hook that a former supervisor had started. [`HookKind::runs_again`](crate::lifecycle::HookKind::runs_again) has the rule.
    pub(super) fn resume_hook(&mut self, uid: &str, run: HookRun) {
        if !run.kind.runs_again() {
            self.on_hook_ended(uid, &run, &ProbeResult::Success);
            return;
        }
        if let Some(sandbox) = self.pods.get(uid).and_then(|pod| pod.sandbox.as_ref()) {
            let id = container::id(uid, &run.container, run.attempt);
            let path = cgroup::container_path(&sandbox.sandbox.cgroup, &id);
            cgroup::kill_all(&cgroup::below(&path, &hook_group(run.kind)));
        }
        self.start_hook(uid, run);
    }

    pub(super) fn on_hook_ended(&mut self, uid: &str, run: &HookRun, result: &ProbeResult) {
        let Some(pod) = self.pods.get(uid) else { return };
        tracing::debug!(pod = pod.plan.name(), ?run, ?result, "hook");
        let error = match result {
            ProbeResult::Success | ProbeResult::Warning(_) => None,
            ProbeResult::Failure(reason) | ProbeResult::Unknown(reason) => {
                let message = failure(&pod.plan.pod, pod.container(&run.container), run, reason);
                tracing::warn!(pod = %uid, container = run.container, hook = run.kind.as_str(), "{message}");
                Some(message)
            }
        };
        let event = Event::HookEnded {
            container: run.container.clone(),
            attempt: run.attempt,
            hook: run.kind,
            error,
        };
        self.dispatch(uid, &event);
    }
}

/// Returns the message about a hook that has failed, in the words of the kubelet.
fn failure(pod: &Pod, container: Option<&Container>, run: &HookRun, reason: &str) -> String {
    let handler = container.and_then(|container| run.kind.of(container));
    let what = match handler {
        Some(LifecycleHandler { exec: Some(exec), .. }) => {
            format!("Exec lifecycle hook ([{}])", exec.command.as_deref().unwrap_or_default().join(" "))
        }
        Some(LifecycleHandler { http_get: Some(http), .. }) => {
            format!("HTTP lifecycle hook ({})", http.path.as_deref().unwrap_or("/"))
        }
        _ => "TCP lifecycle hook".to_owned(),
    };
    let [name, namespace, uid] = [&pod.metadata.name, &pod.metadata.namespace, &pod.metadata.uid]
        .map(|field| field.as_deref().unwrap_or_default());
    let container = &run.container;
    format!(
        "{what} for Container {container:?} in Pod \"{name}_{namespace}({uid})\" failed - error: {reason}"
    )
}
