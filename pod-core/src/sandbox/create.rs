//! Creates a pod's sandbox: cgroup, network namespace and network, infra container, and the files of `/etc` that all
//! its containers share. Runs in a worker.

use std::fs;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use network::{Addresses, CLUSTER_DOMAIN, Endpoint};

use super::info::{INTENT, SandboxInfo, etc, infra_id, networks, ports, runtime_state};
use super::prepared::PreparedContainer;
use super::process::Process;
use super::remove::remove;
use super::user_ids;
use super::worker::{self, Failure, Step};
use crate::plan::{self, PodPlan};
use crate::runtime::selinux::{self, Labels};
use crate::runtime::user_namespace::{self, Holder, Staging, UserNamespace};
use crate::runtime::{self, Create, Sandbox, Stdio, cgroup, spec};
use crate::store::{self, Layout};

fn endpoint(layout: &Layout, plan: &PodPlan) -> Endpoint {
    let (name, namespace) = (plan.name(), plan.namespace());
    let attachments = plan.network.attachments.iter();
    let attachment = |a: &plan::Attachment| network::Attachment {
        network: a.network.clone(),
        ips: a.ips.clone(),
        mac: a.mac.clone(),
    };
    // The name that a headless Service of the subdomain's name gives the pod in a cluster.
    let spec = plan.pod.spec.as_ref();
    let subdomain = spec.and_then(|spec| spec.subdomain.as_deref()).filter(|subdomain| !subdomain.is_empty());
    let of_subdomain = subdomain.map(|subdomain| {
        format!("{}.{subdomain}", plan::hosts::short_hostname(&plan.pod, &plan::node::node()))
    });
    Endpoint {
        id: plan.uid.clone(),
        names: std::iter::once(name.to_owned())
            .chain(of_subdomain)
            .flat_map(|name| {
                let in_namespace = format!("{name}.{namespace}");
                let service = format!("{in_namespace}.svc");
                let full = format!("{service}.{CLUSTER_DOMAIN}");
                [name, in_namespace, service, full]
            })
            .filter(|name| network::is_host_name(name))
            .collect(),
        attachments: attachments.map(attachment).collect(),
        ports: ports(plan),
        netns: layout.netns(&plan.uid),
    }
}

/// Creates the sandbox, and in parallel the containers that start `first` in it, given by name and attempt. After a
/// failure, what was created is removed; a second call removes what a killed worker left.
pub fn create(
    layout: &Layout,
    exe: &Path,
    plan: &PodPlan,
    first: &[(String, u32)],
) -> Result<SandboxInfo, Failure> {
    let run = layout.pod_run(&plan.uid);
    let intent = run.join(INTENT);
    if intent.exists() {
        remove(layout, exe, plan);
    }
    private_dir(&run)?;
    fs::write(&intent, []).map_err(created(&intent))?;
    base::fail_point!(Worker, "sandbox-intended");
    try_create(layout, exe, plan, first).inspect_err(|_| {
        for problem in remove(layout, exe, plan) {
            tracing::error!("{problem}");
        }
    })
}

