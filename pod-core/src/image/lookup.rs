//! Finds images by name, digest or id, and reads files of an image without mounting it.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::unpack::OPAQUE_XATTR;
use super::{Digest, Error, Image, ImageName, ImageStore, Reference};
use crate::store;

/// Maximum number of symbolic links followed in one path, as in the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;

impl ImageStore {
    /// Finds an image by reference, by id, or by a unique prefix of its id.
    ///
    /// # Errors
    /// `Ambiguous` if several images have ids with this prefix.
    pub fn find(&self, name: &ImageName) -> Result<Option<Image>, Error> {
        let images = self.images()?;
        let found = name.reference().and_then(|reference| by_reference(&images, reference));
        if found.is_some() {
            return Ok(found.cloned());
        }
        let Some(prefix) = name.id_prefix() else { return Ok(None) };
        let mut found = images.into_iter().map(|(image, _)| image).filter(|i| i.id.starts_with(prefix));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(Error::Ambiguous { reference: name.to_string() }),
            (first, _) => Ok(first),
        }
    }

    /// Finds an image by reference.
    pub(super) fn find_reference(&self, reference: &Reference) -> Result<Option<Image>, Error> {
        Ok(by_reference(&self.images()?, reference).cloned())
    }

    /// Finds an image by its full id.
    pub(super) fn find_id(&self, id: &str) -> Result<Option<Image>, Error> {
        Ok(self.images()?.into_iter().map(|(image, _)| image).find(|image| image.id == id))
    }

    /// Returns all images, sorted by name; those without a name last.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn list(&self) -> Result<Vec<Image>, Error> {
        Ok(self.images()?.into_iter().map(|(image, _)| image).collect())
    }

    /// Returns the diff ids of the layers that an overlay mount needs, highest first, and the layer that decides the
    /// root's mode and owner. A layer that occurs twice counts where it is highest (overlayfs refuses duplicates, and
    /// below it adds nothing); layers under one with an opaque root are left out, because they are hidden.
    pub(super) fn effective_layers(&self, image: &Image) -> Result<(Vec<Digest>, Option<Digest>), Error> {
        let mut layers: Vec<Digest> = Vec::new();
        let mut root = None;
        for text in image.layers.iter().rev() {
            let damaged = || Error::Incomplete { image: image.display_name() };
            let layer = Digest::parse(text).map_err(|_| damaged())?;
            if layers.contains(&layer) {
                continue;
            }
            let record = self.layer_record(&layer)?.ok_or_else(damaged)?;
            if record.root_entry && root.is_none() {
                root = Some(layer.clone());
            }
            layers.push(layer);
            if record.opaque_root {
                break;
            }
        }
        Ok((layers, root))
    }

    /// Reads a small regular file of the image as its layers show it (`/etc/passwd`), at most `limit` bytes; `None` if
    /// there is no such file. Needs no mount and never leaves the layers.
    ///
    /// # Errors
    /// `TooLarge` for a file over `limit`; `Incomplete` if a layer is missing from the store.
    pub fn read_file(&self, image: &Image, path: &str, limit: u64) -> Result<Option<String>, Error> {
        let (layers, _) = self.effective_layers(image)?;
        let fail = |e: Errno| {
            let path = format!("{}:{path}", image.display_name());
            Error::Store(store::Error::io("read", path)(e.into()))
        };
        let mut root = Vec::new();
        for layer in &layers {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let diff = self.layer_dir(layer).join("diff");
            root.push(Rc::new(rustix::fs::openat(CWD, &diff, flags, Mode::empty()).map_err(fail)?));
        }
        let found = resolve(root, path.as_bytes()).map_err(fail)?;
        let Some(Found { fd, kind: FileType::RegularFile }) = found else { return Ok(None) };
        // The descriptor is O_PATH, which cannot be read; opening it again through /proc gives a readable one.
        let file = File::open(format!("/proc/self/fd/{}", fd.as_raw_fd())).map_err(|e| {
            Error::Store(store::Error::io("open", format!("{}:{path}", image.display_name()))(e))
        })?;
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|e| Error::Store(store::Error::io("read", path)(e)))?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge { what: format!("{}:{path}", image.display_name()), limit });
        }
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// Returns the image that a reference names. The digest of an index belongs to the image of each platform; then the
/// image for this machine takes precedence.
fn by_reference<'a>(images: &'a [(Image, Vec<Digest>)], reference: &Reference) -> Option<&'a Image> {
    let name = reference.stored_name();
    if let Some((image, _)) = images.iter().find(|(image, _)| image.names.contains(&name)) {
        return Some(image);
    }
    let architecture = super::platforms::this_machine().architecture;
    let prefix = format!("{}:", reference.name());
    let has_digest = |(image, manifests): &&(Image, Vec<Digest>)| {
        image.repo_digests.contains(&name)
            || reference.digest().is_some_and(|digest| {
                manifests.contains(digest) && image.names.iter().any(|n| n.starts_with(&prefix))
            })
    };
    let found = images.iter().filter(has_digest).max_by_key(|(image, _)| image.architecture == architecture);
    found.map(|(image, _)| image)
}

