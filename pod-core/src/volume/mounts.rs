//! What is mounted where, and undoing it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::mount::{UnmountFlags, unmount};

use crate::store::Error;

/// True when something is mounted on `path` (statx(2), STATX_ATTR_MOUNT_ROOT).
pub fn is_mount_point(path: &Path) -> bool {
    statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)
        .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Mount points at and below `root`, in the order they were mounted (proc_pid_mountinfo(5)).
fn mounts_below(root: &Path) -> Result<Vec<PathBuf>, Error> {
    // What was mounted through a link is listed by its real path.
    let root = match fs::canonicalize(root) {
        Ok(real) => real,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("look at", root)(e)),
    };
    let path = Path::new("/proc/self/mountinfo");
    let text = fs::read(path).map_err(Error::io("read", path))?;
    Ok(text
        .split(|b| *b == b'\n')
        .filter_map(|line| line.split(|b| *b == b' ').nth(4))
        .map(|field| PathBuf::from(unescape(field)))
        .filter(|point| point.starts_with(&root))
        .collect())
}

/// `\040` is a blank, and so on.
fn unescape(field: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            let text = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(text, 8).ok()
        });
        match octal {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(out)
}

/// Unmounts everything at and below `root`, the last mounted first. Busy ones are detached: they end with
/// their last user. Gives every error.
pub fn unmount_below(root: &Path) -> Vec<Error> {
    let points = match mounts_below(root) {
        Ok(points) => points,
        Err(error) => return vec![error],
    };
    let mut errors = Vec::new();
    for point in points.iter().rev() {
        if let Err(e) = unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // Gone with its parent, or by another process: what is left shows in the next look.
            if e != rustix::io::Errno::INVAL && e != rustix::io::Errno::NOENT {
                errors.push(Error::io("unmount", point)(e.into()));
            }
        }
    }
    errors
}

/// Unmounts whatever is mounted on `path`, however many lie over one another.
pub fn unmount_all(path: &Path) -> Result<(), Error> {
    while is_mount_point(path) {
        unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            .map_err(|e| Error::io("unmount", path)(e.into()))?;
    }
    Ok(())
}

/// For messages about a name in a folder.
pub fn lossless(dir: &Path, name: &[u8]) -> PathBuf {
    dir.join(OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_escapes_are_undone() {
        assert_eq!(unescape(br"/a\040b\134c\011"), OsStr::new("/a b\\c\t"));
        assert_eq!(unescape(br"/a\04"), OsStr::new(r"/a\04"));
        assert_eq!(unescape(br"/a\999"), OsStr::new(r"/a\999"));
    }

    #[test]
    fn proc_is_a_mount_point_and_a_folder_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_mount_point(Path::new("/proc")));
        assert!(!is_mount_point(dir.path()));
        assert!(!is_mount_point(&dir.path().join("missing")));
    }
}
