//! Reads the recorded Services, Endpoints and EndpointSlices.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::{Deserialize, Serialize};

use crate::kind::Kind;
use crate::store::{Error, Layout, Objects, damage};

/// The kinds that Services consist of.
pub(super) const KINDS: [Kind; 3] = [Kind::Service, Kind::Endpoints, Kind::EndpointSlice];

/// The memo of all files.
pub(super) const OBJECTS_MEMO: &str = "objects.json";

/// The recorded objects, ordered by namespace and name.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    pub services: Vec<Service>,
    pub endpoints: Vec<Endpoints>,
    pub slices: Vec<EndpointSlice>,
}

/// One object in the memo.
#[derive(Serialize, Deserialize)]
enum Object {
    Service(Box<Service>),
    Endpoints(Box<Endpoints>),
    EndpointSlice(Box<EndpointSlice>),
}

impl Recorded {
    /// Reads all objects. Objects that cannot be read are logged and left out.
    pub fn load(layout: &Layout) -> Result<Self, Error> {
        let mut files: HashMap<String, (Kind, PathBuf)> = HashMap::new();
        let mut names = Vec::new();
        for kind in KINDS {
            for path in Objects::files(layout, kind)? {
                let name = path.to_string_lossy().into_owned();
                names.push(name.clone());
                files.insert(name, (kind, path));
            }
        }
        let kind_of = |path: &Path| files.get(path.to_string_lossy().as_ref()).map(|(kind, _)| *kind);
        let read = |path: &Path| -> Result<Option<Object>, Error> {
            Ok(damage::or_none(kind_of(path).map_or(Ok(None), |kind| read(kind, path))))
        };
        let memo = layout.services_run().join(OBJECTS_MEMO);
        let mut found = Self::default();
        for object in base::memo::read_through(names, |name| PathBuf::from(name), &memo, read)? {
            match object {
                Object::Service(service) => found.services.push(*service),
                Object::Endpoints(endpoints) => found.endpoints.push(*endpoints),
                Object::EndpointSlice(slice) => found.slices.push(*slice),
            }
        }
        found.services.sort_by(|a, b| key(&a.metadata).cmp(&key(&b.metadata)));
        Ok(found)
    }
}

fn key(
    metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
) -> (Option<&str>, Option<&str>) {
    (metadata.namespace.as_deref(), metadata.name.as_deref())
}

fn read(kind: Kind, path: &Path) -> Result<Option<Object>, Error> {
    let Some(value) = Objects::read(path)? else { return Ok(None) };
    let object = match kind {
        Kind::Service => serde_json::from_value(value).map(Object::Service),
        Kind::Endpoints => serde_json::from_value(value).map(Object::Endpoints),
        _ => serde_json::from_value(value).map(Object::EndpointSlice),
    };
    object.map(Some).map_err(|e| Error::damaged(path, e))
}
