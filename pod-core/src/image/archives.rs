//! Image archives: `docker save`'s format (docker-archive) and an OCI layout in a tar file (oci-archive).

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::content::{MAX_JSON, Staging};
use super::import::to_json;
use super::layer::decoder;
use super::manifests::{ConfigFile, Descriptor, Either, Index, Manifest, OCI_MANIFEST, REF_NAME};
use super::platforms::{available, of_archive, select, this_machine};
use super::tar_stream::{EntryKind, TarStream};
use super::{Digest, Error, Image, ImageName, ImageStore, Reference};
use crate::manifest::image::Hasher;

/// containerd's annotation for an image's full name, which Docker writes as well.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Maximum number of members of an archive: an image has at most some hundreds of blobs.
const MAX_MEMBERS: usize = 100_000;
/// Maximum number of links between members that are followed in a row.
const MAX_LINKS: usize = 8;

/// Which kind of archive to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// `docker save`'s format: `manifest.json`, configs, uncompressed layers.
    Docker,
    /// An OCI layout: blobs exactly as the registry sent them.
    Oci,
}

/// An image that was loaded from an archive.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The image as it is in the store after loading.
    pub image: Image,
    /// The names that the archive gave to the image. The image may have further names from before.
    pub names: Vec<String>,
}

/// Config digest and names of each image of an archive.
type Ids = Vec<(String, Vec<String>)>;

fn add_names(ids: &mut Ids, id: String, names: Vec<String>) {
    match ids.iter_mut().find(|(other, _)| *other == id) {
        Some((_, all)) => all.extend(names),
        None => ids.push((id, names)),
    }
}

/// One image of a docker-archive's `manifest.json`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// A member that was written to a file, or a link to another member.
enum Member {
    File(PathBuf),
    Link(String),
}

/// An archive whose members have been written to files.
struct Spooled<'a> {
    source: &'a str,
    members: BTreeMap<String, Member>,
}

impl ImageStore {
    /// Writes images to one archive. An image given by name is saved with that name only; one given by id with all its
    /// names.
    ///
    /// # Errors
    /// `NotHere` for an image that is not in the store; `Archive` when writing fails or a blob is damaged.
    pub fn save(&self, names: &[ImageName], format: ArchiveFormat, out: &mut dyn Write) -> Result<(), Error> {
        let mut images: Vec<(Image, Digest, Vec<String>)> = Vec::new();
        for name in names {
            let not_here = || Error::NotHere { reference: name.to_string() };
            let image = self.find(name)?.ok_or_else(not_here)?;
            let named = name.reference().map(|r| r.stored_name()).filter(|n| image.names.contains(n));
            let names: Vec<String> = match named {
                Some(name) => vec![name],
                None => image.names.clone(),
            };
            // A digest is not a name in an archive, because it follows from the content.
            let names: Vec<String> = names.into_iter().filter(|n| !n.contains('@')).collect();
            match images.iter_mut().find(|(other, _, _)| other.id == image.id) {
                Some((_, _, all)) => {
                    all.extend(names.into_iter().filter(|n| !all.contains(n)).collect::<Vec<_>>());
                }
                None => {
                    let all = self.images()?;
                    let manifest = all
                        .into_iter()
                        .find(|(i, _)| i.id == image.id)
                        .and_then(|(_, m)| m.into_iter().next());
                    images.push((image, manifest.ok_or_else(not_here)?, names));
                }
            }
        }
        let mut tar = tar::Builder::new(BufWriter::with_capacity(128 << 10, out));
        match format {
            ArchiveFormat::Docker => self.save_docker(&images, &mut tar)?,
            ArchiveFormat::Oci => self.save_oci(&images, &mut tar)?,
        }
        let written =
            |e: io::Error| Error::Archive { archive: "the archive".to_owned(), reason: e.to_string() };
        tar.into_inner().and_then(|mut out| out.flush()).map_err(written)
    }

    fn save_docker<W: Write>(
        &self,
        images: &[(Image, Digest, Vec<String>)],
        tar: &mut tar::Builder<W>,
    ) -> Result<(), Error> {
        let mut listed = Vec::new();
        let mut written: HashSet<String> = HashSet::new();
        for (image, manifest, names) in images {
            let incomplete = || Error::Incomplete { image: image.display_name() };
            let (parsed, config) = self.parse_image(manifest)?.ok_or_else(incomplete)?;
            let mut layers = Vec::new();
            for (layer, diff_id) in parsed.layers.iter().zip(&config.rootfs.diff_ids) {
                let name = format!("{}.tar", diff_id.hex());
                if written.insert(name.clone()) {
                    let size = self.layer_record(diff_id)?.ok_or_else(incomplete)?.tar_size;
                    let blob = File::open(self.blob_path(&layer.digest)).map_err(|_| incomplete())?;
                    let (_, archive) = decoder(blob)
                        .map_err(|error| Error::Unpack { image: image.display_name(), error })?;
                    append(tar, &name, size, archive, diff_id)?;
                }
                layers.push(name);
            }
            let bytes = self.read_blob(&parsed.config.digest)?.ok_or_else(incomplete)?;
            let name = format!("{}.json", parsed.config.digest.hex());
            if written.insert(name.clone()) {
                append(tar, &name, bytes.len() as u64, bytes.as_slice(), &parsed.config.digest)?;
            }
            listed.push(DockerImage { config: name, repo_tags: Some(names.clone()), layers: Some(layers) });
        }
        append_json(tar, "manifest.json", &listed)
    }

