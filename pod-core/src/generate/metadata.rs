//! Shortens names, and removes labels of other controllers.

use serde_json::Value;

/// Labels that controllers give to their pods. Labels of another controller would be wrong, and a Job refuses them.
const GENERATED_LABELS: [&str; 10] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-name",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "pod-template-generation",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// Removes the labels that a controller gave to a pod.
pub(super) fn remove_generated_labels(labels: &mut Value) {
    if let Value::Object(labels) = labels {
        labels.retain(|key, _| !GENERATED_LABELS.contains(&key.as_str()));
    }
}

/// Returns the name cut to `max` characters. The result ends with a character that a name may end with.
pub(super) fn cut(name: &str, max: usize) -> String {
    let cut: String = name.chars().take(max).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}
