//! The supervisor: what happens to pods when it dies, or when the machine does.

use nix::sys::signal::Signal;
use tests::{IDLE, Kube, Running, limit, pod, pod_with};

#[test]
fn one_process_a_workload_with_one_thread() {
    let kube = Kube::new();
    kube.play(&(pod("a", IDLE, "") + "---\n" + &pod("b", IDLE, "")));
    let supervisors = kube.supervisors();
    assert_eq!(supervisors.len(), 2, "{supervisors:#?}");
    for supervisor in supervisors {
        assert_eq!(supervisor.status("Threads"), "1");
        let stat = supervisor.file("stat");
        // Field 7 is 0 if there is no terminal.
        assert_eq!(stat.rsplit(") ").next().unwrap().split(' ').nth(4), Some("0"), "{stat}");
    }
}

#[test]
fn a_supervisor_is_asleep_when_nothing_happens() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let supervisor = kube.supervisors().remove(0);
    let switches = || {
        let status = supervisor.file("status");
        let of = |field: &str| {
            status.lines().find_map(|l| l.strip_prefix(field)).unwrap().trim().parse::<u64>().unwrap()
        };
        of("voluntary_ctxt_switches:") + of("nonvoluntary_ctxt_switches:")
    };
    // The supervisor must not end; this wait lets one second pass.
    supervisor.ends_within(std::time::Duration::from_secs(1));
    let before = switches();
    supervisor.ends_within(std::time::Duration::from_secs(2));
    assert!(switches() - before <= 1, "{} wakeups in two seconds", switches() - before);
}

#[test]
fn containers_outlive_a_killed_supervisor_and_no_line_is_lost() {
    let kube = Kube::new();
    let mount = "    volumeMounts: [{name: v, mountPath: /v}]";
    let init = "  volumes: [{name: v, emptyDir: {}}]\n  initContainers:\n  - name: fifo\n    image: localhost/busybox:1\n    \
                command: [mkfifo, /v/go]\n    volumeMounts: [{name: v, mountPath: /v}]\n";
    // The FIFO is kept open, so that no writer finds it without a reader.
    let script = format!("exec 3<>/v/go; n=0; while read x <&3; do n=$((n+1)); echo line $n; done & {IDLE}");
    kube.play(&pod_with("web", &script, mount, init));
    kube.sh("web", "for i in 1 2 3; do echo x >/v/go; done");
    let before = kube.pod("web");
    let supervisor = kube.supervisors().remove(0);
    let main = kube.process("web", "trap 'exit 0'");
    supervisor.kill(Signal::SIGKILL);
    assert!(supervisor.ends_within(limit(10)));
    // No process reads the output now. What the container writes must not be lost, and must not block the container.
    let nsenter = format!("for i in 1 2 3; do echo x >/proc/{}/root/v/go; done", main.pid);
    assert!(std::process::Command::new("sh").args(["-c", &nsenter]).status().unwrap().success());
    kube.ok(&["ps"]);
    let new = kube.supervisors();
    assert_eq!(new.len(), 1, "{new:#?}");
    assert_ne!(new[0].pid, supervisor.pid);
    let after = kube.pod("web");
    assert_eq!(after["status"]["containerStatuses"], before["status"]["containerStatuses"]);
    kube.sh("web", "for i in 1 2 3; do echo x >/v/go; done");
    let mut logs = kube.start(&["logs", "-f", "web"]);
    logs.line(|l| l == "line 9");
    let text = kube.ok(&["logs", "web"]).stdout;
    assert_eq!(text, (1..=9).map(|n| format!("line {n}\n")).collect::<String>());
    // The new supervisor restarts the container and takes the pod down.
    main.kill(Signal::SIGKILL);
    kube.until("web", |p| p["status"]["containerStatuses"][0]["restartCount"] == 1);
    kube.ok(&["down", "pod/web"]);
}

#[test]
fn a_container_that_ended_while_nobody_watched_is_noticed() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let supervisor = kube.supervisors().remove(0);
    let main = kube.process("web", "trap 'exit 0'");
    supervisor.kill(Signal::SIGKILL);
    assert!(supervisor.ends_within(limit(10)));
    main.kill(Signal::SIGTERM);
    assert!(main.ends_within(limit(10)));
    kube.ok(&["ps"]);
    let pod = kube.until("web", |p| {
        let status = &p["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["state"]["running"].is_object()
    });
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(last["reason"], "ContainerStatusUnknown", "{last:#}");
    assert_eq!(last["exitCode"], 137);
}

