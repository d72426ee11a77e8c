//! `kube down`.

use std::time::Instant;

use tests::{IDLE, Kube, limit, pod, pod_with};

const CLAIM: &str = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  \
                     accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 1Gi}}\n---\n";

fn with_claim() -> String {
    let mount = "    volumeMounts: [{name: data, mountPath: /data}]";
    let volume = "  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]\n";
    CLAIM.to_owned() + &pod_with("db", IDLE, mount, volume)
}

#[test]
fn takes_down_what_a_file_names() {
    let kube = Kube::new();
    let file = kube.manifest(&pod("web", IDLE, ""));
    kube.ok(&["play", &file]);
    kube.play(&pod("other", IDLE, ""));
    let uid = kube.pod("web")["metadata"]["uid"].as_str().unwrap().to_owned();
    kube.ok(&["down", &file, "--wait"]).says("pod/web deleted");
    assert_eq!(kube.pods(), ["other"]);
    assert_eq!(kube.processes_of(&uid), []);
}

#[test]
fn takes_down_by_name_when_the_file_is_gone() {
    let kube = Kube::new();
    let file = kube.manifest(&pod("web", IDLE, ""));
    kube.ok(&["play", &file]);
    std::fs::remove_file(&file).unwrap();
    kube.ok(&["down", "pod/web"]).says("pod/web deleted");
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn stops_by_what_was_recorded_though_the_file_has_changed() {
    let kube = Kube::new();
    let mark = kube.file("mark", "");
    let script =
        "trap 'echo stopped >/mark; exit 0' USR1; echo ready; while :; do sleep 3600 & wait $!; done";
    let more = "    lifecycle: {stopSignal: SIGUSR1}\n    volumeMounts: [{name: m, mountPath: /mark}]";
    let spec = format!("  volumes: [{{name: m, hostPath: {{path: {mark}}}}}]\n");
    let file = kube.manifest(&pod_with("web", script, more, &spec));
    kube.ok(&["play", &file]);
    kube.start(&["logs", "-f", "web"]).line(|line| line == "ready");
    std::fs::write(&file, pod("web", "echo another; exit 1", "")).unwrap();
    kube.ok(&["down", &file]);
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), "stopped\n");
}

#[test]
fn all_takes_down_every_namespace() {
    let kube = Kube::new();
    let file = kube.manifest(&pod("web", IDLE, ""));
    kube.ok(&["play", &file]);
    kube.ok(&["-n", "other", "play", &file]);
    kube.ok(&["down", "--all"]);
    assert_eq!(kube.ok(&["ps", "-A", "-o", "name"]).stdout, "");
    assert_eq!(kube.supervisors(), []);
}

#[test]
fn claims_are_kept_with_their_data() {
    let kube = Kube::new();
    let file = kube.manifest(&with_claim());
    kube.ok(&["play", &file]);
    kube.sh("db", "echo precious >/data/file");
    kube.ok(&["down", &file]);
    kube.ok(&["volume", "ls", "-o", "name"]).says("data");
    kube.ok(&["play", &file]);
    assert_eq!(kube.sh("db", "cat /data/file"), "precious\n");
}

#[test]
fn volumes_takes_the_claims_too() {
    let kube = Kube::new();
    let file = kube.manifest(&with_claim());
    kube.ok(&["play", &file]);
    kube.sh("db", "echo precious >/data/file");
    kube.ok(&["down", &file, "--volumes"]).says("persistentvolumeclaim/data deleted");
    assert_eq!(kube.ok(&["volume", "ls", "-o", "name"]).stdout, "");
    kube.ok(&["play", &file]);
    assert_eq!(kube.sh("db", "ls /data"), "");
}

#[test]
fn volumes_takes_claims_that_only_the_pod_names() {
    let kube = Kube::new();
    let file = kube.manifest(with_claim().strip_prefix(CLAIM).unwrap());
    let claim = kube.manifest(CLAIM);
    kube.ok(&["play", &file]).complains("an empty volume is created on first use");
    let again = kube.ok(&["play", &file]);
    assert!(!again.stderr.contains("first use"), "it stands by now: {again}");
    kube.ok(&["down", &file, "--volumes"]).says("persistentvolumeclaim/data deleted");
    assert_eq!(kube.ok(&["volume", "ls", "-o", "name"]).stdout, "");
    // By name, and after the file was deleted.
    kube.ok(&["play", &file]);
    kube.ok(&["down", "pod/db", "--volumes"]).says("persistentvolumeclaim/data deleted");
    kube.ok(&["play", &file]);
    std::fs::remove_file(&file).unwrap();
    kube.ok(&["down", &file, "--volumes"]).says("persistentvolumeclaim/data deleted");
    // A claim that was played from another file belongs to that file.
    kube.ok(&["play", &claim]);
    kube.play(with_claim().strip_prefix(CLAIM).unwrap());
    kube.ok(&["down", "pod/db", "--volumes"])
        .complains("persistentvolumeclaim/data was played by itself and is kept");
    kube.ok(&["volume", "ls", "-o", "name"]).says("data");
}

#[test]
fn a_claim_in_use_is_told_once() {
    let kube = Kube::new();
    kube.play(&with_claim());
    let output = kube.run(&["down", "pvc/data"]).expect(1);
    assert_eq!(output.stderr.matches("in use by pod/db").count(), 1, "{output}");
}

