//! When the probes of a pod run.
//!
//! Which probe is due, and what a result means, is decided by [`ProbeSchedule`]; [`checks`](super::checks) does it.

use super::Supervisor;
use super::checks::{Limit, Purpose, probe_group};
use crate::lifecycle::{Now, ProbeKind, ProbeResult, ProbeRun, ProbeSchedule};
use crate::log::Repeats;
use crate::probe::Check;
use crate::runtime::cgroup;
use crate::sandbox::container;

/// The probes of a pod.
#[derive(Default)]
pub struct Probing {
    /// When they run.
    pub schedule: ProbeSchedule,
    /// The events about them.
    pub repeats: Repeats,
}

impl Supervisor {
    /// Kills what commands of probes of a former supervisor have left in running containers.
    pub(super) fn kill_old_probes(&self, uid: &str) {
        let Some(pod) = self.pods.get(uid) else { return };
        let Some(sandbox) = &pod.sandbox else { return };
        for (name, attempt, _) in pod.state.running() {
            let of = |kind: &ProbeKind| {
                let spec = pod.spec.containers.iter().find(|container| container.name == name);
                spec.is_some_and(|spec| spec.probes.get(*kind).is_some())
            };
            let path = cgroup::container_path(&sandbox.sandbox.cgroup, &container::id(uid, name, attempt));
            for kind in ProbeKind::ALL.into_iter().filter(of) {
                cgroup::kill_all(&cgroup::below(&path, &probe_group(kind)));
            }
        }
    }

    /// Starts the probes of a pod that are due.
    pub(super) fn run_probes(&mut self, uid: &str, now: Now) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        for run in pod.probing.schedule.take_due(&pod.spec, now) {
            self.start_probe(uid, run, now);
        }
    }

    fn start_probe(&mut self, uid: &str, run: ProbeRun, now: Now) {
        let Some(pod) = self.pods.get(uid) else { return };
        let Some(container) = pod.container(&run.container) else { return };
        let Some(probe) = run.kind.of(container) else { return };
        let spec = pod.spec.containers.iter().find(|container| container.name == run.container);
        let timeout = spec.and_then(|spec| spec.probes.get(run.kind)).map_or(1000, |probe| probe.timeout);
        match Check::of_probe(probe, container, &pod.network()) {
            Ok(check) => {
                let at = now.boot.saturating_add(timeout);
                let limit = Limit { at, result: check.timed_out(timeout / 1000) };
                self.start_check(uid, Purpose::Probe(run), check, Some(limit));
            }
            Err(error) => self.on_probed(uid, &run, &ProbeResult::Unknown(error.to_string())),
        }
    }

    /// Applies the result of a probe.
    pub(super) fn on_probed(&mut self, uid: &str, run: &ProbeRun, result: &ProbeResult) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        tracing::debug!(pod = pod.plan.name(), ?run, ?result, "probe");
        let (told, event) = pod.probing.schedule.finish(&pod.spec, &pod.state, run, result);
        if let Some(action) = told {
            self.act(uid, action, super::now().wall);
        }
        if let Some(event) = event {
            self.dispatch(uid, &event);
        }
    }
}