#[test]
fn a_container_whose_log_cannot_be_opened_any_more_is_still_stopped() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let uid = kube.pod("web")["metadata"]["uid"].as_str().unwrap().to_owned();
    let supervisor = kube.supervisors().remove(0);
    supervisor.kill(Signal::SIGKILL);
    assert!(supervisor.ends_within(limit(10)));
    let logs = kube.root().join("pods").join(uid).join("logs/main");
    std::fs::remove_dir_all(&logs).unwrap();
    std::fs::write(&logs, "").unwrap();
    kube.ok(&["down", "pod/web"]);
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn a_container_that_was_being_started_when_its_supervisor_died_is_stopped_in_order() {
    let kube = Kube::new();
    let (mark, said) = (kube.dir().join("recorded"), kube.file("said", ""));
    let script = "trap 'echo stopped >/said; exit 0' TERM; echo up; while :; do sleep 3600 & wait $!; done";
    let spec = format!("  volumes: [{{name: m, hostPath: {{path: {said}}}}}]\n");
    let yaml = pod_with("web", script, "    volumeMounts: [{name: m, mountPath: /said}]", &spec);
    let mut play = kube.command(&["play", &kube.manifest(&yaml)]);
    // The worker is halted before it reports that the container runs.
    let play =
        Running::start(play.env("KUBE_FAIL_POINT", format!("container-recorded:stop:0:{}", mark.display())));
    play.until_halted(&mark).unwrap();
    kube.start(&["logs", "-f", "web"]).line(|l| l == "up");
    let mut down = kube.start(&["down", "pod/web", "--time", &limit(20).as_secs().to_string()]);
    down.line(|l| l.contains("Terminating"));
    let supervisor = kube.supervisors().remove(0);
    supervisor.kill(Signal::SIGKILL);
    assert!(supervisor.ends_within(limit(10)));
    kube.run(&["ps"]);
    assert_eq!(down.end().0, 0);
    assert_eq!(std::fs::read_to_string(said).unwrap(), "stopped\n");
}

#[test]
fn a_killed_play_leaves_nothing_half_made() {
    let kube = Kube::new();
    let file = kube.manifest(&(pod("a", IDLE, "") + "---\n" + &pod("b", IDLE, "")));
    let mut play = kube.start(&["play", &file]);
    play.line(|l| l.contains("created"));
    play.signal(Signal::SIGKILL);
    drop(play);
    kube.ok(&["play", &file]);
    assert_eq!(kube.pods(), ["a", "b"]);
    kube.ok(&["down", &file]);
}

#[test]
fn a_down_that_is_killed_is_finished_by_the_supervisor() {
    let kube = Kube::new();
    kube.play(&pod(
        "web",
        "trap '' TERM; while :; do sleep 3600 & wait $!; done",
        "  terminationGracePeriodSeconds: 3\n",
    ));
    let mut events = kube.start(&["events", "-f"]);
    let down = kube.start(&["down", "pod/web"]);
    events.line(|l| l.contains("Killing"));
    down.signal(Signal::SIGKILL);
    drop(down);
    kube.ok(&["wait", "web", "--for=deleted", "--timeout", &format!("{}s", limit(30).as_secs())]);
    assert_eq!(kube.pods().len(), 0);
}

/// Has the effect of a reboot on an instance: every process dies at once, mounts and namespaces are gone. The run
/// tree keeps an old boot id (on a machine whose /run is not a tmpfs), or is empty.
pub(crate) fn reboot(kube: &Kube, wipe: bool) {
    kube.wipe_kernel();
    if wipe {
        std::fs::remove_dir_all(kube.runroot()).unwrap();
    } else {
        std::fs::write(kube.runroot().join("boot"), "00000000-0000-0000-0000-000000000000\n").unwrap();
    }
}

#[test]
fn play_all_starts_what_should_run_after_a_reboot() {
    for wipe in [true, false] {
        let kube = Kube::new();
        let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  accessModes: [ReadWriteOnce]\n  \
                     resources: {requests: {storage: 1Gi}}\n---\n";
        let mounts = "    volumeMounts: [{name: v, mountPath: /v}]";
        let spec = "  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n";
        kube.play(&(claim.to_owned() + &pod_with("web", IDLE, mounts, spec)));
        kube.play_with(&pod("done", "exit 0", "  restartPolicy: Never\n"), &["--wait=complete"]);
        kube.play_with(&pod("unstarted", IDLE, ""), &["--start=false"]);
        kube.sh("web", "echo kept >/v/file");
        let uid = kube.pod("web")["metadata"]["uid"].clone();
        reboot(&kube, wipe);
        kube.ok(&["play", "--all"]);
        let pod = kube.pod("web");
        assert_eq!(pod["status"]["phase"], "Running");
        assert_eq!(pod["metadata"]["uid"], uid);
        assert_eq!(kube.sh("web", "cat /v/file"), "kept\n");
        assert_eq!(kube.pod("done")["status"]["phase"], "Succeeded");
        assert_eq!(kube.pod("unstarted")["status"]["phase"], "Pending");
    }
}

