//! `kube get`.

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::{IDLE, Kube, Output, host_port, pod};

/// A Deployment of two pods with the label app=api.
const API: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api, labels: {app: api}}\nspec:\n  \
                   replicas: 2\n  selector: {matchLabels: {app: api}}\n  template:\n    metadata: {labels: {app: api}}\n    \
                   spec:\n      terminationGracePeriodSeconds: 0\n      containers:\n      - name: main\n        \
                   image: localhost/busybox:1\n        command: [sleep, '3600']\n";

const SETTINGS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, labels: {app: web}}\ndata: {a: '1'}\n---\n\
                        apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {password: hunter2}\n";

/// Returns the words of every line.
fn rows(output: &Output) -> Vec<Vec<&str>> {
    output.lines().iter().map(|line| line.split_whitespace().collect()).collect()
}

/// The pod web, the Deployment api, a ConfigMap and a Secret, and the pod db in the namespace prod; all pods are Ready.
fn machine() -> Kube {
    let kube = Kube::new();
    let db = pod("db", IDLE, "").replace("  name: db\n", "  name: db\n  namespace: prod\n");
    let all = [pod("web", IDLE, ""), API.to_owned(), SETTINGS.to_owned(), db].join("---\n");
    kube.play_with(&all, &["--wait"]);
    kube
}

#[test]
fn tables_have_the_columns_of_kubectl() {
    let kube = machine();
    let output = kube.ok(&["get", "pods"]);
    let pods = rows(&output);
    assert_eq!(pods[0], ["NAME", "READY", "STATUS", "RESTARTS", "AGE"], "{output}");
    assert_eq!(pods.len(), 4, "{output}");
    assert!(pods[1][0].starts_with("api-"), "{output}");
    assert_eq!(pods[3][..4], ["web", "1/1", "Running", "0"], "{output}");
    let output = kube.ok(&["get", "deploy", "-o", "wide"]);
    let deployments = rows(&output);
    assert_eq!(
        deployments[0],
        ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR"],
        "{output}"
    );
    assert_eq!(deployments[1][..4], ["api", "2/2", "2", "2"], "{output}");
    assert_eq!(deployments[1][5..], ["main", "localhost/busybox:1", "app=api"], "{output}");
    let output = kube.ok(&["get", "rs,cm,secret,ns,nodes", "--no-headers"]);
    let all = rows(&output);
    assert!(all[0][0].starts_with("replicaset.apps/api-") && all[0][1..4] == ["2", "2", "2"], "{output}");
    assert_eq!(all[1][..2], ["configmap/settings", "1"], "{output}");
    assert_eq!(all[2][..3], ["secret/login", "Opaque", "1"], "{output}");
    assert_eq!((all[3][..2].join(" "), all[4][0]), ("namespace/default Active".to_owned(), "namespace/prod"));
    assert_eq!(all[5][1], "Ready", "{output}");
    assert!(!output.stdout.contains("<unknown>"), "{output}");
}

#[test]
fn all_shows_what_runs_and_namespaces_are_shown_on_demand() {
    let kube = machine();
    let output = kube.ok(&["get", "all"]);
    let groups: Vec<&str> = output.stdout.split("\n\n").collect();
    assert_eq!(groups.len(), 3, "{output}");
    for (group, kind) in groups.iter().zip(["pod/", "deployment.apps/", "replicaset.apps/"]) {
        let lines: Vec<&str> = group.lines().collect();
        assert!(lines[0].starts_with("NAME "), "{output}");
        assert!(lines[1..].iter().all(|line| line.starts_with(kind)), "{output}");
    }
    let output = kube.ok(&["get", "pods", "-A", "-L", "app", "--show-labels"]);
    let pods = rows(&output);
    assert_eq!(
        pods[0],
        ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "APP", "LABELS"],
        "{output}"
    );
    assert_eq!((pods[4][0], pods[4][1], pods[4][6], pods[4][7]), ("prod", "db", "db", "app=db"), "{output}");
    kube.ok(&["get", "pods", "-n", "prod"]).says("db");
    let output = kube.ok(&["get", "pods", "-n", "empty"]).complains("No resources found in empty namespace.");
    assert_eq!(output.stdout, "");
    kube.ok(&["get", "pv"]).complains("No resources found");
}

