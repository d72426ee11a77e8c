//! Mounts an image's layers as overlayfs (kernel: Documentation/filesystems/overlayfs.rst).

use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount, move_mount,
};
use serde::{Deserialize, Serialize};

use super::{Digest, Error, Image, ImageStore, implied};
use crate::store;

/// mount(2) takes one page of options, its closing NUL included.
const MAX_OPTIONS: usize = 4095;

/// How to mount an image so that its files belong to the users of a user namespace.
pub struct MappedOwners<'a> {
    /// The id on the host of the namespace's root.
    pub first_id: u32,
    /// An empty folder for the mounts of the layers, in the mount namespace of this process.
    pub dir: &'a Path,
    /// Mounts a layer (first argument) at a folder (second argument) with mapped owners.
    pub map: &'a dyn Fn(&Path, &Path) -> std::io::Result<()>,
}

/// How the files of a mounted image appear.
#[derive(Default)]
pub struct MountOptions<'a> {
    /// All files belong to the users of a user namespace.
    pub owners: Option<&'a MappedOwners<'a>>,
    /// All files have this SELinux label.
    pub label: Option<&'a str>,
}

/// Protects the layers under a container's root from removal; in force for as long as its `scratch` exists.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Lease {
    /// Digest of the image's config.
    pub image: String,
    /// Diff ids of the layers.
    pub layers: Vec<String>,
    /// The directory of the writable layer.
    pub scratch: PathBuf,
}

impl ImageStore {
    /// Mounts the image's layers at `target`, below a writable `<scratch>/upper` (with `<scratch>/work`). Directories
    /// that are missing are created. A process in the same mount namespace unmounts it with umount2(MNT_DETACH).
    ///
    /// The layers cannot be removed for as long as `scratch` exists. `upper` starts with the mode and owner of the
    /// image's root.
    ///
    /// # Errors
    /// `Incomplete` if a layer is missing from the store; `Mount` if the kernel refuses, or the owners of a layer cannot be
    /// mapped.
    pub fn mount(
        &self,
        image: &Image,
        scratch: &Path,
        target: &Path,
        options: &MountOptions<'_>,
    ) -> Result<(), Error> {
        let io = |action: &'static str, path: &Path| {
            let make = store::Error::io(action, path.to_owned());
            move |e| Error::Store(make(e))
        };
        for dir in [scratch, target] {
            base::file::create_private_dir_all(dir).map_err(io("create", dir))?;
        }
        let (layers, root) = {
            // A shared lock: mounts may run in parallel, but not together with a removal.
            let _lock =
                base::file::FileLock::acquire(&self.dir().join("lock"), base::file::LockKind::Shared)?;
            let effective = self.effective_layers(image)?;
            self.write_lease(image, scratch)?;
            effective
        };
        let mut lower: Vec<PathBuf> = layers.iter().map(|l| self.layer_dir(l).join("diff")).collect();
        if lower.is_empty() {
            // Overlayfs requires a lower directory even for an image without layers.
            let empty = self.dir().join("empty");
            base::file::create_private_dir_all(&empty).map_err(io("create", &empty))?;
            lower.push(empty);
        }
        let root = root.map(|l| self.layer_dir(&l).join("diff"));
        let upper = scratch.join("upper");
        let implied = self.implied(&layers)?;
        let MountOptions { owners, label } = *options;
        let first_id = owners.map_or(0, |owners| owners.first_id);
        make_upper(scratch, &upper, root.as_deref(), &implied, first_id).map_err(io("create", &upper))?;
        let work = scratch.join("work");
        match fs::create_dir(&work) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(io("create", &work)(e)),
            _ => {}
        }
        for (number, layer) in lower.iter_mut().enumerate() {
            let Some(owners) = owners else { break };
            let mapped = owners.dir.join(number.to_string());
            fs::create_dir(&mapped).map_err(io("create", &mapped))?;
            (owners.map)(layer, &mapped).map_err(|source| Error::Mount {
                image: image.display_name(),
                target: mapped.clone(),
                hint: "the file system of --root has to support id-mapped mounts (ext4, xfs, btrfs, tmpfs)",
                source,
            })?;
            *layer = mapped;
        }
        mount_overlay(&lower, &upper, &work, target, label).map_err(|source| Error::Mount {
            image: image.display_name(),
            target: target.to_owned(),
            hint: mount_hint(source, scratch),
            source: source.into(),
        })
    }

    /// Returns the layers with the directories that they imply; empty if none implies any, as in most images.
    fn implied(&self, layers: &[Digest]) -> Result<Vec<implied::Layer>, Error> {
        let mut all = Vec::new();
        for layer in layers {
            let record = self.layer_record(layer)?;
            let paths = record.iter().flat_map(|r| &r.implied).map(|path| path.as_bytes().to_vec());
            let implied = paths.collect();
            all.push(implied::Layer { diff: self.layer_dir(layer).join("diff"), implied });
        }
        if all.iter().all(|layer| layer.implied.is_empty()) {
            all.clear();
        }
        Ok(all)
    }

    /// Writes the lease without syncing it: after a power cut nothing is mounted, and the next mount writes it again.
    fn write_lease(&self, image: &Image, scratch: &Path) -> Result<(), Error> {
        let scratch = std::path::absolute(scratch).unwrap_or_else(|_| scratch.to_owned());
        let name = Digest::of(scratch.as_os_str().as_encoded_bytes());
        let path = self.dir().join("leases").join(name.hex());
        let lease = Lease { image: image.id.clone(), layers: image.layers.clone(), scratch };
        Ok(base::file::write_json_volatile(&path, &lease)?)
    }

    /// Ends the protection of the layers below `scratch`, because no root is mounted from it any more.
    ///
    /// # Errors
    /// If the folder of leases cannot be written.
    pub fn release(images: &Path, scratch: &Path) -> Result<(), Error> {
        let scratch = std::path::absolute(scratch).unwrap_or_else(|_| scratch.to_owned());
        let name = Digest::of(scratch.as_os_str().as_encoded_bytes());
        Ok(base::file::remove_file_if_exists(&images.join("leases").join(name.hex()))?)
    }
}

