//! Tests of the resources that two pods cannot have at the same time.

use std::collections::HashSet;

use super::*;
use crate::plan::PodTemplate;
use crate::plan::ports::parse_publish;

fn with_port(hash: &str, port: &str) -> PodTemplate {
    let mut template = template(hash);
    template.network.ports = parse_publish(port).unwrap();
    template
}

fn with_claim(hash: &str) -> PodTemplate {
    let mut template = template(hash);
    let volumes = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    template.pod.spec.as_mut().unwrap().volumes = serde_json::from_value(volumes).unwrap();
    template
}

fn exclusive() -> Exclusive {
    HashSet::from([("default".to_owned(), "data".to_owned())])
}

fn found(old: &PodTemplate, new: &PodTemplate, rule: Replicas) -> String {
    let conflict = conflict(&[old], new, &Rule::Replicas(rule), &exclusive());
    conflict.map(|conflict| conflict.to_string()).unwrap_or_default()
}

#[test]
fn a_rolling_update_that_deletes_no_pod_first_conflicts_on_a_host_port() {
    let (old, new) = (with_port("a", "8080:80"), with_port("b", "127.0.0.1:8080:81"));
    assert_eq!(found(&old, &new, rule(1)), "host port 127.0.0.1:8080/tcp");
    assert_eq!(found(&old, &with_port("b", "8081:80"), rule(1)), "");
    assert_eq!(found(&old, &with_port("b", "8080:80/udp"), rule(1)), "");
    assert_eq!(found(&old, &template("b"), rule(1)), "");
    // These rules delete the old pod before the new one is available.
    assert_eq!(found(&old, &new, Replicas { strategy: Strategy::Recreate, ..rule(1) }), "");
    let one = rolling(IntOrPercent::Int(0), IntOrPercent::Int(1));
    assert_eq!(found(&old, &new, Replicas { strategy: one, ..rule(1) }), "");
    let percent = rolling(IntOrPercent::Int(1), IntOrPercent::Percent(100));
    assert_eq!(found(&old, &new, Replicas { strategy: percent, ..rule(1) }), "");
    assert_eq!(found(&old, &new, rule(0)), "");
}

#[test]
fn a_claim_of_read_write_once_pod_is_for_one_pod() {
    let (old, new) = (with_claim("a"), with_claim("b"));
    assert_eq!(found(&old, &new, rule(1)), "claim data, which is ReadWriteOncePod");
    assert_eq!(conflict(&[&old], &new, &Rule::Replicas(rule(1)), &Exclusive::new()), None);
    assert_eq!(conflict(&[&old], &new, &Rule::Once, &exclusive()), None);
}

#[test]
fn replicas_cannot_share_a_host_port() {
    let rule = Replicas { strategy: Strategy::Recreate, ..rule(2) };
    assert_eq!(found(&template("a"), &with_port("b", "8080:80"), rule.clone()), "host port 8080/tcp");
    assert_eq!(
        found(&template("a"), &with_claim("b"), rule.clone()),
        "claim data, which is ReadWriteOncePod"
    );
    assert_eq!(found(&with_port("a", "8080:80"), &template("b"), rule), "");
}

#[test]
fn ports_on_the_host_network_are_host_ports() {
    let on_host = |hash: &str| {
        let mut template = template(hash);
        template.network.host = true;
        let ports = json!([{"containerPort": 80, "hostPort": 80}]);
        template.pod.spec.as_mut().unwrap().containers[0].ports = serde_json::from_value(ports).unwrap();
        template
    };
    assert_eq!(found(&on_host("a"), &on_host("b"), rule(1)), "host port 80/tcp");
    assert_eq!(found(&with_port("a", "80:8080"), &on_host("b"), rule(1)), "host port 80/tcp");
}

#[test]
fn a_pod_starts_when_no_other_pod_has_a_resource_that_it_needs() {
    let pod = |template: &PodTemplate, uid: &str, suffix: &str| template.instantiate(uid, suffix, at(0));
    let new = pod(&with_port("b", "80:80"), "new", "x");
    let start = |others: &[&_]| may_start(&new, others.iter().copied(), &exclusive());
    assert_eq!(start(&[]), Ok(()));
    assert_eq!(start(&[&new]), Ok(()));
    assert_eq!(start(&[&pod(&template("a"), "old", "y")]), Ok(()));
    let port = pod(&with_port("a", "80:81"), "old", "y");
    assert_eq!(start(&[&port]).unwrap_err().to_string(), "host port 80/tcp");
    let name = pod(&template("b"), "old", "x");
    assert_eq!(start(&[&name]).unwrap_err().to_string(), "the name web-b-x");
    let claims =
        may_start(&pod(&with_claim("b"), "new", "x"), [&pod(&with_claim("a"), "old", "y")], &exclusive());
    assert_eq!(claims, Err(Conflict::Claim("data".to_owned())));
}
