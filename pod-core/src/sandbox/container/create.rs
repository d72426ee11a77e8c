//! Creates one run of a container, including its process, which waits to be started.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::images::{self, ImageMounts};
use super::mounts::{self, ImageVolumes, Volumes};
use super::process::{Bundled, Processes, Streams};
use super::{bundle, error, find, id, scratch};
use crate::kind::WaitingReason;
use crate::plan::{self, ContainerError, PodPlan, PullPolicy};
use crate::runtime::host::Host;
use crate::runtime::user_namespace::{self, Staging};
use crate::runtime::{self, Sandbox, cdi, selinux, spec};
use crate::sandbox::process::Process;
use crate::sandbox::{termination_message, worker};
use crate::store::{Layout, Objects};
use crate::volume;

/// A container whose process waits to be started. Stored on disk for the worker that starts it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Created {
    pub process: Process,
    pub image_id: String,
    pub stop_signal: String,
    pub terminal: Option<Process>,
    #[serde(default)]
    pub stdin: Option<Process>,
}

impl Created {
    pub fn read(bundle: &Path) -> Result<Option<Self>, base::file::Error> {
        base::file::read_json(&bundle.join("created.json"))
    }

    pub fn write(&self, bundle: &Path) -> Result<(), base::file::Error> {
        base::file::write_json_volatile(&bundle.join("created.json"), self)
    }
}

/// The run of a container to create.
pub(super) struct Request<'a> {
    pub layout: &'a Layout,
    pub pod: &'a PodPlan,
    pub name: &'a str,
    pub attempt: u32,
    /// The addresses of the pod.
    pub ips: &'a [IpAddr],
    /// Replaces the pull policies of the manifest.
    pub policy: Option<PullPolicy>,
}

