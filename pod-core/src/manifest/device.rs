//! Resources that are devices of this machine: `podman.io/device=/dev/fuse: 1`, as podman has it, and extended resources
//! and annotations that name devices of CDI (Container Device Interface).

use serde::{Deserialize, Serialize};

use super::{Quantity, shown};

/// Prefix of an annotation that asks for devices of CDI, as with containerd. The value is a list of
/// `vendor.com/class=NAME`.
const CDI_ANNOTATION: &str = "cdi.k8s.io/";

/// A request for devices of CDI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceRequest {
    /// A number of devices of a kind: the limit `vendor.com/class: 2`.
    Count {
        /// `vendor.com/class`.
        kind: String,
        /// How many.
        count: usize,
    },
    /// One device: the annotation `cdi.k8s.io/any: vendor.com/class=NAME`.
    Named {
        /// `vendor.com/class`.
        kind: String,
        /// Its name.
        name: String,
    },
}

impl DeviceRequest {
    /// Returns the devices that an annotation asks for, or the entry that is invalid; `None` for every other annotation.
    pub(crate) fn from_annotation(key: &str, value: &str) -> Option<Result<Vec<Self>, InvalidRequest>> {
        key.strip_prefix(CDI_ANNOTATION)?;
        let entries = value.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let parsed = entries.map(|entry| match entry.split_once('=') {
            Some((kind, name)) if is_word(name) && kind.split_once('/').is_some_and(is_kind) => {
                Ok(Self::Named { kind: kind.to_owned(), name: name.to_owned() })
            }
            _ => Err(InvalidRequest(entry.to_owned())),
        });
        Some(parsed.collect())
    }
}

/// An entry of an annotation that asks for no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} must be a device such as vendor.com/class=NAME", shown(.0))]
pub(crate) struct InvalidRequest(String);

/// Returns true for the two parts of `vendor.com/class`.
fn is_kind((vendor, class): (&str, &str)) -> bool {
    is_word(vendor) && is_word(class)
}

/// Returns true for a vendor, a class or the name of a device of CDI.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':'))
}

/// Returns the devices that a resource of a container's limits asks for: an extended resource, which is neither podman's
/// nor one of Kubernetes' own.
pub(crate) fn requested_device(resource: &str, amount: Quantity) -> Option<DeviceRequest> {
    let is_extended = resource.contains('/') && !resource.starts_with(PREFIX);
    let count = usize::try_from(amount.value()).ok().filter(|count| *count > 0)?;
    is_extended.then(|| DeviceRequest::Count { kind: resource.to_owned(), count })
}

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
    fn an_extended_resource_and_an_annotation_ask_for_devices_of_cdi() {
        let count = |kind: &str, count| Some(DeviceRequest::Count { kind: kind.to_owned(), count });
        let of = |name: &str, amount: &str| requested_device(name, Quantity::parse(amount).unwrap());
        assert_eq!(of("nvidia.com/gpu", "2"), count("nvidia.com/gpu", 2));
        assert_eq!(of("nvidia.com/gpu", "0"), None);
        assert_eq!(of("cpu", "1"), None);
        assert_eq!(of("podman.io/device=/dev/fuse", "1"), None);
        let annotated = |key, value| DeviceRequest::from_annotation(key, value);
        let named =
            |kind: &str, name: &str| DeviceRequest::Named { kind: kind.to_owned(), name: name.to_owned() };
        assert_eq!(
            annotated("cdi.k8s.io/mine", "vendor.com/a=x, vendor.com/a=y"),
            Some(Ok(vec![named("vendor.com/a", "x"), named("vendor.com/a", "y")]))
        );
        assert_eq!(
            annotated("cdi.k8s.io/mine", "vendor.com/a"),
            Some(Err(InvalidRequest("vendor.com/a".to_owned())))
        );
        assert_eq!(annotated("example.com/mine", "vendor.com/a=x"), None);
    }

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
