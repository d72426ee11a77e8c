//! Computes the security settings of containers and pods: capabilities, seccomp, AppArmor, sysctls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, SeccompProfile};

use super::user::NAMESPACE_IDS;
use super::{AppArmor, Seccomp};
use crate::manifest::{APP_ARMOR_ANNOTATION, app_armor_annotation};

/// Where the kubelet looks for profiles of type Localhost, so that a manifest refers to the same file here and in a
/// cluster.
const SECCOMP_ROOT: &str = "/var/lib/kubelet/seccomp";

/// The default capabilities of containerd.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Returns the container's capabilities as `CAP_CHOWN`, sorted. `ALL` in add or drop is applied first, then single
/// names: a capability that is added by name is kept despite `drop: [ALL]`, and a capability that is dropped by name
/// is always dropped. A privileged container has all capabilities. The runtime leaves out those that this host does
/// not have.
pub fn capabilities(container: &Container) -> Vec<String> {
    let all = || caps::all().into_iter().map(|c| c.to_string()).collect::<BTreeSet<_>>();
    let context = container.security_context.as_ref();
    if context.and_then(|c| c.privileged) == Some(true) {
        return all().into_iter().collect();
    }
    let capabilities = context.and_then(|c| c.capabilities.as_ref());
    let names = |list: Option<&Vec<String>>| -> Vec<String> {
        list.into_iter().flatten().map(|n| full_name(n)).collect()
    };
    let add = names(capabilities.and_then(|c| c.add.as_ref()));
    let drop = names(capabilities.and_then(|c| c.drop.as_ref()));
    let is_all = |name: &String| name == "CAP_ALL";

    let mut set: BTreeSet<String> = DEFAULT_CAPABILITIES.iter().map(|c| (*c).to_owned()).collect();
    if add.iter().any(is_all) {
        set = all();
    }
    if drop.iter().any(is_all) {
        set.clear();
    }
    set.extend(add.into_iter().filter(|name| !is_all(name)));
    for name in &drop {
        set.remove(name);
    }
    set.into_iter().collect()
}

/// Returns the name in the form `CAP_NET_ADMIN`. `NET_ADMIN` and `CAP_NET_ADMIN` are both accepted, in upper or lower
/// case.
fn full_name(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
}

/// Returns the container's seccompProfile, else the pod's, else RuntimeDefault (Kubernetes' own default is no
/// profile). As with the kubelet, a privileged container has no profile, whatever the manifest says.
pub fn seccomp(spec: &PodSpec, container: &Container) -> Seccomp {
    let context = container.security_context.as_ref();
    if context.and_then(|c| c.privileged) == Some(true) {
        return Seccomp::Unconfined;
    }
    let profile = context
        .and_then(|c| c.seccomp_profile.as_ref())
        .or_else(|| spec.security_context.as_ref().and_then(|c| c.seccomp_profile.as_ref()));
    match profile {
        Some(SeccompProfile { type_, .. }) if type_ == "Unconfined" => Seccomp::Unconfined,
        Some(SeccompProfile { type_, localhost_profile: Some(path) }) if type_ == "Localhost" => {
            Seccomp::Localhost(Path::new(SECCOMP_ROOT).join(path))
        }
        _ => Seccomp::RuntimeDefault,
    }
}

/// Returns the container's appArmorProfile, else that of its annotation, else the pod's. As in containerd, a privileged
/// container has no default profile.
pub fn app_armor(pod: &Pod, container: &Container) -> AppArmor {
    let context = container.security_context.as_ref();
    let annotation = format!("{APP_ARMOR_ANNOTATION}{}", container.name);
    let annotated = || app_armor_annotation(pod.metadata.annotations.as_ref()?.get(&annotation)?);
    let of_pod = || pod.spec.as_ref()?.security_context.as_ref()?.app_armor_profile.clone();
    let own = context.and_then(|context| context.app_armor_profile.clone());
    let Some(profile) = own.or_else(annotated).or_else(of_pod) else { return AppArmor::Unset };
    let is_privileged = context.and_then(|context| context.privileged) == Some(true);
    match (profile.type_.as_str(), profile.localhost_profile) {
        ("Localhost", Some(name)) => AppArmor::Localhost(name),
        ("RuntimeDefault", _) if !is_privileged => AppArmor::RuntimeDefault,
        _ => AppArmor::Unconfined,
    }
}

/// Returns securityContext.sysctls, in order. `/` between names is read as `.`, because sysctl(8) accepts both.
pub fn sysctls(pod: &Pod) -> Vec<(String, String)> {
    let context = pod.spec.as_ref().and_then(|s| s.security_context.as_ref());
    context
        .and_then(|c| c.sysctls.as_ref())
        .into_iter()
        .flatten()
        .map(|s| (dotted(&s.name), s.value.clone()))
        .collect()
}

/// Returns the sysctls of a pod's sandbox: those of the pod's securityContext and, unless the pod is on the host's
/// network, those that containerd 2 sets for every pod (`enable_unprivileged_ports`, `enable_unprivileged_icmp`). With
/// these, users other than root may listen on any port and use ping.
pub fn sandbox_sysctls(pod: &Pod, host_network: bool) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if !host_network {
        all.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        // Groups that do not exist in the pod's user namespace are refused.
        let own_users = pod.spec.as_ref().and_then(|spec| spec.host_users) == Some(false);
        let last = if own_users { NAMESPACE_IDS - 1 } else { 2_147_483_647 };
        all.insert("net.ipv4.ping_group_range".to_owned(), format!("0 {last}"));
    }
    all.extend(sysctls(pod));
    all
}

/// Converts the name of a sysctl to the notation with dots: `net/ipv4/conf/eth0.1/forwarding` becomes
/// `net.ipv4.conf.eth0/1.forwarding`. The first of `.` and `/` in the name is its separator.
fn dotted(name: &str) -> String {
    match name.find(['.', '/']).and_then(|at| name.as_bytes().get(at)) {
        Some(b'/') => name
            .chars()
            .map(|c| match c {
                '/' => '.',
                '.' => '/',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    }
}
