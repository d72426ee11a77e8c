//! Tests of the kinds that a workload can be written as.

use super::*;

const POD: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  restartPolicy: Never
  activeDeadlineSeconds: 60
  initContainers:
  - {name: setup, image: busybox, volumeMounts: [{name: site, mountPath: /site}]}
  containers:
  - name: httpd
    image: localhost/httpd:1
    ports:
    - {name: http, containerPort: 80, hostPort: 8080}
    - {containerPort: 53, protocol: UDP}
    volumeMounts:
    - {name: site, mountPath: /www}
  - name: log
    image: busybox:1.36
    ports: [{containerPort: 80}]
    volumeMounts:
    - {name: data, mountPath: /data}
  volumes:
  - {name: site, emptyDir: {}}
  - {name: data, persistentVolumeClaim: {claimName: data}}
";

fn kind(kind: Kind) -> Options {
    Options { kind: Some(kind), ..Options::default() }
}

#[test]
fn a_pod_becomes_a_deployment_with_a_service() {
    let options = Options { replicas: Some(3), service: true, ..kind(Kind::Deployment) };
    insta::assert_snapshot!(played(POD).text(&options));
}

#[test]
fn a_pod_becomes_a_job() {
    let text = played(POD).text(&kind(Kind::Job));
    assert!(
        text.contains("apiVersion: batch/v1\nkind: Job\n") && text.contains("restartPolicy: Never"),
        "{text}"
    );
    assert!(!text.contains("selector") && !text.contains("cannot have restartPolicy"), "{text}");
    let always = played(&POD.replace("Never", "Always")).text(&kind(Kind::Job));
    assert!(always.contains("restartPolicy: OnFailure\n"), "{always}");
    assert!(always.contains("warning: pod/web: a Job's pods cannot have restartPolicy Always"), "{always}");
}

#[test]
fn a_stateful_set_has_a_headless_service() {
    let options = Options { service: true, ..kind(Kind::StatefulSet) };
    let text = played(POD).text(&options);
    assert!(text.contains("serviceName: web\n") && text.contains("clusterIP: None\n"), "{text}");
    let without = played(POD).text(&kind(Kind::StatefulSet));
    assert!(
        without.contains("warning: statefulset.apps/web: a StatefulSet needs a Service, here web"),
        "{without}"
    );
}

#[test]
fn names_and_labels_are_shortened_to_their_limits() {
    let long = "a.".repeat(35) + "b";
    let pod = POD.replace("name: web}", &format!("name: {long}}}"));
    let options = Options { service: true, ..kind(Kind::StatefulSet) };
    let generated = played(&pod).generate(&options).unwrap();
    let of = |kind: &str| generated.documents.iter().find(|d| d["kind"] == kind).unwrap();
    let name = |value: &Value| value.as_str().unwrap().to_owned();
    assert_eq!(name(&of("StatefulSet")["metadata"]["name"]).len(), 51);
    assert_eq!(name(&of("Service")["metadata"]["name"]).len(), 63);
    assert_eq!(name(&of("StatefulSet")["spec"]["selector"]["matchLabels"]["app"]).len(), 63);
    assert_eq!(of("StatefulSet")["spec"]["selector"]["matchLabels"], of("Service")["spec"]["selector"]);
    assert_eq!(of("StatefulSet")["spec"]["serviceName"], of("Service")["metadata"]["name"]);
}

#[test]
fn one_container_becomes_a_pod_with_its_volumes() {
    let machine = played(POD);
    let of = |container| {
        let subject = Subject { container: Some(container), ..machine.subjects()[0] };
        generate(&[subject], &Options::default(), &machine.facts)
    };
    let log = of("log").unwrap();
    let kinds: Vec<&Value> = log.documents.iter().map(|d| &d["kind"]).collect();
    assert_eq!(kinds, ["PersistentVolumeClaim", "Pod"]);
    let pod = &log.documents[1];
    assert_eq!(pod["metadata"]["name"], "web-log");
    assert_eq!(pod["spec"]["containers"].as_array().unwrap().len(), 1);
    assert_eq!(
        pod["spec"]["volumes"],
        json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}])
    );
    assert_eq!(pod["spec"].get("initContainers"), None);
    let setup = of("setup").unwrap();
    assert_eq!(setup.documents[0]["spec"]["volumes"], json!([{"name": "site", "emptyDir": {}}]));
    let known = ["setup", "httpd", "log"].map(str::to_owned).to_vec();
    assert_eq!(
        of("lgo").unwrap_err(),
        Error::NoContainer { workload: "pod/web".to_owned(), container: "lgo".to_owned(), known }
    );
}

const DEPLOYMENT: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, labels: {team: a}, annotations: {note: deployment}}
spec:
  replicas: 2
  minReadySeconds: 3
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api, version: '2'}, annotations: {note: pod}}
    spec:
      containers: [{name: app, image: app:2}]
";

#[test]
fn a_pod_of_a_deployment_is_written_without_generated_fields() {
    let machine = played(DEPLOYMENT);
    let record = &machine.records[0];
    let pods = ["uid-0", "uid-1"].map(|uid| Subject { record, pod: Some(uid), container: None });
    // Both pods have the same manifest.
    let generated = generate(&pods, &Options::default(), &machine.facts).unwrap();
    insta::assert_snapshot!(to_yaml(&generated.documents));
}

#[test]
fn a_deployment_keeps_its_selector_as_another_kind() {
    insta::assert_snapshot!(played(DEPLOYMENT).text(&kind(Kind::DaemonSet)));
    let pod = played(DEPLOYMENT).generate(&kind(Kind::Pod)).unwrap().documents;
    assert_eq!(
        pod[0]["metadata"],
        json!({"name": "api", "labels": {"app": "api", "version": "2"}, "annotations": {"note": "pod"}})
    );
    let more = Options { replicas: Some(5), ..Options::default() };
    let five = played(DEPLOYMENT).generate(&more).unwrap().documents;
    assert_eq!((&five[0]["spec"]["replicas"], &five[0]["spec"]["minReadySeconds"]), (&json!(5), &json!(3)));
}

#[test]
fn replicas_are_for_kinds_that_have_them() {
    let error = played(POD).generate(&Options { replicas: Some(2), ..Options::default() }).unwrap_err();
    assert_eq!(error.to_string(), "a Pod has no replicas");
}

#[test]
fn two_documents_with_one_name_are_refused() {
    let one = played(POD);
    let other = played(&POD.replace("1.36", "1.37"));
    let both = [one.subjects()[0], other.subjects()[0]];
    let error = generate(&both, &Options::default(), &one.facts).unwrap_err();
    assert_eq!(error.to_string(), "two different documents would both be Pod web");
}
