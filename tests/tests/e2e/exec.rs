//! `kube exec`.

use tests::{IDLE, Kube, pod, pod_with};

#[test]
fn passes_output_input_and_exit_code_on() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let output = kube.run(&["exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 42"]).expect(42);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    let output =
        kube.run_with_input(&["exec", "-i", "web", "--", "wc", "-c"], &"x".repeat(300_000)).expect(0);
    assert_eq!(output.stdout.trim(), "300000");
    // Without -i, stdin is empty.
    assert_eq!(kube.run_with_input(&["exec", "web", "--", "wc", "-c"], "abc").expect(0).stdout.trim(), "0");
}

#[test]
fn much_output_comes_whole() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let output = kube.ok(&["exec", "web", "--", "seq", "1", "300000"]);
    assert_eq!(output.stdout, (1..=300_000).map(|n| format!("{n}\n")).collect::<String>());
}

#[test]
fn a_signal_that_ends_the_command_is_128_and_its_number() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    kube.run(&["exec", "web", "--", "sh", "-c", "kill -TERM $$"]).expect(143);
}

#[test]
fn a_command_that_is_not_there_ends_with_127_or_says_so() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let output = kube.run(&["exec", "web", "--", "/bin/absent"]);
    assert!([1, 126, 127].contains(&output.code), "{output}");
    output.complains("/bin/absent");
}

#[test]
fn runs_as_the_container_does() {
    let kube = Kube::new();
    let more = "    env: [{name: GREETING, value: hello}]\n    workingDir: /www\n    \
                securityContext: {runAsUser: 1000, runAsGroup: 1000}";
    kube.play(&pod_with("web", IDLE, more, "  hostname: box\n"));
    assert_eq!(
        kube.sh("web", "echo $GREETING; pwd; id -u; id -g; hostname"),
        "hello\n/www\n1000\n1000\nbox\n"
    );
}

#[test]
fn a_container_is_chosen_by_name() {
    let kube = Kube::new();
    let side = format!(
        "  - name: side\n    image: localhost/busybox:1\n    env: [{{name: WHO, value: side}}]\n    command: [sh, -c, {IDLE:?}]\n"
    );
    kube.play(&(pod("web", IDLE, "") + &side));
    assert_eq!(kube.ok(&["exec", "web", "-c", "side", "--", "sh", "-c", "echo $WHO"]).stdout, "side\n");
    kube.run(&["exec", "web", "-c", "absent", "--", "true"]).expect(4).complains("absent");
}

#[test]
fn a_terminal_is_real_and_follows_the_window() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    // The shell runs a script, because an interactive shell that edits lines has its own handler of SIGWINCH.
    let script = "test -t 0 && test -t 1 && echo is-a-$((1+0))-tty; stty size; trap 'stty size; exit 7' WINCH; \
                  echo ready-$((3*1)); while :; do sleep 0.2; done";
    let mut terminal = kube.terminal(&["exec", "-it", "web", "--", "sh", "-c", script]);
    terminal.shows("is-a-1-tty");
    terminal.shows("24 80");
    terminal.shows("ready-3");
    terminal.resize(132, 43);
    terminal.shows("43 132");
    assert_eq!(terminal.end().0, 7);
}

#[test]
fn control_c_reaches_the_command() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let mut terminal = kube.terminal(&[
        "exec",
        "-it",
        "web",
        "--",
        "sh",
        "-c",
        "trap 'echo got-$((1+0)); exit 5' INT; echo set-$((1+0)); while :; do sleep 1; done",
    ]);
    terminal.shows("set-1");
    terminal.types("\u{3}");
    terminal.shows("got-1");
    assert_eq!(terminal.end().0, 5);
}

#[test]
fn an_exec_process_that_stays_does_not_outlive_the_pod() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    kube.sh("web", "sleep 4321 >/dev/null 2>&1 </dev/null &");
    let sleeper = kube.process("web", "sleep 4321");
    kube.ok(&["down", "pod/web"]);
    assert!(sleeper.ends_within(tests::limit(5)));
}

#[test]
fn many_at_once() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    std::thread::scope(|scope| {
        for n in 0..8 {
            let kube = &kube;
            scope.spawn(move || assert_eq!(kube.sh("web", &format!("echo {n}")), format!("{n}\n")));
        }
    });
}
