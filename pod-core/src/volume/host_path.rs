//! hostPath: a path of the host, mounted unchanged.

use std::fs::{self, DirBuilder, FileType, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::HostPathVolumeSource;

use super::failed;
use crate::plan::ContainerError;
use crate::runtime::spec::DeviceNumber;

/// Checks the path against its type, and creates what the type permits to create. Without a type nothing is checked,
/// and a missing path becomes a folder, as with containerd.
pub fn prepare(name: &str, source: &HostPathVolumeSource) -> Result<PathBuf, ContainerError> {
    let path = PathBuf::from(&source.path);
    let wanted = source.type_.as_deref().unwrap_or_default();
    let problem = |what: &str| failed(name, format!("hostPath {} (type {wanted}) {what}", path.display()));
    let io = |action: &str| {
        let text = format!("hostPath {}: cannot {action}", path.display());
        move |e: std::io::Error| failed(name, format!("{text}: {e}"))
    };
    // Links are followed, as the kubelet does, because the path is the host's own.
    let found = match fs::metadata(&path) {
        Ok(metadata) => Some(metadata.file_type()),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound) => None,
        Err(e) => return Err(io("be looked at")(e)),
    };
    match (wanted, found) {
        ("", Some(_)) => {}
        ("" | "DirectoryOrCreate", None) => make_folder(&path).map_err(io("be made"))?,
        ("DirectoryOrCreate", Some(t)) if t.is_dir() => {}
        ("FileOrCreate", None) => make_file(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => problem("cannot be made: the folder that it lies in does not exist"),
            _ => io("be made")(e),
        })?,
        ("FileOrCreate", Some(t)) if t.is_file() => {}
        ("Directory" | "File" | "Socket" | "CharDevice" | "BlockDevice", None) => {
            return Err(problem("does not exist"));
        }
        ("Directory", Some(t)) if t.is_dir() => {}
        ("File", Some(t)) if t.is_file() => {}
        ("Socket", Some(t)) if t.is_socket() => {}
        ("CharDevice", Some(t)) if t.is_char_device() => {}
        ("BlockDevice", Some(t)) if t.is_block_device() => {}
        (
            "Directory" | "DirectoryOrCreate" | "File" | "FileOrCreate" | "Socket" | "CharDevice"
            | "BlockDevice",
            Some(t),
        ) => return Err(problem(&format!("is {}", describe(t)))),
        _ => return Err(problem("has an unknown type")),
    }
    Ok(path)
}

/// Returns the device that a volume of type CharDevice or BlockDevice is; `path` is the volume, or a part of it.
pub fn device(source: &HostPathVolumeSource, path: &Path) -> Option<DeviceNumber> {
    if !matches!(source.type_.as_deref(), Some("CharDevice" | "BlockDevice")) {
        return None;
    }
    let meta = fs::metadata(path).ok()?;
    let block = meta.file_type().is_block_device();
    (block || meta.file_type().is_char_device()).then(|| DeviceNumber {
        block,
        major: libc::major(meta.rdev()),
        minor: libc::minor(meta.rdev()),
    })
}

/// Creates a folder and its parents with mode 0755 whatever the umask; existing folders keep their mode.
fn make_folder(path: &Path) -> std::io::Result<()> {
    if let Some(parent) = path.parent()
        && !parent.as_os_str().is_empty()
        && !parent.exists()
    {
        make_folder(parent)?;
    }
    match DirBuilder::new().mode(0o755).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o755)),
        Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(e) => Err(e),
    }
}

fn make_file(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o644).open(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(0o644)),
        Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_file() => Ok(()),
        Err(e) => Err(e),
    }
}

fn describe(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        "a directory"
    } else if file_type.is_file() {
        "a file"
    } else if file_type.is_socket() {
        "a socket"
    } else if file_type.is_char_device() {
        "a character device"
    } else if file_type.is_block_device() {
        "a block device"
    } else if file_type.is_fifo() {
        "a FIFO"
    } else {
        "something else"
    }
}
