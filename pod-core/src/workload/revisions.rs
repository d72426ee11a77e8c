//! The revisions of a workload's template.

use jiff::Timestamp;

use super::{PodStatus, Replicas, Revision, Spec, State, patch};

/// How the current revision came to be current in this step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// A revision was created, because the template is new.
    Created,
    /// An existing revision was found: its template was used before, or its pods have to be replaced.
    Found,
}

/// Moves the revision with the template of `spec` to the end of the list, if it exists.
pub(super) fn find(spec: &Spec, state: &mut State, pods: &[PodStatus]) -> Option<Change> {
    let index = state.revisions.iter().position(|revision| revision.hash == spec.template.hash)?;
    let is_replaced = spec.replaced > state.observed_replaced;
    let is_last = index + 1 == state.revisions.len();
    if !is_last {
        let number = next_number(state);
        count_outdated_pods(state, pods);
        let mut revision = state.revisions.remove(index);
        revision.number = number;
        state.revisions.push(revision);
    }
    let outdated = count(pods, |pod| pod.hash == spec.template.hash && !spec.is_current(pod));
    let current = state.revisions.last_mut()?;
    // Fields that are not part of the hash (how an image is pulled) may differ.
    current.template.clone_from(&spec.template);
    current.change_cause = change_cause(spec);
    if (is_replaced || !is_last) && outdated > 0 {
        current.replicas = current.replicas.min(count(pods, |pod| spec.is_current(pod)));
        return Some(Change::Found);
    }
    (!is_last).then_some(Change::Found)
}

/// Adds a revision with the template of `spec`.
pub(super) fn create(spec: &Spec, rule: &Replicas, state: &mut State, pods: &[PodStatus], now: Timestamp) {
    count_outdated_pods(state, pods);
    let owner = spec.template.pod.metadata.owner_references.iter().flatten().next();
    state.revisions.push(Revision {
        number: next_number(state),
        hash: spec.template.hash.clone(),
        template: spec.template.clone(),
        object: spec.object.pointer("/spec/template").cloned().unwrap_or_default(),
        change_cause: change_cause(spec),
        uid: owner.map(|owner| owner.uid.clone()).unwrap_or_default(),
        created: now,
        // Pods that an earlier version of the program created count as replicas.
        replicas: count(pods, |pod| spec.is_current(pod)),
        desired_replicas: rule.count,
        max_replicas: rule.max_total(),
    });
}

/// Removes earlier revisions beyond revisionHistoryLimit, the oldest first. A revision that has pods is kept. Source:
/// `cleanupDeployment` of k8s pkg/controller/deployment/sync.go.
pub(super) fn clean_up(spec: &Spec, rule: &Replicas, state: &mut State, pods: &[PodStatus]) {
    let old = state.revisions.iter().filter(|revision| revision.hash != spec.template.hash).count();
    let limit = usize::try_from(rule.revision_history_limit).unwrap_or(usize::MAX);
    let mut excess = old.saturating_sub(limit);
    state.revisions.retain(|revision| {
        if excess == 0 || revision.hash == spec.template.hash {
            return true;
        }
        excess -= 1;
        revision.replicas > 0 || pods.iter().any(|pod| pod.is_active() && pod.hash == revision.hash)
    });
}

/// Adds the outdated pods of the last revision to its replicas. While a revision is current, pods that `play
/// --replace` outdated are not counted in its replicas. Once another revision becomes the current one, they count like
/// its other pods.
fn count_outdated_pods(state: &mut State, pods: &[PodStatus]) {
    let replaced = state.observed_replaced;
    if let Some(last) = state.revisions.last_mut() {
        last.replicas += count(pods, |pod| pod.hash == last.hash && pod.replaced < replaced);
    }
}

fn change_cause(spec: &Spec) -> Option<String> {
    let annotations = spec.object.pointer("/metadata/annotations")?;
    annotations.get(patch::CHANGE_CAUSE)?.as_str().map(str::to_owned)
}

fn next_number(state: &State) -> u64 {
    state.revisions.iter().map(|revision| revision.number).max().unwrap_or(0) + 1
}

fn count(pods: &[PodStatus], is_counted: impl Fn(&PodStatus) -> bool) -> u32 {
    u32::try_from(pods.iter().filter(|pod| pod.is_active() && is_counted(pod)).count()).unwrap_or(u32::MAX)
}
