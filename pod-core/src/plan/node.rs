//! Reads the facts about this host as a Kubernetes node. This is the only file of `plan` that reads from the host.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::Node;

/// The file in which systemd-resolved lists the servers to which it forwards queries.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// Returns this host as a node. Facts that cannot be read are left empty.
pub fn node() -> Node {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let resolv_conf = choose_resolv_conf(read("/etc/resolv.conf"), || fs::read_to_string(RESOLVED).ok());
    Node {
        name: name(),
        ips: ips(),
        cpu_millis: u64::try_from(cpus).unwrap_or(1).saturating_mul(1000),
        memory: memory(&read("/proc/meminfo")),
        storage: 0,
        resolv_conf,
        hosts: read("/etc/hosts"),
    }
}

/// Returns this host as a node, with the size of the file system that pods write to, which is that of `root`.
pub fn node_with_storage(root: &Path) -> Node {
    let storage = rustix::fs::statvfs(root).map_or(0, |found| found.f_blocks.saturating_mul(found.f_frsize));
    Node { storage, ..node() }
}

/// Returns the host name, in lower case as the kubelet uses it.
pub fn name() -> String {
    nix::unistd::gethostname().ok().and_then(|n| n.into_string().ok()).unwrap_or_default().to_lowercase()
}

/// Returns the resolv.conf to use for pods. If all servers of /etc/resolv.conf are on loopback, it names a stub
/// resolver that pods cannot reach, so the file of systemd-resolved is used.
fn choose_resolv_conf(etc: String, resolved: impl Fn() -> Option<String>) -> String {
    let servers: Vec<IpAddr> =
        etc.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok()).collect();
    if !servers.is_empty() && servers.iter().all(IpAddr::is_loopback) {
        resolved().unwrap_or(etc)
    } else {
        etc
    }
}

/// Returns MemTotal of /proc/meminfo (proc_meminfo(5)) in bytes.
fn memory(meminfo: &str) -> u64 {
    meminfo
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        })
        .map_or(0, |kib| kib.saturating_mul(1024))
}

/// Returns the addresses of this host, at most one per family. The address of the interface with the default route is
/// preferred; otherwise any global IPv4 address is used that is not on a bridge of this program.
pub fn ips() -> Vec<IpAddr> {
    let found = network::host_addresses().unwrap_or_default();
    let v4_device = fs::read_to_string("/proc/net/route").ok().and_then(|text| default_device_v4(&text));
    let has_v6 = found.iter().any(|(_, ip)| ip.is_ipv6());
    let v6_source = has_v6.then(default_source_v6).flatten();
    let v6_device = found.iter().find(|(_, ip)| Some(*ip) == v6_source).map(|(name, _)| name.clone());
    let best = |v4: bool, device: Option<&str>| {
        let mut of_family = found.iter().filter(|(_, ip)| ip.is_ipv4() == v4);
        let on_default = of_family.clone().find(|(name, _)| Some(name.as_str()) == device);
        // Without a default route, only an IPv4 address is used.
        on_default.or_else(|| of_family.next().filter(|_| v4)).map(|(_, ip)| *ip)
    };
    let mut ips: Vec<IpAddr> =
        [best(true, v4_device.as_deref()), best(false, v6_device.as_deref())].into_iter().flatten().collect();
    if ips.is_empty() {
        ips.push(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    }
    ips
}

/// Returns the device of the default route with the lowest metric in /proc/net/route (destination and mask 0).
fn default_device_v4(text: &str) -> Option<String> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (device, destination, metric, mask) =
                (fields.first()?, fields.get(1)?, fields.get(6)?, fields.get(7)?);
            (*destination == "00000000" && *mask == "00000000")
                .then(|| (metric.parse::<u32>().unwrap_or(u32::MAX), (*device).to_owned()))
        })
        .min()
        .map(|(_, device)| device)
}

/// Returns the IPv6 address that this host uses for its default route. Connecting a datagram socket sends no packet,
/// but makes the kernel look up a route (udp(7)). /proc/net/ipv6_route is not read, because it has several lines per
/// pod of this host.
fn default_source_v6() -> Option<IpAddr> {
    // An address of the documentation block (RFC 3849), which only the default route covers.
    let anywhere = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let socket = std::net::UdpSocket::bind((std::net::Ipv6Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((anywhere, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Returns the memory of this host in bytes; 0 if it cannot be read.
pub fn total_memory() -> u64 {
    memory(&fs::read_to_string(Path::new("/proc/meminfo")).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_an_address_processors_and_memory() {
        let node = node();
        assert!(!node.name.is_empty());
        assert!(!node.ips.is_empty());
        assert!(node.cpu_millis >= 1000);
        assert!(node.memory > 1 << 20);
        assert!(node_with_storage(Path::new("/")).storage > 1 << 20);
    }

    #[test]
    fn a_stub_resolver_on_loopback_is_replaced_by_its_upstream_servers() {
        let stub = "nameserver 127.0.0.53\noptions edns0\n".to_owned();
        let real = || Some("nameserver 192.0.2.1\n".to_owned());
        assert_eq!(choose_resolv_conf(stub.clone(), real), "nameserver 192.0.2.1\n");
        assert_eq!(choose_resolv_conf(stub.clone(), || None), stub);
        let mixed = "nameserver 127.0.0.1\nnameserver 192.0.2.9\n".to_owned();
        assert_eq!(choose_resolv_conf(mixed.clone(), real), mixed);
    }

    #[test]
    fn the_default_route_with_the_lowest_metric_names_the_device() {
        let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
        let routes = format!(
            "{head}wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
             eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             eth1\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        );
        assert_eq!(default_device_v4(&routes).as_deref(), Some("eth0"));
        assert_eq!(default_device_v4(head), None);
    }
}
