//! The foundation of the end-to-end tests of `kube`: a separate instance per test, a registry on loopback, images,
//! terminals, and a check that nothing is left on the host.
//!
//! Nothing here sleeps for a fixed time. Tests wait for events, within a time limit that `KUBE_TEST_SLOWNESS` (a
//! factor, for emulated machines) extends.

// This is test code, which reports failures by panics.
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
mod nfs;
mod port;
mod processes;
pub mod registry;
mod skip;
mod terminal;

pub use command::{Output, Running};
pub use instance::{Changes, Kube};
pub use nfs::NfsServer;
pub use port::{HostPort, host_port};
pub use processes::{Process, processes};
pub use skip::{is_root, skip};
pub use terminal::Terminal;

use std::time::Duration;

/// Returns `seconds`, multiplied by `KUBE_TEST_SLOWNESS` if that is set.
pub fn limit(seconds: u64) -> Duration {
    let factor = std::env::var("KUBE_TEST_SLOWNESS").ok().and_then(|f| f.parse().ok()).unwrap_or(1);
    Duration::from_secs(seconds * factor)
}

/// Returns true in the virtual machine of `make test-vm`, which has systemd, cgroup v2 and every capability.
pub fn in_vm() -> bool {
    std::env::var_os("KUBE_TEST_VM").is_some()
}

/// Returns true if the host has only cgroup v2.
pub fn cgroup_v2() -> bool {
    std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// A shell script for an idle container that ends at once on SIGTERM and SIGINT.
pub const IDLE: &str = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done";

/// Returns a Pod manifest with one container `main` that runs `script` with sh. `spec` is additional YAML for the
/// pod's spec, indented by two spaces.
pub fn pod(name: &str, script: &str, spec: &str) -> String {
    pod_with(name, script, "", spec)
}

/// Returns a manifest as [`pod`] does, with additional YAML for the container, indented by four spaces.
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
