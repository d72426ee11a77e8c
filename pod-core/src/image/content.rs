//! The content store: an OCI image layout, with unpacked layers next to it.
//!
//!     oci-layout, index.json, blobs/sha256/HEX     as OCI's image-layout.md has them
//!     layers/HEX/{diff,layer.json}                 an unpacked layer, by diff id
//!     leases/HEX                                   which layers a container's root uses
//!     tmp/PID-N/                                   what a process is about to add; locked while it lives
//!     lock                                         held for every change of index.json and every removal
//!
//! Blobs are kept compressed as they were received, although running a container does not need them, because `save`
//! then writes bit for bit what was pulled, under the digests that a registry knows, and pulling another tag of an
//! image fetches only what is new. They cost about 40% of the unpacked size.
//!
//! Blobs and layers appear by rename, complete and synced, and are immutable from then on. A killed process leaves
//! behind either files in `tmp`, which the next open removes, or a complete blob or layer without an image, which the
//! next pull reuses and `prune` removes.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::file::{FileLock, LockKind, read_json, remove_dir_if_exists, write_atomic};

use super::layer::{Destination, Ingested, LayerRecord, ingest};
use super::manifests::{ConfigFile, Descriptor, Either, Index, Manifest, REF_NAME, REPO_DIGESTS};
use super::unpack::Limits;
use super::{Digest, Error, Image, ImageStore, TimeLimits};
use crate::store;

/// Largest manifest or config that is read into memory: the distribution project's limit for manifests.
pub(super) const MAX_JSON: u64 = 4 << 20;
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A directory in `tmp` for what is about to be added; removed when dropped, or by the next open after a crash.
pub(super) struct Staging {
    dir: PathBuf,
    _lock: FileLock,
}

impl Staging {
    /// Returns a new path in the directory.
    pub(super) fn path(&self, kind: &str) -> PathBuf {
        self.dir.join(format!("{kind}-{}", COUNTER.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = remove_dir_if_exists(&self.dir) {
            tracing::warn!("{error}");
        }
    }
}

fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
    let make = store::Error::io(action, path);
    move |source| Error::Store(make(source))
}

fn make_dir(path: &Path, mode: u32) -> Result<(), Error> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(io("create", path))
}

