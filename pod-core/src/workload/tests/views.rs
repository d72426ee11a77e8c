//! Tests of the objects of Deployments and ReplicaSets that are shown to the user.

use serde_json::Value;

use super::*;
use crate::kind::Kind;
use crate::plan::PlanOptions;
use crate::workload::view::{Metadata, deployment, replica_sets};

fn world() -> World {
    let object = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "annotations": {"team": "blue"}},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "web:1"}]},
            },
        },
    });
    let mut world = World::new(Rule::of_object(Kind::Deployment, &object));
    apply(&mut world, object);
    world.finish();
    world
}

fn apply(world: &mut World, object: Value) {
    let text = crate::manifest::to_yaml(std::slice::from_ref(&object));
    let source = crate::manifest::Source { name: "f".to_owned(), dir: "/".into(), text };
    let documents = crate::manifest::load(&[source], "default").documents;
    let plan = crate::plan::plan(&documents, &PlanOptions::default()).unwrap().0.workloads.remove(0);
    world.apply(|spec| {
        spec.rule = Rule::of_object(Kind::Deployment, &object);
        spec.object = object;
        spec.template = plan.template;
    });
}

fn metadata() -> Metadata<'static> {
    Metadata { name: "web", namespace: "default", uid: "u", created: at(0) }
}

#[track_caller]
fn assert_valid<T: serde::de::DeserializeOwned + serde::Serialize>(object: &Value) {
    // Fields that Kubernetes' type does not have would be missing after reading the object back.
    let typed: T = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(serde_json::to_value(typed).unwrap(), *object);
}

#[test]
fn a_running_rollout_is_shown_as_kubernetes_shows_it() {
    let mut world = world();
    let mut object = world.spec.object.clone();
    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:2");
    apply(&mut world, object);
    world.time += 1;
    world.step(Event::PodsChanged);
    let shown = deployment(metadata(), &world.spec, &world.state, &world.pods, world.now());
    assert_valid::<k8s_openapi::api::apps::v1::Deployment>(&shown);
    insta::assert_snapshot!(crate::manifest::to_yaml(&[shown]));

    let sets = replica_sets(metadata(), &world.spec, &world.state, &world.pods, world.now());
    for set in &sets {
        assert_valid::<k8s_openapi::api::apps::v1::ReplicaSet>(set);
    }
    insta::assert_snapshot!(crate::manifest::to_yaml(&sets));
}

#[test]
fn a_deployment_without_pods_is_shown() {
    let mut world = world();
    world.scale(0);
    world.finish();
    let shown = deployment(metadata(), &world.spec, &world.state, &world.pods, world.now());
    assert_eq!(shown["status"]["replicas"], 0);
    assert_eq!(shown["status"]["unavailableReplicas"], 0);
    assert_eq!(shown["status"]["conditions"][0]["status"], "True");
    assert_eq!(shown["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
}

#[test]
fn a_shown_deployment_can_be_played() {
    let world = world();
    let shown = deployment(metadata(), &world.spec, &world.state, &world.pods, world.now());
    let faults = crate::manifest::validate(&shown);
    assert_eq!(faults, []);
}
