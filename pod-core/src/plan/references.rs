//! The ConfigMaps and Secrets that a pod refers to, and which of them are missing.

use k8s_openapi::api::core::v1::{Container, KeyToPath, Volume};

use super::PodPlan;
use crate::kind::Kind;
use crate::store::Objects;

/// A reference to a ConfigMap or a Secret, or to keys of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference<'a> {
    /// ConfigMap or Secret.
    pub kind: Kind,
    /// metadata.name of the object.
    pub name: &'a str,
    /// The keys that the object must have.
    pub keys: Vec<&'a str>,
    /// True if object and keys may be missing.
    pub optional: bool,
}

impl<'a> Reference<'a> {
    fn new(kind: Kind, name: &'a str, keys: Vec<&'a str>, optional: Option<bool>) -> Self {
        Self { kind, name, keys, optional: optional == Some(true) }
    }

    /// Returns what is missing of it in a namespace: nothing, the object, or keys.
    fn missing(&self, namespace: &str, objects: &Objects) -> Vec<String> {
        if self.optional || self.name.is_empty() {
            return Vec::new();
        }
        let id = (namespace.to_owned(), self.name.to_owned());
        let has: Box<dyn Fn(&str) -> bool> = if self.kind == Kind::Secret {
            match objects.secrets.get(&id) {
                Some(secret) => {
                    Box::new(|key| secret.data.as_ref().is_some_and(|data| data.contains_key(key)))
                }
                None => return vec![format!("secret {:?} not found", self.name)],
            }
        } else {
            match objects.config_maps.get(&id) {
                Some(map) => Box::new(|key| {
                    map.data.as_ref().is_some_and(|data| data.contains_key(key))
                        || map.binary_data.as_ref().is_some_and(|data| data.contains_key(key))
                }),
                None => return vec![format!("configmap {:?} not found", self.name)],
            }
        };
        let kind = if self.kind == Kind::Secret { "secret" } else { "configmap" };
        let absent = self.keys.iter().filter(|key| !has(key));
        absent.map(|key| format!("{kind} {:?} has no key {key:?}", self.name)).collect()
    }
}

fn keys(items: Option<&Vec<KeyToPath>>) -> Vec<&str> {
    items.into_iter().flatten().map(|item| item.key.as_str()).collect()
}

/// Returns the references of a volume.
pub fn of_volume(volume: &Volume) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    if let Some(source) = &volume.config_map {
        found.push(Reference::new(
            Kind::ConfigMap,
            &source.name,
            keys(source.items.as_ref()),
            source.optional,
        ));
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        found.push(Reference::new(Kind::Secret, name, keys(source.items.as_ref()), source.optional));
    }
    for source in volume.projected.iter().flat_map(|source| source.sources.iter().flatten()) {
        if let Some(source) = &source.config_map {
            found.push(Reference::new(
                Kind::ConfigMap,
                &source.name,
                keys(source.items.as_ref()),
                source.optional,
            ));
        }
        if let Some(source) = &source.secret {
            found.push(Reference::new(
                Kind::Secret,
                &source.name,
                keys(source.items.as_ref()),
                source.optional,
            ));
        }
    }
    found
}

/// Returns the references of a container's environment.
fn of_environment(container: &Container) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    for source in container.env_from.iter().flatten() {
        if let Some(source) = &source.config_map_ref {
            found.push(Reference::new(Kind::ConfigMap, &source.name, Vec::new(), source.optional));
        }
        if let Some(source) = &source.secret_ref {
            found.push(Reference::new(Kind::Secret, &source.name, Vec::new(), source.optional));
        }
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        if let Some(source) = &source.config_map_key_ref {
            let keys = vec![source.key.as_str()];
            found.push(Reference::new(Kind::ConfigMap, &source.name, keys, source.optional));
        }
        if let Some(source) = &source.secret_key_ref {
            let keys = vec![source.key.as_str()];
            found.push(Reference::new(Kind::Secret, &source.name, keys, source.optional));
        }
    }
    found
}

/// Returns everything that a pod refers to and that does not exist, each with the place that refers to it.
pub fn missing(pod: &PodPlan, objects: &Objects) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut add = |place: String, references: Vec<Reference<'_>>| {
        for reference in references {
            for problem in reference.missing(pod.namespace(), objects) {
                let told = format!("{place}: {problem}");
                if !found.contains(&told) {
                    found.push(told);
                }
            }
        }
    };
    let Some(spec) = &pod.pod.spec else { return Vec::new() };
    for volume in spec.volumes.iter().flatten() {
        add(format!("volume {}", volume.name), of_volume(volume));
    }
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        add(format!("container {}", container.name), of_environment(container));
    }
    found
}
