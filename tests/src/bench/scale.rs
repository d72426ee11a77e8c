//! Whether a pod takes longer when there are many pods.

use crate::Bench;
use crate::manifests;
use crate::report::{Row, Target, Unit};
use crate::statistics::median;

/// Plays 200 pods one after the other and compares the last ones with the first. podman is left out, because it takes
/// minutes for so many.
pub fn all(bench: &Bench) -> Vec<Row> {
    let pods = if bench.options.quick { 40 } else { 200 };
    let builds = bench.builds();
    let mut times = <[Vec<f64>; 2]>::default();
    for n in 0..pods {
        for kube in &builds {
            let file = kube.manifest("many", &manifests::pod(&format!("many{n}"), 1, "", ""));
            times[kube.index()].push(kube.play(&file).as_secs_f64() * 1e3);
        }
    }
    for kube in &builds {
        kube.time(&["down", "--all"]);
        kube.settle();
    }
    let samples = |of: &dyn Fn(f64, f64) -> f64| {
        times.each_ref().map(|times| {
            // The first pod is left out, because it creates the bridge and starts the name server.
            let first = times.get(1..=20).and_then(median);
            let last = times.get(pods.min(times.len()).saturating_sub(20)..).and_then(median);
            first.zip(last).map(|(first, last)| of(first, last)).into_iter().collect()
        })
    };
    let row =
        |what: &str, unit, target, of: &dyn Fn(f64, f64) -> f64| Row::new(what, unit, target, samples(of));
    vec![
        row("play of a pod beside 1 to 20 others", Unit::Milliseconds, Target::None, &|first, _| first),
        row(
            &format!("play of a pod beside {} others", pods - 20),
            Unit::Milliseconds,
            Target::None,
            &|_, last| last,
        ),
        row(&format!("cost per pod from 1 to {pods}"), Unit::Times, Target::AtMost(1.2), &|first, last| {
            last / first
        }),
    ]
}
