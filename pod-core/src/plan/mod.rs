//! Resolves objects, image configs and flags completely. It is pure, except for [`node`]: no I/O, no clock, no
//! randomness.
//!
//! There are two steps. [`plan`] converts the documents of a `kube play` into a [`Plan`]: the objects and workloads
//! that should exist, with defaults applied and with their hashes. [`container::resolve`] converts one container of a
//! pod into a [`ContainerPlan`] immediately before the container is created, because the image, the pod's addresses
//! and the current ConfigMaps and Secrets are known only then.

pub mod binding;
mod bounds;
pub mod command;
pub mod container;
pub(crate) mod defaults;
mod deployment;
pub mod dns;
pub mod downward;
pub mod env_file;
pub mod environment;
mod expansion;
pub mod hash;
mod host_path;
pub mod hosts;
pub mod image_pull;
mod inputs;
pub mod networks;
pub mod node;
mod passwd;
pub mod ports;
pub mod qos;
pub mod references;
pub mod resize;
pub mod resources;
pub mod rule;
pub mod runtime_class;
pub mod security;
pub mod selinux;
pub mod service_links;
pub mod stop_signal;
pub mod user;
pub mod volumes;
mod workloads;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::{ObjectRef, WaitingReason};
pub use crate::manifest::DeviceRequest;
use crate::manifest::Ulimit;
use crate::store::WorkloadId;

/// The annotation of a Secret whose values `kube generate` left out. `kube play` keeps the recorded values of such a
/// Secret.
pub const VALUES_LEFT_OUT: &str = "kube-play/values-left-out";

/// The annotation with what the containers of a pod use, which `kube inspect` shows. It is no part of a pod that is played.
pub const USAGE: &str = "kube-play/usage";

/// Returns what `kube generate` writes in place of a value of a Secret, in base64. It is empty, except for the keys
/// under which Kubernetes accepts no empty value: these get an empty JSON object, or a line end for an SSH key.
pub fn value_left_out(key: &str) -> &'static str {
    match key {
        ".dockerconfigjson" | ".dockercfg" => "e30=",
        "ssh-privatekey" => "Cg==",
        _ => "",
    }
}

/// Everything that should exist after a `kube play`.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The objects that are no workloads, in file order.
    pub objects: Vec<ObjectPlan>,
    /// Workloads, in file order.
    pub workloads: Vec<WorkloadPlan>,
    /// The value of `--pull`, to which every container's imagePullPolicy is already set.
    pub pull: Option<PullPolicy>,
}

/// An object to record that is no workload: a ConfigMap, a Secret, a claim, a Service.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectPlan {
    /// Kind, namespace and name.
    pub id: ObjectRef,
    /// The object in the form in which it is recorded: serialized from its Kubernetes type, with the `stringData` of a
    /// Secret merged into `data`.
    pub object: Value,
    /// The object as it was given, if values have been added to `object`, such as the address of a Service.
    pub given: Option<Value>,
}

/// A workload to create, to change or to leave as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadPlan {
    /// Kind, namespace and name.
    pub id: WorkloadId,
    /// The object as it was given.
    pub object: Value,
    /// The hash of `object` and of all other fields whose change `kube play` reports as `configured`.
    pub hash: String,
    /// The file that the object was read from.
    pub source: String,
    /// The template from which the workload's pods are created.
    pub template: PodTemplate,
    /// The number of pods that there should be.
    pub replicas: u32,
    /// The rule that says how many pods there should be and how they are replaced.
    pub rule: rule::Rule,
}

/// A pod without a name of its own, a uid and a creation time. Pods are created from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// The pod with Kubernetes' defaults applied and without a uid. For a bare Pod the name is final. For a Deployment
    /// the name is `<name>-<pod-template-hash>`, and [`PodTemplate::instantiate`] adds `-<suffix>`.
    pub pod: Pod,
    /// The hash of the fields whose change requires a new pod: spec, labels and annotations of the template, network
    /// and runtime. The contents of ConfigMaps, Secrets and images are not part of it.
    pub hash: String,
    /// The networks and the published ports.
    pub network: PodNetwork,
    /// The value of `--runtime`; `None` is libcontainer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Whether pods get a random suffix to their name. This is so for every kind except a bare Pod.
    pub suffixed: bool,
}

