//! Commands that change nothing.

use crate::Bench;
use crate::manifests;
use crate::report::{Row, Target, Unit};

/// Measures `ps` without pods and with twenty.
pub fn ps(bench: &Bench) -> Vec<Row> {
    let mut rows = Vec::new();
    let empty = list(bench);
    rows.push(Row::new("ps without pods", Unit::Milliseconds, Target::None, empty));
    let yaml = manifests::pods(20);
    for engine in bench.engines() {
        let file = engine.manifest("twenty", &yaml);
        engine.play(&file);
    }
    let twenty = list(bench);
    for engine in bench.engines() {
        engine.down(engine.manifest("twenty", &yaml).as_str());
    }
    rows.push(Row::new("ps with 20 pods", Unit::Milliseconds, Target::AtMost(5.0), twenty));
    rows
}

fn list(bench: &Bench) -> [Vec<f64>; 2] {
    let mut samples = <[Vec<f64>; 2]>::default();
    for run in 0..=bench.options.runs * 2 {
        for engine in bench.engines() {
            let took = engine.time(&engine.ps_arguments()).as_secs_f64() * 1e3;
            if run > 0 {
                samples[engine.index()].push(took);
            }
        }
    }
    samples
}

/// Measures `generate` of ten containers.
pub fn generate(bench: &Bench) -> Vec<Row> {
    let yaml = manifests::pod("ten", 10, "", "");
    let mut samples = <[Vec<f64>; 2]>::default();
    for engine in bench.engines() {
        engine.play(&engine.manifest("ten", &yaml));
    }
    for run in 0..=bench.options.runs {
        for engine in bench.engines() {
            let took = engine.time(&engine.generate_arguments("ten")).as_secs_f64() * 1e3;
            if run > 0 {
                samples[engine.index()].push(took);
            }
        }
    }
    for engine in bench.engines() {
        engine.down(&engine.manifest("ten", &yaml));
    }
    vec![Row::new("generate, 10 containers", Unit::Milliseconds, Target::AtMost(5.0), samples)]
}
