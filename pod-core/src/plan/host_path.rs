//! Resolves hostPath volumes with a relative path.

use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{HostPathVolumeSource, PodSpec};

/// Makes every relative hostPath absolute; it is relative to the folder of its manifest. A pod that is created on
/// another host or from another folder therefore has a different hash.
pub fn make_absolute(spec: &mut PodSpec, dir: &Path) {
    for volume in spec.volumes.iter_mut().flatten() {
        volume.host_path.iter_mut().for_each(|source| make_one_absolute(source, dir));
    }
}

/// Makes one hostPath absolute, which is relative to `dir` if it is not.
pub fn make_one_absolute(source: &mut HostPathVolumeSource, dir: &Path) {
    if !source.path.starts_with('/') {
        source.path = join(dir, &source.path).to_string_lossy().into_owned();
    }
}

/// Joins the paths without `.`. `..` is kept, because only the kernel can resolve it correctly if the path contains
/// symbolic links.
fn join(dir: &Path, path: &str) -> PathBuf {
    dir.join(path).components().filter(|part| *part != Component::CurDir).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_dropped_and_parents_kept() {
        assert_eq!(join(Path::new("/srv/web"), "./html/./"), Path::new("/srv/web/html"));
        assert_eq!(join(Path::new("/srv/web"), "../data"), Path::new("/srv/web/../data"));
        assert_eq!(join(Path::new("/srv/web"), "."), Path::new("/srv/web"));
        assert_eq!(join(Path::new("/srv/web"), ""), Path::new("/srv/web"));
    }
}