/// The complete plan of one pod, from which the pod's supervisor works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodPlan {
    /// metadata.uid. It is part of the name of every kernel object of the pod.
    pub uid: String,
    /// The pod with defaults applied. Its metadata has name, namespace, uid and creationTimestamp.
    pub pod: Pod,
    /// [`PodTemplate::hash`].
    pub hash: String,
    /// The networks and the published ports.
    pub network: PodNetwork,
    /// The value of `--runtime`; `None` is libcontainer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
}

impl PodTemplate {
    /// Creates a template and computes its hash. The pull policy of `--pull` must be applied afterwards, because it
    /// does not change what runs.
    pub fn new(pod: Pod, network: PodNetwork, runtime: Option<String>, suffixed: bool) -> Self {
        let metadata = &pod.metadata;
        let hash = hash::hash(&serde_json::json!({
            "labels": metadata.labels,
            "annotations": metadata.annotations,
            "spec": pod.spec,
            "network": network,
            "runtime": runtime,
        }));
        Self { pod, hash, network, runtime, suffixed }
    }

    /// Creates the template of a recorded Deployment from its object alone, without the flags of its `kube play`.
    pub fn of_object(object: &Value, namespace: &str) -> Self {
        let deployment = serde_json::from_value(object.clone()).unwrap_or_default();
        let pod = deployment::template(&deployment, namespace, |_| {});
        Self::new(pod, PodNetwork::default(), None, true)
    }

    /// Creates a pod of this template with this uid and creation time. If the template is [`PodTemplate::suffixed`],
    /// the pod's name ends in `suffix`. As in Kubernetes, a name that would be too long is cut before the suffix.
    pub fn instantiate(&self, uid: &str, suffix: &str, created: jiff::Timestamp) -> PodPlan {
        let mut pod = self.pod.clone();
        if self.suffixed {
            let prefix = pod.metadata.name.unwrap_or_default();
            pod.metadata.name = Some(deployment::generated_name(&prefix, suffix));
            pod.metadata.generate_name = Some(format!("{prefix}-"));
        }
        pod.metadata.uid = Some(uid.to_owned());
        // Kubernetes' timestamps have whole seconds.
        let created = jiff::Timestamp::from_second(created.as_second()).unwrap_or(created);
        pod.metadata.creation_timestamp = Some(Time(created));
        PodPlan {
            uid: uid.to_owned(),
            pod,
            hash: self.hash.clone(),
            network: self.network.clone(),
            runtime: self.runtime.clone(),
        }
    }
}

impl ContainerError {
    /// Creates an error from a waiting reason and a message. The message may contain text from an image (a path, a
    /// user), so control characters and line ends are escaped.
    pub fn new(reason: WaitingReason, message: impl Into<String>) -> Self {
        Self { reason, message: base::escape::escape(&message.into()).into_owned() }
    }

    /// Creates a `CreateContainerConfigError`: an object that the manifest refers to is missing or invalid.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(WaitingReason::CreateContainerConfigError, message)
    }
}

impl PodPlan {
    /// Returns the template that the pod was created from: the inverse of [`PodTemplate::instantiate`].
    pub fn template(&self) -> PodTemplate {
        let mut pod = self.pod.clone();
        let prefix = pod.metadata.generate_name.take();
        let suffixed = prefix.is_some();
        if let Some(prefix) = prefix {
            pod.metadata.name = Some(prefix.strip_suffix('-').unwrap_or(&prefix).to_owned());
        }
        (pod.metadata.uid, pod.metadata.creation_timestamp) = (None, None);
        PodTemplate {
            pod,
            hash: self.hash.clone(),
            network: self.network.clone(),
            runtime: self.runtime.clone(),
            suffixed,
        }
    }

    /// Returns metadata.name, or "" if the plan is damaged.
    pub fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }
    /// Returns whether the pod has a user namespace of its own: hostUsers: false.
    pub fn has_user_namespace(&self) -> bool {
        self.pod.spec.as_ref().and_then(|spec| spec.host_users) == Some(false)
    }
    /// Returns metadata.namespace.
    pub fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or("default")
    }
}

