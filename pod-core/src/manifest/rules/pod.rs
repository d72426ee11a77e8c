//! Rules of a pod's spec.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{PodDNSConfig, PodSpec, Volume};

use super::{Rules, name};
use crate::kind::Kind;
use crate::manifest::huge_pages::requested_sizes;
use crate::manifest::shown;

/// The facts about a pod that the rules of its containers need.
pub(super) struct Pod<'a> {
    pub host_network: bool,
    /// False if the pod has a user namespace of its own.
    pub host_users: bool,
    /// restartPolicy: Never.
    pub restarts_never: bool,
    pub grace_seconds: i64,
    pub volumes: BTreeSet<&'a str>,
    /// The volumes that may be block devices: claims.
    pub claims: BTreeSet<&'a str>,
    /// The volumes that are images.
    pub images: BTreeSet<&'a str>,
    /// The volumes that are mounted for one container only, so that no mount in them reaches others: images and nfs.
    pub unshared: BTreeSet<&'a str>,
    /// The volumes that are emptyDirs.
    pub empty_dirs: BTreeSet<&'a str>,
}

/// The default of terminationGracePeriodSeconds.
const DEFAULT_GRACE_SECONDS: i64 = 30;
/// Maximum number of nameservers in Kubernetes; C libraries do not use more.
pub(crate) const MAX_NAMESERVERS: usize = 3;
pub(crate) const MAX_SEARCHES: usize = 32;
/// The longest host name of the kernel.
const MAX_HOSTNAME_OVERRIDE: usize = 64;
pub(crate) const MAX_SEARCH_CHARS: usize = 2048;

