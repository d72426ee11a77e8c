//! A pod, as `describePod` of k8s.io/kubectl/pkg/describe prints it.

use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus, Toleration};
use pod_core::kind::Kind;
use pod_core::lifecycle::human_duration;
use pod_core::observe::objects::Object;

use super::{Surroundings, add_events, container, labels_and_annotations, map, name, or_none, volume};
use crate::output::columns::Columns;

/// Returns the description of a pod with its status.
///
/// # Errors
/// The object is not a pod.
pub fn describe(object: &Object, with: &Surroundings<'_>) -> anyhow::Result<String> {
    Ok(match object.pod() {
        Some(pod) => text(pod, with),
        None => text(&object.parse()?, with),
    })
}

fn text(pod: &Pod, with: &Surroundings<'_>) -> String {
    let clock = &with.clock;
    let (no_spec, no_status) = (PodSpec::default(), PodStatus::default());
    let (spec, status) = (pod.spec.as_ref().unwrap_or(&no_spec), pod.status.as_ref().unwrap_or(&no_status));
    let metadata = &pod.metadata;
    let mut out = Columns::default();
    name(&mut out, metadata);
    if let Some(priority) = spec.priority {
        out.line(0, ["Priority:", &priority.to_string()]);
    }
    if let Some(class) = &spec.priority_class_name {
        out.line(0, ["Priority Class Name:", class]);
    }
    if let Some(class) = &spec.runtime_class_name {
        out.line(0, ["Runtime Class Name:", class]);
    }
    out.line(0, ["Service Account:", spec.service_account_name.as_deref().unwrap_or("default")]);
    let node = spec.node_name.as_deref().unwrap_or("<none>");
    match &status.host_ip {
        Some(ip) => out.line(0, ["Node:", &format!("{node}/{ip}")]),
        None => out.line(0, ["Node:", node]),
    }
    if let Some(start) = &status.start_time {
        out.line(0, ["Start Time:", &clock.show(start)]);
    }
    labels_and_annotations(&mut out, metadata);
    state(&mut out, pod, status, clock.now);
    out.line(0, ["IP:", status.pod_ip.as_deref().unwrap_or_default()]);
    match &status.pod_ips {
        Some(ips) if !ips.is_empty() => {
            out.line(0, ["IPs:"]);
            for ip in ips {
                out.line(1, ["IP:", &ip.ip]);
            }
        }
        _ => out.line(0, ["IPs:", "<none>"]),
    }
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    if let Some(owner) = owner {
        out.line(0, ["Controlled By:", &format!("{}/{}", owner.kind, owner.name)]);
    }
    if let Some(init) = spec.init_containers.as_ref().filter(|init| !init.is_empty()) {
        out.line(0, ["Init Containers:"]);
        container::describe(&mut out, pod, init, status.init_container_statuses.as_deref(), clock);
    }
    out.line(0, ["Containers:"]);
    container::describe(&mut out, pod, &spec.containers, status.container_statuses.as_deref(), clock);
    conditions(&mut out, spec, status);
    volume::describe(&mut out, spec.volumes.as_deref().unwrap_or_default());
    if let Some(class) = &status.qos_class {
        out.line(0, ["QoS Class:", class]);
    }
    map(&mut out, 0, "Node-Selectors:", spec.node_selector.as_ref(), "=");
    out.multiline(0, "Tolerations:", spec.tolerations.iter().flatten().map(toleration));
    add_events(&mut out, Kind::Pod, metadata, with);
    out.render()
}

/// Adds the status, or since when the pod is being removed.
fn state(out: &mut Columns, pod: &Pod, status: &PodStatus, now: Timestamp) {
    let metadata = &pod.metadata;
    if let Some(deletion) = &metadata.deletion_timestamp {
        let since = human_duration(now.duration_since(deletion.0).as_secs().max(0));
        out.line(0, ["Status:", &format!("Terminating (lasts {since})")]);
        if let Some(seconds) = metadata.deletion_grace_period_seconds {
            out.line(0, ["Termination Grace Period:", &format!("{seconds}s")]);
        }
    } else {
        out.line(0, ["Status:", or_none(status.phase.as_deref())]);
    }
    if let Some(reason) = &status.reason {
        out.line(0, ["Reason:", reason]);
    }
    if let Some(message) = &status.message {
        out.line(0, ["Message:", message]);
    }
}

fn conditions(out: &mut Columns, spec: &PodSpec, status: &PodStatus) {
    let all = status.conditions.as_deref().unwrap_or_default();
    let gates = spec.readiness_gates.as_deref().unwrap_or_default();
    if !gates.is_empty() {
        out.line(0, ["Readiness Gates:"]);
        out.line(1, ["Type", "Status"]);
        for gate in gates {
            let met = all.iter().find(|condition| condition.type_ == gate.condition_type);
            out.line(1, [&gate.condition_type, met.map_or("<none>", |condition| &condition.status)]);
        }
    }
    if !all.is_empty() {
        out.line(0, ["Conditions:"]);
        out.line(1, ["Type", "Status"]);
        for condition in all {
            out.line(1, [&condition.type_, &condition.status]);
        }
    }
}

