//! Copies files and folders into containers and out of them, with the semantics of `kubectl cp`. The image needs no tar.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::unistd::{setfsgid, setfsuid};
use rustix::fs::{CWD, FileType, Mode, OFlags, fchmod, fstat, openat};
use rustix::io::Errno;
use rustix::thread::{CapabilitiesSecureBits, set_capabilities_secure_bits};

use super::Error;
use super::archive::{self, Writer};
use super::place::{Place, fill};
use super::root::ContainerRoot;
use super::walk::{reopen, walk};

/// Receives the relative path of something that is not copied, and what it is.
pub type Skipped<'a> = dyn FnMut(&Path, &str) + 'a;

/// Copies a file or a folder of a container to this host. A file is copied into a folder that exists. The contents of a
/// folder are merged into a folder that exists, as `kubectl cp` does. Links of the container, devices and FIFOs are left
/// out; the modes of files are kept without set-user-ID bits.
///
/// # Errors
/// The kernel's error about either side.
pub fn to_host(
    root: &ContainerRoot,
    source: &Path,
    target: &Path,
    skipped: &mut Skipped<'_>,
) -> Result<(), Error> {
    let found = root.find(&root.absolute(source), OFlags::empty()).map_err(Error::at("open", source))?;
    let is_folder = kind(&found, source)? == FileType::Directory;
    let (folder, name) = match std::fs::metadata(target) {
        Ok(meta) if meta.is_dir() && is_folder => (target.to_owned(), PathBuf::new()),
        Ok(meta) if meta.is_dir() => (target.to_owned(), name_of(source)?),
        Ok(_) if is_folder => return Err(Error::Exists { path: target.to_owned(), wanted: "folder" }),
        // What a link of the user leads to is meant.
        Ok(_) => split(&std::fs::canonicalize(target).map_err(Error::at("open", target))?)?,
        Err(_) if ends_with_slash(target) && !is_folder => {
            return Err(Error::at("open", target)(Errno::NOENT));
        }
        Err(_) => split(target)?,
    };
    let opened = open_folder(&folder)?;
    walk(&found, &name, &mut Place::on_host(opened, &folder, skipped))
}

/// Writes a file or a folder of a container as a tar archive, with its links.
///
/// # Errors
/// The kernel's error about the source, or about the output.
pub fn to_archive(
    root: &ContainerRoot,
    source: &Path,
    out: impl Write,
    skipped: &mut Skipped<'_>,
) -> Result<(), Error> {
    let path = root.absolute(source);
    let found = root.find(&path, OFlags::empty()).map_err(Error::at("open", source))?;
    kind(&found, source)?;
    let name = path.file_name().map(PathBuf::from).unwrap_or_default();
    let mut writer = Writer::new(out, skipped);
    walk(&found, &name, &mut writer)?;
    writer.finish()
}

