//! Builds the OCI runtime specs (config.json) of infra containers and containers. Pure.
//!
//! The defaults are containerd's, because images are tested with what containerd lets a container see, do and reach.

mod mounts;
mod security;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base::file::write_json_volatile;
use oci_spec::runtime::{LinuxSeccomp, Spec};
use serde_json::{Value, json};

use super::host::{Device, Host};
use super::selinux::Labels;
use super::{Error, Sandbox, cgroup, seccomp};
use crate::plan::{ContainerPlan, Propagation, Resources, Seccomp};

/// cpu.shares of an infra container: the minimum.
const INFRA_SHARES: u64 = 2;
/// oom_score_adj of an infra container, as with the kubelet: it is killed last.
const INFRA_OOM_SCORE_ADJ: i32 = -998;

/// The input for the spec of an infra container.
#[derive(Debug, Clone)]
pub struct Infra<'a> {
    /// Unique on this host; the last component of its cgroup's path.
    pub id: &'a str,
    /// The pod's sandbox; `infra_pid` is not used.
    pub sandbox: &'a Sandbox,
    /// The pod's hostname; not set with hostNetwork, where the host's is kept.
    pub hostname: &'a str,
    /// securityContext.sysctls, as name and value.
    pub sysctls: &'a BTreeMap<String, String>,
    /// The folder that [`super::infra::prepare_rootfs`] created.
    pub rootfs: &'a Path,
    /// The SELinux labels of the sandbox.
    pub labels: Option<&'a Labels>,
    /// Facts about this host.
    pub host: &'a Host,
}

/// The input for the spec of a container.
#[derive(Debug, Clone)]
pub struct Container<'a> {
    /// Unique on this host; the last component of its cgroup's path.
    pub id: &'a str,
    /// The settings from the manifest and the image.
    pub plan: &'a ContainerPlan,
    /// The pod's sandbox.
    pub sandbox: &'a Sandbox,
    /// Volumes, in the order in which to mount them.
    pub mounts: &'a [Mount],
    /// Its root file system, which is mounted.
    pub rootfs: &'a Path,
    /// Its SELinux labels.
    pub labels: Option<&'a Labels>,
    /// Facts about this host ([`Host::with_devices`] for a privileged container or one that asks for devices).
    pub host: &'a Host,
}

/// A volume to bind into a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mount {
    /// A path on the host (or `/proc/self/fd/N` of the process that calls the runtime).
    pub source: PathBuf,
    /// An absolute path in the container.
    pub destination: String,
    /// readOnly; mounts below the source are not affected, as in Kubernetes by default.
    pub read_only: bool,
    /// recursiveReadOnly: mounts below the source are read-only as well.
    pub recursive_read_only: bool,
    /// mountPropagation. With Bidirectional, the source is on a shared mount.
    pub propagation: Propagation,
    /// The device that the volume is: the container may use it.
    pub device: Option<DeviceNumber>,
    /// bindMountOptions: `noexec`, `nodev`, `nosuid`.
    pub options: Vec<String>,
}

/// A device of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNumber {
    /// Whether it is a block device; otherwise it is a character device.
    pub block: bool,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// Returns the spec of an infra container.
///
/// # Errors
/// If the values cannot be expressed as a spec.
pub fn infra(infra: &Infra<'_>) -> Result<Spec, Error> {
    let Infra { sandbox, host, .. } = infra;
    let mut namespaces = user_namespace(sandbox);
    namespaces.push(json!({ "type": "mount" }));
    if !sandbox.host_ipc {
        namespaces.push(json!({ "type": "ipc" }));
    }
    if !sandbox.host_pid {
        namespaces.push(json!({ "type": "pid" }));
    }
    let mut hostname = Value::Null;
    if let Some(netns) = &sandbox.netns {
        namespaces.push(json!({ "type": "network", "path": netns }));
        namespaces.push(json!({ "type": "uts" }));
        hostname = json!(infra.hostname);
    }
    if host.cgroups.version == cgroup::Version::V2 {
        namespaces.push(json!({ "type": "cgroup" }));
    }
    let no_capabilities = security::capabilities(&[], 0, host);
    let resources = Resources { cpu_shares: Some(INFRA_SHARES), ..Resources::default() };
    let spec = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": security::NOBODY, "gid": security::NOBODY, "umask": 0o22,
                      "additionalGids": [security::NOBODY] },
            "args": ["/pause"],
            "env": ["PATH=/", "HOME=/"],
            "cwd": "/",
            "capabilities": no_capabilities,
            "noNewPrivileges": true,
            "oomScoreAdj": security::oom_score_adj(INFRA_OOM_SCORE_ADJ, host),
        },
        "root": { "path": infra.rootfs, "readonly": true },
        "hostname": hostname,
        "mounts": mounts::infra(),
        "linux": {
            "namespaces": namespaces,
            "sysctl": infra.sysctls,
            "cgroupsPath": cgroup::container_path(&sandbox.cgroup, infra.id),
            "resources": security::resources(&resources, false, &[], &[], host),
            "rootfsPropagation": "private",
            "maskedPaths": security::masked_paths(host.cpus),
            "readonlyPaths": security::readonly_paths(),
        },
    });
    parse(labelled(spec, infra.labels), Some(seccomp::default_profile(&BTreeSet::new(), &host.arch)?))
}

