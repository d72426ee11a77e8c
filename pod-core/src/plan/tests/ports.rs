//! Tests of hostPort, --publish, --publish-all and --network in complete plans.

use serde_json::{Value, json};

use super::super::PlanOptions;
use super::super::ports::{describe, parse_publish};
use super::{deployment, options, planned, pod, refused};
use crate::manifest::Document;

fn web(ports: Value) -> Value {
    json!({"containers": [{"name": "c", "image": "web:1", "ports": ports}]})
}

/// Returns the published ports of every workload, as `web: 8080/tcp>80`.
fn published(documents: &[Document], options: &PlanOptions) -> Vec<String> {
    planned(documents, options)
        .workloads
        .iter()
        .flat_map(|w| {
            let name = w.id.name.clone();
            w.template
                .network
                .ports
                .iter()
                .map(move |p| format!("{name}: {}>{}", describe(p), p.container_port))
        })
        .collect()
}

fn publish(list: &[&str]) -> PlanOptions {
    PlanOptions { publish: list.iter().flat_map(|p| parse_publish(p).unwrap()).collect(), ..options() }
}

fn networks(list: &[&str]) -> PlanOptions {
    PlanOptions { networks: list.iter().map(|n| (*n).to_owned()).collect(), ..options() }
}

#[test]
fn host_ports_are_published_and_others_are_not() {
    let ports = json!([
        {"containerPort": 80, "hostPort": 8080},
        {"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "127.0.0.1"},
        {"containerPort": 443, "hostPort": 443, "hostIP": "0.0.0.0"},
        {"containerPort": 9000},
        {"containerPort": 9001, "hostPort": 0},
    ]);
    assert_eq!(
        published(&[pod("web", web(ports))], &options()),
        ["web: 443/tcp>443", "web: 8080/tcp>80", "web: 127.0.0.1:53/udp>53"]
    );
}

#[test]
fn publish_all_gives_every_port_the_same_number() {
    let all = PlanOptions { publish_all: true, ..options() };
    let ports = json!([{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081}]);
    assert_eq!(published(&[pod("web", web(ports))], &all), ["web: 80/tcp>80", "web: 8081/tcp>81"]);
}

#[test]
fn publish_goes_to_the_pod_that_declares_the_port_and_replaces_its_host_port() {
    let documents = [
        pod("web", web(json!([{"containerPort": 80, "hostPort": 8080}]))),
        pod("db", web(json!([{"containerPort": 5432}]))),
    ];
    assert_eq!(
        published(&documents, &publish(&["9090:80", "5432"])),
        ["web: 9090/tcp>80", "db: 5432/tcp>5432"]
    );
    let lone = [pod("web", web(json!([])))];
    assert_eq!(published(&lone, &publish(&["8080:80", "8081:80"])), ["web: 8080/tcp>80", "web: 8081/tcp>80"]);
}

#[test]
fn a_publish_that_could_mean_several_pods_is_refused() {
    let two = [pod("a", web(json!([{"containerPort": 80}]))), pod("b", web(json!([{"containerPort": 80}])))];
    let all = [
        refused(&two, &publish(&["8080:80"])),
        refused(&two, &publish(&["8080:81"])),
        refused(&[], &publish(&["8080:81"])),
        refused(&[pod("h", json!({"hostNetwork": true, "containers": []}))], &publish(&["80"])),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    --publish: port 80/tcp is declared by pod/a and pod/b (use hostPort in the manifest instead)
    --publish: no container declares port 81/tcp, so it is not clear which pod is meant (add the port to the container's ports)
    --publish: there is no pod whose port 81/tcp could be published
    --publish: pod/h is on the host's network: port 80/tcp need not be published
    ");
}

#[test]
fn a_host_port_that_is_requested_twice_is_refused_with_both_positions() {
    let port = |ip: &str| json!([{"containerPort": 80, "hostPort": 8080, "hostIP": ip}]);
    let clash = [pod("a", web(port(""))), pod("b", web(port("127.0.0.1")))];
    insta::assert_snapshot!(refused(&clash, &options()), @r"
    web.yaml:1:36: spec.containers[0].ports[0].hostPort: host port 127.0.0.1:8080/tcp is already requested by pod/a (web.yaml:1:36) (give one of them another hostPort)
    ");
    let apart = [pod("a", web(port("127.0.0.2"))), pod("b", web(port("127.0.0.1")))];
    assert_eq!(published(&apart, &options()).len(), 2);
}

#[test]
fn only_one_replica_can_have_a_host_port() {
    let ports = || json!([{"containerPort": 80, "hostPort": 8080}]);
    insta::assert_snapshot!(refused(&[deployment("api", 3, web(ports()))], &options()), @r"
    web.yaml:1:50: spec.template.spec.containers[0].ports[0].hostPort: only one pod can have host port 8080/tcp, but replicas is 3 (set replicas to 1, or remove the host port)
    ");
    assert_eq!(published(&[deployment("api", 1, web(ports()))], &options()), ["api: 8080/tcp>80"]);
    let host = json!({"hostNetwork": true, "containers": [{"name": "c", "image": "x", "ports": [{"containerPort": 80}]}]});
    assert!(refused(&[deployment("api", 2, host)], &options()).contains("host port 80/tcp"));
}

#[test]
fn init_and_app_containers_may_name_the_same_host_port() {
    let spec = json!({
        "initContainers": [{"name": "i", "image": "x", "ports": [{"containerPort": 80, "hostPort": 8080}]}],
        "containers": [{"name": "c", "image": "x", "ports": [{"containerPort": 80, "hostPort": 8080}]}],
    });
    assert_eq!(published(&[pod("web", spec)], &options()), ["web: 8080/tcp>80"]);
    let twice = json!({"containers": [
        {"name": "a", "image": "x", "ports": [{"containerPort": 80, "hostPort": 8080}]},
        {"name": "b", "image": "x", "ports": [{"containerPort": 81, "hostPort": 8080}]},
    ]});
    assert!(refused(&[pod("web", twice)], &options()).contains("already requested"));
}

#[test]
fn host_network_makes_the_host_port_the_container_port_and_publishes_nothing() {
    let spec = json!({"hostNetwork": true, "containers": [{"name": "c", "image": "x", "ports": [{"containerPort": 80}]}]});
    let found = planned(&[pod("web", spec)], &options());
    let template = &found.workloads[0].template;
    assert!(template.network.host && template.network.ports.is_empty());
    let container = &template.pod.spec.as_ref().unwrap().containers[0];
    assert_eq!(container.ports.as_ref().unwrap()[0].host_port, Some(80));
}

#[test]
fn networks_are_joined_in_order() {
    let found = planned(&[pod("web", web(json!([])))], &networks(&["lab:ip=10.9.0.5", "back"]));
    let network = &found.workloads[0].template.network;
    let names: Vec<_> = network.attachments.iter().map(|a| a.network.as_str()).collect();
    assert_eq!(names, ["lab", "back"]);
    let none = planned(&[pod("web", web(json!([])))], &networks(&["none"]));
    assert!(none.workloads[0].template.network.none);
    let host = planned(&[pod("web", web(json!([])))], &networks(&["host"]));
    let template = &host.workloads[0].template;
    assert!(template.network.host);
    assert_eq!(template.pod.spec.as_ref().unwrap().host_network, Some(true));
}

#[test]
fn impossible_networks_are_refused() {
    let plain = || pod("web", web(json!([])));
    let host = || pod("h", json!({"hostNetwork": true, "containers": []}));
    let all = [
        refused(&[plain()], &networks(&["lab:x=y"])),
        refused(&[plain()], &networks(&["host", "lab"])),
        refused(&[plain(), host()], &networks(&["lab"])),
        refused(&[plain(), pod("b", web(json!([])))], &networks(&["lab:ip=10.9.0.5"])),
        refused(&[deployment("api", 2, web(json!([])))], &networks(&["lab:mac=02:00:00:00:00:01"])),
        refused(&[pod("p", web(json!([{"containerPort": 80, "hostPort": 80}])))], &networks(&["none"])),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    --network: "x=y" is not an option of a network; there are ip=ADDRESS and mac=ADDRESS
    --network: host cannot have options and cannot be combined with another network
    web.yaml:1:16: spec.hostNetwork: a pod on the host's network cannot join another network with --network
    --network: only one pod can have ip= of lab, but there are 2
    --network: only one pod can have mac= of lab, but there are 2
    web.yaml:1:36: spec.containers[0].ports[0].hostPort: a pod with --network none cannot publish ports
    "#);
}
