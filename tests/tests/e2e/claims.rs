//! Claims of pods, PersistentVolumes, copies of claims, and block devices, as containers see them.

use tests::{IDLE, Kube, pod_with};

const MOUNT: &str = "    volumeMounts: [{name: v, mountPath: /v}]\n";

fn claim(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec:\n  accessModes: [ReadWriteOnce]\n  \
         resources: {{requests: {{storage: 8Mi}}}}\n{spec}---\n"
    )
}

fn volume(kube: &Kube, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}}}\nspec:\n  accessModes: [ReadWriteOnce]\n  \
         capacity: {{storage: 1Gi}}\n  hostPath: {{path: {}}}\n{spec}---\n",
        kube.dir().join(name).display()
    )
}

fn uses(claim: &str) -> String {
    format!("  volumes: [{{name: v, persistentVolumeClaim: {{claimName: {claim}}}}}]\n")
}

#[test]
fn a_claim_binds_to_a_persistent_volume_whose_files_outlive_both() {
    let kube = Kube::new();
    let class = "  storageClassName: manual\n";
    let yaml =
        claim("data", class) + &volume(&kube, "disk", class) + &pod_with("web", IDLE, MOUNT, &uses("data"));
    kube.play(&yaml).says("persistentvolume/disk created");
    kube.play(&yaml).says("persistentvolume/disk unchanged");
    kube.sh("web", "echo kept >/v/file");
    assert_eq!(std::fs::read_to_string(kube.dir().join("disk/file")).unwrap(), "kept\n");
    let volume = kube.ok(&["inspect", "pv/disk"]).json();
    assert_eq!(volume["status"]["phase"], "Bound", "{volume:#}");
    assert_eq!(volume["spec"]["claimRef"]["name"], "data");
    let claim = kube.ok(&["inspect", "pvc/data"]).json();
    assert_eq!(claim["spec"]["volumeName"], "disk", "{claim:#}");
    let list = kube.ok(&["volume", "ls", "-o", "wide"]);
    assert!(list.stdout.contains("pv/disk") && list.stdout.contains("Bound"), "{list}");
    kube.run(&["down", "pv/disk"]).expect(1).complains("is bound to claim default/data");

    kube.ok(&["down", "pod/web"]);
    kube.ok(&["down", "pvc/data"]);
    assert_eq!(kube.ok(&["inspect", "pv/disk"]).json()["status"]["phase"], "Released");
    kube.ok(&["down", "pv/disk"]).says("persistentvolume/disk deleted");
    assert!(kube.dir().join("disk/file").exists());
    assert_eq!(kube.ok(&["volume", "ls", "-o", "name"]).stdout, "");
}

#[test]
fn volumes_removes_claims_and_their_persistent_volumes() {
    let kube = Kube::new();
    let yaml = volume(&kube, "disk", "") + &claim("data", "") + &pod_with("web", IDLE, MOUNT, &uses("data"));
    let file = kube.file("app.yaml", yaml);
    kube.ok(&["play", &file]);
    kube.ok(&["down", &file]);
    assert_eq!(kube.ok(&["inspect", "pv/disk"]).json()["status"]["phase"], "Bound", "both are kept");
    kube.ok(&["play", &file]);
    let output = kube.ok(&["down", &file, "--volumes"]);
    output.says("persistentvolumeclaim/data deleted").says("persistentvolume/disk deleted");
    assert_eq!(kube.ok(&["volume", "ls", "-o", "name"]).stdout, "");
}