/// Returns the spec of a container.
///
/// # Errors
/// If its seccomp profile cannot be read, or the values cannot be expressed as a spec.
pub fn container(container: &Container<'_>) -> Result<Spec, Error> {
    let Container { id, plan, sandbox, host, .. } = container;
    let capabilities =
        if plan.privileged { host.capabilities.iter().cloned().collect() } else { plan.capabilities.clone() };
    let mut process = json!({
        "terminal": plan.tty,
        "user": { "uid": plan.uid, "gid": plan.gid, "umask": 0o22, "additionalGids": groups(plan) },
        "args": plan.args,
        "env": environment(plan),
        "cwd": plan.cwd,
        "capabilities": security::capabilities(&capabilities, plan.uid, host),
        "oomScoreAdj": security::oom_score_adj(plan.oom_score_adj, host),
    });
    // It is set for all mounts of the container: `private` would cut off the volumes that follow the host's mounts, and
    // `slave` those that the host follows.
    let propagation = match container.mounts.iter().map(|mount| mount.propagation).max() {
        Some(Propagation::Bidirectional) => "shared",
        Some(Propagation::HostToContainer) => "slave",
        Some(Propagation::None) | None => "private",
    };
    let own_devices = security::own_devices(&plan.devices, host);
    let mut linux = json!({
        "namespaces": namespaces(container),
        "cgroupsPath": cgroup::container_path(&sandbox.cgroup, id),
        "resources": security::resources(&plan.resources, plan.privileged, &own_devices, container.mounts, host),
        "rootfsPropagation": propagation,
    });
    let mut profile = None;
    if let (Some(process), Some(linux)) = (process.as_object_mut(), linux.as_object_mut()) {
        // If false, it is left out, because only then a runtime may load the filter before it drops privileges.
        if plan.no_new_privileges {
            process.insert("noNewPrivileges".to_owned(), json!(true));
        }
        if !plan.ulimits.is_empty() {
            process.insert("rlimits".to_owned(), security::rlimits(&plan.ulimits));
        }
        if let Some(profile) = security::app_armor(&plan.app_armor, host) {
            process.insert("apparmorProfile".to_owned(), json!(profile));
        }
        if plan.privileged {
            // A volume that is mounted on a device takes precedence.
            let devices: Vec<&Device> = host
                .devices
                .iter()
                .filter(|device| !mounts::is_covered(&device.path, container.mounts))
                .collect();
            let moved = security::moved(&own_devices);
            let moved = moved.iter().filter(|own| !devices.iter().any(|known| known.path == own.path));
            let devices: Vec<&Device> = devices.iter().copied().chain(moved).collect();
            linux.insert("devices".to_owned(), security::devices(&devices));
        } else {
            if !own_devices.is_empty() {
                linux.insert("devices".to_owned(), security::asked_devices(&own_devices));
            }
            let mut read_only: Vec<&str> = Vec::new();
            if !plan.unmasked_proc {
                linux.insert("maskedPaths".to_owned(), json!(security::masked_paths(host.cpus)));
                read_only.extend(security::readonly_paths());
            }
            read_only.extend(mounts::cgroup_folder(container));
            linux.insert("readonlyPaths".to_owned(), json!(read_only));
            profile = match &plan.seccomp {
                Seccomp::RuntimeDefault => {
                    Some(seccomp::default_profile(&plan.capabilities.iter().cloned().collect(), &host.arch)?)
                }
                Seccomp::Localhost(path) => Some(seccomp::read_profile(path)?),
                Seccomp::Unconfined => None,
            };
        }
    }
    let spec = json!({
        "ociVersion": "1.0.2",
        "process": process,
        "root": { "path": container.rootfs, "readonly": plan.read_only_root },
        "mounts": mounts::container(container),
        "linux": linux,
    });
    parse(labelled(spec, container.labels), profile)
}

