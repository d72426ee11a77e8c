//! The inputs of resolving a container: its pod, its image, ConfigMaps and Secrets, and facts about this host.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ConfigMap, Container, Secret};

use super::env_file::EnvFiles;
use super::{ImageConfig, Node, PodPlan};
use crate::store::Objects;

/// The inputs of resolving a container.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The container's pod.
    pub pod: &'a PodPlan,
    /// The name of the container, which is an init or an app container.
    pub container: &'a str,
    /// The config of the container's image.
    pub image: &'a ImageConfig,
    /// The image's /etc/passwd; empty if it has none.
    pub passwd: &'a str,
    /// The image's /etc/group; empty if it has none.
    pub group: &'a str,
    /// The current ConfigMaps and Secrets.
    pub objects: &'a Objects,
    /// status.podIPs. May be empty for a pod on the host's network, which has the host's addresses.
    pub ips: &'a [IpAddr],
    /// This host.
    pub node: &'a Node,
    /// The files that variables come from (fileKeyRef). `None` before the pod exists: these variables are empty then.
    pub files: Option<&'a EnvFiles>,
}

impl<'a> Inputs<'a> {
    /// Returns the container of the pod with this name.
    pub fn find(&self, name: &str) -> Option<&'a Container> {
        let spec = self.pod.pod.spec.as_ref()?;
        spec.init_containers.iter().flatten().chain(&spec.containers).find(|c| c.name == name)
    }

    /// Returns the ConfigMap with this name in the pod's namespace.
    pub fn config_map(&self, name: &str) -> Option<&'a ConfigMap> {
        self.objects.config_maps.get(&(self.pod.namespace().to_owned(), name.to_owned()))
    }

    /// Returns the Secret with this name in the pod's namespace.
    pub fn secret(&self, name: &str) -> Option<&'a Secret> {
        self.objects.secrets.get(&(self.pod.namespace().to_owned(), name.to_owned()))
    }

    /// Returns status.podIPs.
    pub fn pod_ips(&self) -> &'a [IpAddr] {
        if self.ips.is_empty() && self.pod.network.host { &self.node.ips } else { self.ips }
    }
}
