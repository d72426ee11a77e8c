//! Computes what a play changes, compared with what is recorded. Pure.

use std::collections::BTreeMap;

use super::Change;
use crate::controller::{is_resized, wanted};
use crate::generate;
use crate::plan::WorkloadPlan;
use crate::record::{Desired, PodRecord, WorkloadRecord, WorkloadSummary};
use crate::store::WorkloadId;
use crate::workload::Spec;

/// What to do about one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The planned workload.
    pub plan: WorkloadPlan,
    /// The change in kubectl's words.
    pub change: Change,
    /// The spec to apply.
    pub spec: Spec,
    /// True if pods of the plan's template have to be created.
    pub creates: bool,
    /// The uids of the pods that are removed by this step or are being removed already.
    pub going: Vec<String>,
    /// The record before this step.
    pub before: Option<WorkloadRecord>,
}

/// Decides what to do for every workload of a play. `start` is false for `--start=false`; `replace` replaces unchanged
/// pods too.
pub fn diff(plans: Vec<WorkloadPlan>, records: Vec<WorkloadRecord>, start: bool, replace: bool) -> Vec<Step> {
    let mut records: BTreeMap<WorkloadId, WorkloadRecord> =
        records.into_iter().map(|record| (record.id.clone(), record)).collect();
    plans
        .into_iter()
        .map(|plan| {
            let before = records.remove(&plan.id);
            step(as_recorded(plan, before.as_ref()), before, start, replace)
        })
        .collect()
}

/// Returns a plan with the recorded hashes if its manifest is one that `generate` wrote from the record. Such a
/// manifest contains the options of the former play (`--publish`, `--pull`, ...) as fields, and so changes nothing.
fn as_recorded(mut plan: WorkloadPlan, before: Option<&WorkloadRecord>) -> WorkloadPlan {
    let Some(record) = before.filter(|record| record.spec.hash != plan.hash) else { return plan };
    let (template, recorded) = (&plan.template, &record.spec.template);
    let has_same_flags = template.network == recorded.network && template.runtime == recorded.runtime;
    if has_same_flags && generate::is_written_as(record, &plan.object) {
        plan.hash.clone_from(&record.spec.hash);
        plan.template.hash.clone_from(&recorded.hash);
        plan.rule.clone_from(&record.spec.rule);
    }
    plan
}

fn step(plan: WorkloadPlan, before: Option<WorkloadRecord>, start: bool, replace: bool) -> Step {
    // A workload that is being deleted is created again.
    let (spec, change) = match before.as_ref().filter(|record| !record.deleting) {
        None => (Spec::from_plan(&plan, 1, start, 0), Change::Created),
        Some(record) => applied(&plan, record, start, replace),
    };
    let standing = before.iter().filter(|record| !record.deleting).flat_map(WorkloadRecord::standing);
    let is_current = |pod: &PodRecord| {
        pod.plan.hash == spec.template.hash && pod.replaced >= spec.replaced || is_resized(pod, &spec)
    };
    let current = u32::try_from(standing.filter(|pod| is_current(pod)).count()).unwrap_or(u32::MAX);
    let all = before.iter().flat_map(|record| &record.pods);
    let going = all.filter(|pod| pod.removing || !is_current(pod)).map(|pod| pod.plan.uid.clone());
    Step { creates: current < wanted(&spec.rule), going: going.collect(), plan, change, spec, before }
}

/// Returns the spec to apply to an existing workload, and the kind of change.
fn applied(plan: &WorkloadPlan, record: &WorkloadRecord, start: bool, replace: bool) -> (Spec, Change) {
    let former = &record.spec;
    let generation = former.generation + 1;
    let is_same = former.hash == plan.hash
        && former.template.hash == plan.template.hash
        && former.rule == plan.rule
        && !replace;
    if !is_same {
        let replaced = former.replaced + u64::from(replace);
        return (Spec::from_plan(plan, generation, start, replaced), Change::Configured);
    }
    let is_idle = |pod: &PodRecord| pod.desired == Desired::Stopped;
    if start && (!former.running || record.standing().any(is_idle)) {
        return (Spec { generation, running: true, ..former.clone() }, Change::Started);
    }
    (former.clone(), Change::Unchanged)
}

