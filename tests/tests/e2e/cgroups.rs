//! Resource limits. Tests that need cgroup v2 with all controllers run in the virtual machine.

use std::path::PathBuf;

use tests::{IDLE, Kube, cgroup_v2, in_vm, pod, pod_with, skip};

/// Returns the folder of a process's cgroup, for a v1 controller or on v2.
fn cgroup(process: &tests::Process, controller: &str) -> PathBuf {
    for line in process.cgroup.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next(), parts.next().unwrap(), parts.next().unwrap());
        let path = path.trim_start_matches('/');
        if controllers.is_empty() && cgroup_v2() {
            return PathBuf::from("/sys/fs/cgroup").join(path);
        }
        if controllers.split(',').any(|c| c == controller) {
            return PathBuf::from("/sys/fs/cgroup").join(controller).join(path);
        }
    }
    panic!("no cgroup for {controller}: {}", process.cgroup)
}

fn read(process: &tests::Process, controller: &str, v1: &str, v2: &str) -> String {
    let file = cgroup(process, controller).join(if cgroup_v2() { v2 } else { v1 });
    std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display())).trim().to_owned()
}

#[test]
fn limits_reach_the_kernel() {
    let kube = Kube::new();
    let more = "    resources: {limits: {cpu: 500m, memory: 64Mi}, requests: {cpu: 250m}}";
    kube.play(&pod_with("web", IDLE, more, ""));
    let main = kube.process("web", "trap 'exit 0'");
    assert_eq!(read(&main, "memory", "memory.limit_in_bytes", "memory.max"), (64 * 1024 * 1024).to_string());
    if cgroup_v2() {
        assert_eq!(read(&main, "cpu", "", "cpu.max"), "50000 100000");
        // 256 shares, by the mapping of the runtime: the older linear one, or the newer one that maps 1024 to 100.
        let weight: u32 = read(&main, "cpu", "", "cpu.weight").parse().unwrap();
        assert!([10, 35, 39].contains(&weight), "{weight}");
    } else {
        assert_eq!(read(&main, "cpu", "cpu.cfs_quota_us", ""), "50000");
        assert_eq!(read(&main, "cpu", "cpu.shares", ""), "256");
    }
    assert_eq!(kube.pod("web")["status"]["qosClass"], "Burstable");
}

#[test]
fn containers_are_below_their_pods_cgroup() {
    let kube = Kube::new();
    let side = format!("  - name: side\n    image: localhost/busybox:1\n    command: [sh, -c, {IDLE:?}]\n");
    kube.play(&(pod("web", IDLE, "") + &side));
    let uid = kube.pod("web")["metadata"]["uid"].as_str().unwrap().to_owned();
    let processes = kube.processes_of(&uid);
    let mut groups: Vec<_> = processes.iter().map(|p| cgroup(p, "memory")).collect();
    groups.sort();
    groups.dedup();
    assert!(groups.len() >= 3, "{groups:?}");
    let parent = groups[0].parent().unwrap();
    let name = parent.file_name().unwrap().to_string_lossy().replace('_', "-");
    assert!(name.contains(&uid), "{}", parent.display());
    assert!(groups.iter().all(|g| g.parent() == Some(parent)), "{groups:?}");
}

#[test]
fn a_container_over_its_memory_is_oom_killed_and_says_so() {
    let kube = Kube::new();
    let more = "    resources: {limits: {memory: 32Mi}}";
    let script = "head -c 200000000 /dev/zero | tail -c 190000000 >/dev/null; echo survived";
    kube.play_failing(&pod_with("hog", &format!("exec sh -c {script:?}"), more, "  restartPolicy: Never\n"));
    kube.wait("hog", "complete");
    let status = kube.container("hog", "main");
    let ended = &status["state"]["terminated"];
    if cgroup_v2() {
        // memory.oom.group: the kernel kills all processes of the container.
        assert_eq!(ended["reason"], "OOMKilled", "{status:#}");
        assert_eq!(ended["exitCode"], 137);
    } else {
        assert!(!ended.is_null(), "{status:#}");
    }
}

