//! One run of a container, from image to process, and its removal. Runs in a worker, except [`kill`].

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Container;
use nix::mount::{MsFlags, mount};
use serde::{Deserialize, Serialize};

use super::info::{SandboxInfo, runtime_state};
use super::output;
use super::process::Process;
use super::{console, termination_message, worker};
use crate::image::{self, Image, ImageName, ImageStore, MappedOwners, PullOptions};
use crate::kind::WaitingReason;
use crate::lifecycle::Event;
use crate::log::Stream;
use crate::plan::{self, ContainerError, PodPlan, PullPolicy};
use crate::runtime::user_namespace::Staging;
use crate::runtime::{self, Create, Sandbox, Stdio, cdi, cgroup, spec};
use crate::store::{Layout, Objects};
use crate::volume;

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

/// A container whose process waits to be started. Stored on disk for the worker that starts it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    process: Process,
    image_id: String,
    stop_signal: String,
    terminal: Option<Process>,
    #[serde(default)]
    stdin: Option<Process>,
}

fn created_path(bundle: &Path) -> PathBuf {
    bundle.join("created.json")
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
    let created = match base::file::read_json(&created_path(&bundle)).map_err(|e| failed(&e))? {
        Some(created) => created,
        None => {
            let joined = || Some(sandbox.sandbox.clone());
            create(layout, pod, name, attempt, &sandbox.ips, None, joined, Streams::Log)?
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
    let created = create(layout, pod, name, attempt, &[], never, sandbox, Streams::Log)?;
    base::file::write_json_volatile(&created_path(&bundle), &created).map_err(|e| failed(&e))?;
    base::fail_point!(Worker, "container-ahead");
    Ok(())
}

/// Where the streams of a container lead.
pub enum Streams<'a> {
    /// Into FIFOs, from which the supervisor writes the log.
    Log,
    /// To a client: to its descriptors, or to a terminal.
    Client {
        /// The descriptors of the client.
        stdio: &'a Stdio<'a>,
        /// Receives the master of the terminal, if the container has one.
        master: &'a mut Option<OwnedFd>,
    },
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
    Ok(create(layout, pod, name, 0, ips, None, || Some(sandbox), streams)?.process)
}

fn find<'a>(pod: &'a PodPlan, name: &str) -> Option<&'a Container> {
    let spec = pod.pod.spec.as_ref()?;
    spec.init_containers.iter().flatten().chain(&spec.containers).find(|c| c.name == name)
}

