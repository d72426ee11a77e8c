//! What probes cost, and how long it takes until a pod with probes is Ready.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tests::Process;
use tests::image::BUSYBOX;

use crate::Bench;
use crate::cgroup::cpu_time;
use crate::memory::keepers;
use crate::report::{Row, Target, Unit};
use crate::start::first_answer;

/// How many pods have a probe of kind httpGet.
const PODS: usize = 100;
/// How many containers have a probe of kind exec.
const EXEC: usize = 10;

/// Returns the CPU time that processes have used themselves, in milliseconds.
fn own_time(processes: &[Process]) -> f64 {
    let of = |process: &Process| {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", process.pid)).unwrap_or_default();
        text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0)
    };
    processes.iter().map(of).sum::<f64>() / 1e6
}

/// Returns the CPU time that the ended children of processes have used, in milliseconds (proc(5), cutime and cstime).
fn children_time(processes: &[Process]) -> f64 {
    let of = |process: &Process| {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
        let fields: Vec<&str> =
            text.rsplit_once(") ").map(|(_, fields)| fields.split(' ').collect()).unwrap_or_default();
        fields.iter().skip(13).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>()
    };
    // A tick is 10 ms for all programs (USER_HZ of Linux is 100).
    processes.iter().map(of).sum::<f64>() * 10.0
}

fn server(name: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  terminationGracePeriodSeconds: 0\n  \
         containers:\n  - name: httpd\n    image: {BUSYBOX}\n    command: [httpd, -f, -p, \"80\", -h, /www]\n\
         {container}"
    )
}

/// Measures the supervisors of 100 pods that have a probe of kind httpGet each second.
fn http(bench: &Bench) -> Row {
    let probe = "    livenessProbe:\n      httpGet: {path: /, port: 80}\n      periodSeconds: 1\n";
    let yaml: Vec<String> = (0..PODS).map(|n| server(&format!("p{n}"), probe)).collect();
    let yaml = yaml.join("---\n");
    let seconds = if bench.options.quick { 5.0 } else { 20.0 };
    let mut samples = <[Vec<f64>; 2]>::default();
    for engine in bench.builds() {
        let file = engine.manifest("probes", &yaml);
        engine.play(&file);
        std::thread::sleep(Duration::from_secs(3));
        let processes = keepers(engine);
        let before = own_time(&processes) + children_time(&processes);
        std::thread::sleep(Duration::from_secs_f64(seconds));
        let used = own_time(&processes) + children_time(&processes) - before;
        samples[engine.index()].push(used / seconds);
        engine.down(&file);
    }
    let what = "CPU time a second of supervisors, 100 pods with an httpGet probe each second";
    Row::new(what, Unit::Milliseconds, Target::AtMost(30.0), samples)
}

/// Measures one probe of kind exec: its supervisor, its worker and its command.
fn exec(bench: &Bench) -> Row {
    let containers: String = (0..EXEC)
        .map(|n| {
            format!(
                "  - name: c{n}\n    image: {BUSYBOX}\n    command: [sleep, \"100000\"]\n    livenessProbe:\n      \
                 exec: {{command: [\"true\"]}}\n      periodSeconds: 1\n      timeoutSeconds: 10\n"
            )
        })
        .collect();
    let yaml = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: commands\nspec:\n  terminationGracePeriodSeconds: 0\n  \
         containers:\n{containers}"
    );
    let seconds = if bench.options.quick { 5.0 } else { 20.0 };
    let mut samples = <[Vec<f64>; 2]>::default();
    for engine in bench.builds() {
        let file = engine.manifest("commands", &yaml);
        engine.play(&file);
        std::thread::sleep(Duration::from_secs(3));
        let processes = keepers(engine);
        let cgroups = engine.cgroups();
        // The children are counted in ticks of 10 ms, which is exact enough for the sum of hundreds of them. The cgroups
        // count the commands and the part of a worker that runs in the container.
        let all = || own_time(&processes) + children_time(&processes).max(cgroup_time(&cgroups));
        let before = all();
        std::thread::sleep(Duration::from_secs_f64(seconds));
        samples[engine.index()].push((all() - before) / (seconds * EXEC as f64));
        engine.down(&file);
    }
    Row::new("CPU time of one exec probe", Unit::Milliseconds, Target::AtMost(6.0), samples)
}

fn cgroup_time(cgroups: &[std::path::PathBuf]) -> f64 {
    cgroups.iter().filter_map(|dir| cpu_time(dir)).sum()
}

/// Measures a pod with a sidecar and probes until it is Ready. Podman knows neither sidecars nor readiness: it plays the
/// sidecar as an ordinary container, and counts until the server answers.
fn until_ready(bench: &Bench) -> Row {
    let port = tests::host_port();
    let ports = format!("    ports:\n    - containerPort: 80\n      hostPort: {}\n", port.number);
    let probes = "    startupProbe:\n      httpGet: {path: /, port: 80}\n      periodSeconds: 1\n    \
                  readinessProbe:\n      tcpSocket: {port: 80}\n      periodSeconds: 1\n";
    let sidecar = format!("  - name: sidecar\n    image: {BUSYBOX}\n    command: [sleep, \"100000\"]\n");
    let ours =
        server("ready", &format!("{ports}{probes}  initContainers:\n{sidecar}    restartPolicy: Always\n"));
    let theirs = server("ready", &format!("{ports}{sidecar}"));
    let mut samples = <[Vec<f64>; 2]>::default();
    for run in 0..=bench.options.few() {
        for engine in bench.engines() {
            let is_podman = engine.name() == "podman";
            let file = engine.manifest("ready", if is_podman { &theirs } else { &ours });
            let begun = Instant::now();
            if is_podman {
                engine.play(&file);
                first_answer(engine, SocketAddr::from(([127, 0, 0, 1], port.number)));
            } else {
                engine.time(&["play", &file, "--wait"]);
            }
            let took = begun.elapsed();
            engine.down(&file);
            if run > 0 {
                samples[engine.index()].push(took.as_secs_f64() * 1e3);
            }
        }
    }
    let what = "play of a pod with a sidecar and probes, until it is Ready (podman: until it answers)";
    Row::new(what, Unit::Milliseconds, Target::None, samples)
}

/// Measures the cost of probes.
pub fn all(bench: &Bench) -> Vec<Row> {
    vec![until_ready(bench), http(bench), exec(bench)]
}
