//! Places copies in a folder, by name and descriptor: nothing outside of the folder is ever written, whatever links are in
//! it or are created in it meanwhile.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, fchmod, fchown, fstat, mkdirat,
    openat2, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::walk::{Meta, Sink, reopen};
use super::{Error, retried};

/// What is done with symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// They are copied as links.
    Keep,
    /// They are left out, because a hostile container decides where they lead.
    Skip,
}

/// A folder that copies are placed in.
pub struct Place<'a> {
    folder: OwnedFd,
    /// How the user names the folder, for messages.
    shown: PathBuf,
    /// The user and the group of new files; `None`: those of this process.
    owner: Option<(u32, u32)>,
    /// The bits of modes that are kept.
    modes: u32,
    links: Links,
    /// Receives what is not copied and why.
    skipped: &'a mut dyn FnMut(&Path, &str),
}

impl<'a> Place<'a> {
    /// Places copies in a folder of this host. They belong to this process, and have no set-user-ID bits: a container
    /// must not be able to leave a program of root behind.
    pub fn on_host(folder: OwnedFd, shown: &Path, skipped: &'a mut dyn FnMut(&Path, &str)) -> Self {
        let shown = shown.to_owned();
        Self { folder, shown, owner: None, modes: 0o777, links: Links::Skip, skipped }
    }

    /// Places copies in a folder of a container. They belong to the user and the group `owner`.
    pub fn in_container(
        folder: OwnedFd,
        shown: &Path,
        owner: (u32, u32),
        skipped: &'a mut dyn FnMut(&Path, &str),
    ) -> Self {
        let shown = shown.to_owned();
        Self { folder, shown, owner: Some(owner), modes: 0o7777, links: Links::Keep, skipped }
    }

    fn at(&self, action: &'static str, path: &Path) -> impl FnOnce(Errno) -> Error + use<> {
        Error::at(action, &self.shown.join(path))
    }

    /// Opens something below the folder without following any link.
    fn open(&self, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        retried(|| openat2(&self.folder, path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, mode, how))
    }

    /// Returns the folder that contains `path`, and the last part of it.
    fn parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p std::ffi::OsStr), Error> {
        let name = path.file_name().ok_or_else(|| Error::NoName(path.to_owned()))?;
        let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let parent = self.open(above, flags, Mode::empty()).map_err(self.at("open", above))?;
        Ok((parent, name))
    }

    fn own(&self, file: &OwnedFd, path: &Path) -> Result<(), Error> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        fchown(file, Some(uid), Some(gid)).map_err(self.at("set the owner of", path))
    }

    fn set_mode(&self, file: impl std::os::fd::AsFd, mode: u32, path: &Path) -> Result<(), Error> {
        let mode = Mode::from_raw_mode(mode & self.modes);
        fchmod(file, mode).map_err(self.at("set the mode of", path))
    }

    /// Opens a file for writing: a new one, or the regular file that exists. Returns whether it is new.
    fn create(&self, path: &Path) -> Result<(File, bool), Error> {
        let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let private = Mode::RUSR | Mode::WUSR;
        for _ in 0..2 {
            match self.open(path, new, private) {
                Ok(file) => return Ok((File::from(file), true)),
                Err(Errno::EXIST | Errno::LOOP) => {}
                Err(error) => return Err(self.at("create", path)(error)),
            }
            // Only a regular file is opened for writing. A device of a container would be one of the host.
            let found = match self.open(path, OFlags::PATH, Mode::empty()) {
                Ok(found) => found,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(self.at("open", path)(error)),
            };
            match kind(&found) {
                Some(FileType::RegularFile) => {
                    let file = reopen(&found, OFlags::WRONLY | OFlags::TRUNC);
                    return Ok((file.map_err(self.at("open", path))?, false));
                }
                // With O_PATH and O_NOFOLLOW a link itself is opened (openat2(2), RESOLVE_NO_SYMLINKS).
                Some(FileType::Symlink) => self.remove_link(path)?,
                _ => break,
            }
        }
        Err(Error::Exists { path: self.shown.join(path), wanted: "file" })
    }

    /// Removes a link that is in the way, as tar(1) does.
    fn remove_link(&self, path: &Path) -> Result<(), Error> {
        let (parent, name) = self.parent(path)?;
        match unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.at("remove", path)(error)),
        }
    }
}

fn kind(found: &OwnedFd) -> Option<FileType> {
    fstat(found).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
}

/// Copies the content of a file.
pub fn fill(file: &mut File, content: &mut dyn Read, shown: &Path) -> Result<(), Error> {
    std::io::copy(content, file).map_err(Error::at("write", shown))?;
    Ok(())
}

impl Sink for Place<'_> {
    fn folder(&mut self, path: &Path, meta: &Meta) -> Result<(), Error> {
        let (parent, name) = self.parent(path)?;
        let made = match mkdirat(&parent, name, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(self.at("create", path)(error)),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = self.open(path, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOTDIR | Errno::LOOP => Error::Exists { path: self.shown.join(path), wanted: "folder" },
            error => self.at("open", path)(error),
        })?;
        if made {
            self.own(&folder, path)?;
            self.set_mode(&folder, meta.mode, path)?;
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, meta: &Meta, content: &mut dyn Read) -> Result<(), Error> {
        let (mut file, is_new) = self.create(path)?;
        fill(&mut file, content, &self.shown.join(path))?;
        let file = OwnedFd::from(file);
        if is_new {
            self.own(&file, path)?;
        }
        self.set_mode(file.as_fd(), meta.mode, path)
    }

    fn link(&mut self, path: &Path, _: &Meta, target: &Path) -> Result<(), Error> {
        if self.links == Links::Skip {
            (self.skipped)(path, &format!("a link to {}", target.display()));
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        let mut made = symlinkat(target, &parent, name);
        if made == Err(Errno::EXIST) {
            unlinkat(&parent, name, AtFlags::empty()).map_err(self.at("replace", path))?;
            made = symlinkat(target, &parent, name);
        }
        made.map_err(self.at("create", path))?;
        if let Some((uid, gid)) = self.owner {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(self.at("set the owner of", path))?;
        }
        Ok(())
    }

    fn skip(&mut self, path: &Path, what: &str) {
        (self.skipped)(path, what);
    }
}
