//! The floors: times that no program can beat that uses the same parts. They are create and start of one bundle
//! through the OCI runtimes, and netavark's setup of one network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::Bench;
use crate::engine::Trees;
use crate::report::{Row, Target, Unit};

/// Debian's netavark, which podman runs.
const NETAVARK: &str = "/usr/lib/podman/netavark";

/// Measures all floors. The column of `kube` has its OCI runtime (libcontainer, in process), that of podman has runc.
pub fn all(bench: &Bench) -> Vec<Row> {
    let trees = Trees::new("floor");
    let bundle = bundle(&trees);
    let mut rows = Vec::new();
    let kube = oci("libcontainer", &bundle, &trees, bench.options.runs);
    let podman =
        if bench.other_is_podman() { oci("runc", &bundle, &trees, bench.options.runs) } else { vec![] };
    rows.push(Row::new(
        "floor: OCI create and start alone (libcontainer in process; runc)",
        Unit::Milliseconds,
        Target::None,
        [kube, podman],
    ));
    if Path::new(NETAVARK).exists() {
        let samples = netavark(&trees, bench.options.runs);
        let what = "floor: netavark setup alone (1.4, iptables, no DNS)";
        rows.push(Row::new(what, Unit::Milliseconds, Target::None, [vec![], samples]));
    }
    rows
}

/// Creates a bundle of busybox by `runc spec`.
fn bundle(trees: &Trees) -> PathBuf {
    let dir = trees.disk.path().join("bundle");
    let root = dir.join("rootfs");
    fs::create_dir_all(&root).unwrap();
    let quiet = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
    quiet(Command::new("tar").arg("-xf").arg(tests::image::busybox_tar()).arg("-C").arg(&root));
    quiet(Command::new("runc").args(["spec", "--bundle"]).arg(&dir));
    let file = dir.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    spec["process"]["args"] = json!(["/bin/sleep", "100000"]);
    spec["process"]["terminal"] = json!(false);
    // The caller's own limit cannot be raised without CAP_SYS_RESOURCE.
    spec["process"]["rlimits"] = json!([]);
    spec["root"] = json!({"path": root, "readonly": false});
    spec["linux"]["cgroupsPath"] = json!(format!("/kube-bench-floor-{}", std::process::id()));
    fs::write(file, serde_json::to_vec(&spec).unwrap()).unwrap();
    dir
}

fn oci(runtime: &str, bundle: &Path, trees: &Trees, runs: usize) -> Vec<f64> {
    let program = Path::new("target/release/examples/oci_floor");
    if !program.exists() {
        eprintln!(
            "bench: {} is missing: cargo build --release -p pod-core --example oci_floor",
            program.display()
        );
        return Vec::new();
    }
    let state = trees.in_memory(runtime);
    let mut command = Command::new(program);
    command.arg(runtime).arg(bundle).arg(&state).arg((runs + 1).to_string());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "oci_floor {runtime}: {said}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().skip(1).map(|line| line.parse().unwrap()).collect()
}

/// Sets up one bridge, one veth and one address in separate namespaces, and tears them down after each run.
fn netavark(trees: &Trees, runs: usize) -> Vec<f64> {
    let config = trees.in_memory("netavark");
    fs::create_dir_all(&config).unwrap();
    let options = json!({
        "container_id": "0123456789abcdef", "container_name": "floor",
        "networks": {"floor": {"interface_name": "eth0", "static_ips": ["10.251.7.2"]}},
        "network_info": {"floor": {
            "name": "floor", "id": "f".repeat(64), "driver": "bridge", "network_interface": "floor0",
            "subnets": [{"subnet": "10.251.7.0/24", "gateway": "10.251.7.1"}],
            "ipv6_enabled": false, "internal": false, "dns_enabled": false,
            "ipam_options": {"driver": "host-local"},
        }},
    });
    let file = trees.in_memory("netavark.json");
    fs::write(&file, serde_json::to_vec(&options).unwrap()).unwrap();
    let (host, pod) = (crate::netns::Netns::new(), crate::netns::Netns::new());
    let mut samples = Vec::new();
    for run in 0..=runs {
        let act = |what: &str| {
            let mut command = Command::new(NETAVARK);
            command.args(["--config", &config, what]).arg(pod.path());
            command.stdin(fs::File::open(&file).unwrap()).stdout(Stdio::null()).stderr(Stdio::piped());
            host.enter(&mut command);
            let begun = Instant::now();
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "netavark {what}: {said}");
            begun.elapsed().as_secs_f64() * 1e3
        };
        let took = act("setup");
        act("teardown");
        if run > 0 {
            samples.push(took);
        }
    }
    samples
}
