//! `kube play`: its input, its effects and its messages.

use tests::{IDLE, Kube, host_port, http, limit, pod, pod_with};

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {greeting: hello}\n";

fn deployment(name: &str, replicas: u32, script: &str) -> String {
    let script = serde_json::to_string(script).unwrap();
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
         spec:\n      containers:\n      - name: main\n        image: localhost/busybox:1\n        \
         command: [sh, -c, {script}]\n"
    )
}

#[test]
fn returns_when_every_container_has_started() {
    let kube = Kube::new();
    let two = format!("  - name: side\n    image: localhost/busybox:1\n    command: [sh, -c, {IDLE:?}]");
    kube.play(&(pod("web", IDLE, "") + &two)).says("pod/web created");
    let pod = kube.pod("web");
    assert_eq!(pod["status"]["phase"], "Running");
    for status in pod["status"]["containerStatuses"].as_array().unwrap() {
        assert!(status["state"]["running"]["startedAt"].is_string(), "{status:#}");
        assert_eq!(status["started"], true);
    }
    assert_eq!(kube.sh("web", "echo from inside"), "from inside\n");
}

#[test]
fn prints_a_line_for_every_object_as_kubectl_does() {
    let kube = Kube::new();
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {k: v}\n";
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  \
                 accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 1Gi}}\n";
    let all = [CONFIG, secret, claim, &pod("web", IDLE, ""), &deployment("api", 1, IDLE)].join("---\n");
    let output = kube.play(&all);
    for line in [
        "configmap/conf created",
        "secret/key created",
        "persistentvolumeclaim/data created",
        "pod/web created",
        "deployment.apps/api created",
    ] {
        assert!(output.lines().contains(&line), "{line:?} is missing: {output}");
    }
}

#[test]
fn a_deployment_makes_its_replicas_named_as_kubernetes_does() {
    let kube = Kube::new();
    kube.play(&deployment("api", 3, IDLE));
    let list = kube.ok(&["ps", "-l", "app=api", "-o", "json"]).json();
    let pods = list["items"].as_array().unwrap();
    assert_eq!(pods.len(), 3);
    let hash = pods[0]["metadata"]["labels"]["pod-template-hash"].as_str().unwrap();
    let mut suffixes = std::collections::BTreeSet::new();
    for pod in pods {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let suffix =
            name.strip_prefix(&format!("api-{hash}-")).unwrap_or_else(|| panic!("{name} lacks {hash}"));
        assert_eq!(suffix.len(), 5, "{name}");
        assert_eq!(pod["status"]["phase"], "Running", "{name}");
        suffixes.insert(suffix.to_owned());
    }
    assert_eq!(suffixes.len(), 3);
}

#[test]
fn several_files_and_documents_and_lists_are_one_play() {
    let kube = Kube::new();
    let one = kube.manifest(&format!("{CONFIG}---\n# nothing here\n---\n{}", pod("a", IDLE, "")));
    let item = |name: &str| {
        let yaml = pod(name, IDLE, "");
        let indented: String = yaml.lines().map(|l| format!("  {l}\n")).collect();
        format!("-{}", &indented[1..])
    };
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{}{}", item("b"), item("c"));
    let two = kube.manifest(&list);
    kube.ok(&["play", &one, &two]);
    assert_eq!(kube.pods(), ["a", "b", "c"]);
}

#[test]
fn a_folder_gives_its_manifests() {
    let kube = Kube::new();
    kube.file("app/10-a.yaml", pod("a", IDLE, ""));
    kube.file("app/20-b.yml", pod("b", IDLE, ""));
    kube.file("app/README.md", "not: [yaml");
    let dir = kube.dir().join("app");
    kube.ok(&["play", dir.to_str().unwrap()]);
    assert_eq!(kube.pods(), ["a", "b"]);
}

#[test]
fn stdin_gives_manifests() {
    let kube = Kube::new();
    kube.run_with_input(&["play", "-"], &pod("web", IDLE, "")).expect(0).says("pod/web created");
    assert_eq!(kube.pods(), ["web"]);
}