#[test]
fn a_claim_that_would_stay_pending_is_an_error_with_its_line() {
    let kube = Kube::new();
    for (spec, line, text) in [
        ("  storageClassName: ''\n", 7, "no PersistentVolume without a class fits"),
        ("  volumeName: gone\n", 7, "there is no PersistentVolume \"gone\""),
        ("  selector: {matchLabels: {a: b}}\n", 7, "no PersistentVolume that it selects fits"),
        ("  dataSource: {kind: PersistentVolumeClaim, name: gone}\n", 7, "to copy"),
    ] {
        let yaml = claim("data", spec) + &pod_with("web", IDLE, MOUNT, &uses("data"));
        let output = kube.try_play(&yaml, &[]).expect(3);
        assert!(
            output.stderr.contains(text) && output.stderr.contains(&format!(".yaml:{line}:")),
            "{output}"
        );
    }
    assert_eq!(kube.ok(&["volume", "ls", "-o", "name"]).stdout, "");
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn what_cannot_be_mounted_is_an_error_with_its_line_in_check() {
    let kube = Kube::new();
    for (source, text) in [
        ("csi: {driver: x}", "csi"),
        ("iscsi: {targetPortal: a, iqn: b, lun: 0}", "iscsi"),
        ("rbd: {monitors: [a], image: b}", "rbd"),
        ("glusterfs: {endpoints: a, path: b}", "glusterfs"),
        ("awsElasticBlockStore: {volumeID: a}", "awsElasticBlockStore"),
    ] {
        let spec = format!("  volumes:\n  - name: v\n    {source}\n");
        let file = kube.file("web.yaml", pod_with("web", IDLE, MOUNT, &spec));
        let output = kube.run(&["check", &file]).expect(3);
        assert!(
            output.stderr.contains(&format!("spec.volumes[0].{text}"))
                && output.stderr.contains("cannot be mounted on one machine"),
            "{output}"
        );
    }
    let csi = "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: a}\nspec:\n  accessModes: [ReadWriteOnce]\n  \
               capacity: {storage: 1Gi}\n  csi: {driver: x, volumeHandle: y}\n";
    let file = kube.file("pv.yaml", csi);
    let output = kube.run(&["check", &file]).expect(3);
    assert!(output.stderr.contains("pv.yaml:7:") && output.stderr.contains("spec.csi"), "{output}");
    let class = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: a}\nprovisioner: b\n";
    let output = kube.ok(&["check", &kube.file("class.yaml", class)]);
    assert_eq!(output.stderr, "", "a StorageClass needs nothing");
}

