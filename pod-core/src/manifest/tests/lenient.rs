//! Unusual spellings that an API server and the kubelet accept, and similar ones that they refuse.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Volume};
use serde_json::json;

use super::*;
use crate::manifest::schema::check::check;
use crate::manifest::schema::{self, Kind, Type};
use crate::manifest::yaml::Node;

/// Returns the only Pod of a text that is read without any message.
fn taken(text: &str) -> Pod {
    let loaded = read(text);
    assert_eq!(shown(&loaded.diagnostics), "", "{text}");
    match &loaded.documents.first().unwrap().object {
        Object::Pod(pod) => (**pod).clone(),
        other => panic!("{other:?}"),
    }
}

/// Collects every type with fields that `from` reaches, by name.
fn reach(from: &'static Type, all: &mut BTreeMap<&'static str, &'static Type>) {
    if all.insert(from.name, from).is_none() {
        from.fields.iter().filter_map(|field| field.kind.object()).for_each(|inner| reach(inner, all));
    }
}

#[test]
fn empty_text_in_any_field_that_takes_one_of_some_words_is_a_field_that_is_not_given() {
    let mut types = BTreeMap::new();
    for root in [&schema::POD, &schema::DEPLOYMENT, &schema::PERSISTENT_VOLUME_CLAIM, &schema::SERVICE] {
        reach(root, &mut types);
    }
    let mut seen = 0;
    for ty in types.values() {
        for field in ty.fields {
            let Kind::Enum(values) = field.kind else { continue };
            let checked = check(&Node::from_json(&json!({field.name: ""})), ty, "");
            let told: Vec<_> = checked.diagnostics.iter().filter(|told| told.path == field.name).collect();
            if field.required {
                assert!(!told.is_empty(), "{}.{}: empty text stands for nothing", ty.name, field.name);
            } else {
                let errors = told.iter().filter(|told| told.severity == Severity::Error).count();
                assert_eq!(errors, 0, "{}.{}: {told:?}", ty.name, field.name);
                let kept = checked.value.get(field.name).is_some();
                assert_eq!(kept, values.contains(&""), "{}.{}", ty.name, field.name);
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

/// An API server decodes the status that an object has, and then replaces it.
#[test]
fn a_status_is_decoded_and_not_validated() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b}]}\n";
    let status =
        "status: {phase: Later, containerStatuses: [{name: a, image: '', imageID: ''}], conditions: [{}]}\n";
    let told_of = |status: &str| told(&format!("{pod}{status}"));
    assert_eq!(told_of(status).lines().count(), 1, "{}", told_of(status));
    assert!(told_of(status).starts_with("warning"), "{}", told_of(status));
    for wrong in ["status: {phase: 5}\n", "status: {phases: x}\n", "status: {conditions: {}}\n"] {
        assert!(told_of(wrong).contains("error"), "{wrong}");
    }
}

#[test]
fn capabilities_are_read_in_any_case_and_with_their_prefix() {
    let given = "[CAP_NET_ADMIN, net_raw, cap_Sys_Time, All, CAP_ALL]";
    taken(&container(&format!("securityContext: {{capabilities: {{add: {given}, drop: {given}}}}}")));
    let told = told(&container(
        "securityContext: {allowPrivilegeEscalation: false, capabilities: {add: [cap_sys_admin, CAP_CAP_CHOWN]}}",
    ));
    assert!(told.contains("cannot be false in a container with the capability SYS_ADMIN"), "{told}");
    assert!(told.contains("\"CAP_CAP_CHOWN\" is not a capability"), "{told}");
}

#[test]
fn an_amount_that_is_null_is_not_set() {
    let pod = taken(&container("resources: {limits: {cpu: null, memory: 64Mi}, requests: {cpu: }}"));
    let resources = pod.spec.unwrap().containers[0].resources.clone().unwrap();
    assert_eq!(resources.limits.unwrap().keys().collect::<Vec<_>>(), ["memory"]);
    assert!(resources.requests.unwrap().is_empty());
}

fn with_volume(volume: &str, mount: &str) -> String {
    pod(&format!(
        "containers:\n- name: app\n  image: app:1\n  volumeMounts: [{mount}]\nvolumes:\n- name: v\n{volume}"
    ))
}

const MOUNT: &str = "{name: v, mountPath: /v}";

#[test]
fn a_volume_without_a_source_is_an_empty_dir() {
    for source in ["", "  emptyDir:\n", "  emptyDir: null\n", "  emptyDir: {}\n"] {
        let pod = taken(&with_volume(source, MOUNT));
        let Volume { host_path, secret, .. } = pod.spec.unwrap().volumes.unwrap().remove(0);
        assert!(host_path.is_none() && secret.is_none(), "{source}");
    }
    assert_eq!(
        told(&with_volume("  configMap:\n", MOUNT)),
        "warning: f.yaml:11:5: spec.volumes[0].configMap: has no value, so that the volume is an emptyDir\n  \
         hint: give configMap its fields or leave it out\n"
    );
}

