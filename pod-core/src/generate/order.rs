//! Sorts the fields of documents.
//!
//! Fields that identify an object come first, then those that describe what it does, and long fields last. People
//! write manifests in this order, and the reference of the Kubernetes API groups fields like this. Fields that are not
//! listed are placed at `*`, sorted by name. Keys chosen by the user (labels, data) are sorted.

use serde_json::{Map, Value};

use crate::manifest::schema::{self, Type};
use crate::manifest::schema_of;

const OBJECT: &[&str] =
    &["apiVersion", "kind", "metadata", "type", "immutable", "*", "spec", "stringData", "data", "binaryData"];

const ORDER: &[(&str, &[&str])] = &[
    ("ConfigMap", OBJECT),
    ("DaemonSet", OBJECT),
    ("Deployment", OBJECT),
    ("Job", OBJECT),
    ("PersistentVolumeClaim", OBJECT),
    ("Pod", OBJECT),
    ("PodTemplateSpec", OBJECT),
    ("Secret", OBJECT),
    ("Service", OBJECT),
    ("StatefulSet", OBJECT),
    ("ObjectMeta", &["name", "generateName", "namespace", "labels", "annotations"]),
    ("DeploymentSpec", &["replicas", "selector", "*", "template"]),
    ("DaemonSetSpec", &["selector", "*", "template"]),
    ("StatefulSetSpec", &["replicas", "serviceName", "selector", "*", "template", "volumeClaimTemplates"]),
    ("JobSpec", &["*", "template"]),
    ("ServiceSpec", &["type", "clusterIP", "*", "selector", "ports"]),
    ("ServicePort", &["name", "port", "targetPort", "protocol"]),
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

/// The order for all other types: `name` or `key` first.
const OTHERS: &[&str] = &["name", "key"];

/// Sorts an object's fields, and removes those that are null.
pub fn object(object: &mut Value) {
    if let Some(schema) = super::kind_of(object).and_then(schema_of) {
        fields(object, schema);
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

fn inside(value: &mut Value, kind: &'static schema::Kind) {
    match (kind, value) {
        (schema::Kind::Object(ty), value) => fields(value, ty),
        (schema::Kind::List(kind), Value::Array(items)) => {
            for item in items {
                inside(item, kind);
            }
        }
        (schema::Kind::Map(kind), Value::Object(map)) => {
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