    fn save_oci<W: Write>(
        &self,
        images: &[(Image, Digest, Vec<String>)],
        tar: &mut tar::Builder<W>,
    ) -> Result<(), Error> {
        append_json(tar, "oci-layout", &serde_json::json!({"imageLayoutVersion": "1.0.0"}))?;
        let mut index = Index::default();
        let mut written: HashSet<Digest> = HashSet::new();
        for (image, manifest, names) in images {
            let incomplete = || Error::Incomplete { image: image.display_name() };
            let (parsed, _) = self.parse_image(manifest)?.ok_or_else(incomplete)?;
            let bytes = self.read_blob(manifest)?.ok_or_else(incomplete)?;
            let media_type = if parsed.media_type.is_empty() { OCI_MANIFEST } else { &parsed.media_type };
            let mut descriptor = Descriptor::new(media_type, manifest.clone(), bytes.len() as u64);
            for blob in parsed.layers.iter().chain([&parsed.config, &descriptor]) {
                if !written.insert(blob.digest.clone()) {
                    continue;
                }
                let file = File::open(self.blob_path(&blob.digest)).map_err(|_| incomplete())?;
                append(tar, &format!("blobs/sha256/{}", blob.digest.hex()), blob.size, file, &blob.digest)?;
            }
            if names.is_empty() {
                index.manifests.push(descriptor.clone());
            }
            for name in names {
                for key in [REF_NAME, CONTAINERD_NAME] {
                    descriptor.annotations.insert(key.to_owned(), name.clone());
                }
                index.manifests.push(descriptor.clone());
            }
        }
        append_json(tar, "index.json", &index)
    }

    /// Loads the images of an archive of either format, plain or compressed. `source` is the archive's name for
    /// messages; `name` names the image if the archive has one image without a name. Of a multi-platform image, the one
    /// for this machine is loaded.
    ///
    /// # Errors
    /// `Archive` if this is not an image archive; `NoPlatform` for an image for other machines only; `Unpack` for a
    /// layer that does not match its digest or is malformed. Images before the failing one stay in the store.
    pub fn load(
        &self,
        archive: &mut dyn Read,
        source: &str,
        name: Option<&Reference>,
    ) -> Result<Vec<Loaded>, Error> {
        let staging = self.stage()?;
        let spooled = spool(archive, source, &staging, self.limits.bytes)?;
        let index: Option<Index> = if spooled.has("oci-layout") || spooled.has("index.json") {
            Some(spooled.json("index.json")?)
        } else {
            None
        };
        let docker: Option<Vec<DockerImage>> =
            if spooled.has("manifest.json") { Some(spooled.json("manifest.json")?) } else { None };
        // Docker writes both lists; where its index has no names, its own list has them.
        let named =
            |i: &Index| !i.manifests.is_empty() && i.manifests.iter().all(|d| annotated_name(d).is_some());
        let ids = match (index, docker) {
            (Some(index), docker) if named(&index) || docker.is_none() => {
                self.load_oci(&index, &spooled, &staging, name)?
            }
            (_, Some(docker)) => self.load_docker(&docker, &spooled, &staging, name)?,
            _ => {
                return Err(spooled.bad("it is neither a docker-archive nor an oci-archive; a root file system is taken in with `kube image import`"));
            }
        };
        let mut images = Vec::new();
        for (id, mut names) in ids {
            names.sort();
            names.dedup();
            images.extend(self.find_id(&id)?.map(|image| Loaded { image, names }));
        }
        Ok(images)
    }