#[test]
fn a_volume_of_a_kind_that_cannot_be_mounted_is_an_error_if_a_container_mounts_it() {
    let source = "  iscsi: {targetPortal: 10.0.0.1, iqn: iqn.2001-04.com.example, lun: 0}\n";
    let mounted = told(&with_volume(source, MOUNT));
    assert_eq!(
        mounted,
        "error: f.yaml:11:5: spec.volumes[0].iscsi: volumes of this kind cannot be mounted on one machine: \
         storage of a cluster or a cloud\n  hint: use hostPath, persistentVolumeClaim or emptyDir instead\n"
    );
    let beside = told(&with_volume(source, ""));
    assert!(beside.starts_with("warning: ") && !beside.contains("error: "), "{beside}");
}

/// A mounted volume of an unsupported source is an error before a play.
#[test]
fn every_source_of_a_volume_is_honoured_or_an_error_when_it_is_mounted() {
    for (source, support) in support::of("Volume").iter().filter(|(name, _)| *name != "name") {
        let told = told(&with_volume(&format!("  {source}: {{}}\n"), MOUNT));
        let refused = told.contains(&format!("spec.volumes[0].{source}: volumes of this kind cannot"));
        assert_eq!(refused, support.status != support::Status::Honoured, "{source}: {told}");
    }
}

#[test]
fn a_mount_path_is_below_the_root_however_it_is_written() {
    taken(&with_volume("", "{name: v, mountPath: data}"));
    taken(&with_volume("", "{name: v, mountPath: /a/../data}"));
    for same in ["data", "/data/", "/./data", "/a/../data", "//data", "/../data"] {
        let told =
            told(&with_volume("", &format!("{{name: v, mountPath: /data}}, {{name: v, mountPath: {same}}}")));
        assert!(told.contains("is already where volumeMounts[0] is mounted"), "{same}: {told}");
    }
}

#[test]
fn mounts_that_reach_the_host_need_a_privileged_container() {
    let mount = "{name: v, mountPath: /v, mountPropagation: Bidirectional}";
    let text = with_volume("  hostPath: {path: /srv}\n", mount);
    let path =
        "spec.containers[0].volumeMounts[0].mountPropagation: Bidirectional needs a privileged container";
    assert!(told(&text).contains(path), "{}", told(&text));
    let privileged =
        text.replace("  image: app:1\n", "  image: app:1\n    securityContext: {privileged: true}\n");
    assert!(!told(&privileged).contains(path), "{}", told(&privileged));
}

#[test]
fn a_grace_period_below_zero_and_a_pull_secret_without_a_name_are_warnings() {
    let base = "containers: [{name: a, image: b}]\n";
    assert_eq!(
        told(&pod(&format!("{base}terminationGracePeriodSeconds: -1"))),
        "warning: f.yaml:6:34: spec.terminationGracePeriodSeconds: is -1, which Kubernetes reads as 1\n"
    );
    for secret in ["{name: \"\"}", "{}", "{name: }"] {
        let text = told(&pod(&format!("{base}imagePullSecrets: [{secret}]")));
        let expected = "spec.imagePullSecrets[0].name: is empty: images are pulled without it\n";
        assert!(text.starts_with("warning: ") && text.ends_with(expected), "{text}");
    }
}

#[test]
fn divisors_are_those_of_kubernetes() {
    let told = |resource: &str, divisor: &str| {
        told(&container(&format!(
            "env: [{{name: A, valueFrom: {{resourceFieldRef: {{resource: {resource}, divisor: {divisor}}}}}}}]"
        )))
    };
    let sizes = ["1", "\"1\"", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    for divisor in sizes.into_iter().chain(["0", "\"0\"", "1000k", "1024Ki"]) {
        for resource in ["limits.memory", "requests.ephemeral-storage", "limits.hugepages-2Mi"] {
            assert_eq!(told(resource, divisor), "", "{resource} {divisor}");
        }
    }
    for divisor in ["1", "1m", "1000m", "0"] {
        assert_eq!(told("requests.cpu", divisor), "", "{divisor}");
    }
    for (resource, divisor) in [
        ("limits.memory", "2M"),
        ("limits.memory", "1m"),
        ("limits.memory", "-1"),
        ("limits.memory", "1e3"),
        ("limits.memory", "0.5Ki"),
        ("limits.cpu", "2m"),
        ("limits.cpu", "1k"),
        ("limits.cpu", "10"),
    ] {
        let told = told(resource, divisor);
        assert!(
            told.contains(&format!("resourceFieldRef.divisor: \"{divisor}\" is not a divisor of")),
            "{told}"
        );
    }
}