/// Creates one run of a container, including its process, which waits to be started.
#[expect(clippy::too_many_arguments, reason = "its callers differ in all of them")]
fn create(
    layout: &Layout,
    pod: &PodPlan,
    name: &str,
    attempt: u32,
    ips: &[IpAddr],
    policy: Option<PullPolicy>,
    sandbox: impl FnOnce() -> Option<Sandbox>,
    streams: Streams<'_>,
) -> Result<Created, ContainerError> {
    let create = error(WaitingReason::CreateContainerError);
    let config = error(WaitingReason::CreateContainerConfigError);
    let uid = pod.uid.as_str();
    let bundle = bundle(layout, uid, name, attempt);

    let mut objects = Objects::load(layout).map_err(|e| config(&e))?;
    if plan::service_links::are_enabled(pod) {
        objects = objects.with_services(layout, pod.namespace()).map_err(|e| config(&e))?;
    }
    let images = ImageStore::open(&layout.images()).map_err(|e| create(&e))?;
    let container = find(pod, name).ok_or_else(|| create(&format!("the pod has no container {name}")))?;
    let image_name = ImageName::parse(container.image.as_deref().unwrap_or_default())
        .map_err(|e| error(WaitingReason::InvalidImageName)(&e))?;
    // `play` has pulled what the policy asks for. Only a missing image is pulled here, for example after an `image rm`.
    let container_policy = policy.unwrap_or_else(|| plan::image_pull::policy(container));
    let image = obtain_image(&images, pod, &objects, &image_name, container_policy)?;

    let read = |path| images.read_file(&image, path, 1 << 20).map_err(|e| create(&e));
    let (passwd, group) = (read("/etc/passwd")?.unwrap_or_default(), read("/etc/group")?.unwrap_or_default());
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

    // Volumes are prepared on the host, because all containers of the pod share them and they outlive each container.
    let prepared = volume::prepare(layout, pod, &objects, name)?;
    base::fail_point!(Worker, "volumes-made");
    worker::unshare_mounts().map_err(|e| create(&format!("mount namespace: {e}")))?;
    base::fail_point!(Worker, "mounts-unshared");
    // Mounts of a pod with a user namespace depend on that, so the sandbox is waited for here.
    let (ready, awaited) = if pod.has_user_namespace() { (sandbox(), None) } else { (None, Some(sandbox)) };
    let users = ready.as_ref().and_then(|sandbox| sandbox.users.as_ref());
    let staging = users.map(Staging::new).transpose().map_err(|e| create(&e))?;
    let mut mapped = Vec::new();
    let scratch = scratch(layout, uid, name, attempt);
    let (mut volumes, devices) = mount_prepared(prepared, &bundle)?;
    for volume in pod.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let is_mounted = resolved.mounts.iter().any(|mount| mount.volume == volume.name);
        if let Some(source) = volume.image.as_ref().filter(|_| is_mounted) {
            let image_name = ImageName::parse(source.reference.as_deref().unwrap_or_default())
                .map_err(|e| error(WaitingReason::InvalidImageName)(&e))?;
            let policy = policy.unwrap_or_else(|| plan::image_pull::volume_policy(source));
            let image = obtain_image(&images, pod, &objects, &image_name, policy)?;
            let target = bundle.join("images").join(&volume.name);
            let scratch = scratch.join("images").join(&volume.name);
            mount_image(&images, &image, &scratch, &target, staging.as_ref())
                .map_err(|e| create(&format!("volume {}: {e}", volume.name)))?;
            mapped.push(target.clone());
            volumes.insert(volume.name.clone(), target);
        }
    }
    let mut mounts = Vec::new();
    for (n, wanted) in resolved.mounts.iter().enumerate() {
        let source = volumes
            .get(&wanted.volume)
            .ok_or_else(|| config(&format!("volume {} is not in the pod", wanted.volume)))?;
        let source = match &wanted.sub_path {
            None => source.clone(),
            Some(sub_path) => {
                let fd = volume::open_sub_path(source, sub_path)?;
                let target = bundle.join("subpaths").join(n.to_string());
                volume::bind_sub_path(fd.as_fd(), &target, wanted.from_host)?;
                if mapped.contains(source) {
                    mapped.push(target.clone());
                }
                target
            }
        };
        let device = volume::device(pod, &wanted.volume, &source);
        mounts.push(spec::Mount {
            source,
            destination: wanted.destination.clone(),
            read_only: wanted.read_only,
            recursive_read_only: wanted.recursive_read_only,
            from_host: wanted.from_host,
            device,
            options: wanted.options.clone(),
        });
    }

    let sources: Vec<PathBuf> = mounts.iter().map(|mount| mount.source.clone()).collect();
    volume::make_mount_points(layout, pod, &resolved.mounts, &sources)?;

    let rootfs = match &staging {
        Some(staging) => staging.root().map_err(|e| create(&e))?,
        None => bundle.join("rootfs"),
    };
    mount_owned(&images, &image, &scratch, &rootfs, staging.as_ref()).map_err(|e| create(&e))?;
    base::fail_point!(Worker, "rootfs-mounted");
    let declared = plan::volumes::of_image(&image.config, &resolved.mounts);
    let folders = volume::prepare_image_volumes(layout, uid, name, &declared, &rootfs)?;
    if let Some(staging) = &staging {
        // They were copied from the root, so the owners are those of the namespace.
        own_folders(&folders, staging.first_id()).map_err(|e| create(&e))?;
        mapped.extend(folders.iter().cloned());
    }
    mounts.extend(folders.into_iter().zip(declared).map(|(source, destination)| spec::Mount {
        source,
        destination,
        ..spec::Mount::default()
    }));
    let message_path = termination_message::destination(container);
    if !mounts.iter().any(|mount| mount.destination == message_path) {
        let source = termination_message::create(&scratch)
            .map_err(|e| create(&format!("create the file for the termination message: {e}")))?;
        mounts.push(spec::Mount { source, destination: message_path.to_owned(), ..spec::Mount::default() });
    }
    // Mounts are sorted so that a folder comes before the mounts in it.
    mounts.sort_by_key(|mount| Path::new(&mount.destination).components().count());
    let sandbox = ready.or_else(|| awaited.and_then(|sandbox| sandbox()));
    let sandbox = sandbox.ok_or_else(|| create(&"the pod has no sandbox"))?;
    let id = id(uid, name, attempt);
    let mut host = runtime::host::Host::get().clone();
    if resolved.privileged || !resolved.devices.is_empty() {
        host = host.with_devices();
    }
    for wanted in &resolved.volume_devices {
        let path = devices
            .get(&wanted.volume)
            .ok_or_else(|| config(&format!("volume {} is no block device", wanted.volume)))?;
        let device = runtime::host::Device::at(path)
            .map_err(|e| create(&format!("volume {}: {}: {e}", wanted.volume, path.display())))?;
        // A runtime makes device nodes below /dev only.
        if !Path::new(&wanted.path).starts_with("/dev") {
            let (block, major, minor) = (device.block, device.major, device.minor);
            mounts.push(spec::Mount {
                source: path.clone(),
                destination: wanted.path.clone(),
                read_only: wanted.read_only,
                device: Some(spec::DeviceNumber { block, major, minor }),
                ..spec::Mount::default()
            });
            continue;
        }
        host.devices.retain(|known| known.path != device.path);
        host.devices.push(device);
        resolved.devices.push(plan::DevicePlan {
            source: path.to_string_lossy().into_owned(),
            destination: wanted.path.clone(),
            access: if wanted.read_only { "r" } else { "rwm" }.to_owned(),
        });
    }
    let has = |wanted: &str| host.devices.iter().any(|device| device.path == Path::new(wanted));
    if let Some(missing) = resolved.devices.iter().find(|device| !has(&device.source)) {
        return Err(create(&format!("this machine has no device {}", missing.source)));
    }
    let mut oci_spec = spec::container(&spec::Container {
        id: &id,
        plan: &resolved,
        sandbox: &sandbox,
        mounts: &mounts,
        rootfs: &rootfs,
        host: &host,
    })
    .map_err(|e| create(&e))?;
    let edits = cdi::resolve(&cdi::load(), &resolved.cdi).map_err(|e| create(&e))?;
    oci_spec = cdi::apply(oci_spec, &edits).map_err(|e| create(&e))?;
    if let Some(staging) = &staging {
        staging.map_mounts(&mut oci_spec, &mapped).map_err(|e| create(&e))?;
    }
    spec::write(&bundle, &oci_spec).map_err(|e| create(&e))?;
    base::fail_point!(Worker, "bundle-written");

    let stdin_once = container.stdin_once == Some(true);
    let Processes { process, terminal, stdin } = match streams {
        Streams::Log => create_process(layout, pod, &resolved, &sandbox, stdin_once, &bundle, &id)?,
        Streams::Client { stdio, master } => {
            let process = create_process_of_client(layout, pod, &resolved, &sandbox, &id, stdio, master)?;
            Processes { process, terminal: None, stdin: None }
        }
    };
    base::fail_point!(Worker, "container-created");
    let (image_id, stop_signal) = (image.id.clone(), resolved.stop_signal.clone());
    Ok(Created { process, image_id, stop_signal, terminal, stdin })
}

