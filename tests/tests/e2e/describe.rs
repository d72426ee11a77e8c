//! `kube describe`.

use tests::{IDLE, Kube, pod, pod_with};

#[test]
fn a_pod_is_described_with_its_containers_and_events_and_no_value_of_a_secret() {
    let kube = Kube::new();
    let secret =
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {password: hunter2}\n";
    let more = "    env:\n    - name: PASSWORD\n      valueFrom: {secretKeyRef: {name: login, key: password}}\n    \
                readinessProbe: {exec: {command: ['true']}, periodSeconds: 1}";
    kube.play_with(&(pod_with("web", IDLE, more, "") + secret), &["--wait"]);
    let output = kube.ok(&["describe", "pod/web"]);
    let ip = kube.ip("web").to_string();
    for line in [
        "Name:             web".to_owned(),
        "Namespace:        default".to_owned(),
        "Labels:           app=web".to_owned(),
        format!("IP:               {ip}"),
        "    State:          Running".to_owned(),
        "    Ready:          True".to_owned(),
        "    Restart Count:  0".to_owned(),
        "    Readiness:      exec [true] delay=0s timeout=1s period=1s #success=1 #failure=3".to_owned(),
        "      PASSWORD:  <set to the key 'password' in secret 'login'>  Optional: false".to_owned(),
    ] {
        assert!(output.lines().contains(&line.as_str()), "{line:?} is missing: {output}");
    }
    let (_, events) = output.stdout.split_once("Events:\n").unwrap();
    assert!(events.contains("Started") && events.contains("Created"), "{output}");
    let secret = kube.ok(&["describe", "secret/login"]).says("password:  7 bytes");
    assert!(!format!("{output}{secret}").contains("hunter2"));
    assert!(!format!("{secret}").contains("aHVudGVyMg"));
}

#[test]
fn a_container_that_was_restarted_shows_its_last_state() {
    let kube = Kube::new();
    kube.play(&pod("web", "sleep 0.2; exit 3", ""));
    let restarted = |pod: &serde_json::Value| {
        pod["status"]["containerStatuses"][0]["restartCount"].as_u64().is_some_and(|count| count > 0)
    };
    kube.until("web", restarted);
    let output = kube.ok(&["describe", "web"]);
    assert!(output.stdout.contains("    Last State:"), "{output}");
    assert!(
        output.stdout.contains("      Exit Code:  3\n") || output.stdout.contains("      Exit Code:    3\n")
    );
}

#[test]
fn a_deployment_is_described_with_its_replica_sets() {
    let kube = Kube::new();
    kube.play(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  replicas: 2\n  \
         selector: {matchLabels: {app: api}}\n  template:\n    metadata: {labels: {app: api}}\n    \
         spec:\n      terminationGracePeriodSeconds: 0\n      containers:\n      - name: main\n        \
         image: localhost/busybox:1\n        command: [sleep, '3600']\n",
    );
    kube.wait("deployment/api", "ready");
    let output = kube.ok(&["describe", "deployment/api"]);
    let output = output
        .says("Replicas:               2 desired | 2 updated | 2 total | 2 available | 0 unavailable\n");
    let set = output.lines().into_iter().find(|line| line.starts_with("NewReplicaSet:")).unwrap();
    assert!(set.contains("api-") && set.ends_with("(2/2 replicas created)"), "{output}");
}

#[test]
fn what_does_not_exist_or_is_not_described_is_an_error() {
    let kube = Kube::new();
    kube.run(&["describe", "web"]).expect(4).complains("pod/web not found");
    kube.run(&["describe", "secret/x"]).expect(4).complains("not found");
    kube.run(&["describe", "pvc/x"]).expect(2).complains("kube inspect");
}