#[test]
fn objects_are_printed_as_json_and_yaml_that_check_accepts() {
    let kube = machine();
    let one = kube.ok(&["get", "pod", "web", "-o", "json"]).json();
    assert_eq!((&one["kind"], &one["metadata"]["name"]), (&"Pod".into(), &"web".into()), "{one:#}");
    assert!(one["status"]["hostIP"].is_string(), "{one:#}");
    // `kube inspect` adds what the pod uses now.
    let mut inspected = kube.ok(&["inspect", "web"]).json();
    assert!(inspected["metadata"]["annotations"]["kube-play/usage"].is_string(), "{inspected:#}");
    inspected["metadata"].as_object_mut().unwrap().remove("annotations");
    assert_eq!(one, inspected);
    let list = kube.ok(&["get", "pods", "-o", "json"]).json();
    assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&"List".into(), 3), "{list:#}");
    assert_eq!(
        kube.ok(&["get", "pods", "-l", "app=none", "-o", "json"]).json()["items"],
        Value::Array(vec![])
    );
    for kinds in ["pods,deploy", "cm,secret", "nodes,ns", "events"] {
        let yaml = kube.ok(&["get", kinds, "-o", "yaml"]).stdout;
        let file = kube.manifest(&yaml);
        kube.ok(&["check", &file]);
    }
}

#[test]
fn names_lead_to_other_commands() {
    let kube = machine();
    let names = kube.ok(&["get", "pods,deploy,cm", "-l", "app=web", "-o", "name"]);
    assert_eq!(names.lines(), ["pod/web", "configmap/settings"], "{names}");
    let words: Vec<&str> = std::iter::once("down").chain(names.lines()).collect();
    kube.ok(&words);
    kube.ok(&["get", "pods,cm", "-l", "app=web"]).complains("No resources found in default namespace.");
}

#[test]
fn fields_are_printed_by_jsonpath_and_in_columns_of_the_users() {
    let kube = machine();
    let template =
        "jsonpath={range .items[*]}{.metadata.name}={.status.containerStatuses[0].ready}{\"\\n\"}{end}";
    let output = kube.ok(&["get", "pods", "-l", "app=web", "-o", template]);
    assert_eq!(output.stdout, "web=true\n", "{output}");
    let ip = kube.ok(&["get", "pod/web", "-o", "jsonpath={.status.podIP}"]).stdout;
    assert_eq!(ip, kube.ip("web").to_string());
    let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
    assert_eq!(kube.ok(&["get", "pod", "web", "-o", ready]).stdout, "True");
    let columns = "custom-columns=POD:.metadata.name,IMAGES:.spec.containers[*].image,X:.spec.absent";
    let output = kube.ok(&["get", "pods", "web", "-o", columns]);
    assert_eq!(rows(&output), [vec!["POD", "IMAGES", "X"], vec!["web", "localhost/busybox:1", "<none>"]]);
    let output = kube.run(&["get", "pods", "-o", "jsonpath={.items[}"]).expect(2);
    output.complains("column 8: this bracket has no end").complains("\n         ^\n");
    kube.run(&["get", "pods", "-o", "go-template={{.x}}"]).expect(2).complains("-o jsonpath=TEMPLATE");
    kube.run(&["get", "pods", "-o", "jsonpath={.items[9].kind}"]).expect(1).complains("out of bounds");
}

