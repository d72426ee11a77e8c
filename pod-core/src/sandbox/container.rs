//! One run of a container, from image to process, and its removal. Runs in a worker, except [`kill`].
//!
//! [`start`] starts a container that [`create_early`] may have created. [`create`](self::create) creates one: it resolves
//! the container, mounts its image and volumes ([`images`], [`mounts`]) and has the runtime make its process ([`process`]).

mod create;
mod images;
mod mounts;
mod process;
mod removal;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Container;
use serde::{Deserialize, Serialize};

pub use self::process::Streams;
pub use self::removal::{delete, ended_by_oom, kill, oom_kills, release_images};

use self::create::{Created, Request};
use super::info::{SandboxInfo, runtime_state};
use super::output;
use super::process::Process;
use crate::kind::WaitingReason;
use crate::lifecycle::Event;
use crate::log::Stream;
use crate::plan::{ContainerError, PodPlan, PullPolicy};
use crate::runtime::{self, Sandbox};
use crate::store::Layout;

/// A container whose process runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    /// The container's process.
    pub process: Process,
    /// The container's id: `kube://<id>`.
    pub container_id: String,
    /// The image's id: `sha256:...`.
    pub image_id: String,
    /// The signal that stops the container, such as `SIGTERM`.
    pub stop_signal: String,
    /// The process that holds the container's terminal.
    pub terminal: Option<Process>,
    /// The process that holds the container's stdin open, if it has `stdinOnce: true` and no terminal.
    #[serde(default)]
    pub stdin: Option<Process>,
}

impl Started {
    /// Returns the event that reports the start to the state machine.
    pub fn event(self, container: &str, attempt: u32) -> Event {
        Event::Started {
            container: container.to_owned(),
            attempt,
            pid: self.process.pid,
            container_id: self.container_id,
            image_id: self.image_id,
            stop_signal: self.stop_signal,
        }
    }
}

/// Returns the id of one run of a container, for runtimes and cgroups.
pub fn id(uid: &str, container: &str, attempt: u32) -> String {
    format!("{uid}-{container}-{attempt}")
}

/// Returns the bundle of one run.
pub fn bundle(layout: &Layout, uid: &str, container: &str, attempt: u32) -> PathBuf {
    layout.bundle(uid, container).join(attempt.to_string())
}

/// Returns the path of the file that describes a started container for a later supervisor.
pub fn started_path(bundle: &Path) -> PathBuf {
    bundle.join("started.json")
}

/// Returns the folder of one run on disk: its writable layer, and what else belongs to it.
pub fn scratch(layout: &Layout, uid: &str, container: &str, attempt: u32) -> PathBuf {
    layout.pod(uid).join("containers").join(container).join(attempt.to_string())
}

fn error(reason: WaitingReason) -> impl Fn(&dyn std::fmt::Display) -> ContainerError {
    move |e| ContainerError::new(reason.clone(), e.to_string())
}

/// Starts one run of a container, and creates it first unless [`create_early`] has. When this worker ends, only the
/// process, its cgroup, tmpfs volumes and files remain; the other mounts are in the worker's own mount namespace.
pub fn start(
    layout: &Layout,
    pod: &PodPlan,
    sandbox: &SandboxInfo,
    name: &str,
    attempt: u32,
) -> Result<Started, ContainerError> {
    let failed = error(WaitingReason::RunContainerError);
    let (bundle, id) = (bundle(layout, &pod.uid, name, attempt), id(&pod.uid, name, attempt));
    let created = match Created::read(&bundle).map_err(|e| failed(&e))? {
        Some(created) => created,
        None => {
            let joined = || Some(sandbox.sandbox.clone());
            let request = Request { layout, pod, name, attempt, ips: &sandbox.ips, policy: None };
            request.create(joined, Streams::Log)?
        }
    };
    let Created { process, image_id, stop_signal, terminal, stdin } = created;
    let oci = runtime::open(pod.runtime.as_deref(), &runtime_state(layout)).map_err(|e| failed(&e))?;
    oci.start(&id).map_err(|e| failed(&e.of_container()))?;
    base::fail_point!(Worker, "container-started");
    let container_id = format!("kube://{id}");
    let started = Started { process, container_id, image_id, stop_signal, terminal, stdin };
    base::file::write_json_volatile(&started_path(&bundle), &started).map_err(|e| failed(&e))?;
    base::fail_point!(Worker, "container-recorded");
    Ok(started)
}

/// Returns whether a container can be created while the network of its pod is set up: nothing in the container depends
/// on the network.
pub fn can_be_created_early(pod: &PodPlan, name: &str) -> bool {
    let Some(container) = find(pod, name) else { return false };
    let of_network = |path: &str| matches!(path, "status.podIP" | "status.podIPs");
    let asks = container.env.iter().flatten().any(|env| {
        let field = env.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
        field.is_some_and(|field| of_network(&field.field_path))
    });
    // Another runtime may use more of the network; a terminal is passed to the process that starts the container.
    pod.runtime.is_none()
        && container.tty != Some(true)
        && (!asks || pod.network.host)
        && !pod.has_user_namespace()
}

/// Creates one run of a container that [`start`] will start, in parallel with the rest of its sandbox. `sandbox` waits
/// for the sandbox and returns `None` if it could not be created. If this fails, [`start`] tries again and reports the
/// error.
pub fn create_early(
    layout: &Layout,
    pod: &PodPlan,
    name: &str,
    attempt: u32,
    sandbox: impl FnOnce() -> Option<Sandbox>,
) -> Result<(), ContainerError> {
    let failed = error(WaitingReason::CreateContainerError);
    let bundle = bundle(layout, &pod.uid, name, attempt);
    base::file::create_private_dir_all(&bundle)
        .map_err(|e| failed(&format!("create {}: {e}", bundle.display())))?;
    let mut readers = Vec::new();
    for stream in Stream::ALL {
        // The readers stay open until the container has opened the FIFOs.
        readers.push(output::open_reader(&bundle, stream).map_err(|e| failed(&e))?);
    }
    // An image is not pulled here, because the sandbox would wait for the pull.
    let never = Some(PullPolicy::Never);
    let request = Request { layout, pod, name, attempt, ips: &[], policy: never };
    let created = request.create(sandbox, Streams::Log)?;
    created.write(&bundle).map_err(|e| failed(&e))?;
    base::fail_point!(Worker, "container-ahead");
    Ok(())
}

/// Creates a container whose streams lead to a client, in a sandbox that exists. Returns its process, which waits to be
/// started.
pub fn create_for_client(
    layout: &Layout,
    pod: &PodPlan,
    name: &str,
    ips: &[IpAddr],
    sandbox: Sandbox,
    streams: Streams<'_>,
) -> Result<Process, ContainerError> {
    let request = Request { layout, pod, name, attempt: 0, ips, policy: None };
    Ok(request.create(|| Some(sandbox), streams)?.process)
}

fn find<'a>(pod: &'a PodPlan, name: &str) -> Option<&'a Container> {
    let spec = pod.pod.spec.as_ref()?;
    spec.init_containers.iter().flatten().chain(&spec.containers).find(|c| c.name == name)
}
