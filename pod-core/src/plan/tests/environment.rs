//! Tests of environment, command and working directory.

use serde_json::json;

use super::Case;

#[test]
fn environment_is_image_then_env_from_then_env_and_later_wins() {
    let case = Case::new(json!({
        "envFrom": [{"configMapRef": {"name": "one"}}, {"configMapRef": {"name": "two"}}],
        "env": [{"name": "C", "value": "env"}, {"name": "D", "value": "first"}, {"name": "D", "value": "second"}],
    }))
    .config_map("one", json!({"A": "one", "B": "one", "C": "one"}))
    .config_map("two", json!({"B": "two", "C": "two"}))
    .image(|i| i.env = vec!["A=image".to_owned(), "Z=image".to_owned(), "E=with=equals".to_owned()]);
    for (name, value) in
        [("A", "one"), ("B", "two"), ("C", "env"), ("D", "second"), ("Z", "image"), ("E", "with=equals")]
    {
        assert_eq!(case.env(name).as_deref(), Some(value), "{name}");
    }
    let plan = case.ok();
    let mut names: Vec<_> = plan.env.iter().map(|(n, _)| n).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), plan.env.len(), "a name occurs once");
}

#[test]
fn env_from_puts_its_prefix_in_front_and_reads_secrets() {
    let case = Case::new(json!({"envFrom": [
        {"prefix": "DB_", "secretRef": {"name": "db"}},
        {"prefix": "X_", "configMapRef": {"name": "conf"}},
    ]}))
    .secret("db", json!({"USER": "root", "PASSWORD": "p w"}))
    .config_map("conf", json!({"dotted.key": "1", "bad=key": "2"}));
    assert_eq!(case.env("DB_USER").as_deref(), Some("root"));
    assert_eq!(case.env("DB_PASSWORD").as_deref(), Some("p w"));
    assert_eq!(case.env("USER"), None);
    assert_eq!(case.env("X_dotted.key").as_deref(), Some("1"));
    assert!(case.ok().env.iter().all(|(n, _)| !n.contains("bad")), "no variable can be named so");
}

#[test]
fn references_see_env_from_and_earlier_env_but_never_the_image() {
    let case = Case::new(json!({
        "envFrom": [{"configMapRef": {"name": "conf"}}],
        "env": [
            {"name": "EARLY", "value": "e"},
            {"name": "ALL", "value": "$(FROM) $(EARLY) $(LATE) $(IMAGE) $(PATH) $$(EARLY)"},
            {"name": "LATE", "value": "l"},
            {"name": "SELF", "value": "x"},
            {"name": "SELF", "value": "$(SELF)y"},
        ],
    }))
    .config_map("conf", json!({"FROM": "$(EARLY)"}))
    .image(|i| i.env = vec!["IMAGE=i".to_owned()]);
    assert_eq!(
        case.env("ALL").as_deref(),
        Some("$(EARLY) e $(LATE) $(IMAGE) $(PATH) $(EARLY)"),
        "what comes from a ConfigMap is not expanded, what is unknown stays"
    );
    assert_eq!(case.env("SELF").as_deref(), Some("xy"));
}

#[test]
fn variables_of_services_come_after_the_image_and_before_env_from() {
    let case = |spec: serde_json::Value| {
        let service = json!({"clusterIP": "10.96.0.9", "ports": [{"name": "sql", "port": 5432}]});
        let mut case = Case::of_pod(spec)
            .image(|image| image.env = vec!["DB_SERVICE_HOST=image".to_owned(), "DB_PORT=image".to_owned()])
            .config_map("conf", json!({"DB_SERVICE_PORT": "from a map"}))
            .service("shop", "db", service.clone())
            .service("other", "far", service);
        case.container = "c";
        case
    };
    let container = json!({
        "name": "c", "image": "app:1", "envFrom": [{"configMapRef": {"name": "conf"}}],
        "env": [
            {"name": "URL", "value": "$(DB_SERVICE_HOST):$(DB_SERVICE_PORT_SQL) $(DB_SERVICE_PORT) $(FAR_SERVICE_HOST)"},
            {"name": "EARLIER", "value": "$(DB_PORT_5432_TCP_ADDR)"}, {"name": "DB_PORT_5432_TCP_ADDR", "value": "own"},
        ],
        "args": ["$(DB_SERVICE_HOST)"],
    });
    let links = case(json!({"containers": [container]}));
    let env = |name: &str| links.env(name);
    assert_eq!(env("URL").as_deref(), Some("10.96.0.9:5432 from a map $(FAR_SERVICE_HOST)"));
    assert_eq!(env("DB_SERVICE_HOST").as_deref(), Some("10.96.0.9"));
    assert_eq!(env("DB_PORT").as_deref(), Some("tcp://10.96.0.9:5432"));
    assert_eq!(
        (env("EARLIER").as_deref(), env("DB_PORT_5432_TCP_ADDR").as_deref()),
        (Some("10.96.0.9"), Some("own"))
    );
    assert_eq!(env("FAR_SERVICE_HOST"), None, "a Service of another namespace");
    assert_eq!(links.ok().args.last().map(String::as_str), Some("10.96.0.9"));
    let without = case(json!({"enableServiceLinks": false, "containers": [container]}));
    assert_eq!(without.env("DB_SERVICE_HOST").as_deref(), Some("image"));
    assert_eq!(
        without.env("URL").as_deref(),
        Some("$(DB_SERVICE_HOST):$(DB_SERVICE_PORT_SQL) from a map $(FAR_SERVICE_HOST)")
    );
}