#[test]
fn a_guaranteed_pod_is_the_last_to_be_killed() {
    let kube = Kube::new();
    kube.play(&pod_with("web", IDLE, "    resources: {limits: {cpu: 100m, memory: 32Mi}}", ""));
    assert_eq!(kube.pod("web")["status"]["qosClass"], "Guaranteed");
    let adj: i32 = kube.process("web", "trap 'exit 0'").file("oom_score_adj").trim().parse().unwrap();
    if in_vm() {
        assert_eq!(adj, -997);
        let exec: i32 = kube.sh("web", "cat /proc/self/oom_score_adj").trim().parse().unwrap();
        assert_eq!(exec, -997);
    } else {
        assert!(adj <= 0, "{adj}");
    }
    kube.play(&pod("best-effort", IDLE, ""));
    assert_eq!(kube.process("best-effort", "trap 'exit 0'").file("oom_score_adj").trim(), "1000");
}

#[test]
fn the_pods_cgroup_has_the_sum_of_its_limits() {
    let kube = Kube::new();
    let more = "    resources: {limits: {memory: 32Mi}}";
    let side = format!(
        "  - name: side\n    image: localhost/busybox:1\n    command: [sh, -c, {IDLE:?}]\n    resources: {{limits: {{memory: 16Mi}}}}\n"
    );
    kube.play(&(pod_with("web", IDLE, more, "") + &side));
    let main = kube.process("web", "trap 'exit 0'");
    let pod = cgroup(&main, "memory").parent().unwrap().to_owned();
    let file = pod.join(if cgroup_v2() { "memory.max" } else { "memory.limit_in_bytes" });
    assert_eq!(std::fs::read_to_string(file).unwrap().trim(), (48 * 1024 * 1024).to_string());
}

#[test]
fn a_container_sees_its_own_cgroup_alone() {
    if !cgroup_v2() {
        return skip("on cgroup v1 containers share the cgroup namespace of the host, as with the kubelet");
    }
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let seen = kube.sh("web", "cat /proc/self/cgroup");
    let uid = kube.pod("web")["metadata"]["uid"].as_str().unwrap().replace('-', "_");
    assert!(!seen.replace('-', "_").contains(&uid), "{seen}");
}

const NO_SYSTEMD: &str = "needs systemd as init, which the virtual machine has";

