use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::file::{names_in, read_json, remove_dir_if_exists, remove_file_if_exists, write_json};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Secret, Service};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::{Kind, ObjectRef};

use super::layout::{file_name, is_cut};
use super::{Error, Layout, damage};

/// The recorded objects that pods use, by (namespace, name), and PersistentVolumes, by name.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// The ConfigMaps.
    pub config_maps: BTreeMap<(String, String), ConfigMap>,
    /// The Secrets. Their `stringData` is merged into `data`.
    pub secrets: BTreeMap<(String, String), Secret>,
    /// The claims.
    pub claims: BTreeMap<(String, String), PersistentVolumeClaim>,
    /// The PersistentVolumes.
    pub persistent_volumes: BTreeMap<String, PersistentVolume>,
    /// The Services that are in the environment of containers, if they were read ([`Objects::with_services`]).
    pub services: BTreeMap<(String, String), Service>,
}

/// An object in the form in which it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    object: Value,
    /// The object as it was given, if values have been added to `object`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given: Option<Value>,
    /// When the object was recorded for the first time. Files of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
}

/// An object with what an API server would add to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Kind, namespace and name.
    pub id: ObjectRef,
    /// The object as it was played.
    pub object: Value,
    /// metadata.creationTimestamp.
    pub created: Option<Timestamp>,
}

impl Objects {
    /// Returns the file of an object.
    pub fn path(layout: &Layout, id: &ObjectRef) -> PathBuf {
        let ObjectRef { kind, namespace, name } = id;
        layout.objects().join(kind.singular()).join(namespace).join(file_name(name, ".json"))
    }

    /// Returns namespace and name of every object of a kind, including objects that cannot be read.
    pub fn names(layout: &Layout, kind: Kind) -> Result<Vec<(String, String)>, Error> {
        let mut found = Vec::new();
        let top = layout.objects().join(kind.singular());
        // Objects in no namespace are files of that folder itself.
        let namespaces = if kind.is_namespaced() { names_in(&top)? } else { vec![String::new()] };
        for namespace in namespaces {
            let dir = top.join(&namespace);
            for file in names_in(&dir)? {
                let Some(name) = file.strip_suffix(".json") else { continue };
                // If the file name was cut, the complete name is read from the object.
                let stored = is_cut(name).then(|| damage::or_none(read_json::<Stored>(&dir.join(&file))));
                let own = stored.flatten().map(|stored| stored.object);
                let own = own.as_ref().and_then(|own| own.pointer("/metadata/name")?.as_str());
                found.push((namespace.clone(), own.unwrap_or(name).to_owned()));
            }
        }
        Ok(found)
    }

    /// Returns the files of all objects of a namespaced kind.
    pub fn files(layout: &Layout, kind: Kind) -> Result<Vec<PathBuf>, Error> {
        let top = layout.objects().join(kind.singular());
        let mut found = Vec::new();
        for namespace in names_in(&top)? {
            let dir = top.join(namespace);
            let files = names_in(&dir)?.into_iter().filter(|file| file.strip_suffix(".json").is_some());
            found.extend(files.map(|file| dir.join(file)));
        }
        Ok(found)
    }

    /// Reads the object in one of these files.
    pub fn read(path: &Path) -> Result<Option<Value>, Error> {
        Ok(read_json::<Stored>(path)?.map(|stored| stored.object))
    }

    /// Returns whether the object exists, even if it cannot be read.
    pub fn exists(layout: &Layout, id: &ObjectRef) -> bool {
        Self::path(layout, id).exists()
    }

    /// Reads all objects of a kind as they were played. Objects that cannot be read are logged and left out.
    pub fn list(layout: &Layout, kind: Kind) -> Result<BTreeMap<(String, String), Value>, Error> {
        let mut found = BTreeMap::new();
        for (namespace, name) in Self::names(layout, kind)? {
            if let Some(object) = damage::or_none(Self::get(layout, &ObjectRef::new(kind, &namespace, &name)))
            {
                found.insert((namespace, name), object);
            }
        }
        Ok(found)
    }

