//! Pulls an image: one thread does the network, and one thread per layer in flight hashes, decompresses and unpacks the
//! data.

use std::collections::HashSet;
use std::io::{self, ErrorKind, Read};
use std::time::Duration;

use base::escape::escape;
use base::file::{FileLock, LockKind};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::{mpsc, oneshot};

use super::content::Staging;
use super::credentials::{auth_files, logins};
use super::manifests::{ConfigFile, Descriptor, Either, Manifest, OCI_MANIFEST, Platform};
use super::platforms::{available, select, this_machine};
use super::registry::{Registry, short};
use super::{Digest, Error, Image, ImageStore, Progress, PullOptions, Reference, UnpackError};
use crate::store;

/// Maximum number of layers fetched at the same time.
const PARALLEL: usize = 4;
/// Maximum number of parts of a layer that wait for its thread. A part has about 16 KiB.
const QUEUE: usize = 64;
/// Maximum number of rounds of a pull. A pull starts again if a concurrent prune removed what it had added.
const ROUNDS: usize = 3;
/// Maximum nesting of indexes.
const MAX_INDEXES: usize = 3;

impl ImageStore {
    /// Pulls an image. Blocks; must not be called from a tokio runtime, because it runs its own.
    ///
    /// If another process is pulling a layer, waits for it instead of fetching the layer twice. If the tag still refers
    /// to the image in the store, nothing is fetched.
    ///
    /// # Errors
    /// `NoSuchImage`, `Denied`, `Unreachable`, `Registry`, `NoPlatform`, `NotAnImage`, `Digest`, `Unpack`: each names
    /// the image.
    pub fn pull(
        &self,
        reference: &Reference,
        options: &PullOptions,
        progress: &dyn Progress,
    ) -> Result<Image, Error> {
        let progress: &dyn Progress = &OneLine(progress);
        let platform = match &options.platform {
            Some(text) => {
                Platform::parse(text).ok_or_else(|| Error::InvalidPlatform { platform: text.clone() })?
            }
            None => this_machine(),
        };
        let files = auth_files(|name| std::env::var_os(name));
        let (logins, notes) = logins(reference, &options.credentials, &files)?;
        for note in notes {
            progress.note(&note);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::Store(store::Error::io("start the network for", self.dir())(e)))?;
        let registry = Registry::new(reference, logins, self.retry_wait, &self.times, progress)?;
        let pull = Pull {
            until: tokio::time::Instant::now() + self.times.total,
            store: self,
            reference,
            platform,
            explicit: options.platform.is_some(),
            registry,
            progress,
        };
        let name = reference.stored_name();
        if let Some(image) = runtime.block_on(pull.in_time(pull.unchanged(&name)))? {
            return Ok(image);
        }
        for _ in 0..ROUNDS {
            let staging = self.stage()?;
            let (manifest, digests) = pull.once(&runtime, &staging)?;
            if self.commit(&manifest, std::slice::from_ref(&name), &digests)? {
                return self.find_reference(reference)?.ok_or(Error::Incomplete { image: name });
            }
            progress.note(&format!("{reference}: parts were removed while it was pulled: once more"));
        }
        Err(Error::Incomplete { image: name })
    }
}

/// Passes progress on and makes each note one line, whatever text a registry puts into it.
struct OneLine<'a>(&'a dyn Progress);

impl Progress for OneLine<'_> {
    fn layer(&self, digest: &str, total: u64) {
        self.0.layer(digest, total);
    }
    fn advance(&self, digest: &str, bytes: u64) {
        self.0.advance(digest, bytes);
    }
    fn done(&self, digest: &str) {
        self.0.done(digest);
    }
    fn note(&self, message: &str) {
        self.0.note(&escape(message));
    }
}

struct Pull<'a> {
    /// When the pull is given up.
    until: tokio::time::Instant,
    store: &'a ImageStore,
    reference: &'a Reference,
    platform: Platform,
    /// Whether the user asked for the platform, so that no other one is acceptable.
    explicit: bool,
    registry: Registry<'a>,
    progress: &'a dyn Progress,
}

/// The arguments of a layer's thread.
#[derive(Clone, Copy)]
struct Intake<'a> {
    store: &'a ImageStore,
    reference: &'a Reference,
    progress: &'a dyn Progress,
    staging: &'a Staging,
    layer: &'a Descriptor,
    diff_id: &'a Digest,
}

