//! How long it takes until pods run, and until they are removed.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::cgroup::{Cgroup, cpu_time};
use crate::engine::Engine;
use crate::manifests;
use crate::report::{Row, Target, Unit};

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Plays and takes down a manifest on each engine in turn, and returns the milliseconds of play and of down.
fn play_and_down(bench: &Bench, name: &str, yaml: &str, runs: usize) -> ([Vec<f64>; 2], [Vec<f64>; 2]) {
    let (mut play, mut down) = (<[Vec<f64>; 2]>::default(), <[Vec<f64>; 2]>::default());
    // The first run fills caches and creates what is created only once.
    for run in 0..=runs {
        for engine in bench.engines() {
            let file = engine.manifest(name, yaml);
            let (up, gone) = (engine.play(&file), engine.down(&file));
            if run > 0 {
                play[engine.index()].push(milliseconds(up));
                down[engine.index()].push(milliseconds(gone));
            }
        }
    }
    (play, down)
}

/// Measures play and down of one container.
pub fn one(bench: &Bench) -> Vec<Row> {
    let yaml = manifests::pod("one", 1, "", "");
    let (play, down) = play_and_down(bench, "one", &yaml, bench.options.runs);
    let mut to_the_end = <[Vec<f64>; 2]>::default();
    for _ in 0..bench.options.runs {
        for engine in bench.engines() {
            let file = engine.manifest("one", &yaml);
            engine.play(&file);
            to_the_end[engine.index()].push(milliseconds(engine.time(&engine.whole_down_arguments(&file))));
            engine.settle();
        }
    }
    vec![
        Row::new("play, 1 container, until it runs", Unit::Milliseconds, Target::AtMost(40.0), play),
        Row::new("down, 1 container that obeys TERM", Unit::Milliseconds, Target::AtMost(40.0), down),
        Row::new(
            "down --wait, 1 container, until all is given back",
            Unit::Milliseconds,
            Target::None,
            to_the_end,
        ),
    ]
}

/// Measures one container in the host's network.
pub fn host_network(bench: &Bench) -> Vec<Row> {
    let yaml = manifests::pod("host", 1, "  hostNetwork: true\n", "");
    let (play, _) = play_and_down(bench, "host", &yaml, bench.options.runs);
    vec![Row::new("play, hostNetwork, 1 container", Unit::Milliseconds, Target::AtMost(25.0), play)]
}

/// Measures ten containers in one pod.
pub fn ten_containers(bench: &Bench) -> Vec<Row> {
    let yaml = manifests::pod("ten", 10, "", "");
    let (play, down) = play_and_down(bench, "ten", &yaml, bench.options.few());
    vec![
        Row::new("play, 10 containers in one pod", Unit::Milliseconds, Target::AtMost(90.0), play),
        Row::new("down, 10 containers in one pod", Unit::Milliseconds, Target::None, down),
    ]
}

/// Measures twenty pods of one container in one file.
pub fn twenty_pods(bench: &Bench) -> Vec<Row> {
    let (play, down) = play_and_down(bench, "twenty", &manifests::pods(20), bench.options.few());
    vec![
        Row::new("play, 20 pods", Unit::Milliseconds, Target::AtMost(400.0), play),
        Row::new("down, 20 pods", Unit::Milliseconds, Target::None, down),
    ]
}

/// Measures a published port: from the start of play until a GET is answered.
pub fn host_port(bench: &Bench) -> Vec<Row> {
    let port = tests::host_port();
    let yaml = manifests::web(port.number);
    let mut samples = <[Vec<f64>; 2]>::default();
    for run in 0..=bench.options.runs {
        for engine in bench.engines() {
            let file = engine.manifest("web", &yaml);
            let begun = Instant::now();
            engine.play(&file);
            first_answer(engine, SocketAddr::from(([127, 0, 0, 1], port.number)));
            let took = begun.elapsed();
            engine.down(&file);
            if run > 0 {
                samples[engine.index()].push(milliseconds(took));
            }
        }
    }
    let what = "play with hostPort, until the first GET answers";
    vec![Row::new(what, Unit::Milliseconds, Target::AtMost(45.0), samples)]
}

/// Sends requests until one is answered, because a container that has started may not listen yet.
pub fn first_answer(engine: &dyn Engine, address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match engine.get(address) {
            Ok(response) if response.status == 200 => return,
            other => assert!(Instant::now() < deadline, "no answer from {address}: {other:?}"),
        }
    }
}

/// Measures the CPU time of play with all that it starts: supervisor, workers, helpers, and the start of the
/// container itself.
pub fn cpu(bench: &Bench) -> Vec<Row> {
    let yaml = manifests::pod("one", 1, "", "");
    let mut samples = <[Vec<f64>; 2]>::default();
    for run in 0..=bench.options.runs {
        for engine in bench.engines() {
            let file = engine.manifest("one", &yaml);
            let took = play_in_cgroup(engine, &file);
            engine.down(&file);
            if run > 0 {
                samples[engine.index()].push(took);
            }
        }
    }
    vec![Row::new("CPU time of play, 1 container", Unit::Milliseconds, Target::AtMost(25.0), samples)]
}

fn play_in_cgroup(engine: &dyn Engine, file: &str) -> f64 {
    let before: f64 = engine.cgroups().iter().filter_map(|dir| cpu_time(dir)).sum();
    let cgroup = Cgroup::new(engine.name());
    let mut command = engine.command(&engine.play_arguments(file));
    let entry = std::ffi::CString::new(cgroup.entry().to_str().unwrap()).unwrap();
    let join = move || {
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
        let fd = rustix::fs::open(entry.as_c_str(), flags, rustix::fs::Mode::empty())?;
        rustix::io::write(&fd, b"0")?;
        Ok(())
    };
    // SAFETY: the closure opens a file and writes to it, and both calls are allowed between fork and exec.
    unsafe { command.pre_exec(join) };
    engine.time_command(&mut command);
    // The work of the supervisor right after its answer counts too.
    std::thread::sleep(Duration::from_millis(30));
    let own = cgroup.time();
    let after: f64 = engine.cgroups().iter().filter_map(|dir| cpu_time(dir)).sum();
    leave(&cgroup);
    own + (after - before).max(0.0)
}

/// Moves the processes in the cgroup to the parent cgroup, so that the cgroup can be removed.
fn leave(cgroup: &Cgroup) {
    let entry = cgroup.entry();
    let root = entry.parent().and_then(|dir| dir.parent()).unwrap().join("cgroup.procs");
    for pid in std::fs::read_to_string(&entry).unwrap_or_default().lines() {
        let _ = std::fs::write(&root, pid);
    }
}
