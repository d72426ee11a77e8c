//! The status of a workload that the controller reports.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::pod_status;
use crate::lifecycle::{PodSpec, PodState};
use crate::record::{PodRecord, WorkloadRecord};
use crate::workload::{Condition, Counts, PodStatus, Rule};

/// A pod that keeps its workload from becoming complete, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Culprit {
    /// `pod/api-6d4f9-x7k2p`
    pub pod: String,
    /// The reason, for the user.
    pub message: String,
}

/// The progress of a workload. A command that applied a spec waits for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The [`crate::workload::Spec::generation`] that the controller has observed.
    pub observed_generation: u64,
    /// Whether the workload is being deleted.
    pub deleting: bool,
    /// spec.paused of a Deployment.
    pub paused: bool,
    /// The number of pods that there should be.
    pub wanted: u32,
    /// The number of pods of all revisions, without those that terminate.
    pub replicas: u32,
    /// The number of pods of the current revision, including those that have ended.
    pub updated: u32,
    /// The number of pods of the current revision of which every container has started.
    pub started: u32,
    /// The number of pods of the current revision that are Ready.
    pub ready: u32,
    /// The number of pods of the current revision that are available.
    pub available: u32,
    /// Whether the rollout is complete: all pods are of the current revision and available.
    pub complete: bool,
    /// The condition Progressing of a Deployment.
    pub progressing: Option<Condition>,
    /// A pod of the current revision that cannot start.
    pub problem: Option<Culprit>,
    /// A pod of the current revision whose init container failed: its app containers do not start, and it stays as it
    /// is.
    #[serde(default)]
    pub failed_init: Option<Culprit>,
    /// A pod that the rollout waits for, once its progress deadline has passed.
    pub holdup: Option<Culprit>,
}

/// Returns how many pods a rule wants.
pub fn wanted(rule: &Rule) -> u32 {
    match rule {
        Rule::Once => 1,
        Rule::Replicas(rule) => rule.count,
    }
}

impl Status {
    /// Returns the status of a workload, computed from the states of its pods.
    pub fn of_states<'a>(
        record: &WorkloadRecord,
        now: Timestamp,
        state_of: impl Fn(&PodRecord) -> Option<&'a PodState>,
    ) -> Self {
        let spec_of = |pod: &PodRecord| PodSpec::from_pod(&pod.plan.pod);
        let statuses = record.pods.iter().map(|pod| pod_status(pod, &spec_of(pod), state_of(pod)));
        Self::new(record, &statuses.collect::<Vec<_>>(), now, |uid| {
            let pod = record.pods.iter().find(|pod| pod.plan.uid == uid)?;
            state_of(pod)?.why_unready(&spec_of(pod))
        })
    }

    /// Returns the status of a workload whose pods are `pods`. `why_unready` returns why the pod with a uid is not
    /// Ready.
    pub fn new(
        record: &WorkloadRecord,
        pods: &[PodStatus],
        now: Timestamp,
        why_unready: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let spec = &record.spec;
        let counts = Counts::new(spec, pods, now);
        let current = || pods.iter().filter(|pod| !pod.terminating && spec.is_current(pod));
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let culprit =
            |pod: &PodStatus, message: String| Culprit { pod: format!("pod/{}", pod.name), message };
        let mut status = Self {
            observed_generation: record.state.observed_generation,
            deleting: record.deleting,
            paused: matches!(&spec.rule, Rule::Replicas(rule) if rule.paused),
            wanted: wanted(&spec.rule),
            replicas: counts.replicas,
            updated: count(current().count()),
            started: count(current().filter(|pod| pod.is_started).count()),
            ready: counts.updated_ready,
            available: counts.updated_available,
            complete: counts.is_complete(spec),
            progressing: record.state.progressing.clone(),
            problem: current().find_map(|pod| Some(culprit(pod, pod.problem.clone()?))),
            failed_init: current().find_map(|pod| Some(culprit(pod, pod.failed_init.clone()?))),
            holdup: None,
        };
        if status.has_stalled() {
            let unready = current().filter(|pod| pod.ready_since.is_none());
            let told = unready.map(|pod| {
                let why = pod.problem.clone().or_else(|| pod.failed_init.clone());
                let why = why.or_else(|| why_unready(&pod.uid));
                culprit(pod, why.unwrap_or_else(|| "it is not ready".to_owned()))
            });
            status.holdup = told.into_iter().next();
        }
        status
    }

    /// Returns whether the rollout has made no progress for progressDeadlineSeconds.
    pub fn has_stalled(&self) -> bool {
        self.progressing.as_ref().is_some_and(|condition| condition.reason == "ProgressDeadlineExceeded")
    }

    /// Returns whether every container of every pod of the current revision has started.
    pub fn has_started(&self) -> bool {
        self.updated == self.wanted && self.started == self.wanted
    }
}