impl ImageStore {
    /// Opens the store, creates it if it is missing, and removes what killed processes left in it.
    ///
    /// # Errors
    /// If the store's folder cannot be created or is not a store of this version.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let store = Self {
            dir: dir.to_owned(),
            limits: Limits::default(),
            retry_wait: Duration::from_millis(500),
            times: TimeLimits::default(),
        };
        if !dir.join("oci-layout").exists() {
            // Not readable by others: images contain setuid files.
            make_dir(dir, 0o700)?;
            let _lock = store.lock()?;
            for name in ["blobs/sha256", "layers", "leases", "tmp"] {
                make_dir(&dir.join(name), 0o700)?;
            }
            if !dir.join("index.json").exists() {
                store.write_index(&Index::default())?;
            }
            write_atomic(&dir.join("oci-layout"), b"{\"imageLayoutVersion\":\"1.0.0\"}\n", 0o644)?;
        }
        store.clean()?;
        Ok(store)
    }

    pub(super) fn lock(&self) -> Result<FileLock, Error> {
        Ok(FileLock::acquire(&self.dir.join("lock"), LockKind::Exclusive)?)
    }

    /// Removes what killed processes left in `tmp`.
    fn clean(&self) -> Result<(), Error> {
        let tmp = self.dir.join("tmp");
        let entries = || fs::read_dir(&tmp).map_err(io("read", &tmp));
        if entries()?.next().is_none() {
            return Ok(());
        }
        // A staging directory is created and locked while this lock is held, so one that can be locked here has lost
        // its owner.
        let _lock = self.lock()?;
        for entry in entries()? {
            let path = entry.map_err(io("read", &tmp))?.path();
            let alive = match FileLock::try_acquire(&path.join("lock"), LockKind::Exclusive) {
                Ok(lock) => lock.is_none(),
                // The owner removed it in the meantime.
                Err(_) => !path.exists(),
            };
            if !alive {
                remove_dir_if_exists(&path)?;
            }
        }
        Ok(())
    }

    pub(super) fn stage(&self) -> Result<Staging, Error> {
        let _lock = self.lock()?;
        let n = COUNTER.fetch_add(1, Ordering::Relaxed);
        let dir = self.dir.join("tmp").join(format!("{}-{n}", std::process::id()));
        make_dir(&dir, 0o700)?;
        let lock = FileLock::acquire(&dir.join("lock"), LockKind::Exclusive)?;
        base::fail_point!(Pull, "image-staged");
        Ok(Staging { dir, _lock: lock })
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    pub(super) fn layer_dir(&self, diff_id: &Digest) -> PathBuf {
        self.dir.join("layers").join(diff_id.hex())
    }

    pub(super) fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).exists()
    }

    pub(super) fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layer_dir(diff_id).join("layer.json").exists()
    }

    pub(super) fn layer_record(&self, diff_id: &Digest) -> Result<Option<LayerRecord>, Error> {
        Ok(read_json(&self.layer_dir(diff_id).join("layer.json"))?)
    }

    /// Reads a small blob and verifies it; `None` if it is not in the store.
    pub(super) fn read_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let path = self.blob_path(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io("open", path)(e)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_JSON + 1).read_to_end(&mut bytes).map_err(io("read", &path))?;
        // A damaged blob is treated as missing: the next pull writes it anew.
        Ok(Some(bytes).filter(|b| Digest::of(b) == *digest))
    }

    /// Adds a small blob.
    pub(super) fn write_blob(&self, bytes: &[u8]) -> Result<Digest, Error> {
        let digest = Digest::of(bytes);
        write_atomic(&self.blob_path(&digest), bytes, 0o644)?;
        Ok(digest)
    }

    /// Adds a layer: its blob, and its unpacked files unless they are in the store already. Nothing appears in the
    /// store unless blob and archive match their expected digests.
    pub(super) fn add_layer(
        &self,
        staging: &Staging,
        source: &mut dyn Read,
        keep_blob: bool,
        unpacked: bool,
        expected: Option<&Digest>,
        diff_id: Option<&Digest>,
    ) -> Result<Ingested, super::UnpackError> {
        let blob = keep_blob.then(|| staging.path("blob"));
        let layer = (!unpacked).then(|| staging.path("layer"));
        let destination = Destination { blob: blob.as_deref(), layer: layer.as_deref(), expected };
        let ingested = match ingest(source, &destination, &self.limits)
            .and_then(|got| got.check(expected, diff_id).map(|()| got))
        {
            Ok(ingested) => ingested,
            Err(error) => {
                // Removed now and not at the end of the pull, because it may be large. If this fails, the end of the
                // pull removes it.
                if let Some(layer) = &layer {
                    let _ = remove_dir_if_exists(layer);
                }
                return Err(error);
            }
        };
        if let Some(blob) = blob {
            publish(&blob, &self.blob_path(&ingested.blob))?;
            base::fail_point!(Pull, "blob-published");
        }
        if let Some(layer) = layer {
            base::fail_point!(Pull, "layer-unpacked");
            remove_dir_if_exists(&layer.join("trash"))?;
            let record = serde_json::to_vec(&ingested.record).map_err(std::io::Error::from)?;
            fs::write(layer.join("layer.json"), record)?;
            // One syncfs(2) call instead of an fsync for each of the thousands of files of a layer.
            rustix::fs::syncfs(File::open(&layer)?).map_err(std::io::Error::from)?;
            publish(&layer, &self.layer_dir(&ingested.diff_id))?;
            base::fail_point!(Pull, "layer-published");
        }
        Ok(ingested)
    }

    pub(super) fn index(&self) -> Result<Index, Error> {
        Ok(read_json(&self.dir.join("index.json"))?.unwrap_or_default())
    }

    pub(super) fn write_index(&self, index: &Index) -> Result<(), Error> {
        let path = self.dir.join("index.json");
        let bytes = serde_json::to_vec_pretty(index)
            .map_err(|source| store::Error::Damaged { path: path.clone(), source })?;
        Ok(write_atomic(&path, &bytes, 0o644)?)
    }

    /// Records an image whose blobs and layers have been added. Returns false if a concurrent prune has removed some of
    /// them; the caller then adds them again.
    pub(super) fn commit(
        &self,
        manifest: &Descriptor,
        names: &[String],
        repo_digests: &[String],
    ) -> Result<bool, Error> {
        let _lock = self.lock()?;
        let Some((parsed, config)) = self.parse_image(&manifest.digest)? else { return Ok(false) };
        let complete = parsed.layers.iter().all(|l| self.has_blob(&l.digest))
            && config.rootfs.diff_ids.iter().all(|d| self.has_layer(d));
        if !complete {
            return Ok(false);
        }
        let mut index = self.index()?;
        let before = index.clone();
        add_to_index(&mut index, manifest, names, repo_digests);
        if index != before {
            self.write_index(&index)?;
            base::fail_point!(Pull, "image-recorded");
        }
        Ok(true)
    }

    /// Returns manifest and config of an image; `None` if one of them is not in the store.
    pub(super) fn parse_image(&self, digest: &Digest) -> Result<Option<(Manifest, ConfigFile)>, Error> {
        let Some(bytes) = self.read_blob(digest)? else { return Ok(None) };
        let Ok(Either::Manifest(manifest)) = Either::parse(&bytes) else { return Ok(None) };
        let Some(bytes) = self.read_blob(&manifest.config.digest)? else { return Ok(None) };
        let path = self.blob_path(&manifest.config.digest);
        let config =
            serde_json::from_slice(&bytes).map_err(|source| store::Error::Damaged { path, source })?;
        Ok(Some((manifest, config)))
    }

    /// Returns the image of one manifest, without names; `None` if parts of it are missing.
    fn load_image(&self, manifest: &Digest) -> Result<Option<Image>, Error> {
        let Some((parsed, config)) = self.parse_image(manifest)? else { return Ok(None) };
        let mut size = 0;
        for diff_id in &config.rootfs.diff_ids {
            let Some(record) = self.layer_record(diff_id)? else { return Ok(None) };
            size += record.size;
        }
        Ok(Some(Image {
            id: parsed.config.digest.to_string(),
            names: Vec::new(),
            repo_digests: Vec::new(),
            layers: config.rootfs.diff_ids.iter().map(Digest::to_string).collect(),
            config: config.config.into(),
            size,
            created: config.created,
            architecture: config.architecture,
        }))
    }

    /// Returns all images, sorted by name, each with the manifests that it is recorded under. An image with missing
    /// parts is left out: a pull repairs it.
    pub(super) fn images(&self) -> Result<Vec<(Image, Vec<Digest>)>, Error> {
        let mut by_id: BTreeMap<String, (Image, Vec<Digest>)> = BTreeMap::new();
        let mut loaded: BTreeMap<Digest, Option<String>> = BTreeMap::new();
        for descriptor in self.index()?.manifests {
            let id = match loaded.get(&descriptor.digest) {
                Some(id) => id.clone(),
                None => {
                    let image = self.load_image(&descriptor.digest)?;
                    if image.is_none() {
                        tracing::warn!(
                            "image {} is incomplete in the store; pull it again",
                            descriptor.digest
                        );
                    }
                    let id = image.as_ref().map(|i| i.id.clone());
                    if let Some(image) = image {
                        by_id
                            .entry(image.id.clone())
                            .or_insert((image, Vec::new()))
                            .1
                            .push(descriptor.digest.clone());
                    }
                    loaded.insert(descriptor.digest.clone(), id.clone());
                    id
                }
            };
            let Some((image, _)) = id.and_then(|id| by_id.get_mut(&id)) else { continue };
            image.names.extend(descriptor.annotations.get(REF_NAME).cloned());
            image.repo_digests.extend(repo_digests(&descriptor));
        }
        let mut images: Vec<_> = by_id.into_values().collect();
        for (image, _) in &mut images {
            image.names.sort();
            image.names.dedup();
            image.repo_digests.sort();
            image.repo_digests.dedup();
        }
        images.sort_by(|(a, _), (b, _)| {
            (a.names.is_empty(), &a.names, &a.id).cmp(&(b.names.is_empty(), &b.names, &b.id))
        });
        Ok(images)
    }
}

