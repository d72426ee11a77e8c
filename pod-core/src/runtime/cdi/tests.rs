use serde_json::json;

use super::*;

const FILE: &str = "\
cdiVersion: 0.6.0
kind: vendor.com/device
containerEdits:
  env: [VENDOR=1]
devices:
- name: zero
  containerEdits:
    deviceNodes:
    - {path: /dev/vendor0, hostPath: /dev/zero, permissions: rw}
    mounts:
    - {hostPath: /etc, containerPath: /vendor, options: [ro, nosuid]}
- name: nil
  containerEdits:
    env: [WHICH=nil]
    deviceNodes: [{path: /dev/vendor1, type: c, major: 1, minor: 3, fileMode: 0600, uid: 7}]
    hooks: [{hookName: createContainer, path: /bin/hook, args: [hook, now]}]
    additionalGids: [44]
- name: all
";

fn descriptions(files: &[(&str, &str)]) -> Vec<Description> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = dir.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    load_from(&[&dir.path().join("etc"), &dir.path().join("run")])
}

fn count(kind: &str, count: usize) -> Vec<DeviceRequest> {
    vec![DeviceRequest::Count { kind: kind.to_owned(), count }]
}

fn named(kind: &str, name: &str) -> Vec<DeviceRequest> {
    vec![DeviceRequest::Named { kind: kind.to_owned(), name: name.to_owned() }]
}

fn applied(edits: &Edits) -> serde_json::Value {
    let spec = serde_json::from_value(json!({
        "ociVersion": "1.0.2",
        "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["a"], "env": ["VENDOR=0", "A=b"]},
        "linux": {"resources": {"devices": [{"allow": false, "access": "rwm"}]}},
    }))
    .unwrap();
    serde_json::to_value(apply(spec, edits).unwrap()).unwrap()
}

#[test]
fn a_device_adds_variables_nodes_rules_mounts_hooks_and_groups() {
    let all = descriptions(&[("etc/vendor.yaml", FILE)]);
    let both = applied(&resolve(&all, &count("vendor.com/device", 2)).unwrap());
    assert_eq!(both["process"]["env"], json!(["A=b", "VENDOR=1", "WHICH=nil"]));
    assert_eq!(both["process"]["user"]["additionalGids"], json!([44]));
    let devices = both["linux"]["devices"].as_array().unwrap();
    assert_eq!(devices[0]["path"], "/dev/vendor1");
    assert_eq!((&devices[0]["fileMode"], &devices[0]["uid"]), (&json!(0o600), &json!(7)));
    assert_eq!(
        (&devices[1]["path"], &devices[1]["major"], &devices[1]["minor"]),
        (&json!("/dev/vendor0"), &json!(1), &json!(5)),
        "the numbers are those of the node on this machine"
    );
    let rules = both["linux"]["resources"]["devices"].as_array().unwrap();
    assert_eq!((rules.len(), &rules[2]["access"]), (3, &json!("rw")));
    assert_eq!(both["mounts"][0]["options"], json!(["rbind", "rprivate", "ro", "nosuid"]));
    assert_eq!(both["hooks"]["createContainer"][0]["args"], json!(["hook", "now"]));
}

#[test]
fn a_device_may_be_asked_for_by_name() {
    let all = descriptions(&[("etc/vendor.yaml", FILE)]);
    let one = applied(&resolve(&all, &named("vendor.com/device", "zero")).unwrap());
    assert_eq!(one["linux"]["devices"].as_array().unwrap().len(), 1);
}

#[test]
fn devices_that_do_not_exist_are_named() {
    let all = descriptions(&[("etc/vendor.yaml", FILE), ("etc/odd.yaml", "a: ["), ("etc/note.txt", "")]);
    let refused = |requests: &[DeviceRequest]| resolve(&all, requests).unwrap_err().to_string();
    insta::assert_snapshot!(
        [
            refused(&count("vendor.com/gpu", 1)),
            refused(&count("vendor.com/device", 3)),
            refused(&named("vendor.com/device", "one")),
        ]
        .join("\n"),
        @r"
    this machine has no device vendor.com/gpu: no file in /etc/cdi or /var/run/cdi describes one
    this machine has 2 of vendor.com/device, and the container asks for 3
    this machine has no device vendor.com/device=one; its devices of that kind: all, nil, zero
    "
    );
}

#[test]
fn a_file_in_run_beats_one_in_etc() {
    let other = r#"{"cdiVersion": "0.5.0", "kind": "vendor.com/device", "devices": [{"name": "zero", "containerEdits": {"env": ["FROM=run"]}}]}"#;
    let all = descriptions(&[("etc/vendor.yaml", FILE), ("run/vendor.json", other)]);
    let one = applied(&resolve(&all, &named("vendor.com/device", "zero")).unwrap());
    assert_eq!(one["process"]["env"], json!(["VENDOR=0", "A=b", "FROM=run"]));
}
