//! A pod's sandbox: cgroup, network namespace and network, infra container, and the files of `/etc` that all
//! its containers share. Made and removed in a worker.

use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use network::{Addresses, CLUSTER_DOMAIN, Endpoint, Networks};
use serde::{Deserialize, Serialize};

use super::prepared::Ahead;
use super::process::Process;
use super::worker;
use crate::plan::{self, PodPlan};
use crate::runtime::{self, Create, Sandbox, Stdio, cgroup, spec};
use crate::store::{self, Layout, WorkloadRecord};

/// Lies in the folder of a pod from before anything of its sandbox is made until all of it is removed.
const INTENT: &str = "sandbox-intent";

/// A sandbox that stands, as its worker tells of it and as it lies on disk for a successor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxInfo {
    /// The infra container.
    pub infra: Process,
    /// status.podIPs.
    pub ips: Vec<IpAddr>,
    /// What containers join.
    pub sandbox: Sandbox,
    /// What the user has to know of its network.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// For an infra container that is not our child, and its token.
    #[serde(skip)]
    pub pidfd: Option<(u64, OwnedFd)>,
}

impl SandboxInfo {
    fn path(layout: &Layout, uid: &str) -> PathBuf {
        layout.pod_run(uid).join("sandbox.json")
    }

    /// Reads what a former supervisor made.
    pub fn load(layout: &Layout, uid: &str) -> Option<Self> {
        store::read_json(&Self::path(layout, uid)).ok().flatten()
    }
}

/// What the user has to know of the network of a pod that was started.
pub fn network_warnings(layout: &Layout, uid: &str) -> Vec<String> {
    SandboxInfo::load(layout, uid).map(|info| info.warnings).unwrap_or_default()
}

/// The networks of this instance.
pub fn networks(layout: &Layout, exe: &Path) -> Networks {
    Networks::new(&layout.networks(), &layout.networks_run(), exe)
}

/// The id of the infra container.
pub fn infra_id(uid: &str) -> String {
    format!("{uid}-infra")
}

/// Where runtimes keep their state.
pub fn runtime_state(layout: &Layout) -> PathBuf {
    layout.runroot.join("runtime")
}

fn endpoint(layout: &Layout, plan: &PodPlan) -> Endpoint {
    let (name, namespace) = (plan.name(), plan.namespace());
    let attachments = plan.network.attachments.iter();
    let attachment = |a: &plan::Attachment| network::Attachment {
        network: a.network.clone(),
        ips: a.ips.clone(),
        mac: a.mac.clone(),
    };
    Endpoint {
        id: plan.uid.clone(),
        names: [
            name.to_owned(),
            format!("{name}.{namespace}"),
            format!("{name}.{namespace}.svc"),
            format!("{name}.{namespace}.svc.{CLUSTER_DOMAIN}"),
        ]
        .into_iter()
        .filter(|name| network::is_host_name(name))
        .collect(),
        attachments: attachments.map(attachment).collect(),
        ports: ports(plan),
        netns: layout.netns(&plan.uid),
    }
}

/// The published ports of a pod, as the network library takes them.
pub fn ports(plan: &PodPlan) -> Vec<network::Port> {
    plan.network
        .ports
        .iter()
        .map(|p| network::Port {
            host_ip: p.host_ip,
            host_port: p.host_port,
            container_port: p.container_port,
            protocol: p.protocol.clone(),
        })
        .collect()
}

