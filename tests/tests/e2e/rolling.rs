//! Rollouts of Deployments with real pods.

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::{IDLE, Kube, host_port};

/// Returns a Deployment `api` whose pods have `version` in `$VERSION`. `spec` is additional YAML for its spec.
fn api(version: &str, script: &str, spec: &str) -> String {
    let script = serde_json::to_string(script).unwrap();
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: api}}\nspec:\n  {spec}\n  \
         selector: {{matchLabels: {{app: api}}}}\n  template:\n    metadata: {{labels: {{app: api}}}}\n    \
         spec:\n      terminationGracePeriodSeconds: 2\n      containers:\n      - name: main\n        \
         image: localhost/busybox:1\n        command: [sh, -c, {script}]\n        \
         env: [{{name: VERSION, value: {version:?}}}]\n"
    )
}

fn deployment(kube: &Kube) -> Value {
    kube.ok(&["inspect", "deployment/api"]).json()
}

fn number(object: &Value, field: &str) -> u64 {
    object["status"][field].as_u64().unwrap_or(0)
}

fn is_complete(object: &Value, replicas: u64) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
        && ["replicas", "updatedReplicas", "availableReplicas"]
            .iter()
            .all(|field| number(object, field) == replicas)
}

/// Returns the different values of `$VERSION` in the pods of the Deployment.
fn versions(kube: &Kube) -> Vec<String> {
    let pods = kube.ok(&["ps", "deployment/api", "-o", "json"]).json();
    let mut found: Vec<String> = pods["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .map(|pod| pod["spec"]["containers"][0]["env"][0]["value"].as_str().unwrap().to_owned())
        .collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn a_rolling_update_keeps_within_its_bounds() {
    let kube = Kube::new();
    let spec =
        "replicas: 3\n  minReadySeconds: 1\n  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}";
    let file = kube.manifest(&api("one", IDLE, spec));
    kube.ok(&["play", &file]);
    kube.ok(&["rollout", "status", "deployment/api"]).says("successfully rolled out");
    assert!(is_complete(&deployment(&kube), 3));

    std::fs::write(&file, api("two", IDLE, spec)).unwrap();
    let play = kube.start(&["play", &file]);
    let mut seen = Vec::new();
    loop {
        let now = deployment(&kube);
        let (replicas, available) = (number(&now, "replicas"), number(&now, "availableReplicas"));
        assert!(replicas <= 4, "{now:#}");
        assert!(available >= 3, "{now:#}");
        seen.push(replicas);
        if is_complete(&now, 3) && now["metadata"]["generation"] == 2 {
            break;
        }
    }
    assert!(seen.contains(&4), "{seen:?}");
    assert_eq!(play.end().0, 0);
    assert_eq!(versions(&kube), ["two"]);
}

#[test]
fn what_was_rolled_out_is_undone_restarted_paused_and_scaled() {
    let kube = Kube::new();
    let file = kube.manifest(&api("one", IDLE, "replicas: 2"));
    kube.ok(&["play", &file]);
    std::fs::write(&file, api("two", IDLE, "replicas: 2")).unwrap();
    kube.ok(&["play", &file]);
    assert_eq!(versions(&kube), ["two"]);
    let history = kube.ok(&["rollout", "history", "deployment/api"]);
    assert_eq!(
        history.lines(),
        ["deployment.apps/api", "REVISION   CHANGE-CAUSE", "1          <none>", "2          <none>"]
    );
    kube.ok(&["rollout", "history", "api", "--revision", "1"]).says("value: one");
    kube.run(&["rollout", "history", "api", "--revision", "9"]).expect(4).complains("revision 9");

    kube.ok(&["rollout", "undo", "deployment/api"]).says("deployment.apps/api rolled back");
    kube.ok(&["rollout", "status", "deployment/api"]);
    assert_eq!(versions(&kube), ["one"]);
    kube.ok(&["rollout", "undo", "api", "--to-revision", "3"]).says("skipped rollback");

    let before = kube.pods();
    kube.ok(&["rollout", "restart", "deployment/api"]).says("deployment.apps/api restarted");
    kube.ok(&["rollout", "status", "deployment/api"]);
    assert!(kube.pods().iter().all(|pod| !before.contains(pod)));

    kube.ok(&["rollout", "pause", "deployment/api"]).says("deployment.apps/api paused");
    kube.run(&["rollout", "pause", "deployment/api"]).expect(1).complains("already paused");
    kube.run(&["rollout", "restart", "deployment/api"]).expect(1).complains("rollout resume");
    kube.ok(&["scale", "deployment/api", "--replicas", "3"]).says("deployment.apps/api scaled");
    kube.ok(&["rollout", "resume", "deployment/api"]).says("deployment.apps/api resumed");
    kube.ok(&["rollout", "status", "deployment/api"]);
    assert_eq!(kube.pods().len(), 3);

    kube.ok(&["scale", "api", "--replicas", "0", "--current-replicas", "3"]);
    kube.ok(&["rollout", "status", "deployment/api"]);
    kube.until_all(<[Value]>::is_empty);
    assert!(is_complete(&deployment(&kube), 0));
    kube.ok(&["scale", "api", "--replicas", "1"]);
    kube.ok(&["rollout", "status", "deployment/api"]);
    assert_eq!(kube.pods().len(), 1);
    kube.run(&["scale", "api", "--replicas", "2", "--current-replicas", "7"]).expect(1).complains("was 1");
    kube.run(&["scale", "pod/x", "--replicas", "2"]).expect(2).complains("single pod");
}

#[test]
fn replica_sets_are_shown_and_nothing_else() {
    let kube = Kube::new();
    kube.play(&api("one", IDLE, "replicas: 2"));
    let pod = kube.pod(&kube.pods()[0]);
    let owner = &pod["metadata"]["ownerReferences"][0];
    let name = format!("rs/{}", owner["name"].as_str().unwrap());
    let set = kube.ok(&["inspect", &name]).json();
    assert_eq!(set["metadata"]["uid"], owner["uid"]);
    assert_eq!((&set["spec"]["replicas"], &set["status"]["readyReplicas"]), (&2.into(), &2.into()));
    assert_eq!(set["metadata"]["ownerReferences"][0]["uid"], deployment(&kube)["metadata"]["uid"],);
    kube.run(&["inspect", "rs/api-zzz"]).expect(4);
    for command in [&["down"][..], &["scale", "--replicas=1"], &["rollout", "undo"]] {
        kube.run(&[command, &[&*name]].concat()).expect(2).complains("deployment");
    }
}

#[test]
fn a_rollout_that_makes_no_progress_fails_and_can_be_undone() {
    let kube = Kube::new();
    let spec = "replicas: 1\n  minReadySeconds: 2\n  progressDeadlineSeconds: 3";
    let file = kube.manifest(&api("one", IDLE, spec));
    kube.ok(&["play", &file]);
    // The pods are Ready for too short a time to become available.
    std::fs::write(&file, api("two", "sleep 0.2; exit 1", spec)).unwrap();
    let play = kube.run(&["play", &file]);
    assert_eq!(play.code, 1);
    play.complains("pod/api-");
    assert_eq!(versions(&kube), ["one", "two"]);
    kube.ok(&["rollout", "undo", "deployment/api"]);
    kube.ok(&["rollout", "status", "deployment/api"]).says("successfully rolled out");
    assert_eq!(versions(&kube), ["one"]);
}

#[test]
fn an_update_that_needs_the_same_host_port_is_refused_unless_it_recreates() {
    let kube = Kube::new();
    let port = host_port();
    let with_port = |version: &str, spec: &str| {
        let port = format!("        ports: [{{containerPort: 80, hostPort: {port}}}]\n");
        api(version, IDLE, spec) + &port
    };
    let file = kube.manifest(&with_port("one", "replicas: 1"));
    kube.ok(&["play", &file]);
    std::fs::write(&file, with_port("two", "replicas: 1")).unwrap();
    kube.run(&["play", &file]).expect(3).complains("host port").complains("Recreate");
    assert_eq!(versions(&kube), ["one"]);
    kube.run(&["scale", "api", "--replicas", "2"]).expect(1).complains("host port");
    kube.run(&["rollout", "restart", "api"]).expect(1).complains("host port");
    std::fs::write(&file, with_port("two", "replicas: 1\n  strategy: {type: Recreate}")).unwrap();
    kube.ok(&["play", &file]);
    assert_eq!(versions(&kube), ["two"]);
}

#[test]
fn an_update_that_needs_a_claim_of_one_pod_at_a_time_is_refused_unless_it_recreates() {
    let kube = Kube::new();
    let with_claim = |version: &str, spec: &str| {
        format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data}}\nspec:\n  \
             accessModes: [ReadWriteOncePod]\n  resources: {{requests: {{storage: 1Gi}}}}\n---\n{}        \
             volumeMounts: [{{name: data, mountPath: /data}}]\n      volumes:\n      \
             - {{name: data, persistentVolumeClaim: {{claimName: data}}}}\n",
            api(version, IDLE, spec)
        )
    };
    let file = kube.manifest(&with_claim("one", "replicas: 1"));
    kube.ok(&["play", &file]);
    let before = kube.pods();
    for spec in ["replicas: 1", "replicas: 2"] {
        std::fs::write(&file, with_claim("two", spec)).unwrap();
        let refused = kube.run(&["play", &file]).expect(3);
        refused.complains("claim data, which is ReadWriteOncePod").complains("Recreate");
        assert_eq!(kube.pods(), before, "the pods are unchanged");
    }
    kube.run(&["rollout", "restart", "api"]).expect(1).complains("claim data, which is ReadWriteOncePod");
    assert_eq!(versions(&kube), ["one"]);
    std::fs::write(&file, with_claim("two", "replicas: 1\n  strategy: {type: Recreate}")).unwrap();
    kube.ok(&["play", &file]);
    assert_eq!(versions(&kube), ["two"]);
}

#[test]
fn a_play_that_is_interrupted_leaves_the_rollout_going_on() {
    let kube = Kube::new();
    let spec = "replicas: 2\n  minReadySeconds: 2";
    let file = kube.manifest(&api("one", IDLE, spec));
    kube.ok(&["play", &file]);
    std::fs::write(&file, api("two", IDLE, spec)).unwrap();
    let play = kube.start(&["play", &file]);
    while number(&deployment(&kube), "updatedReplicas") != 1 {}
    play.signal(Signal::SIGINT);
    let (code, lines) = play.end();
    assert_eq!(code, 130);
    assert!(lines.iter().any(|line| line.contains("rollout")), "{lines:?}");
    kube.ok(&["rollout", "status", "deployment/api"]).says("successfully rolled out");
    assert_eq!(versions(&kube), ["two"]);
}
