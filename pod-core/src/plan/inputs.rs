//! What a container is resolved from: its pod, its image, ConfigMaps and Secrets, and facts of this machine.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ConfigMap, Container, Secret};

use super::{ImageConfig, Node, PodPlan};
use crate::store::Objects;

/// All that a container is resolved from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Its pod.
    pub pod: &'a PodPlan,
    /// Its name: an init or an app container.
    pub container: &'a str,
    /// Its image.
    pub image: &'a ImageConfig,
    /// The image's /etc/passwd; empty when it has none.
    pub passwd: &'a str,
    /// The image's /etc/group; empty when it has none.
    pub group: &'a str,
    /// ConfigMaps and Secrets as they are now.
    pub objects: &'a Objects,
    /// status.podIPs; those of the host count for a pod on its network.
    pub ips: &'a [IpAddr],
    /// This machine.
    pub node: &'a Node,
}

impl<'a> Inputs<'a> {
    /// A container of the pod by name.
    pub fn find(&self, name: &str) -> Option<&'a Container> {
        let spec = self.pod.pod.spec.as_ref()?;
        spec.init_containers.iter().flatten().chain(&spec.containers).find(|c| c.name == name)
    }

    /// A ConfigMap of the pod's namespace.
    pub fn config_map(&self, name: &str) -> Option<&'a ConfigMap> {
        self.objects.config_maps.get(&(self.pod.namespace().to_owned(), name.to_owned()))
    }

    /// A Secret of the pod's namespace.
    pub fn secret(&self, name: &str) -> Option<&'a Secret> {
        self.objects.secrets.get(&(self.pod.namespace().to_owned(), name.to_owned()))
    }

    /// status.podIPs.
    pub fn pod_ips(&self) -> &'a [IpAddr] {
        if self.ips.is_empty() && self.pod.network.host { &self.node.ips } else { self.ips }
    }
}