impl Request<'_> {
    /// Creates the container. `sandbox` waits for the sandbox and returns `None` if it could not be created.
    pub fn create(
        &self,
        sandbox: impl FnOnce() -> Option<Sandbox>,
        streams: Streams<'_>,
    ) -> Result<Created, ContainerError> {
        let Self { layout, pod, name, attempt, ips, policy } = *self;
        let create = error(WaitingReason::CreateContainerError);
        let config = error(WaitingReason::CreateContainerConfigError);
        let uid = pod.uid.as_str();
        let bundle = bundle(layout, uid, name, attempt);

        let mut objects = Objects::load(layout).map_err(|e| config(&e))?;
        if plan::service_links::are_enabled(pod) {
            objects = objects.with_services(layout, pod.namespace()).map_err(|e| config(&e))?;
        }
        let store = images::open_store(layout)?;
        let container = find(pod, name).ok_or_else(|| create(&format!("the pod has no container {name}")))?;
        let image_name = images::name(container.image.as_deref())?;
        let container_policy = policy.unwrap_or_else(|| plan::image_pull::policy(container));
        let image = images::obtain(&store, pod, &objects, &image_name, container_policy)?;

        let read = |path| store.read_file(&image, path, 1 << 20).map_err(|e| create(&e));
        let (passwd, group) =
            (read("/etc/passwd")?.unwrap_or_default(), read("/etc/group")?.unwrap_or_default());
        let inputs = plan::Inputs {
            pod,
            container: name,
            image: &image.config,
            passwd: &passwd,
            group: &group,
            objects: &objects,
            ips,
            node: &plan::node::node_with_storage(&layout.root),
            files: Some(&volume::read_env_files(layout, pod, container)?),
        };
        let mut resolved = plan::container::resolve(&inputs)?;
        runtime::app_armor::prepare(&resolved.app_armor).map_err(|e| create(&e))?;
        let mut host = Host::get().clone();
        let labels = host.labels(uid, &resolved.selinux, resolved.privileged);

        // Volumes are prepared on the host, because all containers of the pod share them and they outlive each container.
        let prepared = volume::prepare(layout, pod, &objects, name, labels.as_ref())?;
        base::fail_point!(Worker, "volumes-made");
        let shared = mounts::open_shared(&resolved, &prepared)?;
        worker::unshare_mounts().map_err(|e| create(&format!("mount namespace: {e}")))?;
        base::fail_point!(Worker, "mounts-unshared");
        // Mounts of a pod with a user namespace depend on that, so the sandbox is waited for here.
        let (ready, awaited) =
            if pod.has_user_namespace() { (sandbox(), None) } else { (None, Some(sandbox)) };
        let users = ready.as_ref().and_then(|sandbox| sandbox.users.as_ref());
        let staging = users.map(Staging::new).transpose().map_err(|e| create(&e))?;
        let scratch = scratch(layout, uid, name, attempt);
        let image_mounts = ImageMounts { images: &store, staging: staging.as_ref(), labels: labels.as_ref() };
        let mut volumes = Volumes::mount(prepared, &bundle)?;
        let of = ImageVolumes { pod, objects: &objects, policy, bundle: &bundle, scratch: &scratch };
        volumes.mount_images(&image_mounts, &of, &resolved)?;
        let mut mounts = volumes.binds(pod, &resolved, shared, &bundle)?;
        let sources: Vec<PathBuf> = mounts.iter().map(|mount| mount.source.clone()).collect();
        volume::make_mount_points(layout, pod, &resolved.mounts, &sources)?;

        let rootfs = match &staging {
            Some(staging) => staging.root().map_err(|e| create(&e))?,
            None => bundle.join("rootfs"),
        };
        image_mounts.root(&image, &scratch, &rootfs).map_err(|e| create(&e))?;
        base::fail_point!(Worker, "rootfs-mounted");
        let declared = mounts::of_image(layout, uid, &image, &resolved, &rootfs, &image_mounts)?;
        if staging.is_some() {
            volumes.mapped.extend(declared.iter().map(|mount| mount.source.clone()));
        }
        mounts.extend(declared);
        let message_path = termination_message::destination(container);
        if !mounts.iter().any(|mount| mount.destination == message_path) {
            let source = termination_message::create(&scratch)
                .map_err(|e| create(&format!("create the file for the termination message: {e}")))?;
            if let Some(labels) = &labels {
                selinux::label_tree(&source, &labels.file).map_err(|e| create(&e))?;
            }
            let destination = message_path.to_owned();
            mounts.push(spec::Mount { source, destination, ..spec::Mount::default() });
        }
        // Mounts are sorted so that a folder comes before the mounts in it.
        mounts.sort_by_key(|mount| Path::new(&mount.destination).components().count());
        let sandbox = ready.or_else(|| awaited.and_then(|sandbox| sandbox()));
        let sandbox = sandbox.ok_or_else(|| create(&"the pod has no sandbox"))?;
        let id = id(uid, name, attempt);
        if resolved.privileged || !resolved.devices.is_empty() {
            host = host.with_devices();
        }
        volumes.add_devices(&mut resolved, &mut host, &mut mounts)?;
        let mut oci_spec = spec::container(&spec::Container {
            id: &id,
            plan: &resolved,
            sandbox: &sandbox,
            mounts: &mounts,
            rootfs: &rootfs,
            labels: labels.as_ref(),
            host: &host,
        })
        .map_err(|e| create(&e))?;
        let edits = cdi::resolve(&cdi::load(), &resolved.cdi).map_err(|e| create(&e))?;
        oci_spec = cdi::apply(oci_spec, &edits).map_err(|e| create(&e))?;
        if let Some(staging) = &staging {
            staging.map_mounts(&mut oci_spec, &volumes.mapped).map_err(|e| create(&e))?;
        }
        if let (Some(_), Some(users)) = (&pod.runtime, &sandbox.users) {
            user_namespace::add_mappings(&mut oci_spec, users);
        }
        spec::write(&bundle, &oci_spec).map_err(|e| create(&e))?;
        base::fail_point!(Worker, "bundle-written");

        let bundled = Bundled {
            layout,
            pod,
            plan: &resolved,
            sandbox: &sandbox,
            labels: labels.as_ref(),
            bundle: &bundle,
            id: &id,
            stdin_once: container.stdin_once == Some(true),
        };
        let Processes { process, terminal, stdin } = bundled.create(streams)?;
        base::fail_point!(Worker, "container-created");
        let (image_id, stop_signal) = (image.id.clone(), resolved.stop_signal.clone());
        Ok(Created { process, image_id, stop_signal, terminal, stdin })
    }
}
