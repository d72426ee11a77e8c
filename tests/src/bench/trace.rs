//! Where the time goes: the time of each step of a play, from `KUBE_TRACE`.

use std::collections::HashMap;

use crate::Bench;
use crate::engine::Engine;
use crate::manifests;
use crate::statistics::median;

/// The steps of `kube play` and of the processes that it starts, by the names of their fail points.
const PLAY: &[(&str, &str)] = &[
    ("play-begun", "`kube` has started and read the manifest"),
    ("workload-recorded", "the workload is planned and recorded, synced to the disk"),
    ("supervisor-ready", "its supervisor listens"),
    ("namespace-made", "network namespace"),
    ("rules-missing", "address leased, synced; from here on `nft` runs beside the rest"),
    ("interface-made", "bridge and veth, addresses and routes"),
    ("names-known", "the name server runs and knows the pod"),
    ("rules-in-place", "`nft` is done"),
    ("pod-cgroup-made", "beside the network: the pod's cgroup"),
    ("infra-started", "the infra container"),
    ("rootfs-mounted", "beside both: volumes and root of the container"),
    ("container-created", "the container, all but its start"),
    ("sandbox-told", "the supervisor knows that the sandbox stands"),
    ("container-started", "the container's program runs"),
    ("workloads-started", "`kube play` knows"),
];

/// Returns a Markdown table of the median milliseconds from the start of `kube play` of one container to each step.
pub fn play(bench: &Bench) -> String {
    let kube: &dyn Engine = &bench.kube;
    let file = kube.manifest("one", &manifests::pod("one", 1, "", ""));
    let trace = kube.dir().join("trace");
    let mut times: HashMap<String, Vec<f64>> = HashMap::new();
    for run in 0..=bench.options.runs {
        let _ = std::fs::remove_file(&trace);
        let begun = boot_time();
        kube.time_command(kube.command(&kube.play_arguments(&file)).env("KUBE_TRACE", &trace));
        let text = std::fs::read_to_string(&trace).unwrap();
        kube.down(&file);
        if run == 0 {
            continue;
        }
        let mut seen = HashMap::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            let at: f64 = words.next().unwrap().parse().unwrap();
            // The first visit of a point belongs to the start of the container.
            seen.entry(words.nth(1).unwrap()).or_insert((at - begun) / 1e3);
        }
        for (step, at) in seen {
            times.entry(step.to_owned()).or_default().push(at);
        }
    }
    let mut text = "| ms | done by then |\n|---|---|\n".to_owned();
    for (step, what) in PLAY {
        let at = times.get(*step).and_then(|all| median(all));
        text += &at.map_or(String::new(), |at| format!("| {at:.1} | {what} |\n"));
    }
    text
}

/// Returns the microseconds since boot, which is the clock of traces.
fn boot_time() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}
