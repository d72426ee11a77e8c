//! Unpacks one layer (OCI image-spec, layer.md) in the format of an overlayfs lower directory.
//!
//! The archive is untrusted. No path is ever resolved as a string: a parent directory is opened with openat2(2) and
//! `RESOLVE_IN_ROOT`, which keeps `..`, absolute links and chains of links inside the layer. Every file is then created
//! by a single name in that directory, never following a link.

mod error;
mod metadata;
mod room;

pub use self::error::UnpackError;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_OMIT, Uid,
};
use rustix::io::Errno;

use self::metadata::{chmod, set_xattr};
use self::room::{check_room, explain_full};
use super::tar_stream::{Entry, EntryKind, TarStream};

/// Size limits of one layer. A registry is not trusted: a few kilobytes can unpack to petabytes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum size of the uncompressed archive in bytes.
    pub bytes: u64,
    /// Maximum number of files, directories, links and so on, including directories that are only implied.
    pub entries: u64,
    /// Maximum length of one path in bytes; the kernel's PATH_MAX.
    pub path: usize,
    /// Maximum ratio of uncompressed to compressed size, once the archive is larger than `ratio_floor`.
    pub ratio: u64,
    /// Number of bytes below which the ratio does not matter.
    pub ratio_floor: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 128 << 30, entries: 4_000_000, path: 4095, ratio: 1000, ratio_floor: 1 << 30 }
    }
}

/// The result of unpacking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unpacked {
    /// Bytes of data written.
    pub size: u64,
    /// Number of files, directories, links and so on.
    pub entries: u64,
    /// Whether the archive has an entry for the root itself, so that the layer decides the root's mode and owner.
    pub root_entry: bool,
    /// Directories that have no entry of their own and exist because of entries below them. Paths below the root,
    /// sorted. Their mode and owner in a lower layer remain valid.
    pub implied: Vec<Vec<u8>>,
    /// Whether the layer hides all layers below it. It is recorded here because overlayfs ignores an opaque mark on a
    /// root.
    pub opaque_root: bool,
    /// Entries that were left out, for a log.
    pub notes: Vec<String>,
}

const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";
const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// Prefix of aufs' internal files (`.wh..wh.plnk` and so on), which are not part of the image.
const AUFS_PREFIX: &[u8] = b".wh..wh.";
pub(super) const OPAQUE_XATTR: &str = "trusted.overlay.opaque";
const MAX_NOTES: usize = 8;
const BUFFER: usize = 128 << 10;
/// Minimum length of a hole: shorter runs of zeros are written.
const HOLE: usize = 4 << 10;
/// Number of bytes written between two checks of the free disk space.
const CHECK_ROOM: u64 = 64 << 20;
/// Number of files created between two checks of the free inodes.
const CHECK_INODES: u64 = 64;
/// Maximum number of implied directories that are recorded. Images have tens of them.
const MAX_IMPLIED: usize = 20_000;

/// Unpacks `archive` into the empty directory `root`. `trash` is a directory of the same file system that receives what
/// later entries replace. On an error the caller removes both.
pub(super) fn unpack<R: Read>(
    archive: R,
    root: BorrowedFd<'_>,
    trash: BorrowedFd<'_>,
    limits: &Limits,
) -> Result<Unpacked, UnpackError> {
    let root = Rc::new(root.try_clone_to_owned()?);
    let unpacker = Unpacker {
        root,
        trash,
        trashed: 0,
        limits,
        parent: None,
        directories: Vec::new(),
        implied: BTreeSet::new(),
        done: Unpacked::default(),
        buffer: vec![0; BUFFER],
        unchecked: 0,
    };
    // A layer without an entry for its root gets the mode that most images have.
    rustix::fs::chmod(fd_path(&unpacker.root), Mode::from_raw_mode(0o755)).map_err(io::Error::from)?;
    let root = Rc::clone(&unpacker.root);
    unpacker.take(&mut TarStream::new(archive, limits.path)).map_err(|error| explain_full(&root, error))
}

fn is_zero(bytes: &[u8]) -> bool {
    // Compares the slice with itself, shifted by one byte: the fastest check in safe code.
    matches!(bytes, [0, rest @ ..] if rest == bytes.get(..rest.len()).unwrap_or_default())
}

