//! Removes images, and blobs and layers that no image needs.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use base::file::read_json;

use super::content::Staging;
use super::manifests::{Either, Index, REF_NAME};
use super::overlay::Lease;
use super::{Digest, Error, Image, ImageName, ImageStore};
use crate::store;

/// The result of a removal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names that were removed.
    pub untagged: Vec<String>,
    /// Ids of the images that were removed.
    pub deleted: Vec<String>,
    /// Bytes that were freed: blobs and files of layers.
    pub freed: u64,
}

/// What must be kept.
#[derive(Default)]
struct Needed {
    blobs: HashSet<Digest>,
    layers: HashSet<Digest>,
}

impl ImageStore {
    /// Removes a name from an image, and the image with its last name. `users` returns the users of an image for the
    /// message; an image that is in use, or from which a container's root is mounted, is kept. An id means the image's
    /// only name, or all its names with `force`.
    ///
    /// # Errors
    /// `NotHere`, `InUse`, `SeveralNames`.
    pub fn remove(
        &self,
        name: &ImageName,
        force: bool,
        users: &dyn Fn(&Image) -> Vec<String>,
    ) -> Result<Removed, Error> {
        let staging = self.stage()?;
        let _lock = self.lock()?;
        let image = self.find(name)?.ok_or_else(|| Error::NotHere { reference: name.to_string() })?;
        let own = name.reference().map(|reference| reference.stored_name());
        let leaving: Vec<String> = match own.filter(|n| image.names.contains(n)) {
            Some(own) => vec![own],
            None if image.names.len() > 1 && !force => {
                return Err(Error::SeveralNames { image: image.id, names: image.names });
            }
            None => image.names.clone(),
        };
        let mut using = users(&image);
        let leases = self.leases()?;
        if using.is_empty() {
            using = leases
                .iter()
                .filter(|l| l.image == image.id)
                .map(|l| l.scratch.display().to_string())
                .collect();
        }
        if !using.is_empty() {
            return Err(Error::InUse { image: name.to_string(), users: using });
        }
        let manifests: Vec<Digest> = self
            .images()?
            .into_iter()
            .find(|(other, _)| other.id == image.id)
            .map(|(_, manifests)| manifests)
            .unwrap_or_default();
        let last = image.names.iter().all(|n| leaving.contains(n));
        let mut index = self.index()?;
        let before = self.needed(&index, &leases)?;
        index.manifests.retain(|d| {
            let named = d.annotations.get(REF_NAME);
            !manifests.contains(&d.digest) || !(last || named.is_some_and(|n| leaving.contains(n)))
        });
        self.write_index(&index)?;
        base::fail_point!(Pull, "image-forgotten");
        let after = self.needed(&index, &leases)?;
        let mut removed = Removed { untagged: leaving, ..Removed::default() };
        if last {
            removed.deleted.push(image.id);
        }
        // Only what this image alone needed, because a concurrent pull may be adding content that no image refers to
        // yet.
        for blob in before.blobs.difference(&after.blobs) {
            removed.freed += self.remove_blob(blob)?;
        }
        for layer in before.layers.difference(&after.layers) {
            removed.freed += self.remove_layer(&staging, layer)?;
        }
        Ok(removed)
    }

