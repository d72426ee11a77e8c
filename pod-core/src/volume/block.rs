//! Claims of volumeMode Block: a file of the claim's size behind a loop device (loop(4)).
//!
//! Pods that use the same claim share one device, because two devices of one file would not see each other's writes.
//! `<runroot>/loops/<namespace>/<claim>/<uid>` marks that a pod uses it. The mark is written before the device is made
//! and removed with the pod's sandbox; with the last mark the device is detached, even if a process was killed in between.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base::file::names_in;

use crate::store::{self, Layout};

/// Why a block device cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be created or read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The kernel has no loop devices, or this process may not make them.
    #[error("this machine has no loop devices for volumes of mode Block: {0}")]
    NoLoop(#[source] io::Error),
    /// The file cannot be attached to a loop device.
    #[error("cannot make a block device of {}: {source}", file.display())]
    Attach {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The loop device cannot be detached.
    #[error("cannot detach {}: {source}", device.display())]
    Detach {
        /// The device.
        device: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl From<base::file::Error> for Error {
    fn from(error: base::file::Error) -> Self {
        Self::Store(error.into())
    }
}

/// How often a free device is asked for while other programs take the ones that are found.
const ATTEMPTS: usize = 20;

/// The ioctls of loop devices (linux/loop.h).
mod request {
    use super::Config;

    nix::ioctl_none_bad!(get_free, 0x4C82);
    nix::ioctl_write_ptr_bad!(configure, 0x4C0A, Config);
    nix::ioctl_none_bad!(clear, 0x4C01);
}

/// `struct loop_info64` (linux/loop.h).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` (linux/loop.h).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// Returns the description of a device over a file.
fn config(file: RawFd) -> Config {
    let info = Info {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
    Config { fd: u32::try_from(file).unwrap_or(0), block_size: 0, info, reserved: [0; 8] }
}

fn marks(layout: &Layout) -> PathBuf {
    layout.runroot.join("loops")
}

/// Creates the file of a claim with this size in bytes, unless it exists. It takes no space until it is written to.
///
/// # Errors
/// If the file cannot be created.
pub fn make_file(file: &Path, size: u64) -> Result<(), Error> {
    if file.exists() {
        return Ok(());
    }
    // Renamed once it has its size, so that after a crash there is no file that is too short.
    let new = file.with_extension("new");
    let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
    let made = open.and_then(|made| made.set_len(size)).and_then(|()| fs::rename(&new, file));
    made.map_err(|error| store::Error::io("create", file)(error).into())
}

/// Returns whether this machine has loop devices.
///
/// # Errors
/// If not, with the reason.
pub fn check() -> Result<(), Error> {
    open_device(Path::new("/dev/loop-control")).map(drop).map_err(Error::NoLoop)
}

fn open_device(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Attaches the file of a claim for a pod, and returns the path of the block device. Must be called with the lock of
/// claims held.
///
/// # Errors
/// If there are no loop devices, or the file cannot be attached.
pub fn attach(layout: &Layout, claim: (&str, &str), file: &Path, uid: &str) -> Result<PathBuf, Error> {
    let mark = marks(layout).join(claim.0).join(claim.1);
    base::file::create_private_dir_all(&mark).map_err(store::Error::io("create", &mark))?;
    let mark = mark.join(uid);
    fs::write(&mark, "").map_err(store::Error::io("create", &mark))?;
    base::fail_point!(Worker, "block-marked");
    let fail = |source| Error::Attach { file: file.to_owned(), source };
    if let Some(device) = attached(file).map_err(fail)?.into_iter().next() {
        return Ok(device);
    }
    let control = open_device(Path::new("/dev/loop-control")).map_err(Error::NoLoop)?;
    let backing = open_device(file).map_err(fail)?;
    let mut last = io::Error::from(io::ErrorKind::ResourceBusy);
    for _ in 0..ATTEMPTS {
        // SAFETY: the ioctl takes no argument and returns a number.
        let number =
            unsafe { request::get_free(control.as_raw_fd()) }.map_err(|e| Error::NoLoop(e.into()))?;
        let device = PathBuf::from(format!("/dev/loop{number}"));
        let opened = open_device(&device).map_err(Error::NoLoop)?;
        let config = config(backing.as_raw_fd());
        // SAFETY: the structure lives for the call, which only reads it; both descriptors are open.
        match unsafe { request::configure(opened.as_raw_fd(), &raw const config) } {
            Ok(_) => {
                base::fail_point!(Worker, "block-attached");
                return Ok(device);
            }
            // Another program has taken it in the meantime.
            Err(nix::errno::Errno::EBUSY) => last = nix::errno::Errno::EBUSY.into(),
            Err(error) => return Err(fail(error.into())),
        }
    }
    Err(fail(last))
}

/// Returns the loop devices over a file.
fn attached(file: &Path) -> io::Result<Vec<PathBuf>> {
    let metadata = match fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let name = entry?.file_name();
        let backing = Path::new("/sys/block").join(&name).join("loop/backing_file");
        // A device that is not attached has no such file.
        let Ok(path) = fs::read_to_string(backing) else { continue };
        // The path is that of another mount namespace perhaps, so the file decides.
        let same = fs::metadata(path.trim_end_matches('\n'))
            .is_ok_and(|other| (other.dev(), other.ino()) == (metadata.dev(), metadata.ino()));
        if same {
            found.push(Path::new("/dev").join(name));
        }
    }
    found.sort();
    Ok(found)
}

/// Detaches the devices that only this pod uses. Its containers must have ended. Continues after errors and returns them.
/// `file_of` returns the file of a claim, by namespace and name. Must be called with the lock of claims held, unless no
/// pod uses such a device ([`is_used`]).
pub fn detach(layout: &Layout, uid: &str, file_of: impl Fn(&str, &str) -> PathBuf) -> Vec<Error> {
    let mut errors = Vec::new();
    for (namespace, claim) in used(layout, uid) {
        let folder = marks(layout).join(&namespace).join(&claim);
        if let Err(error) = base::file::remove_file_if_exists(&folder.join(uid)) {
            errors.push(error.into());
            continue;
        }
        base::fail_point!(Worker, "block-unmarked");
        if names_in(&folder).is_ok_and(|others| !others.is_empty()) {
            continue;
        }
        errors.extend(detach_file(&file_of(&namespace, &claim)));
        let _ = fs::remove_dir(&folder);
        let _ = fs::remove_dir(marks(layout).join(&namespace));
        let _ = fs::remove_dir(marks(layout));
    }
    errors
}

/// Returns whether a pod uses a block device of a claim.
pub fn is_used(layout: &Layout, uid: &str) -> bool {
    !used(layout, uid).is_empty()
}

/// Returns the claims whose devices a pod uses.
fn used(layout: &Layout, uid: &str) -> Vec<(String, String)> {
    let top = marks(layout);
    let mut found = Vec::new();
    for namespace in names_in(&top).unwrap_or_default() {
        for claim in names_in(&top.join(&namespace)).unwrap_or_default() {
            if top.join(&namespace).join(&claim).join(uid).exists() {
                found.push((namespace.clone(), claim));
            }
        }
    }
    found
}

/// Detaches every loop device over a file.
pub fn detach_file(file: &Path) -> Vec<Error> {
    let fail = |device: &Path| {
        let device = device.to_owned();
        move |source: io::Error| Error::Detach { device, source }
    };
    let devices = match attached(file) {
        Ok(devices) => devices,
        Err(error) => return vec![fail(file)(error)],
    };
    let detach = |device: &PathBuf| {
        let opened = open_device(device).map_err(fail(device))?;
        // SAFETY: the ioctl takes no argument.
        match unsafe { request::clear(opened.as_raw_fd()) } {
            Ok(_) | Err(nix::errno::Errno::ENXIO) => Ok(()),
            Err(error) => Err(fail(device)(error.into())),
        }
    };
    devices.iter().filter_map(|device| detach(device).err()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_sizes_of_the_kernels() {
        assert_eq!(size_of::<Info>(), 232);
        assert_eq!(size_of::<Config>(), 304);
    }

    #[test]
    fn a_device_is_shared_by_pods_and_detached_with_the_last() {
        ::tests::need_root!();
        if let Err(error) = check() {
            return ::tests::skip(&error.to_string());
        }
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().join("root"), runroot: dir.path().join("run") };
        let file = dir.path().join("block");
        make_file(&file, 4 << 20).unwrap();
        let claim = ("default", "raw");
        let device = attach(&layout, claim, &file, "one").unwrap();
        assert_eq!(attach(&layout, claim, &file, "two").unwrap(), device);
        assert_eq!(
            attach(&layout, claim, &file, "one").unwrap(),
            device,
            "a restarted container finds it again"
        );
        let mut opened = open_device(&device).unwrap();
        assert_eq!(io::Seek::seek(&mut opened, io::SeekFrom::End(0)).unwrap(), 4 << 20);
        drop(opened);
        let file_of = |_: &str, _: &str| file.clone();
        assert!(detach(&layout, "one", file_of).is_empty());
        assert_eq!(attached(&file).unwrap(), [device]);
        assert!(is_used(&layout, "two") && !is_used(&layout, "one"));
        assert!(detach(&layout, "two", file_of).is_empty());
        assert!(attached(&file).unwrap().is_empty());
        assert!(!is_used(&layout, "two"));
    }
}
