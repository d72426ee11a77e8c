//! What a play changes, against what is recorded. Pure.

use std::collections::BTreeMap;

use super::Change;
use crate::controller::wanted;
use crate::generate;
use crate::plan::WorkloadPlan;
use crate::record::{Desired, PodRecord, WorkloadRecord, WorkloadSummary};
use crate::store::WorkloadId;
use crate::workload::Spec;

/// What to do about one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What it should be.
    pub plan: WorkloadPlan,
    /// In kubectl's words.
    pub change: Change,
    /// What is applied.
    pub spec: Spec,
    /// Pods of the plan's template are created.
    pub creates: bool,
    /// Uids of the pods that go, or are on their way out.
    pub going: Vec<String>,
    /// What stood before.
    pub before: Option<WorkloadRecord>,
}

/// Decides for every workload of a play. `start` is false for `--start=false`, `replace` makes unchanged pods
/// anew too.
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

/// The plan of a manifest that `generate` wrote, with the hashes of what it was written from: it says what flags said
/// when that was played (`--publish`, `--pull`, ...), and changes nothing.
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
    // A workload on its way out is made anew.
    let (spec, change) = match before.as_ref().filter(|record| !record.deleting) {
        None => (Spec::from_plan(&plan, 1, start, 0), Change::Created),
        Some(record) => applied(&plan, record, start, replace),
    };
    let standing = before.iter().filter(|record| !record.deleting).flat_map(WorkloadRecord::standing);
    let is_current = |pod: &PodRecord| pod.plan.hash == spec.template.hash && pod.replaced >= spec.replaced;
    let current = u32::try_from(standing.filter(|pod| is_current(pod)).count()).unwrap_or(u32::MAX);
    let all = before.iter().flat_map(|record| &record.pods);
    let going = all.filter(|pod| pod.removing || !is_current(pod)).map(|pod| pod.plan.uid.clone());
    Step { creates: current < wanted(&spec.rule), going: going.collect(), plan, change, spec, before }
}

/// What is applied to a workload that stands, and in what that changes it.
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

/// Makes an unchanged workload one that is started where `rests` says of a pod that is to run that nobody runs it.
pub fn start_resting(steps: &mut [Step], rests: impl Fn(&WorkloadId, &PodRecord) -> bool) {
    for step in steps.iter_mut().filter(|step| step.change == Change::Unchanged) {
        let pods = step.before.iter().flat_map(WorkloadRecord::standing);
        let mut wanted = pods.filter(|pod| pod.desired == Desired::Running && pod.ended.is_none());
        if wanted.any(|pod| rests(&step.plan.id, pod)) {
            step.change = Change::Started;
        }
    }
}

/// Workloads out of `records` that an earlier play of one of `sources` made and that this one does not name.
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

    /// A Deployment of so many pods, of the template `t` unless a pod says otherwise.
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
    fn a_changed_template_makes_every_pod_anew() {
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
    fn a_workload_without_pods_is_known_and_scales() {
        let stands = record("h", &[]);
        let same = step(plan("h", "t", 0), Some(stands.clone()), true, false);
        assert_eq!((same.change, same.creates), (Change::Unchanged, false));
        let up = step(plan("h2", "t", 2), Some(stands.clone()), true, false);
        assert_eq!((up.change, up.creates), (Change::Configured, true));
        let down = step(plan("h2", "t", 0), Some(record("h", &[("a", "t")])), true, false);
        assert_eq!((down.change, down.creates), (Change::Configured, false));
        // Its last pods are still going.
        let mut scaled = record("h", &[]);
        scaled.pods = record("h", &[("a", "t")]).pods;
        scaled.pods[0].remove(None);
        assert_eq!(step(plan("h", "t", 0), Some(scaled), true, false).change, Change::Unchanged);
        // What a killed removal left is none.
        let leftover = WorkloadRecord { deleting: true, ..stands.clone() };
        assert_eq!(step(plan("h", "t", 0), Some(leftover.clone()), true, false).change, Change::Created);
        let found = [WorkloadSummary::from(&stands), WorkloadSummary::from(&leftover)];
        assert_eq!(gone(found.to_vec(), &[], &["/f.yaml".to_owned()]).len(), 1);
    }

    #[test]
    fn replace_makes_unchanged_pods_anew() {
        let step = step(plan("h", "t", 1), Some(record("h", &[("a", "t")])), true, true);
        assert_eq!((step.change, step.creates, step.spec.replaced), (Change::Configured, true, 1));
        assert_eq!(step.going, ["a"]);
    }

    #[test]
    fn what_another_command_changed_is_set_back_to_what_the_file_says() {
        let mut scaled = record("h", &[("a", "t")]);
        scaled.spec.rule = plan("h", "t", 5).rule;
        assert_eq!(step(plan("h", "t", 1), Some(scaled), true, false).change, Change::Configured);
    }

    #[test]
    fn a_pod_that_was_made_but_not_started_is_started() {
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
    fn an_unchanged_workload_with_a_pod_that_nobody_runs_is_started() {
        let change = |desired: Desired, rests: bool| {
            let mut before = record("h", &[("a", "t"), ("b", "t")]);
            before.pods[1].desired = desired;
            let mut steps = [step(plan("h", "t", 2), Some(before), false, false)];
            start_resting(&mut steps, |id, pod| {
                assert_eq!(id.name, "api");
                rests && pod.plan.uid == "b"
            });
            steps[0].change
        };
        assert_eq!(change(Desired::Running, true), Change::Started);
        assert_eq!(change(Desired::Running, false), Change::Unchanged);
        assert_eq!(change(Desired::Stopped, true), Change::Unchanged);
    }

    #[test]
    fn a_workload_that_is_being_deleted_is_made_anew() {
        let mut before = record("h", &[("a", "t")]);
        before.delete(None);
        let step = step(plan("h", "t", 1), Some(before), true, false);
        assert_eq!((step.change, step.creates, step.spec.generation), (Change::Created, true, 1));
        assert_eq!(step.going, ["a"]);
    }

    #[test]
    fn a_pod_of_before_that_is_still_going_changes_nothing() {
        let mut before = record("h", &[("b", "t")]);
        before.pods.insert(0, record("h", &[("a", "old")]).pods.remove(0));
        before.pods[0].removing = true;
        let step = step(plan("h", "t", 1), Some(before), true, false);
        assert_eq!((step.change, step.creates, step.going.len()), (Change::Unchanged, false, 1));
    }

    #[test]
    fn what_the_file_no_longer_names_is_gone() {
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
