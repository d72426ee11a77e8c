//! Objects + image configs + flags, fully resolved. Pure: no I/O, no clock, no randomness of its own.
//!
//! Two steps. [`plan`] turns the documents of a `play` into [`Plan`]: which objects and workloads should
//! exist, with defaults applied and everything that hashes. [`container::resolve`] turns one container of a
//! pod into a [`ContainerPlan`] right before it is made, when the image, the pod's addresses and the
//! ConfigMaps and Secrets of that moment are known.

mod bounds;
pub mod command;
pub mod container;
mod defaults;
mod deployment;
pub mod dns;
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
pub mod resources;
pub mod rule;
pub mod security;
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
use crate::store::WorkloadId;

/// The annotation of a Secret whose values `generate` left empty: `play` keeps those that it has.
pub const VALUES_LEFT_OUT: &str = "kube-play/values-left-out";

/// What `generate` writes in place of a value of a Secret, in base64: nothing, or as little as Kubernetes takes under
/// that key, which is JSON of nothing, and for a key of SSH a line's end.
pub fn value_left_out(key: &str) -> &'static str {
    match key {
        ".dockerconfigjson" | ".dockercfg" => "e30=",
        "ssh-privatekey" => "Cg==",
        _ => "",
    }
}

/// Everything a `play` wants to exist.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// ConfigMaps, Secrets and claims, in file order.
    pub objects: Vec<ObjectPlan>,
    /// Workloads, in file order.
    pub workloads: Vec<WorkloadPlan>,
    /// `--pull`, which every container's imagePullPolicy is already set to.
    pub pull: Option<PullPolicy>,
}

/// A ConfigMap, Secret or PersistentVolumeClaim to record.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectPlan {
    /// Kind, namespace, name.
    pub id: ObjectRef,
    /// As it is recorded: typed-normal form (Secret `stringData` merged into `data`).
    pub object: Value,
}

/// A workload to make, change or leave alone.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadPlan {
    /// Kind, namespace, name.
    pub id: WorkloadId,
    /// The object as given.
    pub object: Value,
    /// Hash of `object` and of everything else that a change of which makes `play` say `configured`.
    pub hash: String,
    /// The file it came from.
    pub source: String,
    /// What its pods are made of.
    pub template: PodTemplate,
    /// How many pods there should be.
    pub replicas: u32,
    /// The rule by which it has pods.
    pub rule: rule::Rule,
}

/// A pod before it has a name of its own, a uid and a time of birth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// The pod with Kubernetes' defaults applied, no uid. For a bare Pod its name is final; for a Deployment
    /// it is `<name>-<pod-template-hash>` and [`PodTemplate::instantiate`] adds `-<suffix>`.
    pub pod: Pod,
    /// Hash of what a change of which makes the pod anew (spec, template labels and annotations, network,
    /// runtime, and the contents of nothing else).
    pub hash: String,
    /// Networks and published ports.
    pub network: PodNetwork,
    /// `--runtime`; `None` is libcontainer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// True when pods get a random suffix to their name (every kind but a bare Pod).
    pub suffixed: bool,
}

/// One pod, complete: what its supervisor works from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodPlan {
    /// metadata.uid; every kernel object of the pod carries it in its name.
    pub uid: String,
    /// The pod with defaults applied; metadata has name, namespace, uid and creationTimestamp.
    pub pod: Pod,
    /// [`PodTemplate::hash`].
    pub hash: String,
    /// Networks and published ports.
    pub network: PodNetwork,
    /// `--runtime`; `None` is libcontainer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
}

impl PodTemplate {
    /// Returns a template with its hash. How an image is pulled is not part of that: it does not change what runs.
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

    /// Returns the template of a recorded Deployment of which nothing but its object is known: no flags of its play.
    pub fn of_object(object: &Value, namespace: &str) -> Self {
        let deployment = serde_json::from_value(object.clone()).unwrap_or_default();
        let pod = deployment::template(&deployment, namespace, |_| {});
        Self::new(pod, PodNetwork::default(), None, true)
    }

    /// A pod of this template. `suffix` ends its name where [`PodTemplate::suffixed`]; `uid` and `created` are
    /// the pod's own. As in Kubernetes, a name that would be too long is cut before its suffix.
    pub fn instantiate(&self, uid: &str, suffix: &str, created: jiff::Timestamp) -> PodPlan {
        let mut pod = self.pod.clone();
        if self.suffixed {
            let prefix = format!("{}-", pod.metadata.name.as_deref().unwrap_or_default());
            let cut: String = prefix.chars().take(deployment::MAX_GENERATED_PREFIX).collect();
            pod.metadata.name = Some(format!("{cut}{suffix}"));
            pod.metadata.generate_name = Some(prefix);
        }
        pod.metadata.uid = Some(uid.to_owned());
        // Kubernetes' time stamps have whole seconds.
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
    /// A waiting reason with its message. What an image says may be part of it (a path, a user): it stays on one line,
    /// and drives no terminal.
    pub fn new(reason: WaitingReason, message: impl Into<String>) -> Self {
        Self { reason, message: base::escape::escape(&message.into()).into_owned() }
    }

    /// `CreateContainerConfigError`: what the manifest refers to is missing or does not fit.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(WaitingReason::CreateContainerConfigError, message)
    }
}

