//! Builds a pod's host name and its /etc/hosts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

use super::Node;

/// Returns spec.hostname, else the pod's name, cut to 63 characters and without `-` and `.` at the end. For a pod on
/// the host's network, returns the name of the node.
pub fn hostname(pod: &Pod, node: &Node) -> String {
    let spec = pod.spec.as_ref();
    if spec.and_then(|s| s.host_network) == Some(true) {
        return node.name.clone();
    }
    let name = spec
        .and_then(|s| s.hostname.as_deref())
        .filter(|name| !name.is_empty())
        .or(pod.metadata.name.as_deref())
        .unwrap_or_default();
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// Returns the pod's /etc/hosts: loopback names, the pod's own name for each of its addresses, then hostAliases. For a
/// pod on the host's network, returns the host's file followed by the aliases.
pub fn etc_hosts(pod: &Pod, node: &Node, ips: &[IpAddr]) -> String {
    let spec = pod.spec.as_ref();
    let mut text = if spec.and_then(|s| s.host_network) == Some(true) {
        let mut text = "# Kubernetes-managed hosts file (host network).\n".to_owned();
        text.push_str(&node.hosts);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    } else {
        let mut text = "# Kubernetes-managed hosts file.\n\
            127.0.0.1\tlocalhost\n\
            ::1\tlocalhost ip6-localhost ip6-loopback\n\
            fe00::0\tip6-localnet\n\
            fe00::0\tip6-mcastprefix\n\
            fe00::1\tip6-allnodes\n\
            fe00::2\tip6-allrouters\n"
            .to_owned();
        let host = hostname(pod, node);
        for ip in ips {
            let _ = writeln!(text, "{ip}\t{host}");
        }
        text
    };

    // There is one line per address, in the order in which the addresses first occur.
    let mut order: Vec<&str> = Vec::new();
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for alias in spec.and_then(|s| s.host_aliases.as_ref()).into_iter().flatten() {
        if !names.contains_key(alias.ip.as_str()) {
            order.push(&alias.ip);
        }
        names.entry(&alias.ip).or_default().extend(alias.hostnames.iter().flatten().map(String::as_str));
    }
    if !order.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for ip in order {
            let names = names.get(ip).map(|n| n.join("\t")).unwrap_or_default();
            let _ = writeln!(text, "{ip}\t{names}");
        }
    }
    text
}
