//! Finds what a cluster would refuse in documents, before they are written. It is pure: the input are documents, the
//! output are findings.
//!
//! What Kubernetes' validation would refuse is normally avoided while the documents are generated
//! ([`Fault::is_avoided`]), so the remaining findings are those that only the user can fix. Each finding is a warning
//! and none is an error, because the document is valid on this host, and changing the document is easier than writing
//! a new one.

use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

use super::{kind_of, place};
use crate::kind::Kind;
use crate::manifest;

/// Something in a document that a cluster refuses or treats differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The document, as `deployment.apps/web`.
    pub document: String,
    /// The path of the field, as `spec.containers[0].image`; empty for the whole document.
    pub path: String,
    /// What is wrong with the field or document.
    pub fault: Fault,
}

/// What is wrong with a field or document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The validation of Kubernetes refuses the document.
    Refused {
        /// The message that `kube check` prints.
        message: String,
        /// How to fix it.
        hint: Option<String>,
    },
    /// A Service whose selector matches no pod of the documents.
    SelectsNothing,
    /// A StatefulSet whose Service is missing.
    NoService {
        /// spec.serviceName.
        name: String,
    },
    /// lifecycle.stopSignal without os.name, which it requires. Source: the API reference of Lifecycle.
    SignalWithoutOs,
    /// A container that declares a port twice. Port and protocol are the key of the list, so server-side apply refuses
    /// duplicates.
    PortTwice {
        /// The container's name.
        container: String,
        /// The port, as `80/TCP`.
        port: String,
    },
    /// The name of a variable that clusters accept only since 1.32 (`RelaxedEnvironmentVariableValidation`).
    NewVariable {
        /// The variable's name.
        name: String,
    },
    /// A sysctl that the kubelet refuses unless the administrator allows it.
    UnsafeSysctl {
        /// The sysctl, as `net.core.somaxconn`.
        name: String,
    },
    /// A resourceFieldRef that refers to a container that the pod does not have.
    NoContainer {
        /// containerName.
        name: String,
    },
}

impl Fault {
    /// Returns whether [`generate`](super::generate) avoids this fault itself, so that it occurs in generated
    /// documents only if the recorded object already had it.
    pub fn is_avoided(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::SelectsNothing)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { document, path, fault } = self;
        write!(f, "{document}: ")?;
        match fault {
            Fault::Refused { message, hint } => {
                f.write_str("a cluster refuses it: ")?;
                if !path.is_empty() {
                    write!(f, "{path}: ")?;
                }
                f.write_str(message)?;
                hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
            }
            Fault::SelectsNothing => {
                f.write_str("its selector matches no pod of these documents: correct the selector")
            }
            Fault::NoService { name } => {
                write!(f, "a StatefulSet needs a Service, here {name}: add --service, or write one")
            }
            Fault::SignalWithoutOs => {
                write!(f, "a cluster accepts {path} only if the pod names its OS: add `os: {{name: linux}}`")
            }
            Fault::PortTwice { container, port } => write!(
                f,
                "the container {container} declares port {port} twice, which `kubectl apply --server-side` refuses: \
                 leave one out"
            ),
            Fault::NewVariable { name } => write!(
                f,
                "clusters before Kubernetes 1.32 refuse {name} as the name of a variable: give it one of letters, \
                 digits, -, _ and ."
            ),
            Fault::UnsafeSysctl { name } => write!(
                f,
                "a cluster's nodes refuse pods that set {name}: leave it out, or add it to the kubelet's \
                 allowedUnsafeSysctls"
            ),
            Fault::NoContainer { name } => {
                write!(f, "{path} refers to the container {name}, which this pod does not have: remove it")
            }
        }
    }
}

/// The sysctls that every kubelet accepts. Source:
/// <https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/#safe-and-unsafe-sysctls>
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// Checks documents that belong together, and returns the findings.
pub fn lint(documents: &[Value]) -> Vec<Finding> {
    let mut found = Vec::new();
    for document in documents {
        let mut checker = Checker { document, found: &mut found };
        for diagnostic in manifest::validate(document) {
            let fault = Fault::Refused { message: diagnostic.message, hint: diagnostic.hint };
            checker.add(&diagnostic.path, fault);
        }
        if let Some((path, pod)) = pod_of(document) {
            checker.pod(path, pod);
        }
        checker.services(documents);
    }
    found
}

struct Checker<'a> {
    document: &'a Value,
    found: &'a mut Vec<Finding>,
}

/// Returns the path of the pod's spec in a document, and the spec.
fn pod_of(document: &Value) -> Option<(&'static str, &Value)> {
    match kind_of(document)? {
        Kind::Pod => Some(("spec", document.get("spec")?)),
        Kind::Deployment | Kind::DaemonSet | Kind::Job | Kind::StatefulSet => {
            Some(("spec.template.spec", document.pointer("/spec/template/spec")?))
        }
        _ => None,
    }
}

