//! Gives a Service what an API server gives it: defaults, families, addresses and NodePorts. It is pure. Source:
//! pkg/registry/core/service/storage.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};

use crate::manifest::NODE_PORTS;
use crate::plan::defaults;

/// How many ports at the beginning of the range are not given away: an API server keeps them for NodePorts that manifests
/// name.
const NAMED_NODE_PORTS: u16 = 86;

/// What is free for Services.
pub struct Pool<'a> {
    /// The name of the instance: different instances choose different ports.
    pub instance: String,
    /// The ranges of addresses, the preferred family first.
    pub ranges: Vec<IpNet>,
    /// The addresses that other Services have, with their names.
    pub ips: BTreeMap<IpAddr, String>,
    /// The NodePorts by number and protocol that other Services have, with their names.
    pub node_ports: BTreeMap<(u16, String), String>,
    /// Returns who has a port of the host, given by number and protocol, if it is neither free nor of a Service.
    pub taken_by: &'a dyn Fn(u16, &str) -> Option<String>,
}

/// Why a Service cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The field.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Refused {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Returns a played Service as it is recorded. `before` is the recorded Service of that name, whose addresses and
/// NodePorts it keeps. What it gets is entered into the pool.
///
/// # Errors
/// If it asks for something that is taken, does not exist here, or cannot be changed.
pub fn complete(
    mut service: Service,
    before: Option<&Service>,
    pool: &mut Pool<'_>,
) -> Result<Service, Refused> {
    let name = format!(
        "{}/{}",
        service.metadata.namespace.as_deref().unwrap_or_default(),
        service.metadata.name.as_deref().unwrap_or_default()
    );
    let before = before.and_then(|before| before.spec.as_ref());
    let spec = service.spec.get_or_insert_default();
    defaults::service_spec(spec);
    if spec.type_.as_deref() == Some("ExternalName") {
        return Ok(service);
    }
    let before = before.filter(|before| before.type_.as_deref() != Some("ExternalName"));
    keep(spec, before, &pool.ranges)?;
    families(spec, before, &pool.ranges)?;
    addresses(spec, &name, pool)?;
    node_ports(spec, before, &name, pool)?;
    Ok(service)
}