#[test]
fn systemd_scopes_hold_containers_where_systemd_runs() {
    if !in_vm() {
        return skip(NO_SYSTEMD);
    }
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let main = kube.process("web", "trap 'exit 0'");
    assert!(main.cgroup.trim().ends_with(".scope"), "{}", main.cgroup);
    let scope = main.cgroup.trim().rsplit('/').next().unwrap().to_owned();
    let state = || {
        let output = std::process::Command::new("systemctl").args(["is-active", &scope]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(state(), "active");
    kube.ok(&["down", "pod/web", "--wait"]);
    assert_eq!(state(), "inactive");
}

#[test]
fn cgroupfs_is_used_where_it_is_asked_for() {
    if !in_vm() {
        return skip(NO_SYSTEMD);
    }
    let kube = Kube::new();
    let file = kube.manifest(&pod_with("web", IDLE, "    resources: {limits: {memory: 32Mi}}", ""));
    let mut command = kube.command(&["play", &file]);
    kube.run_command(command.env("KUBE_PLAY_CGROUP_DRIVER", "cgroupfs"), None).expect(0);
    let main = kube.process("web", "trap 'exit 0'");
    assert!(!main.cgroup.contains(".scope"), "{}", main.cgroup);
    assert_eq!(read(&main, "memory", "", "memory.max"), (32 * 1024 * 1024).to_string());
}

#[test]
fn resources_of_the_pod_limit_all_its_containers_together() {
    let kube = Kube::new();
    let own = "  resources: {limits: {cpu: 500m, memory: 64Mi}, requests: {cpu: 250m}}\n";
    let side = format!("  - name: side\n    image: localhost/busybox:1\n    command: [sh, -c, {IDLE:?}]\n");
    kube.play(&(pod("web", IDLE, own) + &side));
    let main = kube.process("web", "trap 'exit 0'");
    let read_of_pod = |controller: &str, v1: &str, v2: &str| {
        let of_pod = cgroup(&main, controller).parent().unwrap().join(if cgroup_v2() { v2 } else { v1 });
        std::fs::read_to_string(of_pod).unwrap().trim().to_owned()
    };
    assert_eq!(read_of_pod("memory", "memory.limit_in_bytes", "memory.max"), (64 * 1024 * 1024).to_string());
    let quota = read_of_pod("cpu", "cpu.cfs_quota_us", "cpu.max");
    assert!(["50000", "50000 100000"].contains(&quota.as_str()), "{quota}");
    assert_eq!(read(&main, "memory", "memory.limit_in_bytes", "memory.max"), (64 * 1024 * 1024).to_string());
    let pod = kube.pod("web");
    assert_eq!(pod["status"]["qosClass"], "Burstable");
    assert_eq!(pod["spec"]["resources"]["requests"]["memory"], "64Mi");
}

/// Returns a pod whose container has this cpu and memory, with other fields of the container.
fn sized(cpu: &str, memory: &str, more: &str) -> String {
    let resources = format!(
        "    resources: {{limits: {{cpu: {cpu}, memory: {memory}}}, requests: {{cpu: 10m}}}}\n{more}"
    );
    pod_with("web", IDLE, &resources, "")
}

#[test]
fn changed_cpu_and_memory_are_applied_to_a_running_pod_without_a_restart() {
    let kube = Kube::new();
    kube.play(&sized("100m", "64Mi", ""));
    let before = kube.process("web", "trap 'exit 0'");
    let uid = kube.pod("web")["metadata"]["uid"].clone();
    for (cpu, memory, quota, bytes) in
        [("500m", "128Mi", "50000", 128 << 20), ("50m", "32Mi", "5000", 32 << 20)]
    {
        kube.play(&sized(cpu, memory, "")).says("configured");
        let main = kube.process("web", "trap 'exit 0'");
        assert_eq!(main.pid, before.pid, "it was started anew");
        let now: String = read(&main, "cpu", "cpu.cfs_quota_us", "cpu.max");
        assert_eq!(now.split(' ').next().unwrap(), quota);
        assert_eq!(read(&main, "memory", "memory.limit_in_bytes", "memory.max"), i32::to_string(&bytes));
        let status = kube.container("web", "main");
        assert_eq!(status["resources"]["limits"]["memory"], memory, "{status:#}");
        assert_eq!(status["allocatedResources"]["memory"], memory);
        assert_eq!(status["restartCount"], 0);
    }
    assert_eq!(kube.pod("web")["metadata"]["uid"], uid);
    kube.ok(&["events"]).says("ResizeCompleted");
    kube.play(&sized("50m", "32Mi", "")).says("unchanged");
}

#[test]
fn a_resize_policy_restarts_the_container_and_the_qos_class_cannot_change() {
    let kube = Kube::new();
    let policy = "    resizePolicy: [{resourceName: memory, restartPolicy: RestartContainer}]\n";
    kube.play(&sized("100m", "64Mi", policy));
    let before = kube.process("web", "trap 'exit 0'");
    kube.play(&sized("100m", "128Mi", policy));
    kube.until("web", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1);
    kube.wait("web", "ready");
    let main = kube.process("web", "trap 'exit 0'");
    assert_ne!(main.pid, before.pid);
    assert_eq!(read(&main, "memory", "memory.limit_in_bytes", "memory.max"), (128 << 20).to_string());
    let guaranteed = sized("100m", "128Mi", policy).replace("requests: {cpu: 10m}", "requests: {cpu: 100m}");
    let refused = kube.try_play(&guaranteed, &[]).expect(3);
    refused.complains("QoS class").complains("Burstable to Guaranteed");
    assert_eq!(kube.process("web", "trap 'exit 0'").pid, main.pid);
    kube.play_with(&guaranteed, &["--replace"]);
    assert_eq!(kube.pod("web")["status"]["qosClass"], "Guaranteed");
}
