//! Host ports, before anything is made.

use super::{Error, Host};
use crate::plan::PodPlan;
use crate::supervisor::{networks, published_ports};

/// A pod wants something of the host, or of a network, that only one pod can have at a time.
pub fn are_claimed(pod: &PodPlan) -> bool {
    let network = &pod.network;
    !network.ports.is_empty() || network.attachments.iter().any(|a| !a.ips.is_empty() || a.mac.is_some())
}

/// Fails if a port that one of `pods` publishes is taken by somebody who stays: not by one of `leaving`, which
/// are stopped first.
pub fn check(host: &Host, pods: &[&PodPlan], leaving: &[String]) -> Result<(), Error> {
    let networks = networks(&host.layout, &host.exe);
    for (n, pod) in pods.iter().enumerate() {
        let told = |source| Error::HostPort { object: format!("pod/{}", pod.name()), source };
        for (port, lib_port) in pod.network.ports.iter().zip(published_ports(pod)) {
            for other in pods.iter().take(n) {
                if other.network.ports.iter().any(|p| crate::plan::ports::conflict(p, port)) {
                    return Err(told(network::Error::PortTaken {
                        port: port.host_port,
                        protocol: port.protocol.clone(),
                        by: format!("pod {}", other.name()),
                    }));
                }
            }
            let mut taken = networks.check_ports(&pod.uid, std::slice::from_ref(&lib_port));
            for uid in leaving {
                if taken.is_ok() {
                    break;
                }
                taken = networks.check_ports(uid, std::slice::from_ref(&lib_port));
            }
            taken.map_err(told)?;
        }
    }
    Ok(())
}
