//! Tests of users, groups, capabilities, seccomp and sysctls.

use serde_json::{Value, json};

use super::super::{AppArmor, Seccomp, security};
use super::{Case, pod_plan};

fn ids(pod: Value, container: Value, image_user: &str) -> Result<(u32, u32, Vec<u32>), String> {
    let spec = json!({"securityContext": pod, "containers": [{"name": "c", "securityContext": container}]});
    let case = Case::of_pod(spec).image(|i| image_user.clone_into(&mut i.user));
    case.resolve().map(|p| (p.uid, p.gid, p.additional_gids)).map_err(|e| e.to_string())
}

#[test]
fn the_containers_security_context_beats_the_pods_field_by_field() {
    let both = ids(json!({"runAsUser": 1, "runAsGroup": 2}), json!({"runAsUser": 3}), "").unwrap();
    assert_eq!((both.0, both.1), (3, 2));
    let pod = ids(json!({"runAsUser": 1, "runAsGroup": 2}), json!({"runAsGroup": 4}), "9:9").unwrap();
    assert_eq!((pod.0, pod.1), (1, 4));
}

#[test]
fn the_images_user_is_a_number_or_a_name_with_or_without_group() {
    let of = |user: &str| ids(json!({}), json!({}), user).map(|(uid, gid, _)| (uid, gid));
    assert_eq!(of(""), Ok((0, 0)));
    assert_eq!(of("app"), Ok((1000, 100)));
    assert_eq!(of("1000"), Ok((1000, 100)), "the primary group is that of /etc/passwd");
    assert_eq!(of("4242"), Ok((4242, 0)));
    assert_eq!(of("app:wheel"), Ok((1000, 10)));
    assert_eq!(of("4242:77"), Ok((4242, 77)));
    assert_eq!(of("app:"), Ok((1000, 100)));
    assert_eq!(of(":wheel"), Ok((0, 10)));
    let unknown = of("nobody").unwrap_err();
    assert!(unknown.starts_with("CreateContainerError") && unknown.contains("/etc/passwd"), "{unknown}");
    assert!(of("app:nogroup").unwrap_err().contains("/etc/group"));
    assert!(of("-1").is_err());
    assert!(of("4294967295").is_err());
}

#[test]
fn run_as_user_ignores_the_images_group() {
    let found = ids(json!({}), json!({"runAsUser": 4242}), "app:wheel").unwrap();
    assert_eq!((found.0, found.1), (4242, 0));
    let found = ids(json!({}), json!({"runAsUser": 1000}), "0:0").unwrap();
    assert_eq!((found.0, found.1), (1000, 100));
}

#[test]
fn supplementary_groups_are_the_pods_and_those_of_the_images_etc_group() {
    let pod = json!({"supplementalGroups": [5, 10, 5]});
    assert_eq!(ids(pod.clone(), json!({}), "app").unwrap().2, [100, 5, 10]);
    assert_eq!(ids(pod.clone(), json!({"runAsUser": 1000}), "").unwrap().2, [100, 5, 10]);
    assert_eq!(ids(pod, json!({"runAsUser": 4242}), "app").unwrap().2, [0, 5, 10]);
    assert_eq!(ids(json!({}), json!({}), "app").unwrap().2, [100, 10]);
}

#[test]
fn fs_group_is_a_supplementary_group_of_every_container() {
    let pod = json!({"fsGroup": 2000, "supplementalGroups": [5, 2000]});
    assert_eq!(ids(pod.clone(), json!({}), "app").unwrap().2, [100, 2000, 5, 10]);
    assert_eq!(ids(pod, json!({"runAsUser": 4242, "runAsGroup": 7}), "").unwrap().2, [7, 2000, 5]);
}

#[test]
fn supplemental_groups_policy_strict_leaves_out_the_groups_of_the_image() {
    let pod =
        |policy: &str| json!({"fsGroup": 3, "supplementalGroups": [5], "supplementalGroupsPolicy": policy});
    assert_eq!(ids(pod("Strict"), json!({}), "app").unwrap().2, [100, 3, 5]);
    assert_eq!(ids(pod("Merge"), json!({}), "app").unwrap().2, [100, 3, 5, 10]);
}

