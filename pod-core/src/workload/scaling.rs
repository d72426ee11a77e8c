//! Scales a Deployment in the middle of a rollout or while it is paused. All revisions grow or shrink in proportion,
//! so that scaling does not advance the rollout. Source: `scale` of k8s pkg/controller/deployment/sync.go.

use std::cmp::Reverse;

use super::controller::Controller;
use super::replica_set::ReplicaSet;

/// Scales the ReplicaSets until they have the replicas of the Deployment together.
pub(super) fn scale(controller: &mut Controller<'_>) {
    // Scaling down in proportion may leave one ReplicaSet with replicas, which then gets all of them in the next
    // round.
    while scale_once(controller) {}
}

/// Scales the ReplicaSets once. Returns whether a ReplicaSet was changed.
fn scale_once(controller: &mut Controller<'_>) -> bool {
    let count = controller.rule.count;
    if let Some(index) = only_active_or_latest(controller) {
        return controller.scale(index, count);
    }
    let current = controller.current.and_then(|index| controller.sets.get(index));
    if current.is_some_and(|set| set.replicas == count && set.desired_replicas == count) {
        let scaled = controller.old_active().into_iter().filter(|index| controller.scale(*index, 0));
        return scaled.count() > 0;
    }

    let allowed = if count > 0 { i64::from(controller.rule.max_total()) } else { 0 };
    let to_add = allowed - i64::from(controller.total());
    let mut active: Vec<usize> = indexes(controller, |set| set.replicas > 0);
    active.sort_by_key(|index| {
        let set = controller.sets.get(*index);
        // The largest ReplicaSet comes first. Of two with the same size, the newer one grows first and the older one
        // shrinks first.
        let created = set.map_or(0, |set| set.created.as_second());
        (Reverse(set.map_or(0, |set| set.replicas)), if to_add > 0 { -created } else { created })
    });
    let mut added = 0;
    let mut sizes: Vec<(usize, i64)> = Vec::new();
    for index in active {
        let Some(set) = controller.sets.get(index) else { continue };
        let share = share(set, count, controller.rule.max_total(), to_add, to_add - added);
        added += share;
        sizes.push((index, i64::from(set.replicas) + share));
    }
    // The remainder of the rounding goes to the largest ReplicaSet.
    if let Some((_, size)) = sizes.first_mut() {
        *size += to_add - added;
    }
    let mut is_changed = false;
    for (index, size) in sizes {
        is_changed |= controller.scale(index, u32::try_from(size.max(0)).unwrap_or(u32::MAX));
    }
    is_changed
}

/// Returns by how many pods a ReplicaSet grows, or shrinks if negative. This depends on its share of the Deployment
/// when the ReplicaSet was last scaled. Source: `GetProportion` and `getReplicaSetFraction`.
fn share(set: &ReplicaSet<'_>, count: u32, max_total: u32, to_add: i64, left: i64) -> i64 {
    if to_add == 0 || left == 0 {
        return 0;
    }
    let replicas = i64::from(set.replicas);
    let fraction = if count == 0 {
        -replicas
    } else {
        let before = i64::from(set.max_replicas.max(1));
        let size = (2 * replicas * i64::from(max_total) + before) / (2 * before);
        size - replicas
    };
    if to_add > 0 { fraction.min(left) } else { fraction.max(left) }
}

/// Returns the only ReplicaSet with replicas, or the newest one if none has replicas. Returns `None` if several have
/// replicas. Source: `FindActiveOrLatest`.
fn only_active_or_latest(controller: &Controller<'_>) -> Option<usize> {
    match *indexes(controller, |set| set.replicas > 0) {
        [] => controller.current.or_else(|| {
            let latest = controller.sets.iter().enumerate().max_by_key(|(_, set)| set.created);
            latest.map(|(index, _)| index)
        }),
        [only] => Some(only),
        _ => None,
    }
}

fn indexes(controller: &Controller<'_>, is_wanted: impl Fn(&ReplicaSet<'_>) -> bool) -> Vec<usize> {
    let sets = controller.sets.iter().enumerate();
    sets.filter(|(_, set)| is_wanted(set)).map(|(index, _)| index).collect()
}
