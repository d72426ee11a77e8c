//! Two `kube` commands with opposite effects run at the same time: neither hangs, and the result is consistent.

use tests::{IDLE, Kube, Output, in_vm, pod, pod_with};

fn rounds() -> usize {
    if in_vm() { 3 } else { 15 }
}

/// Runs two commands in parallel, repeatedly.
fn against(kube: &Kube, one: &[&str], other: &[&str]) {
    let run = |args: &[&str]| -> Vec<Output> { (0..rounds()).map(|_| kube.run(args)).collect() };
    let (a, b) = std::thread::scope(|scope| {
        let other = scope.spawn(|| run(other));
        (run(one), other.join().unwrap())
    });
    for output in a.iter().chain(&b).filter(|output| output.code != 0) {
        // A command whose objects the other one removed meanwhile says so, in whichever step it was.
        let messages = ["was removed meanwhile", "not found", "it was removed", "is here"];
        assert!(messages.iter().any(|message| output.stderr.contains(message)), "{output}");
    }
    // After one ordinary command, everything that is recorded is complete.
    kube.ok(&["ps"]);
    for pod in kube.pods() {
        kube.wait(&pod, "ready");
    }
}

fn ends_clean(kube: &Kube, file: &str) {
    kube.ok(&["play", file]);
    kube.wait("web", "ready");
    kube.ok(&["down", "--all", "--volumes"]);
    let left = kube.not_as_before();
    assert!(left.is_empty(), "left behind: {left:#?}");
}

#[test]
fn play_against_down() {
    let kube = Kube::new();
    let file = kube.file("app.yaml", pod("web", IDLE, ""));
    against(&kube, &["play", &file], &["down", "--ignore-not-found", &file]);
    ends_clean(&kube, &file);
}

#[test]
fn replace_against_down() {
    let kube = Kube::new();
    let file = kube.file("app.yaml", pod("web", IDLE, ""));
    against(&kube, &["play", "--replace", &file], &["down", "--ignore-not-found", "--time", "0", &file]);
    ends_clean(&kube, &file);
}

#[test]
fn a_change_against_a_change() {
    let kube = Kube::new();
    let text = |n| pod_with("web", IDLE, &format!("    env: [{{name: VALUE, value: '{n}'}}]"), "");
    let (one, two) = (kube.file("one.yaml", text(1)), kube.file("two.yaml", text(2)));
    against(&kube, &["play", &one], &["play", &two]);
    ends_clean(&kube, &one);
}

#[test]
fn prune_against_play() {
    let kube = Kube::new();
    let both = pod("web", IDLE, "") + "---\n" + &pod("more", IDLE, "");
    let file = kube.file("app.yaml", &both);
    std::thread::scope(|scope| {
        let (kube, file) = (&kube, &file);
        scope.spawn(move || {
            for _ in 0..rounds() {
                kube.run(&["play", file]);
            }
        });
        for n in 0..rounds() {
            let text = if n % 2 == 0 { pod("web", IDLE, "") } else { both.clone() };
            // The file is replaced by a rename, because the other command must not read half of it.
            let fresh = kube.file("fresh.yaml", text);
            std::fs::rename(fresh, file).unwrap();
            kube.run(&["play", "--prune", file]);
        }
    });
    kube.ok(&["ps"]);
    for pod in kube.pods() {
        kube.wait(&pod, "ready");
    }
    ends_clean(&kube, &file);
}