/// The paths of volumes, by volume name.
type Paths = BTreeMap<String, PathBuf>;

/// Mounts what has to be mounted of the pod's volumes, in the mount namespace of this process. Returns the paths of
/// volumes to bind, and those of block devices.
fn mount_prepared(
    prepared: BTreeMap<String, volume::Prepared>,
    bundle: &Path,
) -> Result<(Paths, Paths), ContainerError> {
    let (mut volumes, mut devices) = (Paths::new(), Paths::new());
    for (name, prepared) in prepared {
        match prepared {
            volume::Prepared::Path(path) => drop(volumes.insert(name, path)),
            volume::Prepared::Device(path) => drop(devices.insert(name, path)),
            volume::Prepared::Nfs(share) => {
                let failed = |e: &dyn std::fmt::Display| {
                    error(WaitingReason::FailedMount)(&format!("volume {name}: {e}"))
                };
                let target = bundle.join("nfs").join(&name);
                base::file::create_private_dir_all(&target).map_err(|e| failed(&e))?;
                volume::nfs::mount_share(&share, &target).map_err(|e| failed(&e))?;
                volumes.insert(name, target);
            }
        }
    }
    Ok((volumes, devices))
}

/// Mounts an image as a read-only volume.
fn mount_image(
    images: &ImageStore,
    image: &Image,
    scratch: &Path,
    target: &Path,
    staging: Option<&Staging>,
) -> Result<(), image::Error> {
    mount_owned(images, image, scratch, target, staging)?;
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(None::<&str>, target, None::<&str>, flags, None::<&str>)
        .map_err(|errno| image::Error::Store(crate::store::Error::io("make read-only", target)(errno.into())))
}

