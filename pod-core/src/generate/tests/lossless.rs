//! Tests that a played object is generated as it was given, and has the same plan.

use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::plan::networks::parse_networks;
use crate::plan::ports::parse_publish;

/// Returns a plan without its source files.
fn of(plan: Plan) -> Vec<(WorkloadPlan, ())> {
    plan.workloads
        .into_iter()
        .map(|workload| (WorkloadPlan { source: String::new(), ..workload }, ()))
        .collect()
}

#[test]
fn every_example_is_generated_as_it_was_given() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests");
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let machine = played(&text);
        let generated = machine.generate(&Options { include_secrets: true, ..Options::default() }).unwrap();
        let back = to_yaml(&generated.documents);
        let (before, after) =
            (planned(&text, &PlanOptions::default()), planned(&back, &PlanOptions::default()));
        let sorted = |mut objects: Vec<crate::plan::ObjectPlan>| {
            // A PersistentVolume is a part of the machine and not of the workload; an Ingress leads to Services.
            let is_of_workload =
                |kind: Kind| !matches!(kind, Kind::PersistentVolume | Kind::Ingress | Kind::IngressClass);
            objects.retain(|object| is_of_workload(object.id.kind));
            objects.sort_by_key(|o: &crate::plan::ObjectPlan| o.id.clone());
            objects
        };
        assert_eq!(sorted(after.objects.clone()), sorted(before.objects.clone()), "{}", path.display());
        // Only a relative hostPath is written differently from how it was given.
        if !text.contains("path: .\n") {
            assert_eq!(of(before), of(after), "{}", path.display());
            continue;
        }
        let templates = |plan: Plan| plan.workloads.into_iter().map(|w| w.template).collect::<Vec<_>>();
        assert_eq!(templates(before), templates(after), "{}", path.display());
    }
}

#[test]
fn fields_that_a_cluster_or_kube_wrote_are_left_out() {
    let machine = played(
        r#"
apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: "{}"
  creationTimestamp: 2026-11-24T10:00:00Z
  labels: {tier: "1", app: web}
  name: web
  resourceVersion: "12"
  uid: 0d0b1c8e-0000-4000-8000-000000000000
spec:
  containers:
  - image: nginx:1.27
    name: web
    env:
    - value: "yes"
      name: SURE
status:
  phase: Running
"#,
    );
    insta::assert_snapshot!(machine.text(&Options::default()));
}

#[test]
fn values_from_flags_of_play_are_written() {
    let options = PlanOptions {
        publish: ["8080:80", "8081:80", "127.0.0.1:9000:9000/udp", "7000:70"]
            .into_iter()
            .flat_map(|p| parse_publish(p).unwrap())
            .collect(),
        networks: vec!["lab:ip=10.1.2.3".to_owned()],
        runtime: Some("crun".to_owned()),
        pull: Some(crate::plan::PullPolicy::Never),
        publish_all: true,
        ..PlanOptions::default()
    };
    let text = r"
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: web
    image: nginx:1.27
    ports:
    - {name: http, containerPort: 80}
    - {name: old, containerPort: 70, hostPort: 70, hostIP: 127.0.0.1}
    - {name: kept, containerPort: 60, hostPort: 6000}
    - {name: all, containerPort: 50}
";
    let machine = Machine::played(text, &options);
    let back = to_yaml(&machine.generate(&Options::default()).unwrap().documents);
    insta::assert_snapshot!(machine.text(&Options::default()));
    let again = PlanOptions { networks: options.networks.clone(), ..PlanOptions::default() };
    assert_eq!(parse_networks(&again.networks).unwrap().len(), 1);
    let (before, after) = (planned(text, &options), planned(&back, &again));
    assert_eq!(before.workloads[0].template.network, after.workloads[0].template.network);
    assert_eq!(before.workloads[0].id, after.workloads[0].id);
}

#[test]
fn the_hosts_network_is_written_and_no_host_ports() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: a, image: b, ports: [{containerPort: 80}]}\n";
    let options = PlanOptions { networks: vec!["host".to_owned()], ..PlanOptions::default() };
    let back = to_yaml(&Machine::played(text, &options).generate(&Options::default()).unwrap().documents);
    assert!(back.contains("hostNetwork: true") && !back.contains("hostPort"), "{back}");
    assert_eq!(
        planned(text, &options).workloads[0].template,
        planned(&back, &PlanOptions::default()).workloads[0].template
    );
}

