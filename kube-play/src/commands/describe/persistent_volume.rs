//! A PersistentVolume, as `describePersistentVolume` of k8s.io/kubectl/pkg/describe prints it.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, PersistentVolume, PersistentVolumeSpec};
use pod_core::kind::Kind;
use pod_core::observe::objects::Object;

use super::{Surroundings, add_events, labels_and_annotations, name};
use crate::commands::get::persistent_volume::claim;
use crate::commands::get::table::access_modes;
use crate::output::columns::Columns;

/// Returns the description of a PersistentVolume.
///
/// # Errors
/// The object is of another kind.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    Ok(text(&object.parse()?, with))
}

fn text(volume: &PersistentVolume, with: &Surroundings<'_>) -> String {
    let spec = volume.spec.clone().unwrap_or_default();
    let status = volume.status.clone().unwrap_or_default();
    let mut out = Columns::default();
    name(&mut out, &volume.metadata);
    labels_and_annotations(&mut out, &volume.metadata);
    let finalizers = volume.metadata.finalizers.clone().unwrap_or_default();
    out.line(0, ["Finalizers:", &format!("[{}]", finalizers.join(" "))]);
    out.line(0, ["StorageClass:", spec.storage_class_name.as_deref().unwrap_or_default()]);
    out.line(0, ["Status:", status.phase.as_deref().unwrap_or_default()]);
    out.line(0, ["Claim:", &spec.claim_ref.as_ref().map(claim).unwrap_or_default()]);
    let policy = spec.persistent_volume_reclaim_policy.as_deref().unwrap_or_default();
    out.line(0, ["Reclaim Policy:", policy]);
    out.line(0, ["Access Modes:", &access_modes(spec.access_modes.as_deref())]);
    if let Some(mode) = &spec.volume_mode {
        out.line(0, ["VolumeMode:", mode]);
    }
    let capacity = spec.capacity.as_ref().and_then(|capacity| capacity.get("storage"));
    out.line(0, ["Capacity:", capacity.map_or("0", |capacity| &capacity.0)]);
    affinity(&mut out, &spec);
    out.line(0, ["Message:", status.message.as_deref().unwrap_or_default()]);
    out.line(0, ["Source:"]);
    source(&mut out, &spec);
    add_events(&mut out, Kind::PersistentVolume, &volume.metadata, with);
    out.render()
}

fn affinity(out: &mut Columns, spec: &PersistentVolumeSpec) {
    let Some(required) = spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref()) else {
        out.line(0, ["Node Affinity:", "<none>"]);
        return;
    };
    out.line(0, ["Node Affinity:"]);
    out.line(1, ["Required Terms:"]);
    let requirement = |one: &NodeSelectorRequirement| match one.values.as_deref() {
        Some(values) if !values.is_empty() => {
            format!("{} {} [{}]", one.key, one.operator.to_lowercase(), values.join(", "))
        }
        _ => format!("{} {}", one.key, one.operator.to_lowercase()),
    };
    for (at, term) in required.node_selector_terms.iter().enumerate() {
        let all = term.match_expressions.iter().flatten().map(requirement);
        out.multiline(2, &format!("Term {at}:"), all);
    }
}

fn source(out: &mut Columns, spec: &PersistentVolumeSpec) {
    if let Some(source) = &spec.host_path {
        out.line(2, ["Type:", "HostPath (bare host directory volume)"]);
        out.line(2, ["Path:", &source.path]);
        out.line(2, ["HostPathType:", source.type_.as_deref().unwrap_or_default()]);
    } else if let Some(source) = &spec.nfs {
        out.line(2, ["Type:", "NFS (an NFS mount that lasts the lifetime of a pod)"]);
        out.line(2, ["Server:", &source.server]);
        out.line(2, ["Path:", &source.path]);
        out.line(2, ["ReadOnly:", &source.read_only.unwrap_or_default().to_string()]);
    } else if let Some(source) = &spec.local {
        let what = "LocalVolume (a persistent volume backed by local storage on a node)";
        out.line(2, ["Type:", what]);
        out.line(2, ["Path:", &source.path]);
    } else {
        out.line(1, ["<unknown>"]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::describe::tests::with_surroundings;

    #[test]
    fn a_persistent_volume_is_described_with_its_source() {
        let terms = json!([{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": ["box", "other"]}]}]);
        let volume = json!({
            "metadata": {"name": "disk", "labels": {"tier": "fast"}},
            "spec": {"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
                "persistentVolumeReclaimPolicy": "Retain", "local": {"path": "/srv/disk"},
                "claimRef": {"namespace": "default", "name": "data"}, "volumeMode": "Filesystem",
                "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}},
            "status": {"phase": "Bound"},
        });
        let volume = serde_json::from_value(volume).unwrap();
        with_surroundings(Some(Vec::new()), |with| insta::assert_snapshot!(text(&volume, with)));
    }
}