/// Mounts an image whose files belong to the users of the pod's user namespace, if it has one.
fn mount_owned(
    images: &ImageStore,
    image: &Image,
    scratch: &Path,
    target: &Path,
    staging: Option<&Staging>,
) -> Result<(), image::Error> {
    let Some(staging) = staging else { return images.mount(image, scratch, target) };
    let unmountable = |source: std::io::Error| image::Error::Mount {
        image: image.display_name(),
        target: target.to_owned(),
        hint: "the folders of its layers cannot be created",
        source,
    };
    let dir = staging.layers().map_err(|e| unmountable(std::io::Error::other(e.to_string())))?;
    let owners = MappedOwners {
        first_id: staging.first_id(),
        dir: &dir,
        map: &|layer, target| staging.map_at(layer, target),
    };
    images.mount_mapped(image, scratch, target, Some(&owners))
}

/// Gives folders that belong to the host's root to the root of a user namespace.
fn own_folders(folders: &[PathBuf], first_id: u32) -> std::io::Result<()> {
    for folder in folders {
        if fs::metadata(folder)?.uid() == 0 {
            std::os::unix::fs::chown(folder, Some(first_id), Some(first_id))?;
        }
    }
    Ok(())
}

/// The processes of a container that was created.
struct Processes {
    process: Process,
    terminal: Option<Process>,
    stdin: Option<Process>,
}

