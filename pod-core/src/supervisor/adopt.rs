//! What a new supervisor finds: pods that are only recorded, pods that run on after their supervisor was
//! killed, and half-made things.

use std::os::fd::AsFd;

use super::Supervisor;
use super::container::{self, Started};
use super::event_loop::Source;
use super::pod::{Pod, has_ended};
use super::process::Process;
use super::sandbox::SandboxInfo;
use crate::lifecycle::{Event, PodSpec, PodState};
use crate::store::{self, Layout, PodRecord};

/// The state of a recorded pod: as it ended, as its supervisor last wrote it in this boot, or in a new life after
/// a reboot.
///
/// # Errors
/// A file that cannot be read, or is damaged.
pub fn last_state(layout: &Layout, recorded: &PodRecord) -> Result<PodState, store::Error> {
    if let Some(ended) = &recorded.ended {
        return Ok(ended.clone());
    }
    let uid = &recorded.plan.uid;
    if let Some(state) = store::read_json(&layout.pod_status(uid))? {
        return Ok(state);
    }
    let (spec, now) = (PodSpec::from_pod(&recorded.plan.pod), super::now());
    Ok(match store::read_json::<PodState>(&layout.pod_last_status(uid))? {
        Some(former) => former.revive(&spec, now),
        None => PodState::new(&spec, now),
    })
}

/// The state of a recorded pod, unless it is on its way out and nothing of it runs any more: such a one is there
/// only until all that it had is given back.
///
/// # Errors
/// As [`last_state`].
pub fn present_state(layout: &Layout, recorded: &PodRecord) -> Result<Option<PodState>, store::Error> {
    if !recorded.removing {
        return last_state(layout, recorded).map(Some);
    }
    if recorded.ended.is_some() {
        return Ok(None);
    }
    // Its file goes with the others: then it has ended, too, as one has that never ran in this boot.
    let state = store::read_json::<PodState>(&layout.pod_status(&recorded.plan.uid))?;
    Ok(state.filter(|state| !has_ended(&recorded.plan, state)))
}

impl Supervisor {
    /// Takes over the pods of the record.
    pub(super) fn adopt(&mut self) {
        for recorded in self.record.pods.clone() {
            let spec = PodSpec::from_pod(&recorded.plan.pod);
            let uid = recorded.plan.uid.clone();
            let state = match last_state(&self.layout, &recorded) {
                // It was stopped in order when its supervisor was told to end; now it is wanted again.
                Ok(state) if state.is_gone() && recorded.ended.is_none() => state.revive(&spec, super::now()),
                Ok(state) => state,
                Err(e) => {
                    tracing::error!("{e}");
                    PodState::new(&spec, super::now())
                }
            };
            let mut pod = Pod::new(recorded.plan.clone(), spec, state);
            pod.recorded_end = recorded.ended.is_some();
            pod.sandbox = SandboxInfo::load(&self.layout, &uid);
            self.pods.insert(uid.clone(), pod);
            self.adopt_pod(&uid);
        }
        self.follow_record();
    }

    fn adopt_pod(&mut self, uid: &str) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let running: Vec<(String, u32)> =
            pod.state.running().map(|(name, attempt, _)| (name.to_owned(), attempt)).collect();
        let pending = pod.state.pending_actions();
        let infra = pod.sandbox.as_ref().map(|sandbox| sandbox.infra);
        if let Some(fd) = infra.and_then(Process::open) {
            let source = Source::Stranger { uid: uid.to_owned(), container: None };
            if let Ok(token) = self.events.add(fd.as_fd(), source)
                && let Some(sandbox) = pod.sandbox.as_mut()
            {
                sandbox.pidfd = Some((token, fd));
            }
        }
        for (name, attempt) in running {
            self.adopt_container(uid, &name, attempt);
        }
        // An infra container that ended meanwhile took nothing with it that the state machine does not kill.
        let infra_lost = infra.is_some_and(|infra| infra.open().is_none());
        for action in pending {
            self.redo(uid, action);
        }
        if infra_lost {
            self.dispatch(uid, &Event::SandboxDied);
        }
    }

    fn adopt_container(&mut self, uid: &str, name: &str, attempt: u32) {
        match self.open_run(uid, name, attempt) {
            Ok(run) => {
                if let Some(pod) = self.pods.get_mut(uid) {
                    pod.runs.insert(name.to_owned(), run);
                }
            }
            Err(e) => tracing::error!("{e}"),
        }
        let bundle = container::bundle(&self.layout, uid, name, attempt);
        let started: Option<Started> = store::read_json(&container::started_path(&bundle)).ok().flatten();
        let terminal = started.as_ref().and_then(|s| s.terminal);
        let process = started.map(|s| s.process);
        let opened = process.and_then(Process::open);
        let Some((process, fd)) = process.zip(opened) else {
            self.on_container_ended(uid, name, None);
            return;
        };
        let source = Source::Stranger { uid: uid.to_owned(), container: Some(name.to_owned()) };
        let token = self.events.add(fd.as_fd(), source);
        if let (Ok(token), Some(run)) = (token, self.pods.get_mut(uid).and_then(|pod| pod.runs.get_mut(name)))
        {
            run.process = Some(process);
            run.terminal = terminal;
            run.pidfd = Some((token, fd));
        }
    }

    /// Something that the former supervisor was at when it died. Its workers died with it.
    fn redo(&mut self, uid: &str, action: crate::lifecycle::Action) {
        use crate::lifecycle::Action;
        match action {
            Action::StartContainer { container, attempt } => {
                let bundle = container::bundle(&self.layout, uid, &container, attempt);
                let started: Option<Started> =
                    store::read_json(&container::started_path(&bundle)).ok().flatten();
                match started {
                    // It was started; only the word of it was lost.
                    Some(started) => {
                        self.dispatch(
                            uid,
                            &Event::Started {
                                container: container.clone(),
                                attempt,
                                pid: started.process.pid,
                                container_id: started.container_id,
                                image_id: started.image_id,
                                stop_signal: started.stop_signal,
                            },
                        );
                        self.adopt_container(uid, &container, attempt);
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
            other => self.act(uid, other, jiff::Timestamp::now()),
        }
    }
}