#[test]
fn objects_are_sorted_and_chosen_by_fields() {
    let kube = machine();
    let sorted = |path: &str| {
        let output = kube.ok(&["get", "pods", "-A", "--sort-by", path, "-o", "name"]);
        output.lines().iter().map(|line| line.get(..6).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sorted(".metadata.labels.app"), ["pod/ap", "pod/ap", "pod/db", "pod/we"]);
    assert_eq!(sorted("{.metadata.namespace}").last().unwrap(), "pod/db");
    let chosen =
        |fields: &str| kube.ok(&["get", "pods", "-A", "--field-selector", fields, "-o", "name"]).stdout;
    assert_eq!(chosen("metadata.name=web"), "pod/web\n");
    assert_eq!(chosen("status.phase!=Running"), "");
    assert_eq!(chosen("metadata.namespace=prod,status.phase=Running"), "pod/db\n");
    kube.run(&["get", "pods", "--sort-by", ".spec.absent"]).expect(1).complains("no object has this field");
    kube.run(&["get", "pods", "--field-selector", "spec.image=x"]).expect(2).complains("status.phase");
}

#[test]
fn an_unknown_name_or_kind_is_an_error_that_says_what_was_meant() {
    let kube = machine();
    kube.run(&["get", "pod", "wbe"])
        .expect(4)
        .complains("pod/wbe not found")
        .complains("did you mean pod/web?");
    kube.run(&["get", "cm/setings"]).expect(4).complains("did you mean configmap/settings?");
    kube.run(&["get", "pod/db"]).expect(4).complains("there is one in namespace prod");
    kube.run(&["get", "pod", "api"]).expect(4).complains("did you mean deployment.apps/api?");
    kube.run(&["get", "node/absent"]).expect(4).complains("`kube get nodes` lists them");
    // What exists is printed nevertheless.
    kube.run(&["get", "pod", "absent", "web"]).expect(4).says("web ").complains("pod/absent not found");
    kube.ok(&["get", "pod", "absent", "--ignore-not-found"]);
    kube.run(&["get", "pdos"]).expect(2).complains("did you mean pods?");
    kube.run(&["get", "serviceaccounts"]).expect(2).complains("the kinds are: pods");
    kube.run(&["get", "web"]).expect(2).complains("`kube get pod/NAME` shows a pod");
    kube.run(&["get"]).expect(2);
}

#[test]
fn changes_are_printed_until_ctrl_c() {
    let kube = Kube::new();
    kube.play_with(&pod("web", IDLE, ""), &["--wait"]);
    let mut pods = kube.start(&["get", "pods", "-w", "--output-watch-events"]);
    pods.line(|line| line.starts_with("EVENT "));
    pods.line(|line| line.starts_with("ADDED      web ") && line.contains(" Running "));
    let mut names = kube.start(&["get", "pods", "-w", "-o", "name"]);
    names.line(|line| line == "pod/web");
    let mut objects = kube.start(&["get", "pod", "web", "--watch-only", "-o", "jsonpath={.metadata.name}\n"]);
    kube.play(&pod("db", IDLE, ""));
    pods.line(|line| line.starts_with("ADDED      db "));
    names.line(|line| line == "pod/db");
    kube.ok(&["down", "web"]);
    pods.line(|line| line.starts_with("DELETED    web "));
    objects.line(|line| line == "web");
    for running in [pods, names, objects] {
        running.signal(Signal::SIGINT);
        assert_eq!(running.end().0, 130);
    }
    kube.run(&["get", "pods,deploy", "-w"]).expect(2).complains("one kind");
}

#[test]
fn a_config_map_that_is_recorded_or_removed_is_noticed() {
    let kube = Kube::new();
    kube.play(SETTINGS);
    let mut watched = kube.start(&["get", "cm", "-w", "--output-watch-events"]);
    watched.line(|line| line.starts_with("ADDED      settings   1 "));
    kube.play(&SETTINGS.replace("data: {a: '1'}", "data: {a: '1', b: '2'}"));
    watched.line(|line| line.starts_with("MODIFIED   settings   2 "));
    kube.ok(&["down", "cm/settings"]);
    watched.line(|line| line.starts_with("DELETED    settings "));
}

#[test]
fn services_and_their_endpoints_are_listed_and_described() {
    let kube = Kube::new();
    let services = "---\napiVersion: v1\nkind: Service\nmetadata: {name: api, labels: {app: api}}\nspec:\n  ipFamilies: [IPv4]\n  \
                    selector: {app: api}\n  ports: [{name: http, port: 80, targetPort: 8080}]\n---\napiVersion: v1\nkind: Service\n\
                    metadata: {name: direct}\nspec:\n  clusterIP: None\n  selector: {app: none}\n  ports: [{port: 90}]\n";
    kube.play_with(&(API.to_owned() + services), &["--wait"]);
    let output = kube.ok(&["get", "svc"]);
    let all = rows(&output);
    assert_eq!(all[0], ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"], "{output}");
    let address = kube.ok(&["get", "svc", "api", "-o", "jsonpath={.spec.clusterIP}"]).stdout;
    // A host without free addresses for Services gives none.
    let address = if address.is_empty() { "<none>" } else { &address };
    assert_eq!(all[1][..5], ["api", "ClusterIP", address, "<none>", "80/TCP"], "{output}");
    assert_eq!(all[2][..5], ["direct", "ClusterIP", "None", "<none>", "90/TCP"], "{output}");
    let ips = kube
        .ok(&["get", "pods", "--sort-by", ".status.podIP", "-o", "jsonpath={.items[*].status.podIP}"])
        .stdout;
    let mut sockets: Vec<String> = ips.split(' ').map(|ip| format!("{ip}:8080")).collect();
    sockets.sort();
    let endpoints = |output: &Output, line: &str, word: usize| {
        let found =
            output.lines().into_iter().find(|found| found.starts_with(line)).unwrap_or_default().to_owned();
        let found = found.split_whitespace().nth(word).unwrap_or_default().to_owned();
        let mut found: Vec<String> = found.split(',').map(str::to_owned).collect();
        found.sort();
        found
    };
    assert_eq!(endpoints(&kube.ok(&["get", "endpoints"]), "api ", 1), sockets);
    assert_eq!(endpoints(&kube.ok(&["get", "ep", "direct"]), "direct ", 1), ["<none>"]);
    assert_eq!(endpoints(&kube.ok(&["describe", "svc/api"]), "Endpoints:", 1), sockets);
    let slices =
        kube.ok(&["get", "endpointslices", "-l", "kubernetes.io/service-name=api", "-o", "json"]).json();
    assert_eq!(slices["items"][0]["endpoints"][0]["targetRef"]["kind"], "Pod", "{slices:#}");
    assert_eq!(slices["items"][0]["ports"][0]["port"], 8080, "{slices:#}");
    let name = slices["items"][0]["metadata"]["name"].as_str().unwrap();
    kube.ok(&["describe", "endpointslice", name]).says("TargetRef:  Pod/api-");
    kube.ok(&["describe", "endpoints/api"]).says("NotReadyAddresses:  <none>");
    kube.ok(&["get", "all"]).says("service/api ");
    let yaml = kube.ok(&["get", "svc,ep", "-o", "yaml"]).stdout;
    kube.ok(&["check", &kube.manifest(&yaml)]);
}

#[test]
fn an_ingress_is_listed_and_described_with_its_backends() {
    let kube = Kube::new();
    let (http, https) = (host_port(), host_port());
    let shop = "---\napiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec:\n  ipFamilies: [IPv4]\n  selector: {app: \
                web}\n  ports: [{port: 80, targetPort: 8080}]\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\n\
                metadata: {name: shop}\nspec:\n  rules:\n  - host: shop.example\n    http:\n      paths:\n      - {path: /, \
                pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}\n      - {path: /old, pathType: \
                Prefix, backend: {service: {name: gone, port: {number: 81}}}}\n";
    let file = kube.manifest(&(pod("web", IDLE, "") + shop));
    let mut play = kube.command(&["play", &file, "--wait"]);
    kube.run_command(play.env("KUBE_PLAY_INGRESS_PORTS", format!("{http},{https}")), None).expect(0);
    let output = kube.ok(&["get", "ing"]);
    let all = rows(&output);
    assert_eq!(all[0], ["NAME", "CLASS", "HOSTS", "ADDRESS", "PORTS", "AGE"], "{output}");
    assert_eq!(all[1][..3], ["shop", "<none>", "shop.example"], "{output}");
    let port = http.number.to_string();
    assert!(all[1].contains(&port.as_str()), "{output}");
    let ip = kube.ip("web");
    let output = kube.ok(&["describe", "ingress", "shop"]).says(&format!("shop:80 ({ip}:8080)"));
    output.says("gone:81 (<error: services \"gone\" not found>)").says("Problems:");
}

#[test]
fn an_empty_machine_has_a_namespace_and_a_node() {
    let kube = Kube::empty();
    for kind in ["pods", "all", "deployments", "secrets", "events", "services", "ingresses", "endpointslices"]
    {
        kube.ok(&["get", kind]).complains("No resources found in default namespace.");
    }
    kube.ok(&["get", "ns"]).says("default   Active");
    kube.ok(&["get", "nodes"]).says("Ready");
    kube.ok(&["describe", "node"]).says("Non-terminated Pods:").says("(0 in total)");
}
