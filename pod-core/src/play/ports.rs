//! Checks host ports before anything is created.

use std::collections::HashMap;

use super::{Error, Instance};
use crate::plan::ports::conflict;
use crate::plan::{PodPlan, PortMapping};
use crate::sandbox::{networks, published_ports};

/// Returns whether a pod needs a host port, an address or a MAC address that only one pod can have at a time.
pub fn are_claimed(pod: &PodPlan) -> bool {
    let network = &pod.network;
    !network.ports.is_empty() || network.attachments.iter().any(|a| !a.ips.is_empty() || a.mac.is_some())
}

/// Fails if a port that one of `pods` publishes is taken. A port of a pod in `leaving` is not taken, because those pods
/// are stopped first.
pub fn check(instance: &Instance, pods: &[&PodPlan], leaving: &[String]) -> Result<(), Error> {
    let networks = networks(&instance.layout, &instance.exe);
    // The ports by number and protocol, because there may be very many.
    let mut asked: HashMap<(u16, &str), Vec<(&PortMapping, &PodPlan)>> = HashMap::new();
    for pod in pods {
        let failure = |source| Error::HostPort { object: format!("pod/{}", pod.name()), source };
        for port in &pod.network.ports {
            let same = asked.entry((port.host_port, &port.protocol)).or_default();
            let rival = same.iter().find(|(other, of)| of.uid != pod.uid && conflict(other, port));
            if let Some((_, other)) = rival {
                return Err(failure(network::Error::PortTaken {
                    port: port.host_port,
                    protocol: port.protocol.clone(),
                    by: format!("pod {}", other.name()),
                }));
            }
            same.push((port, pod));
        }
        networks.check_ports(&pod.uid, leaving, &published_ports(pod)).map_err(failure)?;
    }
    Ok(())
}
