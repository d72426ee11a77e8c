//! Keeps the endpoints of Services in line with the pods: says which pods can be reached, has a worker bring Services up to
//! date, and lets the containers of a pod that ends get their stop signal only after the pod has left its Services.

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use super::Supervisor;
use super::event_loop::Source;
use super::pod::Pod;
use crate::lifecycle::{Action, Goal};
use crate::record::now;
use crate::sandbox::worker::{self, Outcome, Worker};
use crate::service::{self, PodEndpoint, Reach};
use crate::traffic::{self, Synced};

/// The longest time for which a stop signal waits, in milliseconds.
const MOST_HELD: u64 = 2000;

/// How long after a pod has left its Services its containers get their stop signal, in milliseconds: a connection that was
/// made just before is accepted meanwhile.
const SETTLE: u64 = 50;

/// How Services follow the pods of this workload.
#[derive(Default)]
pub(super) struct Publishing {
    /// Whether Services have to be brought up to date.
    wanted: bool,
    /// The worker that does so, with its token, and the pods that leave by it.
    worker: Option<(u64, Worker<Option<Synced>>, BTreeSet<String>)>,
}

impl Pod {
    /// Makes the stop signals of a pod that ends wait until it has left its Services.
    pub(super) fn leave_first(&mut self) {
        self.held.leaves = self.reach.as_ref().is_some_and(|reach| reach.serving && reach.terminating);
    }
}

impl Supervisor {
    /// Notes whether a pod can be reached. Services follow if that has changed.
    pub(super) fn follow_reach(&mut self, uid: &str) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        let reach = Reach::of(&pod.state);
        if pod.reach == reach {
            return;
        }
        let serves = |reach: &Option<Reach>| reach.as_ref().is_some_and(|reach| reach.serving);
        let ends = reach.as_ref().is_some_and(|reach| reach.terminating);
        let begins_to_end = ends && !pod.reach.as_ref().is_some_and(|reach| reach.terminating);
        let leaves = begins_to_end && serves(&pod.reach);
        pod.reach = reach;
        let is_used = self.publish();
        if leaves
            && is_used
            && let Some(pod) = self.pods.get_mut(uid)
        {
            pod.held.leaves = true;
        }
    }

    /// Writes which pods can be reached. Returns whether there are Services, which follow then.
    pub(super) fn publish(&mut self) -> bool {
        let reached = self.pods.values().filter_map(|pod| {
            let reach = pod.reach.clone()?;
            Some(PodEndpoint::new(&pod.plan, reach))
        });
        let reached: Vec<PodEndpoint> = reached.collect();
        if let Err(error) = service::write_pods(&self.layout, &self.id, &reached) {
            tracing::error!("{error}");
        }
        base::fail_point!(Supervisor, "endpoints-written");
        let is_used = service::is_used(&self.layout);
        self.publishing.wanted |= is_used;
        is_used
    }

    /// Starts a worker that brings Services up to date, if that is wanted and none runs.
    pub(super) fn sync_traffic(&mut self) {
        if !self.publishing.wanted || self.publishing.worker.is_some() {
            return;
        }
        self.publishing.wanted = false;
        let leaving = self.pods.iter().filter(|(_, pod)| pod.held.leaves);
        let leaving: BTreeSet<String> = leaving.map(|(uid, _)| uid.clone()).collect();
        let started = worker::spawn(|| match traffic::sync(&self.layout, &self.exe) {
            Ok(synced) => Some(synced),
            Err(error) => {
                tracing::error!("{error}");
                None
            }
        });
        let added = started.and_then(|worker| {
            let token = self.events.add(worker.fd(), Source::Traffic)?;
            Ok((token, worker))
        });
        match added {
            Ok((token, worker)) => self.publishing.worker = Some((token, worker, leaving)),
            Err(error) => {
                tracing::error!("cannot bring Services up to date: {error}");
                self.release(&leaving, &Synced::default());
            }
        }
    }

    /// Reads the result of the worker.
    pub(super) fn on_traffic(&mut self) {
        let Some((token, mut worker, leaving)) = self.publishing.worker.take() else { return };
        let synced = match worker.poll() {
            Outcome::Pending => {
                self.publishing.worker = Some((token, worker, leaving));
                return;
            }
            Outcome::Done(synced) => synced,
            Outcome::Died => None,
        };
        self.events.remove(worker.fd().as_fd(), token);
        self.release(&leaving, &synced.unwrap_or_default());
    }

    /// Lets the stop signals of pods that have left their Services go: at once if nobody else takes their connections.
    fn release(&mut self, leaving: &BTreeSet<String>, synced: &Synced) {
        let now = now().boot;
        for uid in leaving {
            let Some(pod) = self.pods.get_mut(uid) else { continue };
            if synced.left.contains(uid) {
                let settled = now.saturating_add(SETTLE);
                pod.held.until = Some(pod.held.until.map_or(settled, |until| until.min(settled)));
            } else {
                pod.held.until = Some(now);
            }
        }
        self.release_due(now);
    }

    /// Carries out the signals that have waited long enough.
    pub(super) fn release_due(&mut self, now: u64) {
        let due = self.pods.iter().filter(|(_, pod)| pod.held.until.is_some_and(|until| until <= now));
        for uid in due.map(|(uid, _)| uid.clone()).collect::<Vec<_>>() {
            self.release_now(&uid);
        }
    }

    fn release_now(&mut self, uid: &str) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        for action in std::mem::take(&mut pod.held).actions {
            self.act(uid, action, jiff::Timestamp::now());
        }
    }

    /// Carries out all signals that wait.
    pub(super) fn release_all(&mut self) {
        for uid in self.pods.keys().cloned().collect::<Vec<_>>() {
            self.release_now(&uid);
        }
    }

    /// Takes an action that has to wait until its pod has left its Services. Returns the action otherwise.
    pub(super) fn hold(&mut self, uid: &str, action: Action) -> Option<Action> {
        let Some(pod) = self.pods.get_mut(uid) else { return Some(action) };
        let is_signal = matches!(action, Action::StopContainer { .. });
        if !is_signal || !pod.held.leaves || pod.state.goal != Goal::End {
            return Some(action);
        }
        let grace = pod.state.stop.map_or(MOST_HELD, |stop| stop.grace_seconds.saturating_mul(500));
        let most = now().boot.saturating_add(MOST_HELD.min(grace));
        pod.held.until.get_or_insert(most);
        pod.held.actions.push(action);
        None
    }

    /// Returns whether Services are being brought up to date.
    pub(super) fn is_publishing(&self) -> bool {
        self.publishing.wanted || self.publishing.worker.is_some()
    }
}
