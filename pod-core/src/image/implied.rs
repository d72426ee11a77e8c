//! Directories that a layer only implies: it has files below them but no entry for them. Such a layer does not define
//! their mode and owner, so those of a lower layer hold (`/tmp` stays 1777 when a layer adds only `tmp/x`). Layers are
//! unpacked one by one and shared by images, and overlayfs shows a directory as its highest layer has it; therefore the
//! directories that would differ are created in the writable layer, which is above all others, before the image is
//! mounted.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::lookup::is_opaque;

/// One layer of an image.
pub(super) struct Layer {
    /// The directory of its unpacked files.
    pub diff: PathBuf,
    /// Paths of the directories that the layer implies.
    pub implied: HashSet<Vec<u8>>,
}

/// Creates in `upper` the directories that `layers` (highest first) would show with a wrong mode or owner.
pub(super) fn create_differing(layers: &[Layer], upper: &Path) -> std::io::Result<()> {
    let paths: BTreeSet<&[u8]> = layers.iter().flat_map(|layer| &layer.implied).map(Vec::as_slice).collect();
    for path in paths {
        if !lookup(layers, path)?.is_some_and(|found| found.differs) {
            continue;
        }
        // The parent directories are then seen in the writable layer as well, so they are checked too.
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let prefix = path.get(..end).unwrap_or_default();
            if let Some(found) = lookup(layers, prefix)? {
                make(&upper.join(OsStr::from_bytes(prefix)), &found.directory)?;
            }
        }
    }
    Ok(())
}

/// A directory of the image.
struct Found {
    /// The path in the layer that decides mode and owner.
    directory: PathBuf,
    /// Whether that layer is not the highest one that has the directory.
    differs: bool,
}

/// What a layer has at a path.
enum At {
    Directory {
        hides: bool,
    },
    /// Nothing; `hides` if the path is hidden in lower layers too.
    Nothing {
        hides: bool,
    },
}

fn lookup(layers: &[Layer], path: &[u8]) -> std::io::Result<Option<Found>> {
    let mut highest: Option<PathBuf> = None;
    for layer in layers {
        let hides = match at(layer, path)? {
            At::Nothing { hides } => hides,
            At::Directory { hides } => {
                let directory = layer.diff.join(OsStr::from_bytes(path));
                if !layer.implied.contains(path) {
                    return Ok(Some(Found { directory, differs: highest.is_some() }));
                }
                highest.get_or_insert(directory);
                hides
            }
        };
        if hides {
            break;
        }
    }
    Ok(highest.map(|directory| Found { directory, differs: false }))
}

/// Looks up a path in one layer without following links, as overlayfs merges it.
fn at(layer: &Layer, path: &[u8]) -> std::io::Result<At> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut current = rustix::fs::openat(CWD, &layer.diff, flags, Mode::empty())?;
    let mut hides = false;
    for name in path.split(|byte| *byte == b'/') {
        let next = match rustix::fs::openat(&current, name, flags, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT) => return Ok(At::Nothing { hides }),
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&next)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            // A whiteout, or another kind of file.
            return Ok(At::Nothing { hides: true });
        }
        hides |= is_opaque(&next);
        current = next;
    }
    Ok(At::Directory { hides })
}

/// Creates a directory with the owner, mode, attributes and time of another. An existing directory is kept.
fn make(path: &Path, like: &Path) -> std::io::Result<()> {
    match std::fs::create_dir(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    }
    let stat = rustix::fs::lstat(like)?;
    copy_metadata(like, path, &stat)?;
    Ok(())
}

/// Copies owner, mode, attributes and time from one file of any kind, described by `stat`, to another. Follows no link.
pub(crate) fn copy_metadata(from: &Path, to: &Path, stat: &Stat) -> std::io::Result<()> {
    let owner = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    rustix::fs::chownat(CWD, to, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        // After the owner, whose change clears setuid.
        rustix::fs::chmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    }
    copy_xattrs(from, to)?;
    rustix::fs::utimensat(CWD, to, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

/// Copies the extended attributes that an image may set; never those of overlayfs.
fn copy_xattrs(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut names = Vec::with_capacity(64 << 10);
    match rustix::fs::llistxattr(from, rustix::buffer::spare_capacity(&mut names)) {
        Ok(_) => {}
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    for name in names.split(|byte: &u8| *byte == 0).filter(|name| !name.is_empty()) {
        let ours = name.starts_with(b"trusted.") || name.starts_with(b"user.overlay.");
        if ours || name == b"security.selinux" {
            continue;
        }
        let mut value = Vec::with_capacity(64 << 10);
        rustix::fs::lgetxattr(from, name, rustix::buffer::spare_capacity(&mut value))?;
        match rustix::fs::lsetxattr(to, name, &value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn times(stat: &Stat) -> Timestamps {
    let at =
        |seconds: i64, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: i64::try_from(nanos).unwrap_or(0) };
    Timestamps {
        last_access: at(stat.st_atime, stat.st_atime_nsec),
        last_modification: at(stat.st_mtime, stat.st_mtime_nsec),
    }
}
