//! Assembles a container's root file system before libcontainer is called.
//!
//! libcontainer cannot mount through a link whose target does not exist yet, does not name the path that fails, and
//! expects the working directory to exist. Therefore volumes are mounted here, in the order of the spec, into the root
//! in the caller's own mount namespace; libcontainer then binds the root with everything mounted in it. Mounts below
//! /proc, /sys and /dev stay in the spec, because libcontainer mounts those folders itself.
//!
//! Image and volumes are untrusted, and other containers of the pod may change a shared volume at the same time.
//! Therefore a path is first resolved to one without links ([`Root::place`]), and everything is then opened and created
//! through descriptors that refuse any link on the way ([`Root::look_up`]): a link that appears in between is an error
//! and is never followed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use nix::unistd::{Gid, Uid};
use oci_spec::runtime::{Mount, Spec};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, chownat, fstat, mkdirat, open, openat, openat2,
    readlinkat,
};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::{guard, mount_attributes, user_namespace};

/// Maximum number of links in a path, as in the kernel (path_resolution(7)).
const MOST_LINKS: usize = 40;
/// Maximum number of attempts of a lookup that a concurrent change disturbs (openat2(2), EAGAIN; a link that has just
/// appeared).
const RETRIES: usize = 100;
/// Folders that libcontainer mounts later: the image's and the volumes' content below them is not visible.
const MOUNTED_LATER: [&str; 3] = ["/proc", "/dev", "/sys"];

/// Errors of assembling a root.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The spec has no root and so is not one of ours.
    #[error("its spec has no root")]
    NoRoot,
    /// An image or a volume is refused.
    #[error("{0}")]
    Refused(String),
    /// The root cannot be opened.
    #[error("cannot open its root {}: {source}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A mount failed.
    #[error("cannot mount {} at {destination}: {problem}", volume.display())]
    Mount {
        /// The source of the mount.
        volume: PathBuf,
        /// `mountPath`, and where a link of the image leads it.
        destination: String,
        /// The cause.
        problem: Problem,
    },
    /// `workingDir` cannot be used.
    #[error("workingDir {}: {problem}", dir.display())]
    WorkingDir {
        /// The path in the manifest or the image.
        dir: PathBuf,
        /// The cause.
        problem: Problem,
    },
}

/// Why a path in the root cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// A system call failed.
    #[error("{action} {}: {}", path.display(), io::Error::from(*source))]
    Call {
        /// "create", "look up", ...
        action: &'static str,
        /// The path in the container.
        path: PathBuf,
        /// The kernel's error.
        source: Errno,
    },
    /// A file exists where a folder is needed.
    #[error("{} is not a folder", .0.display())]
    NotFolder(PathBuf),
    /// A folder exists where a file is needed.
    #[error("what is mounted is a file, but {} is a folder", .0.display())]
    NotFile(PathBuf),
}

impl Problem {
    fn call(action: &'static str, path: &Path) -> impl FnOnce(Errno) -> Self + use<> {
        let path = path.to_owned();
        move |source| match source {
            Errno::NOTDIR => Self::NotFolder(path.parent().unwrap_or(&path).to_owned()),
            source => Self::Call { action, path, source },
        }
    }

    /// Returns true if another attempt may succeed, because something was renamed or became a link in the meantime.
    fn is_race(&self) -> bool {
        matches!(self, Self::Call { source: Errno::LOOP | Errno::AGAIN, .. })
    }
}

/// Mounts the volumes of a spec and creates its working directory. Mounts that were made are removed from the spec; the
/// destinations of the others are resolved.
///
/// Must be called in a mount namespace of its own, so that the mounts end with the container.
pub(super) fn assemble(spec: &mut Spec) -> Result<(), Error> {
    let path = spec.root().as_ref().ok_or(Error::NoRoot)?.path().clone();
    // Every user may enter the folders that are created here, whatever the umask of our caller is.
    let umask = rustix::process::umask(Mode::from_raw_mode(0o022));
    let result = try_assemble(spec, &path);
    rustix::process::umask(umask);
    result
}