#[test]
fn a_url_gives_manifests() {
    let kube = Kube::new();
    let server = http::serve_text(&pod("web", IDLE, ""));
    kube.ok(&["play", &format!("http://{server}/web.yaml")]).says("pod/web created");
    assert_eq!(kube.pods(), ["web"]);
}

#[test]
fn json_is_a_manifest_too() {
    let kube = Kube::new();
    let json = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "main", "image": "localhost/busybox:1", "command": ["sh", "-c", IDLE]}]},
    });
    let file = kube.file("web.json", json.to_string());
    kube.ok(&["play", &file]).says("pod/web created");
}

#[test]
fn a_config_map_of_another_file_comes_by_flag() {
    let kube = Kube::new();
    let conf = kube.manifest(CONFIG);
    let env =
        "    env:\n    - name: GREETING\n      valueFrom: {configMapKeyRef: {name: conf, key: greeting}}";
    kube.play_with(&pod_with("web", IDLE, env, ""), &["--configmap", &conf]);
    assert_eq!(kube.sh("web", "echo $GREETING"), "hello\n");
}

/// Otherwise, each play would replace the ConfigMap by the other one.
#[test]
fn a_config_map_that_is_given_twice_is_an_error() {
    let kube = Kube::empty();
    let conf = kube.manifest(CONFIG);
    let both = kube.manifest(&format!("{CONFIG}---\n{}", pod("web", IDLE, "")));
    for command in ["check", "play"] {
        let output = kube.run(&[command, &both, "--configmap", &conf]).expect(3);
        output.complains("metadata.name: the ConfigMap \"conf\" is given by --configmap too, at ");
    }
    kube.run(&["inspect", "configmap/conf"]).expect(4);
}

#[test]
fn dry_run_says_what_would_be_done_and_does_nothing() {
    let kube = Kube::new();
    let file = kube.manifest(&pod("web", IDLE, ""));
    let output = kube.ok(&["play", &file, "--dry-run"]);
    assert!(output.stdout.starts_with("pod/web created"), "{output}");
    assert!(output.stdout.contains("dry run"), "{output}");
    assert_eq!(kube.pods(), Vec::<String>::new());
    assert_eq!(kube.supervisors(), []);
}

#[test]
fn start_false_records_and_starts_nothing_until_it_is_played() {
    let kube = Kube::new();
    let file = kube.manifest(&pod("web", IDLE, ""));
    kube.ok(&["play", &file, "--start=false"]).says("pod/web created");
    assert_eq!(kube.pod("web")["status"]["phase"], "Pending");
    assert_eq!(kube.processes_of(kube.pod("web")["metadata"]["uid"].as_str().unwrap()), []);
    kube.ok(&["play", &file]).says("pod/web");
    assert_eq!(kube.pod("web")["status"]["phase"], "Running");
}

#[test]
fn quiet_prints_nothing() {
    let kube = Kube::new();
    let output = kube.play_with(&pod("web", IDLE, ""), &["-q"]);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
}

#[test]
fn wait_complete_gives_the_containers_exit_code() {
    let kube = Kube::new();
    let never = "  restartPolicy: Never\n";
    assert_eq!(kube.try_play(&pod("good", "exit 0", never), &["--wait=complete"]).code, 0);
    assert_eq!(kube.try_play(&pod("bad", "exit 37", never), &["--wait=complete"]).code, 37);
    assert_eq!(kube.pod("good")["status"]["phase"], "Succeeded");
    assert_eq!(kube.pod("bad")["status"]["phase"], "Failed");
}

#[test]
fn wait_ready_returns_when_pods_are_ready() {
    let kube = Kube::new();
    kube.play_with(&pod("web", IDLE, ""), &["--wait=ready"]);
    let pod = kube.pod("web");
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|c| c["type"] == "Ready").unwrap();
    assert_eq!(ready["status"], "True");
}

