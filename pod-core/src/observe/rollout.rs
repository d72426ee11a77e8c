//! Waits for workloads, following the reports of their supervisors.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::watcher::Watcher;
use super::{Error, PodView, view};
use crate::controller::{Culprit, Status, pod_status};
use crate::lifecycle::{PodSpec, PodState};
use crate::record::{PodRecord, WorkloadRecord, WorkloadSummary};
use crate::repair;
use crate::store::Instance;
use crate::store::{self, Layout, WorkloadId};
use crate::supervisor;
use crate::supervisor::ipc::client::Client;
use crate::supervisor::ipc::protocol::{Reply, Request};
use crate::workload::PodStatus;
use crate::workload::view::Metadata;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Every container of every pod has started.
    Started,
    /// The rollout is complete: every pod is of the current revision and available.
    RolledOut,
}

/// A workload that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedWorkload {
    /// Which one.
    pub id: WorkloadId,
    /// The [`crate::workload::Spec::generation`] that its supervisor has to observe first.
    pub generation: u64,
    /// What is waited for.
    pub goal: Goal,
}

/// Whether an awaited workload has reached its goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The workload has reached its goal.
    Met,
    /// Not yet.
    NotYet,
    /// A pod of it cannot be created.
    Failed(Culprit),
    /// A pod of it was created, and its init container failed: the pod stays as it is.
    FailedInit(Culprit),
    /// Its rollout has made no progress for progressDeadlineSeconds; this pod is the cause, if one is known.
    Stalled(Option<Culprit>),
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every workload has reached its goal.
    Met,
    /// A workload cannot reach its goal.
    Failed(WorkloadId, Culprit),
    /// Every workload has reached its goal, except these, in whose pods an init container failed.
    FailedInit(Vec<Culprit>),
    /// The rollout of a workload has stalled.
    Stalled(WorkloadId, Option<Culprit>),
    /// Time is over; the workloads that were still waited for.
    TimedOut(Vec<WorkloadId>),
    /// The watcher has ended the wait.
    Interrupted,
}

/// Compares a workload's status with its goal; `None` means that it was removed.
pub fn verdict(awaited: &AwaitedWorkload, status: Option<&Status>) -> Verdict {
    let Some(status) = status.filter(|status| !status.deleting) else {
        let (pod, message) = (awaited.id.to_string(), "it was removed meanwhile".to_owned());
        return Verdict::Failed(Culprit { pod, message });
    };
    if status.observed_generation < awaited.generation {
        return Verdict::NotYet;
    }
    if let Some(culprit) = &status.problem {
        return Verdict::Failed(culprit.clone());
    }
    let is_met = match awaited.goal {
        Goal::Started => status.has_started(),
        Goal::RolledOut => status.complete,
    };
    if awaited.goal == Goal::Started
        && let Some(culprit) = status.failed_init.clone()
    {
        return Verdict::FailedInit(culprit);
    }
    // A paused Deployment makes no further progress.
    if is_met || status.paused {
        return Verdict::Met;
    }
    if awaited.goal == Goal::RolledOut && status.has_stalled() {
        return Verdict::Stalled(status.holdup.clone());
    }
    Verdict::NotYet
}

/// Returns what an API server adds to the metadata of a workload.
pub fn metadata(record: &WorkloadRecord) -> Metadata<'_> {
    let WorkloadRecord { id, uid, created, .. } = record;
    Metadata { name: &id.name, namespace: &id.namespace, uid, created: *created }
}

/// Returns the statuses of a workload's pods for its controller, from the state on disk.
pub fn pod_statuses(layout: &Layout, record: &WorkloadRecord) -> Vec<PodStatus> {
    let states = states(layout, record);
    let status = |pod: &PodRecord| {
        let spec = PodSpec::from_pod(&pod.plan.pod);
        pod_status(pod, &spec, states.get(pod.plan.uid.as_str()))
    };
    record.pods.iter().map(status).collect()
}

