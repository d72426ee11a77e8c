//! Counts the pods of a workload for its status.

use jiff::Timestamp;

use super::{PodStatus, Rule, Spec};

/// The numbers of pods in a workload's status. Terminating pods are counted in `terminating` only, and pods that have
/// ended are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// status.replicas: pods of all revisions.
    pub replicas: u32,
    /// status.updatedReplicas: pods of the current revision.
    pub updated: u32,
    /// status.readyReplicas: pods of all revisions that are Ready.
    pub ready: u32,
    /// status.availableReplicas: pods of all revisions that have been Ready for minReadySeconds.
    pub available: u32,
    /// Pods of the current revision that are Ready.
    pub updated_ready: u32,
    /// Pods of the current revision that are available.
    pub updated_available: u32,
    /// status.terminatingReplicas: pods that are being deleted.
    pub terminating: u32,
}

impl Counts {
    /// Counts the pods of a workload.
    pub fn new(spec: &Spec, pods: &[PodStatus], now: Timestamp) -> Self {
        let min_ready_seconds = match &spec.rule {
            Rule::Once => 0,
            Rule::Replicas(rule) => rule.min_ready_seconds,
        };
        let mut counts = Self::default();
        for pod in pods {
            if pod.terminating {
                counts.terminating += 1;
            }
            if !pod.is_active() {
                continue;
            }
            let (ready, available) =
                (u32::from(pod.ready_since.is_some()), u32::from(pod.is_available(min_ready_seconds, now)));
            counts.replicas += 1;
            counts.ready += ready;
            counts.available += available;
            if spec.is_current(pod) {
                counts.updated += 1;
                counts.updated_ready += ready;
                counts.updated_available += available;
            }
        }
        counts
    }

    /// Returns the number of pods of earlier revisions.
    pub fn old(&self) -> u32 {
        self.replicas - self.updated
    }

    /// Returns whether the rollout of `spec` is complete: there are as many pods as the spec wants, all are of the
    /// current revision, and all are available. Pods that are not started (`play --start=false`) need not be
    /// available. Source: `DeploymentComplete` of k8s pkg/controller/deployment/util.
    pub fn is_complete(&self, spec: &Spec) -> bool {
        let count = match &spec.rule {
            Rule::Once => 1,
            Rule::Replicas(rule) => rule.count,
        };
        self.updated == count && self.replicas == count && (!spec.running || self.available == count)
    }
}
