//! Creates an image from the archive of a root file system.

use std::io::Read;

use serde_json::json;

use super::manifests::{ConfigFile, Descriptor, Manifest, OCI_CONFIG, OCI_MANIFEST, RootFs};
use super::platforms::this_machine;
use super::{Error, Image, ImageStore, InvalidName, Reference};
use crate::plan::ImageConfig;
use crate::store;

impl ImageStore {
    /// Creates an image of one layer from a tar archive, plain or compressed with gzip or zstd, and gives the image a
    /// name. `source` is the archive's name for messages; `created` is RFC 3339.
    ///
    /// # Errors
    /// `Unpack` if the archive cannot be unpacked; then nothing is left of it.
    pub fn import(
        &self,
        archive: &mut dyn Read,
        source: &str,
        name: &Reference,
        config: ImageConfig,
        created: Option<String>,
    ) -> Result<Image, Error> {
        if name.digest().is_some() {
            let reason = "a new image cannot be given a digest; give it a tag";
            return Err(InvalidName { reference: name.to_string(), reason }.into());
        }
        let staging = self.stage()?;
        let layer = self
            .add_layer(&staging, archive, true, false, None, None)
            .map_err(|error| Error::Unpack { image: source.to_owned(), error })?;
        for note in &layer.notes {
            tracing::warn!("{source}: {note}");
        }
        let platform = this_machine();
        let config = ConfigFile {
            history: vec![json!({"created": created, "created_by": "kube image import", "comment": source})],
            created,
            architecture: platform.architecture,
            variant: platform.variant,
            os: platform.os,
            config: config.into(),
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![layer.diff_id.clone()] },
        };
        let layers =
            vec![Descriptor::new(layer.compression.media_type(), layer.blob.clone(), layer.blob_size)];
        self.record(&config, layers, &[name.to_string()])?;
        self.find_reference(name)?.ok_or_else(|| Error::Incomplete { image: name.to_string() })
    }

    /// Writes config and manifest of an image whose layers are in the store, and records the image.
    pub(super) fn record(
        &self,
        config: &ConfigFile,
        layers: Vec<Descriptor>,
        names: &[String],
    ) -> Result<(), Error> {
        let bytes = to_json(config)?;
        self.record_with_config(&bytes, layers, names)
    }

    /// Like [`ImageStore::record`], with the bytes of the config blob unchanged.
    pub(super) fn record_with_config(
        &self,
        config: &[u8],
        layers: Vec<Descriptor>,
        names: &[String],
    ) -> Result<(), Error> {
        let config = Descriptor::new(OCI_CONFIG, self.write_blob(config)?, config.len() as u64);
        let bytes = to_json(&Manifest::new(config, layers))?;
        let manifest = Descriptor::new(OCI_MANIFEST, self.write_blob(&bytes)?, bytes.len() as u64);
        if self.commit(&manifest, names, &[])? {
            Ok(())
        } else {
            Err(Error::Incomplete { image: names.join(", ") })
        }
    }
}

pub(super) fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value)
        .map_err(|source| Error::Store(store::Error::Damaged { path: "image".into(), source }))
}