fn try_assemble(spec: &mut Spec, path: &Path) -> Result<(), Error> {
    let owner = user_namespace::first_id(spec).unwrap_or(0);
    let mut root = Root::open(path)?.owned_by(owner);
    let mut left = Vec::new();
    for mut mount in spec.mounts().iter().flatten().cloned() {
        if mount.typ().as_deref() != Some("bind") {
            left.push(mount);
            continue;
        }
        match root.mount(&mount)? {
            Outcome::Done(place) if place == Path::new("/") => root = Root::open(path)?.owned_by(owner),
            Outcome::Done(_) => {}
            Outcome::Later(place) => {
                mount.set_destination(place);
                left.push(mount);
            }
        }
    }
    if let Some(process) = spec.process() {
        root.make_working_dir(process.cwd(), &left)
            .map_err(|problem| Error::WorkingDir { dir: process.cwd().clone(), problem })?;
    }
    spec.set_mounts(Some(left));
    Ok(())
}

/// The result of a mount.
enum Outcome {
    /// Mounted, at this path of the container.
    Done(PathBuf),
    /// Left to libcontainer, to be mounted at this path of the container.
    Later(PathBuf),
}

/// The kind of mount point to create.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MountPointKind {
    Folder,
    File,
}

/// The root of a container, or of a volume.
pub(super) struct Root {
    fd: OwnedFd,
    /// The owner of what is created: the root of the container's user namespace.
    owner: u32,
}