    /// Reads all objects of a kind with the times at which they were created, by namespace and name. Objects that cannot
    /// be read are logged and left out.
    pub fn recorded(layout: &Layout, kind: Kind) -> Result<Vec<Recorded>, Error> {
        let mut found = Vec::new();
        for (namespace, name) in Self::names(layout, kind)? {
            let id = ObjectRef::new(kind, &namespace, &name);
            let path = Self::path(layout, &id);
            if let Some(stored) = damage::or_none(read_json::<Stored>(&path)) {
                let created = stored.created.or_else(|| modified(&path));
                found.push(Recorded { id, object: stored.object, created });
            }
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    /// Reads one object as it was played, if it exists.
    pub fn get(layout: &Layout, id: &ObjectRef) -> Result<Option<Value>, Error> {
        Self::read(&Self::path(layout, id))
    }

    /// Reads one object as its author gave it, without the values that were added to it; `None` if nothing was added.
    pub fn given(layout: &Layout, id: &ObjectRef) -> Result<Option<Value>, Error> {
        Ok(read_json::<Stored>(&Self::path(layout, id))?.and_then(|s| s.given))
    }

    /// Records an object in a file that only its owner may read. An object that replaces another keeps the time at which
    /// that was created.
    pub fn put(layout: &Layout, id: &ObjectRef, object: &Value) -> Result<(), Error> {
        Self::put_with(layout, id, object, None)
    }

    /// Records an object to which values have been added, with the object as it was given.
    pub fn put_with(
        layout: &Layout,
        id: &ObjectRef,
        object: &Value,
        given: Option<&Value>,
    ) -> Result<(), Error> {
        let path = Self::path(layout, id);
        // A damaged object is replaced.
        let before = read_json::<Stored>(&path).ok().flatten();
        let before = before.and_then(|before| before.created.or_else(|| modified(&path)));
        let created = Some(before.unwrap_or_else(Timestamp::now));
        Ok(write_json(&path, &Stored { object: object.clone(), given: given.cloned(), created })?)
    }

    /// Removes an object.
    pub fn remove(layout: &Layout, id: &ObjectRef) -> Result<(), Error> {
        let path = Self::path(layout, id);
        Ok(if path.is_dir() { remove_dir_if_exists(&path) } else { remove_file_if_exists(&path) }?)
    }

    /// Adds or replaces one object in memory, as if it were recorded. An object that does not parse as its kind is
    /// ignored.
    pub fn overlay(&mut self, id: &ObjectRef, object: &Value) {
        let key = (id.namespace.clone(), id.name.clone());
        match id.kind {
            Kind::ConfigMap => {
                self.config_maps.extend(serde_json::from_value(object.clone()).map(|o| (key, o)));
            }
            Kind::Secret => self.secrets.extend(serde_json::from_value(object.clone()).map(|o| (key, o))),
            Kind::PersistentVolumeClaim => {
                self.claims.extend(serde_json::from_value(object.clone()).map(|o| (key, o)));
            }
            Kind::PersistentVolume => {
                self.persistent_volumes.extend(serde_json::from_value(object.clone()).map(|o| (key.1, o)));
            }
            Kind::Service => self.services.extend(serde_json::from_value(object.clone()).map(|o| (key, o))),
            _ => {}
        }
    }

    /// Reads the PersistentVolumes, by name. Those that cannot be read are logged and left out.
    pub fn persistent_volumes(layout: &Layout) -> Result<BTreeMap<String, PersistentVolume>, Error> {
        let all = typed(layout, Kind::PersistentVolume)?;
        Ok(all.into_iter().map(|((_, name), volume)| (name, volume)).collect())
    }

    /// Adds the Services of a namespace. Services that cannot be read are logged and left out.
    pub fn with_services(mut self, layout: &Layout, namespace: &str) -> Result<Self, Error> {
        let kind = Kind::Service;
        for file in names_in(&layout.objects().join(kind.singular()).join(namespace))? {
            let Some(name) = file.strip_suffix(".json") else { continue };
            let id = ObjectRef::new(kind, namespace, name);
            if let Some(object) = damage::or_none(Self::get(layout, &id)) {
                self.overlay(&id, &object);
            }
        }
        Ok(self)
    }

    /// Reads all objects but Services. Objects that cannot be read are logged and left out.
    pub fn load(layout: &Layout) -> Result<Self, Error> {
        Ok(Self {
            config_maps: typed(layout, Kind::ConfigMap)?,
            secrets: typed(layout, Kind::Secret)?,
            claims: typed(layout, Kind::PersistentVolumeClaim)?,
            persistent_volumes: Self::persistent_volumes(layout)?,
            services: BTreeMap::new(),
        })
    }
}

/// Returns when a file was written last.
fn modified(path: &Path) -> Option<Timestamp> {
    let modified = std::fs::metadata(path).and_then(|file| file.modified()).ok()?;
    Timestamp::try_from(modified).ok()
}

/// Reads all objects of a kind as their type. Objects that cannot be read are logged and left out.
fn typed<T: serde::de::DeserializeOwned>(
    layout: &Layout,
    kind: Kind,
) -> Result<BTreeMap<(String, String), T>, Error> {
    let read = |(key, value): ((String, String), Value)| {
        let path = Objects::path(layout, &ObjectRef::new(kind, &key.0, &key.1));
        let object = serde_json::from_value(value).map_err(|e| Error::damaged(&path, e));
        Some((key, damage::or_none(object.map(Some))?))
    };
    Ok(Objects::list(layout, kind)?.into_iter().filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_that_is_changed_keeps_the_time_at_which_it_was_created() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().join("root"), runroot: dir.path().join("run") };
        let id = ObjectRef::new(Kind::ConfigMap, "default", "c");
        let only = || Objects::recorded(&layout, Kind::ConfigMap).unwrap().remove(0);
        Objects::put(&layout, &id, &json!({"data": {"a": "1"}})).unwrap();
        let first = only();
        assert!(first.created.is_some());
        Objects::put(&layout, &id, &json!({"data": {"a": "2"}})).unwrap();
        assert_eq!(only(), Recorded { object: json!({"data": {"a": "2"}}), ..first });
        // A file of an earlier version was created when it was written last, as far as is known.
        std::fs::write(Objects::path(&layout, &id), r#"{"object": {"data": {}}}"#).unwrap();
        let old = only().created;
        assert!(old.is_some());
        Objects::put(&layout, &id, &json!({})).unwrap();
        assert_eq!(only().created, old);
    }
}
