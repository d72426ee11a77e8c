//! `kube generate`: its output plays as the same pods and is valid for a cluster.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tests::Kube;

fn examples() -> Vec<PathBuf> {
    let dir = std::env::var_os("KUBE_MANIFESTS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests")), PathBuf::from);
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    found.sort();
    found
}

/// Plays an example without starting its pods. Returns false, and counts the test as skipped, for one that this host cannot
/// run.
fn play_example(kube: &Kube, example: &Path) -> bool {
    let output = kube.run(&["play", example.to_str().unwrap(), "--start=false"]);
    if output.stderr.contains("hostUsers: false needs") {
        tests::skip("this kernel or file system has no id-mapped mounts");
        return false;
    }
    output.expect(0);
    true
}

/// Returns every workload of an instance: its name for `kube generate`, and the plans of its pods without what
/// differs between pods.
fn plans(kube: &Kube) -> Vec<(String, Vec<Value>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(kube.root().join("workloads")).unwrap() {
        let Ok(text) = std::fs::read(entry.unwrap().path().join("workload.json")) else { continue };
        let record: Value = serde_json::from_slice(&text).unwrap();
        let pods =
            record["pods"].as_array().unwrap().iter().filter(|pod| pod["removing"] != true).map(|pod| {
                let mut plan = pod["plan"].clone();
                plan["uid"] = Value::Null;
                for own in ["uid", "creationTimestamp", "name"] {
                    plan["pod"]["metadata"][own] = Value::Null;
                }
                plan
            });
        let id = &record["id"];
        let name = format!("{}/{}", id["kind"].as_str().unwrap(), id["name"].as_str().unwrap());
        found.push((name, pods.collect()));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn what_flags_said_is_unchanged_when_it_is_played_back() {
    let kube = Kube::new();
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  selector: {matchLabels: \
                      {app: api}}\n  template:\n    metadata: {labels: {app: api}}\n    spec:\n      containers:\n      \
                      - {name: main, image: localhost/busybox:1, command: [sleep, '1000']}\n";
    let web = tests::pod("web", tests::IDLE, "");
    for (name, yaml) in [("web", web.as_str()), ("deployment/api", deployment)] {
        let file = kube.manifest(yaml);
        let port = tests::host_port();
        let publish = format!("{port}:80");
        kube.ok(&["play", &file, "--publish", &publish, "--pull", "never", "--start=false"]);
        let written = kube.ok(&["generate", name]);
        assert!(written.stdout.contains("hostPort"), "{written}");
        let same =
            kube.run_with_input(&["play", "-", "--start=false"], &written.stdout).expect(0).says("unchanged");
        assert!(!same.stdout.contains("configured"), "{same}");
        // Without the flag the port is no longer published, which is a change.
        kube.ok(&["play", &file, "--start=false"]).says("configured");
    }
}

/// The pods are created and not started, because another test runs the examples.
#[test]
fn every_example_is_played_back_as_the_same_plan() {
    for example in examples() {
        let kube = Kube::new();
        if !play_example(&kube, &example) {
            continue;
        }
        let before = plans(&kube);
        assert!(!before.is_empty(), "{}", example.display());
        let names: Vec<&str> = before.iter().map(|(name, _)| name.as_str()).collect();
        let yaml = kube.ok(&[&["generate"], names.as_slice()].concat()).stdout;
        assert_eq!(kube.ok(&[&["generate"], names.as_slice()].concat()).stdout, yaml);
        // A relative hostPath was made absolute. Only that changes the object, and it does not change its pods.
        let same = kube.run_with_input(&["play", "-", "--start=false"], &yaml).expect(0);
        assert!(yaml.contains("hostPath") || !same.stdout.contains("configured"), "{same}\n{yaml}");
        assert_eq!(plans(&kube), before, "{yaml}");
        kube.run_with_input(&["play", "-", "--replace", "--start=false"], &yaml).expect(0);
        assert_eq!(plans(&kube), before, "{yaml}");
        let json = kube.ok(&[&["generate", "-o", "json"], names.as_slice()].concat()).stdout;
        let same = kube.run_with_input(&["play", "-", "--start=false"], &json).expect(0);
        assert!(!same.stdout.contains("configured"), "{same}\n{json}");
    }
}

/// `check` accepts status and the metadata that a server adds, as a cluster does.
#[test]
fn what_inspect_and_ps_print_is_accepted_by_check() {
    let kube = Kube::new();
    let mut names = Vec::new();
    for example in examples() {
        play_example(&kube, &example);
    }
    kube.play_with(&tests::pod("runs", tests::IDLE, ""), &["--wait"]);
    kube.play_failing(&tests::pod("ends", "exit 3", "  restartPolicy: Never\n"));
    kube.run(&["wait", "ends", "--for=complete", "--timeout=60s"]);
    let waits = "    readinessProbe: {exec: {command: ['false']}}";
    kube.play(&tests::pod_with("waits", tests::IDLE, waits, ""));
    for list in [["ps", "-o", "name"], ["volume", "ls", "-oname"]] {
        names.extend(kube.ok(&list).lines().into_iter().map(str::to_owned));
    }
    let deployments = plans(&kube).into_iter().map(|(name, _)| name);
    names.extend(deployments.filter(|name| name.starts_with("Deployment/")));
    names.extend(["configmap/pages".to_owned(), "secret/database".to_owned()]);
    assert!(names.len() > 10, "{names:?}");
    for format in ["yaml", "json"] {
        for name in &names {
            let shown = kube.ok(&["inspect", name, "-o", format]).stdout;
            kube.run_with_input(&["check", "-"], &shown).expect(0);
        }
        let all: Vec<&str> =
            ["inspect", "-o", format].into_iter().chain(names.iter().map(String::as_str)).collect();
        for list in [all.as_slice(), &["ps", "-o", format], &["volume", "ls", "-o", format]] {
            let shown = kube.ok(list);
            let checked = kube.run_with_input(&["check", "-"], &shown.stdout).expect(0);
            if format == "json" {
                let count = shown.json()["items"].as_array().unwrap().len();
                assert_eq!(checked.lines().len(), count, "{checked}\n{shown}");
            }
        }
    }
}

#[test]
fn every_document_is_valid_for_a_cluster() {
    if tests::in_vm() {
        return tests::skip("kubernetes-validate comes from PyPI, which the virtual machine cannot reach");
    }
    let mut files = Vec::new();
    let kube = Kube::new();
    for example in examples() {
        kube.ok(&["play", example.to_str().unwrap(), "--start=false"]);
    }
    for (name, _) in plans(&kube) {
        let kinds = ["pod", "deployment", "daemonset", "job", "statefulset"];
        for (index, kind) in kinds.into_iter().enumerate() {
            let yaml = kube.ok(&["generate", &name, "--kind", kind, "--service", "--include-secrets"]).stdout;
            files.push(kube.file(&format!("{}-{index}.yaml", name.replace('/', "-")), yaml));
        }
        files.push(
            kube.file(&format!("{}.yaml", name.replace('/', "-")), kube.ok(&["generate", &name]).stdout),
        );
    }
    let validate = |files: &[String]| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes-validate.sh");
        Command::new(script).args(files).output().unwrap()
    };
    let output = validate(&files);
    assert!(output.status.success(), "{output:?}");
    // The validator does find mistakes.
    let wrong = std::fs::read_to_string(&files[0]).unwrap().replace("metadata:", "metadate:");
    assert!(!validate(&[kube.file("wrong.yaml", wrong)]).status.success());
}

#[test]
fn published_ports_and_left_out_secrets_are_played_again() {
    let kube = Kube::new();
    let port = tests::host_port();
    let file = kube.manifest(&format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: key}}\nstringData: {{k: hunter2}}\n---\n{}",
        tests::pod_with(
            "web",
            tests::IDLE,
            "    env:\n    - {name: K, valueFrom: {secretKeyRef: {name: key, key: k}}}",
            ""
        )
    ));
    kube.ok(&["play", &file, "--publish", &format!("{port}:80")]);
    let generated = kube.ok(&["generate", "web", "--service"]);
    assert!(generated.stdout.contains(&format!("hostPort: {port}\n")), "{generated}");
    assert!(!generated.stdout.contains("aHVudGVyMg"), "{generated}");
    let replayed = kube.run_with_input(&["play", "--replace", "-"], &generated.stdout).expect(0);
    assert!(replayed.stdout.contains("service/web created"), "{replayed}");
    assert!(replayed.stdout.contains("secret/key unchanged"), "{replayed}");
    assert_eq!(kube.sh("web", "echo $K"), "hunter2\n");
    let row = kube.ok(&["ps"]).stdout;
    assert!(row.contains(&format!("{port}->80/tcp")), "{row}");
}

