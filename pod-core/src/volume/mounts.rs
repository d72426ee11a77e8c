//! Lists mount points and unmounts them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};

use crate::store::Error;

/// Returns the mount points at and below `roots`, in the order in which they were mounted (proc_pid_mountinfo(5)).
fn mounts_below(roots: &[&Path]) -> Result<Vec<PathBuf>, Error> {
    let mut real_roots = Vec::new();
    for root in roots {
        match fs::canonicalize(root) {
            // A mount made through a link is listed by its real path.
            Ok(real) => real_roots.push(real),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("look at", *root)(e)),
        }
    }
    if real_roots.is_empty() {
        return Ok(Vec::new());
    }
    let path = Path::new("/proc/self/mountinfo");
    let text = fs::read(path).map_err(Error::io("read", path))?;
    Ok(text
        .split(|b| *b == b'\n')
        .filter_map(|line| line.split(|b| *b == b' ').nth(4))
        .map(|field| PathBuf::from(unescape(field)))
        .filter(|point| real_roots.iter().any(|root| point.starts_with(root)))
        .collect())
}

/// Decodes escapes: `\040` is a blank, and so on.
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

/// Unmounts everything at and below `roots`, the last mounted first. Busy mounts are detached and end with their last
/// user. Returns every error.
pub fn unmount_below(roots: &[&Path]) -> Vec<Error> {
    let points = match mounts_below(roots) {
        Ok(points) => points,
        Err(error) => return vec![error],
    };
    let mut errors = Vec::new();
    for point in points.iter().rev() {
        if let Err(e) = unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // Already unmounted with its parent or by another process; the next listing shows what is left.
            if e != rustix::io::Errno::INVAL && e != rustix::io::Errno::NOENT {
                errors.push(Error::io("unmount", point)(e.into()));
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn mountinfo_escapes_are_undone() {
        assert_eq!(unescape(br"/a\040b\134c\011"), OsStr::new("/a b\\c\t"));
        assert_eq!(unescape(br"/a\04"), OsStr::new(r"/a\04"));
        assert_eq!(unescape(br"/a\999"), OsStr::new(r"/a\999"));
    }
}