/// Changes the step of an unchanged workload to a start if `stays_stopped` says that one of its pods should run but has
/// no supervisor.
pub fn start_stopped(steps: &mut [Step], stays_stopped: impl Fn(&WorkloadId, &PodRecord) -> bool) {
    for step in steps.iter_mut().filter(|step| step.change == Change::Unchanged) {
        let pods = step.before.iter().flat_map(WorkloadRecord::standing);
        let mut wanted = pods.filter(|pod| pod.desired == Desired::Running && pod.ended.is_none());
        if wanted.any(|pod| stays_stopped(&step.plan.id, pod)) {
            step.change = Change::Started;
        }
    }
}

/// Returns the workloads of `records` that an earlier play of one of `sources` created and that this play does not
/// contain.
pub fn gone(
    mut records: Vec<WorkloadSummary>,
    played: &[&WorkloadId],
    sources: &[String],
) -> Vec<WorkloadSummary> {
    records.retain(|record| {
        sources.contains(&record.source) && record.stands() && !played.contains(&&record.id)
    });
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::plan::{PodNetwork, PodPlan, PodTemplate};

    fn plan(hash: &str, template: &str, replicas: u32) -> WorkloadPlan {
        let id = WorkloadId::new(Kind::Deployment, "default", "api");
        let object = serde_json::json!({"spec": {"replicas": replicas}});
        WorkloadPlan {
            rule: crate::workload::Rule::of_object(id.kind, &object),
            id,
            object,
            hash: hash.to_owned(),
            source: "/f.yaml".to_owned(),
            replicas,
            template: PodTemplate {
                pod: k8s_openapi::api::core::v1::Pod::default(),
                hash: template.to_owned(),
                network: PodNetwork::default(),
                runtime: None,
                suffixed: true,
            },
        }
    }

    /// Records a Deployment with these pods (name and template). The Deployment's own template is `t`.
    fn record(hash: &str, pods: &[(&str, &str)]) -> WorkloadRecord {
        let plan = plan(hash, "t", u32::try_from(pods.len()).unwrap());
        let spec = Spec::from_plan(&plan, 1, true, 0);
        let mut record = WorkloadRecord::new(plan.id, "u".to_owned(), jiff::Timestamp::UNIX_EPOCH, spec);
        record.pods = pods
            .iter()
            .map(|(uid, hash)| {
                let plan = plan.template.instantiate(uid, "x", jiff::Timestamp::UNIX_EPOCH);
                PodRecord::new(PodPlan { hash: (*hash).to_owned(), ..plan }, Desired::Running)
            })
            .collect();
        record
    }

    #[test]
    fn a_new_workload_is_created_with_pods() {
        let step = step(plan("h", "t", 3), None, true, false);
        assert_eq!((step.change, step.creates, step.spec.generation), (Change::Created, true, 1));
    }

    #[test]
    fn an_unchanged_workload_changes_nothing() {
        let before = record("h", &[("a", "t"), ("b", "t")]);
        let spec = before.spec.clone();
        let step = step(plan("h", "t", 2), Some(before), true, false);
        assert_eq!((step.change, step.creates, step.going.len()), (Change::Unchanged, false, 0));
        assert_eq!(step.spec, spec);
    }

    #[test]
    fn a_changed_template_replaces_every_pod() {
        let step = step(plan("h2", "t2", 2), Some(record("h", &[("a", "t"), ("b", "t")])), true, false);
        assert_eq!((step.change, step.creates), (Change::Configured, true));
        assert_eq!(step.going, ["a", "b"]);
        assert_eq!((step.spec.generation, step.spec.template.hash.as_str()), (2, "t2"));
    }

    #[test]
    fn scaling_creates_pods_only_where_some_are_missing() {
        let down = step(plan("h2", "t", 1), Some(record("h", &[("a", "t"), ("b", "t")])), true, false);
        assert_eq!((down.change, down.creates), (Change::Configured, false));
        let up = step(plan("h2", "t", 3), Some(record("h", &[("a", "t")])), true, false);
        assert_eq!((up.change, up.creates), (Change::Configured, true));
        assert!(up.going.is_empty());
    }

    #[test]
    fn a_workload_without_pods_is_recorded_and_scales() {
        let stands = record("h", &[]);
        let same = step(plan("h", "t", 0), Some(stands.clone()), true, false);
        assert_eq!((same.change, same.creates), (Change::Unchanged, false));
        let up = step(plan("h2", "t", 2), Some(stands.clone()), true, false);
        assert_eq!((up.change, up.creates), (Change::Configured, true));
        let down = step(plan("h2", "t", 0), Some(record("h", &[("a", "t")])), true, false);
        assert_eq!((down.change, down.creates), (Change::Configured, false));
        // Its last pods are still being removed.
        let mut scaled = record("h", &[]);
        scaled.pods = record("h", &[("a", "t")]).pods;
        scaled.pods[0].remove(None);
        assert_eq!(step(plan("h", "t", 0), Some(scaled), true, false).change, Change::Unchanged);
        // The remains of an interrupted removal do not count as a workload.
        let leftover = WorkloadRecord { deleting: true, ..stands.clone() };
        assert_eq!(step(plan("h", "t", 0), Some(leftover.clone()), true, false).change, Change::Created);
        let found = [WorkloadSummary::from(&stands), WorkloadSummary::from(&leftover)];
        assert_eq!(gone(found.to_vec(), &[], &["/f.yaml".to_owned()]).len(), 1);
    }

    #[test]
    fn replace_replaces_unchanged_pods() {
        let step = step(plan("h", "t", 1), Some(record("h", &[("a", "t")])), true, true);
        assert_eq!((step.change, step.creates, step.spec.replaced), (Change::Configured, true, 1));
        assert_eq!(step.going, ["a"]);
    }

    #[test]
    fn a_change_by_another_command_is_reset_to_the_file() {
        let mut scaled = record("h", &[("a", "t")]);
        scaled.spec.rule = plan("h", "t", 5).rule;
        assert_eq!(step(plan("h", "t", 1), Some(scaled), true, false).change, Change::Configured);
    }

    #[test]
    fn a_pod_that_was_recorded_but_not_started_is_started() {
        let mut before = record("h", &[("a", "t")]);
        before.pods[0].desired = Desired::Stopped;
        before.spec.running = false;
        let started = step(plan("h", "t", 1), Some(before.clone()), true, false);
        assert_eq!(
            (started.change, started.spec.running, started.spec.generation),
            (Change::Started, true, 2)
        );
        let left = step(plan("h", "t", 1), Some(before), false, false);
        assert_eq!(left.change, Change::Unchanged);
    }

    #[test]
    fn an_unchanged_workload_with_a_pod_without_supervisor_is_started() {
        let change = |desired: Desired, stays_stopped: bool| {
            let mut before = record("h", &[("a", "t"), ("b", "t")]);
            before.pods[1].desired = desired;
            let mut steps = [step(plan("h", "t", 2), Some(before), false, false)];
            start_stopped(&mut steps, |id, pod| {
                assert_eq!(id.name, "api");
                stays_stopped && pod.plan.uid == "b"
            });
            steps[0].change
        };
        assert_eq!(change(Desired::Running, true), Change::Started);
        assert_eq!(change(Desired::Running, false), Change::Unchanged);
        assert_eq!(change(Desired::Stopped, true), Change::Unchanged);
    }

    #[test]
    fn a_workload_that_is_being_deleted_is_created_again() {
        let mut before = record("h", &[("a", "t")]);
        before.delete(None);
        let step = step(plan("h", "t", 1), Some(before), true, false);
        assert_eq!((step.change, step.creates, step.spec.generation), (Change::Created, true, 1));
        assert_eq!(step.going, ["a"]);
    }

    #[test]
    fn a_former_pod_that_is_still_being_removed_changes_nothing() {
        let mut before = record("h", &[("b", "t")]);
        before.pods.insert(0, record("h", &[("a", "old")]).pods.remove(0));
        before.pods[0].removing = true;
        let step = step(plan("h", "t", 1), Some(before), true, false);
        assert_eq!((step.change, step.creates, step.going.len()), (Change::Unchanged, false, 1));
    }

    #[test]
    fn a_workload_that_the_file_no_longer_contains_is_gone() {
        let mut leaving = record("h", &[("b", "t")]);
        leaving.delete(None);
        let records = [WorkloadSummary::from(&record("h", &[("a", "t")])), WorkloadSummary::from(&leaving)];
        let count =
            |played: &[&WorkloadId], source: &str| gone(records.to_vec(), played, &[source.to_owned()]).len();
        assert_eq!(count(&[], "/f.yaml"), 1);
        assert_eq!(count(&[], "/g.yaml"), 0);
        assert_eq!(count(&[&records[0].id], "/f.yaml"), 0);
    }
}
