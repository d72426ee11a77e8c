//! `kube logs`.

use tests::{IDLE, Kube, pod, pod_with};

const NEVER: &str = "  restartPolicy: Never\n";

#[test]
fn prints_stdout_and_stderr_as_the_container_wrote_them() {
    let kube = Kube::new();
    kube.play_with(&pod("web", "echo out; echo err >&2; printf 'no newline'", NEVER), &["--wait=complete"]);
    let output = kube.ok(&["logs", "web"]);
    let mut lines = output.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["err", "no newline", "out"]);
}

#[test]
fn files_are_in_cri_format() {
    let kube = Kube::new();
    kube.play_with(&pod("web", "echo whole; printf part", NEVER), &["--wait=complete"]);
    let uid = kube.pod("web")["metadata"]["uid"].as_str().unwrap().to_owned();
    let path = kube.root().join("pods").join(uid).join("logs/main/0.log");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().map(|l| l.splitn(4, ' ').collect::<Vec<_>>()).collect();
    assert_eq!(lines[0][1..], ["stdout", "F", "whole"], "{text}");
    assert_eq!(lines[1][1], "stdout");
    assert_eq!(lines[1][3], "part");
    for line in &lines {
        assert!(line[0].contains('T') && line[0].contains('.'), "no RFC 3339 time with nanoseconds: {text}");
    }
}

#[test]
fn every_line_of_a_flood_is_there_whole_and_in_order() {
    let kube = Kube::new();
    kube.play_with(&pod("flood", "seq 1 200000", NEVER), &["--wait=complete"]);
    let output = kube.ok(&["logs", "flood"]);
    let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert!(output.stdout == expected, "{} lines, last {:?}", output.lines().len(), output.lines().last());
}

#[test]
fn a_line_longer_than_a_buffer_is_one_line() {
    let kube = Kube::new();
    kube.play_with(
        &pod("long", "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end", NEVER),
        &["--wait=complete"],
    );
    let output = kube.ok(&["logs", "long"]);
    assert_eq!(output.lines().iter().map(|l| l.len()).collect::<Vec<_>>(), [100_000, 3]);
}

#[test]
fn a_line_that_a_container_did_not_end_is_whole_for_a_collector() {
    let kube = Kube::new();
    let script = "echo one; printf half; printf why >&2";
    kube.play_with(&pod("half", script, "  restartPolicy: Never\n"), &["--wait=complete"]);
    let uid = kube.pod("half")["metadata"]["uid"].as_str().unwrap().to_owned();
    let log = std::fs::read_to_string(kube.root().join("pods").join(uid).join("logs/main/0.log")).unwrap();
    for (stream, lines) in [("stdout", vec!["one", "half"]), ("stderr", vec!["why"])] {
        // Parts are joined until a full record comes, as log collectors do.
        let (mut joined, mut part) = (Vec::new(), String::new());
        for record in log.lines() {
            let fields: Vec<&str> = record.splitn(4, ' ').collect();
            if fields[1] == stream {
                part += fields[3];
                if fields[2] == "F" {
                    joined.push(std::mem::take(&mut part));
                }
            }
        }
        assert_eq!(
            (joined.iter().map(String::as_str).collect::<Vec<_>>(), part.as_str()),
            (lines, ""),
            "{log}"
        );
    }
    let printed = kube.ok(&["logs", "half"]).stdout;
    assert!(
        printed.contains("half") && !printed.ends_with('\n'),
        "what was not written is not printed: {printed:?}"
    );
}

#[test]
fn rotation_keeps_three_files_of_ten_megabytes() {
    let kube = Kube::new();
    // 64 MB in lines of 64 bytes.
    let script =
        "yes 0123456789012345678901234567890123456789012345678901234567890ab | head -n 800000; echo last";
    kube.play_with(&pod("big", script, NEVER), &["--wait=complete"]);
    let uid = kube.pod("big")["metadata"]["uid"].as_str().unwrap().to_owned();
    let dir = kube.root().join("pods").join(uid).join("logs/main");
    let sizes: Vec<_> =
        std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.len() <= 3 && sizes.len() > 1, "{sizes:?}");
    assert!(sizes.iter().all(|s| *s <= 10 * 1024 * 1024 + 65536), "{sizes:?}");
    let output = kube.ok(&["logs", "big", "--tail", "2"]);
    assert_eq!(output.lines()[1], "last");
    let all = kube.ok(&["logs", "big"]).stdout;
    assert!(
        all.lines().count() > 150_000 && all.lines().rev().skip(1).all(|l| l.len() == 63),
        "a line was torn"
    );
}