struct Unpacker<'a> {
    root: Rc<OwnedFd>,
    trash: BorrowedFd<'a>,
    trashed: u64,
    limits: &'a Limits,
    /// The parent directory of the last entry, cached because archives are sorted by directory.
    parent: Option<(Vec<u8>, Rc<OwnedFd>)>,
    /// Times of directories, set last because creating files in a directory changes its time.
    directories: Vec<(Vec<u8>, (i64, u32))>,
    /// Directories that have had no entry so far, by their real path.
    implied: BTreeSet<Vec<u8>>,
    done: Unpacked,
    buffer: Vec<u8>,
    /// Bytes written since the last check of the free disk space.
    unchecked: u64,
}

/// What exists at the path of a new entry after [`Unpacker::clear`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cleared {
    Free,
    /// There was a whiteout: a directory created here hides the lower layers' content.
    WasWhiteout,
    /// A directory exists and may be kept.
    Directory,
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Returns a path to an open directory or file, valid whatever it was opened for.
fn fd_path(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// Splits a path into its components and resolves `.` and `..` lexically; the root has none.
fn components(path: &[u8]) -> Result<Vec<&[u8]>, UnpackError> {
    let mut parts = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() {
                    return Err(UnpackError::Escape { path: shown(path) });
                }
            }
            part if part.contains(&0) => {
                return Err(UnpackError::Malformed("a path contains a NUL".to_owned()));
            }
            part => parts.push(part),
        }
    }
    Ok(parts)
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn kind_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

