//! The processors and the memory that pods use: the figures of `kubectl top`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::PodView;
use crate::plan;
use crate::runtime::cgroup::{self, Usage};
use crate::sandbox::container;

/// What all running containers of some pods had used at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    at: Instant,
    time: Timestamp,
    /// By the id of the container's run.
    usages: BTreeMap<String, Usage>,
}

/// What a container uses. `None`: the host does not count it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUsage {
    /// The name of the container.
    pub name: String,
    /// The average use of processors in the window, in billionths of one processor.
    pub cpu_nanos: Option<u64>,
    /// The working set in bytes.
    pub memory_bytes: Option<u64>,
}

/// What the running containers of a pod use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodUsage {
    /// metadata.namespace.
    pub namespace: String,
    /// metadata.name.
    pub name: String,
    /// metadata.labels.
    pub labels: BTreeMap<String, String>,
    /// The end of the window.
    pub time: Timestamp,
    /// The time between the two samples.
    pub window: Duration,
    /// The containers that ran in both samples.
    pub containers: Vec<ContainerUsage>,
}

impl Sample {
    /// Takes a sample of pods from their cgroups.
    pub fn take(pods: &[PodView]) -> Self {
        let mut usages = BTreeMap::new();
        for pod in pods {
            let uid = &pod.plan.uid;
            let parent = cgroup::pod_path(uid);
            for (name, attempt, _) in pod.state.running() {
                let id = container::id(uid, name, attempt);
                if let Some(usage) = cgroup::usage(&cgroup::container_path(&parent, &id)) {
                    usages.insert(id, usage);
                }
            }
        }
        Self { at: Instant::now(), time: Timestamp::now(), usages }
    }

    /// Returns what pods have used between an earlier sample and this one. Pods without a container that ran in both
    /// are left out.
    pub fn since(&self, earlier: &Self, pods: &[PodView]) -> Vec<PodUsage> {
        let window = self.at.saturating_duration_since(earlier.at);
        let mut found = Vec::new();
        for pod in pods {
            let mut containers = Vec::new();
            for (name, attempt, _) in pod.state.running() {
                let id = container::id(&pod.plan.uid, name, attempt);
                let (Some(before), Some(now)) = (earlier.usages.get(&id), self.usages.get(&id)) else {
                    continue;
                };
                let cpu = before.cpu_ns.zip(now.cpu_ns);
                containers.push(ContainerUsage {
                    name: name.to_owned(),
                    cpu_nanos: cpu.map(|(before, now)| rate(now.saturating_sub(before), window)),
                    memory_bytes: now.memory_bytes,
                });
            }
            if !containers.is_empty() {
                found.push(PodUsage {
                    namespace: pod.plan.namespace().to_owned(),
                    name: pod.plan.name().to_owned(),
                    labels: pod.plan.pod.metadata.labels.clone().unwrap_or_default(),
                    time: self.time,
                    window,
                    containers,
                });
            }
        }
        found
    }
}

/// Adds the annotation [`plan::USAGE`] to a pod as an object: what its running containers use, in the words of the kubelet's
/// `/stats/summary` (k8s.io/kubelet/pkg/apis/stats/v1alpha1). Without a second sample there is no rate, so the processor
/// time since the start is told.
pub fn annotate(pod: &mut Value) {
    let uid = pod.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
    let parent = cgroup::pod_path(&uid);
    let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
    let statuses =
        lists.iter().filter_map(|list| pod.pointer(&format!("/status/{list}"))?.as_array()).flatten();
    let mut containers = Vec::new();
    for status in statuses.filter(|status| status.pointer("/state/running").is_some()) {
        let name = status.get("name").and_then(Value::as_str).unwrap_or_default();
        let attempt = status.get("restartCount").and_then(Value::as_u64).unwrap_or(0);
        let id = container::id(&uid, name, u32::try_from(attempt).unwrap_or(u32::MAX));
        let Some(usage) = cgroup::usage(&cgroup::container_path(&parent, &id)) else { continue };
        containers.push(summary(name, usage));
    }
    let annotations = (!containers.is_empty()).then(|| pod.pointer_mut("/metadata")).flatten();
    let Some(metadata) = annotations.and_then(Value::as_object_mut) else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if let Some(annotations) = annotations.as_object_mut() {
        let text = json!({"containers": containers}).to_string();
        annotations.insert(plan::USAGE.to_owned(), Value::String(text));
    }
}