#[test]
fn tail_since_and_timestamps() {
    let kube = Kube::new();
    kube.play_with(&pod("web", "seq 1 10", NEVER), &["--wait=complete"]);
    assert_eq!(kube.ok(&["logs", "web", "--tail", "3"]).lines(), ["8", "9", "10"]);
    assert_eq!(kube.ok(&["logs", "web", "--tail", "0"]).stdout, "");
    assert_eq!(kube.ok(&["logs", "web", "--since", "1h"]).lines().len(), 10);
    assert_eq!(kube.ok(&["logs", "web", "--since-time", "2999-01-01T00:00:00Z"]).stdout, "");
    let stamped = kube.ok(&["logs", "web", "--timestamps", "--tail", "1"]);
    let (time, text) = stamped.stdout.trim_end().split_once(' ').unwrap();
    assert_eq!(text, "10");
    assert!(time.starts_with("20") && time.contains('T'), "{stamped}");
}

#[test]
fn follow_prints_what_comes_and_ends_with_the_pod() {
    let kube = Kube::new();
    let mount = "    volumeMounts: [{name: data, mountPath: /data}]";
    let spec = format!("{NEVER}  volumes: [{{name: data, emptyDir: {{}}}}]\n");
    kube.play(&pod_with("web", "mkfifo /data/go; echo first; cat /data/go; echo second", mount, &spec));
    let mut logs = kube.start(&["logs", "-f", "web"]);
    logs.line(|l| l == "first");
    kube.sh_to_end("web", "while [ ! -p /data/go ]; do :; done; echo go >/data/go");
    logs.line(|l| l == "go");
    logs.line(|l| l == "second");
    let (code, _) = logs.end();
    assert_eq!(code, 0);
}

#[test]
fn follow_goes_on_across_a_restart() {
    let kube = Kube::new();
    let mount = "    volumeMounts: [{name: data, mountPath: /data}]";
    let script = format!(
        "if [ -e /data/x ]; then echo run two; {IDLE}; fi; touch /data/x; echo run one; cat /data/go; exit 1"
    );
    let init = "  initContainers:\n  - name: fifo\n    image: localhost/busybox:1\n    command: [mkfifo, /data/go]\n    \
                volumeMounts: [{name: data, mountPath: /data}]\n  volumes: [{name: data, emptyDir: {}}]\n";
    kube.play(&pod_with("web", &script, mount, init));
    kube.wait("web", "ready");
    let mut logs = kube.start(&["logs", "-f", "web"]);
    logs.line(|l| l == "run one");
    kube.sh_to_end("web", "echo go >/data/go");
    logs.line(|l| l == "run two");
}

#[test]
fn follow_goes_on_across_rotation() {
    let kube = Kube::new();
    let script = "cat /data/go; seq 1000000 1299999; echo done";
    let mount = "    volumeMounts: [{name: data, mountPath: /data}]";
    let init = format!(
        "{NEVER}  initContainers:\n  - name: fifo\n    image: localhost/busybox:1\n    command: [mkfifo, /data/go]\n    \
         volumeMounts: [{{name: data, mountPath: /data}}]\n  volumes: [{{name: data, emptyDir: {{}}}}]\n"
    );
    kube.play(&pod_with("web", script, mount, &init));
    let logs = kube.start(&["logs", "-f", "web"]);
    kube.sh_to_end("web", "echo go >/data/go");
    let (code, lines) = logs.end();
    assert_eq!(code, 0);
    // 16 MB are more than the first file, and less than a follower may lag behind.
    assert_eq!(lines.len(), 300_002, "from {:?} to {:?}", lines.first(), lines.last());
}