#[test]
fn an_ephemeral_claim_is_removed_with_its_pod() {
    let kube = Kube::new();
    let spec = "  volumes:\n  - name: v\n    ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], \
                resources: {requests: {storage: 8Mi}}}}}\n";
    kube.play(&pod_with("web", IDLE, MOUNT, spec));
    kube.sh("web", "echo mine >/v/file");
    let claim = kube.ok(&["inspect", "pvc/web-v"]).json();
    let owner = &claim["metadata"]["ownerReferences"][0];
    assert_eq!((owner["kind"].as_str(), owner["name"].as_str()), (Some("Pod"), Some("web")), "{claim:#}");
    kube.run(&["volume", "rm", "web-v"]).expect(1).complains("in use");
    // A replaced pod gets a claim of its own.
    kube.play_with(&pod_with("web", IDLE, MOUNT, spec), &["--replace"]);
    assert_eq!(kube.sh("web", "ls /v"), "");
    kube.ok(&["down", "--all", "--volumes"]);
    assert_eq!(kube.ok(&["volume", "ls", "-o", "name"]).stdout, "");

    kube.play(&self::claim("web-v", ""));
    let output = kube.try_play(&pod_with("web", IDLE, MOUNT, spec), &[]).expect(3);
    assert!(output.stderr.contains("pod is not owner"), "{output}");
    let both = self::claim("web-v", "") + &pod_with("web", IDLE, MOUNT, spec);
    kube.try_play(&both, &[]).expect(3).complains("another claim of that name");
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn a_claim_with_a_data_source_begins_with_a_copy() {
    let kube = Kube::new();
    kube.play(&(claim("old", "") + &pod_with("a", IDLE, MOUNT, &uses("old"))));
    kube.sh("a", "mkdir /v/sub; echo data >/v/sub/file; ln -s file /v/sub/link; chown 7:8 /v/sub/file");
    let copy = claim("new", "  dataSource: {kind: PersistentVolumeClaim, name: old}\n");
    kube.play(&(copy + &pod_with("b", IDLE, MOUNT, &uses("new"))));
    kube.sh("a", "echo changed >/v/sub/file");
    assert_eq!(kube.sh("b", "cat /v/sub/link; stat -c '%u %g' /v/sub/file"), "data\n7 8\n");
    let smaller =
        claim("less", "  dataSource: {kind: PersistentVolumeClaim, name: old}\n").replace("8Mi", "1Mi");
    kube.try_play(&smaller, &[]).expect(3).complains("must not be less");
}

/// Returns the loop devices over files of an instance.
fn loops(kube: &Kube) -> Vec<String> {
    let entries = std::fs::read_dir("/sys/block").unwrap().flatten();
    let backing = entries.filter_map(|e| std::fs::read_to_string(e.path().join("loop/backing_file")).ok());
    backing.filter(|path| path.starts_with(kube.dir().to_str().unwrap())).collect()
}

#[test]
fn a_block_claim_is_a_device_that_goes_with_its_pod() {
    if let Err(error) = std::fs::File::options().read(true).write(true).open("/dev/loop-control") {
        return tests::skip(&format!("no loop devices: {error}"));
    }
    let kube = Kube::new();
    let device = "    volumeDevices: [{name: v, devicePath: /dev/xvda}]\n";
    let yaml = claim("raw", "  volumeMode: Block\n") + &pod_with("web", IDLE, device, &uses("raw"));
    kube.play(&yaml);
    assert_eq!(loops(&kube).len(), 1);
    kube.sh("web", "test -b /dev/xvda && echo hello | dd of=/dev/xvda conv=fsync 2>/dev/null");
    assert_eq!(kube.sh("web", "dd if=/dev/xvda bs=6 count=1 2>/dev/null"), "hello\n");
    assert_eq!(kube.sh("web", "dd if=/dev/xvda bs=1M 2>/dev/null | wc -c"), "8388608\n");
    kube.ok(&["down", "pod/web", "--wait"]);
    assert_eq!(loops(&kube), [""; 0]);
    let elsewhere = pod_with("web", IDLE, &device.replace("/dev/xvda", "/data/block"), &uses("raw"));
    kube.play(&elsewhere);
    assert_eq!(kube.sh("web", "dd if=/data/block bs=6 count=1 2>/dev/null"), "hello\n");
    kube.ok(&["down", "pod/web", "--wait"]);

    // Its data is kept, and a killed supervisor does not keep the device.
    kube.play(&yaml);
    assert_eq!(kube.sh("web", "dd if=/dev/xvda bs=6 count=1 2>/dev/null"), "hello\n");
    for supervisor in kube.supervisors() {
        supervisor.kill(nix::sys::signal::Signal::SIGKILL);
    }
    kube.ok(&["down", "--all", "--volumes"]);
    assert_eq!(loops(&kube), [""; 0]);

    let both = claim("raw", "  volumeMode: Block\n") + &pod_with("web", IDLE, MOUNT, &uses("raw"));
    let output = kube.try_play(&both, &[]).expect(3);
    assert!(output.stderr.contains("has volumeMode Block, but is specified in volumeMounts"), "{output}");
}

#[test]
fn a_variable_comes_from_a_file_that_an_init_container_wrote() {
    let kube = Kube::new();
    let env = "    env:\n    - name: A\n      valueFrom: {fileKeyRef: {volumeName: v, path: app.env, key: KEY}}\n    \
               - name: B\n      valueFrom: {fileKeyRef: {volumeName: v, path: app.env, key: NONE, optional: true}}\n";
    let init = |text: &str| {
        let script = serde_json::to_string(&format!("printf '%b' \"{text}\" >/v/app.env")).unwrap();
        format!(
            "  initContainers:\n  - name: setup\n    image: localhost/busybox:1\n    command: [sh, -c, {script}]\n    \
             volumeMounts: [{{name: v, mountPath: /v}}]\n  volumes: [{{name: v, emptyDir: {{}}}}]\n"
        )
    };
    kube.play(&pod_with("web", IDLE, env, &init("# made\\nKEY='of a file'\\n")));
    assert_eq!(kube.sh("web", "echo \"$A\" ${B-unset}"), "of a file unset\n");
    let output = kube.try_play(&pod_with("bad", IDLE, env, &init("KEY=plain\\n")), &[]).expect(1);
    assert!(output.stderr.contains("the value must be in single quotes"), "{output}");
}

#[test]
fn bind_mount_options_apply_to_the_mount_alone() {
    let kube = Kube::new();
    let mounts = "    volumeMounts:\n    - {name: v, mountPath: /plain}\n    \
                  - {name: v, mountPath: /v, bindMountOptions: [noexec, nosuid]}\n";
    kube.play(&pod_with("web", IDLE, mounts, "  volumes: [{name: v, emptyDir: {}}]\n"));
    let script = "cp /bin/busybox /v/echo; /plain/echo works; /v/echo not 2>/dev/null || echo refused";
    assert_eq!(kube.sh("web", script), "works\nrefused\n");
    assert!(kube.sh("web", "grep ' /v ' /proc/mounts").contains("nosuid"));
}

#[test]
fn an_nfs_share_that_cannot_be_mounted_is_refused_before_anything_is_created() {
    let kube = Kube::new();
    let spec = "  volumes: [{name: v, nfs: {server: 127.0.0.1, path: /not-exported}}]\n";
    let output = kube.try_play(&pod_with("web", IDLE, MOUNT, spec), &[]);
    // The kernel may load the module when it is asked for.
    let known = std::fs::read_to_string("/proc/filesystems").unwrap();
    assert_ne!(output.code, 0, "nobody exports this: {output}");
    assert_eq!(kube.pods().len(), 0);
    if known.lines().any(|line| line.ends_with("\tnfs")) {
        assert!(output.stderr.contains("cannot mount 127.0.0.1:/not-exported"), "{output}");
    } else {
        assert!(
            output.stderr.contains("cannot mount nfs") && output.stderr.contains("spec.volumes[0].nfs"),
            "{output}"
        );
    }
}

#[test]
fn an_nfs_share_is_mounted_by_the_kernel_and_outlives_the_pod() {
    // A file system that can be exported, as a tmpfs cannot.
    let export = tempfile::tempdir_in("/var/tmp").unwrap();
    let Some(_server) = tests::NfsServer::start(export.path()) else {
        return tests::skip("no nfs server here (nfs-kernel-server)");
    };
    std::fs::write(export.path().join("served"), "by the server\n").unwrap();
    let kube = Kube::new();
    // With fsid=0 the exported folder is the root of what the server shows (exports(5)).
    let disk = "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: disk}\nspec:\n  accessModes: [ReadWriteMany]\n  \
                capacity: {storage: 1Gi}\n  storageClassName: remote\n  nfs: {server: 127.0.0.1, path: /}\n---\n";
    let direct = "  volumes:\n  - {name: v, nfs: {server: 127.0.0.1, path: /}}\n  \
                  - {name: r, nfs: {server: 127.0.0.1, path: /, readOnly: true}}\n";
    let mounts = "    volumeMounts: [{name: v, mountPath: /v}, {name: r, mountPath: /r}]\n";
    let claim = claim("data", "  storageClassName: remote\n").replace("ReadWriteOnce", "ReadWriteMany");
    kube.play(&pod_with("web", IDLE, mounts, direct));
    assert_eq!(kube.sh("web", "cat /v/served"), "by the server\n");
    kube.sh("web", "echo written >/v/file");
    assert_eq!(std::fs::read_to_string(export.path().join("file")).unwrap(), "written\n");
    assert_eq!(
        kube.sh("web", "cat /r/file; touch /r/file 2>/dev/null || echo read-only"),
        "written\nread-only\n"
    );

    kube.play(&(disk.to_owned() + &claim + &pod_with("other", IDLE, MOUNT, &uses("data"))));
    assert_eq!(kube.sh("other", "cat /v/file"), "written\n");
    kube.ok(&["down", "--all", "--force", "--volumes", "--wait"]);
    assert_eq!(std::fs::read_to_string(export.path().join("file")).unwrap(), "written\n");
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(" nfs4 "), "{mounts}");
}

#[test]
fn a_claim_is_generated_with_its_persistent_volume_and_played_again() {
    let kube = Kube::new();
    let yaml = volume(&kube, "disk", "") + &claim("data", "") + &pod_with("web", IDLE, MOUNT, &uses("data"));
    kube.play(&yaml);
    let generated = kube.ok(&["generate", "web"]).stdout;
    let kinds: Vec<&str> = generated.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
    assert_eq!(kinds, ["PersistentVolume", "PersistentVolumeClaim", "Pod"], "{generated}");
    let alone = kube.ok(&["generate", "pvc/data", "pv/disk"]).stdout;
    assert!(generated.starts_with(&alone), "{alone}\n{generated}");
    let missing = kube.run(&["generate", "pvc/dat"]).expect(4);
    assert!(missing.stderr.contains("did you mean persistentvolumeclaim/data?"), "{missing}");

    kube.ok(&["down", "--all", "--volumes", "--wait"]);
    kube.play(&generated);
    assert_eq!(kube.ok(&["inspect", "pvc/data"]).json()["spec"]["volumeName"], "disk");
}
