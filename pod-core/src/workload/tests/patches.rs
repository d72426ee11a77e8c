//! Tests of changes without a manifest: which changes are refused, and that the others have the same result as
//! planning the changed object again.

use std::path::PathBuf;

use super::*;
use crate::kind::Kind;
use crate::manifest::{self, Source, to_yaml};
use crate::plan::{PlanOptions, WorkloadPlan, plan};
use crate::workload::patch::{self, Error};

const MANIFEST: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {kubernetes.io/change-cause: first}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers: [{name: init, image: 'init:1'}]
      containers:
      - {name: main, image: 'web:1', ports: [{containerPort: 80}], volumeMounts: [{name: data, mountPath: /data}]}
      volumes: [{name: data, hostPath: {path: ./data}}]
";

fn options() -> Vec<PlanOptions> {
    let publish = crate::plan::ports::parse_publish("8080:80").unwrap();
    vec![
        PlanOptions::default(),
        PlanOptions {
            publish,
            pull: Some(crate::plan::PullPolicy::Never),
            networks: vec!["blue".to_owned()],
            runtime: Some("crun".to_owned()),
            ..PlanOptions::default()
        },
        PlanOptions { networks: vec!["host".to_owned()], ..PlanOptions::default() },
    ]
}

#[track_caller]
fn planned(text: &str, options: &PlanOptions) -> WorkloadPlan {
    let source =
        Source { name: "web.yaml".to_owned(), dir: PathBuf::from("/srv/web"), text: text.to_owned() };
    let documents = manifest::load(&[source], "default").documents;
    let (mut plan, _) = plan(&documents, options).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"));
    plan.workloads.remove(0)
}

fn played(text: &str, options: &PlanOptions) -> Spec {
    let plan = planned(text, options);
    Spec {
        generation: 1,
        rule: Rule::of_object(Kind::Deployment, &plan.object),
        object: plan.object,
        hash: plan.hash,
        source: plan.source,
        template: plan.template,
        running: true,
        replaced: 0,
    }
}

/// Asserts that planning the object of the spec has the spec as its result.
#[track_caller]
fn assert_planned(spec: &Spec, options: &PlanOptions) {
    let expected = played(&to_yaml(std::slice::from_ref(&spec.object)), options);
    assert_eq!(Spec { generation: 1, ..spec.clone() }, expected);
}

#[test]
fn a_patched_spec_equals_the_plan_of_its_object() {
    for options in options() {
        // Only one pod can have the host port.
        let is_free = options.publish.is_empty() && options.networks.is_empty();
        let count = if is_free { "replicas: 2" } else { "replicas: 1" };
        let spec = played(&MANIFEST.replace("replicas: 2", count), &options);
        assert_planned(&spec, &options);
        if is_free {
            let scaled = patch::scale(&spec, 5, Some(2)).unwrap();
            assert_planned(&scaled, &options);
            assert_eq!(scaled.template, spec.template);
        }
        let idle = patch::scale(&spec, 0, None).unwrap();
        assert_planned(&idle, &options);

        let paused = patch::pause(&spec).unwrap();
        assert_planned(&paused, &options);
        assert_eq!(patch::resume(&paused).unwrap(), spec);

        let restarted = patch::restart(&spec, at(0)).unwrap();
        assert_planned(&restarted, &options);
        assert_ne!(restarted.template.hash, spec.template.hash);
        let again = patch::restart(&restarted, at(1)).unwrap();
        assert_planned(&again, &options);
        assert_ne!(again.template.hash, restarted.template.hash);

        let mut world = World::new(spec.rule.clone());
        world.spec = spec.clone();
        world.apply(|_| {});
        world.apply(|world| *world = restarted.clone());
        let undone = patch::undo(&world.spec, &world.state, None).unwrap();
        assert_planned(&undone, &options);
    }
}

#[test]
fn undo_returns_to_the_previous_or_to_a_given_revision() {
    let options = PlanOptions::default();
    let spec = |image: &str, cause: &str| {
        let text = MANIFEST.replace("web:1", image).replace("change-cause: first", cause);
        played(&text, &options)
    };
    let first = spec("web:1", "change-cause: first");
    let mut world = World::new(first.rule.clone());
    world.spec = first.clone();
    world.apply(|_| {});
    assert_eq!(patch::undo(&world.spec, &world.state, None), Err(Error::NoHistory));
    world.apply(|now| *now = spec("web:2", "change-cause: second"));
    world.apply(|now| *now = spec("web:3", "other: x"));
    let causes: Vec<_> = world.state.revisions.iter().map(|r| r.change_cause.as_deref()).collect();
    assert_eq!(causes, [Some("first"), Some("second"), None]);

    let undo = |to| patch::undo(&world.spec, &world.state, to);
    let before = undo(None).unwrap();
    assert_eq!(before.template, spec("web:2", "change-cause: second").template);
    assert_eq!(
        before.object["metadata"]["annotations"],
        json!({"kubernetes.io/other": "x", "kubernetes.io/change-cause": "second"})
    );
    assert_planned(&before, &options);
    assert_eq!(undo(Some(1)).unwrap().template, first.template);
    assert_eq!(undo(Some(3)).unwrap(), world.spec);
    assert_eq!(undo(Some(4)), Err(Error::NoRevision(4)));
    // Undoing the undo returns to the newer template.
    world.apply(|now| *now = before.clone());
    let again = patch::undo(&world.spec, &world.state, None).unwrap();
    assert_eq!(again.template, spec("web:3", "other: x").template);
}

#[test]
fn invalid_patches_are_refused() {
    let options = PlanOptions::default();
    let spec = played(MANIFEST, &options);
    let paused = patch::pause(&spec).unwrap();
    let state = State::default();
    assert_eq!(patch::pause(&paused), Err(Error::AlreadyPaused));
    assert_eq!(patch::resume(&spec), Err(Error::NotPaused));
    assert_eq!(patch::restart(&paused, at(0)), Err(Error::RestartPaused));
    assert_eq!(patch::undo(&paused, &state, None), Err(Error::UndoPaused));
    assert_eq!(patch::restart(&patch::restart(&spec, at(0)).unwrap(), at(0)), Err(Error::JustRestarted));
    assert_eq!(patch::scale(&spec, 3, Some(3)), Err(Error::Replicas { expected: 3, actual: 2 }));
    assert_eq!(patch::scale(&spec, 1_000_000, None), Err(Error::TooMany(1_000_000)));
    let pod = Spec { rule: Rule::Once, ..spec.clone() };
    assert_eq!(patch::scale(&pod, 1, None), Err(Error::NoReplicas));
    assert_eq!(patch::pause(&pod), Err(Error::NoReplicas));

    let one = MANIFEST.replace("replicas: 2", "replicas: 1");
    let published = played(
        &one,
        &PlanOptions {
            publish: crate::plan::ports::parse_publish("8080:80").unwrap(),
            ..PlanOptions::default()
        },
    );
    assert_eq!(
        patch::scale(&published, 2, None).unwrap_err().to_string(),
        "only one pod can have host port 8080/tcp, but replicas is 2"
    );
    let fixed = played(
        &one,
        &PlanOptions { networks: vec!["blue:ip=10.0.0.9".to_owned()], ..PlanOptions::default() },
    );
    assert_eq!(
        patch::scale(&fixed, 2, None).unwrap_err().to_string(),
        "only one pod can have the address in network blue, but replicas is 2"
    );
}