#[test]
fn values_from_config_maps_secrets_and_fields_are_not_expanded() {
    let case = Case::new(json!({"env": [
        {"name": "A", "value": "a"},
        {"name": "M", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "k"}}},
        {"name": "S", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "k"}}},
    ]}))
    .config_map("conf", json!({"k": "$(A)"}))
    .secret("sec", json!({"k": "$(A)"}));
    assert_eq!(case.env("M").as_deref(), Some("$(A)"));
    assert_eq!(case.env("S").as_deref(), Some("$(A)"));
}

#[test]
fn a_missing_config_map_secret_or_key_is_create_container_config_error() {
    let of = |source: serde_json::Value| {
        Case::new(json!({"env": [{"name": "A", "valueFrom": source}]}))
            .config_map("conf", json!({"k": "v"}))
            .secret("sec", json!({"k": "v"}))
            .error()
    };
    let from = |source: serde_json::Value| Case::new(json!({"envFrom": [source]})).error();
    let all = [
        of(json!({"configMapKeyRef": {"name": "absent", "key": "k"}})),
        of(json!({"configMapKeyRef": {"name": "conf", "key": "absent"}})),
        of(json!({"secretKeyRef": {"name": "absent", "key": "k"}})),
        of(json!({"secretKeyRef": {"name": "sec", "key": "absent"}})),
        from(json!({"configMapRef": {"name": "absent"}})),
        from(json!({"secretRef": {"name": "absent"}})),
    ];
    insta::assert_snapshot!(all.join("\n"), @r#"
    CreateContainerConfigError: configmap "absent" not found in namespace "shop"
    CreateContainerConfigError: configmap "conf" has no key "absent"
    CreateContainerConfigError: secret "absent" not found in namespace "shop"
    CreateContainerConfigError: secret "sec" has no key "absent"
    CreateContainerConfigError: configmap "absent" not found in namespace "shop"
    CreateContainerConfigError: secret "absent" not found in namespace "shop"
    "#);
}

#[test]
fn optional_references_that_are_missing_set_nothing() {
    let case = Case::new(json!({
        "envFrom": [
            {"configMapRef": {"name": "absent", "optional": true}},
            {"secretRef": {"name": "absent", "optional": true}},
        ],
        "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "k", "optional": true}}},
            {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "absent", "optional": true}}},
            {"name": "C", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "k", "optional": true}}},
            {"name": "D", "value": "$(A)"},
        ],
    }))
    .config_map("conf", json!({}));
    assert_eq!(case.env("A"), None);
    assert_eq!(case.env("B"), None);
    assert_eq!(case.env("C"), None);
    assert_eq!(case.env("D").as_deref(), Some("$(A)"));
}

#[test]
fn an_optional_value_keeps_what_the_image_or_env_from_set() {
    let case = Case::new(json!({"env": [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "absent", "key": "k", "optional": true}}},
    ]}))
    .image(|i| i.env = vec!["A=image".to_owned()]);
    assert_eq!(case.env("A").as_deref(), Some("image"));
}

#[test]
fn objects_of_another_namespace_are_not_used() {
    let mut case = Case::new(json!({"envFrom": [{"configMapRef": {"name": "conf"}}]}))
        .config_map("conf", json!({"A": "1"}));
    let map = case.objects.config_maps.remove(&("shop".to_owned(), "conf".to_owned())).unwrap();
    case.objects.config_maps.insert(("default".to_owned(), "conf".to_owned()), map);
    assert!(case.error().contains("not found in namespace \"shop\""));
}

