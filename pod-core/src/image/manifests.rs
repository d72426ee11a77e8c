//! The JSON of the OCI image-spec (manifest.md, image-index.md, config.md) and of Docker's schema 2. It is read
//! leniently, because other programs write nulls and unknown fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::Digest;
use crate::plan::ImageConfig;

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Annotation with an image's full name in `index.json` (OCI image-spec, annotations.md).
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Annotation of this project: `name@sha256:...` as registries gave them, separated by commas.
pub(super) const REPO_DIGESTS: &str = "io.kube-play.repo-digests";

/// A descriptor: points to a blob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Set for layers that are stored elsewhere (Windows base layers).
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

impl Descriptor {
    pub(super) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: BTreeMap::new(),
            platform: None,
            urls: Vec::new(),
        }
    }
}

/// The machine that an image is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Platform {
    #[serde(deserialize_with = "or_default")]
    pub os: String,
    #[serde(deserialize_with = "or_default")]
    pub architecture: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

impl Manifest {
    /// Creates a manifest in the OCI format.
    pub(super) fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: OCI_MANIFEST.to_owned(), config, layers }
    }
}

/// An image index or manifest list; also `index.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    #[serde(deserialize_with = "or_default")]
    pub manifests: Vec<Descriptor>,
}

impl Default for Index {
    fn default() -> Self {
        Self { schema_version: 2, media_type: OCI_INDEX.to_owned(), manifests: Vec::new() }
    }
}

/// Why a blob is not a manifest. Each text continues a message that begins with the image's name.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    #[error("its manifest is no JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("its manifest has Docker's obsolete schema 1; push it again with a current tool")]
    Schema1,
    #[error("its manifest cannot be read: {0}")]
    Unreadable(serde_json::Error),
    #[error("its manifest is neither that of an image nor an index of images")]
    Neither,
}

/// The content of a blob that a tag leads to.
pub(super) enum Either {
    Manifest(Manifest),
    Index(Index),
}

impl Either {
    /// Distinguishes them by their content, because media types may be missing.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let value: Value = serde_json::from_slice(bytes).map_err(ManifestError::NotJson)?;
        if value.get("schemaVersion").and_then(Value::as_u64) == Some(1) {
            return Err(ManifestError::Schema1);
        }
        let bad = ManifestError::Unreadable;
        match (value.get("manifests"), value.get("layers")) {
            (Some(_), None) => serde_json::from_value(value).map(Self::Index).map_err(bad),
            (None, Some(_)) => serde_json::from_value(value).map(Self::Manifest).map_err(bad),
            _ => Err(ManifestError::Neither),
        }
    }
}

/// An image's config blob.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ConfigFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub architecture: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    #[serde(deserialize_with = "or_default")]
    pub os: String,
    #[serde(deserialize_with = "or_default")]
    pub config: ContainerConfig,
    #[serde(deserialize_with = "or_default")]
    pub rootfs: RootFs,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Value>,
}

/// `rootfs` of a config.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(deserialize_with = "or_default")]
    pub diff_ids: Vec<Digest>,
}

/// `config` of a config: the defaults for containers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct ContainerConfig {
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Value>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Value>,
}

impl From<ContainerConfig> for ImageConfig {
    fn from(config: ContainerConfig) -> Self {
        Self {
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            env: config.env,
            working_dir: config.working_dir,
            user: config.user,
            stop_signal: Some(config.stop_signal).filter(|s| !s.is_empty()),
            exposed_ports: config.exposed_ports.into_keys().collect(),
            labels: config.labels,
            volumes: config.volumes.into_keys().collect(),
        }
    }
}

impl From<ImageConfig> for ContainerConfig {
    fn from(config: ImageConfig) -> Self {
        let set = |keys: Vec<String>| {
            keys.into_iter().map(|k| (k, Value::Object(serde_json::Map::new()))).collect()
        };
        Self {
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            env: config.env,
            working_dir: config.working_dir,
            user: config.user,
            stop_signal: config.stop_signal.unwrap_or_default(),
            exposed_ports: set(config.exposed_ports),
            labels: config.labels,
            volumes: set(config.volumes),
        }
    }
}

/// Reads `null` as the default value.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
