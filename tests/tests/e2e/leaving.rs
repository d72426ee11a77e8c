//! The removal that continues in the background after `kube down` has returned: no command shows the pods, no command
//! collides with what is left of them, and the removal is finished whichever process is killed.

use std::path::PathBuf;
use std::time::Instant;

use nix::sys::signal::Signal;
use tests::image::BUSYBOX;
use tests::{HostPort, IDLE, Kube, Process, host_port, limit, pod, pod_with};

use crate::supervisor::reboot;

/// A pod with a claim and a published port, whose removal is halted once its processes have been killed.
struct Held {
    kube: Kube,
    file: String,
    port: HostPort,
    mark: PathBuf,
}

fn web(name: &str, port: &HostPort) -> String {
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  \
                 accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 1Gi}}\n---\n";
    let more = format!(
        "    ports: [{{containerPort: 80, hostPort: {port}}}]\n    volumeMounts: [{{name: v, mountPath: /v}}]"
    );
    let spec = "  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n";
    claim.to_owned() + &pod_with(name, IDLE, &more, spec)
}

impl Held {
    /// Plays the pod on a separate network.
    fn new() -> Self {
        let (kube, port) = (Kube::new(), host_port());
        let (file, mark) = (kube.manifest(&web("web", &port)), kube.dir().join("mark"));
        let fail_point_spec = format!("pod-killed:stop:0:{}", mark.display());
        let mut play = kube.command(&["play", "--network", "lab", &file]);
        kube.run_command(play.env("KUBE_FAIL_POINT", fail_point_spec), None).expect(0);
        Self { kube, file, port, mark }
    }

    /// Takes the pod down, and returns the worker that is halted in the background removal.
    fn down(&self) -> Process {
        self.kube.ok(&["down", &self.file]).says("pod/web deleted");
        let deadline = Instant::now() + limit(30);
        loop {
            let pid = std::fs::read_to_string(&self.mark).unwrap_or_default();
            if let Some(halted) = pid.strip_suffix('\n').and_then(|pid| Process::of(pid.parse().unwrap()))
                && halted.status("State").starts_with('T')
            {
                return halted;
            }
            assert!(Instant::now() < deadline, "its removal never halted");
            std::thread::yield_now();
        }
    }

    /// Checks that only the claim and the network are left once the supervisors have ended.
    fn is_finished(&self) {
        for supervisor in self.kube.supervisors() {
            assert!(supervisor.ends_within(limit(20)), "{supervisor:?}");
        }
        let left = self.kube.left_behind();
        assert!(left.is_empty(), "left behind: {left:#?}");
        let pods = std::fs::read_dir(self.kube.root().join("pods")).into_iter().flatten().count();
        let workloads = std::fs::read_dir(self.kube.root().join("workloads")).into_iter().flatten().count();
        assert_eq!((pods, workloads), (0, 0));
    }
}

#[test]
fn a_pod_that_was_taken_down_is_not_seen_though_its_removal_goes_on() {
    let held = Held::new();
    let kube = &held.kube;
    let halted = held.down();
    assert_eq!(kube.ok(&["ps", "-A", "-o", "name"]).stdout, "");
    for args in
        [&["inspect", "web"][..], &["logs", "web"], &["exec", "web", "--", "true"], &["generate", "web"]]
    {
        kube.run(args).expect(4);
    }
    kube.run(&["down", "pod/web"]).expect(4).complains("not found");
    kube.run(&["down", &held.file]).expect(4);
    kube.ok(&["down", &held.file, "--ignore-not-found"]);
    kube.ok(&["wait", "web", "--for=deleted", "--timeout=0"]);
    for list in [&["volume", "ls"][..], &["network", "ls", "-o", "wide"]] {
        assert!(!kube.ok(list).stdout.contains("web"), "{list:?}");
    }
    assert_eq!(kube.ok(&["info", "-o", "json"]).json()["pods"], 0);
    halted.kill(Signal::SIGCONT);
    held.is_finished();
}

#[test]
fn what_would_meet_the_leftovers_waits_for_them() {
    for args in [
        &["image", "rm", BUSYBOX][..],
        &["volume", "rm", "data"],
        &["network", "rm", "lab"],
        &["down", "--all"],
        &["down", "pvc/data", "--volumes"],
    ] {
        let held = Held::new();
        let halted = held.down();
        let waiting = held.kube.start(args);
        let waits = Process::of(waiting.pid()).unwrap();
        assert!(!waits.ends_within(std::time::Duration::from_millis(200)), "{args:?}");
        halted.kill(Signal::SIGCONT);
        let (code, said) = waiting.end();
        assert_eq!(code, 0, "{args:?}: {said:#?}");
        held.is_finished();
    }
}

#[test]
fn a_pod_can_be_played_anew_while_the_old_one_goes() {
    let held = Held::new();
    let halted = held.down();
    let mut play = held.kube.start(&["play", &held.file]);
    halted.kill(Signal::SIGCONT);
    play.line(|line| line == "pod/web created");
    assert_eq!(play.end().0, 0);
    assert_eq!(held.kube.pods(), ["web"]);
}

#[test]
fn a_port_of_a_pod_that_goes_is_free_for_another() {
    let held = Held::new();
    let other = held.kube.manifest(&web("other", &held.port));
    let halted = held.down();
    held.kube.ok(&["play", &other, "--dry-run"]).says("pod/other created");
    let play = held.kube.start(&["play", &other]);
    halted.kill(Signal::SIGCONT);
    let (code, said) = play.end();
    assert_eq!(code, 0, "{said:#?}");
    assert_eq!(held.kube.pods(), ["other"]);
    // The same without a halted worker.
    for _ in 0..5 {
        held.kube.ok(&["down", "pod/other"]);
        held.kube.ok(&["play", &held.file]);
        held.kube.ok(&["down", "pod/web"]);
        held.kube.ok(&["play", &other]);
    }
}

#[test]
fn a_removal_whose_supervisor_was_killed_is_finished_by_the_next_command() {
    let held = Held::new();
    held.down();
    for supervisor in held.kube.supervisors() {
        supervisor.kill(Signal::SIGKILL);
        assert!(supervisor.ends_within(limit(10)));
    }
    assert_eq!(held.kube.ok(&["ps", "-A", "-o", "name"]).stdout, "");
    held.is_finished();
}

#[test]
fn a_removal_that_a_reboot_cut_short_is_finished_by_the_next_command() {
    for wipe in [true, false] {
        let held = Held::new();
        held.down();
        reboot(&held.kube, wipe);
        assert_eq!(held.kube.ok(&["ps", "-A", "-o", "name"]).stdout, "");
        held.is_finished();
    }
}

#[test]
fn what_shares_the_process_namespace_has_ended_when_down_answers() {
    let kube = Kube::new();
    let script = format!("(trap '' TERM HUP; exec sleep 4322) & {IDLE}");
    for spec in ["  shareProcessNamespace: true\n", "  hostPID: true\n"] {
        let file = kube.manifest(&pod("web", &script, spec));
        kube.ok(&["play", &file]);
        let sleeper = kube.process("web", "sleep 4322");
        kube.ok(&["down", &file]);
        assert!(Process::of(sleeper.pid).is_none_or(|p| p.status("State").starts_with('Z')), "{spec}");
    }
}
