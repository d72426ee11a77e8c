//! Runs the controller of the workload, which decides from the spec and the states of the pods which pods exist.

use super::Supervisor;
use super::ipc::protocol::Reply;
use super::pod::Purge;
use crate::controller::{self, Controller, EmittedEvent, Outcome, Status, WorkloadChange};
use crate::lifecycle::PodSpec;
use crate::log::{Occurrence, events};
use crate::plan::PodPlan;
use crate::record::{PodRecord, WorkloadRecord, removal};
use crate::store::{self, Layout};
use crate::volume::claims;
use crate::workload::{self, Event, Rule};

/// Milliseconds until the next attempt to write a record that could not be written.
const WRITE_AGAIN: u64 = 1000;

impl Supervisor {
    /// Records a change that a command asks for, then carries it out.
    pub(super) fn change(&mut self, change: &WorkloadChange) -> Result<(), store::Error> {
        let reserved = removal::reserve(&self.layout, &self.id);
        reserved
            .or_else(|e| if matches!(change, WorkloadChange::Delete { .. }) { Ok(()) } else { Err(e) })?;
        let id = self.id.clone();
        match self.controlled(|controller, record| controller.change(Some(record), &id, change)) {
            Some(outcome) => self.commit(outcome),
            None => Ok(()),
        }
    }