/// Keeps the addresses of the recorded Service, and refuses others. Addresses of a former range are forgotten: the network
/// has chosen another one, because the former collided with a route of the host.
fn keep(spec: &mut ServiceSpec, before: Option<&ServiceSpec>, ranges: &[IpNet]) -> Result<(), Refused> {
    if spec.cluster_ips.as_ref().is_none_or(Vec::is_empty) {
        spec.cluster_ips = spec.cluster_ip.clone().filter(|ip| !ip.is_empty()).map(|ip| vec![ip]);
    }
    let is_of_range = |ip: &String| {
        let ip = ip.parse::<IpAddr>();
        ip.map_or(true, |ip| ranges.is_empty() || ranges.iter().any(|range| range.contains(&ip)))
    };
    let known = before.and_then(|before| before.cluster_ips.clone()).unwrap_or_default();
    if known.is_empty() || !known.iter().all(is_of_range) {
        return Ok(());
    }
    let given = spec.cluster_ips.get_or_insert_default();
    let path = if given.len() > 1 { "spec.clusterIPs[0]" } else { "spec.clusterIP" };
    match (given.first(), known.first()) {
        (Some(given), Some(known)) if !is_same(given, known) => {
            let message = format!("may not change once set: is {known}, and would become {given}");
            return Err(Refused::new(path, message));
        }
        _ => {}
    }
    for (index, ip) in known.into_iter().enumerate() {
        match given.get(index) {
            None => given.push(ip),
            Some(new) if index > 0 && !is_same(new, &ip) => {
                let message = format!("may not change once set: is {ip}, and would become {new}");
                return Err(Refused::new(format!("spec.clusterIPs[{index}]"), message));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn is_same(a: &str, b: &str) -> bool {
    match (a.parse::<IpAddr>(), b.parse::<IpAddr>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

fn family(is_ipv4: bool) -> &'static str {
    if is_ipv4 { "IPv4" } else { "IPv6" }
}

/// Decides on ipFamilies and ipFamilyPolicy.
fn families(spec: &mut ServiceSpec, before: Option<&ServiceSpec>, ranges: &[IpNet]) -> Result<(), Refused> {
    let headless = spec.cluster_ip.as_deref() == Some("None")
        || spec.cluster_ips.iter().flatten().any(|ip| ip == "None");
    let is_free = headless && spec.selector.as_ref().is_none_or(BTreeMap::is_empty);
    let known = |field: fn(&ServiceSpec) -> Option<String>| before.and_then(field);
    let default = if is_free { "RequireDualStack" } else { "SingleStack" };
    let policy = spec.ip_family_policy.clone().filter(|policy| !policy.is_empty());
    let policy = policy.or_else(|| known(|spec| spec.ip_family_policy.clone()));
    let policy = policy.unwrap_or_else(|| default.to_owned());

    let given = spec.ip_families.clone().filter(|families| !families.is_empty());
    let mut families = given.unwrap_or_else(|| {
        let addresses = spec.cluster_ips.iter().flatten().filter_map(|ip| ip.parse::<IpAddr>().ok());
        let of_addresses: Vec<String> = addresses.map(|ip| family(ip.is_ipv4()).to_owned()).collect();
        match before.and_then(|before| before.ip_families.clone()) {
            Some(known) if of_addresses.is_empty() => known,
            _ => of_addresses,
        }
    });
    let available: Vec<String> =
        ranges.iter().map(|range| family(range.addr().is_ipv4()).to_owned()).collect();
    if let Some(first) = before.and_then(|before| before.ip_families.as_ref()?.first())
        && families.first().is_some_and(|family| family != first)
    {
        let message = format!("may not change once set: is {first}");
        return Err(Refused::new("spec.ipFamilies[0]", message));
    }
    // A Service without addresses of its own has whatever its endpoints have.
    if !is_free && !available.is_empty() {
        for (index, family) in families.iter().enumerate() {
            if !available.contains(family) {
                let message = format!("this machine has no {family} for pods");
                return Err(Refused::new(format!("spec.ipFamilies[{index}]"), message));
            }
        }
    }
    for family in available.iter().map(String::as_str).chain(["IPv4", "IPv6"].into_iter().filter(|_| is_free))
    {
        let is_complete = families.len() >= if policy == "SingleStack" { 1 } else { 2 };
        if !is_complete && !families.iter().any(|known| known == family) {
            families.push(family.to_owned());
        }
    }
    match policy.as_str() {
        "SingleStack" => families.truncate(1),
        "RequireDualStack" if families.len() < 2 && !available.is_empty() => {
            let message = "this machine has one family of addresses for pods";
            return Err(
                Refused::new("spec.ipFamilyPolicy", message).hint("PreferDualStack takes what there is")
            );
        }
        _ => {}
    }
    spec.ip_family_policy = Some(policy);
    spec.ip_families = Some(families).filter(|families| !families.is_empty());
    Ok(())
}

/// Checks the addresses that are given and chooses the others.
fn addresses(spec: &mut ServiceSpec, name: &str, pool: &mut Pool<'_>) -> Result<(), Refused> {
    let given = spec.cluster_ips.clone().unwrap_or_default();
    if given.first().is_some_and(|ip| ip == "None") {
        spec.cluster_ip = Some("None".to_owned());
        spec.cluster_ips = Some(vec!["None".to_owned()]);
        return Ok(());
    }
    let families = spec.ip_families.clone().unwrap_or_default();
    let mut chosen: Vec<String> = Vec::new();
    for (index, family) in families.iter().enumerate() {
        let is_ipv4 = family == "IPv4";
        let Some(range) = pool.ranges.iter().find(|range| range.addr().is_ipv4() == is_ipv4).copied() else {
            continue;
        };
        let path = if index == 0 && given.len() < 2 {
            "spec.clusterIP".to_owned()
        } else {
            format!("spec.clusterIPs[{index}]")
        };
        let ip = match given.get(index).and_then(|ip| ip.parse::<IpAddr>().ok()) {
            Some(ip) if !is_usable(&range, ip) => {
                let message = format!("{ip} is not in the range of this instance, {range}");
                let hint = "leave it out for an address of that range";
                return Err(Refused::new(path, message).hint(hint));
            }
            Some(ip) => {
                if let Some(other) = pool.ips.get(&ip).filter(|other| *other != name) {
                    return Err(Refused::new(
                        path,
                        format!("{ip} is already the address of Service {other}"),
                    ));
                }
                ip
            }
            None => choose_ip(&range, name, &pool.ips)
                .ok_or_else(|| Refused::new(path, format!("all addresses of the range {range} are taken")))?,
        };
        pool.ips.insert(ip, name.to_owned());
        chosen.push(ip.to_string());
    }
    spec.cluster_ip = chosen.first().cloned();
    spec.cluster_ips = Some(chosen).filter(|chosen| !chosen.is_empty());
    Ok(())
}

fn is_usable(range: &IpNet, ip: IpAddr) -> bool {
    let is_edge = ip == range.network() || ip == range.broadcast() && ip.is_ipv4();
    // The first address is the host's own.
    range.contains(&ip) && !is_edge && ip != nth(range, 1)
}

/// Returns a free address. It depends on the name of the Service, so that a Service that is removed and played again
/// mostly has the same. As in a cluster, the first addresses of the range are left for those that manifests name.
fn choose_ip(range: &IpNet, name: &str, taken: &BTreeMap<IpAddr, String>) -> Option<IpAddr> {
    let bits = range.max_prefix_len().saturating_sub(range.prefix_len()).min(16);
    let size = 1_u64 << bits;
    let named = (size / 16).clamp(16, 256).min(size / 2);
    // The network's own address, that of the host and the last one are not used.
    let (first, last) = (named.max(2), size.saturating_sub(2));
    let count = last.checked_sub(first)?.saturating_add(1);
    let start = hash(name) % count;
    let later = (0..count).map(|step| first + (start + step) % count);
    later.chain(2..first).map(|offset| nth(range, offset)).find(|ip| !taken.contains_key(ip))
}

fn nth(range: &IpNet, offset: u64) -> IpAddr {
    match range.network() {
        IpAddr::V4(network) => {
            let offset = u32::try_from(offset).unwrap_or(u32::MAX);
            Ipv4Addr::from(u32::from(network).wrapping_add(offset)).into()
        }
        IpAddr::V6(network) => Ipv6Addr::from(u128::from(network).wrapping_add(u128::from(offset))).into(),
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Checks the NodePorts that are given, keeps those of the recorded Service and chooses the others.
fn node_ports(
    spec: &mut ServiceSpec,
    before: Option<&ServiceSpec>,
    name: &str,
    pool: &mut Pool<'_>,
) -> Result<(), Refused> {
    let needs = |spec: &ServiceSpec| match spec.type_.as_deref() {
        Some("NodePort") => true,
        Some("LoadBalancer") => spec.allocate_load_balancer_node_ports != Some(false),
        _ => false,
    };
    let known: BTreeMap<String, i32> = before
        .iter()
        .flat_map(|before| before.ports.iter().flatten())
        .filter_map(|port| Some((port.name.clone().unwrap_or_default(), port.node_port?)))
        .collect();
    let is_known = |port: u16, protocol: &str| {
        before.iter().flat_map(|before| before.ports.iter().flatten()).any(|known| {
            known.node_port == Some(i32::from(port)) && known.protocol.as_deref().unwrap_or("TCP") == protocol
        })
    };
    let is_needed = needs(spec);
    // What the recorded Service has is free for this one.
    pool.node_ports.retain(|_, other| other != name);
    let ports = spec.ports.get_or_insert_default();
    for (index, port) in ports.iter().enumerate() {
        let Some(number) = given(port.node_port) else { continue };
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        let path = format!("spec.ports[{index}].nodePort");
        let key = (number, protocol.clone());
        if let Some(other) = pool.node_ports.get(&key) {
            let message = format!("{number}/{protocol} is already the NodePort of Service {other}");
            return Err(Refused::new(path, message));
        }
        if !is_known(number, &protocol)
            && let Some(who) = (pool.taken_by)(number, &protocol)
        {
            let message = format!("{number}/{protocol} is taken on this machine by {who}");
            return Err(Refused::new(path, message).hint("leave it out for a free one"));
        }
        pool.node_ports.insert(key, name.to_owned());
    }
    if !is_needed {
        return Ok(());
    }
    let mut used: Vec<i32> = ports.iter().filter_map(|port| port.node_port).collect();
    for index in 0..ports.len() {
        let Some(port) = ports.get(index).filter(|port| given(port.node_port).is_none()) else { continue };
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        let is_free = |number: u16| {
            let has = pool.node_ports.get(&(number, protocol.clone()));
            has.is_none() && (is_known(number, &protocol) || (pool.taken_by)(number, &protocol).is_none())
        };
        let kept = known.get(port.name.as_deref().unwrap_or_default()).copied();
        let kept = kept.filter(|kept| !used.contains(kept)).and_then(|kept| given(Some(kept)));
        // The same port of another protocol has the same NodePort, as DNS needs it.
        let same = ports.iter().enumerate().find_map(|(other, sibling)| {
            (other != index && sibling.port == port.port).then(|| given(sibling.node_port)).flatten()
        });
        let chosen = [kept, same].into_iter().flatten().find(|number| is_free(*number));
        let chosen =
            chosen.or_else(|| choose_node_port(&format!("{} {name}:{}", pool.instance, port.port), &is_free));
        let Some(number) = chosen else {
            let (least, most) = NODE_PORTS.into_inner();
            let message = format!("all ports from {least} to {most} are taken");
            return Err(Refused::new(format!("spec.ports[{index}].nodePort"), message));
        };
        pool.node_ports.insert((number, protocol), name.to_owned());
        used.push(i32::from(number));
        if let Some(port) = ports.get_mut(index) {
            port.node_port = Some(i32::from(number));
        }
    }
    Ok(())
}

fn given(port: Option<i32>) -> Option<u16> {
    port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

fn choose_node_port(seed: &str, is_free: &dyn Fn(u16) -> bool) -> Option<u16> {
    let (least, most) = NODE_PORTS.into_inner();
    let first = least + NAMED_NODE_PORTS;
    let count = most - first + 1;
    let start = u16::try_from(hash(seed) % u64::from(count)).unwrap_or(0);
    let later = (0..count).map(|step| first + (start + step) % count);
    later.chain(least..first).find(|port| is_free(*port))
}

#[cfg(test)]
mod tests;