/// Copies a file or a folder of this host into a container: into `target` if that is a folder, else under that name.
/// `folder/.` means what is in the folder. New files belong to the user that the container runs as.
///
/// # Errors
/// The kernel's error about either side.
pub fn to_container(
    root: &ContainerRoot,
    source: &Path,
    target: &Path,
    skipped: &mut Skipped<'_>,
) -> Result<(), Error> {
    let opened = openat(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let opened = opened.map_err(Error::at("open", source))?;
    let is_folder = kind(&opened, source)? == FileType::Directory;
    let path = root.absolute(target);
    let (folder, shown, name) = match root.find(&path, OFlags::empty()) {
        Ok(found) => match kind(&found, target)? {
            FileType::Directory if is_folder && means_contents(source) => {
                (found, target.to_owned(), PathBuf::new())
            }
            FileType::Directory => {
                let source = std::fs::canonicalize(source).map_err(Error::at("open", source))?;
                (found, target.to_owned(), name_of(&source)?)
            }
            _ if is_folder => return Err(Error::Exists { path: target.to_owned(), wanted: "folder" }),
            _ => return overwrite(&found, target, &opened, source),
        },
        Err(Errno::NOENT) if !ends_with_slash(target) || is_folder => {
            let (above, name) = split(&path)?;
            let found = root.find(&above, OFlags::DIRECTORY).map_err(Error::at("open", &above))?;
            (found, above, name)
        }
        Err(error) => return Err(Error::at("open", target)(error)),
    };
    let _owner = AsOwner::begin(root.owner())?;
    let mut place = Place::in_container(folder, &shown, root.owner(), skipped);
    walk(&opened, &name, &mut place)
}

/// Unpacks a tar archive into a folder of a container, which has to exist. New files belong to the user that the
/// container runs as.
///
/// # Errors
/// The archive is damaged, contains a path that leads out of it, or the kernel's error.
pub fn from_archive(
    root: &ContainerRoot,
    input: &mut dyn Read,
    target: &Path,
    skipped: &mut Skipped<'_>,
) -> Result<(), Error> {
    let folder = root.find(&root.absolute(target), OFlags::DIRECTORY).map_err(Error::at("open", target))?;
    let _owner = AsOwner::begin(root.owner())?;
    archive::unpack(input, &mut Place::in_container(folder, target, root.owner(), skipped))
}

/// While this value lives, new files belong to the user and the group of a container from the start, because an id-mapped
/// mount of a pod with a user namespace has no root of the host. Capabilities are kept.
struct AsOwner;

impl AsOwner {
    fn begin((uid, gid): (u32, u32)) -> Result<Self, Error> {
        let set = || -> Result<(), Errno> {
            set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)?;
            setfsgid(nix::unistd::Gid::from_raw(gid));
            setfsuid(nix::unistd::Uid::from_raw(uid));
            Ok(())
        };
        if (uid, gid) != (0, 0) && nix::unistd::geteuid().is_root() {
            set().map_err(Error::at("become the user of", Path::new("the container")))?;
        }
        Ok(Self)
    }
}

impl Drop for AsOwner {
    fn drop(&mut self) {
        setfsuid(nix::unistd::geteuid());
        setfsgid(nix::unistd::getegid());
    }
}

/// Writes a file into one that exists, which keeps its owner.
fn overwrite(found: &OwnedFd, target: &Path, source: &OwnedFd, from: &Path) -> Result<(), Error> {
    let mut content = reopen(source, OFlags::RDONLY).map_err(Error::at("open", from))?;
    let mut file = reopen(found, OFlags::WRONLY | OFlags::TRUNC).map_err(Error::at("open", target))?;
    fill(&mut file, &mut content, target)?;
    let mode = fstat(&content).map_err(Error::at("read", from))?.st_mode;
    fchmod(&file, Mode::from_raw_mode(mode & 0o7777)).map_err(Error::at("set the mode of", target))
}

/// Returns what an O_PATH descriptor refers to: a file or a folder.
fn kind(found: &OwnedFd, shown: &Path) -> Result<FileType, Error> {
    let kind = FileType::from_raw_mode(fstat(found).map_err(Error::at("read", shown))?.st_mode);
    match kind {
        FileType::RegularFile | FileType::Directory => Ok(kind),
        _ => Err(Error::Special(shown.to_owned())),
    }
}

fn open_folder(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map_err(Error::at("open", path))
}

/// Returns the folder that contains a path, and the last part of the path.
fn split(path: &Path) -> Result<(PathBuf, PathBuf), Error> {
    let name = name_of(path)?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((above.to_owned(), name))
}

fn name_of(path: &Path) -> Result<PathBuf, Error> {
    path.file_name().map(PathBuf::from).ok_or_else(|| Error::NoName(path.to_owned()))
}

/// `Path` ignores a slash at the end.
fn ends_with_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

/// Returns whether a path ends with `/.`, or is `.`.
fn means_contents(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes == b"." || bytes.ends_with(b"/.")
}

#[cfg(test)]
mod tests;
