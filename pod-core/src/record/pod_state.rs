//! The states of recorded pods, read from the files that supervisors write.

use super::PodRecord;
use crate::lifecycle::{Now, PodSpec, PodState};
use crate::plan::PodPlan;
use crate::store::{self, Layout};

/// Returns the present moment by both clocks.
pub fn now() -> Now {
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let millis =
        u64::try_from(boot.tv_sec).unwrap_or(0) * 1000 + u64::try_from(boot.tv_nsec).unwrap_or(0) / 1_000_000;
    Now { boot: millis, wall: jiff::Timestamp::now() }
}

impl PodRecord {
    /// Returns the final state of a pod that has ended, the state that its supervisor wrote last in this boot, or the
    /// state of a new life after a reboot.
    ///
    /// # Errors
    /// A file cannot be read, or is damaged.
    pub fn last_state(&self, layout: &Layout) -> Result<PodState, store::Error> {
        if let Some(ended) = &self.ended {
            return Ok(ended.clone());
        }
        if let Some(state) = store::format::read(&layout.pod_status(&self.plan.uid))? {
            return Ok(state);
        }
        Ok(self.revived_state(layout))
    }

    /// Returns the state of a pod of which nothing is known in this boot: a new life after the last known state.
    pub fn revived_state(&self, layout: &Layout) -> PodState {
        let (spec, now) = (PodSpec::from_pod(&self.plan.pod), now());
        match self.former_state(layout) {
            Some(former) => former.revive(&spec, now),
            None => PodState::new(&spec, now),
        }
    }

    /// Returns the state of the pod when one of its containers last began or ended a run, if that state is known.
    pub fn former_state(&self, layout: &Layout) -> Option<PodState> {
        store::damage::or_none(store::format::read(&layout.pod_last_status(&self.plan.uid)))
    }

    /// Returns the state of the pod; `None` if the pod is being removed and has no process left, because such a pod is
    /// recorded only until its resources are released.
    ///
    /// # Errors
    /// As [`PodRecord::last_state`].
    pub fn present_state(&self, layout: &Layout) -> Result<Option<PodState>, store::Error> {
        if !self.removing {
            return self.last_state(layout).map(Some);
        }
        if self.ended.is_some() {
            return Ok(None);
        }
        // The state file is removed with the pod's other files. A pod without one has ended, like a pod that never ran
        // in this boot.
        let state = store::format::read::<PodState>(&layout.pod_status(&self.plan.uid))?;
        Ok(state.filter(|state| !has_no_process(&self.plan, state)))
    }
}

/// Returns whether no process of the pod runs any more, according to its state.
pub fn has_no_process(plan: &PodPlan, state: &PodState) -> bool {
    let shares = |spec: &k8s_openapi::api::core::v1::PodSpec| {
        spec.share_process_namespace == Some(true) || spec.host_pid == Some(true)
    };
    // In a shared PID namespace, or in the host's, processes that a container started may outlive the container until
    // the sandbox is removed.
    match plan.pod.spec.as_ref().is_some_and(shares) {
        true => state.is_gone(),
        false => state.has_stopped(),
    }
}
