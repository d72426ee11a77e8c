use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::file::{names_in, read_json, remove_dir_if_exists, remove_file_if_exists, write_json};
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

    /// Reads one object as it was played, if it exists.
    pub fn get(layout: &Layout, id: &ObjectRef) -> Result<Option<Value>, Error> {
        Self::read(&Self::path(layout, id))
    }

    /// Reads one object as its author gave it, without the values that were added to it; `None` if nothing was added.
    pub fn given(layout: &Layout, id: &ObjectRef) -> Result<Option<Value>, Error> {
        Ok(read_json::<Stored>(&Self::path(layout, id))?.and_then(|s| s.given))
    }

    /// Records an object in a file that only its owner may read.
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
        let stored = Stored { object: object.clone(), given: given.cloned() };
        Ok(write_json(&Self::path(layout, id), &stored)?)
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