/// Adds SELinux labels to a spec: `process.selinuxLabel` and `linux.mountLabel`.
fn labelled(mut spec: Value, labels: Option<&Labels>) -> Value {
    let Some(Labels { process, file, .. }) = labels else { return spec };
    let mut insert = |part: &str, name: &str, label: &str| {
        if let Some(part) = spec.get_mut(part).and_then(Value::as_object_mut) {
            part.insert(name.to_owned(), json!(label));
        }
    };
    if let Some(process) = process {
        insert("process", "selinuxLabel", process);
    }
    insert("linux", "mountLabel", file);
    spec
}

/// Writes a spec as `<bundle>/config.json`.
///
/// # Errors
/// If the file cannot be written.
pub fn write(bundle: &Path, spec: &Spec) -> Result<(), Error> {
    Ok(write_json_volatile(&bundle.join("config.json"), spec)?)
}

/// Converts JSON to a spec. The seccomp profile is passed separately, because it is most of a spec and already parsed.
fn parse(spec: Value, profile: Option<LinuxSeccomp>) -> Result<Spec, Error> {
    let mut spec: Spec = serde_json::from_value(spec).map_err(|error| Error::Spec(error.to_string()))?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_seccomp(profile);
    }
    Ok(spec)
}

/// Returns the user namespace of the pod, if it has one.
fn user_namespace(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.users.iter().map(|users| json!({ "type": "user", "path": users.path })).collect()
}

/// Returns the namespaces of a container: its pod's where the infra container holds them, the host's where the pod asks
/// for those, otherwise its own.
fn namespaces(container: &Container<'_>) -> Vec<Value> {
    let Container { sandbox, plan, host, .. } = container;
    let of_infra = |kind: &str, name: &str| json!({ "type": kind, "path": format!("/proc/{}/ns/{name}", sandbox.infra_pid) });
    let mut namespaces = user_namespace(sandbox);
    namespaces.push(json!({ "type": "mount" }));
    if !sandbox.host_ipc {
        namespaces.push(of_infra("ipc", "ipc"));
    }
    if let Some(netns) = &sandbox.netns {
        namespaces.push(json!({ "type": "network", "path": netns }));
        namespaces.push(of_infra("uts", "uts"));
    }
    if !sandbox.host_pid {
        namespaces.push(match sandbox.pid_namespace_of {
            _ if sandbox.share_pid => of_infra("pid", "pid"),
            Some(process) => json!({ "type": "pid", "path": format!("/proc/{process}/ns/pid") }),
            None => json!({ "type": "pid" }),
        });
    }
    if host.cgroups.version == cgroup::Version::V2 && !plan.privileged {
        namespaces.push(json!({ "type": "cgroup" }));
    }
    namespaces
}

/// Returns the supplementary groups. The primary group is always included: a file that denies access to a group must
/// not be open to a process that dropped that group (CVE-2022-2989), and without any list a runtime would keep our own
/// groups.
fn groups(plan: &ContainerPlan) -> Vec<u32> {
    let mut groups = vec![plan.gid];
    for gid in &plan.additional_gids {
        if !groups.contains(gid) {
            groups.push(*gid);
        }
    }
    groups
}

/// Returns the environment as `NAME=value`, with what containerd adds: a PATH if there is none, and TERM for a
/// terminal.
fn environment(plan: &ContainerPlan) -> Vec<String> {
    let has = |name: &str| plan.env.iter().any(|(known, _)| known == name);
    let mut env = Vec::new();
    if !has("PATH") {
        env.push(format!("PATH={}", security::DEFAULT_PATH));
    }
    if plan.tty && !has("TERM") {
        env.push("TERM=xterm".to_owned());
    }
    env.extend(plan.env.iter().map(|(name, value)| format!("{name}={value}")));
    env
}

#[cfg(test)]
mod tests;
