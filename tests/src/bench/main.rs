//! The benchmark of `make bench`: plays the same manifests on `kube` and on podman (or, with `--before`, on another
//! build of `kube`) in turn, on this host, in one run, and measures the floors below both. Each family of measurements has a file; `FAMILIES` lists them.

// A measurement that fails ends the run with its reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::format_push_string
)]

mod cgroup;
mod engine;
mod floors;
mod ingress;
mod kube;
mod logs;
mod manifests;
mod memory;
mod names;
mod netns;
mod options;
mod podman;
mod probes;
mod pull;
mod query;
mod report;
mod scale;
mod services;
mod start;
mod statistics;
mod trace;

use std::time::Instant;

use engine::Engine;
use options::Options;
use report::Row;

/// The input of every family.
pub struct Bench {
    options: Options,
    kube: kube::Kube,
    other: Option<Other>,
}

/// What `kube` is compared with.
enum Other {
    Podman(podman::Podman),
    /// Another build of `kube`.
    Before(kube::Kube),
}

impl Bench {
    /// Returns the engines in the order of their turns.
    fn engines(&self) -> Vec<&dyn Engine> {
        let other = self.other.as_ref().map(|other| match other {
            Other::Podman(podman) => podman as &dyn Engine,
            Other::Before(kube) => kube,
        });
        [&self.kube as &dyn Engine].into_iter().chain(other).collect()
    }

    /// Returns the builds of `kube` in the order of their turns.
    fn builds(&self) -> Vec<&dyn Engine> {
        let mut engines = self.engines();
        engines.truncate(if self.other_is_podman() { 1 } else { 2 });
        engines
    }

    fn other_is_podman(&self) -> bool {
        matches!(self.other, Some(Other::Podman(_)))
    }
}

/// A family: its name, what it measures, and the function that measures it.
type Family = (&'static str, &'static str, fn(&Bench) -> Vec<Row>);

const FAMILIES: &[Family] = &[
    ("play", "play and down of one container", start::one),
    ("port", "play with a hostPort until the first GET", start::host_port),
    ("host", "play with hostNetwork", start::host_network),
    ("ten", "play of ten containers in one pod", start::ten_containers),
    ("pods", "play of twenty pods", start::twenty_pods),
    ("cpu", "CPU time of play", start::cpu),
    ("ps", "ps, without pods and with twenty", query::ps),
    ("generate", "generate of ten containers", query::generate),
    ("memory", "resident memory of supervisors", memory::all),
    ("idle", "wake-ups of a supervisor that has nothing to do", memory::idle),
    ("logs", "throughput of logs", logs::throughput),
    ("probes", "cost of probes", probes::all),
    ("services", "change of endpoints, and requests through a Service", services::all),
    ("names", "names per second", names::all),
    ("pull", "pull and unpack of a big image", pull::all),
    ("many", "cost of a pod beside many others", scale::all),
    ("ingress", "the Ingress proxy beside nginx", ingress::all),
    ("floors", "OCI create and start alone, netavark alone", floors::all),
];

fn main() {
    let options = Options::parse(FAMILIES);
    if rustix::process::geteuid().as_raw() != 0 {
        eprintln!("bench: containers and networks need root");
        std::process::exit(1);
    }
    let kube = kube::Kube::new(&options.kube);
    let other = match &options.before {
        Some(program) => Some(Other::Before(kube::Kube::before(program))),
        None => options.podman.then(|| Other::Podman(podman::Podman::new())),
    };
    let bench = Bench { options, kube, other };
    let mut rows = Vec::new();
    for (name, about, measure) in FAMILIES {
        if !bench.options.wants(name) {
            continue;
        }
        eprintln!("bench: {about} ...");
        let begun = Instant::now();
        let measured = measure(&bench);
        for row in &measured {
            eprintln!("  {}", row.line());
        }
        eprintln!("  ({:.0} s)", begun.elapsed().as_secs_f64());
        rows.extend(measured);
    }
    let print = if bench.options.before.is_some() { report::builds } else { report::table };
    println!("{}", print(&rows));
    if let Some(path) = &bench.options.write {
        eprintln!("bench: where the time of play goes ...");
        report::write(path, &rows, &trace::play(&bench))
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}