fn states<'a>(layout: &Layout, record: &'a WorkloadRecord) -> BTreeMap<&'a str, PodState> {
    let states = record.pods.iter().filter_map(|pod| {
        let state = store::damage::or_none(pod.present_state(layout).map(Some))??;
        Some((pod.plan.uid.as_str(), state))
    });
    states.collect()
}

/// Returns the status of a workload from the state on disk.
pub fn status(layout: &Layout, record: &WorkloadRecord) -> Status {
    let states = states(layout, record);
    Status::of_states(record, jiff::Timestamp::now(), |pod| states.get(pod.plan.uid.as_str()))
}

/// How often a wait checks whether the supervisors that it follows are stopped.
const STOPPED_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a wait lasts before it reports what it waits for.
const NOTICE_AFTER: Duration = Duration::from_secs(3);

/// Waits until workloads reach their goals. Uses the given clients and connects the missing ones. A workload without
/// a supervisor does not change, so its state on disk is checked once.
///
/// # Errors
/// What is recorded cannot be read, or no supervisor can be reached.
pub fn wait_for_workloads(
    instance: &Instance,
    awaited: &[AwaitedWorkload],
    clients: Vec<Client>,
    deadline: Option<Instant>,
    watcher: &mut dyn Watcher,
) -> Result<Outcome, Error> {
    let (left, failed_init) = (awaited.to_vec(), Vec::new());
    let mut wait = Wait { instance, left, failed_init, clients: Vec::new(), watcher };
    for mut client in clients {
        if wait.is_left(client.id()) {
            // A closed connection is handled when its replies are read.
            let _ = client.send(&Request::Watch, &[]);
            wait.clients.push(client);
        }
    }
    for one in awaited {
        if !wait.clients.iter().any(|client| *client.id() == one.id)
            && let Some(outcome) = wait.rejoin(&one.id)?
        {
            return Ok(outcome);
        }
    }
    let mut notice_at = Some(Instant::now() + NOTICE_AFTER);
    while !wait.left.is_empty() {
        let now = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Ok(Outcome::TimedOut(wait.left.into_iter().map(|one| one.id).collect()));
        }
        if notice_at.is_some_and(|at| at <= now) {
            notice_at = None;
            wait.notify_waiting()?;
        }
        let until = deadline.into_iter().chain(notice_at).map(|at| at.duration_since(now));
        if let Some(outcome) =
            wait.listen(until.chain([STOPPED_CHECK_INTERVAL]).min().unwrap_or(STOPPED_CHECK_INTERVAL))?
        {
            return Ok(outcome);
        }
    }
    Ok(if wait.failed_init.is_empty() { Outcome::Met } else { Outcome::FailedInit(wait.failed_init) })
}

struct Wait<'a> {
    instance: &'a Instance,
    left: Vec<AwaitedWorkload>,
    /// Pods of workloads that are not waited for any more.
    failed_init: Vec<Culprit>,
    clients: Vec<Client>,
    watcher: &'a mut dyn Watcher,
}