#[test]
fn a_claim_by_its_own_name_goes_with_its_data() {
    let kube = Kube::new();
    let file = kube.manifest(&with_claim());
    kube.ok(&["play", &file]);
    let output = kube.run(&["down", "pvc/data"]);
    assert!(output.code == 1 && output.stderr.contains("pod/db"), "a pod has it: {output}");
    kube.ok(&["down", "pod/db"]);
    kube.ok(&["down", "pvc/data"]).says("persistentvolumeclaim/data deleted");
    assert_eq!(kube.ok(&["volume", "ls", "-o", "name"]).stdout, "");
}

#[test]
fn a_container_that_ignores_the_stop_signal_is_killed_when_grace_ends() {
    let kube = Kube::new();
    kube.play(&pod(
        "deaf",
        "trap '' TERM; while :; do sleep 3600 & wait $!; done",
        "  terminationGracePeriodSeconds: 2\n",
    ));
    let start = Instant::now();
    kube.ok(&["down", "pod/deaf"]);
    assert!(start.elapsed().as_secs_f64() >= 2.0, "killed after {:?}", start.elapsed());
}

#[test]
fn time_overrides_the_grace_period() {
    let kube = Kube::new();
    let deaf = "trap '' TERM; while :; do sleep 3600 & wait $!; done";
    kube.play(&pod("deaf", deaf, "  terminationGracePeriodSeconds: 600\n"));
    let start = Instant::now();
    kube.ok(&["down", "pod/deaf", "--time", "1"]);
    assert!(start.elapsed().as_secs_f64() >= 1.0 && start.elapsed() < limit(20), "{:?}", start.elapsed());
}

#[test]
fn force_kills_at_once() {
    let kube = Kube::new();
    let deaf = "trap '' TERM; while :; do sleep 3600 & wait $!; done";
    kube.play(&pod("deaf", deaf, "  terminationGracePeriodSeconds: 600\n"));
    let start = Instant::now();
    kube.ok(&["down", "pod/deaf", "--force"]);
    assert!(start.elapsed() < limit(15), "{:?}", start.elapsed());
}

#[test]
fn what_is_not_there_ends_with_4() {
    let kube = Kube::new();
    kube.run(&["down", "pod/nobody"]).expect(4).complains("nobody");
    kube.ok(&["down", "pod/nobody", "--ignore-not-found"]);
    kube.ok(&["down", "--all"]);
}

#[test]
fn takes_down_pods_that_were_never_started_or_have_ended() {
    let kube = Kube::new();
    kube.play_with(&pod("a", IDLE, ""), &["--start=false"]);
    kube.play_with(&pod("b", "exit 0", "  restartPolicy: Never\n"), &["--wait=complete"]);
    kube.ok(&["down", "pod/a", "pod/b"]).says("pod/a deleted").says("pod/b deleted");
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn who_waits_is_told_what_for() {
    let kube = Kube::new();
    let file = kube.manifest(&pod_with(
        "deaf",
        "trap '' TERM; while :; do sleep 1; done",
        "",
        "  terminationGracePeriodSeconds: 5\n",
    ));
    kube.ok(&["play", &file]);
    kube.ok(&["down", &file]).complains("waiting for pod/deaf (Terminating, killed after 5 s)");
}

/// `down` accepts every form of file that `play` accepts.
#[test]
fn takes_down_what_files_of_any_form_name() {
    let kube = Kube::new();
    let map = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    let json = |name: &str| {
        format!(r#"{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "{name}"}}}}"#)
    };
    let merged = "apiVersion: v1\nkind: List\nitems:\n- &cm {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n\
                  - {<<: *cm, metadata: {name: b}}\n";
    for text in [
        format!("\u{feff}{}---\n{}", map("a"), map("b")),
        format!("{}\n{}\n", json("a"), json("b")),
        merged.to_owned(),
    ] {
        let file = kube.manifest(&text);
        kube.ok(&["play", &file]);
        kube.ok(&["inspect", "cm/a"]);
        kube.ok(&["down", &file]).says("configmap/a deleted");
        for name in ["cm/a", "cm/b"] {
            kube.run(&["inspect", name]).expect(4);
        }
    }
}

#[test]
fn takes_down_what_folders_pipes_and_addresses_name() {
    let kube = Kube::new();
    let map = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
    let gone = || {
        for name in ["cm/a", "cm/b"] {
            kube.run(&["inspect", name]).expect(4);
        }
    };
    kube.file("folder/a.yaml", map("a"));
    kube.file("folder/b.yml", map("b"));
    let folder = kube.dir().join("folder").display().to_string();
    kube.ok(&["play", &folder]);
    kube.ok(&["down", &folder]).says("configmap/a deleted").says("configmap/b deleted");
    gone();
    let both = format!("{}---\n{}", map("a"), map("b"));
    kube.run_with_input(&["play", "-"], &both).expect(0);
    kube.run_with_input(&["down", "-"], &both).expect(0).says("configmap/b deleted");
    gone();
    let address = format!("http://{}/app.yaml", tests::http::serve_text(&both));
    kube.ok(&["play", &address]);
    kube.ok(&["down", &address]).says("configmap/a deleted").says("configmap/b deleted");
    gone();
}
