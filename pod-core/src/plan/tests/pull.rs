//! Tests of imagePullPolicy.

use serde_json::json;

use super::super::PullPolicy;
use super::super::image_pull::{Eagerness, Need, default_policy, is_given};

#[test]
fn image_pull_policy_is_always_for_latest_or_no_tag_else_if_not_present() {
    for (image, expected) in [
        ("web", PullPolicy::Always),
        ("web:latest", PullPolicy::Always),
        ("localhost:5000/web", PullPolicy::Always),
        ("localhost.example.org/web", PullPolicy::Always),
        ("localhost/web", PullPolicy::IfNotPresent),
        ("localhost/team/web:latest", PullPolicy::IfNotPresent),
        ("web:1", PullPolicy::IfNotPresent),
        ("localhost:5000/a/web:1.2", PullPolicy::IfNotPresent),
        ("web@sha256:0000", PullPolicy::IfNotPresent),
        ("web:latest@sha256:0000", PullPolicy::IfNotPresent),
    ] {
        assert_eq!(default_policy(image), expected, "{image}");
    }
}

#[test]
fn a_local_image_needs_no_registry_unless_always_is_given() {
    let need = |policy, given, here| Eagerness::new(policy, given).need(here);
    for given in [true, false] {
        assert_eq!(need(PullPolicy::Never, given, true), Need::Nothing);
        assert_eq!(need(PullPolicy::Never, given, false), Need::Missing);
        assert_eq!(need(PullPolicy::IfNotPresent, given, true), Need::Nothing);
        assert_eq!(need(PullPolicy::IfNotPresent, given, false), Need::Pull);
        assert_eq!(need(PullPolicy::Always, given, false), Need::Pull);
    }
    assert_eq!(need(PullPolicy::Always, true, true), Need::Pull);
    assert_eq!(need(PullPolicy::Always, false, true), Need::PullOrHere);
}

#[test]
fn the_most_eager_of_several_containers_decides() {
    let mut all = [
        Eagerness::new(PullPolicy::Always, true),
        Eagerness::new(PullPolicy::Never, true),
        Eagerness::new(PullPolicy::Always, false),
        Eagerness::new(PullPolicy::IfNotPresent, false),
    ];
    all.sort();
    assert_eq!(
        all,
        [Eagerness::Never, Eagerness::IfNotPresent, Eagerness::AlwaysByDefault, Eagerness::Always]
    );
}

#[test]
fn a_policy_counts_as_given_wherever_the_pod_is_described() {
    let spec = json!({
        "initContainers": [{"name": "setup", "imagePullPolicy": "Always"}],
        "containers": [{"name": "main", "imagePullPolicy": ""}, {"name": "side", "imagePullPolicy": "Never"}],
    });
    for object in [
        json!({"spec": spec}),
        json!({"spec": {"template": {"spec": spec}}}),
        json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}),
    ] {
        let given = ["setup", "main", "side", "other"].map(|name| is_given(&object, name));
        assert_eq!(given, [true, false, true, false], "{object}");
    }
}

#[test]
fn image_volumes_are_pulled_by_their_own_policy() {
    let image = |name: &str, reference: &str, policy: Option<&str>| {
        let mut source = json!({"reference": reference});
        if let Some(policy) = policy {
            source["pullPolicy"] = json!(policy);
        }
        json!({"name": name, "image": source})
    };
    let object = json!({"spec": {"containers": [], "volumes": [
        image("a", "r.io/a:1", None),
        image("b", "r.io/b", None),
        image("c", "r.io/c", Some("Always")),
        image("d", "r.io/d", Some("Never")),
    ]}});
    let plan = super::pod_plan(&object["spec"]);
    let found: Vec<_> = super::super::image_pull::images(&plan, &object, None).collect();
    assert_eq!(
        found,
        [
            ("r.io/a:1", Eagerness::IfNotPresent),
            ("r.io/b", Eagerness::AlwaysByDefault),
            ("r.io/c", Eagerness::Always),
            ("r.io/d", Eagerness::Never),
        ]
    );
}
