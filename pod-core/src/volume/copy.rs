//! Copies trees and files with all metadata. Contents are shared with the original (reflink) where the file system can.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, SeekFrom, ioctl_ficlone, seek};
use rustix::io::Errno;

use crate::image::copy_metadata;

/// Copies the contents of `from` into the existing folder `to`, and then its owner and mode. Nothing may change `to` in
/// the meantime; what changes in `from` is copied as it is found.
///
/// # Errors
/// The first error; `to` is incomplete then.
pub fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    let mut copy = Copy::default();
    // Not recursive: a tree may nest folders deeper than the stack allows.
    let mut pending = vec![(from.to_owned(), to.to_owned())];
    let mut folders = Vec::new();
    while let Some((from, to)) = pending.pop() {
        for entry in fs::read_dir(&from)? {
            let name = entry?.file_name();
            let (from, to) = (from.join(&name), to.join(&name));
            if copy.copy_file(&from, &to)? {
                pending.push((from, to));
            }
        }
        folders.push((from, to));
    }
    // The deepest first, because creating a file in a folder changes the folder's time.
    for (from, to) in folders.iter().rev() {
        copy_metadata(from, to, &rustix::fs::lstat(from)?)?;
    }
    Ok(())
}

/// Copies the contents of a file into a new file, whose holes stay holes. Only the owner may read the new file.
///
/// # Errors
/// If one of them cannot be read or written; the new file is incomplete then.
pub fn copy_contents(from: &Path, to: &Path) -> io::Result<()> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let source = OpenOptions::new().read(true).custom_flags(no_follow).open(from)?;
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    match ioctl_ficlone(&target, &source) {
        Ok(()) => return Ok(()),
        // Another file system, or one that cannot share contents.
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::INVAL | Errno::PERM | Errno::NOSYS) => {}
        Err(error) => return Err(error.into()),
    }
    let length = source.metadata()?.len();
    target.set_len(length)?;
    copy_data(&source, &target, length)
}

/// Copies the parts of a file that are not holes.
fn copy_data(source: &File, target: &File, length: u64) -> io::Result<()> {
    let mut at = 0;
    while at < length {
        let start = match seek(source, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Only a hole is left.
            Err(Errno::NXIO) => return Ok(()),
            // The file system knows no holes.
            Err(Errno::INVAL) => at,
            Err(error) => return Err(error.into()),
        };
        let end = seek(source, SeekFrom::Hole(start)).unwrap_or(length).min(length);
        if end <= start {
            return Ok(());
        }
        seek(source, SeekFrom::Start(start))?;
        seek(target, SeekFrom::Start(start))?;
        let copied = io::copy(&mut io::Read::take(source, end - start), &mut &*target)?;
        if copied == 0 {
            return Ok(());
        }
        at = start + copied;
    }
    Ok(())
}

/// A copy of a tree under way.
#[derive(Default)]
struct Copy {
    /// Where the first name of a file with several hard links was copied to.
    linked: HashMap<(u64, u64), PathBuf>,
}

impl Copy {
    /// Copies one file of any kind; returns true for a folder, which is created empty.
    fn copy_file(&mut self, from: &Path, to: &Path) -> io::Result<bool> {
        let stat = rustix::fs::lstat(from)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            fs::create_dir(to)?;
            return Ok(true);
        }
        if stat.st_nlink > 1 {
            if let Some(first) = self.linked.get(&(stat.st_dev, stat.st_ino)) {
                fs::hard_link(first, to)?;
                return Ok(false);
            }
            self.linked.insert((stat.st_dev, stat.st_ino), to.to_owned());
        }
        match kind {
            FileType::RegularFile => copy_contents(from, to)?,
            FileType::Symlink => {
                let target = rustix::fs::readlink(from, Vec::new())?;
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target.as_bytes()), to)?;
            }
            // A socket is useless without the process that listens on it.
            FileType::Socket | FileType::Directory | FileType::Unknown => return Ok(false),
            device => {
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                match rustix::fs::mknodat(CWD, to, device, mode, stat.st_rdev) {
                    Err(Errno::PERM) => return Ok(false),
                    other => other?,
                }
            }
        }
        copy_metadata(from, to, &stat)?;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn holes_stay_holes() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let file = File::create(&from).unwrap();
        file.set_len(64 << 20).unwrap();
        for at in [0, 8 << 20, (64 << 20) - 4] {
            std::os::unix::fs::FileExt::write_all_at(&file, b"data", at).unwrap();
        }
        copy_contents(&from, &to).unwrap();
        assert!(fs::read(&from).unwrap() == fs::read(&to).unwrap());
        let taken = fs::metadata(&to).unwrap().blocks() * 512;
        assert!(taken < 16 << 20, "{taken}");
        assert!(copy_contents(&from, &to).is_err(), "an existing file is not overwritten");
    }

    #[test]
    fn an_empty_file_and_one_without_holes_are_copied() {
        let dir = tempfile::tempdir().unwrap();
        for (name, contents) in [("empty", Vec::new()), ("full", vec![7; 3 << 20])] {
            let (from, to) = (dir.path().join(name), dir.path().join(format!("{name}-copy")));
            fs::write(&from, &contents).unwrap();
            copy_contents(&from, &to).unwrap();
            assert!(fs::read(&to).unwrap() == contents, "{name}");
        }
    }
}
