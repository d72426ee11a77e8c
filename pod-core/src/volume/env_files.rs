//! Reads the files of an emptyDir that variables come from (fileKeyRef). Containers have written them, so they may be
//! anything.

use std::io::Read;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Container;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

use crate::plan::env_file::{EnvFiles, MAX_FILE};
use crate::plan::{ContainerError, PodPlan};
use crate::store::Layout;

/// How often a lookup is repeated that a container disturbs (openat2(2), EAGAIN).
const RETRIES: usize = 1000;

/// Returns the files that variables of a container come from. A file that does not exist is `None`.
///
/// # Errors
/// `CreateContainerConfigError` for what is not a text file of at most 1 MiB in the volume.
pub fn read_env_files(
    layout: &Layout,
    pod: &PodPlan,
    container: &Container,
) -> Result<EnvFiles, ContainerError> {
    let mut files = EnvFiles::new();
    let sources = container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref());
    for reference in sources.filter_map(|source| source.file_key_ref.as_ref()) {
        let key = (reference.volume_name.clone(), reference.path.clone());
        if files.contains_key(&key) {
            continue;
        }
        let contents = read(&folder(layout, pod, &key.0), &key.1).map_err(|problem| {
            ContainerError::config(format!("file {:?} of volume {}: {problem}", key.1, key.0))
        })?;
        files.insert(key, contents);
    }
    Ok(files)
}

/// Returns the folder of an emptyDir.
fn folder(layout: &Layout, pod: &PodPlan, name: &str) -> PathBuf {
    let volumes = pod.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let source = volumes.filter(|volume| volume.name == name).find_map(|volume| volume.empty_dir.as_ref());
    let in_memory =
        source.and_then(|source| source.medium.as_deref()).is_some_and(|medium| !medium.is_empty());
    let pod_dir = if in_memory { layout.pod_run(&pod.uid) } else { layout.pod(&pod.uid) };
    pod_dir.join("volumes").join(name)
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{}", std::io::Error::from(*.0))]
    Call(Errno),
    #[error(transparent)]
    Read(#[from] std::io::Error),
    #[error("a link leads out of the volume")]
    Outside,
    #[error("is not a regular file")]
    NotFile,
    #[error("is larger than {} MiB", MAX_FILE >> 20)]
    TooLarge,
    #[error("is not UTF-8 text")]
    NotText,
}

fn read(volume: &Path, path: &str) -> Result<Option<String>, Problem> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = match open(volume, flags, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(Problem::Call(error)),
    };
    // Not blocking: it may be a FIFO.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut found = Err(Errno::AGAIN);
    for _ in 0..RETRIES {
        found = openat2(&root, path, flags, Mode::empty(), how);
        if !matches!(found, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    let file = match found {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::XDEV) => return Err(Problem::Outside),
        Err(Errno::NXIO) => return Err(Problem::NotFile),
        Err(error) => return Err(Problem::Call(error)),
    };
    let stat = fstat(&file).map_err(Problem::Call)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Problem::NotFile);
    }
    let limit = u64::try_from(MAX_FILE).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_FILE {
        return Err(Problem::TooLarge);
    }
    String::from_utf8(bytes).map(Some).map_err(|_| Problem::NotText)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_read_only_if_it_is_one_of_the_volume() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::create_dir_all(volume.join("sub")).unwrap();
        fs::write(dir.path().join("secret"), "A='1'").unwrap();
        fs::write(volume.join("sub/file"), "A='1'").unwrap();
        fs::write(volume.join("binary"), [0xff, 0xfe]).unwrap();
        fs::File::create(volume.join("large")).unwrap().set_len(2 << 20).unwrap();
        for (link, target) in [("inside", "sub/file"), ("out", "../secret"), ("absolute", "/etc/passwd")] {
            std::os::unix::fs::symlink(target, volume.join(link)).unwrap();
        }
        rustix::fs::mkfifoat(rustix::fs::CWD, volume.join("fifo"), Mode::RWXU).unwrap();
        let text = |path: &str| read(&volume, path).map_err(|problem| problem.to_string());
        assert_eq!(text("sub/file"), Ok(Some("A='1'".to_owned())));
        assert_eq!(text("inside"), Ok(Some("A='1'".to_owned())));
        assert_eq!(text("absent"), Ok(None));
        for out in ["out", "absolute", "../secret"] {
            assert_eq!(text(out), Err("a link leads out of the volume".to_owned()), "{out}");
        }
        for other in ["sub", "fifo"] {
            assert_eq!(text(other), Err("is not a regular file".to_owned()), "{other}");
        }
        assert_eq!(text("large"), Err("is larger than 1 MiB".to_owned()));
        assert_eq!(text("binary"), Err("is not UTF-8 text".to_owned()));
        assert_eq!(read(&dir.path().join("none"), "x").unwrap(), None);
    }
}
