//! What Services need to know of pods. The supervisor of a workload writes it into one small file per workload, so that a
//! change of one pod does not make every record and state be read.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::lifecycle::{Goal, PodState, Sandbox};
use crate::plan::PodPlan;
use crate::record::WorkloadRecord;
use crate::store::{Error, Layout, WorkloadId, damage};

/// The memo of all files.
pub(super) const PODS_MEMO: &str = "pods.json";

/// A pod that has addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodEndpoint {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// metadata.uid.
    pub uid: String,
    /// metadata.labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What changes in the life of a pod.
    #[serde(flatten)]
    pub reach: Reach,
    /// The ports of its containers and sidecars that have a name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<NamedPort>,
    /// spec.hostname.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// spec.subdomain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<String>,
}

/// Where a pod can be reached, and whether it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reach {
    /// status.podIPs.
    pub ips: Vec<IpAddr>,
    /// Whether the pod is Ready.
    pub serving: bool,
    /// Whether the pod ends: it gets connections only if a Service has no other endpoint.
    pub terminating: bool,
}

/// A port that a container declares under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedPort {
    /// Its name.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// containerPort.
    pub port: u16,
}

impl Reach {
    /// Returns where a pod in `state` can be reached; `None` if it has no sandbox or has ended.
    pub fn of(state: &PodState) -> Option<Self> {
        let is_up = state.sandbox == Sandbox::Ready && !state.ips.is_empty() && !state.is_terminal();
        is_up.then(|| Self {
            ips: state.ips.clone(),
            serving: state.is_ready(),
            terminating: state.goal == Goal::End || state.is_stopping(),
        })
    }
}

impl PodEndpoint {
    /// Returns what Services need to know of a pod that can be reached.
    pub fn new(plan: &PodPlan, reach: Reach) -> Self {
        let spec = plan.pod.spec.as_ref();
        let given = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
        Self {
            namespace: plan.namespace().to_owned(),
            name: plan.name().to_owned(),
            uid: plan.uid.clone(),
            labels: plan.pod.metadata.labels.clone().unwrap_or_default(),
            reach,
            ports: named_ports(plan),
            hostname: given(spec.and_then(|spec| spec.hostname.as_ref())),
            subdomain: given(spec.and_then(|spec| spec.subdomain.as_ref())),
        }
    }
}

/// Returns the named ports of the containers and then of the sidecars of a pod. Source: `FindPort` of pkg/api/v1/pod.
fn named_ports(plan: &PodPlan) -> Vec<NamedPort> {
    let Some(spec) = &plan.pod.spec else { return Vec::new() };
    let init = spec.init_containers.iter().flatten();
    let sidecars = init.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            Some(NamedPort {
                name: port.name.clone().filter(|name| !name.is_empty())?,
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: u16::try_from(port.container_port).ok()?,
            })
        })
        .collect()
}

/// Writes the file of a workload.
///
/// # Errors
/// If the file cannot be written.
pub fn write(layout: &Layout, id: &WorkloadId, pods: &[PodEndpoint]) -> Result<(), Error> {
    let path = layout.workload_endpoints(id);
    // A folder in its place is removed: the file is a cache.
    if path.is_dir() {
        base::file::remove_dir_if_exists(&path)?;
    }
    Ok(base::file::write_json_volatile(&path, &pods)?)
}

/// Returns all pods that can be reached.
pub(super) fn all(layout: &Layout) -> Result<Vec<PodEndpoint>, Error> {
    let ids = WorkloadRecord::ids(layout)?;
    let names = ids.iter().map(WorkloadId::dir_name).collect();
    let path = |name: &str| layout.workload_endpoints_of(name);
    let read = |path: &Path| -> Result<Option<Vec<PodEndpoint>>, Error> {
        if let Ok(Some(pods)) = base::file::read_json(path) {
            return Ok(Some(pods));
        }
        let name = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        Ok(name.and_then(WorkloadId::from_dir_name).and_then(|id| of_record(layout, &id)))
    };
    let all = base::memo::read_through(names, path, &layout.services_run().join(PODS_MEMO), read)?;
    Ok(all.into_iter().flatten().collect())
}

/// Returns the pods of a workload from its record and their states, for a workload whose supervisor has written no file:
/// it is one of an older version, or the file is damaged.
fn of_record(layout: &Layout, id: &WorkloadId) -> Option<Vec<PodEndpoint>> {
    let record = damage::or_none(WorkloadRecord::load(layout, id))?;
    let reached = record.pods.iter().filter_map(|pod| {
        let reach = Reach::of(&damage::or_none(pod.present_state(layout))?)?;
        Some(PodEndpoint::new(&pod.plan, reach))
    });
    Some(reached.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::PodNetwork;

    fn plan(spec: &serde_json::Value) -> PodPlan {
        let pod =
            json!({"metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}}, "spec": spec});
        PodPlan {
            uid: "u".to_owned(),
            pod: serde_json::from_value(pod).unwrap(),
            hash: String::new(),
            network: PodNetwork::default(),
            runtime: None,
        }
    }

    #[test]
    fn named_ports_are_those_of_containers_and_sidecars() {
        let port = |name: &str, port: u16| json!([{"name": name, "containerPort": port}]);
        let plan = plan(&json!({
            "hostname": "a", "subdomain": "",
            "initContainers": [
                {"name": "once", "ports": port("once", 1)},
                {"name": "side", "restartPolicy": "Always", "ports": port("metrics", 9090)},
            ],
            "containers": [{"name": "c", "ports": [{"containerPort": 80}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]}],
        }));
        let pod = PodEndpoint::new(&plan, Reach { ips: Vec::new(), serving: true, terminating: false });
        let ports: Vec<_> =
            pod.ports.iter().map(|p| (p.name.as_str(), p.protocol.as_str(), p.port)).collect();
        assert_eq!(ports, [("dns", "UDP", 53), ("metrics", "TCP", 9090)]);
        assert_eq!((pod.hostname.as_deref(), pod.subdomain.as_deref()), (Some("a"), None));
        let text = serde_json::to_string(&pod).unwrap();
        assert_eq!(serde_json::from_str::<PodEndpoint>(&text).unwrap(), pod);
    }

    #[test]
    fn a_pod_is_reached_from_its_addresses_to_its_end() {
        use crate::lifecycle::{Event, Now, PodSpec, step};
        let plan = plan(&json!({"containers": [{"name": "c", "image": "i"}]}));
        let spec = PodSpec::from_pod(&plan.pod);
        let now = Now { boot: 1, wall: jiff::Timestamp::UNIX_EPOCH };
        let mut state = PodState::new(&spec, now);
        let mut reached = Vec::new();
        let started = Event::Started {
            container: "c".to_owned(),
            attempt: 0,
            pid: 7,
            container_id: String::new(),
            image_id: String::new(),
            stop_signal: "SIGTERM".to_owned(),
        };
        let exited = Event::Exited {
            container: "c".to_owned(),
            attempt: 0,
            code: Some(0),
            oom_killed: false,
            message: None,
        };
        for event in [
            Event::Start,
            Event::SandboxReady { ips: vec!["10.0.0.2".parse().unwrap()] },
            started,
            Event::Stop { grace_seconds: None },
            exited,
        ] {
            state = step(&spec, state, &event, now).0;
            reached.push(Reach::of(&state).map(|reach| (reach.serving, reach.terminating)));
        }
        assert_eq!(reached, [None, Some((false, false)), Some((true, false)), Some((true, true)), None]);
    }
}