#[test]
fn relative_paths_are_written_as_absolute_paths() {
    let pod = |path: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  containers:\n  - {{name: a, image: b}}\n  volumes:\n  - {{name: v, hostPath: {{path: {path}}}}}\n"
        )
    };
    let mut machine = played(&pod("./html"));
    let back = machine.text(&Options::default());
    assert!(back.contains("path: /srv/web/html\n"), "{back}");
    assert!(back.contains("warning: pod/web: the hostPath ./html of volume v was relative"), "{back}");
    machine = played(&pod("../data"));
    machine.facts.real_paths.insert("/srv/web/../data".into(), "/mnt/data".into());
    let back = machine.text(&Options::default());
    assert!(back.contains("path: /mnt/data\n"), "{back}");
    machine = played(&pod("/root/x"));
    machine.facts.homes.push("/root".into());
    let back = machine.text(&Options::default());
    assert!(
        back.contains("warning: pod/web: the hostPath /root/x of volume v is in a home folder"),
        "{back}"
    );
}

fn name() -> impl Strategy<Value = String> {
    "[a-z]([a-z0-9-]{0,8}[a-z0-9])?"
}

/// Text of any kind, often text that YAML reads as another type.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "(yes|no|null|0644|1e3|1:30|~|[0-9.]{1,4})",
        "([a-z $\"'#:-]{0,8}\n){1,4}",
        "\\PC{0,6}"
    ]
}

fn map(
    keys: impl Strategy<Value = String>,
    values: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Value> {
    prop::collection::btree_map(keys, values, 0..3).prop_map(|map| json!(map))
}

/// An object with some of these fields, in any order.
fn some(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| {
            prop::option::weighted(0.4, value).prop_map(move |v| v.map(|v| (name.to_owned(), v)))
        })
        .collect();
    (fields, any::<bool>())
        .prop_map(|(mut fields, reverse)| {
            if reverse {
                fields.reverse();
            }
            Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>())
        })
        .boxed()
}

fn with(fixed: Value, mut more: Value) -> Value {
    if let (Value::Object(more), Value::Object(fixed)) = (&mut more, fixed) {
        more.extend(fixed);
    }
    more
}

fn words() -> BoxedStrategy<Value> {
    prop::collection::vec(text(), 0..4).prop_map(|words| json!(words)).boxed()
}

fn choice(values: &[Value]) -> BoxedStrategy<Value> {
    prop::sample::select(values.to_vec()).boxed()
}

fn hooks() -> BoxedStrategy<Value> {
    let handler = prop_oneof![
        Just(json!({"httpGet": {"path": "/bye", "port": 80, "httpHeaders": [{"name": "A", "value": "b"}]}})),
        Just(json!({"tcpSocket": {"port": 80}})),
        Just(json!({"sleep": {"seconds": 0}})),
        prop::collection::vec(text(), 1..4).prop_map(|words| json!({"exec": {"command": words}})),
    ]
    .boxed();
    let fields = some(vec![("postStart", handler.clone()), ("preStop", handler)]);
    fields.prop_map(|fields| with(json!({"stopSignal": "SIGUSR1"}), fields)).boxed()
}

fn probe() -> BoxedStrategy<Value> {
    let handler = prop_oneof![
        (name(), 1..65536_u32)
            .prop_map(|(path, port)| json!({"httpGet": {"path": format!("/{path}"), "port": port}})),
        (1..65536_u32).prop_map(|port| json!({"tcpSocket": {"port": port, "host": "localhost"}})),
        prop::collection::vec(text(), 1..4).prop_map(|words| json!({"exec": {"command": words}})),
    ];
    let times = some(vec![
        ("initialDelaySeconds", (0..9).prop_map(Value::from).boxed()),
        ("periodSeconds", (1..9).prop_map(Value::from).boxed()),
        ("failureThreshold", (1..9).prop_map(Value::from).boxed()),
    ]);
    (handler, times).prop_map(|(handler, times)| with(handler, times)).boxed()
}