#[test]
fn run_as_non_root_refuses_uid_0_and_users_that_cannot_be_verified() {
    let on = || json!({"runAsNonRoot": true});
    let refusals = [
        ids(json!({}), json!({"runAsNonRoot": true, "runAsUser": 0}), "1000"),
        ids(json!({}), on(), ""),
        ids(on(), json!({}), "0"),
        ids(json!({}), on(), "00:5"),
        ids(json!({}), on(), "app"),
    ]
    .map(Result::unwrap_err);
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    CreateContainerConfigError: container c has runAsNonRoot, but runAsUser is 0
    CreateContainerConfigError: container c has runAsNonRoot, but the image runs as root (it has no USER); set runAsUser
    CreateContainerConfigError: container c has runAsNonRoot, but the image runs as root (its USER is 0); set runAsUser
    CreateContainerConfigError: container c has runAsNonRoot, but the image runs as root (its USER is 0); set runAsUser
    CreateContainerConfigError: container c has runAsNonRoot, but the image's USER is the name "app", so we cannot verify that it is not root; set runAsUser to its number
    "#);
    assert!(ids(json!({}), on(), "1000").is_ok());
    assert!(ids(json!({"runAsUser": 7}), on(), "app").is_ok());
    assert!(ids(on(), json!({"runAsNonRoot": false}), "").is_ok(), "the container's value beats the pod's");
}

fn capabilities(context: Value) -> Vec<String> {
    Case::new(json!({"securityContext": context})).ok().capabilities
}

#[test]
fn capabilities_are_containerds_unless_changed() {
    let default = capabilities(json!({}));
    assert_eq!(default.len(), 14);
    assert!(default.contains(&"CAP_NET_BIND_SERVICE".to_owned()));
    assert!(!default.contains(&"CAP_SYS_ADMIN".to_owned()));
    let changed =
        capabilities(json!({"capabilities": {"add": ["NET_ADMIN", "CAP_SYS_TIME"], "drop": ["chown"]}}));
    assert_eq!(changed.len(), 15);
    assert!(changed.contains(&"CAP_NET_ADMIN".to_owned()) && changed.contains(&"CAP_SYS_TIME".to_owned()));
    assert!(!changed.contains(&"CAP_CHOWN".to_owned()));
}

#[test]
fn all_works_in_add_and_drop() {
    assert_eq!(capabilities(json!({"capabilities": {"drop": ["ALL"]}})), Vec::<String>::new());
    assert_eq!(
        capabilities(json!({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}})),
        ["CAP_NET_BIND_SERVICE"]
    );
    let all = capabilities(json!({"capabilities": {"add": ["ALL"]}}));
    assert!(all.len() >= 41, "{}", all.len());
    let but_one = capabilities(json!({"capabilities": {"add": ["ALL"], "drop": ["SYS_ADMIN"]}}));
    assert_eq!(but_one.len(), all.len() - 1);
}

#[test]
fn privileged_has_every_capability_and_no_seccomp() {
    let plan =
        Case::new(json!({"securityContext": {"privileged": true, "capabilities": {"drop": ["ALL"]}}})).ok();
    assert!(plan.privileged);
    assert!(plan.capabilities.len() >= 41);
    assert_eq!(plan.seccomp, Seccomp::Unconfined);
}

#[test]
fn seccomp_is_runtime_default_unless_said_otherwise() {
    let of = |pod: Value, container: Value| {
        Case::of_pod(
            json!({"securityContext": pod, "containers": [{"name": "c", "securityContext": container}]}),
        )
        .ok()
        .seccomp
    };
    let unconfined = || json!({"seccompProfile": {"type": "Unconfined"}});
    assert_eq!(of(json!({}), json!({})), Seccomp::RuntimeDefault);
    assert_eq!(of(unconfined(), json!({})), Seccomp::Unconfined);
    let file = json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "my/audit.json"}});
    assert_eq!(of(unconfined(), file), Seccomp::Localhost("/var/lib/kubelet/seccomp/my/audit.json".into()));
    assert_eq!(
        of(unconfined(), json!({"seccompProfile": {"type": "RuntimeDefault"}})),
        Seccomp::RuntimeDefault
    );
}

