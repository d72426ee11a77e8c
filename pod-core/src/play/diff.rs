//! What a play changes, against what is recorded. Pure.

use std::collections::BTreeMap;

use super::Change;
use crate::generate;
use crate::plan::WorkloadPlan;
use crate::store::{Desired, PodRecord, WorkloadGlance, WorkloadId, WorkloadRecord};

/// What to do about one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What it should be.
    pub plan: WorkloadPlan,
    /// In kubectl's words.
    pub change: Change,
    /// Pods that stay as they are.
    pub keep: Vec<PodRecord>,
    /// Pods that are stopped and removed.
    pub remove: Vec<PodRecord>,
    /// How many pods are made.
    pub add: u32,
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
    let Some(record) = before.filter(|record| record.hash != plan.hash) else { return plan };
    let Some(pod) = record.pods.iter().rev().find(|pod| !pod.removing) else { return plan };
    let template = &plan.template;
    let has_same_flags = template.network == pod.plan.network && template.runtime == pod.plan.runtime;
    if has_same_flags && generate::is_written_as(record, &plan.object) {
        plan.hash.clone_from(&record.hash);
        plan.template.hash.clone_from(&pod.plan.hash);
    }
    plan
}

fn step(plan: WorkloadPlan, before: Option<WorkloadRecord>, start: bool, replace: bool) -> Step {
    let pods = before.as_ref().map(|record| record.pods.clone()).unwrap_or_default();
    let (mut keep, mut remove): (Vec<_>, Vec<_>) =
        pods.into_iter().partition(|pod| !replace && !pod.removing && pod.hash_matches(&plan.template.hash));
    let wanted = usize::try_from(plan.replicas).unwrap_or(usize::MAX);
    // The youngest go first, as a ReplicaSet has it.
    remove.extend(keep.split_off(wanted.min(keep.len())));
    let add = u32::try_from(wanted - keep.len()).unwrap_or(u32::MAX);
    // Those of an earlier play that are still on their way out are none of this one's doing.
    let removes = remove.iter().any(|pod| !pod.removing);
    let mut started = false;
    if start {
        for pod in &mut keep {
            if pod.desired == Desired::Stopped {
                pod.desired = Desired::Running;
                started = true;
            }
        }
    }
    let change = match &before {
        None => Change::Created,
        // A workload on its way out is made anew.
        Some(record) if !record.stands_without_pods && record.pods.iter().all(|pod| pod.removing) => {
            Change::Created
        }
        Some(record) if record.hash != plan.hash || add > 0 || removes => Change::Configured,
        Some(_) if started => Change::Started,
        Some(_) => Change::Unchanged,
    };
    Step { plan, change, keep, remove, add, before }
}

impl PodRecord {
    fn hash_matches(&self, hash: &str) -> bool {
        self.plan.hash == hash
    }
}

/// Makes an unchanged workload one that is started where `rests` says of a pod that is to run that nobody runs it.
pub fn start_resting(steps: &mut [Step], rests: impl Fn(&WorkloadId, &PodRecord) -> bool) {
    for step in steps.iter_mut().filter(|step| step.change == Change::Unchanged) {
        let mut wanted =
            step.keep.iter().filter(|pod| pod.desired == Desired::Running && pod.ended.is_none());
        if wanted.any(|pod| rests(&step.plan.id, pod)) {
            step.change = Change::Started;
        }
    }
}