/// A directory of the merged tree: the same directory in each layer that contributes to it, highest first.
type Merged = Vec<Rc<OwnedFd>>;

struct Found {
    fd: OwnedFd,
    kind: FileType,
}

enum Node {
    Directory(Merged),
    Other(Found),
}

/// Resolves a path through merged directories as overlayfs shows them, following links inside the image.
fn resolve(root: Merged, path: &[u8]) -> Result<Option<Found>, Errno> {
    let mut stack = vec![root];
    let mut pending: Vec<Vec<u8>> = Vec::new();
    let push = |pending: &mut Vec<Vec<u8>>, path: &[u8]| {
        pending.extend(
            path.split(|b| *b == b'/').rev().filter(|p| !matches!(*p, b"" | b".")).map(<[u8]>::to_vec),
        );
    };
    push(&mut pending, path);
    let mut links = 0;
    while let Some(name) = pending.pop() {
        if name == b".." {
            if stack.len() > 1 {
                stack.pop();
            }
            continue;
        }
        let Some(current) = stack.last() else { return Ok(None) };
        match child(current, &name)? {
            None => return Ok(None),
            Some(Node::Directory(merged)) => stack.push(merged),
            Some(Node::Other(found)) if found.kind == FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP);
                }
                let target = rustix::fs::readlinkat(&found.fd, "", Vec::new())?.into_bytes();
                if target.starts_with(b"/") {
                    stack.truncate(1);
                }
                push(&mut pending, &target);
            }
            Some(Node::Other(found)) => return Ok(pending.is_empty().then_some(found)),
        }
    }
    Ok(None)
}

/// Looks up one name in a merged directory: the highest layer that has it decides; directories merge down to the first
/// opaque one.
fn child(layers: &Merged, name: &[u8]) -> Result<Option<Node>, Errno> {
    let mut merged: Merged = Vec::new();
    for layer in layers {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&**layer, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error),
        };
        let stat = rustix::fs::statat(&fd, "", AtFlags::EMPTY_PATH)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            let opaque = is_opaque(&fd);
            merged.push(Rc::new(fd));
            if opaque {
                break;
            }
            continue;
        }
        if !merged.is_empty() || (kind == FileType::CharacterDevice && stat.st_rdev == 0) {
            break;
        }
        return Ok(Some(Node::Other(Found { fd, kind })));
    }
    Ok((!merged.is_empty()).then_some(Node::Directory(merged)))
}

pub(super) fn is_opaque(fd: &OwnedFd) -> bool {
    let mut value = [0u8; 4];
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    matches!(rustix::fs::getxattr(path, OPAQUE_XATTR, &mut value), Ok(1) if value.first() == Some(&b'y'))
}
