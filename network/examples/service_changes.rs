//! Measures how long a change of one endpoint takes among many Services. Run it in a network namespace of its own:
//!
//! unshare --net service_changes SERVICES ENDPOINTS (of each Service)

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Instant;

use network::Networks;
use network::service::{Protocol, Service, ServicePort};

/// Returns the n-th Service, whose first `endpoints` endpoints are ready.
fn service(ranges: &[ipnet::IpNet], n: u16, endpoints: u16) -> Service {
    let ip = match ranges.first().map(ipnet::IpNet::network) {
        Some(IpAddr::V4(ip)) => IpAddr::V4(Ipv4Addr::from(u32::from(ip) + u32::from(n) + 2)),
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let endpoint = |k: u16| {
        let [high, low] = n.to_be_bytes();
        SocketAddr::from(([10, 3 + high, low, u8::try_from(k).unwrap_or_default()], 8080))
    };
    Service {
        name: format!("default/web-{n}"),
        cluster_ips: vec![ip],
        external_ips: Vec::new(),
        affinity: None,
        ports: vec![ServicePort {
            protocol: Protocol::Tcp,
            port: 80,
            node_port: None,
            load_balancer: false,
            endpoints: (0..endpoints).map(endpoint).collect(),
        }],
    }
}

fn measure(services: u16, endpoints: u16) -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("kube-services-{}", std::process::id()));
    let networks = Networks::new(&dir.join("root"), &dir.join("run"), &std::env::current_exe()?);
    let ranges = networks.service_ranges()?;
    let mut all: Vec<Service> = (0..services).map(|n| service(&ranges, n, endpoints)).collect();
    let since = Instant::now();
    networks.set_services(&all)?;
    println!("{services} Services of {endpoints} endpoints, whole: {:?}", since.elapsed());
    let mut times = Vec::new();
    for n in 0..40_u16 {
        let at = usize::from(n.wrapping_mul(7) % services);
        if let Some(one) = all.get_mut(at) {
            *one = service(&ranges, n.wrapping_mul(7) % services, endpoints - 1 + n % 2 * 2);
        }
        let since = Instant::now();
        networks.set_services(&all)?;
        times.push(since.elapsed());
    }
    times.sort();
    let at = |part: usize| times.get((times.len() * part).checked_div(100).unwrap_or_default()).copied();
    println!("one endpoint: median {:?}, 90% {:?}, most {:?}", at(50), at(90), times.last());
    let since = Instant::now();
    networks.set_services(&all)?;
    println!("no change: {:?}", since.elapsed());
    let since = Instant::now();
    networks.set_services(&[])?;
    println!("removal: {:?}", since.elapsed());
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|number| number.parse().unwrap_or(1_u16).max(1));
    let (services, endpoints) = (numbers.next().unwrap_or(200), numbers.next().unwrap_or(5));
    match measure(services, endpoints) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