/// Makes the sandbox, and beside it the containers that are to start `first` in it, by name and attempt, as far as
/// that goes. A failure undoes what was made; so does a second call, for what a killed worker left.
pub fn create(
    layout: &Layout,
    exe: &Path,
    plan: &PodPlan,
    first: &[(String, u32)],
) -> Result<SandboxInfo, String> {
    let run = layout.pod_run(&plan.uid);
    let intent = run.join(INTENT);
    if intent.exists() {
        remove(layout, exe, plan);
    }
    network::create_private_dir_all(&run).map_err(|e| format!("create {}: {e}", run.display()))?;
    fs::write(&intent, []).map_err(|e| format!("create {}: {e}", intent.display()))?;
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
) -> Result<SandboxInfo, String> {
    let uid = plan.uid.as_str();
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let netns = (!plan.network.host).then(|| layout.netns(uid));
    if let Some(netns) = &netns {
        network::make_netns(netns).map_err(|e| text(&e))?;
    }
    base::fail_point!(Worker, "namespace-made");
    let connect = !plan.network.host && !plan.network.none;
    // The network takes longest: it goes beside everything else.
    let (networks, wish) = (networks(layout, exe), endpoint(layout, plan));
    let network = connect
        .then(|| worker::spawn(move || networks.setup(&wish).map_err(|e| e.to_string())))
        .transpose()
        .map_err(|e| format!("cannot fork: {e}"))?;
    let node = plan::node::node();
    let mut ahead = Vec::new();
    let infra = prepare_sandbox(layout, plan, netns).and_then(|mut sandbox| {
        // Containers bind these files: what is written later shows in them.
        write_etc(&sandbox.etc, plan, &node, &[], &Addresses::default()).map_err(|e| text(&e))?;
        ahead = Ahead::all(layout, plan, first);
        let infra = create_infra(layout, plan, &mut sandbox);
        for container in &mut ahead {
            container.go_on(infra.is_ok().then_some(&sandbox));
        }
        Ok((infra?, sandbox))
    });
    let addresses = match network {
        Some(worker) => {
            worker.wait().unwrap_or_else(|| Err("the process that makes the network was killed".to_owned()))
        }
        None => Ok(Addresses::default()),
    };
    base::fail_point!(Worker, "network-joined");
    // Whatever went wrong: none of them may be at work when it is undone.
    for container in ahead {
        container.finish(layout, plan);
    }
    let ((infra, sandbox), addresses) = (infra?, addresses?);
    let ips = if plan.network.host { node.ips.clone() } else { addresses.ips.clone() };
    write_etc(&sandbox.etc, plan, &node, &ips, &addresses).map_err(|e| text(&e))?;
    base::fail_point!(Worker, "etc-written");
    let info = SandboxInfo { infra, ips, sandbox, warnings: addresses.warnings, pidfd: None };
    store::write_json_volatile(&SandboxInfo::path(layout, uid), &info).map_err(|e| text(&e))?;
    base::fail_point!(Worker, "sandbox-recorded");
    Ok(info)
}

/// Where the files of /etc lie. Containers write to them, so they are on the disk with everything else that these
/// write, not in the host's /run, which is memory and small (CVE-2020-8557).
fn etc(layout: &Layout, uid: &str) -> PathBuf {
    layout.pod(uid).join("etc")
}

/// All of a sandbox that comes before its infra container.
fn prepare_sandbox(layout: &Layout, plan: &PodPlan, netns: Option<PathBuf>) -> Result<Sandbox, String> {
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
    };
    if !sandbox.host_ipc {
        sandbox.shm = layout.pod_run(uid).join("shm");
        runtime::infra::mount_shm(&sandbox.shm).map_err(|e| e.to_string())?;
        base::fail_point!(Worker, "shm-mounted");
    }
    Ok(sandbox)
}

