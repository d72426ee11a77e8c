//! The record of an idle supervisor. As JSON text, the applied object and the templates take about a fifth of the memory
//! that they take as values, and an idle supervisor does not need them.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::record::WorkloadRecord;
use crate::workload::Revision;

/// The parts of a [`WorkloadRecord`] that are kept as text: the applied object, the template, and the revisions.
#[derive(Debug)]
pub(super) struct ParkedRecord(Box<str>);

impl ParkedRecord {
    /// Takes the parts out of a record, which must not be used until they are restored. Returns `None`, and leaves the
    /// record as it is, if they cannot be written as text.
    // The frame of the parser must not be part of the frame that stays while the supervisor is idle.
    #[inline(never)]
    pub(super) fn park(record: &mut WorkloadRecord) -> Option<Self> {
        let parts = (&record.spec.object, &record.spec.template.pod, &record.state.revisions);
        let text = serde_json::to_string(&parts).ok()?.into_boxed_str();
        record.spec.object = Value::Null;
        record.spec.template.pod = Pod::default();
        record.state.revisions = Vec::new();
        Some(Self(text))
    }

    /// Puts the parts back into the record that they were taken out of.
    ///
    /// # Errors
    /// If the text cannot be read. That does not happen, because records of the same types are read from disk.
    #[inline(never)]
    pub(super) fn restore(self, record: &mut WorkloadRecord) -> Result<(), serde_json::Error> {
        let (object, pod, revisions): (Value, Pod, Vec<Revision>) = serde_json::from_str(&self.0)?;
        record.spec.object = object;
        record.spec.template.pod = pod;
        record.state.revisions = revisions;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_parked_record_comes_back_whole() {
        let pod = json!({"spec": {"containers": [{"name": "web", "image": "localhost/web:1", "env": [{"name": "A"}]}]}});
        let mut whole: WorkloadRecord = serde_json::from_value(json!({
            "id": {"kind": "deployment", "namespace": "default", "name": "api"},
            "object": {"kind": "Deployment", "spec": {"replicas": 2, "template": pod}},
            "hash": "h", "uid": "u", "created": "2026-01-01T00:00:00Z", "source": "/api.yaml", "pods": [],
        }))
        .unwrap();
        whole.spec.template.pod = serde_json::from_value(pod.clone()).unwrap();
        whole.state.revisions.push(Revision {
            number: 3,
            hash: "h".to_owned(),
            template: whole.spec.template.clone(),
            object: pod,
            change_cause: None,
            uid: "r".to_owned(),
            created: whole.created,
            replicas: 2,
            desired_replicas: 2,
            max_replicas: 3,
        });
        let mut record = whole.clone();
        let parked = ParkedRecord::park(&mut record).unwrap();
        assert!(record.spec.object.is_null() && record.state.revisions.is_empty());
        parked.restore(&mut record).unwrap();
        assert_eq!(record, whole);
    }
}
