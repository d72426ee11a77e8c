//! This machine, as far as the status of its pods tells of it.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

/// status.hostIPs of pods.
pub fn ips() -> Vec<IpAddr> {
    pod_core::plan::node::node().ips
}

/// spec.nodeName of a pod, or this machine's host name.
pub fn name(pod: &Pod) -> String {
    pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_else(host_name)
}

/// This machine's host name: spec.nodeName of every pod.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