#[test]
fn previous_is_the_run_before() {
    let kube = Kube::new();
    let mount = "    volumeMounts: [{name: data, mountPath: /data}]";
    let script = format!("if [ -e /data/x ]; then echo two; {IDLE}; fi; touch /data/x; echo one; exit 1");
    kube.play_failing(&pod_with("web", &script, mount, "  volumes: [{name: data, emptyDir: {}}]\n"));
    kube.until("web", |p| {
        p["status"]["containerStatuses"][0]["restartCount"] == 1
            && p["status"]["containerStatuses"][0]["state"]["running"].is_object()
    });
    kube.start(&["logs", "-f", "web"]).line(|l| l == "two");
    assert_eq!(kube.ok(&["logs", "web", "-p"]).stdout, "one\n");
    assert_eq!(kube.ok(&["logs", "web"]).stdout, "two\n");
}

#[test]
fn previous_without_an_earlier_run_is_an_error() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    kube.run(&["logs", "web", "-p"]).expect(1).complains("previous");
}

#[test]
fn a_container_is_chosen_by_name() {
    let kube = Kube::new();
    let more = "  - name: side\n    image: localhost/busybox:1\n    command: [sh, -c, 'echo from side']\n  \
                restartPolicy: Never\n";
    kube.play_with(&(pod("web", "echo from main", "") + more), &["--wait=complete"]);
    assert_eq!(kube.ok(&["logs", "web", "-c", "side"]).stdout, "from side\n");
    assert_eq!(kube.ok(&["logs", "web", "-c", "main"]).stdout, "from main\n");
    let all = kube.ok(&["logs", "web", "--all-containers"]);
    assert_eq!(all.lines().len(), 2, "{all}");
    kube.run(&["logs", "web", "-c", "absent"]).expect(4).complains("absent");
}

#[test]
fn several_pods_are_printed_with_their_names_in_the_order_of_time() {
    let kube = Kube::new();
    let deployment = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: api}}\nspec:\n  replicas: 2\n  \
         selector: {{matchLabels: {{app: api}}}}\n  template:\n    metadata: {{labels: {{app: api}}}}\n    \
         spec:\n      containers:\n      - name: main\n        image: localhost/busybox:1\n        \
         command: [sh, -c, \"echo up; {IDLE}\"]\n"
    );
    kube.play(&(deployment + "---\n" + &pod("once", "echo done", NEVER)));
    kube.wait("once", "complete");
    let mut pods: Vec<String> = kube
        .pods()
        .iter()
        .filter(|pod| pod.starts_with("api"))
        .map(|pod| format!("[pod/{pod}/main] up"))
        .collect();
    pods.sort();
    for args in [&["deployment/api", "--all-pods"][..], &["-l", "app=api"]] {
        let output = kube.ok(&[&["logs"], args].concat());
        let mut lines = output.lines();
        lines.sort_unstable();
        assert_eq!(lines, pods);
    }
    assert_eq!(kube.ok(&["logs", "deployment/api"]).stdout, "up\n");
    assert_eq!(kube.ok(&["logs", "-l", "app=api", "--prefix=false"]).stdout, "up\nup\n");
    kube.run(&["logs", "-l", "app=absent"]).expect(4);
    let mut logs = kube.start(&["logs", "-f", "once", pods[0].split('/').nth(1).unwrap()]);
    // The order of the two lines is not defined.
    let mut said = [logs.line(|_| true), logs.line(|_| true)];
    said.sort_unstable();
    assert_eq!(said, [pods[0].as_str(), "[pod/once/main] done"]);
    kube.ok(&["down", "deployment/api"]);
    assert_eq!(logs.end().0, 0);
}

#[test]
fn the_last_lines_of_a_container_at_full_speed_are_as_many_as_asked_for() {
    let kube = Kube::new();
    kube.play(&pod("web", "yes", ""));
    let mut logs = kube.start(&["logs", "-f", "web"]);
    for _ in 0..1000 {
        logs.line(|_| true);
    }
    drop(logs);
    for n in [0, 1, 20, 500] {
        let output = kube.ok(&["logs", "web", "--tail", &n.to_string()]);
        assert_eq!(output.lines().len(), n);
    }
    // Without -f, the command ends as well.
    kube.ok(&["logs", "web"]);
    kube.ok(&["down", "web", "--force"]);
}