    /// Removes images without a name, or with `all` every unused image, and all blobs and layers that belong to no
    /// image. A concurrent pull notices this and fetches again what it needs.
    ///
    /// # Errors
    /// If the store cannot be read or changed.
    pub fn prune(&self, all: bool, users: &dyn Fn(&Image) -> Vec<String>) -> Result<Removed, Error> {
        let staging = self.stage()?;
        let _lock = self.lock()?;
        let leases = self.leases()?;
        let mut removed = Removed::default();
        let mut kept: HashSet<Digest> = HashSet::new();
        for (image, manifests) in self.images()? {
            let used = leases.iter().any(|l| l.image == image.id) || !users(&image).is_empty();
            if used || !(all || image.names.is_empty()) {
                kept.extend(manifests);
            } else {
                removed.untagged.extend(image.names);
                removed.deleted.push(image.id);
            }
        }
        let mut index = self.index()?;
        let before = index.manifests.len();
        // Images with missing parts are removed as well, because they cannot be used.
        index.manifests.retain(|d| kept.contains(&d.digest));
        if index.manifests.len() != before {
            self.write_index(&index)?;
        }
        let needed = self.needed(&index, &leases)?;
        for blob in self.digests_in("blobs/sha256")? {
            if !needed.blobs.contains(&blob) {
                removed.freed += self.remove_blob(&blob)?;
            }
        }
        for layer in self.digests_in("layers")? {
            if !needed.layers.contains(&layer) {
                removed.freed += self.remove_layer(&staging, &layer)?;
            }
        }
        Ok(removed)
    }

    fn needed(&self, index: &Index, leases: &[Lease]) -> Result<Needed, Error> {
        let mut needed = Needed::default();
        for descriptor in &index.manifests {
            if !needed.blobs.insert(descriptor.digest.clone()) {
                continue;
            }
            let Some(bytes) = self.read_blob(&descriptor.digest)? else { continue };
            let Ok(Either::Manifest(manifest)) = Either::parse(&bytes) else { continue };
            needed.blobs.extend(manifest.layers.into_iter().map(|l| l.digest));
            needed.blobs.insert(manifest.config.digest);
            if let Some((_, config)) = self.parse_image(&descriptor.digest)? {
                needed.layers.extend(config.rootfs.diff_ids);
            }
        }
        needed.layers.extend(leases.iter().flat_map(|l| &l.layers).filter_map(|l| Digest::parse(l).ok()));
        Ok(needed)
    }

    /// Returns the leases in force and removes those whose container is gone.
    fn leases(&self) -> Result<Vec<Lease>, Error> {
        let dir = self.dir().join("leases");
        let mut leases = Vec::new();
        let io = |e| Error::Store(store::Error::io("read", &dir)(e));
        for entry in fs::read_dir(&dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            match read_json::<Lease>(&path) {
                Ok(Some(lease)) if lease.scratch.exists() => leases.push(lease),
                // A lease that a power cut truncated belongs to a container that is gone.
                Ok(_) | Err(base::file::Error::Damaged { .. }) => base::file::remove_file_if_exists(&path)?,
                // A lease that cannot be read may be in force.
                Err(error) => return Err(error.into()),
            }
        }
        Ok(leases)
    }

    fn digests_in(&self, folder: &str) -> Result<Vec<Digest>, Error> {
        let dir: PathBuf = self.dir().join(folder);
        let io = |e| Error::Store(store::Error::io("read", &dir)(e));
        let mut found = Vec::new();
        for entry in fs::read_dir(&dir).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            found.extend(Digest::parse(&format!("sha256:{}", name.to_string_lossy())).ok());
        }
        Ok(found)
    }

    fn remove_blob(&self, digest: &Digest) -> Result<u64, Error> {
        let path = self.blob_path(digest);
        let size = fs::metadata(&path).map_or(0, |m| m.len());
        base::file::remove_file_if_exists(&path)?;
        Ok(size)
    }

    /// Removes a layer by one rename; what a crash leaves half removed is in `tmp`.
    fn remove_layer(&self, staging: &Staging, diff_id: &Digest) -> Result<u64, Error> {
        let path = self.layer_dir(diff_id);
        let size = self.layer_record(diff_id).ok().flatten().map_or(0, |r| r.size);
        let gone = staging.path("removed");
        match fs::rename(&path, &gone) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            other => other.map_err(|e| Error::Store(store::Error::io("remove", &path)(e)))?,
        }
        base::fail_point!(Pull, "layer-going");
        base::file::remove_dir_if_exists(&gone)?;
        Ok(size)
    }
}
