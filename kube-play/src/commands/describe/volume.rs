//! Volumes, as `describeVolumes` of k8s.io/kubectl/pkg/describe prints them.

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, ProjectedVolumeSource, Volume};

use crate::output::columns::Columns;

/// Adds the volumes of a pod.
pub fn describe(out: &mut Columns, volumes: &[Volume]) {
    if volumes.is_empty() {
        out.line(0, ["Volumes:", "<none>"]);
        return;
    }
    out.line(0, ["Volumes:"]);
    for volume in volumes {
        out.line(1, [&format!("{}:", volume.name)]);
        one(out, volume);
    }
}

fn one(out: &mut Columns, volume: &Volume) {
    let optional = |optional: Option<bool>| optional.unwrap_or_default().to_string();
    if let Some(source) = &volume.host_path {
        out.line(2, ["Type:", "HostPath (bare host directory volume)"]);
        out.line(2, ["Path:", &source.path]);
        out.line(2, ["HostPathType:", source.type_.as_deref().unwrap_or_default()]);
    } else if let Some(source) = &volume.empty_dir {
        out.line(2, ["Type:", "EmptyDir (a temporary directory that shares a pod's lifetime)"]);
        out.line(2, ["Medium:", source.medium.as_deref().unwrap_or_default()]);
        let limit = source.size_limit.as_ref().map_or("<unset>", |limit| &limit.0);
        out.line(2, ["SizeLimit:", limit]);
    } else if let Some(source) = &volume.secret {
        out.line(2, ["Type:", "Secret (a volume populated by a Secret)"]);
        out.line(2, ["SecretName:", source.secret_name.as_deref().unwrap_or_default()]);
        out.line(2, ["Optional:", &optional(source.optional)]);
    } else if let Some(source) = &volume.config_map {
        out.line(2, ["Type:", "ConfigMap (a volume populated by a ConfigMap)"]);
        out.line(2, ["Name:", &source.name]);
        out.line(2, ["Optional:", &optional(source.optional)]);
    } else if let Some(source) = &volume.persistent_volume_claim {
        let what = "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)";
        out.line(2, ["Type:", what]);
        out.line(2, ["ClaimName:", &source.claim_name]);
        out.line(2, ["ReadOnly:", &optional(source.read_only)]);
    } else if volume.ephemeral.is_some() {
        let what = "EphemeralVolume (an inline specification for a volume that gets created and deleted with the pod)";
        out.line(2, ["Type:", what]);
    } else if let Some(source) = &volume.nfs {
        out.line(2, ["Type:", "NFS (an NFS mount that lasts the lifetime of a pod)"]);
        out.line(2, ["Server:", &source.server]);
        out.line(2, ["Path:", &source.path]);
        out.line(2, ["ReadOnly:", &optional(source.read_only)]);
    } else if let Some(source) = &volume.downward_api {
        out.line(2, ["Type:", "DownwardAPI (a volume populated by information about the pod)"]);
        out.line(2, ["Items:"]);
        for item in source.items.iter().flatten() {
            out.line(3, [&downward(item)]);
        }
    } else if let Some(source) = &volume.projected {
        projected(out, source);
    } else if let Some(source) = &volume.image {
        out.line(2, ["Type:", "Image (a container image or OCI artifact)"]);
        out.line(2, ["Reference:", source.reference.as_deref().unwrap_or_default()]);
        out.line(2, ["PullPolicy:", source.pull_policy.as_deref().unwrap_or_default()]);
    } else {
        out.line(2, ["Type:", "<unknown>"]);
    }
}

/// `metadata.labels -> labels`
fn downward(item: &DownwardAPIVolumeFile) -> String {
    let source = match (&item.field_ref, &item.resource_field_ref) {
        (Some(field), _) => &field.field_path,
        (None, Some(resource)) => &resource.resource,
        (None, None) => return item.path.clone(),
    };
    format!("{source} -> {}", item.path)
}

fn projected(out: &mut Columns, projected: &ProjectedVolumeSource) {
    let what = "Projected (a volume that contains injected data from multiple sources)";
    out.line(2, ["Type:", what]);
    for source in projected.sources.iter().flatten() {
        if let Some(secret) = &source.secret {
            out.line(2, ["SecretName:", &secret.name]);
            out.line(2, ["SecretOptional:", &secret.optional.unwrap_or_default().to_string()]);
        } else if source.downward_api.is_some() {
            out.line(2, ["DownwardAPI:", "true"]);
        } else if let Some(map) = &source.config_map {
            out.line(2, ["ConfigMapName:", &map.name]);
            out.line(2, ["ConfigMapOptional:", &map.optional.unwrap_or_default().to_string()]);
        }
    }
}