fn repo_digests(descriptor: &Descriptor) -> impl Iterator<Item = String> + '_ {
    let listed = descriptor.annotations.get(REPO_DIGESTS).map(String::as_str).unwrap_or_default();
    listed.split(',').filter(|d| !d.is_empty()).map(str::to_owned)
}

/// Gives names to a manifest and takes them from the manifests that had them. A manifest that loses its last name stays
/// recorded without one, because containers may run from it.
fn add_to_index(index: &mut Index, manifest: &Descriptor, names: &[String], repo_digests_new: &[String]) {
    let is_taken = |d: &Descriptor| d.annotations.get(REF_NAME).is_some_and(|n| names.contains(n));
    let mut digests: Vec<String> =
        index.manifests.iter().filter(|d| d.digest == manifest.digest).flat_map(repo_digests).collect();
    digests.extend_from_slice(repo_digests_new);
    digests.sort();
    digests.dedup();

    let lost: Vec<Descriptor> =
        index.manifests.iter().filter(|d| is_taken(d) && d.digest != manifest.digest).cloned().collect();
    index.manifests.retain(|d| !is_taken(d));
    for mut descriptor in lost {
        if !index.manifests.iter().any(|d| d.digest == descriptor.digest) {
            descriptor.annotations.remove(REF_NAME);
            index.manifests.push(descriptor);
        }
    }
    let named = |name: Option<&String>| {
        let mut descriptor = manifest.clone();
        descriptor.annotations.clear();
        descriptor.annotations.extend(name.map(|n| (REF_NAME.to_owned(), n.clone())));
        descriptor
    };
    index.manifests.extend(names.iter().map(|n| named(Some(n))));
    let is_named = |d: &Descriptor| d.digest == manifest.digest && d.annotations.contains_key(REF_NAME);
    if index.manifests.iter().any(is_named) {
        index.manifests.retain(|d| d.digest != manifest.digest || d.annotations.contains_key(REF_NAME));
    } else if !index.manifests.iter().any(|d| d.digest == manifest.digest) {
        index.manifests.push(named(None));
    }
    if !digests.is_empty() {
        for descriptor in index.manifests.iter_mut().filter(|d| d.digest == manifest.digest) {
            descriptor.annotations.insert(REPO_DIGESTS.to_owned(), digests.join(","));
        }
    }
}

/// Moves something complete and synced to its final name. If the destination exists, it is kept, because it has the
/// same content.
fn publish(from: &Path, to: &Path) -> Result<(), super::UnpackError> {
    match fs::rename(from, to) {
        Err(e) if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            remove_dir_if_exists(from)?;
        }
        other => other?,
    }
    if let Some(dir) = to.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}
