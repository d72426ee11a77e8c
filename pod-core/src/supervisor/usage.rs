//! Measures the volumes of pods that have a limit on disk, in workers, and ends a pod that exceeds one.

use nix::sys::signal::{Signal, kill};

use super::Supervisor;
use super::pod::{Job, Pod};
use crate::lifecycle::{Event, Goal, Now, Sandbox};
use crate::sandbox::worker;
use crate::volume::{ephemeral, usage};

fn runs(pod: &Pod) -> bool {
    (pod.state.goal, pod.state.sandbox) == (Goal::Run, Sandbox::Ready)
}

impl Supervisor {
    /// Makes the measuring of a pod follow its state: a pod is measured while it runs.
    pub(super) fn follow_usage(&mut self, uid: &str) {
        let Some(pod) = self.pods.get_mut(uid).filter(|pod| pod.measuring.is_limited) else { return };
        if runs(pod) {
            pod.measuring.next.get_or_insert(super::now().boot.saturating_add(usage::INTERVAL_MS));
            return;
        }
        pod.measuring.next = None;
        // The removal of the pod waits for its workers.
        for job in pod.jobs.values() {
            if let Job::Measure(worker) = job {
                let _ = kill(worker.pid, Signal::SIGKILL);
            }
        }
    }

    /// Starts the measurements that are due.
    pub(super) fn run_measurements(&mut self, now: Now) {
        let is_due = |pod: &Pod| pod.measuring.next.is_some_and(|at| at <= now.boot);
        let due: Vec<String> =
            self.pods.iter().filter(|(_, pod)| is_due(pod)).map(|(uid, _)| uid.clone()).collect();
        for uid in due {
            let Some(pod) = self.pods.get_mut(&uid) else { continue };
            pod.measuring.next = Some(now.boot.saturating_add(usage::INTERVAL_MS));
            if pod.jobs.values().any(|job| matches!(job, Job::Measure(_))) {
                continue;
            }
            let plan = pod.plan.clone();
            match worker::spawn(|| {
                usage::find_exceeded(&self.layout, &plan)
                    .or_else(|| ephemeral::find_exceeded(&self.layout, &plan))
            }) {
                Ok(worker) => self.add_worker(&uid, Job::Measure(worker)),
                Err(e) => tracing::error!("cannot fork: {e}"),
            }
        }
    }

    /// Handles the result of a measurement: why the pod has to end, or nothing.
    pub(super) fn on_measured(&mut self, uid: &str, exceeded: Option<String>) {
        if let Some(message) = exceeded {
            tracing::warn!(pod = %uid, "{message}");
            let (reason, grace_seconds) = (usage::REASON.to_owned(), usage::GRACE_SECONDS);
            self.dispatch(uid, &Event::Fail { reason, message, grace_seconds });
        }
    }
}
