//! Whether a pod takes longer when there are many pods.

use crate::Bench;
use crate::engine::Engine;
use crate::manifests;
use crate::report::{Row, Target, Unit};
use crate::statistics::median;

/// Plays 200 pods one after the other and compares the last ones with the first.
pub fn all(bench: &Bench) -> Vec<Row> {
    let pods = if bench.options.quick { 40 } else { 200 };
    let kube: &dyn Engine = &bench.kube;
    let mut times = Vec::new();
    for n in 0..pods {
        let file = kube.manifest("many", &manifests::pod(&format!("many{n}"), 1, "", ""));
        times.push(kube.play(&file).as_secs_f64() * 1e3);
    }
    kube.time(&["down", "--all"]);
    // The first pod is left out, because it creates the bridge and starts the name server.
    let first = median(&times[1..=20]).unwrap();
    let last = median(&times[pods - 20..]).unwrap();
    let row = |what: &str, unit, target, value| Row::new(what, unit, target, [vec![value], vec![]]);
    vec![
        row("play of a pod beside 1 to 20 others", Unit::Milliseconds, Target::None, first),
        row(&format!("play of a pod beside {} others", pods - 20), Unit::Milliseconds, Target::None, last),
        row(&format!("cost per pod from 1 to {pods}"), Unit::Times, Target::AtMost(1.2), last / first),
    ]
}