impl Pull<'_> {
    /// Runs `work` until the time limit of the whole pull. A layer's thread ends when its data ends.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::time::timeout_at(self.until, work).await.unwrap_or_else(|_| {
            Err(Error::TookTooLong {
                image: self.reference.to_string(),
                registry: self.reference.registry().to_owned(),
                limit: self.store.times.total,
            })
        })
    }

    /// Returns the image in the store if the registry still has it under the same name.
    async fn unchanged(&self, name: &str) -> Result<Option<Image>, Error> {
        if self.explicit {
            return Ok(None);
        }
        let Some(image) = self.store.find_reference(self.reference)? else { return Ok(None) };
        if image.architecture != self.platform.architecture && !image.names.iter().any(|n| n == name) {
            return Ok(None);
        }
        if self.reference.digest().is_some() {
            return Ok(Some(image));
        }
        let digest = self.registry.digest(self.reference.version()).await?;
        let same = digest.is_some_and(|d| image.repo_digests.contains(&self.reference.with_digest(&d)));
        Ok(same.then_some(image))
    }

    /// Adds all blobs and layers; returns the manifest and the digests by which the registry knows it.
    fn once(
        &self,
        runtime: &tokio::runtime::Runtime,
        staging: &Staging,
    ) -> Result<(Descriptor, Vec<String>), Error> {
        let (manifest, bytes, mut digests) = runtime.block_on(self.in_time(self.manifest()))?;
        let config = runtime.block_on(self.in_time(self.config(&manifest)))?;
        let mut seen = HashSet::new();
        let layers: Vec<(&Descriptor, &Digest)> = manifest
            .layers
            .iter()
            .zip(&config.rootfs.diff_ids)
            .filter(|(layer, _)| seen.insert(layer.digest.clone()))
            .collect();
        for (layer, _) in &layers {
            self.progress.layer(layer.digest.as_str(), layer.size);
        }
        std::thread::scope(|scope| {
            let fetch = layers.iter().copied().map(|(layer, diff_id)| {
                let Self { store, reference, progress, .. } = *self;
                self.layer(scope, Intake { store, reference, progress, staging, layer, diff_id })
            });
            let all = stream::iter(fetch).buffer_unordered(PARALLEL).try_collect::<()>();
            runtime.block_on(self.in_time(all))
        })?;
        let digest = self.store.write_blob(&bytes)?;
        base::fail_point!(Pull, "manifest-written");
        let media_type = match manifest.media_type.as_str() {
            "" => OCI_MANIFEST,
            given => given,
        };
        digests.push(self.reference.with_digest(&digest));
        digests.dedup();
        Ok((Descriptor::new(media_type, digest, bytes.len() as u64), digests))
    }

    /// Returns the manifest for the platform, its bytes, and the digests that the name resolved to.
    async fn manifest(&self) -> Result<(Manifest, Vec<u8>, Vec<String>), Error> {
        let not_image = |reason: String| Error::NotAnImage { image: self.reference.to_string(), reason };
        let mut bytes = self.registry.manifest(self.reference.version()).await?;
        let top = Digest::of(&bytes);
        if let Some(wanted) = self.reference.digest() {
            self.verify("the manifest", wanted, &top)?;
        }
        for _ in 0..=MAX_INDEXES {
            let index = match Either::parse(&bytes).map_err(|e| not_image(e.to_string()))? {
                Either::Manifest(manifest) => {
                    return Ok((manifest, bytes, vec![self.reference.with_digest(&top)]));
                }
                Either::Index(index) => index,
            };
            let chosen = select(&index.manifests, &self.platform).ok_or_else(|| Error::NoPlatform {
                image: self.reference.to_string(),
                wanted: self.platform.text(),
                available: available(&index.manifests),
            })?;
            bytes = match self.store.read_blob(&chosen.digest)? {
                Some(bytes) => bytes,
                None => self.registry.manifest(chosen.digest.as_str()).await?,
            };
            self.verify("the manifest", &chosen.digest, &Digest::of(&bytes))?;
        }
        Err(not_image("its index leads to an index again and again".to_owned()))
    }

    async fn config(&self, manifest: &Manifest) -> Result<ConfigFile, Error> {
        let not_image = |reason: String| Error::NotAnImage { image: self.reference.to_string(), reason };
        let bytes = match self.store.read_blob(&manifest.config.digest)? {
            Some(bytes) => bytes,
            None => self.registry.small_blob(&manifest.config).await?,
        };
        let config: ConfigFile = serde_json::from_slice(&bytes)
            .map_err(|e| not_image(format!("its config cannot be read: {e}")))?;
        if config.rootfs.diff_ids.len() != manifest.layers.len() {
            return Err(not_image(format!(
                "it has {} layers, but its config of type {:?} tells of {}: it may be an artifact of another kind",
                manifest.layers.len(),
                manifest.config.media_type,
                config.rootfs.diff_ids.len()
            )));
        }
        if manifest.layers.iter().any(|l| !l.urls.is_empty()) {
            return Err(not_image("some of its layers lie outside the registry".to_owned()));
        }
        let own = Platform {
            os: config.os.clone(),
            architecture: config.architecture.clone(),
            variant: String::new(),
        };
        if !own.architecture.is_empty()
            && (own.architecture != self.platform.architecture || own.os != self.platform.os)
        {
            if self.explicit {
                return Err(Error::NoPlatform {
                    image: self.reference.to_string(),
                    wanted: self.platform.text(),
                    available: own.text(),
                });
            }
            self.progress.note(&format!(
                "{} is for {}, not for {}",
                self.reference,
                own.text(),
                self.platform.text()
            ));
        }
        self.store.write_blob(&bytes)?;
        base::fail_point!(Pull, "config-written");
        Ok(config)
    }

    /// Adds one layer to the store, on a thread of its own.
    async fn layer<'scope, 'env>(
        &self,
        scope: &'scope std::thread::Scope<'scope, 'env>,
        intake: Intake<'env>,
    ) -> Result<(), Error> {
        let layer = intake.layer;
        let (want, wanted) = oneshot::channel();
        let (parts, received) = mpsc::channel(QUEUE);
        let (finish, finished) = oneshot::channel();
        scope.spawn(move || {
            let parts = Parts { received, part: Vec::new(), used: 0, ended: false };
            let result = intake.run(want, parts);
            // The receiver is gone if another layer has failed.
            let _ = finish.send(result);
        });
        // An error here means that the thread needs no data or has failed; its result says which.
        let fetched = match wanted.await {
            Ok(()) => {
                let sent = self
                    .registry
                    .blob(layer, |part| {
                        let parts = parts.clone();
                        async move { parts.send(Part::Data(part)).await.is_ok() }
                    })
                    .await;
                if sent.is_ok() {
                    let _ = parts.send(Part::End).await;
                }
                sent
            }
            Err(_) => Ok(()),
        };
        drop(parts);
        let taken = finished.await.unwrap_or_else(|_| {
            Err(UnpackError::Io(io::Error::other("the thread that unpacks the layer ended early")))
        });
        // If the transfer failed, the thread's error is only a consequence of it.
        fetched?;
        taken.map_err(|error| Error::Unpack { image: self.reference.to_string(), error })?;
        self.progress.done(layer.digest.as_str());
        Ok(())
    }

    fn verify(&self, what: &'static str, expected: &Digest, actual: &Digest) -> Result<(), Error> {
        if expected == actual {
            Ok(())
        } else {
            Err(Error::Digest {
                image: self.reference.to_string(),
                what,
                expected: expected.to_string(),
                actual: actual.to_string(),
            })
        }
    }
}