/// How a pod is connected to networks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodNetwork {
    /// hostNetwork: whether the pod shares the host's network namespace. All other fields are empty then.
    pub host: bool,
    /// `--network none`: whether the pod has a network namespace with loopback only.
    #[serde(default)]
    pub none: bool,
    /// The networks to join. Empty means the default network, unless `host` or `none` is set.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// The ports to publish on the host.
    #[serde(default)]
    pub ports: Vec<PortMapping>,
}

/// A network to join, given as `--network NAME[:ip=...,mac=...]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// The name of the network.
    pub network: String,
    /// The requested addresses. If there are none, addresses are allocated.
    #[serde(default)]
    pub ips: Vec<IpAddr>,
    /// The requested MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// A port of the host that is forwarded to the pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// hostIP; `None` means every address of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// The port on the host.
    pub host_port: u16,
    /// The port in the pod.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// The flags of `kube play` that a plan depends on.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// `--publish [[IP:]HOST:]CONTAINER[/PROTO]`, parsed.
    pub publish: Vec<PortMapping>,
    /// `--publish-all`: whether a containerPort without hostPort is published under the same number on the host.
    pub publish_all: bool,
    /// `--network`.
    pub networks: Vec<String>,
    /// `--runtime`.
    pub runtime: Option<String>,
    /// What runtimeClassName can lead to, without the RuntimeClasses of the documents.
    pub runtime_classes: RuntimeClasses,
    /// `--pull`: overrides every imagePullPolicy.
    pub pull: Option<PullPolicy>,
}

/// imagePullPolicy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Ask the registry each time.
    Always,
    /// Pull only images that this host does not have.
    IfNotPresent,
    /// Do not pull; an image that this host does not have is an error.
    Never,
}

/// This host as a Kubernetes node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Node {
    /// The host name: spec.nodeName of pods.
    pub name: String,
    /// The addresses of the host, the preferred one first: status.hostIPs of pods.
    pub ips: Vec<IpAddr>,
    /// The processors, in millicores.
    pub cpu_millis: u64,
    /// The memory, in bytes.
    pub memory: u64,
    /// The size of the file system that pods write to, in bytes.
    #[serde(default)]
    pub storage: u64,
    /// The contents of the host's resolv.conf.
    pub resolv_conf: String,
    /// The contents of the host's /etc/hosts, which is the base of the file of a pod on the host's network.
    #[serde(default)]
    pub hosts: String,
}

/// One container, resolved completely. The OCI spec is built from this plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerPlan {
    /// The container's name.
    pub name: String,
    /// The arguments, including the program: argv.
    pub args: Vec<String>,
    /// The environment variables, in order. Each name occurs once.
    pub env: Vec<(String, String)>,
    /// The working directory, as an absolute path.
    pub cwd: String,
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The supplementary groups.
    pub additional_gids: Vec<u32>,
    /// The bounding, effective and permitted capabilities, as `CAP_CHOWN`. As with containerd, the effective and
    /// permitted sets are empty for a uid that is not 0.
    pub capabilities: Vec<String>,
    /// securityContext.privileged.
    pub privileged: bool,
    /// allowPrivilegeEscalation: false.
    pub no_new_privileges: bool,
    /// readOnlyRootFilesystem.
    pub read_only_root: bool,
    /// The seccomp profile.
    pub seccomp: Seccomp,
    /// The AppArmor profile.
    #[serde(default)]
    pub app_armor: AppArmor,
    /// seLinuxOptions.
    #[serde(default, skip_serializing_if = "SeLinux::is_empty")]
    pub selinux: SeLinux,
    /// procMount Unmasked: no path of /proc and /sys is hidden or read-only.
    #[serde(default)]
    pub unmasked_proc: bool,
    /// The cgroup limits.
    pub resources: Resources,
    /// Devices of this host, in addition to those that every container has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DevicePlan>,
    /// Devices of CDI.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cdi: Vec<DeviceRequest>,
    /// The ulimits that annotations of the pod set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ulimits: Vec<Ulimit>,
    /// The oom_score_adj, which depends on the QoS class.
    pub oom_score_adj: i32,
    /// The volumeMounts, in the order in which they are mounted.
    pub mounts: Vec<VolumeMountPlan>,
    /// The volumeDevices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_devices: Vec<VolumeDevicePlan>,
    /// Whether the container has a terminal.
    pub tty: bool,
    /// Whether stdin is kept open.
    pub stdin: bool,
    /// The signal that asks the container to stop, as `SIGTERM`.
    pub stop_signal: String,
}