fn list<'a>(value: &'a Value, at: &str) -> &'a [Value] {
    value.pointer(at).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, at: &str) -> Option<&'a str> {
    value.pointer(at).and_then(Value::as_str).filter(|text| !text.is_empty())
}

impl Checker<'_> {
    fn add(&mut self, path: &str, fault: Fault) {
        let [kind, _, name] = place(self.document);
        // kubectl names an object with its API group, if it has one.
        let group = text(self.document, "/apiVersion").and_then(|version| version.split_once('/'));
        let group = group.map(|(group, _)| format!(".{group}")).unwrap_or_default();
        let document = format!("{}{group}/{name}", kind.to_lowercase());
        self.found.push(Finding { document, path: path.to_owned(), fault });
    }

    fn pod(&mut self, path: &str, pod: &Value) {
        let containers =
            || ["initContainers", "containers"].into_iter().flat_map(|name| list(pod, &format!("/{name}")));
        let known: HashSet<&str> = containers().filter_map(|container| text(container, "/name")).collect();
        for name in ["initContainers", "containers"] {
            for (index, container) in list(pod, &format!("/{name}")).iter().enumerate() {
                let path = format!("{path}.{name}[{index}]");
                if text(container, "/lifecycle/stopSignal").is_some() && text(pod, "/os/name").is_none() {
                    self.add(&format!("{path}.lifecycle.stopSignal"), Fault::SignalWithoutOs);
                }
                self.ports(&path, container);
                self.env(&path, container, &known);
            }
        }
        for (index, volume) in list(pod, "/volumes").iter().enumerate() {
            for (item, file) in list(volume, "/downwardAPI/items").iter().enumerate() {
                let path = format!("{path}.volumes[{index}].downwardAPI.items[{item}].resourceFieldRef");
                self.container_name(&path, text(file, "/resourceFieldRef/containerName"), &known);
            }
        }
        for (index, sysctl) in list(pod, "/securityContext/sysctls").iter().enumerate() {
            let name = text(sysctl, "/name").unwrap_or_default().replace('/', ".");
            if !SAFE_SYSCTLS.contains(&name.as_str()) {
                self.add(&format!("{path}.securityContext.sysctls[{index}]"), Fault::UnsafeSysctl { name });
            }
        }
    }

    fn ports(&mut self, path: &str, container: &Value) {
        let mut seen = HashSet::new();
        for (index, port) in list(container, "/ports").iter().enumerate() {
            let Some(number) = port.get("containerPort").and_then(Value::as_u64) else { continue };
            let port = format!("{number}/{}", text(port, "/protocol").unwrap_or("TCP"));
            if !seen.insert(port.clone()) {
                let container = text(container, "/name").unwrap_or_default().to_owned();
                self.add(&format!("{path}.ports[{index}]"), Fault::PortTwice { container, port });
            }
        }
    }

    fn env(&mut self, path: &str, container: &Value, known: &HashSet<&str>) {
        for (index, variable) in list(container, "/env").iter().enumerate() {
            let path = format!("{path}.env[{index}]");
            let name = text(variable, "/name").unwrap_or_default();
            let plain = !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            if !plain {
                self.add(&format!("{path}.name"), Fault::NewVariable { name: name.to_owned() });
            }
            let path = format!("{path}.valueFrom.resourceFieldRef");
            self.container_name(&path, text(variable, "/valueFrom/resourceFieldRef/containerName"), known);
        }
    }

    fn container_name(&mut self, path: &str, name: Option<&str>, known: &HashSet<&str>) {
        if let Some(name) = name.filter(|name| !known.contains(name)) {
            self.add(path, Fault::NoContainer { name: name.to_owned() });
        }
    }

    fn services(&mut self, documents: &[Value]) {
        let [_, namespace, _] = place(self.document);
        match kind_of(self.document) {
            Some(Kind::StatefulSet) => {
                let Some(name) = text(self.document, "/spec/serviceName") else { return };
                let wanted = [Kind::Service.name().to_owned(), namespace, name.to_owned()];
                if !documents.iter().any(|other| place(other) == wanted) {
                    self.add("spec.serviceName", Fault::NoService { name: name.to_owned() });
                }
            }
            Some(Kind::Service) => {
                let Some(selector) = self.document.pointer("/spec/selector").and_then(Value::as_object)
                else {
                    return;
                };
                let selects = |other: &&Value| {
                    let at = if kind_of(other) == Some(Kind::Pod) {
                        "/metadata"
                    } else {
                        "/spec/template/metadata"
                    };
                    let labels = other.pointer(at).and_then(|metadata| metadata.get("labels"));
                    pod_of(other).is_some()
                        && place(other).get(1) == Some(&namespace)
                        && selector
                            .iter()
                            .all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
                };
                if !documents.iter().any(|other| selects(&other)) {
                    self.add("spec.selector", Fault::SelectsNothing);
                }
            }
            _ => {}
        }
    }
}
