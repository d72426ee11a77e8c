//! The order in which fields are written.
//!
//! Those that say what a thing is come first, then what it does, and what is long last: as people write manifests,
//! and as the reference of the Kubernetes API groups them. A field that is not listed stands where `*` is, by its
//! name. Keys that are the user's own (labels, data) are sorted.

use serde_json::{Map, Value};

use crate::manifest::schema::{self, Kind, Type};

const OBJECT: &[&str] =
    &["apiVersion", "kind", "metadata", "type", "immutable", "*", "spec", "stringData", "data", "binaryData"];

const ORDER: &[(&str, &[&str])] = &[
    ("ConfigMap", OBJECT),
    ("Deployment", OBJECT),
    ("PersistentVolumeClaim", OBJECT),
    ("Pod", OBJECT),
    ("PodTemplateSpec", OBJECT),
    ("Secret", OBJECT),
    ("ObjectMeta", &["name", "generateName", "namespace", "labels", "annotations"]),
    ("DeploymentSpec", &["replicas", "selector", "*", "template"]),
    (
        "PodSpec",
        &[
            "hostname",
            "subdomain",
            "setHostnameAsFQDN",
            "hostNetwork",
            "hostPID",
            "hostIPC",
            "hostUsers",
            "shareProcessNamespace",
            "dnsPolicy",
            "dnsConfig",
            "hostAliases",
            "serviceAccountName",
            "automountServiceAccountToken",
            "restartPolicy",
            "terminationGracePeriodSeconds",
            "activeDeadlineSeconds",
            "*",
            "securityContext",
            "imagePullSecrets",
            "initContainers",
            "containers",
            "ephemeralContainers",
            "volumes",
        ],
    ),
    (
        "Container",
        &[
            "name",
            "image",
            "imagePullPolicy",
            "restartPolicy",
            "command",
            "args",
            "workingDir",
            "stdin",
            "stdinOnce",
            "tty",
            "ports",
            "envFrom",
            "env",
            "resources",
            "startupProbe",
            "livenessProbe",
            "readinessProbe",
            "lifecycle",
            "*",
            "securityContext",
            "volumeMounts",
            "volumeDevices",
        ],
    ),
    ("ContainerPort", &["name", "containerPort", "hostIP", "hostPort", "protocol"]),
    ("EnvVar", &["name", "value", "valueFrom"]),
    ("EnvFromSource", &["prefix", "configMapRef", "secretRef"]),
    ("VolumeMount", &["name", "mountPath", "subPath", "subPathExpr", "readOnly"]),
    ("KeyToPath", &["key", "path", "mode"]),
    ("SecretVolumeSource", &["secretName"]),
    (
        "Probe",
        &[
            "exec",
            "httpGet",
            "tcpSocket",
            "grpc",
            "initialDelaySeconds",
            "periodSeconds",
            "timeoutSeconds",
            "successThreshold",
            "failureThreshold",
        ],
    ),
    ("HTTPGetAction", &["scheme", "host", "path", "port", "httpHeaders"]),
    ("TCPSocketAction", &["host", "port"]),
    ("PodDNSConfig", &["nameservers", "searches", "options"]),
    ("HostAlias", &["ip", "hostnames"]),
    ("Toleration", &["key", "operator", "value", "effect"]),
    ("LabelSelectorRequirement", &["key", "operator", "values"]),
    ("NodeSelectorRequirement", &["key", "operator", "values"]),
    ("PersistentVolumeClaimSpec", &["accessModes", "storageClassName", "volumeMode", "resources"]),
];

/// The rest: `name` or `key` first.
const OTHERS: &[&str] = &["name", "key"];

/// Puts an object's fields into order, and leaves out those that are null. A kind that is not played keeps the
/// order that it was built in, but for its metadata and its template.
pub fn object(object: &mut Value) {
    let schema = match object.get("kind").and_then(Value::as_str) {
        Some("Pod") => &schema::POD,
        Some("Deployment") => &schema::DEPLOYMENT,
        Some("ConfigMap") => &schema::CONFIG_MAP,
        Some("Secret") => &schema::SECRET,
        Some("PersistentVolumeClaim") => &schema::PERSISTENT_VOLUME_CLAIM,
        _ => {
            if let Some(metadata) = object.get_mut("metadata") {
                below(metadata, &schema::DEPLOYMENT, &["metadata"]);
            }
            if let Some(template) = object.pointer_mut("/spec/template") {
                below(template, &schema::DEPLOYMENT, &["spec", "template"]);
            }
            return;
        }
    };
    fields(object, schema);
}

/// Orders a value that stands at `path` below an object of type `root`.
fn below(value: &mut Value, root: &'static Type, path: &[&str]) {
    let mut found = Some(root);
    for name in path {
        found = found.and_then(|ty| ty.field(name)).and_then(|field| field.kind.object());
    }
    if let Some(ty) = found {
        fields(value, ty);
    }
}

fn fields(value: &mut Value, ty: &'static Type) {
    let Value::Object(map) = value else { return };
    let order = ORDER.iter().find(|(name, _)| *name == ty.name).map_or(OTHERS, |(_, order)| order);
    let others = order.iter().position(|name| *name == "*").unwrap_or(order.len());
    let mut entries: Vec<(String, Value)> =
        std::mem::take(map).into_iter().filter(|(_, value)| !value.is_null()).collect();
    entries.sort_by(|(a, _), (b, _)| {
        let rank = |name: &str| order.iter().position(|known| *known == name).unwrap_or(others);
        rank(a).cmp(&rank(b)).then_with(|| a.cmp(b))
    });
    for (name, value) in &mut entries {
        if let Some(field) = ty.field(name) {
            inside(value, &field.kind);
        }
    }
    map.extend(entries);
}

fn inside(value: &mut Value, kind: &'static Kind) {
    match (kind, value) {
        (Kind::Object(ty), value) => fields(value, ty),
        (Kind::List(kind), Value::Array(items)) => items.iter_mut().for_each(|item| inside(item, kind)),
        (Kind::Map(kind), Value::Object(map)) => {
            let mut entries: Vec<_> = std::mem::take(map).into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            for (_, value) in &mut entries {
                inside(value, kind);
            }
            *map = Map::from_iter(entries);
        }
        _ => {}
    }
}