/// Returns the ContainerStats of the kubelet's summary.
fn summary(name: &str, usage: Usage) -> Value {
    let mut stats = serde_json::Map::new();
    stats.insert("name".to_owned(), json!(name));
    if let Some(nanos) = usage.cpu_ns {
        stats.insert("cpu".to_owned(), json!({"usageCoreNanoSeconds": nanos}));
    }
    if let Some(bytes) = usage.memory_bytes {
        stats.insert("memory".to_owned(), json!({"workingSetBytes": bytes}));
    }
    Value::Object(stats)
}

/// Returns billionths of one processor: nanoseconds of processor time per second.
fn rate(spent_ns: u64, window: Duration) -> u64 {
    let window = window.as_nanos().max(1);
    u64::try_from(u128::from(spent_ns) * 1_000_000_000 / window).unwrap_or(u64::MAX)
}

impl PodUsage {
    /// Returns the sum of the containers' use of processors.
    pub fn cpu_nanos(&self) -> Option<u64> {
        self.containers.iter().filter_map(|container| container.cpu_nanos).reduce(u64::saturating_add)
    }

    /// Returns the sum of the containers' memory.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.containers.iter().filter_map(|container| container.memory_bytes).reduce(u64::saturating_add)
    }

    /// Returns Kubernetes' PodMetrics.
    /// Source: k8s.io/metrics/pkg/apis/metrics/v1beta1.
    pub fn object(&self) -> Value {
        let containers: Vec<Value> = self
            .containers
            .iter()
            .map(|container| {
                let mut usage = serde_json::Map::new();
                usage.extend(container.cpu_nanos.map(|cpu| ("cpu".to_owned(), json!(format!("{cpu}n")))));
                let memory = container.memory_bytes.map(|bytes| json!(format!("{}Ki", bytes / 1024)));
                usage.extend(memory.map(|memory| ("memory".to_owned(), memory)));
                json!({"name": container.name, "usage": usage})
            })
            .collect();
        json!({
            "apiVersion": "metrics.k8s.io/v1beta1",
            "kind": "PodMetrics",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": self.labels},
            "timestamp": Time(Timestamp::from_second(self.time.as_second()).unwrap_or(self.time)),
            "window": format!("{}ms", self.window.as_millis()),
            "containers": containers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::lifecycle::{Now, PodSpec, PodState};
    use crate::observe::tests::fixture::planned;
    use crate::store::WorkloadId;

    fn running(names: &[&str]) -> PodView {
        let plan = planned("default", "web", &json!({"app": "web"}));
        let now = Now { boot: 0, wall: Timestamp::UNIX_EPOCH };
        let mut state = PodState::new(&PodSpec::from_pod(&plan.pod), now);
        for container in state.containers.iter_mut().filter(|one| names.contains(&one.name.as_str())) {
            container.runs = 3;
            container.state = serde_json::from_value(json!({"Running": {
                "pid": 1, "since": now.wall, "stop_signal": "SIGTERM", "halt": "None",
            }}))
            .unwrap();
        }
        let workload = WorkloadId::new(Kind::Pod, "default", "web");
        PodView { workload, plan: plan.into(), state, terminating: false, debugs: Vec::new() }
    }

    fn sample(at: Instant, usages: &[(&str, u32, u64, u64)]) -> Sample {
        let usages = usages.iter().map(|(name, attempt, cpu, memory)| {
            let usage = Usage { cpu_ns: Some(*cpu), memory_bytes: Some(*memory) };
            (container::id("uid-default-web", name, *attempt), usage)
        });
        Sample { at, time: Timestamp::UNIX_EPOCH, usages: usages.collect() }
    }

    #[test]
    fn the_use_of_processors_is_what_was_spent_in_the_window() {
        let begin = Instant::now();
        let pods = [running(&["main", "side"])];
        let before = sample(begin, &[("main", 2, 1_000, 1), ("side", 2, 5_000_000, 7)]);
        let after = begin + Duration::from_millis(500);
        let after = sample(after, &[("main", 2, 125_001_000, 4096), ("side", 2, 5_000_000, 8192)]);
        let found = after.since(&before, &pods);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].cpu_nanos(), found[0].memory_bytes()), (Some(250_000_000), Some(12288)));
        let object = found[0].object();
        assert_eq!(
            object["containers"][0],
            json!({"name": "main", "usage": {"cpu": "250000000n", "memory": "4Ki"}})
        );
        assert_eq!(object["window"], "500ms");
    }

    #[test]
    fn a_container_that_was_restarted_in_between_is_left_out() {
        let begin = Instant::now();
        let before = sample(begin, &[("main", 1, 9_000_000, 1)]);
        let after = sample(begin + Duration::from_secs(1), &[("main", 2, 1_000, 1)]);
        assert_eq!(after.since(&before, &[running(&["main"])]), []);
        assert_eq!(after.since(&before, &[running(&[])]), []);
    }
}