/// The seccomp profile of a container: which system calls are allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// The default profile of this program.
    RuntimeDefault,
    /// No profile: all system calls are allowed.
    Unconfined,
    /// The profile in this file.
    Localhost(PathBuf),
}

/// The AppArmor profile of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppArmor {
    /// The manifest does not say: no profile.
    #[default]
    Unset,
    /// The default profile of this program, where the kernel has AppArmor.
    RuntimeDefault,
    /// No profile.
    Unconfined,
    /// The loaded profile of this name.
    Localhost(String),
}

/// The cgroup limits of a container or a pod, in the kernel's units. `None` means no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// cpu.shares (v1 scale, 2 to 262144).
    pub cpu_shares: Option<u64>,
    /// The processor time per period, in microseconds.
    pub cpu_quota: Option<i64>,
    /// The length of a period, in microseconds.
    pub cpu_period: Option<u64>,
    /// The memory limit, in bytes.
    pub memory_limit: Option<i64>,
    /// How many processes and threads there may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids_limit: Option<u64>,
    /// The most bytes of huge pages, by the size of a page in bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub huge_pages: BTreeMap<u64, u64>,
}

/// A device of this host that a container gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePlan {
    /// The device's path on this host, below /dev.
    pub source: String,
    /// The device's path in the container, below /dev.
    pub destination: String,
    /// The allowed accesses, as letters of `rwm` (read, write, mknod).
    pub access: String,
}

/// One volumeMount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMountPlan {
    /// The name of the pod's volume.
    pub volume: String,
    /// mountPath, as an absolute path.
    pub destination: String,
    /// readOnly.
    pub read_only: bool,
    /// subPath, as a relative path without `..`.
    pub sub_path: Option<String>,
    /// recursiveReadOnly: mounts below it are read-only as well.
    #[serde(default)]
    pub recursive_read_only: bool,
    /// mountPropagation.
    #[serde(default)]
    pub propagation: Propagation,
    /// bindMountOptions: `noexec`, `nodev`, `nosuid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// mountPropagation: where mounts that are made in a volume later appear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Propagation {
    /// Where they were made.
    #[default]
    None,
    /// Those of the host appear in the container.
    HostToContainer,
    /// Those of the container appear on the host and in other containers as well.
    Bidirectional,
}

/// One volumeDevice: a volume that a container gets as a block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeDevicePlan {
    /// The name of the pod's volume.
    pub volume: String,
    /// devicePath, as an absolute path.
    pub path: String,
    /// Whether the container may only read it.
    pub read_only: bool,
}

/// The fields of an image's config that a container needs (OCI image-spec, config.md).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageConfig {
    /// ENTRYPOINT.
    pub entrypoint: Vec<String>,
    /// CMD.
    pub cmd: Vec<String>,
    /// ENV, `K=V`.
    pub env: Vec<String>,
    /// WORKDIR.
    pub working_dir: String,
    /// USER: `user`, `uid`, `user:group`, `uid:gid`, ...
    pub user: String,
    /// STOPSIGNAL.
    pub stop_signal: Option<String>,
    /// EXPOSE, as `80/tcp`.
    pub exposed_ports: Vec<String>,
    /// LABEL.
    pub labels: BTreeMap<String, String>,
    /// VOLUME paths.
    pub volumes: Vec<String>,
}

/// Why a container cannot be created: the kubelet's waiting reason and a message for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{reason}: {message}")]
pub struct ContainerError {
    /// The waiting reason that the container gets.
    pub reason: WaitingReason,
    /// The message for the user.
    pub message: String,
}

pub use bounds::{MAX_PODS, MAX_RECORDED, MAX_REPLICAS, MAX_STRING, MAX_STRINGS};
pub use deployment::{TEMPLATE_HASH_LABEL, with_metadata};
pub use inputs::Inputs;
pub use runtime_class::RuntimeClasses;
pub use selinux::SeLinux;
pub use workloads::{plan, undeclared_claims};

#[cfg(test)]
mod tests;
