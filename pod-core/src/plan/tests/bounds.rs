//! Tests of the limits of what a manifest may request.

use serde_json::json;

use super::super::{MAX_PODS, MAX_REPLICAS};
use super::{deployment, options, planned, pod, refused};

fn spec() -> serde_json::Value {
    json!({"containers": [{"name": "c", "image": "web:1"}]})
}

#[test]
fn a_workload_has_a_thousand_pods_at_most() {
    let plan = planned(&[deployment("web", MAX_REPLICAS, spec())], &options());
    assert_eq!(plan.workloads.len(), 1);
    let told = refused(&[deployment("web", 2_000_000_000, spec())], &options());
    assert!(told.contains("spec.replicas: must not be more than 1000, is 2000000000"), "{told}");
}

#[test]
fn all_workloads_of_a_play_have_ten_thousand_pods_at_most() {
    let count = u32::try_from(MAX_PODS).unwrap() / MAX_REPLICAS;
    let mut all: Vec<_> = (0..count).map(|n| deployment(&format!("d{n}"), MAX_REPLICAS, spec())).collect();
    planned(&all, &options());
    all.push(pod("one-more", spec()));
    let told = refused(&all, &options());
    assert!(told.contains("these manifests have more than 10000 pods together"), "{told}");
}

#[test]
fn pods_of_much_text_are_recorded_up_to_64_mebibytes() {
    let long = json!({"containers": [{"name": "c", "image": "web:1", "args": ["x".repeat(100_000)]}]});
    planned(&[deployment("web", 600, long.clone())], &options());
    let told = refused(&[deployment("web", 700, long)], &options());
    assert!(told.contains("that many pods of this manifest are longer than 64 MiB"), "{told}");
}

#[test]
fn text_that_grows_by_its_references_is_told_by_its_field() {
    let env: Vec<_> = (0..9)
        .map(|n| {
            let value = if n == 0 { "x".to_owned() } else { format!("$(V{})", n - 1).repeat(10) };
            json!({"name": format!("V{n}"), "value": value})
        })
        .collect();
    let told = refused(
        &[deployment("web", 1, json!({"containers": [{"name": "c", "image": "web:1", "env": env}]}))],
        &options(),
    );
    assert!(told.contains("spec.template.spec.containers[0].env[6].value: 1000003 bytes"), "{told}");
}