    fn load_docker(
        &self,
        listed: &[DockerImage],
        spooled: &Spooled<'_>,
        staging: &Staging,
        name: Option<&Reference>,
    ) -> Result<Ids, Error> {
        let mut ids = Vec::new();
        for image in listed {
            let bytes = spooled.bytes(&image.config)?;
            let config: ConfigFile =
                serde_json::from_slice(&bytes).map_err(|e| spooled.bad(&format!("{}: {e}", image.config)))?;
            let paths = image.layers.as_deref().unwrap_or_default();
            if paths.len() != config.rootfs.diff_ids.len() {
                return Err(spooled
                    .bad(&format!("{}: it has another number of layers than the archive", image.config)));
            }
            let mut layers = Vec::new();
            for (path, diff_id) in paths.iter().zip(&config.rootfs.diff_ids) {
                let got = self.load_layer(spooled, staging, path, None, diff_id)?;
                layers.push(got);
            }
            let mut names = Vec::new();
            for tag in image.repo_tags.iter().flatten() {
                names.push(Reference::parse(tag)?.to_string());
            }
            if names.is_empty() && listed.len() == 1 {
                names.extend(name.map(Reference::to_string));
            }
            self.record_with_config(&bytes, layers, &names)?;
            add_names(&mut ids, Digest::of(&bytes).to_string(), names);
        }
        Ok(ids)
    }

    fn load_oci(
        &self,
        index: &Index,
        spooled: &Spooled<'_>,
        staging: &Staging,
        name: Option<&Reference>,
    ) -> Result<Ids, Error> {
        let mut ids = Vec::new();
        let platform = this_machine();
        let chosen = of_archive(&index.manifests, annotated_name, &platform);
        let chosen = chosen.ok_or_else(|| Error::NoPlatform {
            image: spooled.source.to_owned(),
            wanted: platform.text(),
            available: available(&index.manifests),
        })?;
        let single = chosen.len() == 1;
        for listed in chosen {
            let (manifest, bytes) = spooled.manifest(listed)?;
            let config_bytes = spooled.blob(&manifest.config.digest)?;
            let config: ConfigFile = serde_json::from_slice(&config_bytes)
                .map_err(|e| spooled.bad(&format!("config {}: {e}", manifest.config.digest)))?;
            if manifest.layers.len() != config.rootfs.diff_ids.len() {
                return Err(
                    spooled.bad("the config of an image tells of another number of layers than its manifest")
                );
            }
            for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
                let path = format!("blobs/sha256/{}", layer.digest.hex());
                self.load_layer(spooled, staging, &path, Some(&layer.digest), diff_id)?;
            }
            let id = self.write_blob(&config_bytes)?.to_string();
            let digest = self.write_blob(&bytes)?;
            let mut names: Vec<String> = Vec::new();
            match annotated_name(listed) {
                Some(own) => names.push(Reference::parse(own)?.to_string()),
                None if single => names.extend(name.map(Reference::to_string)),
                None => {}
            }
            let media_type = if manifest.media_type.is_empty() { OCI_MANIFEST } else { &manifest.media_type };
            let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
            if !self.commit(&descriptor, &names, &[])? {
                return Err(Error::Incomplete { image: spooled.source.to_owned() });
            }
            add_names(&mut ids, id, names);
        }
        Ok(ids)
    }

    fn load_layer(
        &self,
        spooled: &Spooled<'_>,
        staging: &Staging,
        path: &str,
        blob: Option<&Digest>,
        diff_id: &Digest,
    ) -> Result<Descriptor, Error> {
        let mut file = spooled.open(path)?;
        let got = self
            .add_layer(staging, &mut file, true, self.has_layer(diff_id), blob, Some(diff_id))
            .map_err(|error| Error::Unpack { image: format!("{}: {path}", spooled.source), error })?;
        for note in &got.notes {
            tracing::warn!("{}: {path}: {note}", spooled.source);
        }
        Ok(Descriptor::new(got.compression.media_type(), got.blob, got.blob_size))
    }
}

/// Writes an archive's members to files, because the list of its images may be its last member.
fn spool<'a>(
    archive: &mut dyn Read,
    source: &'a str,
    staging: &Staging,
    limit: u64,
) -> Result<Spooled<'a>, Error> {
    let bad = |reason: String| Error::Archive { archive: source.to_owned(), reason };
    let (_, plain) = decoder(archive).map_err(|e| bad(e.to_string()))?;
    let mut stream = TarStream::new(plain, 4095);
    let mut bytes = 0u64;
    let mut members = BTreeMap::new();
    let mut used = HashSet::new();
    while let Some(entry) = stream.next_entry().map_err(|e| bad(e.to_string()))? {
        let name = clean(&String::from_utf8_lossy(&entry.path));
        bytes = bytes.saturating_add(entry.size);
        if bytes > limit {
            return Err(Error::TooLarge { what: format!("{source}, unpacked,"), limit });
        }
        let member = match entry.kind {
            EntryKind::File => {
                let path = staging.path("member");
                let copied = File::create_new(&path).and_then(|mut file| io::copy(&mut stream, &mut file));
                copied.map_err(|e| bad(format!("{name}: {e}")))?;
                Member::File(path)
            }
            // Old versions of `docker save` link a layer that occurs twice.
            EntryKind::Symlink => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                Member::Link(clean(&format!("{folder}/{}", String::from_utf8_lossy(&entry.link))))
            }
            EntryKind::HardLink => Member::Link(clean(&String::from_utf8_lossy(&entry.link))),
            _ => continue,
        };
        used.insert(name.clone());
        members.insert(name, member);
        if used.len() > MAX_MEMBERS {
            return Err(bad(format!("it has more than {MAX_MEMBERS} members")));
        }
    }
    Ok(Spooled { source, members })
}