impl Wait<'_> {
    fn is_left(&self, id: &WorkloadId) -> bool {
        self.left.iter().any(|one| one.id == *id)
    }

    /// Compares the status of a workload with its goal. Returns the outcome if it ends the wait.
    fn settle(&mut self, id: &WorkloadId, status: Option<&Status>) -> Option<Outcome> {
        let one = self.left.iter().find(|one| one.id == *id)?;
        if one.goal == Goal::RolledOut
            && let Some(status) = status.filter(|status| status.observed_generation >= one.generation)
        {
            self.watcher.progress(id, status);
        }
        match verdict(one, status) {
            Verdict::Met => {
                self.left.retain(|one| one.id != *id);
                None
            }
            Verdict::FailedInit(culprit) => {
                self.left.retain(|one| one.id != *id);
                self.failed_init.push(culprit);
                None
            }
            Verdict::NotYet => None,
            Verdict::Failed(culprit) => Some(Outcome::Failed(id.clone(), culprit)),
            Verdict::Stalled(culprit) => Some(Outcome::Stalled(id.clone(), culprit)),
        }
    }

    /// Waits for reports of supervisors, at most for the given time.
    fn listen(&mut self, limit: Duration) -> Result<Option<Outcome>, Error> {
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        let mut fds: Vec<PollFd<'_>> =
            self.clients.iter().map(|c| PollFd::from_borrowed_fd(c.fd(), PollFlags::IN)).collect();
        fds.extend(self.watcher.fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut fds, Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(store::Error::io("wait for", "a supervisor")(e.into()).into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready.get(self.clients.len()).copied().unwrap_or(false) && self.watcher.woken().is_break() {
            return Ok(Some(Outcome::Interrupted));
        }
        let clients = std::mem::take(&mut self.clients);
        for (mut client, ready) in clients.into_iter().zip(ready) {
            let id = client.id().clone();
            if !ready {
                client.is_stopped()?;
            }
            let mut open = true;
            while ready && open && self.is_left(&id) {
                // A partly received line is waited for; the rest of it follows at once.
                match client.next(Some(Duration::from_millis(1)))? {
                    Some(Reply::Workload { status }) => {
                        if let Some(outcome) = self.settle(&id, Some(&status)) {
                            return Ok(Some(outcome));
                        }
                    }
                    Some(_) => {}
                    None => {
                        open = !client.is_closed();
                        break;
                    }
                }
            }
            if !self.is_left(&id) {
                continue;
            }
            if open {
                self.clients.push(client);
            } else if let Some(outcome) = self.rejoin(&id)? {
                // The supervisor was killed or has exited: its successor knows the current state.
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }

    /// Connects to the supervisor of a workload. If there is none, checks the state on disk, and starts a supervisor if
    /// the workload is at work in this boot.
    fn rejoin(&mut self, id: &WorkloadId) -> Result<Option<Outcome>, Error> {
        loop {
            if let Some(mut client) = Client::connect(&self.instance.layout, id)? {
                let _ = client.send(&Request::Watch, &[]);
                self.clients.push(client);
                return Ok(None);
            }
            let record = WorkloadRecord::load(&self.instance.layout, id)?;
            let seen = record.as_ref().map(|record| status(&self.instance.layout, record));
            if let Some(outcome) = self.settle(id, seen.as_ref()) {
                return Ok(Some(outcome));
            }
            let Some(record) = record.filter(|_| self.is_left(id)) else { return Ok(None) };
            if !repair::is_at_work(self.instance, &WorkloadSummary::from(&record)) {
                let message = "it does not run, and nothing is going to start it".to_owned();
                return Ok(Some(Outcome::Failed(id.clone(), Culprit { pod: id.to_string(), message })));
            }
            match Client::connect_or_spawn(&self.instance.layout, &self.instance.exe, id) {
                Ok(mut client) => {
                    let _ = client.send(&Request::Watch, &[]);
                    self.clients.push(client);
                    return Ok(None);
                }
                Err(supervisor::Error::Gone(_)) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn notify_waiting(&mut self) -> Result<(), Error> {
        let mut views = Vec::new();
        for one in &self.left {
            let started = |view: &PodView| match one.goal {
                Goal::Started => view.state.all_started(&crate::lifecycle::PodSpec::from_pod(&view.plan.pod)),
                Goal::RolledOut => view.state.is_ready(),
            };
            let pods = view::pods_of(&self.instance.layout, &one.id)?;
            // What is on its way out may be what the others wait for.
            views.extend(pods.into_iter().filter(|view| view.terminating || !started(view)));
        }
        if !views.is_empty() {
            self.watcher.waiting(&views);
        }
        Ok(())
    }
}

/// Returns the names of the pods that were not ready when a wait ended: `pod/web, pod/db`.
pub fn unready_names(layout: &Layout, ids: &[WorkloadId]) -> String {
    let mut names = BTreeSet::new();
    for id in ids {
        let pods = view::pods_of(layout, id).unwrap_or_default();
        let unready = pods.iter().filter(|view| !view.terminating && !view.state.is_ready());
        let before = names.len();
        names.extend(unready.map(|view| format!("pod/{}", view.plan.name())));
        if names.len() == before {
            names.insert(id.to_string());
        }
    }
    names.into_iter().collect::<Vec<_>>().join(", ")
}
