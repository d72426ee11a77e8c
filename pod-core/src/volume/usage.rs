//! What the volumes of a pod take on disk, and which of them take more than their limit.
//!
//! As the kubelet does, the volumes are measured from time to time, and the pod is ended once one is too large. Reading
//! ([`measure`]) and deciding ([`exceeded`]) are separate.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use k8s_openapi::api::core::v1::Pod;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2, statat};
use rustix::io::Errno;

use crate::manifest::Quantity;
use crate::plan::PodPlan;
use crate::store::Layout;

/// How often volumes are measured, in milliseconds: the kubelet's `monitoringInterval`.
pub const INTERVAL_MS: u64 = 10_000;

/// status.reason of a pod that is ended for its usage.
pub const REASON: &str = "Evicted";

/// The grace period of the containers of a pod that is ended for its usage, in seconds: the kubelet's
/// `immediateEvictionGracePeriodSeconds`.
pub const GRACE_SECONDS: u64 = 1;

/// The unit of `st_blocks` in bytes, on every file system (inode(7)).
const BLOCK: u64 = 512;

/// How long the path of a folder may become, in bytes, before paths are resolved from that folder instead. Leaves room
/// for one more name in PATH_MAX.
const LONG_PATH: usize = 3_000;

/// A volume with a limit on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    /// The volume's name.
    pub volume: String,
    /// The most bytes that it may take.
    pub bytes: u64,
    /// The limit as it is written.
    pub shown: String,
}

/// Returns the volumes of a pod that have a limit on disk: emptyDirs with a sizeLimit. With `medium: Memory` the file
/// system itself keeps the limit.
pub fn limited(pod: &Pod) -> Vec<Limited> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let limits = volumes.filter_map(|volume| {
        let source = volume.empty_dir.as_ref().filter(|source| is_on_disk(source.medium.as_deref()))?;
        let limit = source.size_limit.as_ref()?;
        let bytes = u64::try_from(Quantity::from(limit).value()).ok().filter(|bytes| *bytes > 0)?;
        Some(Limited { volume: volume.name.clone(), bytes, shown: limit.0.clone() })
    });
    limits.collect()
}

/// Returns whether an emptyDir of this medium is on disk.
pub(super) fn is_on_disk(medium: Option<&str>) -> bool {
    medium.is_none_or(str::is_empty)
}

/// Returns why a pod has to end, in the kubelet's words, if one of its volumes takes more than its limit. `used` returns
/// the bytes that a volume takes, if they are known.
pub fn exceeded(limited: &[Limited], used: impl Fn(&str) -> Option<u64>) -> Option<String> {
    let over = limited.iter().find(|limit| used(&limit.volume).is_some_and(|used| used > limit.bytes))?;
    Some(format!("Usage of EmptyDir volume {:?} exceeds the limit {:?}. ", over.volume, over.shown))
}

/// Measures the volumes of a pod that have a limit, and returns why the pod has to end, if one takes more than its limit.
/// A volume that cannot be measured, or does not exist yet, is left out.
pub fn find_exceeded(layout: &Layout, pod: &PodPlan) -> Option<String> {
    exceeded(&limited(&pod.pod), |volume| {
        let path = layout.pod(&pod.uid).join("volumes").join(volume);
        match measure(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(pod = pod.uid, volume, %error, "the volume cannot be measured");
                None
            }
        }
    })
}

/// Returns how many bytes a folder and all in it take on its file system. A file with several names counts once, other
/// file systems that are mounted in it do not count. Containers may change the folder meanwhile: no link is followed, and
/// what disappears does not count.
///
/// # Errors
/// If a folder cannot be read.
pub fn measure(root: &Path) -> io::Result<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let top: Rc<OwnedFd> = Rc::new(open(root, flags, Mode::empty())?);
    let stat = fstat(&top)?;
    let device = stat.st_dev;
    let mut bytes = taken(&stat);
    let mut counted = HashSet::new();
    // Depth first, so that few folders are held open however deep the tree is.
    let mut pending = vec![(top, PathBuf::from("."))];
    while let Some((base, path)) = pending.pop() {
        let dir = match openat2(&base, &path, flags, Mode::empty(), resolve) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => continue,
            Err(Errno::AGAIN | Errno::INTR) => {
                pending.push((base, path));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let entries = Dir::read_from(&dir)?;
        let (base, path) = match path.as_os_str().len() > LONG_PATH {
            true => (Rc::new(dir.try_clone()?), PathBuf::new()),
            false => (base, path),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let stat = match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if stat.st_dev == device => stat,
                Ok(_) | Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                pending.push((Rc::clone(&base), path.join(OsStr::from_bytes(name.to_bytes()))));
            } else if stat.st_nlink > 1 && !counted.insert(stat.st_ino) {
                continue;
            }
            bytes = bytes.saturating_add(taken(&stat));
        }
    }
    Ok(bytes)
}

fn taken(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn the_size_limit_of_an_empty_dir_on_disk_is_measured() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [], "volumes": [
            {"name": "plain", "emptyDir": {}},
            {"name": "small", "emptyDir": {"sizeLimit": "1Mi"}},
            {"name": "memory", "emptyDir": {"sizeLimit": "1Mi", "medium": "Memory"}},
            {"name": "none", "emptyDir": {"sizeLimit": "0"}},
            {"name": "other", "emptyDir": {"sizeLimit": "2Mi", "medium": ""}},
        ]}}))
        .unwrap();
        let found = limited(&pod);
        let names: Vec<_> = found.iter().map(|limit| (limit.volume.as_str(), limit.bytes)).collect();
        assert_eq!(names, [("small", 1 << 20), ("other", 2 << 20)]);
        assert_eq!(exceeded(&found, |_| Some(1 << 20)), None, "as much as the limit is not too much");
        assert_eq!(exceeded(&found, |_| None), None);
        let told = exceeded(&found, |_| Some((2 << 20) + 1)).unwrap();
        assert_eq!(told, "Usage of EmptyDir volume \"small\" exceeds the limit \"1Mi\". ");
        let told = exceeded(&found, |name| (name == "other").then_some(3 << 20)).unwrap();
        assert_eq!(told, "Usage of EmptyDir volume \"other\" exceeds the limit \"2Mi\". ");
    }

    #[test]
    fn a_folder_takes_what_its_files_take_and_links_count_once() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("big"), vec![1; 1 << 20]).unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        let empty = measure(&root).unwrap();
        fs::write(root.join("sub/file"), vec![1; 64 << 10]).unwrap();
        fs::hard_link(root.join("sub/file"), root.join("again")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
        // A file without content takes no more than its size says.
        fs::File::create(root.join("sparse")).unwrap().set_len(1 << 30).unwrap();
        let used = measure(&root).unwrap() - empty;
        assert!((64 << 10..256 << 10).contains(&used), "{used}");
        assert_eq!(measure(&dir.path().join("absent")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(measure(&root.join("link")).is_err(), "a link instead of the folder is not followed");
    }

    #[test]
    fn nothing_is_hidden_however_deep_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let name = "d".repeat(200);
        let mut at = open(dir.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..100 {
            rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, &name, OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        let before = measure(dir.path()).unwrap();
        let file = rustix::fs::openat(&at, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap();
        rustix::io::write(&file, &vec![1; 64 << 10]).unwrap();
        assert!(measure(dir.path()).unwrap() >= before + (64 << 10));
        base::file::remove_tree(dir.path()).unwrap();
    }
}