/// Returns a member's name without `.`, `..` and doubled slashes. Names are only compared, never opened.
fn clean(name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

impl Spooled<'_> {
    fn bad(&self, reason: &str) -> Error {
        Error::Archive { archive: self.source.to_owned(), reason: reason.to_owned() }
    }

    fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    fn open(&self, name: &str) -> Result<File, Error> {
        let missing = || self.bad(&format!("{name} is missing from it"));
        let mut name = clean(name);
        for _ in 0..MAX_LINKS {
            match self.members.get(&name).ok_or_else(missing)? {
                Member::File(path) => return File::open(path).map_err(|e| self.bad(&format!("{name}: {e}"))),
                Member::Link(target) => name.clone_from(target),
            }
        }
        Err(missing())
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let read = self.open(name)?.take(MAX_JSON + 1).read_to_end(&mut bytes);
        read.map_err(|e| self.bad(&format!("{name}: {e}")))?;
        if bytes.len() as u64 > MAX_JSON {
            Err(Error::TooLarge { what: format!("{}: {name}", self.source), limit: MAX_JSON })
        } else {
            Ok(bytes)
        }
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes(name)?).map_err(|e| self.bad(&format!("{name}: {e}")))
    }

    fn blob(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let bytes = self.bytes(&format!("blobs/sha256/{}", digest.hex()))?;
        if Digest::of(&bytes) == *digest {
            Ok(bytes)
        } else {
            Err(self.bad(&format!("blob {digest} is damaged")))
        }
    }

    /// Returns the manifest that a descriptor points to, if need be through an index for several platforms.
    fn manifest(&self, listed: &Descriptor) -> Result<(Manifest, Vec<u8>), Error> {
        let mut digest = listed.digest.clone();
        for _ in 0..MAX_LINKS {
            let bytes = self.blob(&digest)?;
            match Either::parse(&bytes).map_err(|e| self.bad(&e.to_string()))? {
                Either::Manifest(manifest) => return Ok((manifest, bytes)),
                Either::Index(index) => {
                    let platform = this_machine();
                    // An archive often contains the blobs of one platform only.
                    let here: Vec<Descriptor> = index
                        .manifests
                        .iter()
                        .filter(|d| self.has(&format!("blobs/sha256/{}", d.digest.hex())))
                        .cloned()
                        .collect();
                    let chosen = select(&here, &platform).ok_or_else(|| Error::NoPlatform {
                        image: self.source.to_owned(),
                        wanted: platform.text(),
                        available: available(&here),
                    })?;
                    digest = chosen.digest.clone();
                }
            }
        }
        Err(self.bad("its index leads to an index again and again"))
    }
}

/// Returns the full name of an image in an index. A bare word (`latest`) is a tag of an unknown repository and does not
/// count.
fn annotated_name(descriptor: &Descriptor) -> Option<&String> {
    let full = |name: &&String| name.contains(['/', ':']);
    [CONTAINERD_NAME, REF_NAME].iter().find_map(|key| descriptor.annotations.get(*key).filter(full))
}

/// Adds a member and checks its size and digest.
fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    name: &str,
    size: u64,
    content: impl Read,
    digest: &Digest,
) -> Result<(), Error> {
    let bad = |reason: String| Error::Archive {
        archive: "the archive".to_owned(),
        reason: format!("{name}: {reason}"),
    };
    let mut content = Checked { content, hasher: Hasher::default() };
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    tar.append_data(&mut header, name, &mut content).map_err(|e| bad(e.to_string()))?;
    let bytes = content.hasher.bytes();
    if bytes == size && content.hasher.finish() == *digest {
        Ok(())
    } else {
        Err(bad(format!("{digest} is damaged in the store; remove the image and pull it again")))
    }
}

fn append_json<W: Write>(tar: &mut tar::Builder<W>, name: &str, value: &impl Serialize) -> Result<(), Error> {
    let bytes = to_json(value)?;
    append(tar, name, bytes.len() as u64, bytes.as_slice(), &Digest::of(&bytes))
}

/// A reader that hashes what is read.
struct Checked<R> {
    content: R,
    hasher: Hasher,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.content.read(buffer)?;
        self.hasher.update(buffer.get(..n).unwrap_or_default());
        Ok(n)
    }
}
