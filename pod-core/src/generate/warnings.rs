//! Warns about what works on this host and will not work in a cluster.

use std::path::Path;

use serde_json::Value;

use super::kind::replicas;
use super::recorded::{Workload, host_path};
use super::{Facts, Options};
use crate::kind::Kind;

/// Adds all warnings to the workload. Each says what to change.
pub(super) fn of(workload: &mut Workload, kind: Kind, options: &Options, facts: &Facts) {
    let mut warnings = Vec::new();
    let many = replicas(workload, kind, options).is_some_and(|replicas| replicas > 1);
    images(workload, &mut warnings);
    pulls(workload, &mut warnings);
    ports(workload, many, options, &mut warnings);
    volumes(workload, many, facts, &mut warnings);
    for message in warnings {
        let message = format!("{}: {message}", workload.id);
        workload.warn(message);
    }
}

fn images(workload: &Workload, warnings: &mut Vec<String>) {
    for image in workload.containers().filter_map(|container| container.get("image")?.as_str()) {
        if image.starts_with("localhost/") || image.starts_with("localhost:") {
            warnings.push(format!(
                "the image {image} is on this machine only: push it to a registry that the cluster can pull \
                 from, and use that name"
            ));
        }
    }
}

fn pulls(workload: &Workload, warnings: &mut Vec<String>) {
    for container in workload.containers() {
        let text = |key: &str| container.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("imagePullPolicy") == "Never" {
            warnings.push(format!(
                "the image {} is never pulled (imagePullPolicy), and a cluster's nodes do not have it: leave \
                 imagePullPolicy out",
                text("image")
            ));
        }
    }
}

fn ports(workload: &Workload, many: bool, options: &Options, warnings: &mut Vec<String>) {
    if !many {
        return;
    }
    let instead = if options.service { "the Service forwards to them" } else { "use --service" };
    if workload.pod.get("hostNetwork") == Some(&Value::Bool(true)) {
        warnings.push(format!(
            "only one pod per node can have its ports with hostNetwork, and replicas is more than 1: leave hostNetwork \
             out; {instead}"
        ));
        return;
    }
    let ports = workload.containers().filter_map(|container| container.get("ports")?.as_array()).flatten();
    let mut seen = Vec::new();
    for port in ports.filter_map(|port| port.get("hostPort")?.as_u64()).filter(|port| *port != 0) {
        if !seen.contains(&port) {
            seen.push(port);
            warnings.push(format!(
                "only one pod per node can have hostPort {port}, and replicas is more than 1: leave hostPort out; \
                 {instead}"
            ));
        }
    }
}

fn volumes(workload: &Workload, many: bool, facts: &Facts, warnings: &mut Vec<String>) {
    let volumes = workload.pod.get("volumes").and_then(Value::as_array);
    for volume in volumes.into_iter().flatten().filter_map(Value::as_object) {
        let name = volume.get("name").and_then(Value::as_str).unwrap_or_default();
        if let Some(path) = host_path(volume)
            && facts.homes.iter().any(|home| Path::new(path).starts_with(home))
        {
            warnings.push(format!(
                "the hostPath {path} of volume {name} is in a home folder of this machine: use a configMap or a \
                 persistentVolumeClaim"
            ));
        }
        let claim = volume.get("persistentVolumeClaim").and_then(|source| source.get("claimName")?.as_str());
        if let Some(claim) = claim.filter(|_| many) {
            warnings.push(format!(
                "the claim {claim} is shared by all replicas: that needs ReadWriteMany if they run on several nodes"
            ));
        }
    }
}
