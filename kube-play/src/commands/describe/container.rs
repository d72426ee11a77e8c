//! Containers, as `describeContainers` of k8s.io/kubectl/pkg/describe prints them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, ContainerState, ContainerStatus, EnvFromSource, EnvVar, ObjectFieldSelector,
    Pod, Probe, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use pod_core::lifecycle::{ProbeKind, ProbeSpec};

use super::Clock;
use crate::output::columns::Columns;

/// Adds containers with their statuses.
pub fn describe(
    out: &mut Columns,
    pod: &Pod,
    containers: &[Container],
    statuses: Option<&[ContainerStatus]>,
    clock: &Clock,
) {
    for container in containers {
        let status = statuses.into_iter().flatten().find(|status| status.name == container.name);
        out.line(1, [&format!("{}:", container.name)]);
        identity(out, container, status);
        words(out, "Command:", container.command.as_deref());
        words(out, "Args:", container.args.as_deref());
        if let Some(status) = status {
            state(out, "State:", status.state.as_ref(), clock);
            if let Some(last) = status.last_state.as_ref().filter(|last| last.terminated.is_some()) {
                state(out, "Last State:", Some(last), clock);
            }
            out.line(2, ["Ready:", if status.ready { "True" } else { "False" }]);
            out.line(2, ["Restart Count:", &status.restart_count.to_string()]);
        }
        let resources = container.resources.as_ref();
        quantities(out, "Limits:", resources.and_then(|resources| resources.limits.as_ref()));
        quantities(out, "Requests:", resources.and_then(|resources| resources.requests.as_ref()));
        for (title, kind) in [
            ("Liveness:", ProbeKind::Liveness),
            ("Readiness:", ProbeKind::Readiness),
            ("Startup:", ProbeKind::Startup),
        ] {
            if let Some(one) = kind.of(container) {
                out.line(2, [title, &probe(one)]);
            }
        }
        environment(out, pod, container);
        mounts(out, container.volume_mounts.as_deref().unwrap_or_default());
        let devices = container.volume_devices.as_deref().unwrap_or_default();
        if !devices.is_empty() {
            out.line(2, ["Devices:"]);
            for device in devices {
                out.line(3, [&format!("{} from {}", device.device_path, device.name)]);
            }
        }
    }
}

fn identity(out: &mut Columns, container: &Container, status: Option<&ContainerStatus>) {
    if let Some(status) = status {
        out.line(2, ["Container ID:", status.container_id.as_deref().unwrap_or_default()]);
    }
    out.line(2, ["Image:", container.image.as_deref().unwrap_or_default()]);
    if let Some(status) = status {
        out.line(2, ["Image ID:", &status.image_id]);
    }
    let ports = container.ports.as_deref().unwrap_or_default();
    let list = |number: fn(&ContainerPort) -> i32| {
        let one =
            |port: &ContainerPort| format!("{}/{}", number(port), port.protocol.as_deref().unwrap_or("TCP"));
        ports.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let (title, host_title) = match ports.len() {
        0 | 1 => ("Port:", "Host Port:"),
        _ => ("Ports:", "Host Ports:"),
    };
    let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
    out.line(2, [title, &or_none(list(|port| port.container_port))]);
    out.line(2, [host_title, &or_none(list(|port| port.host_port.unwrap_or_default()))]);
}

fn words(out: &mut Columns, title: &str, words: Option<&[String]>) {
    let words = words.unwrap_or_default();
    if words.is_empty() {
        return;
    }
    out.line(2, [title]);
    for line in words.iter().flat_map(|word| word.split('\n')) {
        out.line(3, [line]);
    }
}

fn state(out: &mut Columns, title: &str, state: Option<&ContainerState>, clock: &Clock) {
    let line = |out: &mut Columns, name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            out.line(3, [name, value]);
        }
    };
    let time = |time: &Option<_>| time.as_ref().map(|time| clock.show(time));
    if let Some(running) = state.and_then(|state| state.running.as_ref()) {
        out.line(2, [title, "Running"]);
        line(out, "Started:", time(&running.started_at).as_deref());
    } else if let Some(terminated) = state.and_then(|state| state.terminated.as_ref()) {
        out.line(2, [title, "Terminated"]);
        line(out, "Reason:", terminated.reason.as_deref());
        line(out, "Message:", terminated.message.as_deref());
        line(out, "Exit Code:", Some(&terminated.exit_code.to_string()));
        line(out, "Signal:", terminated.signal.map(|signal| signal.to_string()).as_deref());
        line(out, "Started:", time(&terminated.started_at).as_deref());
        line(out, "Finished:", time(&terminated.finished_at).as_deref());
    } else {
        out.line(2, [title, "Waiting"]);
        let waiting = state.and_then(|state| state.waiting.as_ref());
        line(out, "Reason:", waiting.and_then(|waiting| waiting.reason.as_deref()));
        line(out, "Message:", waiting.and_then(|waiting| waiting.message.as_deref()));
    }
}

fn quantities(out: &mut Columns, title: &str, quantities: Option<&BTreeMap<String, Quantity>>) {
    let Some(quantities) = quantities.filter(|quantities| !quantities.is_empty()) else { return };
    out.line(2, [title]);
    for (name, quantity) in quantities {
        out.line(3, [&format!("{name}:"), &quantity.0]);
    }
}