fn create_process(
    layout: &Layout,
    pod: &PodPlan,
    plan: &plan::ContainerPlan,
    sandbox: &Sandbox,
    stdin_once: bool,
    bundle: &Path,
    id: &str,
) -> Result<Processes, ContainerError> {
    let create = error(WaitingReason::CreateContainerError);
    let run = error(WaitingReason::RunContainerError);
    let open = |stream| {
        output::open_writer(bundle, stream, sandbox.host_id(plan.uid), sandbox.host_id(plan.gid))
            .map_err(|e| create(&format!("open output: {e}")))
    };
    let (stdout, stderr) = (open(Stream::Stdout)?, open(Stream::Stderr)?);
    let mut stdin_holder = None;
    let stdin = if plan.stdin && !plan.tty {
        let opened = if stdin_once {
            console::open_stdin_once(bundle).map(|(stdin, holder)| (stdin, Some(holder)))
        } else {
            console::open_stdin(bundle).map(|stdin| (stdin, None))
        };
        let (stdin, holder) = opened.map_err(|e| create(&format!("open stdin: {e}")))?;
        stdin_holder = holder;
        // The FIFO is owned by the container's user, like those of the output, so that the container can open
        // /dev/stdin.
        let user = Some(rustix::fs::Uid::from_raw(sandbox.host_id(plan.uid)));
        rustix::fs::fchown(&stdin, user, None).map_err(|e| create(&format!("open stdin: {e}")))?;
        stdin
    } else {
        worker::dev_null().map_err(|e| create(&e))?
    };
    let oci = runtime::open(pod.runtime.as_deref(), &runtime_state(layout)).map_err(|e| create(&e))?;
    let stdio = Stdio { stdin: stdin.as_fd(), stdout: stdout.as_fd(), stderr: stderr.as_fd() };
    let terminal =
        plan.tty.then(|| runtime::console::ConsoleSocket::bind(&bundle.join("console"))).transpose();
    let terminal = terminal.map_err(|e| create(&e))?;
    let pid = oci
        .create(&Create { id, bundle, stdio, console_socket: terminal.as_ref().map(|t| t.path()) })
        .map_err(|e| create(&e.of_container()))?;
    let terminal = match terminal {
        None => None,
        Some(terminal) => {
            let master = terminal.receive(console::TIMEOUT).map_err(|e| create(&e))?;
            runtime::console::set_owner(&master, sandbox.host_id(plan.uid)).map_err(|e| create(&e))?;
            let stdin = plan.stdin.then(|| console::open_stdin(bundle)).transpose();
            let stdin = stdin.map_err(|e| create(&format!("open stdin: {e}")))?;
            let holder = console::hold(master, stdout, stdin);
            Some(holder.map_err(|e| create(&format!("cannot fork: {e}")))?)
        }
    };
    let process = Process::of(pid).ok_or_else(|| run(&"the container ended before it was started"))?;
    Ok(Processes { process, terminal, stdin: stdin_holder })
}

/// Creates the process of a container whose streams lead to a client.
fn create_process_of_client(
    layout: &Layout,
    pod: &PodPlan,
    plan: &plan::ContainerPlan,
    sandbox: &Sandbox,
    id: &str,
    stdio: &Stdio<'_>,
    master: &mut Option<OwnedFd>,
) -> Result<Process, ContainerError> {
    let create = error(WaitingReason::CreateContainerError);
    let run = error(WaitingReason::RunContainerError);
    let bundle = bundle(layout, &pod.uid, &plan.name, 0);
    let oci = runtime::open(pod.runtime.as_deref(), &runtime_state(layout)).map_err(|e| create(&e))?;
    let terminal =
        plan.tty.then(|| runtime::console::ConsoleSocket::bind(&bundle.join("console"))).transpose();
    let terminal = terminal.map_err(|e| create(&e))?;
    let stdio = Stdio { stdin: stdio.stdin, stdout: stdio.stdout, stderr: stdio.stderr };
    let pid = oci
        .create(&Create { id, bundle: &bundle, stdio, console_socket: terminal.as_ref().map(|t| t.path()) })
        .map_err(|e| create(&e.of_container()))?;
    if let Some(terminal) = terminal {
        let received = terminal.receive(console::TIMEOUT).map_err(|e| create(&e))?;
        runtime::console::set_owner(&received, sandbox.host_id(plan.uid)).map_err(|e| create(&e))?;
        *master = Some(received);
    }
    Process::of(pid).ok_or_else(|| run(&"the container ended before it was started"))
}

fn obtain_image(
    images: &ImageStore,
    pod: &PodPlan,
    objects: &Objects,
    name: &ImageName,
    policy: PullPolicy,
) -> Result<Image, ContainerError> {
    let pull_error = error(WaitingReason::ErrImagePull);
    match images.find(name) {
        Ok(Some(image)) => return Ok(image),
        Ok(None) => {}
        Err(e) => return Err(pull_error(&e)),
    }
    if policy == PullPolicy::Never {
        return Err(error(WaitingReason::ErrImageNeverPull)(&format!(
            "image {name} is not stored here and imagePullPolicy is Never"
        )));
    }
    let (credentials, warnings) = image::pull_secrets(pod, objects);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let options = PullOptions { credentials, ..PullOptions::default() };
    let reference = name.pullable().map_err(|e| pull_error(&e))?;
    images.pull(reference, &options, &Quiet).map_err(|e| pull_error(&e))
}