fn create_infra(layout: &Layout, plan: &PodPlan, sandbox: &mut Sandbox) -> Result<Process, String> {
    let uid = plan.uid.as_str();
    let hostname = plan::hosts::hostname(&plan.pod, &plan::node::node());
    let rootfs = layout.runroot.join("pause");
    runtime::infra::prepare_rootfs(&rootfs).map_err(|e| e.to_string())?;
    let bundle = layout.pod_run(uid).join("infra");
    network::create_private_dir_all(&bundle).map_err(|e| format!("create {}: {e}", bundle.display()))?;
    let config = spec::infra(&spec::Infra {
        id: &infra_id(uid),
        sandbox,
        hostname: &hostname,
        sysctls: &plan::security::sandbox_sysctls(&plan.pod, plan.network.host),
        rootfs: &rootfs,
        host: runtime::host::Host::get(),
    })
    .map_err(|e| e.to_string())?;
    spec::write(&bundle, &config).map_err(|e| e.to_string())?;
    // As late as can be: it may wait for the kernel, and nothing above needs it.
    let cgroup =
        cgroup::create_pod(uid, &plan::resources::pod_resources(&plan.pod)).map_err(|e| e.to_string())?;
    base::fail_point!(Worker, "pod-cgroup-made");
    for warning in &cgroup.warnings {
        tracing::warn!("{warning}");
    }
    let null = worker::dev_null().map_err(|e| format!("open /dev/null: {e}"))?;
    let id = infra_id(uid);
    let oci = runtime::open(plan.runtime.as_deref(), &runtime_state(layout)).map_err(|e| e.to_string())?;
    let stdio = Stdio { stdin: null.as_fd(), stdout: null.as_fd(), stderr: null.as_fd() };
    let pid = oci
        .create(&Create { id: &id, bundle: &bundle, stdio, console_socket: None })
        .map_err(|e| e.to_string())?;
    base::fail_point!(Worker, "infra-created");
    oci.start(&id).map_err(|e| e.to_string())?;
    base::fail_point!(Worker, "infra-started");
    sandbox.infra_pid = pid;
    Process::of(pid).ok_or_else(|| "the infra container ended at once".to_owned())
}

fn write_etc(
    dir: &Path,
    plan: &PodPlan,
    node: &plan::Node,
    ips: &[IpAddr],
    addresses: &Addresses,
) -> Result<(), store::Error> {
    network::create_private_dir_all(dir).map_err(store::Error::io("create", dir))?;
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

/// Removes the sandbox and every container that is left of the pod. Gathers what could not be removed, and
/// goes on.
pub fn remove(layout: &Layout, exe: &Path, plan: &PodPlan) -> Vec<String> {
    remove_sandbox(layout, exe, &plan.uid, plan.runtime.as_deref())
}

/// [`remove`], for a pod of which nothing but its uid is known.
pub fn remove_sandbox(layout: &Layout, exe: &Path, uid: &str, runtime: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    // Everything dies before the namespaces and cgroups that it lives in go.
    let cgroups = cgroup::of_pod(uid);
    for path in &cgroups {
        cgroup::kill_all(path);
    }
    base::fail_point!(Worker, "pod-killed");
    let state = runtime_state(layout);
    match runtime::open(runtime, &state) {
        Ok(oci) => {
            for id in containers_of(&state, uid) {
                if let Err(e) = oci.delete(&id) {
                    problems.push(e.to_string());
                }
            }
        }
        Err(e) => problems.push(e.to_string()),
    }
    // Which runtime made a container is not known of a pod without a record, or it is not installed any more.
    for id in containers_of(&state, uid) {
        if let Err(e) = runtime::forget_external(&state, &id) {
            problems.push(e.to_string());
        }
    }
    base::fail_point!(Worker, "pod-containers-deleted");
    let (instance, id) = (networks(layout, exe), uid.to_owned());
    // In a process of its own: netavark changes the namespaces of its thread.
    match worker::spawn(move || match instance.teardown(&id) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }) {
        Ok(worker) => {
            problems.extend(worker.wait().unwrap_or_else(|| vec!["network teardown was killed".to_owned()]));
        }
        Err(e) => problems.push(format!("cannot fork: {e}")),
    }
    base::fail_point!(Worker, "network-left");
    if let Err(e) = network::remove_netns(&layout.netns(uid)) {
        problems.push(e.to_string());
    }
    base::fail_point!(Worker, "namespace-removed");
    for path in &cgroups {
        if let Err(e) = cgroup::remove(path) {
            problems.push(e.to_string());
        }
    }
    base::fail_point!(Worker, "pod-cgroup-removed");
    let run = layout.pod_run(uid);
    if let Err(e) = runtime::infra::unmount_shm(&run.join("shm")) {
        problems.push(e.to_string());
    }
    base::fail_point!(Worker, "shm-unmounted");
    for file in ["sandbox.json", INTENT] {
        if let Err(e) = store::remove_file_if_exists(&run.join(file)) {
            problems.push(e.to_string());
        }
    }
    base::fail_point!(Worker, "sandbox-forgotten");
    for dir in [run.join("infra"), run.join("bundles"), etc(layout, uid)] {
        if let Err(e) = store::remove_dir_if_exists(&dir) {
            problems.push(e.to_string());
        }
    }
    problems
}