    /// Calls `decide` with a controller that knows the present states of the pods.
    fn controlled<T>(&self, decide: impl FnOnce(&mut Controller<'_>, &WorkloadRecord) -> T) -> T {
        let status_of = |recorded: &PodRecord| match self.pods.get(&recorded.plan.uid) {
            Some(pod) => pod.status.clone(),
            None => controller::pod_status(recorded, &PodSpec::from_pod(&recorded.plan.pod), None),
        };
        let mut identity = controller::random_identity;
        let now = super::now().wall;
        decide(&mut Controller { status_of: &status_of, identity: &mut identity, now }, &self.record)
    }

    /// Saves a record, then carries it out: starts new pods, stops pods that should stop, removes pods that are to be
    /// removed. A record that differs only in what the controller has observed costs no durable write.
    fn commit(&mut self, outcome: Outcome) -> Result<(), store::Error> {
        if outcome.record.differs_durably(&self.record) {
            let record = &outcome.record;
            match record.save_or_note(&self.layout, Some(&self.record)) {
                // If neither directory tree can be written, the removal is still carried out, because the pods that
                // fill a disk have to be stopped.
                Err(error) if removal::only_removes(&self.record, record) => {
                    tracing::error!(%error, "the removal of pods of {} cannot be recorded; only this process knows of it", self.id);
                }
                result => result?,
            }
            base::fail_point!(Supervisor, "change-recorded");
        }
        self.take(outcome);
        self.follow_record();
        Ok(())
    }

    /// Continues with a record that is saved.
    fn take(&mut self, outcome: Outcome) {
        let Outcome { record, emitted } = outcome;
        let has_observed = record.state != self.record.state && !record.deleting;
        self.record = record;
        if has_observed {
            self.keep_observed();
        }
        append_events(&self.layout, &self.record, &emitted);
        self.status_changed = true;
    }

    /// Stores what the controller has observed, for commands that read it and for the next supervisor.
    fn keep_observed(&self) {
        if matches!(self.record.spec.rule, Rule::Replicas(_))
            && let Err(e) = self.record.save_volatile(&self.layout)
        {
            tracing::error!("{e}");
        }
    }

    /// Lets the controller decide if a pod has changed or a deadline of the controller is over. Returns whether it
    /// decided.
    pub(super) fn control(&mut self) -> bool {
        if self.leaving {
            return false;
        }
        let Some(mut event) = self.pending.take() else { return false };
        self.status_changed = true;
        let now = super::now();
        if event == Event::PodsChanged && self.record.state.next_deadline.is_some_and(|at| at <= now.wall) {
            event = Event::Tick;
        }
        let former = &self.record.state;
        let outcome = match self.controlled(|controller, record| controller.look(record, event)) {
            Some((state, emitted)) if !state.differs_durably(former) => {
                let has_changed = state != *former;
                self.record.state = state;
                if has_changed {
                    self.keep_observed();
                }
                append_events(&self.layout, &self.record, &emitted);
                return true;
            }
            _ => self.controlled(|controller, record| controller.step(record.clone(), event)),
        };
        if let Err(error) = self.commit(outcome) {
            tracing::error!(%error, "the decision of the controller of {} cannot be recorded yet", self.id);
            self.control_again = Some(now.boot + WRITE_AGAIN);
        }
        true
    }

    /// Forgets pods of which nothing is left, and saves the record that the controller makes of that.
    pub(super) fn forget(&mut self, gone: &[String]) {
        let mut was_reached = false;
        for uid in gone {
            was_reached |= self.pods.remove(uid).is_some_and(|pod| pod.reach.is_some());
        }
        if was_reached {
            self.publish();
        }
        let stay: Vec<&String> = gone.iter().filter(|uid| self.layout.pod(uid).exists()).collect();
        for uid in &stay {
            // The disk is read-only. The pod stays recorded, so that a later supervisor removes its files.
            tracing::error!("the files of pod {uid} stay");
        }
        let can_save = stay.is_empty();
        self.record.pods.retain(|pod| !gone.contains(&pod.plan.uid));
        let outcome = match self.leaving {
            true => Outcome { record: self.record.clone(), emitted: Vec::new() },
            false => {
                self.controlled(|controller, record| controller.step(record.clone(), Event::PodsChanged))
            }
        };
        let saved = can_save
            && outcome.record.save(&self.layout).inspect_err(|error| tracing::error!("{error}")).is_ok();
        if saved {
            self.take(outcome);
            self.follow_record();
        } else {
            // Watching clients get these pods from here, because their files are still on disk.
            self.gone.extend(gone.iter().cloned());
            self.control_again = Some(super::now().boot + WRITE_AGAIN);
        }
        base::fail_point!(Supervisor, "pod-forgotten");
        for uid in gone {
            self.send_to_watchers(&Reply::Removed { uid: uid.clone() });
        }
        self.status_changed = true;
    }

    /// Returns whether the pod can start: no pod that is being removed still uses what the pod needs.
    pub(super) fn may_start(&self, uid: &str) -> bool {
        let Some(pod) = self.pods.get(uid) else { return false };
        let going = self.pods.values().filter(|other| other.removing && other.purge != Purge::Done);
        let going: Vec<&PodPlan> = going.map(|other| &*other.plan).collect();
        going.is_empty()
            || workload::may_start(&pod.plan, going, &claims::exclusive(&self.layout, &pod.plan)).is_ok()
    }

    /// Returns the present status of the workload.
    pub(super) fn status(&self) -> Status {
        Status::of_states(&self.record, super::now().wall, |pod| {
            self.pods.get(&pod.plan.uid).map(|pod| &pod.state)
        })
    }

    /// Sends the status of the workload to watchers if it has changed.
    pub(super) fn report_status(&mut self) {
        if !std::mem::take(&mut self.status_changed) || self.watchers.is_empty() {
            return;
        }
        let status = self.status();
        if self.reported_status.as_ref() != Some(&status) {
            self.send_to_watchers(&Reply::Workload { status: Box::new(status.clone()) });
            self.reported_status = Some(status);
        }
    }
}

/// Appends what the controller of a workload reports to the events of the instance.
pub(super) fn append_events(layout: &Layout, record: &WorkloadRecord, emitted: &[EmittedEvent]) {
    let text = |key: &str| record.spec.object.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    for emitted in emitted {
        let about = k8s_openapi::api::core::v1::ObjectReference {
            api_version: text("apiVersion"),
            kind: text("kind"),
            name: Some(record.id.name.clone()),
            namespace: Some(record.id.namespace.clone()),
            uid: Some(record.uid.clone()),
            ..Default::default()
        };
        let once = Occurrence::once(jiff::Timestamp::now());
        if let Err(e) =
            events::append_about(layout, about, emitted.kind, emitted.reason, &emitted.message, once)
        {
            tracing::error!("{e}");
        }
    }
}
