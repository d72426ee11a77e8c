//! Invalid input: the messages and the exit codes.

use tests::{IDLE, Kube, pod, pod_with};

#[test]
fn wrong_use_ends_with_2() {
    let kube = Kube::empty();
    kube.run(&["frobnicate"]).expect(2);
    kube.run(&["play"]).expect(2);
    kube.run(&["play", "web.yaml", "--no-such-flag"]).expect(2);
    kube.run(&["logs"]).expect(2);
}

#[test]
fn what_is_not_there_ends_with_4() {
    let kube = Kube::new();
    for args in [
        &["logs", "nobody"][..],
        &["exec", "nobody", "--", "true"],
        &["inspect", "nobody"],
        &["inspect", "secret/nobody"],
        &["wait", "nobody", "--for=ready"],
        &["image", "rm", "localhost/absent:1"],
        &["volume", "rm", "nothing"],
        &["network", "rm", "nothing"],
    ] {
        let output = kube.run(args).expect(4);
        assert!(output.stderr.starts_with("error: ") && output.stderr.contains("not found"), "{output}");
        assert_eq!(output.stdout, "");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let kube = Kube::empty();
    let output = kube.run(&["play", "absent.yaml"]);
    assert_ne!(output.code, 0);
    output.complains("absent.yaml");
}

#[test]
fn a_misspelled_field_is_an_error_with_its_place_and_the_nearest_name() {
    let kube = Kube::new();
    let file = kube.manifest(&pod("web", IDLE, "").replace("image:", "imge:"));
    for command in ["check", "play"] {
        let output = kube.run(&[command, &file]).expect(3);
        assert!(output.stderr.contains(&format!("{file}:10:5")), "{output}");
        assert!(output.stderr.contains("spec.containers[0].imge"), "{output}");
        assert!(output.stderr.contains("image"), "{output}");
    }
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn all_errors_of_a_file_are_told_at_once() {
    let kube = Kube::new();
    let yaml = "apiVersion: v1\nkind: Pod\nmetadata: {name: Web_1}\nspec:\n  restartPolicy: Sometimes\n  \
                containers:\n  - name: a\n    image: x\n    ports: [{containerPort: 99999}]\n  - name: a\n    \
                command: sh\n";
    let output = kube.run(&["check", &kube.manifest(yaml)]).expect(3);
    for path in [
        "metadata.name",
        "spec.restartPolicy",
        "containerPort",
        "spec.containers[1].name",
        "spec.containers[1].command",
    ] {
        assert!(output.stderr.contains(path), "{path} is missing: {output}");
    }
}

#[test]
fn a_field_not_honoured_is_a_warning_and_under_strict_an_error() {
    let kube = Kube::new();
    let yaml = pod("web", IDLE, "  schedulerName: mine\n");
    let file = kube.manifest(&yaml);
    let output = kube.ok(&["play", &file]);
    assert!(output.stderr.contains("warning: ") && output.stderr.contains("spec.schedulerName"), "{output}");
    assert!(output.stderr.contains(&format!("{file}:8:")), "{output}");
    kube.ok(&["down", &file]);
    kube.run(&["play", &file, "--strict"]).expect(3).complains("spec.schedulerName");
    kube.run(&["check", &file, "--strict"]).expect(3);
    kube.ok(&["check", &file]);
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn duplicates_are_errors() {
    let kube = Kube::new();
    let twice = pod("web", IDLE, "") + "---\n" + &pod("web", IDLE, "");
    kube.run(&["check", &kube.manifest(&twice)]).expect(3).complains("web");
    let key = pod("web", IDLE, "").replace("kind: Pod\n", "kind: Pod\nkind: Pod\n");
    kube.run(&["check", &kube.manifest(&key)]).expect(3).complains("kind");
}

#[test]
fn broken_yaml_names_its_line() {
    let kube = Kube::new();
    let file = kube.manifest("apiVersion: v1\nkind: Pod\nmetadata: {name: web\nspec:\n");
    kube.run(&["play", &file]).expect(3).complains(&format!("{file}:"));
    let empty = kube.manifest("");
    let output = kube.run(&["play", &empty]);
    assert_ne!(output.code, 0, "{output}");
}

#[test]
fn a_kind_that_is_not_played_is_an_error_that_names_it() {
    let kube = Kube::new();
    let file = kube.manifest("apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nspec: {}\n");
    kube.run(&["check", &file]).expect(3).complains("Job");
}

#[test]
fn check_touches_nothing() {
    let kube = Kube::empty();
    let file = kube.manifest(&pod("web", IDLE, ""));
    kube.ok(&["check", &file]);
    assert!(!kube.runroot().join("workloads").exists());
    assert!(!kube.root().join("workloads").exists());
}

#[test]
fn a_command_that_is_not_in_the_image_is_told() {
    let kube = Kube::new();
    let yaml = pod("web", IDLE, "").replace("[sh, -c,", "[/bin/absent, -c,");
    let output = kube.try_play(&yaml, &[]).expect(1);
    assert!(output.stderr.contains("/bin/absent"), "{output}");
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn an_image_with_no_command_is_told() {
    let kube = Kube::new();
    let tar = tests::image::busybox_tar();
    kube.ok(&["image", "import", tar.to_str().unwrap(), "localhost/bare:1"]);
    let yaml = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - name: main\n    \
                image: localhost/bare:1\n";
    kube.try_play(yaml, &[]).expect(1).complains("command");
}

#[test]
fn a_missing_config_map_key_is_told_and_an_optional_one_is_not() {
    let kube = Kube::new();
    let env = |optional: &str| {
        format!(
            "    env:\n    - name: A\n      valueFrom: {{configMapKeyRef: {{name: absent, key: k{optional}}}}}\n    \
             - name: B\n      value: b"
        )
    };
    kube.try_play(&pod_with("web", IDLE, &env(""), ""), &[]).expect(1).complains("absent");
    assert_eq!(kube.pods().len(), 0);
    kube.play(&pod_with("web", IDLE, &env(", optional: true"), ""));
    assert_eq!(kube.sh("web", "echo ${A-unset} $B"), "unset b\n");
}

#[test]
fn a_compose_file_is_recognised() {
    let kube = Kube::empty();
    let file = kube.file("compose.yaml", "services:\n  web:\n    image: nginx\n");
    kube.run(&["play", &file]).expect(3).complains("`kompose convert` makes manifests of it");
}
