//! Creates the images of the tests, without a registry.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

/// The image of every test: Debian's busybox-static with a user `web` (1000) and a page in /www.
pub const BUSYBOX: &str = "localhost/busybox:1";

const SCRIPT: &str = include_str!("../busybox-rootfs.sh");

/// One entry of a tar.
pub enum Entry<'a> {
    /// Path, mode, contents.
    File(&'a str, u32, &'a [u8]),
    /// Path, mode.
    Dir(&'a str, u32),
    /// Path, target.
    Symlink(&'a str, &'a str),
    /// Path, target.
    Hardlink(&'a str, &'a str),
}

/// Returns a tar archive of `entries`, exactly as given, including hostile paths.
pub fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let (path, kind, mode, link, contents): (&&str, _, _, _, &[u8]) = match entry {
            Entry::File(path, mode, contents) => (path, tar::EntryType::Regular, *mode, None, contents),
            Entry::Dir(path, mode) => (path, tar::EntryType::Directory, *mode, None, b""),
            Entry::Symlink(path, target) => (path, tar::EntryType::Symlink, 0o777, Some(*target), b""),
            Entry::Hardlink(path, target) => (path, tar::EntryType::Link, 0o644, Some(*target), b""),
        };
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(contents.len() as u64);
        // The name is written directly, because the methods of the crate refuse `..`.
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        if let Some(link) = link {
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_cksum();
        builder.append(&header, contents).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Returns the path of the busybox root file system as a tar archive, which is created once for all tests on this
/// host.
pub fn busybox_tar() -> PathBuf {
    let (dir, _lock) = shared();
    rootfs(&dir)
}

fn shared() -> (PathBuf, Flock<File>) {
    let dir = std::env::temp_dir().join("kube-e2e-image");
    fs::create_dir_all(&dir).unwrap();
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock")).unwrap();
    let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
    (dir, lock)
}

fn rootfs(dir: &Path) -> PathBuf {
    let script = dir.join("script");
    let tar = dir.join("rootfs.tar");
    if fs::read_to_string(&script).ok().as_deref() != Some(SCRIPT) || !tar.exists() {
        let output = crate::command::run(
            Command::new("sh").args(["-s", "--"]).arg(&tar),
            Some(SCRIPT.as_bytes()),
            crate::limit(30),
        );
        output.expect(0);
        fs::write(&script, SCRIPT).unwrap();
    }
    tar
}

/// Copies a content store that contains [`BUSYBOX`] to `target`. The store is created once per build of `kube`.
pub(crate) fn copy_store(kube: &Path, target: &Path) {
    let (dir, _lock) = shared();
    let tar = rootfs(&dir);
    let meta = fs::metadata(kube).unwrap_or_else(|e| panic!("{}: {e}", kube.display()));
    let key = format!("{:?} {} {}", meta.modified().unwrap(), meta.len(), tar.display());
    let template = dir.join("store");
    if fs::read_to_string(dir.join("key")).ok().as_ref() != Some(&key) {
        let _ = fs::remove_dir_all(&template);
        let mut command = Command::new(kube);
        command.arg("--root").arg(template.join("root")).arg("--runroot").arg(template.join("run"));
        command.args(["image", "import"]).arg(&tar).args([BUSYBOX, "--cmd", "sh"]);
        crate::command::run(&mut command, None, crate::limit(60)).expect(0);
        fs::write(dir.join("key"), key).unwrap();
    }
    let from = template.join("root/images");
    let output = Command::new("cp").arg("-a").arg(from).arg(target).output().unwrap();
    assert!(output.status.success(), "cp: {}", String::from_utf8_lossy(&output.stderr));
}
