//! Private folders: only their owner can enter them.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// The mode of a private folder: no access for its group and others.
const PRIVATE_DIR_MODE: u32 = 0o700;

/// Returns true for the mode of a folder that only its owner can enter, list or write.
#[must_use]
pub fn is_private(mode: u32) -> bool {
    mode & 0o777 & !PRIVATE_DIR_MODE == 0
}

/// Creates a folder, and the missing folders above it, so that only their owner can enter them, whatever the umask is.
/// Existing folders keep their mode. Every folder in the trees of an instance is created with this function, so that a
/// folder that others can enter was opened to them on purpose.
///
/// # Errors
/// As [`fs::create_dir_all`].
pub fn create_private_dir_all(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(PRIVATE_DIR_MODE).create(dir)
}

/// Makes an existing folder private. Returns whether that was needed.
///
/// # Errors
/// As [`fs::metadata`] and [`fs::set_permissions`].
pub fn close_dir(dir: &Path) -> io::Result<bool> {
    // A sticky or set-group-id bit means nothing in a folder that nobody else can enter.
    if is_private(fs::metadata(dir)?.permissions().mode()) {
        return Ok(false);
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(PRIVATE_DIR_MODE))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(dir: &Path) -> u32 {
        fs::metadata(dir).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn every_folder_that_is_created_is_private_and_others_keep_their_mode() {
        let dir = tempfile::tempdir().unwrap();
        let before = dir.path().join("before");
        fs::create_dir(&before).unwrap();
        fs::set_permissions(&before, fs::Permissions::from_mode(0o755)).unwrap();
        create_private_dir_all(&before.join("a/b")).unwrap();
        create_private_dir_all(&before.join("a/b")).unwrap();
        assert_eq!(mode(&before), 0o755);
        assert_eq!(mode(&before.join("a")), 0o700);
        assert_eq!(mode(&before.join("a/b")), 0o700);
    }

    #[test]
    fn an_open_folder_is_closed_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(close_dir(dir.path()).unwrap());
        assert_eq!(mode(dir.path()), 0o700);
        assert!(!close_dir(dir.path()).unwrap());
        assert!(close_dir(&dir.path().join("missing")).is_err());
    }
}
