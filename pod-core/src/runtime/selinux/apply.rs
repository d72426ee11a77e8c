//! Sets labels: of files (`security.selinux`, xattr(7)) and of programs that are about to be executed.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use base::file::{open_tree_root, walk_tree};
use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags, fstat, getxattr, openat, setxattr};
use rustix::io::Errno;

use super::Policy;

/// The attribute of a file with its label.
const ATTRIBUTE: &str = "security.selinux";

/// Why a label cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy does not have the label.
    #[error("the SELinux policy of this host does not know the label {label}")]
    Unknown {
        /// The label.
        label: String,
    },
    /// The kernel refused it for another reason.
    #[error("cannot give {} the SELinux label {label}: {source}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The label.
        label: String,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
}

impl Error {
    fn new(path: &Path, label: &str) -> impl FnOnce(Errno) -> Self + use<> {
        let (path, label) = (path.to_owned(), label.to_owned());
        move |errno| match errno {
            Errno::INVAL => Self::Unknown { label },
            errno => Self::Refused { path, label, source: errno.into() },
        }
    }
}

/// Returns whether the kernel has a policy (is_selinux_enabled(3)), be it enforcing or permissive.
pub fn is_enabled() -> bool {
    // Until a policy is loaded, everything has this label.
    let own = fs::read_to_string("/proc/self/attr/current").unwrap_or_default();
    Path::new("/sys/fs/selinux/enforce").exists() && own.trim_end_matches('\0').trim() != "kernel"
}

/// Returns what the policy of this host has for containers; `None` without SELinux (selinux_config(5)).
pub fn policy() -> Option<Policy> {
    if !is_enabled() {
        return None;
    }
    let config = fs::read_to_string("/etc/selinux/config").unwrap_or_default();
    let kind = config.lines().find_map(|line| line.trim().strip_prefix("SELINUXTYPE=")).unwrap_or("targeted");
    let contexts = Path::new("/etc/selinux").join(kind.trim()).join("contexts/lxc_contexts");
    Some(Policy::parse(&fs::read_to_string(contexts).unwrap_or_default()))
}

/// Gives an open file a label. A file system that has no labels is left as it is.
///
/// # Errors
/// The kernel's error.
pub fn label_descriptor(fd: impl AsFd, label: &str) -> Result<(), Errno> {
    // fsetxattr(2) on a descriptor of O_PATH fails, but not setxattr(2) on its link in /proc.
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    if current(&path).is_some_and(|current| current == label) {
        return Ok(());
    }
    match setxattr(path.as_str(), ATTRIBUTE, label.as_bytes(), XattrFlags::empty()) {
        Err(Errno::OPNOTSUPP) => Ok(()),
        result => result,
    }
}

fn current(path: &str) -> Option<String> {
    let mut value = [0_u8; 4096];
    let length = getxattr(path, ATTRIBUTE, &mut value).ok()?;
    let text = value.get(..length)?;
    Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
}

/// Gives a file, or a folder and everything in it, a label. If it has the label already, nothing else is looked at: the
/// folder is labelled last, so what is in it has the label too.
///
/// # Errors
/// If the kernel refuses the label.
pub fn label_tree(path: &Path, label: &str) -> Result<(), Error> {
    label_below(path, label).map_err(Error::new(path, label))
}

fn label_below(path: &Path, label: &str) -> Result<(), Errno> {
    let top = openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let is_labelled = current(&format!("/proc/self/fd/{}", top.as_raw_fd())).is_some_and(|own| own == label);
    if is_labelled {
        return Ok(());
    }
    let mut give = |file: BorrowedFd<'_>| label_descriptor(file, label);
    match FileType::from_raw_mode(fstat(&top)?.st_mode) {
        FileType::Directory => walk_tree(open_tree_root(path)?, &mut give),
        _ => give(top.as_fd()),
    }
}

/// Gives the devices of a container that was created and not started a label. They are on a tmpfs that libcontainer mounts
/// without one. What is mounted below /dev keeps its labels.
///
/// # Errors
/// If the kernel refuses the label.
pub fn label_devices(pid: i32, label: &str) -> Result<(), Error> {
    label_tree(Path::new(&format!("/proc/{pid}/root/dev")), label)
}

/// Makes the program that this process executes next run with a label (proc_pid_attr(5)).
///
/// # Errors
/// The kernel's error.
pub fn set_exec_label(label: &str) -> io::Result<()> {
    fs::write("/proc/self/attr/exec", label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_label_is_told_from_other_refusals() {
        let told = |errno| Error::new(Path::new("/v"), "u:r:t:s0")(errno).to_string();
        insta::assert_snapshot!(told(Errno::INVAL), @"the SELinux policy of this host does not know the label u:r:t:s0");
        insta::assert_snapshot!(told(Errno::ACCESS), @"cannot give /v the SELinux label u:r:t:s0: Permission denied (os error 13)");
    }

    #[test]
    fn a_host_without_selinux_has_no_labels() {
        if !is_enabled() {
            assert_eq!(policy(), None);
        }
    }
}
