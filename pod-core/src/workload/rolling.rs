//! Replaces pods of earlier revisions. Source: k8s pkg/controller/deployment, rolling.go and recreate.go.

use super::PodStatus;
use super::controller::Controller;

/// Replaces as many pods as maxSurge and maxUnavailable allow now.
pub(super) fn rolling_update(controller: &mut Controller<'_>) {
    // Each round raises the replicas of the current revision or lowers the replicas of earlier revisions.
    while scale_current(controller) || scale_old(controller) {}
}

/// Deletes all old pods, and creates the new pods once the old ones are gone.
pub(super) fn recreate(controller: &mut Controller<'_>, pods: &[PodStatus]) {
    for index in controller.old_active() {
        controller.scale(index, 0);
    }
    // A terminating pod may still run, but a pod that has ended does not.
    let spec = controller.spec;
    if pods.iter().any(|pod| !pod.has_ended && !spec.is_current(pod)) {
        return;
    }
    if let Some(current) = controller.current {
        controller.scale(current, controller.rule.count);
    }
}

/// Scales the current revision as far as maxSurge allows. Returns false if the revision already has this size. Source:
/// `reconcileNewReplicaSet` and `NewRSNewReplicas`.
fn scale_current(controller: &mut Controller<'_>) -> bool {
    let Some(index) = controller.current else { return false };
    let count = controller.rule.count;
    let replicas = controller.sets.get(index).map_or(0, |set| set.replicas);
    let room = controller.rule.max_total().saturating_sub(controller.total());
    let wanted = if replicas > count { count } else { replicas + room.min(count - replicas) };
    controller.scale(index, wanted)
}

/// Scales earlier revisions down as far as maxUnavailable allows. Pods that are not available are removed first, so
/// that they do not hold up the rollout. Returns false if no pod can be removed. Source: `reconcileOldReplicaSets`.
fn scale_old(controller: &mut Controller<'_>) -> bool {
    let current = controller.current.and_then(|index| controller.sets.get(index));
    // Pods of the current revision that are not available yet cannot replace old pods.
    let unavailable = current.map_or(0, |set| set.replicas.saturating_sub(set.available()));
    let min_available = controller.rule.min_available();
    let max_removed = controller.total().saturating_sub(min_available).saturating_sub(unavailable);
    if max_removed == 0 {
        return false;
    }
    let removed = clean_up_unhealthy(controller, max_removed);
    let spare = controller.available().saturating_sub(min_available);
    removed + scale_down(controller, spare) > 0
}

/// Removes up to `max` old pods that are not available. Returns how many were removed. Source:
/// `cleanupUnhealthyReplicas`.
fn clean_up_unhealthy(controller: &mut Controller<'_>, max: u32) -> u32 {
    let mut removed = 0;
    for index in controller.old_active() {
        let Some(set) = controller.sets.get(index) else { continue };
        let unhealthy = set.replicas.saturating_sub(set.available()).min(max - removed);
        let wanted = set.replicas - unhealthy;
        if controller.scale(index, wanted) {
            removed += unhealthy;
        }
    }
    removed
}

/// Removes up to `max` old pods. Returns how many were removed. Source: `scaleDownOldReplicaSetsForRollingUpdate`.
fn scale_down(controller: &mut Controller<'_>, max: u32) -> u32 {
    let mut removed = 0;
    for index in controller.old_active() {
        let Some(set) = controller.sets.get(index) else { continue };
        let surplus = set.replicas.min(max - removed);
        let wanted = set.replicas - surplus;
        if controller.scale(index, wanted) {
            removed += surplus;
        }
    }
    removed
}
