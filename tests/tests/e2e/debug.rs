//! `kube debug`.

use nix::sys::signal::Signal;
use tests::{IDLE, Kube, pod, pod_with};

const IMAGE: &str = "localhost/busybox:1";

#[test]
fn a_container_of_an_image_runs_in_the_namespaces_of_the_pod() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, "  hostname: box\n"));
    let script = "hostname; readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; echo err >&2; exit 5";
    let output = kube.run(&["debug", "web", "--image", IMAGE, "--", "sh", "-c", script]).expect(5);
    let namespaces = kube.sh("web", "hostname; readlink /proc/self/ns/net; readlink /proc/self/ns/ipc");
    assert_eq!(output.stdout, namespaces);
    let output = output.complains("err\n");
    assert!(output.stderr.starts_with("container debugger-"), "{output}");
    // stdin is passed on with -i only.
    let output = kube.run_with_input(&["debug", "-qi", "web", "--image", IMAGE, "--", "wc", "-c"], "abc");
    assert_eq!(output.expect(0).stdout.trim(), "3");
    // What is left of the containers is removed, and their names can be used again.
    let again = ["debug", "-q", "-c", "again", "web", "--image", IMAGE, "--", "true"];
    kube.ok(&again);
    let deadline = std::time::Instant::now() + tests::limit(20);
    while kube.run(&again).code != 0 {
        assert!(std::time::Instant::now() < deadline, "the name is still taken");
    }
}

#[test]
fn it_shares_the_processes_of_its_target() {
    let kube = Kube::new();
    kube.play(&pod_with("web", "echo secret >/tmp/file; exec sleep 4567", "", ""));
    let args = ["debug", "-q", "web", "--image", IMAGE, "--target", "main", "--"];
    let with = |script: &str| kube.ok(&[&args[..], &["sh", "-c", script]].concat()).stdout;
    assert!(with("cat /proc/1/cmdline | tr '\\0' ' '").starts_with("sleep 4567"));
    assert_eq!(with("cat /proc/1/root/tmp/file"), "secret\n");
    let without = kube.ok(&["debug", "-q", "web", "--image", IMAGE, "--", "sh", "-c", "echo $$"]).stdout;
    assert_eq!(without, "1\n");
}

#[test]
fn it_is_an_ephemeral_container_of_the_object_with_its_events() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    kube.run(&[
        "debug", "-q", "-c", "ends", "web", "--image", IMAGE, "--target", "main", "--", "sh", "-c", "exit 5",
    ])
    .expect(5);
    kube.run(&["debug", "-q", "-c", "absent", "web", "--image", IMAGE, "--", "/absent"]).expect(127);
    let mut runs = kube.start(&[
        "debug",
        "-q",
        "-c",
        "runs",
        "web",
        "--image",
        IMAGE,
        "--",
        "sh",
        "-c",
        "echo up; exec sleep 5678",
    ]);
    runs.line(|line| line == "up");
    let object = kube.pod("web");
    let names: Vec<_> =
        object["spec"]["ephemeralContainers"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["ends", "runs"]);
    assert_eq!(object["spec"]["ephemeralContainers"][0]["targetContainerName"], "main");
    let states = &object["status"]["ephemeralContainerStatuses"];
    assert_eq!(states[0]["state"]["terminated"]["exitCode"], 5, "{states:#}");
    assert!(states[1]["state"]["running"]["startedAt"].is_string(), "{states:#}");
    let events = kube.ok(&["events", "--for", "pod/web"]);
    let events = events.says("Started container runs").says("Started container ends").says("Error: ");
    assert!(!events.stdout.contains("Started container absent"), "{events}");
    // The object can be checked, and played again without them.
    let text = kube.ok(&["inspect", "web", "-o", "yaml"]).stdout;
    kube.run_with_input(&["check", "-"], &text).expect(0);
    // A new supervisor keeps what it runs, and notices what has ended.
    let sleeper = kube.process("web", "sleep 5678");
    kube.kill_supervisor();
    sleeper.kill(Signal::SIGKILL);
    assert!(sleeper.ends_within(tests::limit(5)));
    kube.ok(&["ps"]);
    let deadline = std::time::Instant::now() + tests::limit(20);
    let ended = loop {
        let pod = kube.pod("web");
        if pod["status"]["ephemeralContainerStatuses"][1]["state"]["terminated"].is_object() {
            break pod;
        }
        assert!(std::time::Instant::now() < deadline, "{:#}", pod["status"]);
    };
    let state = &ended["status"]["ephemeralContainerStatuses"][1]["state"]["terminated"];
    assert_eq!(state["reason"], "ContainerStatusUnknown");
    runs.end();
}

#[test]
fn a_terminal_is_real() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let mut terminal = kube.terminal(&["debug", "-it", "web", "--image", IMAGE, "--", "sh"]);
    terminal.types("test -t 0 && stty size && echo is-a-$((1+0))-tty\n");
    terminal.shows("24 80");
    terminal.shows("is-a-1-tty");
    terminal.types("exit 7\n");
    assert_eq!(terminal.end().0, 7);
}

#[test]
fn it_goes_with_the_pod() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let mut debug =
        kube.start(&["debug", "web", "--image", IMAGE, "--", "sh", "-c", "echo runs; exec sleep 5678"]);
    debug.line(|line| line == "runs");
    let sleeper = kube.process("web", "sleep 5678");
    kube.ok(&["down", "pod/web"]);
    assert!(sleeper.ends_within(tests::limit(5)));
    assert_ne!(debug.end().0, 0);
    // Also if its client was killed.
    kube.play(&pod("web", IDLE, ""));
    let mut debug =
        kube.start(&["debug", "web", "--image", IMAGE, "--", "sh", "-c", "echo runs; exec sleep 5678"]);
    debug.line(|line| line == "runs");
    let sleeper = kube.process("web", "sleep 5678");
    debug.signal(Signal::SIGKILL);
    debug.end();
    kube.ok(&["down", "pod/web", "--wait"]);
    assert!(sleeper.ends_within(tests::limit(5)));
}

#[test]
fn it_survives_its_supervisor_no_longer_than_the_pod() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let mut debug =
        kube.start(&["debug", "web", "--image", IMAGE, "--", "sh", "-c", "echo runs; exec sleep 6789"]);
    debug.line(|line| line == "runs");
    let sleeper = kube.process("web", "sleep 6789");
    kube.supervisors()[0].kill(Signal::SIGKILL);
    debug.end();
    kube.ok(&["ps"]);
    kube.ok(&["down", "pod/web", "--wait"]);
    assert!(sleeper.ends_within(tests::limit(5)));
}

#[test]
fn mistakes_are_errors() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    kube.run(&["debug", "absent", "--image", IMAGE]).expect(4);
    kube.run(&["debug", "web", "--image", "UPPER//x"]).expect(2);
    kube.run(&["debug", "web", "--image", IMAGE, "-c", "A_B"]).expect(2);
    kube.run(&["debug", "web", "--image", IMAGE, "--target", "absent"]).expect(4);
    kube.run(&["debug", "web", "--image", IMAGE, "-c", "main"])
        .expect(1)
        .complains("has a container main already");
    kube.run(&["debug", "-q", "web", "--image", IMAGE, "--", "/absent"]).expect(127);
}
