//! How pods of former revisions are replaced. Source: k8s pkg/controller/deployment, rolling.go and recreate.go.

use super::PodStatus;
use super::controller::Controller;

/// Replaces pods a few at a time, as far as it can be done now.
pub(super) fn rolling_update(controller: &mut Controller<'_>) {
    // Each round raises the replicas of the current revision or lowers those of others.
    while scale_current(controller) || scale_old(controller) {}
}

/// Deletes all old pods, and creates the new ones once those are gone.
pub(super) fn recreate(controller: &mut Controller<'_>, pods: &[PodStatus]) {
    for index in controller.old_active() {
        controller.scale(index, 0);
    }
    // A terminating pod still runs. One that has ended does not.
    let spec = controller.spec;
    if pods.iter().any(|pod| !pod.has_ended && !spec.is_current(pod)) {
        return;
    }
    if let Some(current) = controller.current {
        controller.scale(current, controller.rule.count);
    }
}

/// Scales the current revision as far as maxSurge allows. False if that is where it is.
/// Source: `reconcileNewReplicaSet` and `NewRSNewReplicas`.
fn scale_current(controller: &mut Controller<'_>) -> bool {
    let Some(index) = controller.current else { return false };
    let count = controller.rule.count;
    let replicas = controller.sets.get(index).map_or(0, |set| set.replicas);
    let room = controller.rule.max_total().saturating_sub(controller.total());
    let wanted = if replicas > count { count } else { replicas + room.min(count - replicas) };
    controller.scale(index, wanted)
}

/// Scales former revisions down as far as maxUnavailable allows: first what is not available, so that it does not hold
/// the rollout up, then the rest. False if nothing can go. Source: `reconcileOldReplicaSets`.
fn scale_old(controller: &mut Controller<'_>) -> bool {
    let current = controller.current.and_then(|index| controller.sets.get(index));
    // Pods of the current revision that are not available yet do not make up for old ones.
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

/// Removes up to `max` old pods that are not available. Source: `cleanupUnhealthyReplicas`.
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

/// Removes up to `max` old pods. Source: `scaleDownOldReplicaSetsForRollingUpdate`.
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
