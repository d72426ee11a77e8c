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
    kube.play_failing(&pod("web", "sleep 0.2; exit 3", ""));
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
fn what_does_not_exist_is_an_error() {
    let kube = Kube::new();
    kube.run(&["describe", "web"]).expect(4).complains("pod/web not found");
    kube.run(&["describe", "secret/x"]).expect(4).complains("not found");
    kube.run(&["describe", "pvc/x"]).expect(4).complains("not found");
    kube.run(&["describe", "services"]).expect(4).complains("no such objects");
    kube.run(&["describe", "serviceaccount/x"]).expect(2).complains("the kinds are: pods");
}

#[test]
fn objects_of_every_kind_are_described() {
    let kube = Kube::new();
    let volume = "  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]\n";
    let claim = "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: \
                 [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n---\napiVersion: v1\nkind: PersistentVolume\n\
                 metadata: {name: disk}\nspec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteMany], \
                 storageClassName: other, hostPath: {path: /srv/disk}}\n";
    let resources = "    resources: {requests: {cpu: 250m, memory: 64Mi}}";
    kube.play(&(pod_with("web", IDLE, resources, volume) + claim));
    let output =
        kube.ok(&["describe", "pvc", "data"]).says("Status:        Bound").says("Used By:       web");
    assert!(output.stdout.contains("Capacity:      1Gi"), "{output}");
    kube.ok(&["describe", "pv/disk"]).says("Status:          Available").says("Path:          /srv/disk");
    kube.ok(&["describe", "ns", "default"]).says("Status:       Active");
    kube.ok(&["describe", "node"]).says("250m (").says("64Mi (").says("(1 in total)");
    // Several objects are separated by empty lines; a name without a kind is a pod.
    let both = kube.ok(&["describe", "web", "pvc/data"]);
    assert_eq!(both.stdout.matches("Namespace:").count(), 2, "{both}");
    let events = kube.ok(&["describe", "events"]);
    assert!(events.stdout.contains("Involved Object:\n  API Version:"), "{events}");
}

#[test]
fn a_replica_set_is_described_with_the_states_of_its_pods() {
    let kube = Kube::new();
    kube.play(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  replicas: 2\n  \
         selector: {matchLabels: {app: api}}\n  template:\n    metadata: {labels: {app: api}}\n    \
         spec:\n      terminationGracePeriodSeconds: 0\n      containers:\n      - name: main\n        \
         image: localhost/busybox:1\n        command: [sleep, '3600']\n",
    );
    kube.wait("deployment/api", "ready");
    kube.ok(&["describe", "rs", "-l", "app=api"])
        .says("Controlled By:  Deployment/api")
        .says("Pods Status:    2 Running / 0 Waiting / 0 Succeeded / 0 Failed");
}
