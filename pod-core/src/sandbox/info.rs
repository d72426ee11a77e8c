//! What is known of a pod's sandbox: its process, addresses and folders, and the networks of the instance.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use network::Networks;
use serde::{Deserialize, Serialize};

use super::process::Process;
use crate::plan::PodPlan;
use crate::runtime::Sandbox;
use crate::store::Layout;

/// Lies in the folder of a pod from before anything of its sandbox is made until all of it is removed.
pub(super) const INTENT: &str = "sandbox-intent";

/// A created sandbox, as its worker reports it and as it is stored for a later supervisor.
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
    /// The same, without the descriptor.
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

    /// Reads what a former supervisor made.
    pub fn load(layout: &Layout, uid: &str) -> Option<Self> {
        base::file::read_json(&Self::path(layout, uid)).ok().flatten()
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

/// Where the files of /etc lie. Containers write to them, so they are on the disk with everything else that these
/// write, not in the host's /run, which is memory and small (CVE-2020-8557).
pub(super) fn etc(layout: &Layout, uid: &str) -> PathBuf {
    layout.pod(uid).join("etc")
}
