//! `kube cp`.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use tests::{IDLE, Kube, pod, pod_with};

#[test]
fn files_and_folders_go_in_and_out_with_their_modes() {
    let kube = Kube::new();
    // The container has no tar that could help, runs as a user, and has a volume.
    let container = "    securityContext: {runAsUser: 1000, runAsGroup: 1001}\n    \
                     volumeMounts: [{name: data, mountPath: /data}]";
    kube.play(&pod_with("web", IDLE, container, "  volumes: [{name: data, emptyDir: {}}]\n"));
    let script = kube.file("tree/sub/run.sh", "echo it runs\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o750)).unwrap();
    let tree = kube.dir().join("tree").display().to_string();
    kube.ok(&["cp", &tree, "web:/data"]);
    assert_eq!(kube.sh("web", "/data/tree/sub/run.sh"), "it runs\n");
    assert_eq!(kube.sh("web", "stat -c '%a %u %g' /data/tree/sub/run.sh"), "750 1000 1001\n");
    kube.ok(&["cp", &script, "pod/web:/data/other.sh"]);
    assert_eq!(kube.sh("web", "cat /data/other.sh"), "echo it runs\n");

    kube.sh("web", "printf made >/data/tree/made; ln -s /etc/passwd /data/tree/link");
    let out = kube.dir().join("out");
    kube.ok(&["cp", "web:/data/tree", out.to_str().unwrap()]).complains("out/link is left out");
    assert_eq!(std::fs::read_to_string(out.join("made")).unwrap(), "made");
    let meta = std::fs::metadata(out.join("sub/run.sh")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o750, 0));
    assert!(!out.join("link").exists());
    kube.ok(&["cp", "web:/data/tree/made", "."]);
    assert_eq!(std::fs::read_to_string(kube.dir().join("made")).unwrap(), "made");
}

#[test]
fn files_of_a_pod_with_a_user_namespace_belong_to_its_users() {
    let kube = Kube::new();
    let mount = "    volumeMounts: [{name: data, mountPath: /data}]";
    let yaml = pod_with("web", IDLE, mount, "  hostUsers: false\n  volumes: [{name: data, emptyDir: {}}]\n");
    if kube.try_play(&yaml, &[]).code != 0 {
        return tests::skip("this kernel or file system has no id-mapped mounts");
    }
    kube.file("tree/a", "text");
    for target in ["web:/data", "web:/tmp"] {
        kube.ok(&["cp", "tree", target]);
    }
    assert_eq!(kube.sh("web", "stat -c %u:%g /data/tree /data/tree/a /tmp/tree/a"), "0:0\n0:0\n0:0\n");
    kube.ok(&["cp", "web:/data/tree/a", "back"]);
    assert_eq!(std::fs::read_to_string(kube.dir().join("back")).unwrap(), "text");
    // So does a debug container.
    let id = kube.run(&[
        "debug",
        "-q",
        "web",
        "--image",
        "localhost/busybox:1",
        "--",
        "cat",
        "/proc/self/uid_map",
    ]);
    assert_eq!(id.expect(0).stdout, kube.sh("web", "cat /proc/self/uid_map"));
}

#[test]
fn a_link_is_followed_inside_of_the_container_only() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let secret = kube.file("secret", "of the host");
    kube.sh(
        "web",
        &format!(
            "ln -s {secret} /tmp/out; ln -s /etc/hostname /tmp/in; mkdir /tmp/dir; ln -s / /tmp/dir/root"
        ),
    );
    kube.run(&["cp", "web:/tmp/out", "copy"]).expect(1).complains("open /tmp/out");
    kube.ok(&["cp", "web:/tmp/in", "copy"]);
    assert_eq!(std::fs::read_to_string(kube.dir().join("copy")).unwrap().trim(), "web");
    // A folder of the container that is a link to its root is its root.
    kube.ok(&["cp", &secret, "web:/tmp/dir/root/"]);
    assert_eq!(kube.sh("web", "cat /secret"), "of the host");
    kube.run(&["cp", "web:/dev/zero", "copy"]).expect(1).complains("neither a file nor a folder");
    // A device node of a container would be a device of the host.
    kube.run(&["cp", &secret, "web:/dev/null"]).expect(1).complains("neither a file nor a folder");
}

#[test]
fn archives_go_through_stdin_and_stdout() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    kube.sh("web", "mkdir -p /tmp/a/b; printf text >/tmp/a/b/c");
    let archive = kube.dir().join("archive.tar").display().to_string();
    let (mut from, mut to) =
        (kube.command(&["cp", "web:/tmp/a", "-"]), kube.command(&["cp", "-", "web:/mnt"]));
    from.stdout(std::fs::File::create(&archive).unwrap());
    assert!(from.status().unwrap().success());
    kube.sh("web", "mkdir -p /mnt");
    to.stdin(std::fs::File::open(&archive).unwrap());
    assert!(to.status().unwrap().success());
    assert_eq!(kube.sh("web", "cat /mnt/a/b/c"), "text");
}

#[test]
fn wrong_use_and_missing_things_are_errors() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, "  restartPolicy: Never\n"));
    kube.run(&["cp", "a", "b"]).expect(2).complains("neither path is of a container");
    kube.run(&["cp", "web:/a", "web:/b"]).expect(2).complains("both paths are of containers");
    kube.run(&["cp", "absent:/a", "b"]).expect(4).complains("pod/absent not found");
    kube.run(&["cp", "web:/absent", "b"]).expect(1).complains("open /absent");
    kube.run(&["cp", "web:/etc/passwd", "b", "-c", "x"]).expect(4).complains("has no container x");
    kube.sh_to_end("web", "kill -TERM 1");
    kube.wait("web", "complete");
    kube.run(&["cp", "web:/etc/passwd", "b"]).expect(1).complains("container main of pod/web is not running");
}

#[test]
fn a_read_only_container_stays_read_only() {
    let kube = Kube::new();
    kube.play(&pod_with("web", IDLE, "    securityContext: {readOnlyRootFilesystem: true}", ""));
    let file = kube.file("a", "text");
    kube.run(&["cp", &file, "web:/a"]).expect(1).complains("Read-only file system");
}
