//! How fast a container can write, and what keeping its log costs.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::time::Instant;

use crate::Bench;
use crate::engine::Engine;
use crate::memory::keepers;
use crate::report::{Row, Target, Unit};

/// Measures a container that writes a file of lines to its stdout as fast as they are read.
pub fn throughput(bench: &Bench) -> Vec<Row> {
    let megabytes = if bench.options.quick { 40 } else { 200 };
    let mut rates = <[Vec<f64>; 2]>::default();
    let mut cpu = <[Vec<f64>; 2]>::default();
    for run in 0..=bench.options.few() {
        for engine in bench.engines() {
            let (rate, spent) = talk(engine, megabytes);
            if run > 0 {
                rates[engine.index()].push(rate);
                cpu[engine.index()].push(spent);
            }
        }
    }
    vec![
        Row::new(
            "log throughput of one chatty container",
            Unit::MegabytesPerSecond,
            Target::AtLeastPodman,
            rates,
        ),
        Row::new(
            "CPU time of its keeper for 100 MB of log",
            Unit::Milliseconds,
            Target::BelowPodman(1.0),
            cpu,
        ),
    ]
}

/// Returns MB per second, and milliseconds of CPU time per 100 MB of the process that keeps the log.
fn talk(engine: &dyn Engine, megabytes: usize) -> (f64, f64) {
    let dir = engine.dir().join("talk");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir(&dir).unwrap();
    let line = format!("{:0>99}\n", "a line of the log as programs write them, no more, no less");
    fs::write(dir.join("lines"), line.repeat(megabytes * 10_000)).unwrap();
    for fifo in ["go", "done"] {
        nix::unistd::mkfifo(&dir.join(fifo), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    let yaml = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: talk\nspec:\n  terminationGracePeriodSeconds: 0\n  \
         restartPolicy: Never\n  containers:\n  - name: c0\n    image: {}\n    \
         command: [sh, -c, \"read x < /talk/go; cat /talk/lines; echo > /talk/done; sleep 1000\"]\n    \
         volumeMounts:\n    - {{name: talk, mountPath: /talk}}\n  volumes:\n  - name: talk\n    \
         hostPath: {{path: {}, type: Directory}}\n",
        tests::image::BUSYBOX,
        dir.display()
    );
    let file = engine.manifest("talk", &yaml);
    engine.play(&file);
    let mut go = File::options().write(true).open(dir.join("go")).unwrap();
    let before = busy(engine);
    let begun = Instant::now();
    go.write_all(b"\n").unwrap();
    drop(go);
    File::open(dir.join("done")).unwrap().read_to_end(&mut Vec::new()).unwrap();
    let took = begun.elapsed().as_secs_f64();
    // The bytes that are still in the pipe belong to the measurement too; they are few.
    let spent = busy(engine) - before;
    engine.down(&file);
    (megabytes as f64 / took, spent * 100.0 / megabytes as f64)
}

/// Returns the CPU time of an engine's supervising processes, in milliseconds.
fn busy(engine: &dyn Engine) -> f64 {
    let of = |pid: i32| {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let time = |path: std::path::PathBuf| {
            let text = fs::read_to_string(path.join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        };
        tasks.filter_map(|task| time(task.path())).sum::<f64>() / 1e6
    };
    keepers(engine).iter().map(|p| of(p.pid)).sum()
}
