//! emptyDir: a folder that lives as long as the pod.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::EmptyDirVolumeSource;

use super::{Scope, failed, huge_pages, make_dir, tmpfs};
use crate::manifest::Quantity;
use crate::manifest::huge_pages::{is_medium, page_size, requested_sizes};
use crate::plan::ContainerError;
use crate::plan::node::total_memory;
use crate::plan::resources::pod_resources;

/// Creates the volume on disk, with `medium: HugePages` as a hugetlbfs, or with `medium: Memory` as a tmpfs whose size is
/// the minimum of sizeLimit, the pod's memory limit and the machine's memory. Without `mode`, every user may write (0777), because the containers of a pod may run as
/// different users.
pub fn prepare(
    scope: &Scope<'_>,
    name: &str,
    source: &EmptyDirVolumeSource,
) -> Result<PathBuf, ContainerError> {
    let mode = source.mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o777) & 0o1777;
    let medium = source.medium.as_deref().unwrap_or_default();
    let size_limit = source.size_limit.as_ref().map(|q| Quantity::from(q).value());
    if is_medium(medium) {
        let requested = scope.pod.pod.spec.as_ref().map(requested_sizes).unwrap_or_default();
        let page_size = page_size(medium, &requested).map_err(|e| failed(name, e))?;
        let path = scope.memory(name);
        let options = huge_pages::Options { page_size, size: size_limit.filter(|bytes| *bytes > 0), mode };
        huge_pages::mount(&path, &options).map_err(|e| failed(name, e))?;
        scope.give_once(name, &path, false)?;
        return Ok(path);
    }
    if medium != "Memory" {
        let path = scope.disk(name);
        make_dir(&path, mode).map_err(|e| failed(name, e))?;
        scope.give_once(name, &path, false)?;
        return Ok(path);
    }
    let path = scope.memory(name);
    let memory_limit = pod_resources(&scope.pod.pod).memory_limit;
    let size = [size_limit, memory_limit, i64::try_from(total_memory()).ok()]
        .into_iter()
        .flatten()
        .filter(|bytes| *bytes > 0)
        .min();
    tmpfs::mount(&path, &tmpfs::Options { size, mode, private: false }).map_err(|e| failed(name, e))?;
    scope.give_once(name, &path, false)?;
    Ok(path)
}
