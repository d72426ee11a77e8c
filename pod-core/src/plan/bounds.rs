//! Limits of what a manifest may request. They are needed because a few bytes of a manifest can describe very many
//! pods or very long text.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::ContainerError;
use super::expansion::expanded_length;

/// The maximum number of pods of one workload.
pub const MAX_REPLICAS: u32 = 1_000;
/// The maximum number of pods of all manifests of one `kube play` together.
pub const MAX_PODS: u64 = 10_000;
/// The maximum length of the manifests of all pods of one workload together, in bytes. All of them are written to the
/// workload's record.
pub const MAX_RECORDED: usize = 64 << 20;
/// The maximum length of one argument, or of one variable including its name, in bytes: `MAX_ARG_STRLEN` of execve(2)
/// minus the NUL at the end.
pub const MAX_STRING: usize = (128 << 10) - 1;
/// The maximum length of arguments and environment together, in bytes: a quarter of the usual stack of 8 MiB
/// (execve(2)).
pub const MAX_STRINGS: usize = 2 << 20;

/// Returns how many bytes of [`MAX_STRINGS`] a string of this length takes: the string, a NUL, and a pointer to the
/// string.
pub(super) fn taken(length: usize) -> usize {
    length.saturating_add(1 + size_of::<usize>())
}

/// Returns an error if a string is longer than the kernel accepts.
pub(super) fn check_string(what: &str, length: usize) -> Result<(), ContainerError> {
    if length <= MAX_STRING {
        return Ok(());
    }
    Err(ContainerError::config(format!("{what} is too long: {}", too_long(length))))
}

/// Returns an error if arguments and environment are longer than the kernel accepts.
pub(super) fn check_strings(total: usize) -> Result<(), ContainerError> {
    if total <= MAX_STRINGS { Ok(()) } else { Err(ContainerError::config(too_many())) }
}

fn too_long(length: usize) -> String {
    format!(
        "{length} bytes after expanding its references, but Linux accepts at most {MAX_STRING} per string"
    )
}

fn too_many() -> String {
    format!("arguments and environment have more than {} MiB together", MAX_STRINGS >> 20)
}

/// Finds arguments and variables of a pod that are longer than the kernel accepts, as far as the manifest alone shows.
/// Returns the path of each field and a message. Lengths are computed without expanding references.
pub(super) fn strings(path: &str, spec: &PodSpec) -> Vec<(String, String)> {
    let init = spec.init_containers.iter().flatten().enumerate().map(|found| ("initContainers", found));
    let containers = spec.containers.iter().enumerate().map(|found| ("containers", found));
    init.chain(containers)
        .filter_map(|(list, (index, container))| of_container(&format!("{path}.{list}[{index}]"), container))
        .collect()
}

/// Returns the first string of a container that is too long.
fn of_container(path: &str, container: &Container) -> Option<(String, String)> {
    let mut lengths: HashMap<&str, usize> = HashMap::new();
    // Variables from ConfigMaps and Secrets have an unknown length and count as empty here.
    let others = container.env_from.as_ref().is_some_and(|sources| !sources.is_empty());
    let known = |lengths: &HashMap<&str, usize>, name: &str| {
        lengths.get(name).copied().or_else(|| others.then_some(0))
    };
    let mut total = 0;
    for (index, variable) in container.env.iter().flatten().enumerate() {
        let value = variable.value.as_deref().filter(|_| variable.value_from.is_none()).unwrap_or_default();
        let length = expanded_length(value, |name| known(&lengths, name));
        let whole = length.saturating_add(variable.name.len() + 1);
        let at = format!("{path}.env[{index}].value");
        if whole > MAX_STRING {
            return Some((at, too_long(whole)));
        }
        if let Some(before) = lengths.insert(&variable.name, length) {
            total -= taken(before + variable.name.len() + 1);
        }
        total += taken(whole);
        if total > MAX_STRINGS {
            return Some((at, too_many()));
        }
    }
    for (field, list) in [("command", &container.command), ("args", &container.args)] {
        for (index, text) in list.iter().flatten().enumerate() {
            let length = expanded_length(text, |name| known(&lengths, name));
            let at = format!("{path}.{field}[{index}]");
            if length > MAX_STRING {
                return Some((at, too_long(length)));
            }
            total += taken(length);
            if total > MAX_STRINGS {
                return Some((at, too_many()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(container: Value) -> Option<String> {
        let mut container = container;
        container["name"] = json!("c");
        let spec: PodSpec = serde_json::from_value(json!({"containers": [container]})).unwrap();
        strings("spec", &spec).into_iter().next().map(|(path, message)| format!("{path}: {message}"))
    }

    /// Expanding twelve variables with ten references each would need a terabyte.
    #[test]
    fn references_that_grow_by_powers_of_ten_are_found_without_being_expanded() {
        let mut env = vec![json!({"name": "V0", "value": "x"})];
        for i in 1..=12 {
            env.push(json!({"name": format!("V{i}"), "value": format!("$(V{})", i - 1).repeat(10)}));
        }
        let begin = std::time::Instant::now();
        let problem = found(json!({"env": env})).unwrap();
        assert!(problem.starts_with("spec.containers[0].env[6].value: 1000003 bytes"), "{problem}");
        let problem = found(json!({"env": env[..6], "args": ["$(V5)", "$(V5)$(V5)"]})).unwrap();
        assert!(problem.starts_with("spec.containers[0].args[1]: 200000 bytes"), "{problem}");
        assert!(begin.elapsed() < std::time::Duration::from_secs(5));
    }

    #[test]
    fn strings_are_accepted_up_to_the_limits_of_the_kernel() {
        let long = |length: usize| "x".repeat(length);
        assert_eq!(found(json!({"env": [{"name": "A", "value": long(MAX_STRING - 2)}]})), None);
        assert!(found(json!({"env": [{"name": "A", "value": long(MAX_STRING - 1)}]})).is_some());
        assert_eq!(found(json!({"args": [long(MAX_STRING)]})), None);
        assert!(found(json!({"command": [long(MAX_STRING + 1)]})).is_some());
        let many = |count: usize| json!({"args": vec![long(100_000); count]});
        assert_eq!(found(many(20)), None);
        assert!(found(many(21)).unwrap().starts_with("spec.containers[0].args[20]: "));
        // Only the last variable with a name counts, and variables of unknown length count as empty.
        let same = vec![json!({"name": "A", "value": long(100_000)}); 50];
        assert_eq!(found(json!({"env": same})), None);
        let refers = json!([{"name": "B", "value": "$(A)".repeat(30_000)}]);
        assert_eq!(found(json!({"envFrom": [{"configMapRef": {"name": "m"}}], "env": refers})), None);
    }
}
