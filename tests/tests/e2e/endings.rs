//! How containers and pods end: policies of containers, deadlines, and what a container says about its end.

use std::time::Instant;

use tests::{IDLE, Kube, limit, pod, pod_with};

#[test]
fn a_rule_restarts_a_container_whose_exit_code_it_names() {
    let kube = Kube::new();
    let rules = "    restartPolicy: Never\n    restartPolicyRules:\n    - {action: Restart, exitCodes: {operator: In, \
                 values: [42]}}\n    volumeMounts: [{name: data, mountPath: /data}]";
    let script = "test -e /data/again && exit 1; touch /data/again; exit 42";
    kube.play_failing(&pod_with("web", script, rules, "  volumes: [{name: data, emptyDir: {}}]\n"));
    kube.wait("web", "complete");
    let status = kube.container("web", "main");
    assert_eq!((&status["restartCount"], &status["state"]["terminated"]["exitCode"]), (&1.into(), &1.into()));
    assert_eq!(kube.pod("web")["status"]["phase"], "Failed");
}

#[test]
fn a_pod_ends_at_its_deadline_also_if_its_supervisor_was_killed() {
    let kube = Kube::new();
    let seconds = limit(5).as_secs();
    kube.play(&pod("web", IDLE, &format!("  activeDeadlineSeconds: {seconds}\n")));
    kube.kill_supervisor();
    let begin = Instant::now();
    kube.wait("web", "complete");
    assert!(begin.elapsed() <= limit(30), "{:?}", begin.elapsed());
    let pod = kube.pod("web");
    assert_eq!(
        (&pod["status"]["phase"], &pod["status"]["reason"]),
        (&"Failed".into(), &"DeadlineExceeded".into())
    );
    assert_eq!(pod["status"]["message"], "Pod was active on the node longer than the specified deadline");
    kube.ok(&["events", "--for", "pod/web"]).says("DeadlineExceeded");
}

/// The termination message of the container `main`.
fn message(kube: &Kube, pod: &str) -> String {
    kube.wait(pod, "complete");
    let status = kube.container(pod, "main");
    status["state"]["terminated"]["message"].as_str().unwrap_or_default().to_owned()
}

const NEVER: &str = "  restartPolicy: Never\n";

#[test]
fn a_container_says_why_it_ended_in_a_file_or_in_its_log() {
    let kube = Kube::new();
    kube.play_failing(&pod("file", "echo because >/dev/termination-log; exit 3", NEVER));
    assert_eq!(message(&kube, "file"), "because\n");
    let own = "    terminationMessagePath: /tmp/deep/why\n    securityContext: {runAsUser: 1234}";
    kube.play(&pod_with("path", "echo well >/tmp/deep/why", own, NEVER));
    assert_eq!(message(&kube, "path"), "well\n");
    let fallback = "    terminationMessagePolicy: FallbackToLogsOnError";
    kube.play_failing(&pod_with("log", "echo out; echo err >&2; exit 4", fallback, NEVER));
    let said = message(&kube, "log");
    assert!(said.contains("out\n") && said.contains("err\n"), "{said}");
    kube.play(&pod_with("well", "echo out", fallback, NEVER));
    assert_eq!(message(&kube, "well"), "");
    let much = "yes | head -c 100000 >/dev/termination-log; echo end >>/dev/termination-log";
    kube.play(&pod("much", much, NEVER));
    let said = message(&kube, "much");
    assert!(said.len() == 4096 && said.ends_with("y\nend\n"), "{}", said.len());
}

#[test]
fn a_termination_message_outlives_the_restart_and_can_be_no_link() {
    let kube = Kube::new();
    let script = "echo first >/dev/termination-log; ln -sf /etc/shadow /dev/termination-log && exit 9; sleep 1; exit 3";
    kube.play_failing(&pod("web", script, ""));
    let pod = kube.until("web", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1);
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["message"]), (&3.into(), &"first\n".into()), "{pod:#}");
}

#[test]
fn a_pod_whose_readiness_gate_nothing_opens_is_never_ready_and_a_wait_says_so() {
    let kube = Kube::new();
    let gate = "  readinessGates: [{conditionType: example.com/lb}]\n";
    let output = kube.try_play(&pod("web", IDLE, gate), &["--wait"]).expect(1);
    output.complains("warning").complains("example.com/lb").complains("pod readiness gate");
    assert!(kube.ok(&["ps", "web", "--no-headers"]).stdout.contains("Running"));
    let pod = kube.pod("web");
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
    assert_eq!((&ready["status"], &ready["reason"]), (&"False".into(), &"ReadinessGatesNotReady".into()));
}
