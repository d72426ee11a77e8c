//! Playing a file again.

use tests::{IDLE, Kube, pod, pod_with};

fn started(kube: &Kube, pod: &str) -> serde_json::Value {
    kube.container(pod, "main")["state"]["running"]["startedAt"].clone()
}

#[test]
fn an_unchanged_file_changes_nothing_and_says_so() {
    let kube = Kube::new();
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {a: b}\n---\n";
    let file = kube.manifest(&(config.to_owned() + &pod("web", IDLE, "")));
    kube.ok(&["play", &file]);
    let before = kube.pod("web");
    let output = kube.ok(&["play", &file]);
    assert_eq!(output.lines(), ["configmap/conf unchanged", "pod/web unchanged"]);
    assert_eq!(kube.pod("web"), before);
}

#[test]
fn comments_and_order_of_keys_are_no_change() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let reordered = format!(
        "# now with a comment\nkind: Pod\napiVersion: v1\nspec:\n  containers:\n  - command: [sh, -c, {IDLE:?}]\n    \
         image: localhost/busybox:1\n    name: main\n  terminationGracePeriodSeconds: 2\nmetadata:\n  \
         labels: {{app: web}}\n  name: web\n"
    );
    kube.play(&reordered).says("pod/web unchanged");
}

#[test]
fn a_changed_pod_is_made_anew_and_others_keep_running() {
    let kube = Kube::new();
    let both = |value: &str| {
        let env = format!("    env: [{{name: V, value: {value}}}]");
        pod("same", IDLE, "") + "---\n" + &pod_with("web", IDLE, &env, "")
    };
    kube.play(&both("one"));
    let (same, web) = (started(&kube, "same"), kube.pod("web")["metadata"]["uid"].clone());
    let output = kube.play(&both("two"));
    assert_eq!(output.lines(), ["pod/same unchanged", "pod/web configured"]);
    assert_eq!(started(&kube, "same"), same);
    assert_ne!(kube.pod("web")["metadata"]["uid"], web);
    assert_eq!(kube.sh("web", "echo $V"), "two\n");
}

#[test]
fn a_changed_pod_is_stopped_in_order_first() {
    let kube = Kube::new();
    let log = kube.file("ended", "");
    let script = "trap 'echo $V >>/ended; exit 0' TERM; while :; do sleep 3600 & wait $!; done";
    let yaml = |value: &str| {
        let more = format!(
            "    env: [{{name: V, value: {value}}}]\n    volumeMounts: [{{name: e, mountPath: /ended}}]"
        );
        pod_with(
            "web",
            script,
            &more,
            &format!("  volumes: [{{name: e, hostPath: {{path: {log}, type: File}}}}]\n"),
        )
    };
    kube.play(&yaml("one"));
    kube.play(&yaml("two"));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "one\n");
}

#[test]
fn pods_gone_from_the_file_stay_and_are_named() {
    let kube = Kube::new();
    let file = kube.manifest(&(pod("a", IDLE, "") + "---\n" + &pod("b", IDLE, "")));
    kube.ok(&["play", &file]);
    std::fs::write(&file, pod("a", IDLE, "")).unwrap();
    kube.ok(&["play", &file]).complains("pod/b").complains("--prune");
    assert_eq!(kube.pods(), ["a", "b"]);
    kube.ok(&["play", &file, "--prune"]).says("pod/b deleted").says("pod/a unchanged");
    assert_eq!(kube.pods(), ["a"]);
}

#[test]
fn what_comes_from_pipes_is_never_gone_from_a_file() {
    let kube = Kube::new();
    let play = |name: &str, args: &[&str]| kube.run_with_input(args, &pod(name, IDLE, "")).expect(0);
    play("a", &["play", "-"]);
    for (name, source) in [("b", "-"), ("c", "/dev/stdin"), ("d", "/dev/stdin")] {
        let output = play(name, &["play", source]);
        assert_eq!(output.stderr, "", "{output}");
    }
    play("e", &["play", "-", "--prune"]).complains("--prune removes nothing here");
    assert_eq!(kube.pods(), ["a", "b", "c", "d", "e"]);
    play("d", &["down", "/dev/stdin"]);
    assert_eq!(kube.pods(), ["a", "b", "c", "e"]);
}

#[test]
fn what_is_unchanged_and_does_not_run_is_told_with_its_state() {
    let kube = Kube::new();
    let file = kube.manifest(&pod("job", "exit 3", "  restartPolicy: Never\n"));
    kube.ok(&["play", &file, "--start=false"]);
    kube.ok(&["play", &file, "--start=false"]).says("pod/job unchanged (not started)");
    assert_eq!(kube.run(&["play", &file, "--wait=complete"]).code, 3);
    kube.ok(&["play", &file]).says("pod/job unchanged (Error)").complains("--replace");
    kube.ok(&["play", &file, "--dry-run"]).says("pod/job unchanged (Error) (dry run)");
    let web = kube.manifest(&pod("web", IDLE, ""));
    kube.ok(&["play", &web]);
    assert_eq!(kube.ok(&["play", &web]).stdout, "pod/web unchanged\n");
}

#[test]
fn prune_leaves_what_other_files_made() {
    let kube = Kube::new();
    let file = kube.manifest(&(pod("a", IDLE, "") + "---\n" + &pod("b", IDLE, "")));
    kube.ok(&["play", &file]);
    kube.play(&pod("other", IDLE, ""));
    std::fs::write(&file, pod("a", IDLE, "")).unwrap();
    kube.ok(&["play", &file, "--prune"]);
    assert_eq!(kube.pods(), ["a", "other"]);
}