impl Unpacker<'_> {
    fn take<R: Read>(mut self, stream: &mut TarStream<R>) -> Result<Unpacked, UnpackError> {
        while let Some(entry) = stream.next_entry()? {
            self.count()?;
            self.add(&entry, stream)?;
        }
        self.finish()
    }

    fn count(&mut self) -> Result<(), UnpackError> {
        self.done.entries += 1;
        if self.done.entries > self.limits.entries {
            return Err(UnpackError::Limit { what: "the number of files", limit: self.limits.entries });
        }
        if self.done.entries % CHECK_INODES == 1 {
            check_room(&self.root)?;
        }
        Ok(())
    }

    /// Returns the path of an open directory below the root, with all links resolved.
    fn real_path(&self, fd: &OwnedFd) -> Option<Vec<u8>> {
        let read = |fd: &OwnedFd| rustix::fs::readlink(fd_path(fd), Vec::new()).ok();
        let (root, path) = (read(&self.root)?.into_bytes(), read(fd)?.into_bytes());
        let path = path.strip_prefix(root.as_slice())?;
        Some(path.strip_prefix(b"/").unwrap_or(path).to_vec())
    }

    fn imply(&mut self, fd: &OwnedFd) {
        if self.implied.len() >= MAX_IMPLIED {
            self.note("it has too many folders without an entry: some may lose their mode".to_owned());
        } else if let Some(path) = self.real_path(fd) {
            self.implied.insert(path);
        }
    }

    fn note(&mut self, text: String) {
        if self.done.notes.len() < MAX_NOTES {
            self.done.notes.push(text);
        }
    }

    fn add<R: Read>(&mut self, entry: &Entry, data: &mut TarStream<R>) -> Result<(), UnpackError> {
        let fail = |action: &'static str| {
            let path = shown(&entry.path);
            move |source: Errno| UnpackError::Entry { action, path, source: source.into() }
        };
        let parts = components(&entry.path)?;
        let Some((name, parents)) = parts.split_last() else {
            if entry.kind != EntryKind::Directory {
                return Err(UnpackError::Malformed("its root is not a directory".to_owned()));
            }
            let root = Rc::clone(&self.root);
            self.directory_metadata(&root, b".", entry)?;
            self.directories.push((Vec::new(), entry.mtime));
            self.done.root_entry = true;
            return Ok(());
        };
        let parent = self.directory(parents, &entry.path)?;
        if let Some(hidden) = name.strip_prefix(WHITEOUT_PREFIX) {
            return self.whiteout(&parent, parents.is_empty(), name, hidden, &entry.path);
        }
        match entry.kind {
            EntryKind::Directory => {
                match self.clear(&parent, name, true).map_err(fail("replace"))? {
                    Cleared::Directory => {}
                    way => {
                        rustix::fs::mkdirat(&*parent, *name, Mode::from_raw_mode(0o755))
                            .map_err(fail("create"))?;
                        if way == Cleared::WasWhiteout {
                            self.opaque(&parent, name).map_err(fail("mark as opaque"))?;
                        }
                    }
                }
                self.directory_metadata(&parent, name, entry)?;
                if !self.implied.is_empty()
                    && let Some(mut path) = self.real_path(&parent)
                {
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(name);
                    self.implied.remove(&path);
                }
                self.directories.push((parts.join(&b'/'), entry.mtime));
            }
            EntryKind::File => {
                self.clear(&parent, name, false).map_err(fail("replace"))?;
                self.file(&parent, name, entry, data)?;
            }
            EntryKind::Symlink => {
                if entry.link.is_empty() || entry.link.contains(&0) {
                    return Err(UnpackError::Malformed("a symbolic link has no target".to_owned()));
                }
                self.clear(&parent, name, false).map_err(fail("replace"))?;
                rustix::fs::symlinkat(entry.link.as_slice(), &*parent, *name).map_err(fail("create"))?;
                self.node_metadata(&parent, name, entry, false)?;
            }
            EntryKind::HardLink => self.hard_link(&parent, name, entry)?,
            EntryKind::Character | EntryKind::Block | EntryKind::Fifo => {
                self.special(&parent, name, entry)?;
            }
        }
        Ok(())
    }

    /// Opens a directory of the layer and creates the missing parts of it.
    fn directory(&mut self, parts: &[&[u8]], shown_as: &[u8]) -> Result<Rc<OwnedFd>, UnpackError> {
        if parts.is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        let path = parts.join(&b'/');
        if let Some((cached, fd)) = &self.parent
            && *cached == path
        {
            return Ok(Rc::clone(fd));
        }
        let fail = |source: Errno| UnpackError::Entry {
            action: "open the folder of",
            path: shown(shown_as),
            source: source.into(),
        };
        let fd = match open_in_root(&self.root, &path) {
            Ok(fd) => Rc::new(fd),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                let mut current = Rc::clone(&self.root);
                for depth in 1..=parts.len() {
                    let prefix = parts.get(..depth).unwrap_or_default().join(&b'/');
                    let name = *parts.get(depth - 1).unwrap_or(&&b""[..]);
                    current = match open_in_root(&self.root, &prefix) {
                        Ok(fd) => Rc::new(fd),
                        Err(error @ (Errno::NOENT | Errno::NOTDIR)) => {
                            let there = stat(&current, name);
                            let hidden = matches!(&there, Ok(s) if is_whiteout(s));
                            if there.is_ok() && !hidden {
                                // A dangling link or a file: no entry can be below it.
                                return Err(fail(error));
                            }
                            self.count()?;
                            if hidden {
                                rustix::fs::unlinkat(&*current, name, AtFlags::empty()).map_err(fail)?;
                            }
                            rustix::fs::mkdirat(&*current, name, Mode::from_raw_mode(0o755)).map_err(fail)?;
                            chmod(&current, name, 0o755).map_err(fail)?;
                            if hidden {
                                self.opaque(&current, name).map_err(fail)?;
                            }
                            let made = Rc::new(open_in_root(&self.root, &prefix).map_err(fail)?);
                            self.imply(&made);
                            made
                        }
                        Err(error) => return Err(fail(error)),
                    };
                }
                current
            }
            Err(error) => return Err(fail(error)),
        };
        self.parent = Some((path, Rc::clone(&fd)));
        Ok(fd)
    }

    /// Removes what an entry replaces: within one layer the later entry wins.
    fn clear(&mut self, parent: &OwnedFd, name: &[u8], keep_directory: bool) -> Result<Cleared, Errno> {
        let there = match stat(parent, name) {
            Err(Errno::NOENT) => return Ok(Cleared::Free),
            other => other?,
        };
        if kind_of(&there) == FileType::Directory {
            if keep_directory {
                return Ok(Cleared::Directory);
            }
            rustix::fs::renameat(parent, name, self.trash, self.trashed.to_string())?;
            self.trashed += 1;
            self.parent = None;
            return Ok(Cleared::Free);
        }
        rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
        // The cached directory may have been opened through this link.
        self.parent = None;
        Ok(if is_whiteout(&there) { Cleared::WasWhiteout } else { Cleared::Free })
    }

    /// Creates a whiteout: `.wh.NAME` hides NAME in the layers below; `.wh..wh..opq` hides all that they have in this
    /// directory.
    fn whiteout(
        &mut self,
        parent: &OwnedFd,
        in_root: bool,
        name: &[u8],
        hidden: &[u8],
        path: &[u8],
    ) -> Result<(), UnpackError> {
        let fail = |source: Errno| UnpackError::Entry {
            action: "make the whiteout",
            path: shown(path),
            source: source.into(),
        };
        if name == OPAQUE_MARKER {
            self.done.opaque_root |= in_root;
            return set_xattr(&fd_path(parent), OPAQUE_XATTR.as_bytes(), b"y").map_err(fail);
        }
        if name.starts_with(AUFS_PREFIX) {
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(UnpackError::Escape { path: shown(path) });
        }
        match stat(parent, hidden) {
            Err(Errno::NOENT) => rustix::fs::mknodat(
                parent,
                hidden,
                FileType::CharacterDevice,
                Mode::empty(),
                rustix::fs::makedev(0, 0),
            )
            .map_err(fail),
            Err(error) => Err(fail(error)),
            // The whiteout hides the lower layers' content, not this layer's own: a directory starts empty.
            Ok(there) if kind_of(&there) == FileType::Directory => self.opaque(parent, hidden).map_err(fail),
            Ok(_) => Ok(()),
        }
    }

    #[allow(clippy::unused_self)]
    fn opaque(&self, parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        let fd = open_beneath(parent, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
        set_xattr(&fd_path(&fd), OPAQUE_XATTR.as_bytes(), b"y")
    }

    fn file<R: Read>(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        data: &mut TarStream<R>,
    ) -> Result<(), UnpackError> {
        let fail = |action: &'static str| {
            let path = shown(&entry.path);
            move |source: Errno| UnpackError::Entry { action, path, source: source.into() }
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600)).map_err(fail("create"))?;
        let file = File::from(fd);
        match &entry.sparse {
            None => self.copy(data, &file, entry.size, &entry.path)?,
            Some(sparse) => {
                rustix::fs::ftruncate(&file, sparse.real_size).map_err(fail("resize"))?;
                for (offset, length) in &sparse.segments {
                    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(*offset)).map_err(fail("seek in"))?;
                    self.copy(data, &file, *length, &entry.path)?;
                }
            }
        }
        // First, because changing the owner clears setuid bits and file capabilities.
        rustix::fs::fchown(&file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
            .map_err(fail("change the owner of"))?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode)).map_err(fail("change the mode of"))?;
        self.xattrs(&fd_path(&file), entry)?;
        rustix::fs::futimens(&file, &times(entry.mtime)).map_err(fail("set the time of"))
    }

    fn copy<R: Read>(
        &mut self,
        data: &mut TarStream<R>,
        mut file: &File,
        length: u64,
        path: &[u8],
    ) -> Result<(), UnpackError> {
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let n = data.read(self.buffer.get_mut(..most).unwrap_or_default())?;
            if n == 0 {
                return Err(UnpackError::Malformed("it is cut short".to_owned()));
            }
            let fail = |source| UnpackError::Entry { action: "write", path: shown(path), source };
            let bytes = self.buffer.get(..n).unwrap_or_default();
            left -= n as u64;
            // Long runs of zeros become holes, except the last bytes, which give the file its length.
            if left > 0 && n >= HOLE && is_zero(bytes) {
                let by = i64::try_from(n).unwrap_or(i64::MAX);
                file.seek(io::SeekFrom::Current(by)).map_err(fail)?;
                continue;
            }
            file.write_all(bytes).map_err(fail)?;
            self.unchecked += n as u64;
            if self.unchecked >= CHECK_ROOM {
                self.unchecked = 0;
                check_room(&self.root)?;
            }
        }
        self.done.size += length;
        Ok(())
    }

    fn hard_link(&mut self, parent: &OwnedFd, name: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        let missing = || UnpackError::HardLink { path: shown(&entry.path), target: shown(&entry.link) };
        let target = components(&entry.link)?;
        let (target_name, target_parents) = target.split_last().ok_or_else(missing)?;
        // Opened without creating directories, and without the cache, which is for the entry's own directory.
        let target_parent = match target_parents {
            [] => Rc::clone(&self.root),
            parts => Rc::new(open_in_root(&self.root, &parts.join(&b'/')).map_err(|_| missing())?),
        };
        let source = stat(&target_parent, target_name).map_err(|_| missing())?;
        if kind_of(&source) == FileType::Directory || is_whiteout(&source) {
            return Err(missing());
        }
        if let Ok(there) = stat(parent, name)
            && (there.st_dev, there.st_ino) == (source.st_dev, source.st_ino)
        {
            return Ok(());
        }
        let fail = |source: Errno| UnpackError::Entry {
            action: "link",
            path: shown(&entry.path),
            source: source.into(),
        };
        self.clear(parent, name, false).map_err(fail)?;
        match rustix::fs::linkat(&*target_parent, *target_name, parent, name, AtFlags::empty()) {
            // The link replaced a directory that contained its target.
            Err(Errno::NOENT) => Err(missing()),
            other => other.map_err(fail),
        }
    }

    fn special(&mut self, parent: &OwnedFd, name: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        let fail = |source: Errno| UnpackError::Entry {
            action: "create",
            path: shown(&entry.path),
            source: source.into(),
        };
        let (major, minor) = entry.device;
        let kind = match entry.kind {
            EntryKind::Character if (major, minor) == (0, 0) => {
                // No driver has this number, and overlayfs takes it for a whiteout: it could hide files of other layers
                // although the archive does not say so.
                self.note(format!("left out the character device 0:0 {:?}", shown(&entry.path)));
                return Ok(());
            }
            EntryKind::Character => FileType::CharacterDevice,
            EntryKind::Block => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        self.clear(parent, name, false).map_err(fail)?;
        let device = rustix::fs::makedev(major, minor);
        match rustix::fs::mknodat(parent, name, kind, Mode::from_raw_mode(entry.mode), device) {
            Err(Errno::PERM) if kind != FileType::Fifo => {
                self.note(format!("left out the device {:?}: not permitted here", shown(&entry.path)));
                Ok(())
            }
            Err(error) => Err(fail(error)),
            Ok(()) => self.node_metadata(parent, name, entry, true),
        }
    }

    fn finish(mut self) -> Result<Unpacked, UnpackError> {
        for (path, mtime) in std::mem::take(&mut self.directories) {
            // If a later entry has replaced it, there is nothing to do.
            let (parents, name) = match path.iter().rposition(|b| *b == b'/') {
                Some(at) => path.split_at(at),
                None => (&b""[..], path.as_slice()),
            };
            let name = name.strip_prefix(b"/").unwrap_or(name);
            let parent = match parents {
                b"" => Rc::clone(&self.root),
                parents => match open_in_root(&self.root, parents) {
                    Ok(fd) => Rc::new(fd),
                    Err(_) => continue,
                },
            };
            let name = if name.is_empty() { &b"."[..] } else { name };
            if stat(&parent, name).is_ok_and(|s| kind_of(&s) == FileType::Directory) {
                rustix::fs::utimensat(&*parent, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW).map_err(
                    |e| UnpackError::Entry {
                        action: "set the time of",
                        path: shown(&path),
                        source: e.into(),
                    },
                )?;
            }
        }
        // A later entry may have replaced it by something else.
        let is_directory = |path: &Vec<u8>| open_in_root(&self.root, path).is_ok();
        self.done.implied = std::mem::take(&mut self.implied).into_iter().filter(is_directory).collect();
        Ok(self.done)
    }
}

/// Opens a directory below `root` as a process chrooted into it would.
fn open_in_root(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = CString::new(path).map_err(|_| Errno::INVAL)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    loop {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(root, path.as_c_str(), flags, Mode::empty(), resolve) {
            // The kernel saw a concurrent rename and cannot be sure; openat2(2) says to try again.
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

fn open_beneath(parent: &OwnedFd, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(parent, name, flags | OFlags::CLOEXEC, Mode::empty())
}

fn stat(parent: &OwnedFd, name: &[u8]) -> Result<Stat, Errno> {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: i64::from(nanos) },
    }
}