#[test]
fn a_pod_that_has_failed_is_not_ready_however_soon_it_did() {
    let kube = Kube::new();
    let never = "  restartPolicy: Never\n";
    let file = kube.manifest(&pod("bad", "echo why; exit 3", never));
    kube.ok(&["play", &file, "--start=false"]);
    let fails = |output: tests::Output| {
        let output = output.expect(1).complains("pod/bad: it has ended (Failed)");
        assert!(output.stderr.contains("container main wrote last:\n  why\n"), "{output}");
    };
    fails(kube.run(&["play", &file, "--wait"]));
    // Also if the play has nothing to do.
    fails(kube.run(&["play", &file, "--wait"]));
    kube.ok(&["down", "pod/bad"]);
    // The failing pod was ready for a moment while the other pod was not.
    let slow = "  initContainers: [{name: i, image: localhost/busybox:1, command: [sleep, '1']}]\n";
    let both = [pod("bad", "sleep 0.3; echo why; exit 3", never), pod("slow", IDLE, slow)].join("---\n");
    fails(kube.try_play(&both, &["--wait"]));
}

#[test]
fn a_wait_that_takes_too_long_ends_with_5_and_leaves_the_pod() {
    let kube = Kube::new();
    let yaml = pod("slow", IDLE, "  restartPolicy: Never\n");
    // Long enough to start on every test machine.
    let timeout = format!("--timeout={}s", limit(2).as_secs());
    kube.try_play(&yaml, &["--wait=complete", &timeout]).expect(5).complains("timed out");
    assert_eq!(kube.pod("slow")["status"]["phase"], "Running");
}

#[test]
fn a_document_that_fails_undoes_the_call_and_nothing_else() {
    let kube = Kube::new();
    kube.play(&pod("old", IDLE, ""));
    let before = kube.pod("old")["metadata"]["uid"].clone();
    let missing = pod("broken", IDLE, "").replace("localhost/busybox:1", "localhost/absent:1");
    let missing = missing.replace("    command:", "    imagePullPolicy: Never\n    command:");
    let all = [CONFIG, &pod("new", IDLE, ""), &missing].join("---\n");
    let output = kube.try_play(&all, &[]).expect(1).complains("broken");
    assert!(output.stderr.contains("absent"), "{output}");
    assert_eq!(kube.pods(), ["old"]);
    assert_eq!(kube.pod("old")["metadata"]["uid"], before);
    kube.run(&["inspect", "configmap/conf"]).expect(4);
}

#[test]
fn a_failed_change_leaves_what_stood_before() {
    let kube = Kube::new();
    kube.play(&(CONFIG.to_owned() + "---\n" + &pod("web", IDLE, "")));
    let port = host_port();
    let _taken = std::net::TcpListener::bind(("0.0.0.0", port.number)).unwrap();
    let ports = format!("    ports: [{{containerPort: 80, hostPort: {port}}}]");
    let changed = CONFIG.replace("hello", "changed") + "---\n" + &pod_with("web", IDLE, &ports, "");
    kube.try_play(&changed, &[]).expect(1).complains(&port.to_string());
    assert_eq!(kube.pod("web")["status"]["phase"], "Running");
    assert_eq!(kube.ok(&["inspect", "configmap/conf"]).json()["data"]["greeting"], "hello");
}

#[test]
fn namespaces_keep_pods_apart() {
    let kube = Kube::new();
    let file = kube.manifest(&pod("web", IDLE, ""));
    kube.ok(&["play", &file]);
    kube.ok(&["-n", "other", "play", &file]).says("pod/web created");
    let other = kube.ok(&["-n", "other", "inspect", "web"]).json();
    assert_eq!(other["metadata"]["namespace"], "other");
    assert_ne!(other["metadata"]["uid"], kube.pod("web")["metadata"]["uid"]);
    kube.ok(&["-n", "other", "down", "pod/web"]);
    assert_eq!(kube.pods(), ["web"]);
}
