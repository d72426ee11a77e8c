//! The description of a pod's sandbox (its process, addresses and folders), and the networks of the instance.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use network::Networks;
use serde::{Deserialize, Serialize};

use super::process::Process;
use crate::plan::PodPlan;
use crate::runtime::Sandbox;
use crate::store::Layout;

/// The file in a pod's folder that exists from before the creation of the sandbox until its removal is complete.
pub(super) const INTENT: &str = "sandbox-intent";

/// A created sandbox, in the form in which its worker reports it and in which it is stored for a later supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxInfo {
    /// The infra container's process.
    pub infra: Process,
    /// The pod's addresses: status.podIPs.
    pub ips: Vec<IpAddr>,
    /// The namespaces, cgroup and files that containers join.
    pub sandbox: Sandbox,
    /// Warnings for the user about the pod's network.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The pidfd of an infra container that is not our child, and its token.
    #[serde(skip)]
    pub pidfd: Option<(u64, OwnedFd)>,
}

impl SandboxInfo {
    /// Returns the description without the descriptor.
    pub(crate) fn without_descriptor(&self) -> Self {
        Self {
            infra: self.infra,
            ips: self.ips.clone(),
            sandbox: self.sandbox.clone(),
            warnings: self.warnings.clone(),
            pidfd: None,
        }
    }

    pub(super) fn path(layout: &Layout, uid: &str) -> PathBuf {
        layout.pod_run(uid).join("sandbox.json")
    }

    /// Reads the description of a sandbox that a former supervisor created.
    pub fn load(layout: &Layout, uid: &str) -> Option<Self> {
        base::file::read_json(&Self::path(layout, uid)).ok().flatten()
    }
}

/// Returns the warnings about the network of a started pod.
pub fn network_warnings(layout: &Layout, uid: &str) -> Vec<String> {
    SandboxInfo::load(layout, uid).map(|info| info.warnings).unwrap_or_default()
}

/// Returns the networks of this instance.
pub fn networks(layout: &Layout, exe: &Path) -> Networks {
    Networks::new(&layout.networks(), &layout.networks_run(), exe)
}

/// Returns the id of the infra container.
pub fn infra_id(uid: &str) -> String {
    format!("{uid}-infra")
}

/// Returns the folder in which runtimes keep their state.
pub fn runtime_state(layout: &Layout) -> PathBuf {
    layout.runroot.join("runtime")
}

/// Returns the published ports of a pod in the form that the network library takes.
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

/// Returns the folder of the files of /etc. Containers write to these files, so they are on the disk like everything
/// else that containers write, and not in the host's /run, which is in memory and small (CVE-2020-8557).
pub(super) fn etc(layout: &Layout, uid: &str) -> PathBuf {
    layout.pod(uid).join("etc")
}