fn try_create(
    layout: &Layout,
    exe: &Path,
    plan: &PodPlan,
    first: &[(String, u32)],
) -> Result<SandboxInfo, Failure> {
    let uid = plan.uid.as_str();
    let netns = (!plan.network.host).then(|| layout.netns(uid));
    let mut users = None;
    if plan.has_user_namespace() {
        users = Some(make_user_namespace(layout, uid, netns.as_deref())?);
    } else if let Some(netns) = &netns {
        network::make_netns(netns).map_err(Failure::at(Step::Network))?;
    }
    base::fail_point!(Worker, "namespace-made");
    let connect = !plan.network.host && !plan.network.none;
    // The network takes longest, so it is set up in parallel with everything else.
    let (networks, wanted) = (networks(layout, exe), endpoint(layout, plan));
    let network = connect
        .then(|| worker::spawn(move || networks.setup(&wanted).map_err(Failure::at(Step::Network))))
        .transpose()
        .map_err(Failure::when(Step::Fork, "cannot fork"))?;
    let node = plan::node::node();
    let mut prepared = Vec::new();
    let labels = labels(plan);
    let infra = prepare_sandbox(layout, plan, netns, users, labels.as_ref()).and_then(|mut sandbox| {
        // Containers bind-mount these files, so a later change of the files is visible to them.
        write_etc(&sandbox.etc, plan, &node, &[], &Addresses::default()).map_err(Failure::at(Step::Files))?;
        if let Some(labels) = &labels {
            selinux::label_tree(&sandbox.etc, &labels.file).map_err(Failure::at(Step::Files))?;
        }
        prepared = PreparedContainer::spawn_all(layout, plan, first);
        let infra = create_infra(layout, plan, &sandbox, labels.as_ref());
        if let Ok(infra) = &infra {
            sandbox.infra_pid = infra.pid;
        }
        for container in &mut prepared {
            container.proceed(infra.is_ok().then_some(&sandbox));
        }
        Ok((infra?, sandbox))
    });
    let addresses = match network {
        Some(worker) => {
            let killed = || Failure::new(Step::Killed, "the process that makes the network was killed");
            worker.wait().unwrap_or_else(|| Err(killed()))
        }
        None => Ok(Addresses::default()),
    };
    base::fail_point!(Worker, "network-joined");
    // All workers are waited for here, also after a failure, because the sandbox that they use is removed next.
    for container in prepared {
        container.join(layout, plan);
    }
    let ((infra, sandbox), addresses) = (infra?, addresses?);
    let ips = if plan.network.host { node.ips.clone() } else { addresses.ips.clone() };
    write_etc(&sandbox.etc, plan, &node, &ips, &addresses).map_err(Failure::at(Step::Files))?;
    base::fail_point!(Worker, "etc-written");
    let info = SandboxInfo { infra, ips, sandbox, warnings: addresses.warnings, pidfd: None };
    base::file::write_json_volatile(&SandboxInfo::path(layout, uid), &info)
        .map_err(Failure::at(Step::Files))?;
    base::fail_point!(Worker, "sandbox-recorded");
    Ok(info)
}

/// Returns the SELinux labels of the pod's sandbox, where there is SELinux.
fn labels(plan: &PodPlan) -> Option<Labels> {
    let options = plan.pod.spec.as_ref().map(plan::selinux::of_pod).unwrap_or_default();
    runtime::host::Host::get().labels(&plan.uid, &options, false)
}

/// Creates everything of a sandbox that comes before its infra container.
fn prepare_sandbox(
    layout: &Layout,
    plan: &PodPlan,
    netns: Option<PathBuf>,
    users: Option<UserNamespace>,
    labels: Option<&Labels>,
) -> Result<Sandbox, Failure> {
    let uid = plan.uid.as_str();
    let spec_of = plan.pod.spec.clone().unwrap_or_default();
    let mut sandbox = Sandbox {
        infra_pid: 0,
        netns,
        share_pid: spec_of.share_process_namespace.unwrap_or(false),
        host_pid: spec_of.host_pid.unwrap_or(false),
        host_ipc: spec_of.host_ipc.unwrap_or(false),
        etc: etc(layout, uid),
        shm: PathBuf::new(),
        cgroup: cgroup::pod_path(uid),
        users,
        pid_namespace_of: None,
    };
    if !sandbox.host_ipc {
        sandbox.shm = layout.pod_run(uid).join("shm");
        let label = labels.map(|labels| labels.file.as_str());
        runtime::infra::mount_shm(&sandbox.shm, label).map_err(Failure::at(Step::Files))?;
        base::fail_point!(Worker, "shm-mounted");
    }
    Ok(sandbox)
}

/// Creates the user namespace of a pod, and its network namespace, which has to belong to it.
fn make_user_namespace(layout: &Layout, uid: &str, netns: Option<&Path>) -> Result<UserNamespace, Failure> {
    let first_id = user_ids::acquire(layout, uid).map_err(Failure::at(Step::Files))?;
    base::fail_point!(Worker, "user-ids-recorded");
    let path = layout.user_namespace(uid);
    let holder = Holder::start(netns.is_some()).map_err(Failure::at(Step::Runtime))?;
    holder.map(first_id).and_then(|()| holder.bind(&path)).map_err(Failure::at(Step::Runtime))?;
    base::fail_point!(Worker, "user-namespace-bound");
    if let Some(netns) = netns {
        network::bind_netns(&holder.network(), netns).map_err(Failure::at(Step::Network))?;
    }
    Ok(UserNamespace { path, first_id })
}

