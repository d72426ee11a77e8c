//! Reads records from disk, those of this version and those of 0.1.0.

use serde::Deserialize;
use serde_json::Value;

use super::{PodRecord, WorkloadRecord};
use crate::plan::PodTemplate;
use crate::store::WorkloadId;
use crate::version::Version;
use crate::workload::{Rule, Spec, State};

/// A workload's record in the form in which it is stored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredWorkload {
    #[serde(default = "Version::first")]
    version: Version,
    id: WorkloadId,
    uid: String,
    created: jiff::Timestamp,
    pods: Vec<PodRecord>,
    #[serde(default)]
    spec: Option<Spec>,
    #[serde(default)]
    state: State,
    #[serde(default)]
    deleting: bool,
    /// The applied object, in records of 0.1.0.
    #[serde(default)]
    object: Option<Value>,
    /// [`Spec::hash`], in records of 0.1.0.
    #[serde(default)]
    hash: String,
    /// [`Spec::source`], in records of 0.1.0.
    #[serde(default)]
    source: String,
    /// A workload of 0.1.0 that has no pods is being deleted, unless this field is set.
    #[serde(default)]
    stands_without_pods: bool,
}

impl TryFrom<StoredWorkload> for WorkloadRecord {
    type Error = &'static str;

    fn try_from(stored: StoredWorkload) -> Result<Self, Self::Error> {
        let StoredWorkload { version, id, uid, created, pods, spec, state, deleting, .. } = stored;
        if let Some(spec) = spec {
            return Ok(Self { version, id, uid, created, spec, state, deleting, pods });
        }
        let object = stored.object.ok_or("both `spec` and `object` are missing")?;
        let deleting = !stored.stands_without_pods && pods.iter().all(|pod| pod.removing);
        // The youngest pod that is not being removed was created from the template that was applied last.
        let current = pods.iter().rev().find(|pod| !pod.removing).or(pods.last());
        let template = match current {
            Some(pod) => pod.plan.template(),
            None => PodTemplate::of_object(&object, &id.namespace),
        };
        let rule = Rule::of_object(id.kind, &object);
        let running = current.is_none_or(|pod| pod.desired == super::Desired::Running || pod.removing);
        let spec = Spec {
            generation: 1,
            object,
            hash: stored.hash,
            source: stored.source,
            rule,
            template,
            running,
            replaced: 0,
        };
        // The first step of the controller makes the template the first revision.
        Ok(Self { version, id, uid, created, spec, state: State::default(), deleting, pods })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(more: &Value) -> WorkloadRecord {
        let mut record = json!({
            "id": {"kind": "deployment", "namespace": "default", "name": "api"},
            "object": {"kind": "Deployment", "spec": {"replicas": 2, "template": {"spec": {"containers": []}}}},
            "hash": "h", "uid": "u", "created": "2026-01-01T00:00:00Z", "source": "/api.yaml", "pods": [],
        });
        for (key, value) in more.as_object().unwrap() {
            record[key] = value.clone();
        }
        serde_json::from_value(record).unwrap()
    }

    fn pod(uid: &str, hash: &str, removing: bool) -> Value {
        let metadata = json!({
            "name": format!("api-5d4-{uid}"), "generateName": "api-5d4-", "namespace": "default", "uid": uid,
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "api"},
        });
        json!({
            "plan": {"uid": uid, "hash": hash, "network": {"host": true}, "pod": {"metadata": metadata}},
            "desired": if removing { "stopped" } else { "running" }, "removing": removing,
        })
    }

    #[test]
    fn a_record_of_0_1_0_is_read_with_the_template_of_its_youngest_pod() {
        let record = read(&json!({"pods": [pod("a", "old", true), pod("b", "new", false)]}));
        assert_eq!((record.spec.hash.as_str(), record.spec.source.as_str()), ("h", "/api.yaml"));
        assert!(!record.deleting && record.spec.running);
        let template = &record.spec.template;
        assert_eq!((template.hash.as_str(), template.suffixed, template.network.host), ("new", true, true));
        let metadata = serde_json::to_value(&template.pod.metadata).unwrap();
        assert_eq!(metadata, json!({"name": "api-5d4", "namespace": "default", "labels": {"app": "api"}}));
        let Rule::Replicas(replicas) = &record.spec.rule else { panic!("{:?}", record.spec.rule) };
        assert_eq!(replicas.count, 2);
        // The record is written in the format of this version.
        let text = serde_json::to_string(&record).unwrap();
        let current = WorkloadRecord { version: Version::current(), ..record };
        assert_eq!(serde_json::from_str::<WorkloadRecord>(&text).unwrap(), current);
    }

    #[test]
    fn a_workload_of_0_1_0_without_remaining_pods_is_being_deleted() {
        assert!(read(&json!({})).is_leftover());
        assert!(!read(&json!({"standsWithoutPods": true})).deleting);
        assert!(read(&json!({"pods": [pod("a", "h", true)]})).deleting);
        let scaled = read(&json!({"pods": [pod("a", "h", true)], "standsWithoutPods": true}));
        assert!(!scaled.deleting);
    }
}