/// Creates the upper directory. The merged root has the attributes of the upper directory, so the upper directory gets
/// those of the image's root before any process can see it. It also gets the directories that `layers` would show with
/// wrong attributes.
fn make_upper(
    scratch: &Path,
    upper: &Path,
    root: Option<&Path>,
    layers: &[implied::Layer],
    first_id: u32,
) -> std::io::Result<()> {
    if upper.exists() {
        return Ok(());
    }
    let fresh = scratch.join("upper.new");
    match fs::create_dir(&fresh) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let mut mode = Mode::from_raw_mode(0o755);
    if let Some(root) = root {
        let stat = rustix::fs::stat(root)?;
        mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        rustix::fs::chown(&fresh, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    }
    rustix::fs::chmod(&fresh, mode)?;
    implied::create_differing(layers, &fresh)?;
    if first_id != 0 {
        shift_owners(&fresh, first_id)?;
    }
    fs::rename(&fresh, upper)
}

/// Adds `first_id` to the owners of a tree of folders.
fn shift_owners(tree: &Path, first_id: u32) -> std::io::Result<()> {
    let mut pending = vec![tree.to_owned()];
    while let Some(folder) = pending.pop() {
        let stat = rustix::fs::lstat(&folder)?;
        let shifted = |id: u32| id.saturating_add(first_id);
        let (uid, gid) = (Uid::from_raw(shifted(stat.st_uid)), Gid::from_raw(shifted(stat.st_gid)));
        rustix::fs::chown(&folder, Some(uid), Some(gid))?;
        // The change of the owner clears setuid and setgid.
        rustix::fs::chmod(&folder, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
        for entry in fs::read_dir(&folder)? {
            pending.push(entry?.path());
        }
    }
    Ok(())
}

/// Mounts the overlay. Layers are passed as readable paths if these fit, else through descriptors, because mount(2)
/// takes one page of options and treats `:`, `,` and `\` in paths as separators.
fn mount_overlay(
    lower: &[PathBuf],
    upper: &Path,
    work: &Path,
    target: &Path,
    label: Option<&str>,
) -> Result<(), Errno> {
    let paths: Vec<&Path> = lower.iter().map(PathBuf::as_path).chain([upper, work]).collect();
    let plain =
        |p: &Path| p.is_absolute() && !p.as_os_str().as_encoded_bytes().iter().any(|b| b":,\\\"".contains(b));
    if paths.iter().all(|p| plain(p)) {
        let names: Vec<Vec<u8>> = paths.iter().map(|p| p.as_os_str().as_encoded_bytes().to_vec()).collect();
        if let Some(options) = options(&names, label) {
            return mount("overlay", target, "overlay", MountFlags::empty(), Some(options.as_c_str()));
        }
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open: Vec<OwnedFd> =
        paths.iter().map(|p| rustix::fs::openat(CWD, *p, flags, Mode::empty())).collect::<Result<_, _>>()?;
    let names: Vec<Vec<u8>> =
        open.iter().map(|fd| format!("/proc/self/fd/{}", fd.as_raw_fd()).into_bytes()).collect();
    match options(&names, label) {
        Some(options) => mount("overlay", target, "overlay", MountFlags::empty(), Some(options.as_c_str())),
        // More than about 200 layers: Linux 6.5 and later take them one at a time.
        None => mount_many(&names, target, label),
    }
}

fn options(names: &[Vec<u8>], label: Option<&str>) -> Option<std::ffi::CString> {
    let (lower, rest) = names.split_at_checked(names.len().checked_sub(2)?)?;
    let [upper, work] = rest else { return None };
    let mut text =
        [b"lowerdir=", lower.join(&b':').as_slice(), b",upperdir=", upper, b",workdir=", work].concat();
    if let Some(label) = label {
        // Quoted, because a label has commas (selinux(8), "context=").
        text.extend(format!(",context=\"{label}\"").into_bytes());
    }
    if text.len() > MAX_OPTIONS {
        return None;
    }
    std::ffi::CString::new(text).ok()
}

fn mount_many(names: &[Vec<u8>], target: &Path, label: Option<&str>) -> Result<(), Errno> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let (lower, rest) = names.split_at_checked(names.len().saturating_sub(2)).unwrap_or_default();
    for name in lower {
        fsconfig_set_string(&context, "lowerdir+", name.as_slice())?;
    }
    for (key, name) in ["upperdir", "workdir"].iter().zip(rest) {
        fsconfig_set_string(&context, *key, name.as_slice())?;
    }
    if let Some(label) = label {
        fsconfig_set_string(&context, "context", label)?;
    }
    fsconfig_create(&context)?;
    let mounted = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    move_mount(&mounted, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Returns what a user can do if the kernel refuses the mount.
fn mount_hint(error: Errno, scratch: &Path) -> &'static str {
    const OVERLAYFS_SUPER_MAGIC: i64 = 0x794c_7630;
    match error {
        Errno::NODEV => "the kernel has no overlayfs: load the module `overlay`",
        Errno::PERM => "mounting needs root",
        Errno::INVAL if rustix::fs::statfs(scratch).is_ok_and(|s| s.f_type == OVERLAYFS_SUPER_MAGIC) => {
            "overlayfs cannot write on overlayfs: put --root on another file system (ext4, xfs, btrfs, tmpfs)"
        }
        Errno::INVAL => {
            "the file system of --root may lack what overlayfs needs (d_type, trusted xattrs); the kernel log says more"
        }
        _ => "the kernel log may say more",
    }
}
