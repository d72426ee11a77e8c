//! What the end-to-end tests of `kube` stand on: an instance of its own for every test, a registry on
//! loopback, images made on the spot, terminals, and a look at the host for what was left behind.
//!
//! Nothing here sleeps: what takes time is waited for by an event, with a time limit that
//! `KUBE_TEST_SLOWNESS` (a factor, for emulated machines) stretches.

// This is test code: a panic is how it reports.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::format_push_string,
    clippy::struct_field_names,
    clippy::match_wild_err_arm
)]

mod command;
pub mod fail_points;
pub mod http;
pub mod image;
mod instance;
mod leaks;
mod port;
mod processes;
pub mod registry;
mod skip;
mod terminal;

pub use command::{Output, Running};
pub use instance::Kube;
pub use port::{HostPort, host_port};
pub use processes::{Process, processes};
pub use skip::skip;
pub use terminal::Terminal;

use std::time::Duration;

/// `seconds` on a machine of ordinary speed; longer where `KUBE_TEST_SLOWNESS` says that it is slow.
pub fn limit(seconds: u64) -> Duration {
    let factor = std::env::var("KUBE_TEST_SLOWNESS").ok().and_then(|f| f.parse().ok()).unwrap_or(1);
    Duration::from_secs(seconds * factor)
}

/// True in the virtual machine of `make test-vm`: systemd, cgroup v2, every capability.
pub fn in_vm() -> bool {
    std::env::var_os("KUBE_TEST_VM").is_some()
}

/// True where the host has cgroup v2 alone.
pub fn cgroup_v2() -> bool {
    std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// A shell script for an idle container that ends at once when it is asked to.
pub const IDLE: &str = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done";

/// A Pod manifest: one container `main` that runs `script` with sh; `spec` is more YAML for its spec, indented
/// by two spaces.
pub fn pod(name: &str, script: &str, spec: &str) -> String {
    pod_with(name, script, "", spec)
}

/// Like [`pod`], with more YAML for the container, indented by four spaces.
pub fn pod_with(name: &str, script: &str, container: &str, spec: &str) -> String {
    let script = serde_json::to_string(script).unwrap();
    let spec = if spec.contains("terminationGracePeriodSeconds") {
        spec.to_owned()
    } else {
        format!("  terminationGracePeriodSeconds: 2\n{spec}")
    };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{app: {name}}}\nspec:\n{}\n  \
         containers:\n  - name: main\n    image: {}\n    command: [sh, -c, {script}]\n{}\n",
        spec.trim_end(),
        image::BUSYBOX,
        container.trim_end(),
    )
}
