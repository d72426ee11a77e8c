use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::layout::{file_name, is_cut};
use super::{Error, Layout, names_in, read_json, remove_file_if_exists, write_json};

/// The ConfigMaps, Secrets and claims of this machine, by (namespace, name).
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// Played ConfigMaps.
    pub config_maps: BTreeMap<(String, String), ConfigMap>,
    /// Played Secrets; `stringData` is merged into `data`.
    pub secrets: BTreeMap<(String, String), Secret>,
    /// Played claims.
    pub claims: BTreeMap<(String, String), PersistentVolumeClaim>,
}

/// An object as it lies in the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    object: Value,
}

impl Objects {
    fn path(layout: &Layout, kind: &str, namespace: &str, name: &str) -> PathBuf {
        layout.objects().join(kind.to_lowercase()).join(namespace).join(file_name(name, ".json"))
    }

    /// Reads one kind's objects as they were played.
    pub fn list(layout: &Layout, kind: &str) -> Result<BTreeMap<(String, String), Value>, Error> {
        let mut found = BTreeMap::new();
        let top = layout.objects().join(kind.to_lowercase());
        for namespace in names_in(&top)? {
            let dir = top.join(&namespace);
            for file in names_in(&dir)? {
                let Some(name) = file.strip_suffix(".json") else { continue };
                let Some(stored) = read_json::<Stored>(&dir.join(&file))? else { continue };
                // Of a name that was cut, the object has all.
                let own = stored.object.pointer("/metadata/name").and_then(Value::as_str);
                let name = own.filter(|_| is_cut(name)).unwrap_or(name).to_owned();
                found.insert((namespace.clone(), name), stored.object);
            }
        }
        Ok(found)
    }

    /// Reads one object as it was played.
    pub fn get(layout: &Layout, kind: &str, namespace: &str, name: &str) -> Result<Option<Value>, Error> {
        Ok(read_json::<Stored>(&Self::path(layout, kind, namespace, name))?.map(|s| s.object))
    }

    /// Records an object; only its owner may read it.
    pub fn put(
        layout: &Layout,
        kind: &str,
        namespace: &str,
        name: &str,
        object: &Value,
    ) -> Result<(), Error> {
        write_json(&Self::path(layout, kind, namespace, name), &Stored { object: object.clone() })
    }

    /// Forgets an object.
    pub fn remove(layout: &Layout, kind: &str, namespace: &str, name: &str) -> Result<(), Error> {
        remove_file_if_exists(&Self::path(layout, kind, namespace, name))
    }

    /// Puts one object over what is here, as if it were recorded. What is not of its kind is left out.
    pub fn overlay(&mut self, kind: &str, namespace: &str, name: &str, object: &Value) {
        let key = (namespace.to_owned(), name.to_owned());
        match kind {
            "ConfigMap" => self.config_maps.extend(serde_json::from_value(object.clone()).map(|o| (key, o))),
            "Secret" => self.secrets.extend(serde_json::from_value(object.clone()).map(|o| (key, o))),
            "PersistentVolumeClaim" => {
                self.claims.extend(serde_json::from_value(object.clone()).map(|o| (key, o)));
            }
            _ => {}
        }
    }

    /// Reads all of them.
    pub fn load(layout: &Layout) -> Result<Self, Error> {
        fn typed<T: serde::de::DeserializeOwned>(
            layout: &Layout,
            kind: &str,
        ) -> Result<BTreeMap<(String, String), T>, Error> {
            Objects::list(layout, kind)?
                .into_iter()
                .map(|(key, value)| {
                    let path = Objects::path(layout, kind, &key.0, &key.1);
                    serde_json::from_value(value)
                        .map(|object| (key, object))
                        .map_err(|source| Error::Damaged { path, source })
                })
                .collect()
        }
        Ok(Self {
            config_maps: typed(layout, "ConfigMap")?,
            secrets: typed(layout, "Secret")?,
            claims: typed(layout, "PersistentVolumeClaim")?,
        })
    }
}
