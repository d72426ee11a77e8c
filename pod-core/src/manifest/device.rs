//! Devices of this machine for a container, requested as podman does: the resource limit `podman.io/device=/dev/fuse:
//! 1`.

/// Prefix of a resource name that requests a device. Source: podman's `pkg/specgen/generate/kube`.
const PREFIX: &str = "podman.io/device=";

/// A device of this machine for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its path on this machine, below /dev.
    pub source: String,
    /// Its path in the container.
    pub destination: String,
    /// What the container may do with it: a subset of `rwm`.
    pub access: String,
}

impl Device {
    /// Returns the device that a resource name requests in the form `PREFIX/dev/SOURCE[:/DESTINATION[:rwm]]`, or why it
    /// is invalid. `None` for every other resource.
    pub fn from_resource(name: &str) -> Option<Result<Self, &'static str>> {
        let mut parts = name.strip_prefix(PREFIX)?.splitn(3, ':');
        let source = parts.next().unwrap_or_default();
        let destination = parts.next().unwrap_or(source);
        let access = parts.next().unwrap_or("rwm");
        let is_plain = |path: &str| path.starts_with("/dev/") && !path.split('/').any(|part| part == "..");
        if !is_plain(source) || !is_plain(destination) {
            return Some(Err("must be the path of a device below /dev"));
        }
        if access.is_empty() || access.contains(|letter| !matches!(letter, 'r' | 'w' | 'm')) {
            return Some(Err("ends in what may be done with the device: letters of rwm"));
        }
        let [source, destination, access] = [source, destination, access].map(str::to_owned);
        Some(Ok(Self { source, destination, access }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_may_ask_for_a_device() {
        let asked = |name: &str| {
            Device::from_resource(name)
                .map(|device| device.map(|one| (one.source, one.destination, one.access)))
        };
        let device = |source: &str, destination: &str, access: &str| {
            Some(Ok((source.to_owned(), destination.to_owned(), access.to_owned())))
        };
        assert_eq!(asked("podman.io/device=/dev/fuse"), device("/dev/fuse", "/dev/fuse", "rwm"));
        assert_eq!(asked("podman.io/device=/dev/a:/dev/b:r"), device("/dev/a", "/dev/b", "r"));
        assert_eq!(asked("nvidia.com/gpu"), None);
        for wrong in
            ["", "fuse", "/etc/passwd", "/dev/../etc", "/dev/a:/dev/b:x", "/dev/a:/dev/b:", "/dev/a:/b"]
        {
            assert!(asked(&format!("{PREFIX}{wrong}")).unwrap().is_err(), "{wrong}");
        }
    }
}
