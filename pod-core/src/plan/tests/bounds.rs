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
    let errors = refused(&[deployment("web", 2_000_000_000, spec())], &options());
    assert!(errors.contains("spec.replicas: must not be more than 1000, is 2000000000"), "{errors}");
}

#[test]
fn all_workloads_of_a_play_have_ten_thousand_pods_at_most() {
    let count = u32::try_from(MAX_PODS).unwrap() / MAX_REPLICAS;
    let mut all: Vec<_> = (0..count).map(|n| deployment(&format!("d{n}"), MAX_REPLICAS, spec())).collect();
    planned(&all, &options());
    all.push(pod("one-more", spec()));
    let errors = refused(&all, &options());
    assert!(errors.contains("these manifests have more than 10000 pods together"), "{errors}");
}

#[test]
fn pods_of_much_text_are_recorded_up_to_64_mebibytes() {
    let long = json!({"containers": [{"name": "c", "image": "web:1", "args": ["x".repeat(100_000)]}]});
    planned(&[deployment("web", 600, long.clone())], &options());
    let errors = refused(&[deployment("web", 700, long)], &options());
    assert!(errors.contains("that many pods of this manifest would be longer than 64 MiB"), "{errors}");
}

#[test]
fn text_that_grows_by_its_references_is_an_error_at_its_field() {
    let env: Vec<_> = (0..9)
        .map(|n| {
            let value = if n == 0 { "x".to_owned() } else { format!("$(V{})", n - 1).repeat(10) };
            json!({"name": format!("V{n}"), "value": value})
        })
        .collect();
    let errors = refused(
        &[deployment("web", 1, json!({"containers": [{"name": "c", "image": "web:1", "env": env}]}))],
        &options(),
    );
    assert!(errors.contains("spec.template.spec.containers[0].env[6].value: 1000003 bytes"), "{errors}");
}