impl Intake<'_> {
    /// Runs on the layer's thread.
    fn run(&self, want: oneshot::Sender<()>, mut parts: Parts) -> Result<(), UnpackError> {
        let Self { staging, layer, diff_id, .. } = *self;
        let Some(_lock) = self.lock_layer(diff_id, &want)? else { return Ok(()) };
        let unpacked = self.store.has_layer(diff_id);
        if self.store.has_blob(&layer.digest) {
            if unpacked {
                return Ok(());
            }
            let path = self.store.blob_path(&layer.digest);
            let mut file = std::fs::File::open(&path)?;
            match self.store.add_layer(staging, &mut file, false, false, Some(&layer.digest), Some(diff_id)) {
                // A blob that is damaged on disk is fetched again.
                Err(UnpackError::Digest { .. } | UnpackError::Malformed(_)) => std::fs::remove_file(&path)?,
                other => return other.map(|got| self.notes(layer, &got.notes)),
            }
        }
        if want.send(()).is_err() {
            return Ok(());
        }
        let got =
            self.store.add_layer(staging, &mut parts, true, unpacked, Some(&layer.digest), Some(diff_id))?;
        self.notes(layer, &got.notes);
        Ok(())
    }

    fn notes(&self, layer: &Descriptor, notes: &[String]) {
        for note in notes {
            self.progress.note(&format!("{} layer {}: {note}", self.reference, short(layer.digest.as_str())));
        }
    }

    /// Prevents other processes from fetching the same layer; `None` if this pull has failed in the meantime. All
    /// layers share a few lock files, because lock files are never removed.
    fn lock_layer(
        &self,
        diff_id: &Digest,
        want: &oneshot::Sender<()>,
    ) -> Result<Option<FileLock>, UnpackError> {
        let name = diff_id.hex().get(..2).unwrap_or_default();
        let path = self.store.dir().join("locks").join(name);
        let mut told = false;
        loop {
            match FileLock::try_acquire(&path, LockKind::Exclusive) {
                Ok(Some(lock)) => return Ok(Some(lock)),
                Ok(None) if want.is_closed() => return Ok(None),
                // Polls, because flock(2) cannot be combined with waiting for anything else.
                Ok(None) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::debug!("waiting for {}", path.display());
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(UnpackError::Io(io::Error::other(error))),
            }
        }
    }
}

enum Part {
    Data(Vec<u8>),
    /// The blob is complete.
    End,
}

/// Reads the parts that arrive. A channel that closes without [`Part::End`] is an error, not the end.
struct Parts {
    received: mpsc::Receiver<Part>,
    part: Vec<u8>,
    used: usize,
    ended: bool,
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.used >= self.part.len() {
            if self.ended {
                return Ok(0);
            }
            match self.received.blocking_recv() {
                Some(Part::Data(part)) => (self.part, self.used) = (part, 0),
                Some(Part::End) => self.ended = true,
                None => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the transfer broke off")),
            }
        }
        let rest = self.part.get(self.used..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        self.used += n;
        Ok(n)
    }
}
