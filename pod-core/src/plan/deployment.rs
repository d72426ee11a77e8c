//! Deployment -> pod template.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::json;

use super::defaults;
use super::hash::{short_hash, stable_uid};

/// A generated name is its prefix, cut to this many characters, and five more (apiserver's name generator).
pub const MAX_GENERATED_PREFIX: usize = 58;

/// The label that tells the pods of one template from those of another.
pub const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// The pod of a Deployment's template, with defaults, named `<name>-<pod-template-hash>`, labelled with that
/// hash and owned by the ReplicaSet that a cluster would have in between. `prepare` settles what the hash has
/// to cover beyond the template as written (relative paths, the host's network).
pub fn template(deployment: &Deployment, namespace: &str, prepare: impl FnOnce(&mut PodSpec)) -> Pod {
    let name = deployment.metadata.name.clone().unwrap_or_default();
    let namespace = namespace.to_owned();
    let template = deployment.spec.template.clone();
    let given = template.metadata.unwrap_or_default();
    let mut spec = template.spec.unwrap_or_default();
    prepare(&mut spec);
    defaults::pod_spec(&mut spec);

    let hash = short_hash(&json!({"labels": given.labels, "annotations": given.annotations, "spec": spec}));
    let mut labels = given.labels.unwrap_or_default();
    labels.insert(TEMPLATE_HASH_LABEL.to_owned(), hash.clone());
    let replica_set = format!("{name}-{hash}");
    let owner = OwnerReference {
        api_version: "apps/v1".to_owned(),
        kind: "ReplicaSet".to_owned(),
        name: replica_set.clone(),
        uid: stable_uid(&json!(["ReplicaSet", namespace, replica_set])),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    Pod {
        metadata: ObjectMeta {
            name: Some(replica_set),
            namespace: Some(namespace),
            labels: Some(labels),
            annotations: given.annotations,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}
