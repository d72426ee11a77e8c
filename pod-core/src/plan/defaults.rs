//! Applies Kubernetes' defaults (pkg/apis/core/v1/defaults.go) to the supported kinds.

use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, EmptyDirVolumeSource, HTTPGetAction, PodSecurityContext, PodSpec,
    Probe, ResourceRequirements, Secret, ServiceSpec, SessionAffinityConfig, Volume,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::image_pull::default_policy;
use crate::manifest::{Quantity, effective};

/// The default mode of files in ConfigMap, Secret, downwardAPI and projected volumes: 0644.
const DEFAULT_MODE: i32 = 0o644;

/// Fills in the defaults of missing fields of a pod's spec.
pub fn pod_spec(spec: &mut PodSpec) {
    fill(&mut spec.restart_policy, "Always");
    fill(&mut spec.dns_policy, "ClusterFirst");
    fill(&mut spec.scheduler_name, "default-scheduler");
    fill(&mut spec.service_account_name, "default");
    // An API server replaces a negative grace period with one second.
    let grace = spec.termination_grace_period_seconds.get_or_insert(30);
    if *grace < 0 {
        *grace = 1;
    }
    spec.enable_service_links.get_or_insert(true);
    spec.security_context.get_or_insert_with(PodSecurityContext::default);
    let host_network = spec.host_network == Some(true);
    for each in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        container(each, host_network);
    }
    pod_resources(spec);
    for each in spec.volumes.iter_mut().flatten() {
        volume(each);
    }
}

/// Fills in the requests of a pod as a whole that has limits: what its containers request together, else the limit.
/// Source: `defaultPodRequests` of pkg/apis/core/v1/defaults.go.
fn pod_resources(spec: &mut PodSpec) {
    let Some(limits) = spec.resources.as_ref().and_then(|resources| resources.limits.clone()) else { return };
    let mut requests =
        spec.resources.as_ref().and_then(|resources| resources.requests.clone()).unwrap_or_default();
    for name in ["cpu", "memory"] {
        let of = |container: &Container| {
            let amount = Quantity::from(container.resources.as_ref()?.requests.as_ref()?.get(name)?);
            Some(if name == "cpu" { amount.millis() } else { amount.value() })
        };
        let together = effective(spec, &of);
        if together > 0 {
            let unit = if name == "cpu" { "m" } else { "" };
            requests.entry(name.to_owned()).or_insert_with(|| Text(format!("{together}{unit}")));
        }
    }
    for (name, limit) in limits {
        requests.entry(name).or_insert(limit);
    }
    if let Some(resources) = &mut spec.resources {
        resources.requests = Some(requests);
    }
}

/// Fills in the defaults of missing fields of a Secret, and merges `stringData` into `data`.
pub fn secret(secret: &mut Secret) {
    fill(&mut secret.type_, "Opaque");
    if let Some(text) = secret.string_data.take() {
        let data = secret.data.get_or_insert_default();
        for (key, value) in text {
            data.insert(key, k8s_openapi::ByteString(value.into_bytes()));
        }
    }
}

/// How long clients stay with one endpoint by default, in seconds.
const AFFINITY_SECONDS: i32 = 10800;

/// Fills in the defaults of missing fields of a Service, except addresses and NodePorts, which are allocated.
pub fn service_spec(spec: &mut ServiceSpec) {
    fill(&mut spec.type_, "ClusterIP");
    fill(&mut spec.session_affinity, "None");
    if spec.session_affinity.as_deref() == Some("ClientIP") {
        let config = spec.session_affinity_config.get_or_insert_with(SessionAffinityConfig::default);
        config.client_ip.get_or_insert_default().timeout_seconds.get_or_insert(AFFINITY_SECONDS);
    } else {
        spec.session_affinity_config = None;
    }
    for port in spec.ports.iter_mut().flatten() {
        fill(&mut port.protocol, "TCP");
        let is_unset = match &port.target_port {
            None | Some(IntOrString::Int(0)) => true,
            Some(IntOrString::String(name)) => name.is_empty(),
            Some(IntOrString::Int(_)) => false,
        };
        if is_unset {
            port.target_port = Some(IntOrString::Int(port.port));
        }
    }
    let is_outside = matches!(spec.type_.as_deref(), Some("NodePort" | "LoadBalancer"))
        || spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty());
    if is_outside {
        fill(&mut spec.external_traffic_policy, "Cluster");
    }
    if spec.type_.as_deref() != Some("ExternalName") {
        fill(&mut spec.internal_traffic_policy, "Cluster");
    }
    if spec.type_.as_deref() == Some("LoadBalancer") {
        spec.allocate_load_balancer_node_ports.get_or_insert(true);
    }
}

