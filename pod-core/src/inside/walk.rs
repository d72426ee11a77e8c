//! Walks a file or a folder from a descriptor, never following a link, and hands what it finds to a [`Sink`].

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{
    CWD, Dir, FileType, FsWord, Mode, OFlags, ResolveFlags, Stat, fstat, fstatfs, openat, openat2, readlinkat,
};
use rustix::io::Errno;

use super::{Error, retried};

/// The most folders below each other. A container could nest them until the descriptors of this process are used up.
const MAX_DEPTH: usize = 500;

/// File systems whose files are not data: proc(5), sysfs(5), cgroups. Source: linux/magic.h.
const NOT_DATA: [FsWord; 4] = [0x9fa0, 0x6265_6572, 0x27_e0eb, 0x6367_7270];

/// What is copied of a file besides its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// The permission bits, as in chmod(2).
    pub mode: u32,
    /// The size in bytes.
    pub size: u64,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When the content was changed last, in seconds since 1970.
    pub modified: u64,
}

impl From<&Stat> for Meta {
    fn from(stat: &Stat) -> Self {
        Self {
            mode: stat.st_mode & 0o7777,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: u64::try_from(stat.st_mtime).unwrap_or_default(),
        }
    }
}

/// What a copy is made of.
pub trait Sink {
    /// A folder begins. What is in it follows.
    fn folder(&mut self, path: &Path, meta: &Meta) -> Result<(), Error>;
    /// A regular file.
    fn file(&mut self, path: &Path, meta: &Meta, content: &mut dyn Read) -> Result<(), Error>;
    /// A symbolic link.
    fn link(&mut self, path: &Path, meta: &Meta, target: &Path) -> Result<(), Error>;
    /// Something that is not copied.
    fn skip(&mut self, path: &Path, what: &str);
}

/// Hands what `source` (opened with O_PATH) is to the sink, under the relative path `name`. If the path is empty, only
/// what is in a folder is handed over.
pub fn walk(source: &OwnedFd, name: &Path, sink: &mut dyn Sink) -> Result<(), Error> {
    let stat = fstat(source).map_err(Error::at("read", name))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => file(source, name, sink),
        FileType::Directory => folder(source, name, &(&stat).into(), 0, sink),
        _ => Err(Error::Special(name.to_owned())),
    }
}

fn folder(
    folder: &OwnedFd,
    path: &Path,
    meta: &Meta,
    depth: usize,
    sink: &mut dyn Sink,
) -> Result<(), Error> {
    if depth >= MAX_DEPTH {
        return Err(Error::at("read", path)(Errno::NAMETOOLONG));
    }
    if fstatfs(folder).is_ok_and(|system| NOT_DATA.contains(&system.f_type)) {
        sink.skip(path, "a file system of the kernel");
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let list = openat(folder, ".", flags, Mode::empty()).map_err(Error::at("open", path))?;
    if !path.as_os_str().is_empty() {
        sink.folder(path, meta)?;
    }
    let mut entries = Dir::new(list).map_err(Error::at("read", path))?;
    while let Some(entry) = entries.read() {
        let entry = entry.map_err(Error::at("read", path))?;
        let name = entry.file_name();
        // The kernel returns no names with a slash, also not those of a file system that a container provides.
        if [c".", c".."].contains(&name) || name.to_bytes().contains(&b'/') {
            continue;
        }
        one(folder, name, &path.join(OsStr::from_bytes(name.to_bytes())), depth, sink)?;
    }
    Ok(())
}

/// Hands one entry of a folder to the sink. An entry that has disappeared in the meantime is left out.
fn one(parent: &OwnedFd, name: &CStr, path: &Path, depth: usize, sink: &mut dyn Sink) -> Result<(), Error> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = match retried(|| openat2(parent, name, flags, Mode::empty(), how)) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(()),
        // With O_PATH and O_NOFOLLOW a link itself is opened, which NO_SYMLINKS forbids.
        Err(Errno::LOOP) => return link(parent, name, path, sink),
        Err(error) => return Err(Error::at("open", path)(error)),
    };
    let stat = fstat(&found).map_err(Error::at("read", path))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => file(&found, path, sink),
        FileType::Directory => folder(&found, path, &(&stat).into(), depth + 1, sink),
        FileType::Symlink => link(parent, name, path, sink),
        _ => {
            sink.skip(path, "neither a file nor a folder");
            Ok(())
        }
    }
}

fn link(parent: &OwnedFd, name: &CStr, path: &Path, sink: &mut dyn Sink) -> Result<(), Error> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = openat(parent, name, flags, Mode::empty()).map_err(Error::at("open", path))?;
    let stat = fstat(&found).map_err(Error::at("read", path))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        // It was replaced in the meantime.
        sink.skip(path, "it changes while it is read");
        return Ok(());
    }
    // An empty path means the link that is open (readlinkat(2)).
    let target = readlinkat(&found, "", Vec::new()).map_err(Error::at("read", path))?;
    let target = PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes()));
    sink.link(path, &(&stat).into(), &target)
}

fn file(found: &OwnedFd, path: &Path, sink: &mut dyn Sink) -> Result<(), Error> {
    let mut content = reopen(found, OFlags::RDONLY).map_err(Error::at("open", path))?;
    let stat = fstat(&content).map_err(Error::at("read", path))?;
    sink.file(path, &(&stat).into(), &mut content)
}

/// Opens the regular file that an O_PATH descriptor refers to. It is the same file, whatever its path leads to by now.
pub fn reopen(found: impl AsFd, flags: OFlags) -> Result<File, Errno> {
    let stat = fstat(&found)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let path = format!("/proc/self/fd/{}", found.as_fd().as_raw_fd());
    Ok(File::from(openat(CWD, path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())?))
}