#[test]
fn play_all_takes_dry_run_and_wait() {
    let kube = Kube::new();
    let flag = kube.dir().join("flag").display().to_string();
    let script = "[ -s /flag ] || sleep 1000; sleep 0.3";
    let spec = format!(
        "  restartPolicy: OnFailure\n  volumes: [{{name: v, hostPath: {{path: {flag}, type: FileOrCreate}}}}]\n"
    );
    kube.play(&pod_with("job", script, "    volumeMounts: [{name: v, mountPath: /flag}]", &spec));
    reboot(&kube, true);
    kube.ok(&["play", "--all", "--dry-run"]).says("pod/job started (dry run)");
    assert!(kube.supervisors().is_empty());
    kube.file("flag", "end");
    kube.ok(&["play", "--all", "--wait=complete"]).says("pod/job started\n");
    assert_eq!(kube.pod("job")["status"]["phase"], "Succeeded");
    kube.run(&["play", "--all", "--replace"]).expect(2);
}

#[test]
fn after_a_reboot_ps_and_down_work_without_play() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    reboot(&kube, true);
    kube.ok(&["ps"]).says("web");
    kube.ok(&["down", "pod/web"]);
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn init_containers_run_again_after_a_reboot() {
    let kube = Kube::new();
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  accessModes: [ReadWriteOnce]\n  \
                 resources: {requests: {storage: 1Gi}}\n---\n";
    let mounts = "    volumeMounts: [{name: v, mountPath: /v}]";
    let spec = "  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n  initContainers:\n  - name: count\n    \
                image: localhost/busybox:1\n    command: [sh, -c, 'echo x >>/v/runs']\n    volumeMounts: [{name: v, mountPath: /v}]\n";
    kube.play(&(claim.to_owned() + &pod_with("web", IDLE, mounts, spec)));
    kube.wait("web", "ready");
    reboot(&kube, true);
    kube.ok(&["play", "--all"]);
    kube.wait("web", "ready");
    assert_eq!(kube.sh("web", "wc -l </v/runs").trim(), "2");
}

#[test]
fn commands_at_once_do_not_disturb_each_other() {
    let kube = Kube::new();
    let files: Vec<_> = (0..4).map(|n| kube.manifest(&pod(&format!("p{n}"), IDLE, ""))).collect();
    std::thread::scope(|scope| {
        for file in &files {
            let kube = &kube;
            scope.spawn(move || {
                for _ in 0..2 {
                    kube.ok(&["play", file]);
                    kube.ok(&["ps"]);
                    kube.ok(&["down", file]);
                }
            });
        }
    });
    assert_eq!(kube.pods().len(), 0);
    // Supervisors end only after their last answer.
    for supervisor in kube.supervisors() {
        assert!(supervisor.ends_within(limit(10)), "{supervisor:?}");
    }
}

#[test]
fn a_stopped_supervisor_is_named_by_who_needs_it_and_gone_without_by_force() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    kube.wait("web", "ready");
    let uid = kube.pod("web")["metadata"]["uid"].as_str().unwrap().to_owned();
    let [supervisor] = kube.supervisors().try_into().unwrap();
    supervisor.kill(Signal::SIGSTOP);
    for args in [&["down", "web"][..], &["exec", "web", "--", "true"], &["play", "--all"]] {
        let output = kube.run(args).expect(1);
        let message =
            format!("the supervisor of pod/web (pid {}) is stopped: `kill -CONT {0}`", supervisor.pid);
        assert!(output.stderr.contains(&message), "{output}");
        assert!(output.stderr.contains("`kube down --force pod/web`"), "{output}");
    }
    // Commands that do not need the supervisor work.
    assert_eq!(kube.pods(), ["web"]);
    kube.ok(&["logs", "web"]);
    kube.ok(&["down", "web", "--force", "--wait"]);
    assert!(kube.processes_of(&uid).is_empty());
    assert!(supervisor.ends_within(limit(10)));
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn a_supervisor_that_is_stopped_for_a_moment_is_waited_for() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let [supervisor] = kube.supervisors().try_into().unwrap();
    supervisor.kill(Signal::SIGSTOP);
    let down = kube.start(&["down", "web"]);
    let is_connected = || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", down.pid())).unwrap().flatten();
        let mut links = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        links.any(|to| to.to_string_lossy().starts_with("socket:"))
    };
    while !is_connected() {
        std::thread::yield_now();
    }
    supervisor.kill(Signal::SIGCONT);
    assert_eq!(down.end().0, 0);
    assert_eq!(kube.pods().len(), 0);
}
