//! Waits for pods, following the reports of their supervisors.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::awaited::Awaited;
use super::readiness::{Known, PodCheck, Verdict};
use super::watcher::{Unwatched, Watcher};
use super::{Error, readiness, view};
use crate::lifecycle::{PodSpec, PodState, RestartPolicy};
use crate::record::{self, WorkloadRecord, WorkloadSummary};
use crate::repair;
use crate::store::{self, Instance, WorkloadId};
use crate::supervisor;
use crate::supervisor::ipc::client::Client;
use crate::supervisor::ipc::protocol::{Reply, Request};

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every pod meets the check.
    Met,
    /// A pod can no longer meet the check.
    Failed {
        /// `pod/web`
        object: String,
        /// Why.
        message: String,
    },
    /// Time is over; the pods that were still waited for.
    TimedOut(Vec<Awaited>),
    /// The watcher has ended the wait.
    Interrupted,
}

impl Outcome {
    /// Returns an error unless every pod meets the check. The message says that pods were awaited to `what`, and that
    /// the wait took `limit`.
    pub fn met(self, what: &str, limit: Option<Duration>) -> Result<(), Error> {
        match self {
            Self::Met => Ok(()),
            Self::Failed { object, message } => Err(Error::PodFailed { object, message }),
            Self::Interrupted => Err(Error::Interrupted),
            Self::TimedOut(left) => {
                let names: Vec<String> = left.iter().map(Awaited::to_string).collect();
                let what = format!("{} to {what}", names.join(", "));
                Err(Error::TimedOut { what, after: limit.unwrap_or_default() })
            }
        }
    }
}

/// Waits until every pod meets `check`. Uses the given clients and connects the missing ones. A workload without a
/// supervisor does not change, so the state of its pods on disk is checked once.
pub fn wait_for(
    instance: &Instance,
    pods: &[Awaited],
    clients: Vec<Client>,
    deadline: Option<Instant>,
    check: PodCheck,
) -> Result<Outcome, Error> {
    wait_watched(instance, pods, clients, deadline, &mut Unwatched, check)
}

