//! What a new supervisor takes over: pods that are only recorded, pods that kept running after their supervisor was
//! killed, and unfinished actions.

use std::os::fd::AsFd;

use super::Supervisor;
use super::event_loop::Source;
use super::pod::{Pod, Run};
use crate::lifecycle::{Action, Event, HookRun, PodSpec, PodState, Sandbox};
use crate::record::{PodRecord, now};
use crate::sandbox::SandboxInfo;
use crate::sandbox::container::{self, Started};
use crate::service::Reach;
use crate::store::Layout;
use crate::workload;

/// Returns the state with which a supervisor takes over a recorded pod.
pub(super) fn adopted_state(layout: &Layout, recorded: &PodRecord) -> PodState {
    match recorded.last_state(layout) {
        // The pod was stopped cleanly when its supervisor was asked to end; now the pod should run again.
        Ok(state) if state.is_gone() && recorded.ended.is_none() => {
            state.revive(&PodSpec::from_pod(&recorded.plan.pod), now())
        }
        Ok(state) => state,
        // A sandbox that may exist is removed before another one is created.
        Err(e) => {
            tracing::error!("{e}");
            recorded.revived_state(layout)
        }
    }
}

impl Supervisor {
    /// Takes over the pods of the record.
    pub(super) fn adopt(&mut self) {
        for recorded in self.record.pods.clone() {
            let spec = PodSpec::from_pod(&recorded.plan.pod);
            let uid = recorded.plan.uid.clone();
            let state = adopted_state(&self.layout, &recorded);
            let mut pod = Pod::new(&recorded, spec, state);
            pod.recorded_end = recorded.ended.is_some();
            pod.sandbox = SandboxInfo::load(&self.layout, &uid);
            pod.reach = Reach::of(&pod.state);
            self.pods.insert(uid.clone(), pod);
        }
        // A file of a former supervisor may be older than the states.
        if self.publish() {
            // A pod that the former supervisor was stopping may not have left its Services yet.
            self.pods.values_mut().for_each(Pod::leave_first);
        }
        for recorded in self.record.pods.clone() {
            self.adopt_pod(&recorded.plan.uid);
        }
        self.follow_record();
        self.pending = Some(workload::Event::Applied);
    }

    fn adopt_pod(&mut self, uid: &str) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let running: Vec<(String, u32)> =
            pod.state.running().map(|(name, attempt, _)| (name.to_owned(), attempt)).collect();
        let pending = pod.state.pending_actions();
        // No process is lost with an infra container that ended in the meantime, except those that the state machine
        // kills now.
        let mut infra_lost = false;
        if let Some(sandbox) = pod.sandbox.as_mut() {
            let source = Source::AdoptedProcess { uid: uid.to_owned(), container: None };
            match sandbox.infra.open() {
                Some(fd) => match self.events.add(fd.as_fd(), source) {
                    Ok(token) => sandbox.pidfd = Some((token, fd)),
                    Err(e) => tracing::error!("cannot wait for an infra container: {e}"),
                },
                None => infra_lost = true,
            }
        } else {
            // The pod has a sandbox, but its description is damaged.
            infra_lost = matches!(pod.state.sandbox, Sandbox::Ready);
        }
        self.kill_old_probes(uid);
        self.adopt_debugs(uid);
        for (name, attempt) in running {
            self.adopt_container(uid, &name, attempt);
        }
        for action in pending {
            self.redo(uid, action);
        }
        if infra_lost {
            self.dispatch(uid, &Event::SandboxDied);
        }
        // The former supervisor may have been killed between the record of a resize and the change.
        for problem in self.set_limits(uid) {
            tracing::warn!(pod = uid, "{problem}");
        }
        self.follow_checks(uid);
        self.follow_usage(uid);
    }

    fn adopt_container(&mut self, uid: &str, name: &str, attempt: u32) {
        let started = self.read_started(uid, name, attempt);
        if !self.adopt_run(uid, name, attempt, started.as_ref()) {
            self.on_container_ended(uid, name, None);
        }
    }

    fn read_started(&self, uid: &str, name: &str, attempt: u32) -> Option<Started> {
        let bundle = container::bundle(&self.layout, uid, name, attempt);
        base::file::read_json(&container::started_path(&bundle)).ok().flatten()
    }

    /// Takes over a run with its output. Returns false if the run's process has ended.
    fn adopt_run(&mut self, uid: &str, name: &str, attempt: u32, started: Option<&Started>) -> bool {
        let mut run = self.open_run(uid, name, attempt).unwrap_or_else(|e| {
            // The run is taken over also if its output cannot be read, because it has to be stopped and its end
            // noticed.
            tracing::error!("{e}");
            Run::new(attempt, container::bundle(&self.layout, uid, name, attempt))
        });
        let opened = started.and_then(|started| Some((started, started.process.open()?)));
        let runs = opened.is_some();
        if let Some((started, fd)) = opened {
            run.process = Some(started.process);
            run.terminal = started.terminal;
            run.stdin = started.stdin;
            run.stdin_closed = started.stdin.is_some_and(|holder| holder.open().is_none());
            let source = Source::AdoptedProcess { uid: uid.to_owned(), container: Some(name.to_owned()) };
            match self.events.add(fd.as_fd(), source) {
                Ok(token) => run.pidfd = Some((token, fd)),
                Err(e) => tracing::error!("cannot wait for a container: {e}"),
            }
        }
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.runs.insert(name.to_owned(), run);
        }
        runs
    }

    /// Repeats an action that the former supervisor had not finished when it died. Its workers died with it.
    pub(super) fn redo(&mut self, uid: &str, action: Action) {
        match action {
            Action::StartContainer { container, attempt } => {
                match self.read_started(uid, &container, attempt) {
                    // The container was started, but the worker's report was lost.
                    Some(started) => {
                        // The run is adopted first, because in a pod that is being stopped the event leads to a signal
                        // to it.
                        let runs = self.adopt_run(uid, &container, attempt, Some(&started));
                        self.dispatch(uid, &started.event(&container, attempt));
                        if !runs {
                            self.on_container_ended(uid, &container, None);
                        }
                    }
                    None => {
                        let Some(pod) = self.pods.get(uid) else { return };
                        for problem in container::delete(&self.layout, &pod.plan, &container, attempt) {
                            tracing::warn!("{problem}");
                        }
                        self.act(uid, Action::StartContainer { container, attempt }, jiff::Timestamp::now());
                    }
                }
            }
            Action::RunHook { container, attempt, hook } => {
                self.resume_hook(uid, HookRun { container, attempt, kind: hook });
            }
            other => {
                if let Some(action) = self.hold(uid, other) {
                    self.act(uid, action, jiff::Timestamp::now());
                }
            }
        }
    }
}