/// `key=value:Effect op=Exists for 300s`
fn toleration(toleration: &Toleration) -> String {
    let mut text = toleration.key.clone().unwrap_or_default();
    if let Some(value) = toleration.value.as_ref().filter(|value| !value.is_empty()) {
        text.push('=');
        text.push_str(value);
    }
    if let Some(effect) = toleration.effect.as_ref().filter(|effect| !effect.is_empty()) {
        text.push(':');
        text.push_str(effect);
    }
    if toleration.operator.as_deref() == Some("Exists") && toleration.value.is_none() {
        text.push_str(if text.is_empty() { "op=Exists" } else { " op=Exists" });
    }
    if let Some(seconds) = toleration.toleration_seconds {
        let _ = write!(text, " for {seconds}s");
    }
    text
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Event;
    use serde_json::json;

    use super::*;
    use crate::commands::describe::tests::with_surroundings;

    fn example() -> Pod {
        let probe = json!({"httpGet": {"path": "/ok", "port": "http"}, "periodSeconds": 5});
        let end = json!({"exitCode": 1, "reason": "Error", "message": "out\nof luck",
            "startedAt": "2026-11-23T18:00:01Z", "finishedAt": "2026-11-23T18:01:00Z"});
        let main = json!({
            "name": "main", "image": "localhost/web:1", "command": ["httpd", "-f"], "args": ["-p", "80"],
            "ports": [{"containerPort": 80, "name": "http", "hostPort": 8080}],
            "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}, "requests": {"cpu": "50m"}},
            "livenessProbe": probe,
            "readinessProbe": {"exec": {"command": ["cat", "/tmp/ok"]}, "initialDelaySeconds": 3},
            "startupProbe": {"grpc": {"port": 9000, "service": "live"}},
            "env": [
                {"name": "PLAIN", "value": "text"},
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
                {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "m", "optional": true}}},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ],
            "envFrom": [{"secretRef": {"name": "login"}}, {"prefix": "C_", "configMapRef": {"name": "cfg"}}],
            "volumeMounts": [
                {"name": "data", "mountPath": "/data", "subPath": "a"},
                {"name": "cfg", "mountPath": "/cfg", "readOnly": true},
            ],
        });
        let volumes = json!([
            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "cfg", "configMap": {"name": "cfg"}},
            {"name": "login", "secret": {"secretName": "login", "optional": true}},
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "logs", "hostPath": {"path": "/var/log", "type": "Directory"}},
            {"name": "all", "projected": {"sources": [
                {"secret": {"name": "login"}}, {"configMap": {"name": "cfg", "optional": true}},
                {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ]}},
            {"name": "info", "downwardAPI": {"items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}},
            ]}},
            {"name": "files", "image": {"reference": "localhost/files:1", "pullPolicy": "Never"}},
        ]);
        let status = |name: &str, state: &serde_json::Value, last: &serde_json::Value| {
            json!({"name": name, "ready": state.get("running").is_some(), "restartCount": 2,
                "image": "x", "imageID": "sha256:1", "containerID": "kube://u-main-2",
                "state": state, "lastState": last})
        };
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "namespace": "default", "uid": "u",
                "labels": {"app": "web", "tier": "front"}, "annotations": {"note": "two\nlines"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1",
                    "uid": "r", "controller": true}]},
            "spec": {"nodeName": "box", "volumes": volumes, "nodeSelector": {"kubernetes.io/os": "linux"},
                "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "initContainers": [{"name": "init", "image": "localhost/init:1"}],
                "containers": [main, {"name": "side", "image": "localhost/side:1"}]},
            "status": {"phase": "Running", "podIP": "10.88.0.7", "podIPs": [{"ip": "10.88.0.7"}],
                "hostIP": "192.0.2.1", "qosClass": "Burstable", "startTime": "2026-11-23T18:00:00Z",
                "conditions": [{"type": "Ready", "status": "False"}, {"type": "PodScheduled", "status": "True"}],
                "initContainerStatuses": [status("init", &json!({"terminated": {"exitCode": 0,
                    "reason": "Completed", "startedAt": "2026-11-23T18:00:00Z",
                    "finishedAt": "2026-11-23T18:00:01Z"}}), &json!({}))],
                "containerStatuses": [
                    status("main", &json!({"running": {"startedAt": "2026-11-23T18:01:10Z"}}),
                        &json!({"terminated": end})),
                    status("side", &json!({"waiting": {"reason": "CrashLoopBackOff"}}), &json!({})),
                ]},
        }))
        .unwrap()
    }

    fn event(pod: &str, uid: &str, reason: &str, seconds: u32, count: u32) -> Event {
        let time = format!("2026-11-23T18:04:{seconds:02}Z");
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": format!("{pod}.{reason}"), "namespace": "default"},
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": pod, "uid": uid},
            "type": "Normal", "reason": reason, "message": "it \u{1b}[31mhappened\n", "count": count,
            "firstTimestamp": "2026-11-23T18:03:00Z", "lastTimestamp": time, "source": {"component": "kube"},
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_is_described_in_the_layout_of_kubectl() {
        let events = [
            event("web", "u", "Started", 20, 1),
            event("web", "u", "BackOff", 30, 4),
            event("web", "older", "Killing", 10, 1),
            event("db", "d", "Started", 10, 1),
        ];
        with_surroundings(Some(events.into()), |with| insta::assert_snapshot!(text(&example(), with)));
    }

    #[test]
    fn a_pod_that_is_being_removed_says_since_when() {
        let mut pod = example();
        pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-23T18:04:50Z")).unwrap();
        pod.metadata.deletion_grace_period_seconds = Some(30);
        with_surroundings(None, |with| {
            let text = text(&pod, with);
            assert!(text.contains("Status:                    Terminating (lasts 10s)\n"), "{text}");
            assert!(text.contains("Termination Grace Period:  30s\n"), "{text}");
            assert!(!text.contains("Events:"), "{text}");
        });
    }
}