#[test]
fn what_is_not_there_or_exists_is_told() {
    let kube = Kube::new();
    kube.play_with(&tests::pod("web", tests::IDLE, ""), &["--start=false"]);
    let missing = kube.run(&["generate", "wbe"]).expect(4);
    assert!(missing.stderr.contains("did you mean pod/web?"), "{missing}");
    kube.run(&["generate", "web/mian"]).expect(4);
    kube.run(&["generate", "web", "--replicas", "2"]).expect(2);
    let file = kube.dir().join("web.yaml");
    let file = file.to_str().unwrap();
    assert_eq!(kube.ok(&["generate", "web", "-f", file]).stdout, "");
    assert_eq!(std::fs::read_to_string(file).unwrap(), kube.ok(&["generate", "web"]).stdout);
    let again = kube.run(&["generate", "web", "-f", file]).expect(1);
    assert!(again.stderr.contains("web.yaml exists and is not overwritten"), "{again}");
}

#[test]
fn a_pod_runs_as_a_deployment_and_that_as_a_pod() {
    let kube = Kube::new();
    kube.play(&tests::pod("web", tests::IDLE, ""));
    let deployment = kube.ok(&["generate", "web", "--kind", "deployment"]).stdout;
    kube.ok(&["down", "pod/web", "--wait"]);
    kube.run_with_input(&["play", "-", "--replace", "--wait", "--timeout", "60"], &deployment).expect(0);
    let pod = kube.ok(&["generate", "deployment/web", "--kind", "pod"]).stdout;
    kube.ok(&["down", "deployment/web", "--wait"]);
    kube.run_with_input(&["play", "-", "--replace", "--wait", "--timeout", "60"], &pod).expect(0);
    assert_eq!(kube.sh("web", "echo on"), "on\n");
}

#[test]
fn what_a_cluster_refuses_is_told() {
    let kube = Kube::new();
    let pod = tests::pod_with("web", tests::IDLE, "    lifecycle: {stopSignal: SIGINT}", "");
    kube.play_with(&pod, &["--start=false", "--pull", "never"]);
    let generated = kube.ok(&["generate", "web"]);
    assert!(generated.stdout.contains("imagePullPolicy: Never"), "{generated}");
    assert!(generated.stderr.contains("add `os: {name: linux}`"), "{generated}");
    assert!(generated.stderr.contains("is never pulled (imagePullPolicy)"), "{generated}");
}
