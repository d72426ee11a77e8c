//! `kube play --attach`.

use nix::sys::signal::Signal;
use tests::{Kube, pod, pod_with};

/// Says hello, and goodbye when it is asked to end.
const POLITE: &str = "trap 'echo goodbye; exit 0' TERM; echo hello; while :; do sleep 3600 & wait $!; done";
/// Does not end when it is asked to.
const STUBBORN: &str = "trap '' TERM; echo hello; while :; do sleep 3600 & wait $!; done";

const NEVER: &str = "  restartPolicy: Never\n";

fn has(lines: &[String], line: &str) -> bool {
    lines.iter().any(|one| one == line)
}

#[test]
fn every_line_has_its_pod_and_ctrl_c_takes_everything_down_in_order() {
    let kube = Kube::new();
    let settings = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n";
    let side =
        "  - name: side\n    image: localhost/busybox:1\n    command: [sh, -c, 'echo aside; sleep 3600']\n";
    let file = kube.manifest(&(pod("web", POLITE, "") + "---\n" + &pod("two", POLITE, "") + side + settings));
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut running = kube.start(&["play", "-f", &file, "--attach"]);
        running.line(|line| line == "pod/two created" || line == "pod/web created");
        running.line(|line| line == "pod/two created" || line == "pod/web created");
        running.signal(signal);
        let (ended, lines) = running.end();
        assert_eq!(ended, code, "{lines:#?}");
        for line in ["hello", "goodbye"] {
            assert!(lines.iter().any(|one| one.starts_with("web ") && one.ends_with(&format!("| {line}"))));
            assert!(has(&lines, &format!("two/main | {line}")), "{line}: {lines:#?}");
        }
        assert!(has(&lines, "two/side | aside"), "{lines:#?}");
        for object in ["pod/web", "pod/two", "configmap/settings"] {
            assert!(has(&lines, &format!("{object} deleted")), "{object}: {lines:#?}");
        }
        assert!(!lines.iter().any(|line| line.contains('\u{1b}')), "no colour without a terminal");
    }
    assert_eq!(kube.pods(), [""; 0]);
}

#[test]
fn a_second_ctrl_c_kills_at_once() {
    let kube = Kube::new();
    let file = kube.manifest(&pod("web", STUBBORN, "  terminationGracePeriodSeconds: 3600\n"));
    let mut running = kube.start(&["play", &file, "--attach"]);
    running.each_line(&[&|line| line == "web | hello", &|line| line == "pod/web created"]);
    running.signal(Signal::SIGINT);
    running.line(|line| line.starts_with("stopping"));
    running.signal(Signal::SIGINT);
    let (code, lines) = running.end();
    assert_eq!(code, 130, "{lines:#?}");
    assert!(has(&lines, "pod/web deleted"), "{lines:#?}");
    assert_eq!(kube.pods(), [""; 0]);
}

#[test]
fn ctrl_c_while_pods_start_takes_them_down() {
    let kube = Kube::new();
    let init = "  initContainers:\n  - name: init\n    image: localhost/busybox:1\n    \
                command: [sh, -c, 'echo waiting; sleep 3600']\n";
    let file = kube.manifest(&pod("web", POLITE, &format!("  terminationGracePeriodSeconds: 0\n{init}")));
    let mut running = kube.start(&["play", &file, "--attach"]);
    running.line(|line| line == "web/init | waiting");
    running.signal(Signal::SIGINT);
    let (code, lines) = running.end();
    assert_eq!(code, 130, "{lines:#?}");
    assert!(has(&lines, "pod/web deleted"), "{lines:#?}");
    assert_eq!(kube.pods(), [""; 0]);
}

#[test]
fn it_ends_with_the_code_of_what_failed_once_all_pods_have_ended() {
    let kube = Kube::new();
    let good = pod("good", "echo one; sleep 1; echo two", NEVER);
    let bad = pod("bad", "echo three; exit 7", NEVER);
    let output = kube.try_play(&(good.clone() + "---\n" + &bad), &["--attach"]).expect(7);
    let output = output.says("good | two\n").complains("bad ended with exit code 7 (Error)");
    assert!(output.stdout.contains("bad | three\n") || output.stdout.contains("bad  | three\n"), "{output}");
    // What has ended stays, with its logs.
    assert_eq!(kube.pods(), ["bad", "good"]);
    assert_eq!(kube.ok(&["logs", "good"]).stdout, "one\ntwo\n");
    // A pod that has ended already ends it at once.
    kube.try_play(&good, &["--attach"]).expect(0);
}

#[test]
fn pods_that_are_created_later_and_restarts_are_followed() {
    let kube = Kube::new();
    let deployment = |text: &str| {
        let script = format!("echo {text}; exec sleep 3600");
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: api}}\nspec:\n  \
             selector: {{matchLabels: {{app: api}}}}\n  template:\n    metadata: {{labels: {{app: api}}}}\n    \
             spec:\n      terminationGracePeriodSeconds: 0\n      containers:\n      - name: main\n        \
             image: localhost/busybox:1\n        command: [sh, -c, {script:?}]\n"
        )
    };
    let file = kube.file("api.yaml", deployment("first") + "---\n" + &pod("web", POLITE, ""));
    let mut running = kube.start(&["play", &file, "--attach"]);
    let is_first = |line: &str| line.starts_with("api-") && line.ends_with("| first");
    running.each_line(&[&is_first, &|line| line == "deployment.apps/api created"]);
    // A rollout by another command.
    kube.ok(&["play", &kube.file("second.yaml", deployment("second"))]);
    running.line(|line| line.starts_with("api-") && line.ends_with("| second"));
    // A container that is restarted.
    kube.sh_to_end("web", "kill -KILL 1; kill -TERM 1");
    running.line(|line| line.starts_with("web ended with exit code"));
    running.line(|line| line.starts_with("web ") && line.ends_with("| hello"));
    running.signal(Signal::SIGTERM);
    let (code, lines) = running.end();
    assert_eq!(code, 143, "{lines:#?}");
    assert_eq!(kube.pods(), [""; 0]);
}

#[test]
fn another_down_ends_it() {
    let kube = Kube::new();
    let file = kube.manifest(&pod_with("web", POLITE, "", ""));
    let mut running = kube.start(&["play", &file, "--attach"]);
    running.line(|line| line == "pod/web created");
    kube.ok(&["down", "pod/web"]);
    let (code, lines) = running.end();
    assert_eq!(code, 0, "{lines:#?}");
    assert!(has(&lines, "web | goodbye"), "{lines:#?}");
}

#[test]
fn names_have_colour_on_a_terminal() {
    let kube = Kube::new();
    let file = kube.manifest(&pod("web", "echo text", NEVER));
    let terminal = kube.terminal(&["play", &file, "--attach"]);
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("\u{1b}[36mweb |\u{1b}[0m text"), "{shown:?}");
}

#[test]
fn the_pods_are_taken_down_when_nobody_reads_any_more() {
    let kube = Kube::new();
    let file = kube.manifest(&pod("web", "while :; do echo line; sleep 0.1; done", ""));
    let mut command = std::process::Command::new("sh");
    let kube_command = kube.command(&["play", &file, "--attach"]);
    let words: Vec<String> = std::iter::once(kube_command.get_program())
        .chain(kube_command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    command.arg("-c").arg(format!("{{ {}; echo code $? >&2; }} | head -n 3", words.join(" ")));
    command.env("HOME", kube.home());
    kube.run_command(&mut command, None).expect(0).complains("code 141");
    assert_eq!(kube.pods(), [""; 0]);
}
