//! The amount of a resource that the containers of a pod need together.

use k8s_openapi::api::core::v1::{Container, PodSpec};

/// Returns the larger of the sum over all app containers and sidecars, and the maximum of the init containers, each with
/// the sidecars before it (KEP-753). `of` returns the amount of one container, in any unit.
pub(crate) fn effective(spec: &PodSpec, of: &dyn Fn(&Container) -> Option<i64>) -> i64 {
    let apps: i64 = spec.containers.iter().filter_map(of).fold(0, i64::saturating_add);
    let (mut sidecars, mut most) = (0_i64, 0);
    for container in spec.init_containers.iter().flatten() {
        let with_sidecars = sidecars.saturating_add(of(container).unwrap_or(0));
        most = most.max(with_sidecars);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = with_sidecars;
        }
    }
    apps.saturating_add(sidecars).max(most)
}
