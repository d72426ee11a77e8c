//! Devices of this machine in containers: hostPath volumes, and devices of CDI.

use std::path::{Path, PathBuf};

use tests::{IDLE, Kube, pod_with};

/// Returns a device that no container may use by default.
fn device() -> Option<&'static str> {
    ["/dev/loop-control", "/dev/fuse", "/dev/kmsg"].into_iter().find(|path| Path::new(path).exists())
}

#[test]
fn a_host_path_of_type_char_device_may_be_used_without_privileges() {
    let Some(device) = device() else { return tests::skip("this host has no device for the test") };
    let kube = Kube::new();
    let play = |name: &str, kind: &str| {
        let mount = "    volumeMounts: [{name: d, mountPath: /opened}]";
        let volume = format!("  volumes: [{{name: d, hostPath: {{path: {device}, type: {kind}}}}}]\n");
        kube.play(&pod_with(name, IDLE, mount, &volume));
        kube.run(&["exec", name, "--", "sh", "-c", "exec 3>/opened"]).code
    };
    assert_ne!(play("plain", "''"), 0, "{device} can be opened by every container");
    assert_eq!(play("typed", "CharDevice"), 0);
    let yaml = pod_with(
        "wrong",
        IDLE,
        "    volumeMounts: [{name: d, mountPath: /opened}]",
        &format!("  volumes: [{{name: d, hostPath: {{path: {device}, type: BlockDevice}}}}]\n"),
    );
    kube.try_play(&yaml, &[]).expect(1).complains("is a character device");
}

/// A CDI file of this host, which is removed when this value is dropped.
struct CdiFile(PathBuf);

impl CdiFile {
    fn new(kind: &str, text: &str) -> Self {
        let dir = Path::new("/var/run/cdi");
        std::fs::create_dir_all(dir).unwrap();
        let file = dir.join(format!("{}.yaml", kind.replace('/', "-")));
        std::fs::write(&file, text).unwrap();
        Self(file)
    }
}

impl Drop for CdiFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn an_extended_resource_is_a_device_of_cdi() {
    let kube = Kube::new();
    let kind = format!("kube-test-{}.example.com/null", std::process::id());
    let limit = format!("    resources: {{limits: {{{kind}: 1}}}}");
    kube.try_play(&pod_with("none", IDLE, &limit, ""), &[]).expect(1).complains("this machine has no device");
    assert!(kube.pods().is_empty());
    let tool = kube.file("tool", "from the vendor");
    let _file = CdiFile::new(
        &kind,
        &format!(
            "cdiVersion: 0.6.0\nkind: {kind}\ndevices:\n- name: '0'\n  containerEdits:\n    env: [VENDOR=yes]\n    \
             deviceNodes: [{{path: /dev/vendor0, hostPath: /dev/null, permissions: rw}}]\n    mounts: [{{hostPath: {tool}, \
             containerPath: /opt/tool, options: [ro]}}]\n"
        ),
    );
    kube.play(&pod_with("web", IDLE, &limit, ""));
    let seen = kube
        .sh("web", "echo $VENDOR; cat /opt/tool; echo; echo x >/dev/vendor0 && stat -c %t:%T /dev/vendor0");
    assert_eq!(seen, "yes\nfrom the vendor\n1:3\n");
    let two = limit.replace(": 1}", ": 2}");
    kube.try_play(&pod_with("two", IDLE, &two, ""), &[]).expect(1).complains("asks for 2");
    let named = pod_with("named", IDLE, "", "").replacen(
        "metadata:\n",
        &format!("metadata:\n  annotations: {{cdi.k8s.io/mine: {kind}=0}}\n"),
        1,
    );
    kube.play(&named);
    assert_eq!(kube.sh("named", "echo $VENDOR"), "yes\n");
}