/// Ids that a runtime keeps state of and that are of this pod: libcontainer's bundles and containers, and of any other
/// runtime its own folder and that of our calls.
fn containers_of(state: &Path, uid: &str) -> std::collections::BTreeSet<String> {
    let prefix = format!("{uid}-");
    ["bundles", "containers", "runtime", "calls"]
        .iter()
        .filter_map(|dir| fs::read_dir(state.join(dir)).ok())
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(&prefix))
        .collect()
}

/// Deletes all files of a pod whose sandbox is gone.
pub fn purge(layout: &Layout, exe: &Path, uid: &str, runtime: Option<&str>) -> Vec<String> {
    let mut problems = Vec::new();
    // One that did not run in this boot still holds the addresses of the last; what a killed worker half made is no
    // sandbox for the state machine, which then asks for no removal.
    let is_half_made = layout.pod_run(uid).join(INTENT).exists();
    if is_half_made || networks(layout, exe).leases().is_ok_and(|leases| leases.iter().any(|id| id == uid)) {
        problems.extend(remove_sandbox(layout, exe, uid, runtime));
    }
    if let Err(errors) = crate::volume::remove(layout, uid) {
        problems.extend(errors.iter().map(ToString::to_string));
    }
    problems.extend(super::container::release_images(layout, uid));
    for dir in [layout.pod(uid), layout.pod_run(uid)] {
        base::fail_point!(Worker, "pod-files-going");
        if let Err(e) = store::remove_dir_if_exists(&dir) {
            problems.push(e.to_string());
        }
    }
    problems
}

/// Removes everything on this host that carries the uid of a pod that no workload records. What is removed is
/// told in words.
///
/// # Errors
/// A record cannot be read: its pods would be taken for leftovers.
pub fn remove_leftovers(layout: &Layout, exe: &Path) -> Result<Vec<String>, store::Error> {
    let mut found = std::collections::BTreeSet::new();
    for dir in [layout.root.join("pods"), layout.runroot.join("pods"), layout.runroot.join("netns")] {
        if let Ok(read) = fs::read_dir(&dir) {
            found.extend(read.filter_map(|e| e.ok()?.file_name().into_string().ok()));
        }
    }
    found.extend(networks(layout, exe).leases().unwrap_or_default());
    // Only now: what was made before we looked is recorded, and what is recorded meanwhile is none of these.
    let known: std::collections::HashSet<String> =
        WorkloadRecord::list_all(layout)?.into_iter().flat_map(|w| w.pods).map(|p| p.plan.uid).collect();
    let mut told = Vec::new();
    for uid in found {
        if known.contains(&uid) {
            continue;
        }
        for problem in remove_sandbox(layout, exe, &uid, None) {
            tracing::warn!("{problem}");
        }
        for problem in purge(layout, exe, &uid, None) {
            tracing::warn!("{problem}");
        }
        base::fail_point!(Worker, "leftovers-removed");
        told.push(format!("removed what a crash had left of pod {uid}"));
    }
    Ok(told)
}