#[test]
fn every_field_ref() {
    let field = |path: &str| {
        Case::new(json!({"env": [{"name": "F", "valueFrom": {"fieldRef": {"fieldPath": path}}}]}))
            .env("F")
            .unwrap()
    };
    for (path, value) in [
        ("metadata.name", "web"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['example.com/tier']", "front"),
        ("metadata.labels['absent']", ""),
        ("metadata.annotations['note']", "hello"),
        ("spec.nodeName", "box"),
        ("spec.serviceAccountName", "default"),
        ("status.hostIP", "192.0.2.1"),
        ("status.hostIPs", "192.0.2.1,2001:db8::1"),
        ("status.podIP", "10.1.0.5"),
        ("status.podIPs", "10.1.0.5,fd00::5"),
    ] {
        assert_eq!(field(path), value, "{path}");
    }
    let case =
        Case::new(json!({"env": [{"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]}));
    assert!(case.error().contains("spec.nope"));
}

#[test]
fn on_the_host_network_the_pods_address_is_the_hosts() {
    let mut case = Case::of_pod(json!({"hostNetwork": true, "containers": [
        {"name": "c", "env": [{"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]},
    ]}));
    case.ips.clear();
    assert_eq!(case.env("F").as_deref(), Some("192.0.2.1"));
    assert_eq!(case.env("HOSTNAME").as_deref(), Some("box"));
}

#[test]
fn resource_field_refs_are_rounded_up_and_fall_back_to_the_node() {
    let of = |resources: serde_json::Value, resource: &str, divisor: &str| {
        let reference = json!({"resource": resource, "divisor": divisor});
        Case::new(json!({
            "resources": resources,
            "env": [{"name": "R", "valueFrom": {"resourceFieldRef": reference}}],
        }))
        .env("R")
        .unwrap()
    };
    let set = json!({"limits": {"cpu": "1500m", "memory": "100Mi"}, "requests": {"memory": "64Mi"}});
    assert_eq!(of(set.clone(), "limits.cpu", "0"), "2");
    assert_eq!(of(set.clone(), "limits.cpu", "1m"), "1500");
    assert_eq!(of(set.clone(), "limits.memory", "1Gi"), "1");
    assert_eq!(of(set.clone(), "requests.memory", "1Mi"), "64");
    assert_eq!(of(set, "requests.cpu", "1m"), "1500", "a limit is a request too");
    assert_eq!(of(json!({}), "limits.cpu", "1"), "4");
    assert_eq!(of(json!({}), "limits.memory", "1Gi"), "8");
    assert_eq!(of(json!({}), "requests.memory", "1"), "0");
    assert_eq!(of(json!({}), "limits.ephemeral-storage", "1Gi"), "100");
    assert_eq!(of(json!({"limits": {"ephemeral-storage": "2Gi"}}), "limits.ephemeral-storage", "1Gi"), "2");
    assert_eq!(of(json!({}), "requests.ephemeral-storage", "1"), "0");
}

#[test]
fn a_secret_that_is_not_text_cannot_be_a_variable() {
    let mut case = Case::new(json!({"envFrom": [{"secretRef": {"name": "bin"}}]})).secret("bin", json!({}));
    let secret = case.objects.secrets.values_mut().next().unwrap();
    secret.data = Some([("K".to_owned(), k8s_openapi::ByteString(vec![0xff, 0xfe]))].into());
    assert!(case.error().contains("is not UTF-8"), "{}", case.error());
}

#[test]
fn home_path_and_hostname_have_defaults() {
    let case = Case::new(json!({}));
    assert_eq!(case.env("HOME").as_deref(), Some("/root"));
    assert_eq!(case.env("PATH").as_deref(), Some(super::super::environment::DEFAULT_PATH));
    assert_eq!(case.env("HOSTNAME").as_deref(), Some("web"));
    assert_eq!(case.env("TERM"), None);
    let case = Case::new(json!({"tty": true, "env": [{"name": "HOME", "value": "/h"}]}))
        .image(|i| i.env = vec!["PATH=/p".to_owned(), "HOSTNAME=h".to_owned()]);
    assert_eq!(case.env("HOME").as_deref(), Some("/h"));
    assert_eq!(case.env("PATH").as_deref(), Some("/p"));
    assert_eq!(case.env("TERM").as_deref(), Some("xterm"));
    let case = Case::new(json!({"securityContext": {"runAsUser": 4242}}));
    assert_eq!(case.env("HOME").as_deref(), Some("/"), "a user whom the image does not know");
}

#[test]
fn command_drops_cmd_args_keeps_entrypoint_and_both_replace_both() {
    let of = |container: serde_json::Value| {
        Case::new(container)
            .image(|i| {
                i.entrypoint = vec!["ep".to_owned(), "ep1".to_owned()];
                i.cmd = vec!["cmd".to_owned()];
            })
            .ok()
            .args
            .join(" ")
    };
    assert_eq!(of(json!({})), "ep ep1 cmd");
    assert_eq!(of(json!({"command": ["c"]})), "c");
    assert_eq!(of(json!({"args": ["a"]})), "ep ep1 a");
    assert_eq!(of(json!({"command": ["c"], "args": ["a", "b"]})), "c a b");
}

#[test]
fn a_container_without_any_command_is_an_error() {
    let case = Case::new(json!({})).image(|i| i.entrypoint.clear());
    assert_eq!(
        case.error(),
        "CreateContainerError: nothing to run: the image app:1 has no ENTRYPOINT or CMD, and container c sets no command"
    );
}

#[test]
fn command_and_args_are_expanded_against_the_declared_environment_only() {
    let case = Case::new(json!({
        "command": ["$(PROG)", "$(IMAGE)"],
        "args": ["$(LATE)$$(LATE)", "$(HOSTNAME)"],
        "env": [{"name": "PROG", "value": "/bin/p"}, {"name": "LATE", "value": "x"}],
    }))
    .image(|i| i.env = vec!["IMAGE=i".to_owned()]);
    assert_eq!(case.ok().args, ["/bin/p", "$(IMAGE)", "x$(LATE)", "$(HOSTNAME)"]);
    let case = Case::new(json!({})).image(|i| i.cmd = vec!["$(PROG)".to_owned()]);
    assert_eq!(case.ok().args, ["/bin/app", "$(PROG)"], "the image's own words are never expanded");
}

#[test]
fn working_dir_beats_the_images_and_is_absolute() {
    let with = |image: &str, given: serde_json::Value| {
        Case::new(given).image(|i| image.clone_into(&mut i.working_dir)).ok().cwd
    };
    assert_eq!(with("/srv", json!({"workingDir": "/w"})), "/w");
    assert_eq!(with("/srv", json!({})), "/srv");
    assert_eq!(with("srv", json!({})), "/srv");
    assert_eq!(with("", json!({})), "/");
    assert_eq!(with("", json!({"workingDir": "/not/there/../../../srv//x/."})), "/srv/x");
}

#[test]
fn an_unknown_container_is_an_error() {
    let mut case = Case::new(json!({}));
    case.container = "other";
    assert!(case.error().contains("no container \"other\""));
}

#[test]
fn a_variable_comes_from_a_file_of_a_volume() {
    let variable = |name: &str, key: &str, optional: bool| {
        let file = json!({"volumeName": "v", "path": "env/app", "key": key, "optional": optional});
        json!({"name": name, "valueFrom": {"fileKeyRef": file}})
    };
    let mut case = Case::new(json!({"env": [variable("A", "KEY", false), variable("B", "NONE", true)]}));
    assert_eq!(case.env("A").as_deref(), Some(""), "before the pod exists the file does not");
    case.files =
        Some([(("v".to_owned(), "env/app".to_owned()), Some("KEY='of the file'\n".to_owned()))].into());
    assert_eq!(case.env("A").as_deref(), Some("of the file"));
    assert_eq!(case.env("B"), None);
    case.files = Some([(("v".to_owned(), "env/app".to_owned()), None)].into());
    assert_eq!(
        case.error(),
        "CreateContainerConfigError: variable A: file \"env/app\" of volume v does not exist"
    );
    case.files =
        Some([(("v".to_owned(), "env/app".to_owned()), Some("OTHER='x'\nKEY=y\n".to_owned()))].into());
    assert_eq!(
        case.error(),
        "CreateContainerConfigError: variable A: file \"env/app\" of volume v: line 2: the value must be in single quotes"
    );
    case.files = Some([(("v".to_owned(), "env/app".to_owned()), Some("OTHER='x'\n".to_owned()))].into());
    assert_eq!(
        case.error(),
        "CreateContainerConfigError: variable A: file \"env/app\" of volume v has no key \"KEY\""
    );
}