/// A progress display that prints nothing during a pull.
struct Quiet;

impl image::Progress for Quiet {
    fn layer(&self, _: &str, _: u64) {}
    fn advance(&self, _: &str, _: u64) {}
    fn done(&self, _: &str) {}
    fn note(&self, message: &str) {
        tracing::info!("{message}");
    }
}

/// Kills every process in a container.
pub fn kill(cgroup: Option<&str>, id: &str, process: Option<Process>) {
    if let Some(process) = process {
        process.signal(libc::SIGKILL);
    }
    // In a shared PID namespace the other processes do not end with the container's process. They are killed by their
    // cgroup.
    if let Some(pod) = cgroup {
        cgroup::kill_all(&cgroup::container_path(pod, id));
    }
}

/// Returns how many processes of this run the kernel killed because memory ran out. Must be called before [`delete`],
/// which removes the counter.
pub fn oom_kills(cgroup: &str, id: &str) -> u64 {
    cgroup::oom_kills(&cgroup::container_path(cgroup, id)).unwrap_or(0)
}

/// Returns whether a run ended because memory ran out. An earlier kill of a child process does not say how the run
/// ended, so kills count only if the exit code is that of SIGKILL (a shell passes on that of its last child) and we did
/// not send that signal.
pub fn ended_by_oom(kills: u64, code: Option<i32>, killed_by_us: bool) -> bool {
    const KILLED: i32 = 128 + libc::SIGKILL;
    kills > 0 && code == Some(KILLED) && !killed_by_us
}

/// Releases the image layers of every remaining run of a pod.
pub fn release_images(layout: &Layout, uid: &str) -> Vec<String> {
    let folders = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().filter_map(|e| Some(e.ok()?.path()));
    folders(layout.pod(uid).join("containers"))
        .flat_map(folders)
        .filter_map(|scratch| Some(ImageStore::release(&layout.images(), &scratch).err()?.to_string()))
        .collect()
}

/// Removes what is left of a run that has ended. Returns problems with what could not be removed.
pub fn delete(layout: &Layout, pod: &PodPlan, name: &str, attempt: u32) -> Vec<String> {
    let mut problems = Vec::new();
    match runtime::open(pod.runtime.as_deref(), &runtime_state(layout)) {
        Ok(oci) => {
            if let Err(e) = oci.delete(&id(&pod.uid, name, attempt)) {
                problems.push(e.to_string());
            }
        }
        Err(e) => problems.push(e.to_string()),
    }
    let scratch = scratch(layout, &pod.uid, name, attempt);
    // The layers are released before the folder is removed: while the folder exists, the worker that purges the pod
    // finds what is left.
    if let Err(e) = ImageStore::release(&layout.images(), &scratch) {
        problems.push(e.to_string());
    }
    for dir in [bundle(layout, &pod.uid, name, attempt), scratch] {
        base::fail_point!(Worker, "container-files-going");
        if let Err(e) = base::file::remove_dir_if_exists(&dir) {
            problems.push(e.to_string());
        }
    }
    // Removes the container's folder when its last run is removed; fails while other runs exist.
    let _ = fs::remove_dir(layout.bundle(&pod.uid, name));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_that_the_kernel_kills_is_oom_killed() {
        assert!(ended_by_oom(1, Some(137), false));
        assert!(!ended_by_oom(0, Some(137), false), "killed by a user");
        assert!(!ended_by_oom(1, Some(137), true), "a child was killed for memory, then we killed the rest");
        for code in [Some(0), Some(1), Some(143), None] {
            assert!(!ended_by_oom(3, code, false), "{code:?}");
        }
    }
}