/// Describes a probe, as `DescribeProbe` does.
fn probe(probe: &Probe) -> String {
    let spec = ProbeSpec::from_probe(probe);
    let numbers = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        spec.initial_delay / 1000,
        spec.timeout / 1000,
        spec.period / 1000,
        spec.success_threshold,
        spec.failure_threshold
    );
    let port = |port: &IntOrString| match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    };
    let what = if let Some(exec) = &probe.exec {
        format!("exec [{}]", exec.command.as_deref().unwrap_or_default().join(" "))
    } else if let Some(get) = &probe.http_get {
        let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_ascii_lowercase();
        let (host, path) = (get.host.as_deref().unwrap_or_default(), get.path.as_deref().unwrap_or("/"));
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!("http-get {scheme}://{host}:{}{slash}{path}", port(&get.port))
    } else if let Some(tcp) = &probe.tcp_socket {
        format!("tcp-socket {}:{}", tcp.host.as_deref().unwrap_or_default(), port(&tcp.port))
    } else if let Some(grpc) = &probe.grpc {
        format!("grpc <pod>:{} {}", grpc.port, grpc.service.as_deref().unwrap_or_default())
    } else {
        "unknown".to_owned()
    };
    format!("{what} {numbers}")
}

fn environment(out: &mut Columns, pod: &Pod, container: &Container) {
    let from = container.env_from.as_deref().unwrap_or_default();
    if !from.is_empty() {
        out.line(2, ["Environment Variables from:"]);
        for source in from {
            env_from(out, source);
        }
    }
    let variables = container.env.as_deref().unwrap_or_default();
    if variables.is_empty() {
        out.line(2, ["Environment:", "<none>"]);
        return;
    }
    out.line(2, ["Environment:"]);
    for variable in variables {
        self::variable(out, pod, container, variable);
    }
}

fn env_from(out: &mut Columns, source: &EnvFromSource) {
    let (kind, name, optional) = if let Some(reference) = &source.config_map_ref {
        ("ConfigMap", &reference.name, reference.optional)
    } else if let Some(reference) = &source.secret_ref {
        ("Secret", &reference.name, reference.optional)
    } else {
        return;
    };
    let kind = match source.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => format!("{kind} with prefix '{prefix}'"),
        None => kind.to_owned(),
    };
    out.line(3, [name, &kind, &optional_text(optional)]);
}

fn optional_text(optional: Option<bool>) -> String {
    format!("Optional: {}", optional.unwrap_or_default())
}

/// Adds a variable. The value of a Secret or ConfigMap is not looked up; only the name of its key is shown.
fn variable(out: &mut Columns, pod: &Pod, container: &Container, variable: &EnvVar) {
    let name = format!("{}:", variable.name);
    let Some(source) = &variable.value_from else {
        out.line(3, [&name, variable.value.as_deref().unwrap_or_default()]);
        return;
    };
    if let Some(field) = &source.field_ref {
        let version = field.api_version.as_deref().unwrap_or("v1");
        let value = self::field(pod, field);
        out.line(3, [&name, &format!("{value} ({version}:{})", field.field_path)]);
    } else if let Some(resource) = &source.resource_field_ref {
        let limit = || {
            let (list, which) = resource.resource.split_once('.')?;
            let resources = container.resources.as_ref()?;
            let list = if list == "limits" { &resources.limits } else { &resources.requests };
            list.as_ref()?.get(which).map(|quantity| quantity.0.clone())
        };
        let value = limit().unwrap_or_else(|| "node allocatable".to_owned());
        out.line(3, [&name, &format!("{value} ({})", resource.resource)]);
    } else if let Some(key) = &source.secret_key_ref {
        let what = format!("<set to the key '{}' in secret '{}'>", key.key, key.name);
        out.line(3, [&name, &what, &optional_text(key.optional)]);
    } else if let Some(key) = &source.config_map_key_ref {
        let what = format!("<set to the key '{}' of config map '{}'>", key.key, key.name);
        out.line(3, [&name, &what, &optional_text(key.optional)]);
    } else {
        out.line(3, [&name, "<set by a file>"]);
    }
}

/// Returns the value of a field of a pod, or an empty text if the field is not part of its metadata.
fn field(pod: &Pod, field: &ObjectFieldSelector) -> String {
    let metadata = &pod.metadata;
    match field.field_path.as_str() {
        "metadata.name" => metadata.name.clone().unwrap_or_default(),
        "metadata.namespace" => metadata.namespace.clone().unwrap_or_default(),
        "metadata.uid" => metadata.uid.clone().unwrap_or_default(),
        _ => String::new(),
    }
}

fn mounts(out: &mut Columns, mounts: &[VolumeMount]) {
    if mounts.is_empty() {
        out.line(2, ["Mounts:", "<none>"]);
        return;
    }
    out.line(2, ["Mounts:"]);
    let mut mounts: Vec<&VolumeMount> = mounts.iter().collect();
    mounts.sort_by(|a, b| a.mount_path.cmp(&b.mount_path));
    for mount in mounts {
        let mut flags = vec![if mount.read_only == Some(true) { "ro" } else { "rw" }.to_owned()];
        flags.extend(
            mount.sub_path.as_ref().or(mount.sub_path_expr.as_ref()).map(|path| format!("path=\"{path}\"")),
        );
        out.line(3, [&format!("{} from {} ({})", mount.mount_path, mount.name, flags.join(","))]);
    }
}