/// Workloads out of `records` that an earlier play of one of `sources` made and that this one does not name.
pub fn gone(
    mut records: Vec<WorkloadGlance>,
    played: &[&WorkloadId],
    sources: &[String],
) -> Vec<WorkloadGlance> {
    records.retain(|record| {
        sources.contains(&record.source) && record.stands() && !played.contains(&&record.id)
    });
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{PodNetwork, PodPlan, PodTemplate};

    fn plan(hash: &str, template: &str, replicas: u32) -> WorkloadPlan {
        WorkloadPlan {
            id: WorkloadId::new("Deployment", "default", "api"),
            object: serde_json::Value::Null,
            hash: hash.to_owned(),
            source: "/f.yaml".to_owned(),
            template: PodTemplate {
                pod: k8s_openapi::api::core::v1::Pod::default(),
                hash: template.to_owned(),
                network: PodNetwork::default(),
                runtime: None,
                suffixed: true,
            },
            replicas,
        }
    }

    fn record(hash: &str, pods: &[(&str, &str)]) -> WorkloadRecord {
        WorkloadRecord {
            version: crate::version::Version::current(),
            id: WorkloadId::new("Deployment", "default", "api"),
            object: serde_json::Value::Null,
            hash: hash.to_owned(),
            uid: "u".to_owned(),
            created: jiff::Timestamp::UNIX_EPOCH,
            source: "/f.yaml".to_owned(),
            pods: pods
                .iter()
                .map(|(uid, hash)| PodRecord {
                    plan: PodPlan {
                        uid: (*uid).to_owned(),
                        pod: k8s_openapi::api::core::v1::Pod::default(),
                        hash: (*hash).to_owned(),
                        network: PodNetwork::default(),
                        runtime: None,
                    },
                    desired: Desired::Running,
                    removing: false,
                    grace_seconds: None,
                    ended: None,
                })
                .collect(),
            stands_without_pods: pods.is_empty(),
        }
    }

    fn uids(pods: &[PodRecord]) -> Vec<&str> {
        pods.iter().map(|pod| pod.plan.uid.as_str()).collect()
    }

    #[test]
    fn a_new_workload_is_created_with_all_its_pods() {
        let step = step(plan("h", "t", 3), None, true, false);
        assert_eq!((step.change, step.add), (Change::Created, 3));
    }

    #[test]
    fn an_unchanged_workload_changes_nothing() {
        let step = step(plan("h", "t", 2), Some(record("h", &[("a", "t"), ("b", "t")])), true, false);
        assert_eq!((step.change, step.add, step.remove.len()), (Change::Unchanged, 0, 0));
    }

    #[test]
    fn a_changed_template_makes_every_pod_anew() {
        let step = step(plan("h2", "t2", 2), Some(record("h", &[("a", "t"), ("b", "t")])), true, false);
        assert_eq!((step.change, step.add), (Change::Configured, 2));
        assert_eq!(uids(&step.remove), ["a", "b"]);
    }

    #[test]
    fn scaling_keeps_the_oldest_pods() {
        let down = step(plan("h2", "t", 1), Some(record("h", &[("a", "t"), ("b", "t")])), true, false);
        assert_eq!((uids(&down.keep), uids(&down.remove), down.add), (vec!["a"], vec!["b"], 0));
        let up = step(plan("h2", "t", 3), Some(record("h", &[("a", "t")])), true, false);
        assert_eq!((uids(&up.keep), up.add), (vec!["a"], 2));
    }

    #[test]
    fn a_workload_without_pods_is_known_and_scales() {
        let stands = record("h", &[]);
        let same = step(plan("h", "t", 0), Some(stands.clone()), true, false);
        assert_eq!((same.change, same.add), (Change::Unchanged, 0));
        let up = step(plan("h2", "t", 2), Some(stands.clone()), true, false);
        assert_eq!((up.change, up.add), (Change::Configured, 2));
        let down = step(plan("h2", "t", 0), Some(record("h", &[("a", "t")])), true, false);
        assert_eq!((down.change, uids(&down.remove)), (Change::Configured, vec!["a"]));
        // Its last pods are still going.
        let mut scaled = record("h", &[("a", "t")]);
        (scaled.pods[0].removing, scaled.stands_without_pods) = (true, true);
        assert_eq!(step(plan("h", "t", 0), Some(scaled), true, false).change, Change::Unchanged);
        // What a killed removal left is none.
        let leftover = WorkloadRecord { stands_without_pods: false, ..stands.clone() };
        assert_eq!(step(plan("h", "t", 0), Some(leftover.clone()), true, false).change, Change::Created);
        let found = [WorkloadGlance::from(&stands), WorkloadGlance::from(&leftover)];
        assert_eq!(gone(found.to_vec(), &[], &["/f.yaml".to_owned()]).len(), 1);
    }

    #[test]
    fn replace_makes_unchanged_pods_anew() {
        let step = step(plan("h", "t", 1), Some(record("h", &[("a", "t")])), true, true);
        assert_eq!((step.change, step.add, uids(&step.remove)), (Change::Configured, 1, vec!["a"]));
    }

    #[test]
    fn a_pod_that_was_made_but_not_started_is_started() {
        let mut before = record("h", &[("a", "t")]);
        before.pods[0].desired = Desired::Stopped;
        let started = step(plan("h", "t", 1), Some(before.clone()), true, false);
        assert_eq!((started.change, started.keep[0].desired), (Change::Started, Desired::Running));
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
    fn a_pod_that_is_being_removed_is_made_anew() {
        let mut before = record("h", &[("a", "t")]);
        before.pods[0].removing = true;
        let step = step(plan("h", "t", 1), Some(before), true, false);
        assert_eq!((step.change, step.add), (Change::Created, 1));
    }

    #[test]
    fn a_pod_of_before_that_is_still_going_changes_nothing() {
        let mut before = record("h", &[("a", "old"), ("b", "t")]);
        before.pods[0].removing = true;
        let step = step(plan("h", "t", 1), Some(before), true, false);
        assert_eq!((step.change, step.add, step.remove.len()), (Change::Unchanged, 0, 1));
    }

    #[test]
    fn what_the_file_no_longer_names_is_gone() {
        let mut leaving = record("h", &[("b", "t")]);
        leaving.pods[0].removing = true;
        let records = [WorkloadGlance::from(&record("h", &[("a", "t")])), WorkloadGlance::from(&leaving)];
        let count =
            |played: &[&WorkloadId], source: &str| gone(records.to_vec(), played, &[source.to_owned()]).len();
        assert_eq!(count(&[], "/f.yaml"), 1);
        assert_eq!(count(&[], "/g.yaml"), 0);
        assert_eq!(count(&[&records[0].id], "/f.yaml"), 0);
    }
}
