//! Many plays and downs in a row. Afterwards the host and the long-running processes must use no more than before.

use std::collections::BTreeMap;
use std::process::Command;

use tests::{IDLE, Kube, Process, in_vm, limit, pod, pod_with, processes, skip};

/// Numbers that must not grow.
fn measures(kube: &Kube) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let dir = kube.dir().to_str().unwrap().to_owned();
    // Long-running processes are supervisors and the name server. Workers, and supervisors without pods, end soon.
    let ours = || processes().into_iter().filter(|p| p.command.contains(&dir) && !p.command.contains(IDLE));
    for process in ours() {
        let leaves = ["comes", "goes"].iter().any(|name| process.command.ends_with(name));
        if leaves || is_worker(&process) {
            assert!(process.ends_within(limit(10)), "{process:?}");
        }
    }
    for process in ours() {
        let words: Vec<&str> = process.command.split(' ').collect();
        let what = format!("{} {}", words.get(1).unwrap_or(&""), words.last().unwrap_or(&""));
        let count = |name: &str| {
            let entries = std::fs::read_dir(format!("/proc/{}/{name}", process.pid)).unwrap();
            u64::try_from(entries.count()).unwrap()
        };
        found
            .insert(format!("processes, {what}"), 1 + found.get(&format!("processes, {what}")).unwrap_or(&0));
        found.insert(format!("descriptors, {what}"), count("fd"));
        found.insert(format!("threads, {what}"), count("task"));
        let rollup = process.file("smaps_rollup");
        let pss = rollup.lines().find_map(|l| l.strip_prefix("Pss_Anon:")).unwrap();
        let pss = pss.trim().trim_end_matches(" kB").trim().parse().unwrap();
        found.insert(format!("anonymous memory in kB, {what}"), pss);
    }
    found.insert("files and folders".into(), files(kube));
    let lines =
        |text: String, part: &str| u64::try_from(text.lines().filter(|l| l.contains(part)).count()).unwrap();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    found.insert("mounts".into(), lines(mounts, &dir));
    let said = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let bridge: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(kube.root().join("networks/definitions/kube.json")).unwrap(),
    )
    .unwrap();
    let bridge = bridge["bridge"].as_str().unwrap();
    found.insert("links".into(), lines(said("ip", &["-o", "link"]), bridge));
    found.insert("nft rules".into(), lines(said("nft", &["list", "table", "inet", bridge]), ""));
    found
}

/// Returns true if the process was forked: its parent is the same program with the same arguments.
fn is_worker(process: &Process) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap_or_default();
    let parent = status.lines().find_map(|l| l.strip_prefix("PPid:")).and_then(|pid| pid.trim().parse().ok());
    parent.and_then(Process::of).is_some_and(|parent| parent.command == process.command)
}

/// Counts the files of both trees, without the file to which events are rotated.
fn files(kube: &Kube) -> u64 {
    let mut count = 0;
    let mut stack = vec![kube.root(), kube.runroot()];
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name() == "events.1" {
                continue;
            }
            count += 1;
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                stack.push(entry.path());
            }
        }
    }
    count
}

/// Returns numbers of the whole host. Other programs change them too, so only the long soak compares them.
fn host() -> BTreeMap<String, u64> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let number = |text: &str| text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut found = BTreeMap::new();
    found.insert("open files".to_owned(), number(&read("/proc/sys/fs/file-nr")));
    for line in read("/proc/meminfo").lines() {
        for name in ["Slab", "SUnreclaim", "Percpu", "KernelStack", "PageTables"] {
            if let Some(rest) = line.strip_prefix(name).and_then(|l| l.strip_prefix(':')) {
                found.insert(format!("{name} in kB"), number(rest));
            }
        }
    }
    for line in read("/proc/slabinfo").lines() {
        if let Some(rest) = line.strip_prefix("net_namespace ") {
            found.insert("network namespaces".to_owned(), number(rest));
        }
    }
    for line in read("/proc/cgroups").lines().filter(|l| l.starts_with("memory") || l.starts_with("pids")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        found.insert(format!("cgroups, {}", words[0]), number(words[2]));
    }
    let mut dirs = 0;
    let mut stack = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                dirs += 1;
                stack.push(entry.path());
            }
        }
    }
    found.insert("cgroup folders".into(), dirs);
    found.insert("processes".into(), u64::try_from(processes().len()).unwrap());
    let tables = Command::new("nft").args(["list", "tables"]).output().unwrap();
    found.insert("nft tables".into(), u64::try_from(tables.stdout.split(|b| *b == b'\n').count()).unwrap());
    found
}

/// Plays one workload and takes it down; changes another one, which stays, and runs a command in it.
fn cycle(kube: &Kube, n: usize, files: (&str, &str)) {
    let (comes, stays) = files;
    let text = pod_with("stays", IDLE, &format!("    env: [{{name: VALUE, value: '{}'}}]", n % 2), "");
    std::fs::write(stays, text).unwrap();
    kube.ok(&["play", stays]);
    kube.ok(&["play", comes]);
    assert_eq!(kube.sh("stays", "echo $VALUE").trim(), (n % 2).to_string());
    kube.ok(&["down", comes, "--wait"]);
}

fn soak(cycles: usize, slack: u64) {
    let kube = Kube::new();
    let volumes = "  volumes: [{name: m, emptyDir: {medium: Memory}}, {name: d, emptyDir: {}}]\n";
    let mounts = "    volumeMounts: [{name: m, mountPath: /m}, {name: d, mountPath: /d}]";
    let text = pod_with("comes", IDLE, mounts, volumes)
        + "---\n"
        + &pod("goes", "echo x; exit 0", "  restartPolicy: Never\n");
    let comes = kube.file("comes.yaml", text);
    let stays = kube.file("stays.yaml", "");
    kube.play(&pod("resident", IDLE, ""));
    // Caches and buffers of long-running processes reach their size first.
    for n in 0..4 {
        cycle(&kube, n, (&comes, &stays));
    }
    let (before, host_before) = (measures(&kube), host());
    for n in 0..cycles {
        cycle(&kube, n, (&comes, &stays));
    }
    let (after, host_after) = (measures(&kube), host());
    let mut grown = Vec::new();
    for (what, now) in &after {
        let then = before.get(what).copied();
        eprintln!("{what}: {then:?} -> {now}");
        let slack = if what.contains("memory") { slack } else { 0 };
        if then.is_none_or(|then| *now > then + slack) {
            grown.push(format!("{what}: {then:?} -> {now}"));
        }
    }
    for (what, now) in &host_after {
        eprintln!("host, {what}: {:?} -> {now}", host_before.get(what));
    }
    assert!(grown.is_empty(), "after {cycles} cycles: {grown:#?}");
    kube.ok(&["down", "--all", "--volumes"]);
    let left = kube.not_as_before();
    assert!(left.is_empty(), "left behind: {left:#?}");
}

#[test]
fn a_few_cycles_leave_nothing() {
    soak(if in_vm() { 2 } else { 10 }, 256);
}

#[test]
fn soak_many_cycles() {
    if std::env::var_os("KUBE_TEST_SOAK").is_none() {
        return skip("takes minutes: `make soak` runs it");
    }
    let cycles = std::env::var("KUBE_SOAK_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(500);
    soak(cycles, 512);
}
