//! Huge pages: resources such as `hugepages-2Mi`, and volumes of medium HugePages.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements};

use super::Quantity;

/// Why a volume of huge pages cannot be mounted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// No container has huge pages.
    #[error("needs a container with huge pages in its limits")]
    NoneRequested,
    /// The medium does not say which of several sizes it means.
    #[error("must say which size it means, because the pod has huge pages of {count} sizes")]
    Ambiguous {
        /// How many sizes the pod has.
        count: usize,
    },
    /// No container has huge pages of the size of the medium.
    #[error("needs a container with hugepages-{size} in its limits")]
    NotRequested {
        /// The size as it is written in the medium.
        size: String,
    },
}

/// Returns the size in bytes of the huge pages that a resource is about: `hugepages-2Mi`. `None` for every other
/// resource, and for a size that is no number.
pub(crate) fn huge_page_size(resource: &str) -> Option<u64> {
    size_of(resource.strip_prefix("hugepages-")?)
}

fn size_of(text: &str) -> Option<u64> {
    u64::try_from(Quantity::parse(text)?.value()).ok().filter(|size| *size > 0)
}

/// Returns the sizes in bytes of the huge pages that a pod has.
pub(crate) fn requested_sizes(spec: &PodSpec) -> BTreeSet<u64> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let of_containers = containers.filter_map(|container| container.resources.as_ref());
    let all: Vec<&ResourceRequirements> = of_containers.chain(&spec.resources).collect();
    let lists = all.iter().flat_map(|resources| [&resources.limits, &resources.requests]);
    lists.flatten().flatten().filter_map(|(name, _)| huge_page_size(name)).collect()
}

/// Returns true for an emptyDir's medium of huge pages: `HugePages` or `HugePages-2Mi`.
pub(crate) fn is_medium(medium: &str) -> bool {
    medium == "HugePages" || medium.starts_with("HugePages-")
}

/// Returns the size in bytes of the pages of a volume with this medium, in a pod that has huge pages of these sizes.
///
/// Source: `getPageSize` of k8s pkg/volume/emptydir.
///
/// # Errors
/// The pod has no such huge pages.
pub(crate) fn page_size(medium: &str, requested: &BTreeSet<u64>) -> Result<u64, Error> {
    let Some(text) = medium.strip_prefix("HugePages-") else {
        let mut sizes = requested.iter();
        return match (sizes.next(), sizes.next()) {
            (Some(size), None) => Ok(*size),
            (None, _) => Err(Error::NoneRequested),
            (Some(_), Some(_)) => Err(Error::Ambiguous { count: requested.len() }),
        };
    };
    let size = size_of(text).filter(|size| requested.contains(size));
    size.ok_or_else(|| Error::NotRequested { size: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_read_from_names() {
        assert_eq!(huge_page_size("hugepages-2Mi"), Some(2 << 20));
        assert_eq!(huge_page_size("hugepages-1Gi"), Some(1 << 30));
        assert_eq!(
            (huge_page_size("hugepages-big"), huge_page_size("hugepages-0"), huge_page_size("cpu")),
            (None, None, None)
        );
    }

    #[test]
    fn a_medium_is_of_a_size_that_the_pod_has() {
        let spec: PodSpec = serde_json::from_value(json!({
            "initContainers": [{"name": "i", "resources": {"limits": {"hugepages-1Gi": "1Gi"}}}],
            "containers": [{"name": "c", "resources": {"limits": {"cpu": 1, "hugepages-2Mi": "4Mi"}}}],
        }))
        .unwrap();
        let both = requested_sizes(&spec);
        assert_eq!(both, BTreeSet::from([2 << 20, 1 << 30]));
        let one = BTreeSet::from([2 << 20]);
        assert_eq!(page_size("HugePages", &one), Ok(2 << 20));
        assert_eq!(page_size("HugePages-1Gi", &both), Ok(1 << 30));
        assert_eq!(page_size("HugePages-2048Ki", &both), Ok(2 << 20));
        assert_eq!(page_size("HugePages", &BTreeSet::new()), Err(Error::NoneRequested));
        assert_eq!(page_size("HugePages", &both), Err(Error::Ambiguous { count: 2 }));
        let missing = |size: &str| Err(Error::NotRequested { size: size.to_owned() });
        assert_eq!(page_size("HugePages-1Gi", &one), missing("1Gi"));
        assert_eq!(page_size("HugePages-", &one), missing(""));
    }
}
