//! `kube attach`, and the stdin of containers.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::Instant;

use tests::{IDLE, Kube, Running, limit, pod, pod_with};

const NEVER: &str = "  restartPolicy: Never\n";

/// Has the container print `word`, again and again until the session shows it: what is written before it has begun is not
/// seen.
fn until_shown(kube: &Kube, attached: &mut Running, word: &str) {
    let deadline = Instant::now() + limit(60);
    while !attached.has_line(|line| line == word) {
        kube.sh("web", &format!("echo '{word}' >/tmp/go"));
        assert!(Instant::now() < deadline, "{word} never came");
    }
}

/// Starts a session that writes `text` to the container's stdin and then waits.
fn session(kube: &Kube, pod: &str, text: &str) -> Child {
    let mut command = kube.command(&["attach", pod, "-i"]);
    let mut client = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    client.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    client
}

fn end(mut session: Child) {
    session.kill().unwrap();
    session.wait().unwrap();
}

#[test]
fn shows_output_as_it_comes_and_passes_the_exit_code_on() {
    let kube = Kube::new();
    let script = "mkfifo /tmp/go; echo before; while :; do read -r line </tmp/go || continue; test $line = end && exit 7; \
                  echo $line; echo err $line >&2; done";
    kube.play(&pod("web", script, NEVER));
    // The container runs its script only after `play` has returned.
    kube.start(&["logs", "-f", "web"]).line(|line| line == "before");
    let mut attached = kube.start(&["attach", "web"]);
    until_shown(&kube, &mut attached, "hello");
    kube.sh("web", "echo end >/tmp/go");
    let (code, lines) = attached.end();
    assert_eq!(code, 7);
    let has = |text: &str| lines.iter().any(|line| line == text);
    assert!(has("err hello") && !has("before"), "{lines:?}");
    kube.run(&["attach", "web"]).expect(1).complains("container main is not running");
    kube.run(&["attach", "absent"]).expect(4);
}

#[test]
fn stdin_once_is_closed_when_the_first_session_ends() {
    let kube = Kube::new();
    let once = "    stdin: true\n    stdinOnce: true";
    kube.play(&pod_with("job", "wc -c; echo counted", once, NEVER));
    let input = "x".repeat(300_000);
    let output = kube.run_with_input(&["attach", "job", "-i"], &input).expect(0);
    assert_eq!(output.stdout, "300000\ncounted\n");
    kube.wait("job", "complete");
    assert_eq!(kube.pod("job")["status"]["phase"], "Succeeded");
}

#[test]
fn stdin_once_on_a_terminal_ends_with_an_end_of_file() {
    let kube = Kube::new();
    let once = "    stdin: true\n    stdinOnce: true\n    tty: true";
    kube.play(&pod_with("job", "cat >/tmp/got; wc -c </tmp/got", once, NEVER));
    let output = kube.run_with_input(&["attach", "job", "-i"], "hello\npart").expect(0);
    assert!(output.stdout.contains("10"), "{output}");
    kube.wait("job", "complete");
    assert_eq!(kube.pod("job")["status"]["phase"], "Succeeded");
}

#[test]
fn stdin_once_stays_open_over_a_new_supervisor_and_is_closed_when_its_client_is_killed() {
    let kube = Kube::new();
    let once = "    stdin: true\n    stdinOnce: true";
    kube.play(&pod_with("job", "cat >/tmp/got; echo end >>/tmp/got; sleep 3600", once, NEVER));
    kube.kill_supervisor();
    kube.ok(&["ps"]);
    assert_eq!(kube.sh("job", "cat /tmp/got"), "", "the container still waits for its stdin");
    let first = session(&kube, "job", "hello\n");
    kube.sh("job", "until grep -q hello /tmp/got; do sleep 0.1; done");
    end(first);
    kube.sh("job", "until grep -q end /tmp/got; do sleep 0.1; done");
    kube.start(&["attach", "job", "-i"]).line(|line| line.contains("the stdin of the container is closed"));
}

#[test]
fn stdin_without_once_stays_open_between_sessions() {
    let kube = Kube::new();
    kube.play(&pod_with(
        "web",
        "while read -r line; do echo got $line >>/tmp/got; done",
        "    stdin: true",
        NEVER,
    ));
    for word in ["one", "two"] {
        let session = session(&kube, "web", &format!("{word}\n"));
        kube.sh("web", &format!("until grep -q {word} /tmp/got; do sleep 0.1; done"));
        end(session);
    }
    assert_eq!(kube.sh("web", "cat /tmp/got"), "got one\ngot two\n");
    assert_eq!(kube.pod("web")["status"]["phase"], "Running");
}

#[test]
fn a_terminal_is_attached_resized_and_detached_and_the_container_goes_on() {
    let kube = Kube::new();
    let spec = pod_with("web", "", "    stdin: true\n    tty: true", NEVER).replace("[sh, -c, \"\"]", "[sh]");
    kube.play(&spec);
    let mut terminal = kube.terminal(&["attach", "web", "-it"]);
    terminal.shows("Ctrl-P Ctrl-Q");
    terminal.types("echo $((40 + 2))\r");
    terminal.shows("\r\n42\r\n");
    terminal.types("stty size\r");
    terminal.shows("24 80");
    terminal.resize(100, 30);
    terminal.types("until stty size | grep 100; do sleep 0.1; done\r");
    terminal.shows("30 100");
    terminal.types("\x10\x11");
    assert_eq!(terminal.end().0, 0);
    assert_eq!(kube.pod("web")["status"]["phase"], "Running");
    let mut terminal = kube.terminal(&["attach", "web", "-it"]);
    terminal.shows("Ctrl-P Ctrl-Q");
    terminal.types("exit 5\r");
    assert_eq!(terminal.end().0, 5);
    kube.wait("web", "complete");
}

#[test]
fn a_session_goes_on_when_the_supervisor_is_replaced() {
    let kube = Kube::new();
    let script = "mkfifo /tmp/go; echo up; while :; do read -r line </tmp/go && echo $line; done";
    kube.play(&pod("web", script, "  terminationGracePeriodSeconds: 1\n"));
    kube.start(&["logs", "-f", "web"]).line(|line| line == "up");
    let mut attached = kube.start(&["attach", "web"]);
    until_shown(&kube, &mut attached, "one");
    kube.kill_supervisor();
    until_shown(&kube, &mut attached, "two");
    kube.ok(&["down", "pod/web"]);
    assert_eq!(attached.end().0, 137);
}

#[test]
fn what_a_container_does_not_have_is_ignored_with_a_warning() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let mut attached = kube.start(&["attach", "web", "-it"]);
    attached.line(|line| line.contains("no `stdin: true`"));
    attached.line(|line| line.contains("no `tty: true`"));
    kube.ok(&["down", "pod/web"]);
    attached.end();
}
