//! User namespaces of pods with `hostUsers: false` (user_namespaces(7)).
//!
//! The namespace is created before everything else of the pod, together with the network namespace, which has to belong
//! to it. [`holder`] does that. The files of images and volumes keep their owners on disk; [`staging`] mounts them so
//! that they belong to the users of the namespace.

mod holder;
mod staging;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespaceType, Spec};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

pub use holder::{Holder, remove};
pub use staging::Staging;

use super::Error;

/// How many users and groups a pod has.
pub const IDS: u32 = crate::plan::user::NAMESPACE_IDS;

/// The annotation of an OCI spec with the first id of its user namespace.
pub(super) const FIRST_ID: &str = "kube-play/first-id";

/// Returns the id on the host of the root of a container's user namespace; `None` for a container without one.
pub(super) fn first_id(spec: &Spec) -> Option<u32> {
    spec.annotations().as_ref()?.get(FIRST_ID)?.parse().ok()
}

/// Opens the user namespace of a container, and returns it with the id on the host of its root; `None` for a container
/// without one.
///
/// # Errors
/// If the namespace is gone.
pub(super) fn to_join(spec: &Spec) -> Result<Option<(File, u32)>, Error> {
    let Some(first) = first_id(spec) else { return Ok(None) };
    let namespaces = spec.linux().iter().flat_map(|linux| linux.namespaces().iter().flatten());
    let mut paths =
        namespaces.filter(|one| one.typ() == LinuxNamespaceType::User).filter_map(|one| one.path().clone());
    let Some(path) = paths.next() else {
        return Err(Error::Spec("it has ids of a user namespace and no user namespace".to_owned()));
    };
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    Ok(Some((file, first)))
}

/// Opens the namespaces that a container joins, and changes the spec to join them through the descriptors: once a
/// process is in its user namespace, it cannot reach them by their paths. The descriptors have to stay open until the
/// container is created.
///
/// # Errors
/// If a namespace is gone.
pub(super) fn join_by_descriptor(spec: &mut Spec) -> Result<Vec<File>, Error> {
    let mut open = Vec::new();
    let Some(linux) = spec.linux_mut() else { return Ok(open) };
    let mut namespaces = linux.namespaces().clone().unwrap_or_default();
    if !namespaces.iter().any(|one| one.typ() == LinuxNamespaceType::User) {
        return Ok(open);
    }
    for namespace in &mut namespaces {
        let Some(path) = namespace.path().clone().filter(|_| namespace.typ() != LinuxNamespaceType::User)
        else {
            continue;
        };
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        namespace.set_path(Some(format!("/proc/self/fd/{}", file.as_raw_fd()).into()));
        open.push(file);
    }
    linux.set_namespaces(Some(namespaces));
    Ok(open)
}

/// Adds the ids of a pod's user namespace to a spec. The built-in runtime learns them from the namespace that it joins;
/// runc and crun also want them in the spec (`linux.uidMappings` of the OCI runtime specification).
pub fn add_mappings(spec: &mut Spec, users: &UserNamespace) {
    let Some(linux) = spec.linux_mut() else { return };
    let mapping =
        LinuxIdMappingBuilder::default().container_id(0_u32).host_id(users.first_id).size(IDS).build();
    let mappings: Option<Vec<LinuxIdMapping>> = mapping.ok().map(|mapping| vec![mapping]);
    linux.set_uid_mappings(mappings.clone()).set_gid_mappings(mappings);
}

/// The user namespace of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNamespace {
    /// The bind mount of the namespace.
    pub path: PathBuf,
    /// The id on the host of its root; [`IDS`] ids from there on belong to it.
    pub first_id: u32,
}

/// Why pods with `hostUsers: false` cannot run on this host.
#[derive(Debug, thiserror::Error)]
pub enum Unsupported {
    /// No user namespace can be created.
    #[error("hostUsers: false needs user namespaces, which cannot be created here: {0}")]
    Namespace(#[source] Error),
    /// The kernel cannot map ids of a tmpfs, which Secrets and /dev/shm are.
    #[error(
        "hostUsers: false needs Linux 6.3 or later: this kernel cannot map the ids of files on a tmpfs ({0})"
    )]
    Tmpfs(#[source] io::Error),
    /// The file system of the images cannot map ids.
    #[error(
        "hostUsers: false needs id-mapped mounts, which the file system of {} does not support ({source}): put --root \
         on ext4, xfs, btrfs or tmpfs",
        root.display()
    )]
    Root {
        /// `--root`.
        root: PathBuf,
        /// The kernel's error.
        #[source]
        source: io::Error,
    },
}

/// Checks that this host can run pods with user namespaces whose files are below `root`, which exists. Changes nothing.
///
/// # Errors
/// What is missing.
pub fn check(root: &Path) -> Result<(), Unsupported> {
    let holder = Holder::start(false).map_err(Unsupported::Namespace)?;
    // The ids do not matter, because no process and no file gets them.
    holder.map(IDS).map_err(Unsupported::Namespace)?;
    let namespace = holder.open().map_err(Unsupported::Namespace)?;
    staging::can_map_tmpfs(&namespace).map_err(|errno: Errno| Unsupported::Tmpfs(errno.into()))?;
    staging::can_map(root, &namespace)
        .map_err(|errno: Errno| Unsupported::Root { root: root.to_owned(), source: errno.into() })
}
