//! The volumes that an image declares (`VOLUME`): folders of the pod that start with the image's content at that path,
//! like anonymous volumes of podman and docker. They are writable even if the root file system is not, live as long as
//! the pod, and are not shared between containers.

use std::fs;
use std::path::{Path, PathBuf};

use base::file::remove_dir_if_exists;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::copy::copy_folder;
use super::{failed, lock, make_dir};
use crate::plan::ContainerError;
use crate::store::Layout;

/// Returns the folder of each of `destinations` (absolute, without `..`) for a container of the pod. New folders are
/// filled from the image, which is mounted at `rootfs`; existing ones keep what an earlier run of the container wrote.
///
/// # Errors
/// `FailedMount` if a folder cannot be filled; the next attempt fills it from the start.
pub fn prepare_image_volumes(
    layout: &Layout,
    uid: &str,
    container: &str,
    destinations: &[String],
    rootfs: &Path,
) -> Result<Vec<PathBuf>, ContainerError> {
    if destinations.is_empty() {
        return Ok(Vec::new());
    }
    let _lock = lock(layout, uid)?;
    // Cannot collide with volumes of the pod: their names are DNS labels, which have no dot.
    let all = layout.pod(uid).join("volumes").join(format!("image.{container}"));
    let mut folders = Vec::new();
    for destination in destinations {
        let hash: String = Sha256::digest(destination).iter().take(8).map(|b| format!("{b:02x}")).collect();
        let folder = all.join(&hash);
        if !folder.exists() {
            let fail = |e: &dyn std::fmt::Display| failed(&format!("of the image at {destination}"), e);
            let fresh = all.join(format!("{hash}.new"));
            remove_dir_if_exists(&fresh).map_err(|e| fail(&e))?;
            make_dir(&fresh, 0o755).map_err(|e| fail(&e))?;
            if let Some(source) = in_root(rootfs, destination).map_err(|e| fail(&e))? {
                copy_folder(&source, &fresh).map_err(|e| fail(&e))?;
            }
            base::fail_point!(Worker, "image-volume-filled");
            fs::rename(&fresh, &folder).map_err(|e| fail(&e))?;
        }
        folders.push(folder);
    }
    Ok(folders)
}

/// Returns the real path of a folder of the image, following links as the image's processes would. `None` if it is not
/// a folder.
fn in_root(rootfs: &Path, path: &str) -> std::io::Result<Option<PathBuf>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, rootfs, flags, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = path.trim_start_matches('/');
    let found = loop {
        match rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => break other,
        }
    };
    match found {
        Ok(fd) => {
            let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
            fs::read_link(name).map(Some)
        }
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use rustix::fs::FileType;

    use super::*;

    fn layout() -> (tempfile::TempDir, Layout, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().join("root"), runroot: dir.path().join("run") };
        let rootfs = dir.path().join("rootfs");
        fs::create_dir(&rootfs).unwrap();
        (dir, layout, rootfs)
    }

    fn one(layout: &Layout, rootfs: &Path, destination: &str) -> PathBuf {
        let made = prepare_image_volumes(layout, "uid", "main", &[destination.to_owned()], rootfs);
        made.unwrap().remove(0)
    }

    #[test]
    fn a_volume_starts_as_the_image_has_it_and_keeps_what_is_written() {
        ::tests::need_root!();
        let (_dir, layout, rootfs) = layout();
        let data = rootfs.join("data");
        fs::create_dir_all(data.join("sub")).unwrap();
        fs::write(data.join("sub/file"), "content").unwrap();
        fs::hard_link(data.join("sub/file"), data.join("again")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", data.join("link")).unwrap();
        rustix::fs::mknodat(CWD, data.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
        fs::set_permissions(data.join("sub/file"), fs::Permissions::from_mode(0o4711)).unwrap();
        std::os::unix::fs::lchown(data.join("link"), Some(7), Some(8)).unwrap();
        std::os::unix::fs::chown(&data, Some(1000), Some(1001)).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o1770)).unwrap();
        rustix::fs::setxattr(data.join("sub"), "user.note", b"kept", rustix::fs::XattrFlags::empty())
            .unwrap();

        let made = one(&layout, &rootfs, "/data");
        let stat = |path: PathBuf| fs::symlink_metadata(path).unwrap();
        let root = stat(made.clone());
        assert_eq!((root.mode() & 0o7777, root.uid(), root.gid()), (0o1770, 1000, 1001));
        assert_eq!(root.mtime(), stat(data.clone()).mtime());
        assert_eq!(fs::read_to_string(made.join("sub/file")).unwrap(), "content");
        assert_eq!(stat(made.join("sub/file")).mode() & 0o7777, 0o4711);
        assert_eq!(stat(made.join("sub/file")).ino(), stat(made.join("again")).ino());
        assert_eq!(fs::read_link(made.join("link")).unwrap(), Path::new("/etc/passwd"));
        assert_eq!((stat(made.join("link")).uid(), stat(made.join("link")).gid()), (7, 8));
        assert_eq!(stat(made.join("fifo")).mode() & 0o170_777, 0o10_640);
        let mut value = [0; 8];
        assert_eq!(rustix::fs::getxattr(made.join("sub"), "user.note", &mut value), Ok(4));

        fs::write(made.join("mine"), "x").unwrap();
        fs::remove_file(made.join("again")).unwrap();
        assert_eq!(one(&layout, &rootfs, "/data"), made);
        assert!(made.join("mine").exists() && !made.join("again").exists(), "it was filled again");
    }

    #[test]
    fn a_volume_that_the_image_does_not_have_is_empty_and_links_stay_in_the_image() {
        let (dir, layout, rootfs) = layout();
        fs::write(dir.path().join("secret"), "of the host").unwrap();
        fs::create_dir_all(rootfs.join("run/app")).unwrap();
        fs::write(rootfs.join("run/app/pid"), "1").unwrap();
        fs::create_dir(rootfs.join("var")).unwrap();
        std::os::unix::fs::symlink("/run", rootfs.join("var/run")).unwrap();
        std::os::unix::fs::symlink("../..", rootfs.join("out")).unwrap();
        fs::write(rootfs.join("file"), "").unwrap();
        let names = |path: &Path| fs::read_dir(path).unwrap().count();
        assert_eq!(names(&one(&layout, &rootfs, "/absent")), 0);
        assert_eq!(names(&one(&layout, &rootfs, "/file")), 0);
        assert!(one(&layout, &rootfs, "/var/run/app").join("pid").exists());
        assert!(!one(&layout, &rootfs, "/out").join("secret").exists());
    }

    #[test]
    fn what_was_not_filled_to_its_end_is_filled_anew() {
        let (_dir, layout, rootfs) = layout();
        fs::create_dir(rootfs.join("data")).unwrap();
        fs::write(rootfs.join("data/a"), "a").unwrap();
        let made = one(&layout, &rootfs, "/data");
        let half = made.with_extension("new");
        fs::rename(&made, &half).unwrap();
        fs::write(half.join("half"), "").unwrap();
        let again = one(&layout, &rootfs, "/data");
        assert!(again.join("a").exists() && !again.join("half").exists());
        // The volumes of another container are its own.
        let other = prepare_image_volumes(&layout, "uid", "side", &["/data".to_owned()], &rootfs).unwrap();
        assert_ne!(other[0], again);
    }
}