/// As [`wait_for`], with a watcher that may do other work meanwhile.
fn wait_watched(
    instance: &Instance,
    pods: &[Awaited],
    mut clients: Vec<Client>,
    deadline: Option<Instant>,
    watcher: &mut dyn Watcher,
    check: PodCheck,
) -> Result<Outcome, Error> {
    let mut left: BTreeMap<String, Awaited> = pods.iter().map(|pod| (pod.uid.clone(), pod.clone())).collect();
    let workloads: BTreeSet<&WorkloadId> = pods.iter().map(|pod| &pod.workload).collect();
    for id in &workloads {
        if !clients.iter().any(|client| client.id() == *id) {
            clients.extend(Client::connect(&instance.layout, id)?);
        }
    }
    for client in &mut clients {
        // A closed connection is handled below.
        let _ = client.send(&Request::Watch, &[]);
    }
    for id in workloads {
        if !clients.iter().any(|client| client.id() == id) {
            match rejoin(instance, pods, &mut left, id, check)? {
                Rejoined::Failed(failed) => return Ok(failed),
                Rejoined::Client(client) => clients.push(client),
                Rejoined::AtRest => {}
            }
        }
    }
    let mut reported = BTreeSet::new();
    while !left.is_empty() {
        let timeout = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        if timeout == Some(Duration::ZERO) {
            return Ok(Outcome::TimedOut(left.into_values().collect()));
        }
        if clients.is_empty() {
            let Some(pod) = left.into_values().next() else { break };
            let message = "it does not run, and nothing is going to start it".to_owned();
            return Ok(Outcome::Failed { object: pod.to_string(), message });
        }
        // No event reports that a supervisor is stopped (SIGSTOP).
        let slice = timeout.unwrap_or(STOPPED_CHECK_INTERVAL).min(STOPPED_CHECK_INTERVAL);
        let spec = Timespec {
            tv_sec: i64::try_from(slice.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(slice.subsec_nanos()),
        };
        let mut fds: Vec<PollFd<'_>> =
            clients.iter().map(|c| PollFd::from_borrowed_fd(c.fd(), PollFlags::IN)).collect();
        fds.extend(watcher.fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut fds, Some(&spec)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(store::Error::io("wait for", "a supervisor")(e.into()).into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready.get(clients.len()).copied().unwrap_or(false) && watcher.woken().is_break() {
            return Ok(Outcome::Interrupted);
        }
        let mut keep = Vec::new();
        for (mut client, ready) in clients.into_iter().zip(ready) {
            let mut open = true;
            if !ready {
                client.is_stopped()?;
            }
            while ready && open && !left.is_empty() {
                // A partly received line is waited for; the rest of it follows at once.
                let Some(reply) = client.next(Some(Duration::from_millis(1)))? else {
                    open = !client.is_closed();
                    break;
                };
                let (uid, known) = match &reply {
                    Reply::State { uid, state } => (uid, Known::State(state)),
                    Reply::Ended { uid } => (uid, Known::Ended),
                    Reply::Removed { uid } => (uid, Known::Removed),
                    Reply::Done => {
                        if let Some(failed) =
                            settle_unreported(instance, &mut left, client.id(), &reported, check)?
                        {
                            return Ok(failed);
                        }
                        continue;
                    }
                    _ => continue,
                };
                reported.insert(uid.clone());
                let Some(pod) = left.get(uid).cloned() else { continue };
                if let Some(failed) = settle(&mut left, &pod, check(&pod.spec, known)) {
                    return Ok(failed);
                }
            }
            if open {
                keep.push(client);
            } else {
                // The supervisor was killed or has exited: its successor knows the current state.
                match rejoin(instance, pods, &mut left, client.id(), check)? {
                    Rejoined::Failed(failed) => return Ok(failed),
                    Rejoined::Client(client) => {
                        // It reports all pods again.
                        reported.clear();
                        keep.push(client);
                    }
                    Rejoined::AtRest => {}
                }
            }
        }
        clients = keep;
    }
    Ok(Outcome::Met)
}

/// How often a wait checks whether the supervisors that it follows are stopped.
const STOPPED_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a wait lasts before it reports what it waits for.
const NOTICE_AFTER: Duration = Duration::from_secs(3);

/// As [`wait_for`]; if the wait takes long, tells the watcher once which pods are waited for.
///
/// # Errors
/// As [`wait_for`].
pub fn wait_with_notice(
    instance: &Instance,
    pods: &[Awaited],
    clients: Vec<Client>,
    deadline: Option<Instant>,
    watcher: &mut dyn Watcher,
    check: PodCheck,
) -> Result<Outcome, Error> {
    let notice_at = Instant::now() + NOTICE_AFTER;
    if deadline.is_some_and(|deadline| deadline <= notice_at) {
        return wait_watched(instance, pods, clients, deadline, watcher, check);
    }
    let left = match wait_watched(instance, pods, clients, Some(notice_at), watcher, check)? {
        Outcome::TimedOut(left) => left,
        outcome => return Ok(outcome),
    };
    let mut views = Vec::new();
    for id in left.iter().map(|pod| &pod.workload).collect::<BTreeSet<_>>() {
        views.extend(view::pods_of(&instance.layout, id)?);
    }
    // Pods that are being removed may be what the others wait for.
    views.retain(|view| view.terminating || left.iter().any(|pod| pod.uid == view.plan.uid));
    if !views.is_empty() {
        watcher.waiting(&views);
    }
    wait_watched(instance, &left, Vec::new(), deadline, watcher, check)
}

/// Returns whether all of these pods meet `check` at one moment, according to the state on disk, or a failure if one
/// no longer can. Needed after a wait for several pods, because the first may have changed before the last met it.
pub fn meets_now(instance: &Instance, pods: &[Awaited], check: PodCheck) -> Result<(Outcome, bool), Error> {
    let mut left: BTreeMap<String, Awaited> = pods.iter().map(|pod| (pod.uid.clone(), pod.clone())).collect();
    for id in pods.iter().map(|pod| &pod.workload).collect::<BTreeSet<_>>() {
        let record = WorkloadRecord::load(&instance.layout, id)?;
        if let Some(failed) = check_recorded(instance, pods, &mut left, id, record.as_ref(), check) {
            return Ok((failed, false));
        }
    }
    Ok((Outcome::Met, left.is_empty()))
}

/// How long a pod that is not started again has to have been ready.
const FIRST_MOMENT: Duration = Duration::from_secs(1);

/// Waits until pods that no restartPolicy starts again have been ready for a moment, or one of them has ended: without
/// a readiness probe a pod is ready as soon as it runs, also one that fails a millisecond later.
pub fn outlast_first_moment(
    instance: &Instance,
    pods: &[Awaited],
    deadline: Option<Instant>,
) -> Result<(), Error> {
    let now = jiff::Timestamp::now();
    let mut young = Vec::new();
    for pod in pods.iter().filter(|pod| pod.spec.restart_policy != RestartPolicy::Always) {
        let views = view::pods_of(&instance.layout, &pod.workload)?;
        let state = views.iter().find(|view| view.plan.uid == pod.uid).map(|view| &view.state);
        let age = state.map(|state| now.duration_since(state.conditions.ready.since));
        if age.is_some_and(|age| age.unsigned_abs() < FIRST_MOMENT) {
            young.push(pod.clone());
        }
    }
    if !young.is_empty() {
        let until = Instant::now() + FIRST_MOMENT;
        let until = deadline.map_or(until, |deadline| deadline.min(until));
        wait_for(instance, &young, Vec::new(), Some(until), readiness::fails_once_ended)?;
    }
    Ok(())
}

/// Checks the pods of a workload that are still waited for by their state on disk. Returns the failure of the first pod
/// that can no longer meet the check.
fn check_recorded(
    instance: &Instance,
    pods: &[Awaited],
    left: &mut BTreeMap<String, Awaited>,
    id: &WorkloadId,
    record: Option<&WorkloadRecord>,
    check: PodCheck,
) -> Option<Outcome> {
    for pod in pods.iter().filter(|pod| pod.workload == *id) {
        if !left.contains_key(&pod.uid) {
            continue;
        }
        let recorded = record.iter().flat_map(|record| &record.pods).find(|r| r.plan.uid == pod.uid);
        let state = recorded.map(|pod| {
            pod.present_state(&instance.layout).unwrap_or_else(|damaged| {
                store::damage::pass_over(&damaged);
                Some(PodState::new(&PodSpec::from_pod(&pod.plan.pod), record::now()))
            })
        });
        let known = match &state {
            None => Known::Removed,
            Some(None) => Known::Ended,
            Some(Some(state)) => Known::State(state),
        };
        if let Some(failed) = settle(left, pod, check(&pod.spec, known)) {
            return Some(failed);
        }
    }
    None
}

/// How the wait for a workload without a supervisor continues.
enum Rejoined {
    /// A supervisor runs (again) and has been asked to report.
    Client(Client),
    /// No supervisor is needed: the pods of the workload do not change any more.
    AtRest,
    /// A pod can no longer meet the check.
    Failed(Outcome),
}

/// Checks the pods of a workload by their state on disk. If some of them are at work in this boot, connects to the
/// supervisor, and starts one if there is none.
fn rejoin(
    instance: &Instance,
    pods: &[Awaited],
    left: &mut BTreeMap<String, Awaited>,
    id: &WorkloadId,
    check: PodCheck,
) -> Result<Rejoined, Error> {
    let record = WorkloadRecord::load(&instance.layout, id)?;
    if let Some(failed) = check_recorded(instance, pods, left, id, record.as_ref(), check) {
        return Ok(Rejoined::Failed(failed));
    }
    let waits = left.values().any(|pod| pod.workload == *id);
    if !waits || !record.is_some_and(|record| repair::is_at_work(instance, &WorkloadSummary::from(&record))) {
        return Ok(Rejoined::AtRest);
    }
    match Client::connect_or_spawn(&instance.layout, &instance.exe, id) {
        Ok(mut client) => {
            // A closed connection is noticed when its replies are read.
            let _ = client.send(&Request::Watch, &[]);
            Ok(Rejoined::Client(client))
        }
        Err(supervisor::Error::Gone(_)) => rejoin(instance, pods, left, id, check),
        Err(e) => Err(e.into()),
    }
}

fn settle(left: &mut BTreeMap<String, Awaited>, pod: &Awaited, verdict: Verdict) -> Option<Outcome> {
    match verdict {
        Verdict::NotYet => None,
        Verdict::Met => {
            left.remove(&pod.uid);
            None
        }
        Verdict::Failed(message) => Some(Outcome::Failed { object: pod.to_string(), message }),
    }
}

/// Settles pods that the supervisor did not report. It has reported all that exist, so a pod that is neither reported
/// nor recorded was removed before the wait began.
fn settle_unreported(
    instance: &Instance,
    left: &mut BTreeMap<String, Awaited>,
    id: &WorkloadId,
    reported: &BTreeSet<String>,
    check: PodCheck,
) -> Result<Option<Outcome>, Error> {
    let unreported = left.values().filter(|pod| pod.workload == *id && !reported.contains(&pod.uid));
    let unreported: Vec<Awaited> = unreported.cloned().collect();
    if unreported.is_empty() {
        return Ok(None);
    }
    let record = WorkloadRecord::load(&instance.layout, id)?;
    let is_recorded =
        |pod: &Awaited| record.iter().flat_map(|record| &record.pods).any(|r| r.plan.uid == pod.uid);
    let mut gone = unreported.iter().filter(|pod| !is_recorded(pod));
    Ok(gone.find_map(|pod| settle(left, pod, check(&pod.spec, Known::Removed))))
}

/// Waits until all resources of ended pods that are being removed are released, except for pods with the uids
/// `except`, because resources that are still held would block new pods. Cheap if there are no such pods.
///
/// # Errors
/// What is recorded cannot be read, or no supervisor can be reached.
pub fn await_removals(instance: &Instance, except: &[String]) -> Result<(), Error> {
    let leaving: Vec<Awaited> =
        view::leaving(&instance.layout)?.into_iter().filter(|pod| !except.contains(&pod.uid)).collect();
    if !leaving.is_empty() {
        wait_for(instance, &leaving, Vec::new(), None, readiness::removed)?.met("be removed", None)?;
    }
    Ok(())
}
