//! One test per rule of the kubelet that a plan follows. Each test is named after its rule.

mod bounds;
mod environment;
mod names;
mod play;
mod ports;
mod pull;
mod resources;
mod security;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use serde_json::{Value, json};

use super::container::resolve;
use super::env_file::EnvFiles;
use super::inputs::Inputs;
use super::{ContainerError, ContainerPlan, ImageConfig, Node, Plan, PlanOptions, PodNetwork, PodPlan, plan};
use crate::manifest::{Diagnostic, Document, Object, Position};
use crate::store::Objects;

/// Creates a pod plan from a spec, without defaults.
fn pod_plan(spec: &Value) -> PodPlan {
    let pod: Pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "u-1",
            "labels": {"app": "web", "example.com/tier": "front"},
            "annotations": {"note": "hello"},
        },
        "spec": spec,
    }))
    .unwrap();
    let host = pod.spec.as_ref().unwrap().host_network == Some(true);
    let network = PodNetwork { host, ..PodNetwork::default() };
    PodPlan { uid: "u-1".to_owned(), pod, hash: String::new(), network, runtime: None }
}

fn node() -> Node {
    Node {
        name: "box".to_owned(),
        ips: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        cpu_millis: 4000,
        memory: 8 << 30,
        storage: 100 << 30,
        resolv_conf: "nameserver 192.0.2.53\nsearch home.example\noptions timeout:2 rotate\n".to_owned(),
        hosts: "127.0.0.1 localhost\n192.0.2.1 box".to_owned(),
    }
}

/// The inputs of resolving a container. Each test changes the inputs that it is about.
struct Case {
    spec: Value,
    container: &'static str,
    image: ImageConfig,
    passwd: &'static str,
    group: &'static str,
    objects: Objects,
    ips: Vec<IpAddr>,
    files: Option<EnvFiles>,
}

impl Case {
    /// Creates a pod with one container `c` with these fields, whose image runs `/bin/app`.
    fn new(container: Value) -> Self {
        let mut whole = json!({"name": "c", "image": "app:1"});
        whole.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        Self::of_pod(json!({"containers": [whole]}))
    }

    fn of_pod(spec: Value) -> Self {
        Self {
            spec,
            container: "c",
            image: ImageConfig { entrypoint: vec!["/bin/app".to_owned()], ..ImageConfig::default() },
            passwd: "root:x:0:0::/root:/bin/sh\napp:x:1000:100::/home/app:\n",
            group: "root:x:0:\nusers:x:100:\nwheel:x:10:app,other\naudio:x:11:other\n",
            objects: Objects::default(),
            ips: vec!["10.1.0.5".parse().unwrap(), "fd00::5".parse().unwrap()],
            files: None,
        }
    }

    fn config_map(mut self, name: &str, data: Value) -> Self {
        let map: ConfigMap = serde_json::from_value(json!({"metadata": {}, "data": data})).unwrap();
        self.objects.config_maps.insert(("shop".to_owned(), name.to_owned()), map);
        self
    }

    fn service(mut self, namespace: &str, name: &str, spec: Value) -> Self {
        let service = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        self.objects.services.insert((namespace.to_owned(), name.to_owned()), service);
        self
    }

    /// `data` is plain text, as in stringData.
    fn secret(mut self, name: &str, data: Value) -> Self {
        let mut secret: Secret = serde_json::from_value(json!({"metadata": {}, "stringData": data})).unwrap();
        super::defaults::secret(&mut secret);
        self.objects.secrets.insert(("shop".to_owned(), name.to_owned()), secret);
        self
    }

    fn image(mut self, change: impl FnOnce(&mut ImageConfig)) -> Self {
        change(&mut self.image);
        self
    }

    fn resolve(&self) -> Result<ContainerPlan, ContainerError> {
        let pod = pod_plan(&self.spec);
        resolve(&Inputs {
            pod: &pod,
            container: self.container,
            image: &self.image,
            passwd: self.passwd,
            group: self.group,
            objects: &self.objects,
            ips: &self.ips,
            node: &node(),
            files: self.files.as_ref(),
        })
    }

    fn ok(&self) -> ContainerPlan {
        self.resolve().unwrap()
    }

    fn error(&self) -> String {
        self.resolve().unwrap_err().to_string()
    }

    /// Returns the value of a variable, if it is set.
    fn env(&self, name: &str) -> Option<String> {
        self.ok().env.into_iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }
}

/// Returns a document as `manifest::load` does. Every field is at line 1, and its column is the length of its path.
fn document(mut value: Value) -> Document {
    if value["metadata"].get("namespace").is_none() {
        value["metadata"]["namespace"] = json!("default");
    }
    let typed = value.clone();
    let object = match value["kind"].as_str().unwrap() {
        "Pod" => Object::Pod(serde_json::from_value(typed).unwrap()),
        "Deployment" => Object::Deployment(serde_json::from_value(typed).unwrap()),
        "ConfigMap" => Object::ConfigMap(serde_json::from_value(typed).unwrap()),
        "Secret" => Object::Secret(serde_json::from_value(typed).unwrap()),
        "PersistentVolume" => Object::PersistentVolume(serde_json::from_value(typed).unwrap()),
        "PersistentVolumeClaim" => Object::PersistentVolumeClaim(serde_json::from_value(typed).unwrap()),
        other => panic!("{other}"),
    };
    let mut positions = HashMap::new();
    places(&value, "", &mut positions);
    Document {
        object,
        value,
        source: "web.yaml".to_owned(),
        position: Position { line: 1, column: 1 },
        dir: PathBuf::from("/srv/web"),
        positions,
    }
}

fn places(value: &Value, path: &str, found: &mut HashMap<String, Position>) {
    if !path.is_empty() {
        found.insert(path.to_owned(), Position { line: 1, column: path.len() });
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                places(value, &format!("{path}{dot}{key}"), found);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                places(value, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

fn pod(name: &str, spec: Value) -> Document {
    document(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}))
}

fn deployment(name: &str, replicas: u32, spec: Value) -> Document {
    document(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }))
}

fn options() -> PlanOptions {
    PlanOptions::default()
}

fn planned(documents: &[Document], options: &PlanOptions) -> Plan {
    plan(documents, options).unwrap().0
}

/// Returns all errors as they are shown to a user.
fn refused(documents: &[Document], options: &PlanOptions) -> String {
    let shown = |d: &Diagnostic| match &d.hint {
        Some(hint) => format!("{d} ({hint})"),
        None => d.to_string(),
    };
    plan(documents, options).unwrap_err().iter().map(shown).collect::<Vec<_>>().join("\n")
}
