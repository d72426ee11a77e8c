//! Builds a pod's host name and its /etc/hosts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use network::CLUSTER_DOMAIN;

use super::Node;

/// The longest host name of the kernel, in characters (`__NEW_UTS_LEN`).
pub const MAX_KERNEL_NAME: usize = 64;
/// The longest label of a domain name, in characters (RFC 1123).
const MAX_LABEL: usize = 63;

/// Returns the name of the pod without its domain: hostnameOverride, else spec.hostname, else the pod's name. The last
/// two are cut to 63 characters and without `-` and `.` at the end. For a pod on the host's network, returns the name
/// of the node.
pub fn short_hostname(pod: &Pod, node: &Node) -> String {
    let spec = pod.spec.as_ref();
    if spec.and_then(|s| s.host_network) == Some(true) {
        return node.name.clone();
    }
    if let Some(name) = override_of(pod) {
        return name.to_owned();
    }
    let name = spec
        .and_then(|s| s.hostname.as_deref())
        .filter(|name| !name.is_empty())
        .or(pod.metadata.name.as_deref())
        .unwrap_or_default();
    let cut: String = name.chars().take(MAX_LABEL).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// Returns the host name that the pod's processes see, also as `HOSTNAME`: the name with its domain if
/// `setHostnameAsFQDN` asks for it, else the name alone.
pub fn hostname(pod: &Pod, node: &Node) -> String {
    let name = short_hostname(pod, node);
    let as_fqdn = pod.spec.as_ref().and_then(|s| s.set_hostname_as_fqdn) == Some(true);
    match domain(pod).filter(|_| as_fqdn) {
        Some(domain) => format!("{name}.{domain}"),
        None => name,
    }
}

/// Returns the domain of a pod with a `subdomain`: `<subdomain>.<namespace>.svc.cluster.local`. As with the kubelet,
/// a pod on the host's network and a pod with a hostnameOverride have none.
pub fn domain(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    if spec.host_network == Some(true) || override_of(pod).is_some() {
        return None;
    }
    let subdomain = spec.subdomain.as_deref().filter(|name| !name.is_empty())?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    Some(format!("{subdomain}.{namespace}.svc.{CLUSTER_DOMAIN}"))
}

fn override_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.hostname_override.as_deref().filter(|name| !name.is_empty())
}

/// Returns the pod's /etc/hosts: loopback names, the pod's own names for each of its addresses, then hostAliases. For a
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
        let host = short_hostname(pod, node);
        let names = match domain(pod) {
            Some(domain) => format!("{host}.{domain}\t{host}"),
            None => host,
        };
        for ip in ips {
            let _ = writeln!(text, "{ip}\t{names}");
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