/// Creates the infra container. In a pod with a user namespace this happens in a worker of its own, because its root has
/// to be mounted where the namespace's users may go.
fn create_infra(
    layout: &Layout,
    plan: &PodPlan,
    sandbox: &Sandbox,
    labels: Option<&Labels>,
) -> Result<Process, Failure> {
    let rootfs = layout.runroot.join("pause");
    // All pods share it, whatever their own labels are.
    let of_all = runtime::host::Host::get().labels(&plan.uid, &plan::SeLinux::default(), false);
    runtime::infra::prepare_rootfs(&rootfs, of_all.as_ref().map(|labels| labels.shared.as_str()))
        .map_err(Failure::at(Step::Files))?;
    let Some(users) = &sandbox.users else { return create_infra_in(layout, plan, sandbox, labels, &rootfs) };
    let worker = worker::spawn(|| {
        worker::unshare_mounts().map_err(Failure::when(Step::Files, "mount namespace"))?;
        let staging = Staging::new(users).map_err(Failure::at(Step::Files))?;
        let root = staging.bind(&rootfs).map_err(Failure::at(Step::Files))?;
        create_infra_in(layout, plan, sandbox, labels, &root)
    });
    let killed = || Failure::new(Step::Killed, "the process that makes the infra container was killed");
    let worker = worker.map_err(Failure::when(Step::Fork, "cannot fork"))?;
    worker.wait().unwrap_or_else(|| Err(killed()))
}

fn create_infra_in(
    layout: &Layout,
    plan: &PodPlan,
    sandbox: &Sandbox,
    labels: Option<&Labels>,
    rootfs: &Path,
) -> Result<Process, Failure> {
    let uid = plan.uid.as_str();
    let hostname = plan::hosts::hostname(&plan.pod, &plan::node::node());
    let bundle = layout.pod_run(uid).join("infra");
    private_dir(&bundle)?;
    let mut config = spec::infra(&spec::Infra {
        id: &infra_id(uid),
        sandbox,
        hostname: &hostname,
        sysctls: &plan::security::sandbox_sysctls(&plan.pod, plan.network.host),
        rootfs,
        labels,
        host: runtime::host::Host::get(),
    })
    .map_err(Failure::at(Step::Spec))?;
    if let (Some(_), Some(users)) = (&plan.runtime, &sandbox.users) {
        user_namespace::add_mappings(&mut config, users);
    }
    spec::write(&bundle, &config).map_err(Failure::at(Step::Files))?;
    // The cgroup is created as late as possible, because that may wait for the kernel and nothing above needs the
    // cgroup.
    let default_pids = cgroup::pids_limit_of_environment();
    let resources = plan::Resources {
        pids_limit: plan::resources::pod_pids(&plan.pod, default_pids),
        ..plan::resources::pod_resources(&plan.pod)
    };
    let cgroup = cgroup::create_pod(uid, &resources).map_err(Failure::at(Step::Cgroup))?;
    base::fail_point!(Worker, "pod-cgroup-made");
    for warning in &cgroup.warnings {
        tracing::warn!("{warning}");
    }
    let null = worker::dev_null().map_err(Failure::when(Step::Files, "open /dev/null"))?;
    let id = infra_id(uid);
    let oci =
        runtime::open(plan.runtime.as_deref(), &runtime_state(layout)).map_err(Failure::at(Step::Runtime))?;
    let stdio = Stdio { stdin: null.as_fd(), stdout: null.as_fd(), stderr: null.as_fd() };
    let pid = oci
        .create(&Create { id: &id, bundle: &bundle, stdio, console_socket: None })
        .map_err(Failure::at(Step::Runtime))?;
    base::fail_point!(Worker, "infra-created");
    oci.start(&id).map_err(Failure::at(Step::Runtime))?;
    base::fail_point!(Worker, "infra-started");
    Process::of(pid).ok_or_else(|| Failure::new(Step::Runtime, "the infra container ended at once"))
}

fn private_dir(dir: &Path) -> Result<(), Failure> {
    base::file::create_private_dir_all(dir).map_err(created(dir))
}

fn created(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    Failure::when(Step::Files, format!("create {}", path.display()))
}

fn write_etc(
    dir: &Path,
    plan: &PodPlan,
    node: &plan::Node,
    ips: &[IpAddr],
    addresses: &Addresses,
) -> Result<(), store::Error> {
    base::file::create_private_dir_all(dir).map_err(store::Error::io("create", dir))?;
    let hostname = plan::hosts::hostname(&plan.pod, node);
    for (name, text) in [
        ("hosts", plan::hosts::etc_hosts(&plan.pod, node, ips)),
        ("hostname", format!("{hostname}\n")),
        ("resolv.conf", plan::dns::resolv_conf(&plan.pod, node, &addresses.dns_servers)),
    ] {
        let path = dir.join(name);
        fs::write(&path, text).map_err(store::Error::io("write", &path))?;
    }
    Ok(())
}