impl PodPlan {
    /// Returns the template that the pod was made from: the inverse of [`PodTemplate::instantiate`].
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

    /// metadata.name, or "" for a plan that was damaged.
    pub fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }
    /// metadata.namespace.
    pub fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or("default")
    }
}

/// How a pod is connected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodNetwork {
    /// hostNetwork: the pod shares the host's network namespace; everything else is empty.
    pub host: bool,
    /// `--network none`: a namespace with loopback alone.
    #[serde(default)]
    pub none: bool,
    /// Networks to join; empty (and neither host nor none) means the default network.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// Ports to publish on the host.
    #[serde(default)]
    pub ports: Vec<PortMapping>,
}

/// `--network NAME[:ip=...,mac=...]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Network name.
    pub network: String,
    /// Addresses asked for; else allocated.
    #[serde(default)]
    pub ips: Vec<IpAddr>,
    /// MAC address asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// A host port that leads to the pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// hostIP; `None` is every address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// Port on the host.
    pub host_port: u16,
    /// Port in the pod.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// What the flags of `play` say.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// `--publish [[IP:]HOST:]CONTAINER[/PROTO]`, parsed.
    pub publish: Vec<PortMapping>,
    /// `--publish-all`: containerPort without hostPort gets the same number on the host.
    pub publish_all: bool,
    /// `--network`.
    pub networks: Vec<String>,
    /// `--runtime`.
    pub runtime: Option<String>,
    /// `--pull`: overrides every imagePullPolicy.
    pub pull: Option<PullPolicy>,
}

/// imagePullPolicy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Ask the registry every time.
    Always,
    /// Only what is not here.
    IfNotPresent,
    /// What is not here is an error.
    Never,
}

/// This machine, as a node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Node {
    /// Its host name: spec.nodeName.
    pub name: String,
    /// Addresses of the host, the best first: status.hostIPs.
    pub ips: Vec<IpAddr>,
    /// Processors, in millicores.
    pub cpu_millis: u64,
    /// Memory, in bytes.
    pub memory: u64,
    /// Size of the file system that pods write to, in bytes.
    #[serde(default)]
    pub storage: u64,
    /// The contents of the host's resolv.conf.
    pub resolv_conf: String,
    /// The contents of the host's /etc/hosts: what a pod on the host's network starts from.
    #[serde(default)]
    pub hosts: String,
}

/// One container, fully resolved: all that the OCI spec is built from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerPlan {
    /// Container name.
    pub name: String,
    /// argv.
    pub args: Vec<String>,
    /// Environment, in order; a name occurs once.
    pub env: Vec<(String, String)>,
    /// Working directory, absolute.
    pub cwd: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub additional_gids: Vec<u32>,
    /// Bounding, effective and permitted capabilities, as `CAP_CHOWN`. Effective and permitted are empty for
    /// a uid that is not 0, as containerd does.
    pub capabilities: Vec<String>,
    /// securityContext.privileged.
    pub privileged: bool,
    /// allowPrivilegeEscalation: false.
    pub no_new_privileges: bool,
    /// readOnlyRootFilesystem.
    pub read_only_root: bool,
    /// Seccomp profile.
    pub seccomp: Seccomp,
    /// cgroup limits.
    pub resources: Resources,
    /// Devices of this machine, beside those that every container has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DevicePlan>,
    /// oom_score_adj by QoS class.
    pub oom_score_adj: i32,
    /// volumeMounts, in the order to mount.
    pub mounts: Vec<VolumeMountPlan>,
    /// Terminal.
    pub tty: bool,
    /// Keep stdin open.
    pub stdin: bool,
    /// The signal that asks it to stop, as `SIGTERM`.
    pub stop_signal: String,
}

/// Which system calls are let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// Our default profile.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// A profile file.
    Localhost(PathBuf),
}

/// cgroup limits of a container or a pod, in the kernel's units. `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// cpu.shares (v1 scale, 2 to 262144).
    pub cpu_shares: Option<u64>,
    /// Microseconds of processor time per period.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Bytes.
    pub memory_limit: Option<i64>,
}

/// A device of this machine in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePlan {
    /// Its path on this machine, below /dev.
    pub source: String,
    /// Its path in the container, below /dev.
    pub destination: String,
    /// Of `rwm`: what the container may do with it.
    pub access: String,
}

/// One volumeMount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMountPlan {
    /// Name of the pod's volume.
    pub volume: String,
    /// mountPath, absolute.
    pub destination: String,
    /// readOnly.
    pub read_only: bool,
    /// subPath, relative and without `..`.
    pub sub_path: Option<String>,
}

/// What of an image matters to a container (OCI image-spec, config.md).
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

/// Why a container cannot be made: a kubelet waiting reason and a message for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{reason}: {message}")]
pub struct ContainerError {
    /// What the container waits for.
    pub reason: WaitingReason,
    /// What to tell the user.
    pub message: String,
}

pub use bounds::{MAX_PODS, MAX_RECORDED, MAX_REPLICAS, MAX_STRING, MAX_STRINGS};
pub use deployment::{TEMPLATE_HASH_LABEL, with_metadata};
pub use inputs::Inputs;
pub use workloads::{plan, undeclared_claims};

#[cfg(test)]
mod tests;
