//! The memory that pods need in addition to their containers: supervisors, or conmons.

use std::time::Duration;

use tests::Process;

use crate::Bench;
use crate::engine::Engine;
use crate::manifests;
use crate::report::{Row, Target, Unit};

/// Returns the proportional set size of processes, in MB.
fn pss(processes: &[Process]) -> f64 {
    let of = |process: &Process| {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("Pss:")).unwrap_or("0");
        line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or(0.0)
    };
    processes.iter().map(of).sum::<f64>() / 1024.0
}

/// Returns the processes that supervise the pods of an engine.
pub fn keepers(engine: &dyn Engine) -> Vec<Process> {
    let dir = engine.dir().to_str().unwrap();
    let keeps = |p: &Process| {
        let mut words = p.command.split(' ');
        let (program, first) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        p.command.contains(dir) && (program.ends_with("conmon") || first == "supervise")
    };
    tests::processes().into_iter().filter(keeps).collect()
}

fn name_servers(engine: &dyn Engine) -> Vec<Process> {
    let dir = engine.dir().to_str().unwrap();
    let serves = |p: &Process| p.command.contains(" name-server ") && p.command.contains(dir);
    tests::processes().into_iter().filter(serves).collect()
}

/// Plays a manifest, waits until it has settled, and returns the MB of its supervising processes and of the name
/// server.
fn resident(engine: &dyn Engine, yaml: &str) -> (f64, f64) {
    let file = engine.manifest("memory", yaml);
    engine.play(&file);
    std::thread::sleep(Duration::from_secs(2));
    let megabytes = (pss(&keepers(engine)), pss(&name_servers(engine)));
    engine.down(&file);
    megabytes
}

/// Measures one pod alone, the mean of twenty, each further container, and the name server.
pub fn all(bench: &Bench) -> Vec<Row> {
    let mut alone = <[Vec<f64>; 2]>::default();
    let mut mean = <[Vec<f64>; 2]>::default();
    let mut further = <[Vec<f64>; 2]>::default();
    let mut names = <[Vec<f64>; 2]>::default();
    let runs = if bench.options.quick { 1 } else { 3 };
    for _ in 0..runs {
        for engine in bench.engines() {
            let at = engine.index();
            let (one, server) = resident(engine, &manifests::pod("one", 1, "", ""));
            alone[at].push(one);
            if server > 0.0 {
                names[at].push(server);
            }
            let (eleven, _) = resident(engine, &manifests::pod("eleven", 11, "", ""));
            further[at].push((eleven - one) / 10.0);
            mean[at].push(resident(engine, &manifests::pods(20)).0 / 20.0);
        }
    }
    let megabytes = Unit::Megabytes;
    vec![
        Row::new("resident PSS, one 1-container pod alone", megabytes, Target::AtMost(2.0), alone),
        Row::new("the same, mean over 20 pods", megabytes, Target::AtMost(0.5), mean),
        Row::new("resident PSS, each further container", megabytes, Target::AtMost(50.0 / 1024.0), further),
        Row::new("resident PSS, the name server of all pods", megabytes, Target::None, names),
    ]
}

/// Measures how often the supervising processes of an idle pod wake up per minute.
pub fn idle(bench: &Bench) -> Vec<Row> {
    let yaml = manifests::pod("one", 1, "", "");
    for engine in bench.engines() {
        engine.play(&engine.manifest("idle", &yaml));
    }
    std::thread::sleep(Duration::from_secs(2));
    let seconds = if bench.options.quick { 6 } else { 60 };
    let count = || bench.engines().iter().map(|e| switches(&keepers(*e))).collect::<Vec<_>>();
    let before = count();
    std::thread::sleep(Duration::from_secs(seconds));
    let after = count();
    let mut samples = <[Vec<f64>; 2]>::default();
    for (n, engine) in bench.engines().iter().enumerate() {
        samples[engine.index()].push((after[n] - before[n]) * 60.0 / seconds as f64);
        engine.down(&engine.manifest("idle", &yaml));
    }
    let what = "idle wake-ups of what keeps a pod (supervisor; conmons), a minute";
    vec![Row::new(what, Unit::Count, Target::AtMost(0.0), samples)]
}

/// Returns how often processes have been scheduled on a CPU.
fn switches(processes: &[Process]) -> f64 {
    let of = |process: &Process| {
        let text = std::fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap_or_default();
        let fields = text.lines().filter_map(|l| l.split_once("voluntary_ctxt_switches:"));
        fields
            .filter(|(before, _)| before.is_empty())
            .filter_map(|(_, n)| n.trim().parse::<f64>().ok())
            .sum::<f64>()
    };
    processes.iter().map(of).sum()
}
