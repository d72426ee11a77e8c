//! Tests that what a cluster refuses is either avoided or reported.

use proptest::prelude::*;

use super::lossless::{deployments, pods};
use super::*;

const KINDS: [Option<Kind>; 6] = [
    None,
    Some(Kind::Pod),
    Some(Kind::Deployment),
    Some(Kind::DaemonSet),
    Some(Kind::Job),
    Some(Kind::StatefulSet),
];

fn avoided(documents: &[Value]) -> Vec<Finding> {
    lint(documents).into_iter().filter(|finding| finding.fault.is_avoided()).collect()
}

#[test]
fn every_fault_is_reported_with_a_remedy() {
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {
            "containers": [{
                "name": "a",
                "image": "b",
                "lifecycle": {"stopSignal": "SIGINT"},
                "ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 80, "hostPort": 81}],
                "env": [
                    {"name": "my var"},
                    {"name": "B", "valueFrom": {"resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}}},
                ],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
            "securityContext": {"sysctls": [
                {"name": "net/core/somaxconn", "value": "1"},
                {"name": "net.ipv4.tcp_syncookies", "value": "1"},
            ]},
        },
    });
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db.a"},
        "spec": {
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]},
            },
        },
    });
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    });
    let found = lint(&[pod, set, service]);
    let text: Vec<String> = found.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(text.join("\n"));
    let refused: Vec<&str> = found
        .iter()
        .filter(|finding| finding.fault.is_avoided())
        .map(|finding| finding.path.as_str())
        .collect();
    assert_eq!(
        refused,
        [
            "spec.containers[0].volumeMounts[0].name",
            "metadata.name",
            "spec.template.spec.restartPolicy",
            "spec.selector"
        ]
    );
}

#[test]
fn ports_that_are_impossible_on_the_hosts_network_are_removed() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: a, image: b, ports: [{containerPort: 80, hostPort: 8080, hostIP: 127.0.0.1}]}\n  - {name: c, image: b, ports: [{containerPort: 80}]}\n";
    let options = PlanOptions { networks: vec!["host".to_owned()], ..PlanOptions::default() };
    let machine = Machine::played(text, &options);
    insta::assert_snapshot!(machine.text(&Options::default()));
    read(&to_yaml(&machine.generate(&Options::default()).unwrap().documents));
}

#[test]
fn labels_of_another_controller_are_left_out() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: web, job-name: x, pod-template-hash: abc}}\nspec: {containers: [{name: a, image: b}]}\n";
    for kind in [Kind::Deployment, Kind::Job] {
        let options = Options { kind: Some(kind), service: true, ..Options::default() };
        let documents = played(text).generate(&options).unwrap().documents;
        assert_eq!(documents[0]["spec"]["template"]["metadata"]["labels"], json!({"app": "web"}));
        assert_eq!(avoided(&documents), []);
    }
    let pod = played(text).generate(&Options::default()).unwrap().documents;
    assert_eq!(pod[0]["metadata"]["labels"]["job-name"], "x");
}

#[test]
fn a_secret_with_values_left_out_is_valid_in_a_cluster() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\ntype: kubernetes.io/ssh-auth\nstringData: {ssh-privatekey: hunter2}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: a, image: b, envFrom: [{secretRef: {name: key}}]}]}\n";
    let documents = played(text).generate(&Options::default()).unwrap().documents;
    assert_eq!(documents[0]["data"], json!({"ssh-privatekey": "Cg=="}));
    assert_eq!(avoided(&documents), []);
}

#[test]
fn each_port_of_a_service_has_a_name() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: a, image: b, ports: [{name: tcp-81, containerPort: 80}, {containerPort: 81}]}\n  - {name: c, image: d, ports: [{name: tcp-81, containerPort: 82}]}\n";
    let options = Options { service: true, ..Options::default() };
    let documents = played(text).generate(&options).unwrap().documents;
    assert_eq!(avoided(&documents), []);
    let ports = documents[1]["spec"]["ports"].as_array().unwrap();
    let names: Vec<&str> = ports.iter().map(|port| port["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["tcp-81", "port-tcp-81", "tcp-82"]);
    let named =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: db}\nspec: {containers: [{name: a, image: b}]}\n";
    let set = Options { kind: Some(Kind::StatefulSet), ..options };
    let documents = played(named).generate(&set).unwrap().documents;
    assert_eq!(documents[1]["spec"], json!({"clusterIP": "None", "selector": {"app": "db"}}));
    assert_eq!(lint(&documents), []);
}

#[test]
fn one_container_of_a_pod_with_a_long_name_becomes_a_valid_pod() {
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {}\n  annotations: {{container.apparmor.security.beta.kubernetes.io/a: unconfined, container.apparmor.security.beta.kubernetes.io/c: unconfined}}\nspec: {{containers: [{{name: a, image: b}}, {{name: c, image: d}}]}}\n",
        "w".repeat(253)
    );
    let machine = played(&text);
    let subject = Subject { container: Some("c"), ..machine.subjects()[0] };
    let documents = generate(&[subject], &Options::default(), &machine.facts).unwrap().documents;
    assert_eq!(avoided(&documents), []);
    assert_eq!(documents[0]["metadata"]["annotations"].as_object().unwrap().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Generates random manifests with random flags as every kind.
    #[test]
    fn avoided_faults_are_never_found(
        given in prop_oneof![pods(), deployments()],
        kind in prop::sample::select(KINDS.to_vec()),
        flags in any::<[bool; 4]>(),
    ) {
        let [service, include_secrets, host, publish_all] = flags;
        let networks = if host { vec!["host".to_owned()] } else { Vec::new() };
        // Host ports of several replicas are an error of `kube play`.
        let publish_all = publish_all && !host && given["kind"] == "Pod" && given["spec"]["initContainers"].is_null();
        let source = Source { name: "x".to_owned(), dir: PathBuf::from("/"), text: given.to_string() };
        let options = PlanOptions { publish_all, networks, ..PlanOptions::default() };
        let documents = manifest::load(&[source], "default").documents;
        // Other errors of `kube play` are possible too, such as two containers with the same port.
        let Ok((plan, _)) = plan(&documents, &options) else { return Ok(()) };
        let records: Vec<WorkloadRecord> = plan.workloads.iter().map(recorded).collect();
        let machine = Machine { records, facts: Facts::default() };
        let options = Options { kind, service, include_secrets, ..Options::default() };
        let documents = machine.generate(&options).unwrap().documents;
        prop_assert_eq!(avoided(&documents), Vec::new());
    }
}
