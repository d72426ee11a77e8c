//! What Services cost: a change of their endpoints, and connections through their addresses.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use tests::image::BUSYBOX;

use crate::Bench;
use crate::engine::Engine;
use crate::report::{Row, Target, Unit};
use crate::statistics::median;

/// The sizes of the instances that a change is measured in: Services and endpoints in all.
const SIZES: [(usize, usize); 3] = [(1, 1), (20, 100), (200, 1000)];
/// The most time that a change may take, in milliseconds.
const MOST_PER_CHANGE: f64 = 20.0;

/// Returns Services without selectors and the endpoints that they share out. `variant` changes one endpoint of the first.
fn many(services: usize, endpoints: usize, variant: u8) -> (String, String) {
    let each = endpoints.div_ceil(services);
    let mut all = String::new();
    let mut first = String::new();
    for service in 0..services {
        let _ = write!(
            all,
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s{service}}}\nspec:\n  ports: [{{name: http, port: 80}}]\n---\n"
        );
        let mut slice = format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: s{service}\n  \
             labels: {{kubernetes.io/service-name: s{service}}}\naddressType: IPv4\n\
             ports: [{{name: http, port: 8080, protocol: TCP}}]\nendpoints:\n"
        );
        for n in 0..each {
            let last = if service == 0 && n == 0 { variant } else { u8::try_from(n % 250 + 3).unwrap() };
            let _ = writeln!(slice, "- addresses: [10.{}.{}.{last}]", 200 + service / 250, service % 250);
        }
        if service == 0 {
            first.clone_from(&slice);
        }
        all += &slice;
        all += "---\n";
    }
    (all, first)
}

/// Returns the time that the program takes for nothing but its start and a look at one file.
fn start(engine: &dyn Engine, file: &str) -> f64 {
    engine.time(&["check", file]).as_secs_f64() * 1e3
}

/// Measures the change of one endpoint. `kube play` of the changed EndpointSlice does nothing else; what the program
/// takes to start and to read the file (`kube check`) is subtracted.
fn changes(bench: &Bench) -> Vec<Row> {
    let engine = bench.engines()[0];
    let row = |(services, endpoints): (usize, usize)| {
        let (all, first) = many(services, endpoints, 1);
        let (_, second) = many(services, endpoints, 2);
        let everything = engine.manifest("services", &all);
        let variants = [engine.manifest("first", &first), engine.manifest("second", &second)];
        engine.play(&everything);
        let mut samples = Vec::new();
        for run in 0..bench.options.few() * 2 {
            let file = &variants[(run + 1) % 2];
            let idle = start(engine, file);
            samples.push(engine.time(&["play", file]).as_secs_f64() * 1e3 - idle);
        }
        engine.down(&everything);
        let what = format!("change of one endpoint, {services} Services with {endpoints} endpoints in all");
        Row::new(&what, Unit::Milliseconds, Target::AtMost(MOST_PER_CHANGE), [samples, Vec::new()])
    };
    SIZES.map(row).into()
}

/// Answers requests of 16 bytes with 1024 bytes on `listener`, each connection in a thread, until `stop`.
fn serve(listener: &TcpListener, stop: &AtomicBool) {
    listener.set_nonblocking(false).unwrap();
    std::thread::scope(|scope| {
        for connection in listener.incoming() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let Ok(mut connection) = connection else { continue };
            scope.spawn(move || {
                let (mut request, answer) = ([0; 16], [b'x'; 1024]);
                while connection.read_exact(&mut request).is_ok() && connection.write_all(&answer).is_ok() {}
            });
        }
    });
}

/// Sends requests one after the other for `time`, and returns requests per second and the median latency in
/// microseconds. With `anew`, each request has a connection of its own.
fn ask(address: SocketAddr, anew: bool, time: Duration) -> (f64, f64) {
    let connect = || {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    };
    let mut stream = connect();
    let mut latencies = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        let one = Instant::now();
        if anew {
            stream = connect();
        }
        stream.write_all(&[b'?'; 16]).unwrap();
        stream.read_exact(&mut [0; 1024]).unwrap();
        latencies.push(one.elapsed().as_secs_f64() * 1e6);
    }
    (latencies.len() as f64 / begun.elapsed().as_secs_f64(), median(&latencies).unwrap())
}

/// Measures requests through a ClusterIP beside requests to the pod itself, in turns. The server is this program in the
/// network namespace of the pod.
fn requests(bench: &Bench) -> Vec<Row> {
    let engine = bench.engines()[0];
    let yaml = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: server}}\nspec:\n  selector: {{app: server}}\n  \
         ports: [{{port: 80, targetPort: 8080}}]\n---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: server\n  \
         labels: {{app: server}}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers:\n  - name: idle\n    \
         image: {BUSYBOX}\n    command: [sleep, \"100000\"]\n"
    );
    let file = engine.manifest("server", &yaml);
    engine.play(&file);
    let json = |arguments: &[&str]| -> Value {
        let output = engine.command(arguments).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let pod = json(&["inspect", "pod/server"]);
    let pod_ip: IpAddr = pod["status"]["podIP"].as_str().unwrap().parse().unwrap();
    let service = json(&["inspect", "service/server"]);
    let cluster_ip: IpAddr = service["spec"]["clusterIP"].as_str().unwrap().parse().unwrap();
    let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
    let stop = AtomicBool::new(false);
    let [mut rates, mut latencies, mut short] = <[[Vec<f64>; 2]; 3]>::default();
    std::thread::scope(|scope| {
        let netns = bench.kube.runroot().join("netns").join(&uid);
        let listener = scope.spawn(move || {
            let file = std::fs::File::open(netns).unwrap();
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network))
                .unwrap();
            TcpListener::bind(("0.0.0.0", 8080)).unwrap()
        });
        let listener = listener.join().unwrap();
        let stop = &stop;
        scope.spawn(move || serve(&listener, stop));
        let time = Duration::from_millis(if bench.options.quick { 100 } else { 500 });
        for run in 0..=bench.options.few() {
            for (index, address) in [(cluster_ip, 80).into(), (pod_ip, 8080).into()].into_iter().enumerate() {
                let (rate, latency) = ask(address, false, time);
                let (anew, _) = ask(address, true, time);
                if run > 0 {
                    rates[index].push(rate);
                    latencies[index].push(latency);
                    short[index].push(anew);
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect((pod_ip, 8080));
    });
    engine.down(&file);
    vec![
        Row::new(
            "requests per second on one connection: ClusterIP beside the pod's address",
            Unit::Count,
            Target::None,
            rates,
        ),
        Row::new(
            "latency in microseconds: ClusterIP beside the pod's address",
            Unit::Count,
            Target::None,
            latencies,
        ),
        Row::new(
            "connections per second: ClusterIP beside the pod's address",
            Unit::Count,
            Target::None,
            short,
        ),
    ]
}

/// Measures Services.
pub fn all(bench: &Bench) -> Vec<Row> {
    let mut rows = changes(bench);
    rows.extend(requests(bench));
    rows
}
