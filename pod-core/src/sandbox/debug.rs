//! Debug containers: containers of an image of their own in the namespaces of a pod that runs, for somebody who looks at
//! it. Their streams lead to the client that asked. They are not started again, and go with the pod.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Capabilities, Container, SecurityContext};
use serde::{Deserialize, Serialize};

use super::container::{self, Streams};
use super::info::{SandboxInfo, runtime_state};
use super::process::Process;
use crate::kind::WaitingReason;
use crate::plan::{ContainerError, PodPlan};
use crate::runtime::{self, Stdio};
use crate::store::Layout;

/// A debug container to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Debug {
    /// Its name, which no container of the pod has.
    pub name: String,
    /// Its image, as in a manifest.
    pub image: String,
    /// argv; empty: the image's own.
    #[serde(default)]
    pub command: Vec<String>,
    /// The container whose processes it sees and may trace.
    #[serde(default)]
    pub target: Option<String>,
    /// Whether it has a terminal.
    #[serde(default)]
    pub tty: bool,
    /// Whether a client writes to its stdin.
    #[serde(default)]
    pub stdin: bool,
}

/// A debug container of a pod, as it is recorded for those who look at the pod. It stays recorded after its end, until
/// another one of its name is started or the pod is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DebugContainer {
    /// What was asked for.
    pub debug: Debug,
    /// When it was started; `None` until then.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// How it ended.
    #[serde(default)]
    pub ended: Option<DebugEnd>,
}

/// The end of a debug container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DebugEnd {
    /// Its exit code; `None` if it is not known.
    pub exit_code: Option<i32>,
    /// When it was noticed.
    pub finished_at: Timestamp,
}

impl DebugContainer {
    /// Returns the debug containers of a pod, the oldest first. A file that cannot be read counts as none, because nothing
    /// depends on it.
    pub fn list(layout: &Layout, uid: &str) -> Vec<Self> {
        base::file::read_json(&Self::path(layout, uid)).ok().flatten().unwrap_or_default()
    }

    /// Changes the recorded debug containers of a pod. Only its supervisor does so.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn change(
        layout: &Layout,
        uid: &str,
        change: impl FnOnce(&mut Vec<Self>),
    ) -> Result<(), base::file::Error> {
        let mut all = Self::list(layout, uid);
        change(&mut all);
        base::file::write_json_volatile(&Self::path(layout, uid), &all)
    }

    fn path(layout: &Layout, uid: &str) -> PathBuf {
        layout.pod_run(uid).join("debug.json")
    }
}

/// Starts a debug container. Returns its process, and the master of its terminal if it has one. `target` is the first
/// process of the container that it looks at.
pub fn start(
    layout: &Layout,
    pod: &PodPlan,
    sandbox: &SandboxInfo,
    debug: &Debug,
    target: Option<i32>,
    stdio: &Stdio<'_>,
) -> Result<(Process, Option<OwnedFd>), ContainerError> {
    let failed =
        |e: &dyn std::fmt::Display| ContainerError::new(WaitingReason::RunContainerError, e.to_string());
    let plan = with_container(pod, debug);
    let bundle = container::bundle(layout, &pod.uid, &debug.name, 0);
    base::file::create_private_dir_all(&bundle)
        .map_err(|e| failed(&format!("create {}: {e}", bundle.display())))?;
    let mut master = None;
    let streams = Streams::Client { stdio, master: &mut master };
    let pid_namespace_of = target;
    let joined = runtime::Sandbox { pid_namespace_of, ..sandbox.sandbox.clone() };
    let process = container::create_for_client(layout, &plan, &debug.name, &sandbox.ips, joined, streams)?;
    base::fail_point!(Worker, "debug-created");
    let oci = runtime::open(pod.runtime.as_deref(), &runtime_state(layout)).map_err(|e| failed(&e))?;
    let id = container::id(&pod.uid, &debug.name, 0);
    oci.start(&id).map_err(|e| failed(&e.of_container()))?;
    base::fail_point!(Worker, "debug-started");
    Ok((process, master))
}

/// Returns the plan of a pod with the debug container among its containers. It mounts no volumes and has no limits of its
/// own; as with kubectl, it may trace processes (profile general of `kubectl debug`).
fn with_container(pod: &PodPlan, debug: &Debug) -> PodPlan {
    let capabilities = Capabilities { add: Some(vec!["SYS_PTRACE".to_owned()]), drop: None };
    let security_context = SecurityContext { capabilities: Some(capabilities), ..SecurityContext::default() };
    // Kubernetes expands `$(NAME)` and halves `$$` in a command; this one was typed, so a shell gets all of it.
    let command: Vec<String> = debug.command.iter().map(|word| word.replace('$', "$$")).collect();
    let container = Container {
        name: debug.name.clone(),
        image: Some(debug.image.clone()),
        command: Some(command).filter(|command| !command.is_empty()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        stdin: Some(debug.stdin),
        tty: Some(debug.tty),
        security_context: Some(security_context),
        ..Container::default()
    };
    let mut plan = pod.clone();
    if let Some(spec) = plan.pod.spec.as_mut() {
        spec.containers.push(container);
    }
    plan
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::PodNetwork;

    fn plan() -> PodPlan {
        PodPlan {
            uid: "u".to_owned(),
            pod: serde_json::from_value(
                json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "main"}]}}),
            )
            .unwrap(),
            hash: String::new(),
            network: PodNetwork::default(),
            runtime: None,
        }
    }

    #[test]
    fn a_debug_container_has_no_volumes_and_no_limits_and_may_trace() {
        let debug = Debug {
            name: "debugger".to_owned(),
            image: "busybox".to_owned(),
            command: ["sh", "-c", "echo $$ $(date)"].map(str::to_owned).into(),
            target: None,
            tty: true,
            stdin: false,
        };
        let containers = with_container(&plan(), &debug).pod.spec.unwrap().containers;
        let [main, added] = containers.as_slice() else { panic!("{containers:?}") };
        assert_eq!((main.name.as_str(), added.name.as_str()), ("main", "debugger"));
        assert_eq!(added.command.as_ref().unwrap()[2], "echo $$$$ $$(date)");
        assert!(added.resources.is_none() && added.volume_mounts.is_none());
        let security = added.security_context.as_ref().unwrap();
        assert_eq!(security.capabilities.as_ref().unwrap().add.as_ref().unwrap(), &["SYS_PTRACE"]);
        let image_s_own = Debug { command: Vec::new(), ..debug };
        let containers = with_container(&plan(), &image_s_own).pod.spec.unwrap().containers;
        assert_eq!(containers[1].command, None);
    }
}