impl Root {
    /// Opens a root; refuses it if its /dev, /proc or /sys is not a folder.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(path, flags, Mode::empty())
            .map_err(|source| Error::Open { path: path.to_owned(), source: source.into() })?;
        let root = Self { fd, owner: 0 };
        for folder in MOUNTED_LATER {
            match root.look_up(Path::new(folder), OFlags::DIRECTORY) {
                Ok(_) | Err(Errno::NOENT) => {}
                Err(_) => return Err(Error::Refused(format!("{folder} of the image is not a folder"))),
            }
        }
        Ok(root)
    }

    /// Opens a volume by itself.
    fn of_volume(path: &Path) -> Result<Self, Problem> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(path, flags, Mode::empty()).map_err(Problem::call("open", path))?;
        Ok(Self { fd, owner: 0 })
    }

    /// Changes the owner of what is created from root to this user and group.
    fn owned_by(self, owner: u32) -> Self {
        Self { owner, ..self }
    }

    /// Returns where a path of the container leads, without links and `..`. Its last components need not exist. Below
    /// the folders that libcontainer mounts nothing is resolved.
    pub(super) fn place(&self, path: &Path) -> Result<PathBuf, Errno> {
        let (mut left, mut found, mut links) = (parts(path), PathBuf::from("/"), 0);
        while let Some(part) = left.pop() {
            match part.as_bytes() {
                b"" | b"." => continue,
                b".." => {
                    found.pop();
                    continue;
                }
                _ => found.push(&part),
            }
            if is_mounted_later(&found) {
                continue;
            }
            let Some(target) = self.read_link(&found)? else { continue };
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::LOOP);
            }
            found.pop();
            if target.is_absolute() {
                found = PathBuf::from("/");
            }
            left.extend(parts(&target));
        }
        Ok(found)
    }

    /// Returns the target of a link; `None` if the path is not a link or does not exist.
    fn read_link(&self, path: &Path) -> Result<Option<PathBuf>, Errno> {
        match self.look_up(path, OFlags::empty()) {
            Ok(fd) if is_link(&fd)? => {
                let target = readlinkat(&fd, "", Vec::new())?;
                Ok(Some(PathBuf::from(OsString::from_vec(target.into_bytes()))))
            }
            // Creating a file at this path reports the same error.
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens (O_PATH) a path without links; if its last component is a link, the link itself is opened.
    fn look_up(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let below = path.strip_prefix("/").unwrap_or(path);
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        for _ in 0..RETRIES {
            match openat2(&self.fd, below, flags, Mode::empty(), how) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens a path without links and creates what is missing of it, owned by root, with mode 0755 or 0644.
    fn make(&self, place: &Path, kind: MountPointKind) -> Result<OwnedFd, Problem> {
        let names: Vec<&OsStr> = place
            .components()
            .filter_map(|part| match part {
                Component::Normal(name) => Some(name),
                _ => None,
            })
            .collect();
        let mut above = PathBuf::from("/");
        for (n, name) in names.iter().enumerate() {
            let parent = self.look_up(&above, OFlags::empty()).map_err(Problem::call("look up", &above))?;
            match file_type(&parent).map_err(Problem::call("look at", &above))? {
                FileType::Directory => {}
                FileType::Symlink => return Err(Problem::call("look up", &above)(Errno::LOOP)),
                _ => return Err(Problem::NotFolder(above)),
            }
            above.push(name);
            match self.look_up(&above, OFlags::empty()) {
                Ok(_) => continue,
                Err(Errno::NOENT) => {}
                Err(error) => return Err(Problem::call("look up", &above)(error)),
            }
            let kind = if n + 1 == names.len() { kind } else { MountPointKind::Folder };
            match self.create(&parent, name, kind) {
                // Another container has created it first, in a volume that both mount.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(Problem::call("create", &above)(error)),
            }
        }
        let fd = self.look_up(place, OFlags::empty()).map_err(Problem::call("look up", place))?;
        if is_link(&fd).map_err(Problem::call("look at", place))? {
            return Err(Problem::call("look up", place)(Errno::LOOP));
        }
        Ok(fd)
    }

    /// Creates an empty folder or file.
    fn create(&self, parent: &OwnedFd, name: &OsStr, kind: MountPointKind) -> Result<(), Errno> {
        let create = || match kind {
            MountPointKind::File => {
                let flags =
                    OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
            }
            MountPointKind::Folder => mkdirat(parent, name, Mode::from_raw_mode(0o755)),
        };
        if self.owner == 0 {
            return create();
        }
        match create() {
            // The root of the host has no id in a mount with mapped owners; that of the namespace has.
            Err(Errno::OVERFLOW) => {
                let (gid, uid) = (Gid::from_raw(self.owner), Uid::from_raw(self.owner));
                nix::unistd::setfsgid(gid);
                nix::unistd::setfsuid(uid);
                let created = create();
                nix::unistd::setfsuid(Uid::from_raw(0));
                nix::unistd::setfsgid(Gid::from_raw(0));
                created
            }
            Ok(()) => {
                let (uid, gid) =
                    (rustix::fs::Uid::from_raw(self.owner), rustix::fs::Gid::from_raw(self.owner));
                chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            }
            result => result,
        }
    }

    /// Creates the working directory. If it is below one of the mounts in `later`, it is created in that mount's
    /// source.
    fn make_working_dir(&self, dir: &Path, later: &[Mount]) -> Result<(), Problem> {
        retry(|| {
            let place = self.place(dir).map_err(Problem::call("look up", dir))?;
            if is_mounted_later(&place) {
                let binds = later.iter().filter(|mount| mount.typ().as_deref() == Some("bind"));
                let above = binds.filter_map(|mount| {
                    let below = place.strip_prefix(mount.destination()).ok()?;
                    Some((mount.source().as_ref()?, below))
                });
                // Nothing can be created in the kernel's own file systems.
                return match above.min_by_key(|(_, below)| below.components().count()) {
                    Some((source, below)) => Self::of_volume(source)?.make_working_dir(below, &[]),
                    None => Ok(()),
                };
            }
            let fd = self.make(&place, MountPointKind::Folder)?;
            if is_folder(&fd).map_err(Problem::call("look at", &place))? {
                Ok(())
            } else {
                Err(Problem::NotFolder(place))
            }
        })
    }

    /// Performs one bind mount of a spec.
    fn mount(&self, mount: &Mount) -> Result<Outcome, Error> {
        let source = mount.source().clone().unwrap_or_default();
        let wanted = mount.destination();
        let mut shown = wanted.display().to_string();
        let failed = |destination: &str, problem| Error::Mount {
            volume: source.clone(),
            destination: destination.to_owned(),
            problem,
        };
        for _ in 0..RETRIES {
            let place = self
                .place(wanted)
                .map_err(|error| failed(&shown, Problem::call("look up", wanted)(error)))?;
            if place != *wanted {
                shown = format!("{} (a link of the image leads to {})", wanted.display(), place.display());
            }
            guard::check_place(&shown, &place, &source)
                .map_err(|refusal| Error::Refused(refusal.to_string()))?;
            if guard::is_own_device(&place) {
                return Ok(Outcome::Done(place));
            }
            let options: Vec<&str> = mount.options().iter().flatten().map(String::as_str).collect();
            let Some(options) = Options::parse(&options).filter(|_| !is_mounted_later(&place)) else {
                return Ok(Outcome::Later(place));
            };
            match self.mount_at(&source, &place, &options) {
                Ok(()) => return Ok(Outcome::Done(place)),
                Err(problem) if problem.is_race() => {}
                Err(problem) => return Err(failed(&shown, problem)),
            }
        }
        Err(failed(&shown, Problem::call("look up", wanted)(Errno::LOOP)))
    }

    fn mount_at(&self, source: &Path, place: &Path, options: &Options) -> Result<(), Problem> {
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        if options.recursive {
            flags |= OpenTreeFlags::AT_RECURSIVE;
        }
        let tree = open_tree(CWD, source, flags).map_err(Problem::call("open", source))?;
        options.apply(tree.as_fd()).map_err(Problem::call("set the mount options of", source))?;
        let is_tree = is_folder(&tree).map_err(Problem::call("look at", source))?;
        let target = self.make(place, if is_tree { MountPointKind::Folder } else { MountPointKind::File })?;
        let is_target_folder = is_folder(&target).map_err(Problem::call("look at", place))?;
        match (is_tree, is_target_folder) {
            (true, false) => return Err(Problem::NotFolder(place.to_owned())),
            (false, true) => return Err(Problem::NotFile(place.to_owned())),
            _ => {}
        }
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&tree, "", &target, "", flags).map_err(Problem::call("mount on", place))
    }
}

/// Repeats an attempt that a concurrent change disturbed.
fn retry(mut attempt: impl FnMut() -> Result<(), Problem>) -> Result<(), Problem> {
    for _ in 1..RETRIES {
        match attempt() {
            Err(problem) if problem.is_race() => {}
            result => return result,
        }
    }
    attempt()
}

/// Returns the components of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let text = path.as_os_str().as_bytes().split(|byte| *byte == b'/').rev();
    text.map(|part| OsStr::from_bytes(part).to_owned()).collect()
}

fn is_mounted_later(place: &Path) -> bool {
    MOUNTED_LATER.iter().any(|folder| place.starts_with(folder))
}

fn file_type(fd: &OwnedFd) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode))
}

