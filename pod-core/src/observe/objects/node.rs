//! This machine as the only node.

use std::fs;
use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Object, completed, namespaces, time};
use crate::kind::{Kind, ObjectRef};
use crate::manifest::architecture;
use crate::plan::{self, Node};
use crate::store::Layout;

/// What a node's object says about the machine beyond [`Node`].
#[derive(Debug, Clone, Default)]
struct System {
    /// The release of the kernel (uname(2)).
    kernel: String,
    /// PRETTY_NAME of os-release(5).
    os_image: String,
    /// machine-id(5).
    machine_id: String,
    /// /proc/sys/kernel/random/boot_id (random(4)).
    boot_id: String,
}

/// Returns the node. It is as old as the tree below `--root`.
pub fn node(layout: &Layout, now: Timestamp) -> Object {
    let created = namespaces::created_at(layout);
    let node = plan::node::node_with_storage(&layout.root);
    let id = ObjectRef::new(Kind::Node, "", &node.name);
    let json = completed(&id, object(&node, &system(), created.unwrap_or(now)), created);
    Object::new(id, json)
}

fn system() -> System {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    System {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        os_image: pretty_name(&read("/etc/os-release")),
        machine_id: read("/etc/machine-id"),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
    }
}

/// Returns PRETTY_NAME of os-release(5), whose default is `Linux`.
fn pretty_name(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches(['"', '\'']).to_owned())
}

fn object(node: &Node, system: &System, since: Timestamp) -> Value {
    let address = |ip: &IpAddr| json!({"type": "InternalIP", "address": ip.to_string()});
    let mut addresses: Vec<Value> = node.ips.iter().map(address).collect();
    addresses.push(json!({"type": "Hostname", "address": node.name}));
    let resources = json!({
        "cpu": cpu(node.cpu_millis),
        "memory": format!("{}Ki", node.memory / 1024),
        "ephemeral-storage": format!("{}Ki", node.storage / 1024),
    });
    let version = env!("CARGO_PKG_VERSION");
    json!({
        "metadata": {"labels": {
            "kubernetes.io/arch": architecture(),
            "kubernetes.io/hostname": node.name,
            "kubernetes.io/os": "linux",
        }},
        "spec": {},
        "status": {
            "addresses": addresses,
            "capacity": resources,
            "allocatable": resources,
            "conditions": [{
                "type": "Ready",
                "status": "True",
                "reason": "KubeletReady",
                "message": "this machine runs pods",
                "lastHeartbeatTime": time(since),
                "lastTransitionTime": time(since),
            }],
            "nodeInfo": {
                "architecture": architecture(),
                "bootID": system.boot_id,
                "containerRuntimeVersion": format!("kube://{version}"),
                "kernelVersion": system.kernel,
                "kubeProxyVersion": "",
                "kubeletVersion": format!("v{version}"),
                "machineID": system.machine_id,
                "operatingSystem": "linux",
                "osImage": system.os_image,
                "systemUUID": "",
            },
        },
    })
}

/// Returns a number of processors as a quantity: `2`, `1500m`.
fn cpu(millis: u64) -> String {
    if millis.is_multiple_of(1000) { (millis / 1000).to_string() } else { format!("{millis}m") }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node as NodeObject;

    use super::*;

    #[test]
    fn the_node_is_an_object_of_kubernetes() {
        let (_dir, layout) = crate::observe::tests::fixture::layout();
        fs::create_dir_all(&layout.root).unwrap();
        let object = node(&layout, Timestamp::UNIX_EPOCH);
        let parsed: NodeObject = object.parse().unwrap();
        assert_eq!(parsed.metadata.name.unwrap(), plan::node::name());
        assert_eq!(object.labels()["kubernetes.io/os"], "linux");
        let status = parsed.status.unwrap();
        assert_eq!(status.conditions.unwrap()[0].status, "True");
        let memory = &status.capacity.unwrap()["memory"].0;
        assert!(memory.ends_with("Ki") && memory != "0Ki", "{memory}");
        assert!(!status.node_info.unwrap().kernel_version.is_empty());
    }

    #[test]
    fn processors_and_the_name_of_the_system_are_written_as_kubernetes_does() {
        assert_eq!((cpu(2000), cpu(1500)), ("2".to_owned(), "1500m".to_owned()));
        assert_eq!(pretty_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
        assert_eq!(pretty_name(""), "Linux");
    }
}