#[test]
fn allow_privilege_escalation_false_sets_no_new_privs() {
    let of = |context: Value| Case::new(json!({"securityContext": context})).ok();
    assert!(of(json!({"allowPrivilegeEscalation": false})).no_new_privileges);
    assert!(!of(json!({"allowPrivilegeEscalation": true})).no_new_privileges);
    assert!(!of(json!({})).no_new_privileges);
    assert!(of(json!({"readOnlyRootFilesystem": true})).read_only_root);
}

#[test]
fn sysctls_are_the_pods_in_either_notation() {
    let plan = pod_plan(&json!({"containers": [], "securityContext": {"sysctls": [
        {"name": "net.core.somaxconn", "value": "1024"},
        {"name": "kernel/shm_rmid_forced", "value": "1"},
        {"name": "net/ipv4/conf/eth0.1/forwarding", "value": "1"},
    ]}}));
    let names: Vec<_> = security::sysctls(&plan.pod).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["net.core.somaxconn", "kernel.shm_rmid_forced", "net.ipv4.conf.eth0/1.forwarding"]);
}

#[test]
fn a_pod_may_listen_on_any_port_and_ping_unless_it_says_otherwise() {
    let of = |sysctls: Value, host_network: bool| {
        let plan = pod_plan(&json!({"containers": [], "securityContext": {"sysctls": sysctls}}));
        security::sandbox_sysctls(&plan.pod, host_network)
    };
    let all = of(json!([]), false);
    assert_eq!(all["net.ipv4.ip_unprivileged_port_start"], "0");
    assert_eq!(all["net.ipv4.ping_group_range"], "0 2147483647");
    let own = of(json!([{"name": "net/ipv4/ip_unprivileged_port_start", "value": "1024"}]), false);
    assert_eq!(own["net.ipv4.ip_unprivileged_port_start"], "1024");
    assert_eq!(of(json!([]), true).len(), 0, "the host's network is the host's");
}

#[test]
fn the_containers_apparmor_profile_beats_its_annotation_and_that_the_pods() {
    let profile = |name: &str| json!({"type": "Localhost", "localhostProfile": name});
    let of = |container: Value, annotation: Option<&str>, pod: Value| {
        let spec = json!({
            "securityContext": {"appArmorProfile": pod},
            "containers": [{"name": "c", "securityContext": container}],
        });
        let mut pod = pod_plan(&spec).pod;
        if let Some(value) = annotation {
            let key = "container.apparmor.security.beta.kubernetes.io/c".to_owned();
            pod.metadata.annotations.get_or_insert_default().insert(key, value.to_owned());
        }
        security::app_armor(&pod, &pod.spec.as_ref().unwrap().containers[0])
    };
    let named = |name: &str| AppArmor::Localhost(name.to_owned());
    let own = json!({"appArmorProfile": profile("own")});
    assert_eq!(of(own, Some("localhost/annotated"), profile("pods")), named("own"));
    assert_eq!(of(json!({}), Some("localhost/annotated"), profile("pods")), named("annotated"));
    assert_eq!(of(json!({}), None, profile("pods")), named("pods"));
    assert_eq!(of(json!({}), None, Value::Null), AppArmor::Unset);
    assert_eq!(of(json!({}), Some("runtime/default"), Value::Null), AppArmor::RuntimeDefault);
    assert_eq!(of(json!({"privileged": true}), Some("runtime/default"), Value::Null), AppArmor::Unconfined);
}

#[test]
fn in_a_pod_with_host_users_false_ids_end_at_65535() {
    let of = |uid: u32, groups: Value| {
        let spec = json!({
            "hostUsers": false,
            "securityContext": {"runAsUser": uid, "supplementalGroups": groups},
            "containers": [{"name": "c"}],
        });
        Case::of_pod(spec).resolve().map(|plan| plan.uid).map_err(|error| error.to_string())
    };
    assert_eq!(of(65535, json!([5])), Ok(65535));
    assert!(of(65536, json!([])).unwrap_err().contains("user 65536 does not exist"));
    assert!(of(1, json!([70000])).unwrap_err().contains("group 70000 does not exist"));
}