fn is_link(fd: &OwnedFd) -> Result<bool, Errno> {
    Ok(file_type(fd)? == FileType::Symlink)
}

fn is_folder(fd: &OwnedFd) -> Result<bool, Errno> {
    Ok(file_type(fd)? == FileType::Directory)
}

/// Options of a bind mount (config.md of the OCI runtime spec, "Linux mount options").
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    /// Whether mounts below the source are included.
    recursive: bool,
    /// `MOUNT_ATTR_*` of the mount itself.
    attributes: u64,
    /// `MOUNT_ATTR_*` of the mount and all mounts below it.
    recursive_attributes: u64,
    /// `MS_*` for the mount and all mounts below it; 0 leaves the propagation unchanged.
    propagation: u64,
}

impl Options {
    /// Parses the options; `None` if one of them is known to libcontainer only.
    fn parse(options: &[&str]) -> Option<Self> {
        let mut parsed = Self::default();
        for option in options {
            match *option {
                "rbind" => parsed.recursive = true,
                "bind" | "rw" => {}
                "ro" => parsed.attributes |= mount_attributes::READ_ONLY,
                "rro" => parsed.recursive_attributes |= mount_attributes::READ_ONLY,
                "nosuid" => parsed.attributes |= mount_attributes::NO_SUID,
                "nodev" => parsed.attributes |= mount_attributes::NO_DEVICES,
                "noexec" => parsed.attributes |= mount_attributes::NO_EXEC,
                "rprivate" => parsed.propagation = libc::MS_PRIVATE,
                "rslave" => parsed.propagation = libc::MS_SLAVE,
                "rshared" => parsed.propagation = libc::MS_SHARED,
                _ => return None,
            }
        }
        Some(parsed)
    }

    fn apply(&self, mount: BorrowedFd<'_>) -> Result<(), Errno> {
        if self.propagation != 0 || self.recursive_attributes != 0 {
            let recursive = libc::AT_RECURSIVE;
            mount_attributes::set(mount, recursive, self.recursive_attributes, self.propagation)?;
        }
        if self.attributes != 0 {
            mount_attributes::set(mount, 0, self.attributes, 0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
