//! A PersistentVolumeClaim, as `describePersistentVolumeClaim` of k8s.io/kubectl/pkg/describe prints it.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use pod_core::kind::Kind;
use pod_core::observe::objects::Object;

use super::{Surroundings, add_events, labels_and_annotations, name};
use crate::commands::get::table::access_modes;
use crate::output::columns::Columns;

/// Returns the description of a claim.
///
/// # Errors
/// The pods cannot be read.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    let pods = with.reader.list(Kind::Pod)?;
    let pods = pods.iter().filter(|pod| pod.id.namespace == object.id.namespace).filter_map(Object::pod);
    let users = pods.filter(|pod| uses(pod, &object.id.name));
    let users: Vec<String> = users.filter_map(|pod| pod.metadata.name.clone()).collect();
    Ok(text(&object.parse()?, &users, with))
}

/// Returns whether a pod uses a claim: by its name, or as the claim of one of its ephemeral volumes.
fn uses(pod: &Pod, claim: &str) -> bool {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let pod = pod.metadata.name.as_deref().unwrap_or_default();
    let mut names = volumes.filter_map(|volume| match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(source), _) => Some(source.claim_name.clone()),
        (None, Some(_)) => Some(format!("{pod}-{}", volume.name)),
        (None, None) => None,
    });
    names.any(|name| name == claim)
}

fn text(claim: &PersistentVolumeClaim, users: &[String], with: &Surroundings<'_>) -> String {
    let spec = claim.spec.clone().unwrap_or_default();
    let status = claim.status.clone().unwrap_or_default();
    let mut out = Columns::default();
    name(&mut out, &claim.metadata);
    out.line(0, ["StorageClass:", spec.storage_class_name.as_deref().unwrap_or_default()]);
    out.line(0, ["Status:", status.phase.as_deref().unwrap_or_default()]);
    out.line(0, ["Volume:", spec.volume_name.as_deref().unwrap_or_default()]);
    labels_and_annotations(&mut out, &claim.metadata);
    let finalizers = claim.metadata.finalizers.clone().unwrap_or_default();
    out.line(0, ["Finalizers:", &format!("[{}]", finalizers.join(" "))]);
    let capacity = status.capacity.as_ref().and_then(|capacity| capacity.get("storage"));
    out.line(0, ["Capacity:", capacity.map(|capacity| capacity.0.as_str()).unwrap_or_default()]);
    out.line(0, ["Access Modes:", &access_modes(status.access_modes.as_deref())]);
    if let Some(mode) = &spec.volume_mode {
        out.line(0, ["VolumeMode:", mode]);
    }
    if let Some(source) = &spec.data_source {
        out.line(0, ["DataSource:"]);
        if let Some(group) = &source.api_group {
            out.line(1, ["APIGroup:", group]);
        }
        out.line(1, ["Kind:", &source.kind]);
        out.line(1, ["Name:", &source.name]);
    }
    out.multiline(0, "Used By:", users.iter().cloned());
    add_events(&mut out, Kind::PersistentVolumeClaim, &claim.metadata, with);
    out.render()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::describe::tests::with_surroundings;

    #[test]
    fn a_claim_is_described_with_the_pods_that_use_it() {
        let claim = json!({
            "metadata": {"name": "data", "namespace": "default"},
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "slow", "volumeName": "disk",
                "volumeMode": "Filesystem", "dataSource": {"kind": "PersistentVolumeClaim", "name": "old"}},
            "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}},
        });
        let claim = serde_json::from_value(claim).unwrap();
        let users = ["db".to_owned(), "web".to_owned()];
        with_surroundings(Some(Vec::new()), |with| insta::assert_snapshot!(text(&claim, &users, with)));
    }

    #[test]
    fn a_pod_uses_a_claim_that_it_names_or_owns() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web"},
            "spec": {"containers": [], "volumes": [
                {"name": "a", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "cache", "ephemeral": {}}, {"name": "b", "emptyDir": {}},
            ]},
        }))
        .unwrap();
        assert!(uses(&pod, "data") && uses(&pod, "web-cache"));
        assert!(!uses(&pod, "a") && !uses(&pod, "web-b"));
    }
}