impl Rules<'_> {
    pub(super) fn pod(&mut self, path: &str, spec: &PodSpec, owner: Kind) {
        let names_of = |is_it: fn(&Volume) -> bool| {
            let volumes = spec.volumes.iter().flatten().filter(|volume| is_it(volume));
            volumes.map(|volume| volume.name.as_str()).filter(|name| !name.is_empty()).collect()
        };
        let pod = Pod {
            host_network: spec.host_network == Some(true),
            host_users: spec.host_users != Some(false),
            restarts_never: spec.restart_policy.as_deref() == Some("Never"),
            grace_seconds: spec.termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_SECONDS),
            volumes: names_of(|_| true),
            claims: names_of(|volume| volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some()),
            images: names_of(|volume| volume.image.is_some()),
            unshared: names_of(|volume| volume.image.is_some() || volume.nfs.is_some()),
            empty_dirs: names_of(|volume| {
                volume.empty_dir.is_some()
                    || *volume == Volume { name: volume.name.clone(), ..Volume::default() }
            }),
        };
        let containers = || spec.init_containers.iter().flatten().chain(&spec.containers);
        let mounts = containers().flat_map(|container| container.volume_mounts.iter().flatten());
        let devices = containers().flat_map(|container| container.volume_devices.iter().flatten());
        let devices = devices.map(|device| device.name.as_str());
        let mounted = mounts.map(|mount| mount.name.as_str()).chain(devices).collect();
        let volumes = spec.volumes.as_deref().unwrap_or_default();
        self.volumes(&format!("{path}.volumes"), volumes, &mounted, &requested_sizes(spec));
        if !pod.host_users {
            for (index, _) in volumes.iter().enumerate().filter(|(_, volume)| volume.nfs.is_some()) {
                self.error(
                    &format!("{path}.volumes[{index}].nfs"),
                    "cannot be given together with hostUsers: false: the kernel cannot map the owners of files on nfs",
                );
            }
        }
        if spec.containers.is_empty() {
            self.error(&format!("{path}.containers"), "must have at least one container");
        }
        let mut names: HashMap<&str, String> = HashMap::new();
        let init = spec.init_containers.as_deref().unwrap_or_default();
        for (list, containers, is_init) in
            [("initContainers", init, true), ("containers", &spec.containers, false)]
        {
            for (index, container) in containers.iter().enumerate() {
                let path = format!("{path}.{list}[{index}]");
                let at = format!("{path}.name");
                if !container.name.is_empty() {
                    self.require(&at, name::dns_label(&container.name));
                    if let Some(first) = names.get(container.name.as_str()) {
                        let message = format!("{} is already the name of {first}", shown(&container.name));
                        self.error(&at, message);
                    } else {
                        names.insert(&container.name, path.clone());
                    }
                }
                self.container(&path, container, &pod, is_init);
            }
        }
        self.host_ports(&format!("{path}.containers"), &spec.containers, pod.host_network);
        if let Some(seconds) = spec.termination_grace_period_seconds
            && seconds < 0
        {
            let at = format!("{path}.terminationGracePeriodSeconds");
            self.warning(&at, format!("is {seconds}, which Kubernetes reads as 1"), None);
        }
        self.readiness_gates(path, spec);
        self.names_and_dns(path, spec);
        self.pod_security(path, spec);
        self.pod_resources(path, spec);
        self.scheduling(path, spec);
        self.allowed(path, spec, owner);
        if let Some(os) = &spec.os
            && os.name == "windows"
        {
            self.error(&format!("{path}.os.name"), "this machine runs Linux, not Windows");
        }
    }

    fn names_and_dns(&mut self, path: &str, spec: &PodSpec) {
        if let Some(hostname) = spec.hostname.as_deref().filter(|name| !name.is_empty()) {
            self.require(&format!("{path}.hostname"), name::dns_label(hostname));
        }
        if let Some(subdomain) = spec.subdomain.as_deref().filter(|name| !name.is_empty()) {
            self.require(&format!("{path}.subdomain"), name::dns_label(subdomain));
        }
        self.hostname_override(path, spec);
        for (index, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
            let at = format!("{path}.imagePullSecrets[{index}].name");
            if secret.name.is_empty() {
                self.warning(&at, "is empty: images are pulled without it", None);
            } else {
                self.require(&at, name::dns_subdomain(&secret.name));
            }
        }
        for (index, alias) in spec.host_aliases.iter().flatten().enumerate() {
            let path = format!("{path}.hostAliases[{index}]");
            self.address(&format!("{path}.ip"), &alias.ip);
            for (index, host) in alias.hostnames.iter().flatten().enumerate() {
                self.require(&format!("{path}.hostnames[{index}]"), name::dns_subdomain(host));
            }
        }
        let config = spec.dns_config.as_ref();
        if let Some(config) = config {
            self.dns_config(&format!("{path}.dnsConfig"), config);
        }
        let servers = config.and_then(|config| config.nameservers.as_deref()).unwrap_or_default();
        if spec.dns_policy.as_deref() == Some("None") && servers.is_empty() {
            let hint = "give dnsConfig.nameservers, or another dnsPolicy";
            self.error_hint(
                &format!("{path}.dnsPolicy"),
                "None needs at least one server in dnsConfig.nameservers",
                hint,
            );
        }
    }

    /// Checks hostnameOverride. Source: `ValidatePodSpec` of pkg/apis/core/validation.
    fn hostname_override(&mut self, path: &str, spec: &PodSpec) {
        let Some(name) = spec.hostname_override.as_deref() else { return };
        let at = format!("{path}.hostnameOverride");
        self.require(&at, name::dns_subdomain(name));
        if name.len() > MAX_HOSTNAME_OVERRIDE {
            let message =
                format!("must not have more than {MAX_HOSTNAME_OVERRIDE} characters, has {}", name.len());
            self.error(&at, message);
        }
        let others = [("hostNetwork", spec.host_network), ("setHostnameAsFQDN", spec.set_hostname_as_fqdn)];
        for (field, _) in others.iter().filter(|(_, given)| *given == Some(true)) {
            self.error(&format!("{path}.{field}"), "cannot be true together with hostnameOverride");
        }
    }

    fn dns_config(&mut self, path: &str, config: &PodDNSConfig) {
        let servers = config.nameservers.as_deref().unwrap_or_default();
        if servers.len() > MAX_NAMESERVERS {
            let message = format!("must not have more than {MAX_NAMESERVERS} servers, has {}", servers.len());
            self.error(&format!("{path}.nameservers"), message);
        }
        for (index, server) in servers.iter().enumerate() {
            self.address(&format!("{path}.nameservers[{index}]"), server);
        }
        let searches = config.searches.as_deref().unwrap_or_default();
        if searches.len() > MAX_SEARCHES {
            let message = format!("must not have more than {MAX_SEARCHES} domains, has {}", searches.len());
            self.error(&format!("{path}.searches"), message);
        }
        let chars = searches.iter().map(String::len).sum::<usize>() + searches.len().saturating_sub(1);
        if chars > MAX_SEARCH_CHARS {
            let message =
                format!("must not have more than {MAX_SEARCH_CHARS} characters together, has {chars}");
            self.error(&format!("{path}.searches"), message);
        }
        for (index, domain) in searches.iter().enumerate() {
            // A single dot means the root domain; search domains may have underscores.
            let domain = domain.strip_suffix('.').unwrap_or(domain);
            if !domain.is_empty() {
                let plain = domain.trim_start_matches('_').replace("._", ".").replace('_', "-");
                if name::dns_subdomain(&plain).is_err() {
                    self.require(&format!("{path}.searches[{index}]"), name::dns_subdomain(domain));
                }
            }
        }
        for (index, option) in config.options.iter().flatten().enumerate() {
            if option.name.as_deref().unwrap_or_default().is_empty() {
                self.error(&format!("{path}.options[{index}].name"), "is required");
            }
        }
    }

    pub(super) fn address(&mut self, path: &str, text: &str) {
        if text.parse::<IpAddr>().is_err() && !text.is_empty() {
            let message = format!("must be an IP address such as 10.0.0.1 or fd00::1, not {}", shown(text));
            self.error(path, message);
        }
    }
}