fn container(index: usize) -> BoxedStrategy<Value> {
    let env = prop_oneof![
        text().prop_map(|value| json!({"name": "A", "value": value})),
        Just(json!({"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}, "name": "B"})),
        Just(
            json!({"valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": true}}, "name": "C"})
        ),
        Just(json!({"valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}, "name": "D"})),
    ];
    let ports = prop::collection::btree_set(1..65536_u32, 0..3).prop_map(move |ports| {
        let port = |(nth, port): (usize, u32)| {
            json!({"containerPort": port, "name": format!("p{index}-{nth}"), "protocol": if port % 2 == 0 { "UDP" } else { "TCP" }})
        };
        Value::from(ports.into_iter().enumerate().map(port).collect::<Vec<_>>())
    });
    let quantity = choice(&[json!("500m"), json!(1), json!("64Mi"), json!("1e3"), json!(0.5), json!("2")]);
    let security = some(vec![
        ("runAsUser", (0..9999).prop_map(Value::from).boxed()),
        ("readOnlyRootFilesystem", any::<bool>().prop_map(Value::from).boxed()),
        ("capabilities", Just(json!({"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})).boxed()),
        ("seccompProfile", Just(json!({"type": "Unconfined"})).boxed()),
    ]);
    let mounts = choice(&[
        json!([]),
        json!([{"name": "v0", "mountPath": "/v", "readOnly": true}]),
        json!([{"mountPath": "/w", "name": "v1", "subPath": "a/b"}]),
        json!([{"mountPath": "/w", "name": "v1", "subPathExpr": "a/$(B)"}]),
        json!([{"mountPath": "/w", "name": "v1", "mountPropagation": "HostToContainer"}]),
        json!([{"mountPath": "/w", "name": "v1", "readOnly": true, "recursiveReadOnly": "Enabled"}]),
    ]);
    let limits = some(vec![("cpu", quantity.clone()), ("memory", quantity)])
        .prop_map(|limits| json!({"limits": limits}));
    let fields = some(vec![
        ("command", words()),
        ("args", words()),
        ("imagePullPolicy", choice(&[json!("Always"), json!("Never")])),
        ("workingDir", Just(json!("/srv")).boxed()),
        ("env", prop::collection::vec(env, 0..3).prop_map(Value::from).boxed()),
        ("envFrom", Just(json!([{"configMapRef": {"name": "c"}, "prefix": "X_"}])).boxed()),
        ("ports", ports.boxed()),
        ("resources", limits.boxed()),
        ("securityContext", security),
        ("volumeMounts", mounts),
        ("livenessProbe", probe()),
        ("tty", any::<bool>().prop_map(Value::from).boxed()),
        ("lifecycle", hooks()),
        ("restartPolicy", choice(&[json!("Always"), json!("OnFailure"), json!("Never")])),
        ("stdin", any::<bool>().prop_map(Value::from).boxed()),
        ("terminationMessagePath", Just(json!("/tmp/why")).boxed()),
        ("terminationMessagePolicy", Just(json!("FallbackToLogsOnError")).boxed()),
    ]);
    let image =
        choice(&[json!("busybox"), json!("nginx:1.27"), json!("localhost/a:1"), json!("r.io/b:latest")]);
    (image, fields)
        .prop_map(move |(image, fields)| with(json!({"image": image, "name": format!("c{index}")}), fields))
        .boxed()
}

fn volume(index: usize) -> BoxedStrategy<Value> {
    let source = prop_oneof![
        Just(json!({"emptyDir": {}})),
        Just(json!({"emptyDir": {"sizeLimit": "1Mi", "medium": "Memory"}})),
        Just(json!({"configMap": {"items": [{"path": "a", "key": "k", "mode": 420}], "name": "c"}})),
        Just(json!({"secret": {"secretName": "s", "defaultMode": 256}})),
        Just(json!({"persistentVolumeClaim": {"claimName": "data"}})),
        Just(json!({"hostPath": {"type": "Directory", "path": "/srv"}})),
        Just(json!({"emptyDir": {"mode": 488}})),
        Just(json!({"image": {"reference": "registry.example.com/data:1", "pullPolicy": "Always"}})),
        Just(
            json!({"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}})
        ),
        Just(json!({"projected": {"defaultMode": 288, "sources": [
            {"secret": {"name": "s", "items": [{"key": "k", "path": "p", "mode": 256}]}},
            {"configMap": {"name": "c", "optional": true}},
            {"downwardAPI": {"items": [
                {"path": "cpu", "resourceFieldRef": {"containerName": "c0", "resource": "limits.cpu", "divisor": "1m"}},
            ]}},
        ]}})),
    ];
    source.prop_map(move |source| with(json!({"name": format!("v{index}")}), source)).boxed()
}

/// Converts a container into an init container, which cannot have some fields of app containers.
fn ending(mut container: Value) -> Value {
    if let Value::Object(fields) = &mut container {
        fields.retain(|name, _| !matches!(name.as_str(), "lifecycle" | "livenessProbe"));
    }
    json!([container])
}

fn pod_spec() -> impl Strategy<Value = Value> {
    let containers = prop_oneof![
        container(0).prop_map(|c| json!([c])),
        (container(0), container(1)).prop_map(|(a, b)| json!([a, b])),
    ];
    let fields = some(vec![
        ("restartPolicy", choice(&[json!("Always"), json!("OnFailure"), json!("Never")])),
        ("readinessGates", Just(json!([{"conditionType": "Initialized"}])).boxed()),
        ("terminationGracePeriodSeconds", (0..99).prop_map(Value::from).boxed()),
        ("hostname", name().prop_map(Value::from).boxed()),
        ("initContainers", container(9).prop_map(ending).boxed()),
        ("hostAliases", Just(json!([{"hostnames": ["a.b"], "ip": "10.0.0.1"}])).boxed()),
        ("dnsConfig", Just(json!({"options": [{"value": "2", "name": "ndots"}]})).boxed()),
        (
            "securityContext",
            choice(&[
                json!({"sysctls": [{"value": "80", "name": "net.ipv4.ip_unprivileged_port_start"}]}),
                json!({"fsGroup": 2000, "fsGroupChangePolicy": "OnRootMismatch", "supplementalGroupsPolicy": "Strict"}),
            ]),
        ),
        ("nodeSelector", map("[a-z]{1,5}", "[a-z0-9]{1,5}".prop_map(Value::from)).boxed()),
        ("shareProcessNamespace", any::<bool>().prop_map(Value::from).boxed()),
    ]);
    (containers, volume(0), volume(1), fields).prop_map(|(containers, a, b, fields)| {
        with(json!({"containers": containers, "volumes": [a, b]}), fields)
    })
}

fn metadata() -> impl Strategy<Value = Value> {
    let labels = map("[a-z]{1,6}", "(|[a-z0-9]{1,5}|1|true)".prop_map(Value::from));
    let fields = some(vec![
        ("labels", labels.boxed()),
        ("annotations", map("[a-z]{1,6}", text().prop_map(Value::from)).boxed()),
        ("namespace", name().prop_map(Value::from).boxed()),
    ]);
    (name(), fields).prop_map(|(name, fields)| with(json!({"name": name}), fields))
}

pub(super) fn pods() -> impl Strategy<Value = Value> {
    (metadata(), pod_spec()).prop_map(
        |(metadata, spec)| json!({"spec": spec, "metadata": metadata, "kind": "Pod", "apiVersion": "v1"}),
    )
}

pub(super) fn deployments() -> impl Strategy<Value = Value> {
    (metadata(), pod_spec(), prop::option::of(0..4)).prop_map(|(metadata, mut spec, replicas)| {
        spec.as_object_mut().unwrap().remove("restartPolicy");
        let template = json!({"spec": spec, "metadata": {"labels": {"b": "1", "a": "2"}}});
        let mut own = json!({"template": template, "selector": {"matchLabels": {"b": "1"}}, "strategy": {"type": "Recreate"}});
        if let Some(replicas) = replicas {
            own["replicas"] = json!(replicas);
        }
        json!({"spec": own, "metadata": metadata, "kind": "Deployment", "apiVersion": "apps/v1"})
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// The generated manifest is equal to the given one, has the same plan, and is generated as the same bytes again.
    #[test]
    fn every_pod_and_deployment_is_generated_as_it_was_given(given in prop_oneof![pods(), deployments()]) {
        let text = given.to_string();
        let generated = played(&text).generate(&Options::default()).unwrap();
        let workloads: Vec<&Value> =
            generated.documents.iter().filter(|d| matches!(d["kind"].as_str(), Some("Pod" | "Deployment"))).collect();
        prop_assert_eq!(workloads, vec![&given]);
        let back = to_yaml(&generated.documents);
        let (before, after) = (planned(&text, &PlanOptions::default()), planned(&back, &PlanOptions::default()));
        prop_assert_eq!(of(before), of(after));
        let again = played(&back).generate(&Options::default()).unwrap();
        prop_assert_eq!(to_yaml(&again.documents), back);
    }
}