#[test]
fn replace_makes_unchanged_pods_anew() {
    let kube = Kube::new();
    let file = kube.manifest(&pod("web", IDLE, ""));
    kube.ok(&["play", &file]);
    let uid = kube.pod("web")["metadata"]["uid"].clone();
    kube.ok(&["play", &file, "--replace"]);
    assert_ne!(kube.pod("web")["metadata"]["uid"], uid);
    assert_eq!(kube.pod("web")["status"]["phase"], "Running");
}

#[test]
fn a_changed_config_map_is_configured_and_pods_run_on() {
    let kube = Kube::new();
    let yaml = |value: &str| {
        let config =
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: conf}}\ndata: {{k: {value}}}\n---\n");
        config + &pod("web", IDLE, "")
    };
    kube.play(&yaml("one"));
    let before = started(&kube, "web");
    kube.play(&yaml("two")).says("configmap/conf configured").says("pod/web unchanged");
    assert_eq!(started(&kube, "web"), before);
}

/// Waits until the pods that are being removed are gone, because a play does not wait for that.
fn removed(kube: &Kube) {
    let list = kube.ok(&["ps", "-o", "json"]).json();
    for pod in list["items"].as_array().unwrap() {
        if pod["metadata"]["deletionTimestamp"].is_string() {
            let name = pod["metadata"]["name"].as_str().unwrap();
            let gone = kube.run(&["wait", name, "--for=deleted", "--timeout", "60s"]);
            assert!([0, 4].contains(&gone.code), "{gone}");
        }
    }
}

#[test]
fn a_deployment_grows_and_shrinks_and_keeps_the_pods_that_stay() {
    let kube = Kube::new();
    let yaml = |replicas: u32| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: api}}\nspec:\n  replicas: {replicas}\n  \
             selector: {{matchLabels: {{app: api}}}}\n  template:\n    metadata: {{labels: {{app: api}}}}\n    \
             spec:\n      terminationGracePeriodSeconds: 2\n      containers:\n      - name: main\n        \
             image: localhost/busybox:1\n        command: [sh, -c, {IDLE:?}]\n"
        )
    };
    kube.play(&yaml(1));
    let first = kube.pods();
    kube.play(&yaml(3)).says("deployment.apps/api configured");
    let grown = kube.pods();
    assert_eq!(grown.len(), 3);
    assert!(grown.contains(&first[0]), "{first:?} {grown:?}");
    kube.play(&yaml(2));
    removed(&kube);
    let shrunk = kube.pods();
    assert_eq!(shrunk.len(), 2);
    assert!(shrunk.iter().all(|p| grown.contains(p)), "{grown:?} {shrunk:?}");
    kube.play(&yaml(0));
    removed(&kube);
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn a_deployment_of_no_replicas_stays_known_and_scales() {
    let kube = Kube::new();
    let file = kube.dir().join("api.yaml").display().to_string();
    let play = |replicas: u32| {
        let text = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: api}}\nspec:\n  replicas: {replicas}\n  \
             selector: {{matchLabels: {{app: api}}}}\n  template:\n    metadata: {{labels: {{app: api}}}}\n    \
             spec:\n      terminationGracePeriodSeconds: 2\n      containers:\n      - name: main\n        \
             image: localhost/busybox:1\n        command: [sh, -c, {IDLE:?}]\n"
        );
        kube.file("api.yaml", text);
        kube.ok(&["play", &file])
    };
    let is_known = || {
        let shown = kube.ok(&["inspect", "deployment/api"]).json();
        assert_eq!((&shown["spec"]["replicas"], &shown["status"]["replicas"]), (&0.into(), &0.into()));
        kube.ok(&["ps"]).complains("deployment.apps/api has no pods (replicas: 0)");
        kube.ok(&["generate", "deployment/api"]).says("replicas: 0");
        play(0).says("deployment.apps/api unchanged");
        assert_eq!(kube.supervisors(), [], "nothing is left to do");
    };
    play(0).says("deployment.apps/api created");
    is_known();
    play(2).says("deployment.apps/api configured");
    assert_eq!(kube.pods().len(), 2);
    play(0).says("deployment.apps/api configured");
    removed(&kube);
    kube.ok(&["network", "rm", "kube"]);
    for supervisor in kube.supervisors() {
        assert!(supervisor.ends_within(tests::limit(10)), "{supervisor:?}");
    }
    is_known();
    kube.ok(&["down", &file]).says("deployment.apps/api deleted");
    kube.run(&["inspect", "deployment/api"]).expect(4);
    // A Deployment that a failed play created is removed when the play is undone.
    play(0);
    kube.ok(&["down", "--all"]);
    let broken = pod("broken", "", "").replace("[sh, -c, \"\"]", "[nosuchprogram]");
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + "---\n" + &broken).unwrap();
    kube.run(&["play", &file]).expect(1);
    kube.run(&["inspect", "deployment/api"]).expect(4);
}

#[test]
fn a_deployment_with_another_template_gets_new_pods() {
    let kube = Kube::new();
    let yaml = |value: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: api}}\nspec:\n  replicas: 2\n  \
             selector: {{matchLabels: {{app: api}}}}\n  template:\n    metadata: {{labels: {{app: api}}}}\n    \
             spec:\n      terminationGracePeriodSeconds: 2\n      containers:\n      - name: main\n        \
             image: localhost/busybox:1\n        env: [{{name: V, value: {value}}}]\n        \
             command: [sh, -c, {IDLE:?}]\n"
        )
    };
    kube.play(&yaml("one"));
    let before = kube.pods();
    kube.play(&yaml("two")).says("deployment.apps/api configured");
    removed(&kube);
    let after = kube.pods();
    assert_eq!(after.len(), 2);
    assert!(after.iter().all(|p| !before.contains(p)), "{before:?} {after:?}");
    assert_eq!(kube.sh(&after[0], "echo $V"), "two\n");
}