fn fill(slot: &mut Option<String>, default: &str) {
    if slot.as_deref().is_none_or(str::is_empty) {
        *slot = Some(default.to_owned());
    }
}

fn container(container: &mut Container, host_network: bool) {
    let policy = default_policy(container.image.as_deref().unwrap_or_default());
    fill(&mut container.image_pull_policy, policy.as_str());
    fill(&mut container.termination_message_path, "/dev/termination-log");
    fill(&mut container.termination_message_policy, "File");
    for port in container.ports.iter_mut().flatten() {
        fill(&mut port.protocol, "TCP");
        if host_network {
            port.host_port.get_or_insert(port.container_port);
        }
    }
    for var in container.env.iter_mut().flatten() {
        if let Some(field) = var.value_from.as_mut().and_then(|from| from.field_ref.as_mut()) {
            fill(&mut field.api_version, "v1");
        }
    }
    resources(container.resources.get_or_insert_with(ResourceRequirements::default));
    for probe in [&mut container.startup_probe, &mut container.liveness_probe, &mut container.readiness_probe]
        .into_iter()
        .flatten()
    {
        fill_probe(probe);
    }
    if let Some(lifecycle) = &mut container.lifecycle {
        for handler in [&mut lifecycle.post_start, &mut lifecycle.pre_stop].into_iter().flatten() {
            handler.http_get.iter_mut().for_each(http_get);
        }
    }
}

/// Sets the request of each resource that has a limit but no request to the limit.
fn resources(resources: &mut ResourceRequirements) {
    if let Some(limits) = &resources.limits {
        let requests = resources.requests.get_or_insert_default();
        for (name, limit) in limits {
            requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
}

fn fill_probe(probe: &mut Probe) {
    probe.timeout_seconds.get_or_insert(1);
    probe.period_seconds.get_or_insert(10);
    probe.success_threshold.get_or_insert(1);
    probe.failure_threshold.get_or_insert(3);
    probe.http_get.iter_mut().for_each(http_get);
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn http_get(action: &mut HTTPGetAction) {
    fill(&mut action.path, "/");
    fill(&mut action.scheme, "HTTP");
    if action.port == IntOrString::String(String::new()) {
        action.port = IntOrString::Int(80);
    }
}

fn downward(items: Option<&mut Vec<DownwardAPIVolumeFile>>) {
    for field in items.into_iter().flatten().filter_map(|item| item.field_ref.as_mut()) {
        fill(&mut field.api_version, "v1");
    }
}

fn volume(volume: &mut Volume) {
    if let Some(source) = &mut volume.config_map {
        source.default_mode.get_or_insert(DEFAULT_MODE);
    } else if let Some(source) = &mut volume.secret {
        source.default_mode.get_or_insert(DEFAULT_MODE);
    } else if let Some(source) = &mut volume.downward_api {
        source.default_mode.get_or_insert(DEFAULT_MODE);
        downward(source.items.as_mut());
    } else if let Some(source) = &mut volume.projected {
        source.default_mode.get_or_insert(DEFAULT_MODE);
        for source in source.sources.iter_mut().flatten() {
            downward(source.downward_api.as_mut().and_then(|source| source.items.as_mut()));
        }
    } else if let Some(source) = &mut volume.image {
        let policy = default_policy(source.reference.as_deref().unwrap_or_default());
        fill(&mut source.pull_policy, policy.as_str());
    } else if let Some(source) = &mut volume.ephemeral {
        if let Some(template) = &mut source.volume_claim_template {
            fill(&mut template.spec.volume_mode, "Filesystem");
        }
    } else if let Some(source) = &mut volume.host_path {
        source.type_.get_or_insert_default();
    } else if *volume == (Volume { name: volume.name.clone(), ..Volume::default() }) {
        volume.empty_dir = Some(EmptyDirVolumeSource::default());
    }
}
