//! Sets owner, mode, extended attributes and time of unpacked files, and decides which attributes an image may set.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::super::tar_stream::Entry;
use super::{UnpackError, Unpacker, fd_path, open_beneath, shown, times};

impl Unpacker<'_> {
    pub(super) fn directory_metadata(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), UnpackError> {
        let fail = |source: Errno| UnpackError::Entry {
            action: "set the owner and mode of",
            path: shown(&entry.path),
            source: source.into(),
        };
        let fd =
            open_beneath(parent, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW).map_err(fail)?;
        let path = fd_path(&fd);
        rustix::fs::chown(path.as_str(), Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
            .map_err(fail)?;
        rustix::fs::chmod(path.as_str(), Mode::from_raw_mode(entry.mode)).map_err(fail)?;
        self.xattrs(&path, entry)
    }

    /// Sets owner, mode, xattrs and time of a file that is neither regular nor a directory; a symlink has no mode.
    pub(super) fn node_metadata(
        &mut self,
        parent: &OwnedFd,
        name: &[u8],
        entry: &Entry,
        has_mode: bool,
    ) -> Result<(), UnpackError> {
        let fail = |source: Errno| UnpackError::Entry {
            action: "set the owner and time of",
            path: shown(&entry.path),
            source: source.into(),
        };
        let owner = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
        rustix::fs::chownat(parent, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
        if has_mode {
            chmod(parent, name, entry.mode).map_err(fail)?;
        }
        let path = [fd_path(parent).as_bytes(), b"/", name].concat();
        self.xattrs_at(&path, entry)?;
        rustix::fs::utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW).map_err(fail)
    }

    pub(super) fn xattrs(&mut self, path: &str, entry: &Entry) -> Result<(), UnpackError> {
        for (name, value) in &entry.xattrs {
            self.xattr(entry, name, || set_xattr(path, name, value))?;
        }
        Ok(())
    }

    fn xattrs_at(&mut self, path: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        for (name, value) in &entry.xattrs {
            self.xattr(entry, name, || {
                rustix::fs::lsetxattr(path, name.as_slice(), value, XattrFlags::empty())
            })?;
        }
        Ok(())
    }

    /// Sets an xattr if an image may have it. `trusted.*` and `user.overlay.*` would be interpreted by overlayfs, and
    /// `security.selinux` and similar ones belong to the host.
    fn xattr(
        &mut self,
        entry: &Entry,
        name: &[u8],
        set: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), UnpackError> {
        let allowed = match name {
            b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
            name => name.starts_with(b"user.") && !name.starts_with(b"user.overlay."),
        };
        let mut left_out = |why: &str| {
            let text = format!("left out the attribute {} of {:?}: {why}", shown(name), shown(&entry.path));
            self.note(text);
        };
        if !allowed {
            left_out("images may not set it");
            return Ok(());
        }
        match set() {
            Ok(()) => Ok(()),
            // The file system does not support xattrs, or the kernel does not allow any for this kind of file.
            Err(error @ (Errno::OPNOTSUPP | Errno::PERM)) => {
                left_out(&io::Error::from(error).to_string());
                Ok(())
            }
            Err(source) => Err(UnpackError::Entry {
                action: "set an attribute of",
                path: shown(&entry.path),
                source: source.into(),
            }),
        }
    }
}

/// Changes the mode of a file that is known not to be a symlink, because no other process writes here.
pub(super) fn chmod(parent: &OwnedFd, name: &[u8], mode: u32) -> Result<(), Errno> {
    rustix::fs::chmodat(parent, name, Mode::from_raw_mode(mode), AtFlags::empty())
}

pub(super) fn set_xattr(path: &str, name: &[u8], value: &[u8]) -> Result<(), Errno> {
    rustix::fs::setxattr(path, name, value, XattrFlags::empty())
}
