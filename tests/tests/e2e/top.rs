//! `kube top`.

use tests::{IDLE, Kube, pod};

/// Allocates memory and uses a processor.
const BUSY: &str = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); echo allocated; while :; do :; done";

/// Returns a figure without its unit.
fn number(text: &str, unit: &str) -> u64 {
    text.strip_suffix(unit).and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text:?}"))
}

#[test]
fn a_busy_pod_uses_more_than_an_idle_one() {
    let kube = Kube::new();
    let side = format!("  - name: side\n    image: localhost/busybox:1\n    command: [sh, -c, {BUSY:?}]\n");
    kube.play(&(pod("idle", IDLE, "") + "---\n" + &pod("busy", IDLE, "") + &side));
    kube.start(&["logs", "-f", "busy", "-c", "side"]).line(|line| line == "allocated");
    let output = kube.ok(&["top"]);
    let rows: Vec<Vec<&str>> = output.lines().iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "CPU(cores)", "MEMORY(bytes)"], "{output}");
    assert_eq!((rows[1][0], rows[2][0], rows.len()), ("busy", "idle", 3), "{output}");
    assert!(number(rows[1][1], "m") > number(rows[2][1], "m") + 20, "{output}");
    if rows[1][2] != "<unknown>" {
        assert!(number(rows[1][2], "Mi") > number(rows[2][2], "Mi") + 10, "{output}");
    }
    let output = kube.ok(&["top", "pod", "busy", "--containers", "--no-headers", "--sort-by", "cpu"]);
    let names: Vec<&str> = output.lines().iter().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(names, ["side", "main"], "{output}");
    let list = kube.ok(&["top", "-o", "json"]).json();
    assert_eq!(list["items"][0]["kind"], "PodMetrics", "{list:#}");
    assert!(list["items"][0]["containers"][1]["usage"]["cpu"].as_str().unwrap().ends_with('n'), "{list:#}");
}

#[test]
fn the_figures_are_shown_again_while_they_are_watched() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let mut watched = kube.start(&["top", "-w"]);
    for _ in 0..2 {
        watched.line(|line| line.starts_with("NAME"));
        watched.line(|line| line.starts_with("web "));
    }
}

#[test]
fn a_pod_that_does_not_run_has_no_figures() {
    let kube = Kube::new();
    kube.play_with(&pod("done", "true", "  restartPolicy: Never\n"), &["--wait=complete"]);
    kube.run(&["top", "done"]).expect(1).complains("pod/done does not run");
    kube.run(&["top", "absent"]).expect(4).complains("not found");
    kube.ok(&["top"]).complains("No running pods found");
}

#[test]
fn inspect_shows_what_containers_use_and_the_object_is_a_valid_manifest() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let object = kube.pod("web");
    let usage =
        object["metadata"]["annotations"]["kube-play/usage"].as_str().unwrap_or_else(|| panic!("{object:#}"));
    let usage: serde_json::Value = serde_json::from_str(usage).unwrap();
    let main = &usage["containers"][0];
    assert_eq!(main["name"], "main");
    assert!(main["cpu"]["usageCoreNanoSeconds"].as_u64() > Some(0), "{usage:#}");
    let text = kube.ok(&["inspect", "web", "-o", "yaml"]).stdout;
    kube.run_with_input(&["check", "-"], &text).expect(0);
    kube.run_with_input(&["play", "-", "--replace"], &text).expect(0);
    let played = kube.ok(&["generate", "web"]).stdout;
    assert!(!played.contains("kube-play/usage"), "{played}");
}
