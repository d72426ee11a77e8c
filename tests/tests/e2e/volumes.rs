//! Volumes of every kind, as containers see them.

use tests::image::{BUSYBOX, busybox_tar};
use tests::{IDLE, Kube, pod_with};

fn one(kube: &Kube, mount: &str, volume: &str) {
    let mounts = format!("    volumeMounts:\n    - {{name: v, mountPath: /v{mount}}}");
    kube.play(&pod_with("web", IDLE, &mounts, &format!("  volumes:\n  - name: v\n    {volume}\n")));
}

#[test]
fn empty_dir_is_shared_and_open_to_all() {
    let kube = Kube::new();
    one(&kube, "", "emptyDir: {}");
    assert_eq!(kube.sh("web", "stat -c %a /v; ls /v; touch /v/x && echo ok"), "777\nok\n");
}

#[test]
fn empty_dir_dies_with_the_pod() {
    let kube = Kube::new();
    one(&kube, "", "emptyDir: {}");
    let uid = kube.pod("web")["metadata"]["uid"].as_str().unwrap().to_owned();
    kube.sh("web", "echo secret >/v/file");
    kube.ok(&["down", "pod/web", "--wait"]);
    assert!(!kube.root().join("pods").join(uid).exists());
}

#[test]
fn empty_dir_in_memory_is_a_tmpfs_of_its_size() {
    let kube = Kube::new();
    one(&kube, "", "emptyDir: {medium: Memory, sizeLimit: 8Mi}");
    let mount = kube.sh("web", "grep ' /v ' /proc/mounts");
    assert!(mount.contains(" tmpfs ") && mount.contains("size=8192k"), "{mount}");
    assert_ne!(
        kube.run(&["exec", "web", "--", "dd", "if=/dev/zero", "of=/v/big", "bs=1M", "count=9"]).code,
        0
    );
}

#[test]
fn empty_dir_of_huge_pages_is_a_hugetlbfs() {
    if !std::fs::read_to_string("/proc/filesystems").unwrap().contains("hugetlbfs")
        || !std::path::Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists()
    {
        return tests::skip("this kernel has no huge pages of 2 MiB");
    }
    let kube = Kube::new();
    let container = "    resources: {limits: {cpu: 1, hugepages-2Mi: 4Mi}}\n    \
                     volumeMounts: [{name: v, mountPath: /v}]\n";
    let volumes = "  volumes: [{name: v, emptyDir: {medium: HugePages, sizeLimit: 4Mi}}]\n";
    kube.play(&pod_with("web", IDLE, container, volumes));
    let mount = kube.sh("web", "grep ' /v ' /proc/mounts; stat -c %a /v");
    assert!(mount.contains(" hugetlbfs ") && mount.contains("pagesize=2M"), "{mount}");
    assert!(mount.contains("size=4194304") && mount.ends_with("777\n"), "{mount}");
}

#[test]
fn empty_dir_in_memory_is_shared_and_outlives_its_containers() {
    let kube = Kube::new();
    let mounts = "    volumeMounts: [{name: v, mountPath: /v}]\n";
    let init = "  initContainers:\n  - name: setup\n    image: localhost/busybox:1\n    \
                command: [sh, -c, 'echo made >/v/init']\n    volumeMounts: [{name: v, mountPath: /v}]\n";
    let script = format!("if test -e /v/again; then {IDLE}; fi; touch /v/again; exit 1");
    let volumes = "  volumes: [{name: v, emptyDir: {medium: Memory}}]\n";
    kube.play_failing(&pod_with("web", &script, mounts, &format!("{init}{volumes}")));
    kube.until("web", |pod| {
        let status = &pod["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["state"]["running"].is_object()
    });
    assert_eq!(kube.sh("web", "ls /v; cat /v/init"), "again\ninit\nmade\n");
}

#[test]
fn a_changed_secret_reaches_a_running_container() {
    let kube = Kube::new();
    let yaml = |value: &str| {
        let secret = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: key}}\nstringData: {{pass: {value}}}\n---\n"
        );
        let mounts = "    volumeMounts: [{name: v, mountPath: /v}]";
        secret + &pod_with("web", IDLE, mounts, "  volumes: [{name: v, secret: {secretName: key}}]\n")
    };
    kube.play(&yaml("one"));
    kube.play(&yaml("two")).says("pod/web unchanged");
    assert_eq!(kube.sh("web", "cat /v/pass"), "two");
}

#[test]
fn a_container_of_any_user_writes_to_volumes_of_fs_group() {
    let kube = Kube::new();
    let objects = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {pass: secret}\n---\n";
    let spec = "  securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000}\n  \
                volumes:\n  - {name: e, emptyDir: {}}\n  - {name: s, secret: {secretName: key, defaultMode: 0400}}\n  \
                - {name: c, persistentVolumeClaim: {claimName: data}}\n";
    let mounts = "    volumeMounts: [{name: e, mountPath: /e, subPath: sub}, {name: s, mountPath: /s}, {name: c, mountPath: /c}]\n";
    kube.play(&(objects.to_owned() + &pod_with("web", IDLE, mounts, spec)));
    assert_eq!(kube.sh("web", "id -G"), "1000 2000\n");
    assert_eq!(
        kube.sh("web", "touch /e/x /c/x; stat -c '%u %g' /e/x /c/x; cat /s/pass"),
        "1000 2000\n1000 2000\nsecret"
    );
}

#[test]
fn a_projected_volume_is_one_folder_that_changes_while_the_pod_runs() {
    let kube = Kube::new();
    let yaml = |late: &str| {
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {pass: secret}\n---\n";
        let spec = "  volumes:\n  - name: v\n    projected:\n      sources:\n      \
                    - {secret: {name: key}}\n      - {configMap: {name: late, optional: true}}\n      \
                    - {downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}\n";
        let mounts = "    volumeMounts: [{name: v, mountPath: /v}]\n";
        secret.to_owned() + late + &pod_with("web", IDLE, mounts, spec)
    };
    kube.play(&yaml(""));
    assert_eq!(kube.sh("web", "ls /v; cat /v/pass /v/name"), "name\npass\nsecretweb");
    let late = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late}\ndata: {more: later}\n---\n";
    kube.play(&yaml(late)).says("pod/web unchanged");
    assert_eq!(kube.sh("web", "cat /v/more"), "later");
}

#[test]
fn what_needs_an_api_server_is_an_error_with_its_line() {
    let kube = Kube::new();
    let spec = "  volumes:\n  - name: v\n    projected:\n      sources:\n      - serviceAccountToken: {path: token}\n";
    let file =
        kube.file("web.yaml", pod_with("web", IDLE, "    volumeMounts: [{name: v, mountPath: /v}]\n", spec));
    let output = kube.run(&["check", &file]).expect(3);
    assert!(
        output.stderr.contains("serviceAccountToken") && output.stderr.contains("no API server"),
        "{output}"
    );
}

#[test]
fn an_immutable_object_is_not_changed() {
    let kube = Kube::new();
    let map = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: conf}}\nimmutable: true\ndata: {{a: {value}}}\n"
        )
    };
    kube.play(&map("one"));
    kube.play(&map("one")).says("configmap/conf unchanged");
    let output = kube.try_play(&map("two"), &[]).expect(3);
    assert!(
        output.stderr.contains("configmap/conf is immutable")
            && output.stderr.contains("kube down configmap/conf"),
        "{output}"
    );
    kube.ok(&["down", "configmap/conf"]);
    kube.play(&map("two")).says("configmap/conf created");
}

#[test]
fn everything_that_a_pod_lacks_is_told_at_once() {
    let kube = Kube::new();
    let container = "    envFrom: [{secretRef: {name: absent}}]\n    \
                     env: [{name: A, valueFrom: {configMapKeyRef: {name: gone, key: a}}}]\n    \
                     volumeMounts: [{name: v, mountPath: /v}]\n";
    let spec = "  volumes: [{name: v, configMap: {name: missing}}]\n";
    let output = kube.try_play(&pod_with("web", IDLE, container, spec), &[]).expect(1);
    for name in ["missing", "absent", "gone"] {
        assert!(output.stderr.contains(name), "{output}");
    }
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn sub_path_expr_gives_each_pod_its_own_folder() {
    let kube = Kube::new();
    let container = "    env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n    \
                     volumeMounts: [{name: v, mountPath: /v, subPathExpr: logs/$(POD)}]\n";
    let spec = "  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n";
    for name in ["a", "b"] {
        kube.play(&pod_with(name, IDLE, container, spec));
        kube.sh(name, "touch /v/$POD");
    }
    assert_eq!((kube.sh("a", "ls /v"), kube.sh("b", "ls /v")), ("a\n".to_owned(), "b\n".to_owned()));
}

#[test]
fn an_image_volume_shows_the_files_of_an_image_read_only() {
    let kube = Kube::new();
    let mounts = |sub: &str| {
        format!(
            "    volumeMounts: [{{name: v, mountPath: /v}}, {{name: v, mountPath: /w, subPath: {sub}}}]\n"
        )
    };
    let spec = format!("  volumes: [{{name: v, image: {{reference: {BUSYBOX}}}}}]\n");
    kube.play(&pod_with("web", IDLE, &mounts("www"), &spec));
    let script =
        "ls /w; cmp /v/bin/busybox /bin/busybox && echo same; touch /v/x 2>/dev/null || echo read-only";
    assert_eq!(kube.sh("web", script), "index.html\nsame\nread-only\n");
    kube.ok(&["down", "pod/web"]);

    let output = kube.try_play(&pod_with("web", IDLE, &mounts("absent"), &spec), &[]).expect(1);
    assert!(output.stderr.contains("subPath \"absent\""), "{output}");
    let missing = spec.replace(BUSYBOX, "localhost/absent:1");
    let output = kube.try_play(&pod_with("web", IDLE, &mounts("www"), &missing), &[]);
    assert!(output.code != 0 && output.stderr.contains("localhost/absent:1"), "{output}");
    assert_eq!(kube.pods().len(), 0);
}

#[test]
fn host_path_of_every_type() {
    let kube = Kube::new();
    kube.file("host/file", "contents");
    let dir = kube.dir().join("host");
    let dir = dir.to_str().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(format!("{dir}/sock")).unwrap();
    let volumes = [
        ("plain", dir.to_owned(), ""),
        ("dir", dir.to_owned(), "Directory"),
        ("newdir", format!("{dir}/made"), "DirectoryOrCreate"),
        ("file", format!("{dir}/file"), "File"),
        ("newfile", format!("{dir}/newfile"), "FileOrCreate"),
        ("sock", format!("{dir}/sock"), "Socket"),
        ("device", "/dev/null".to_owned(), "CharDevice"),
    ];
    let mounts: String =
        volumes.iter().map(|(n, _, _)| format!("    - {{name: {n}, mountPath: /v/{n}}}\n")).collect();
    let list: String = volumes
        .iter()
        .map(|(n, path, kind)| format!("  - {{name: {n}, hostPath: {{path: {path}, type: '{kind}'}}}}\n"))
        .collect();
    kube.play(&pod_with(
        "web",
        IDLE,
        &format!("    volumeMounts:\n{mounts}"),
        &format!("  volumes:\n{list}"),
    ));
    assert_eq!(
        kube.sh("web", "cat /v/file; echo; test -d /v/newdir && test -f /v/newfile && test -S /v/sock && test -c /v/device && echo all; stat -c %a /v/newdir /v/newfile"),
        "contents\nall\n755\n644\n"
    );
    assert!(std::path::Path::new(&format!("{dir}/made")).is_dir());
}

#[test]
fn host_path_of_the_wrong_type_is_an_error_that_names_both() {
    let kube = Kube::new();
    let file = kube.file("a-file", "");
    let mounts = "    volumeMounts: [{name: v, mountPath: /v}]";
    for (path, kind) in
        [(file.as_str(), "Directory"), ("/nowhere/at/all", "File"), (&file, "Socket"), (&file, "BlockDevice")]
    {
        let spec = format!("  volumes: [{{name: v, hostPath: {{path: {path}, type: {kind}}}}}]\n");
        let output = kube.try_play(&pod_with("web", IDLE, mounts, &spec), &[]).expect(1);
        assert!(
            output.stderr.contains(path) && output.stderr.to_lowercase().contains(&kind[..4].to_lowercase()),
            "{output}"
        );
        assert_eq!(kube.pods().len(), 0);
    }
}

#[test]
fn a_relative_host_path_is_relative_to_its_file() {
    let kube = Kube::new();
    kube.file("app/site/index.html", "relative");
    let mounts = "    volumeMounts: [{name: v, mountPath: /v}]";
    let yaml = pod_with("web", IDLE, mounts, "  volumes: [{name: v, hostPath: {path: ./site}}]\n");
    let file = kube.file("app/web.yaml", yaml);
    kube.ok(&["play", &file]);
    assert_eq!(kube.sh("web", "cat /v/index.html"), "relative");
}

#[test]
fn config_map_volumes_have_items_modes_and_an_atomic_link() {
    let kube = Kube::new();
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {a.txt: alpha, b.txt: beta}\nbinaryData: {c.bin: AAEC}\n---\n";
    let mounts = "    volumeMounts: [{name: all, mountPath: /all}, {name: some, mountPath: /some}]";
    let spec = "  volumes:\n  - {name: all, configMap: {name: conf}}\n  \
                - {name: some, configMap: {name: conf, defaultMode: 0400, items: [{key: a.txt, path: deep/er.txt}, {key: b.txt, path: b, mode: 0755}]}}\n";
    kube.play(&(map.to_owned() + &pod_with("web", IDLE, mounts, spec)));
    assert_eq!(
        kube.sh(
            "web",
            "ls /all; cat /all/a.txt; stat -L -c ' %a' /all/a.txt; hexdump -e '3/1 \"%x\"' /all/c.bin"
        ),
        "a.txt\nb.txt\nc.bin\nalpha 644\n012"
    );
    assert_eq!(
        kube.sh("web", "cat /some/deep/er.txt; stat -L -c ' %a' /some/deep/er.txt /some/b"),
        "alpha 400\n 755\n"
    );
    assert!(kube.sh("web", "readlink /all/..data").starts_with(".."));
    assert_eq!(kube.sh("web", "readlink /all/a.txt"), "..data/a.txt\n");
}

#[test]
fn secrets_lie_on_tmpfs() {
    let kube = Kube::new();
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\ndata: {pass: czNjcmV0}\n---\n";
    let mounts = "    volumeMounts: [{name: v, mountPath: /v, readOnly: true}]";
    kube.play(
        &(secret.to_owned()
            + &pod_with("web", IDLE, mounts, "  volumes: [{name: v, secret: {secretName: key}}]\n")),
    );
    assert_eq!(kube.sh("web", "cat /v/pass"), "s3cret");
    let mount = kube.sh("web", "grep ' /v ' /proc/mounts");
    assert!(mount.contains(" tmpfs ") && mount.contains(" ro,"), "{mount}");
}

#[test]
fn a_missing_item_key_is_an_error_unless_optional() {
    let kube = Kube::new();
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {a: alpha}\n---\n";
    let mounts = "    volumeMounts: [{name: v, mountPath: /v}]";
    let spec = |optional: &str| {
        format!(
            "  volumes: [{{name: v, configMap: {{name: conf, items: [{{key: absent, path: x}}]{optional}}}}}]\n"
        )
    };
    let output = kube.try_play(&(map.to_owned() + &pod_with("web", IDLE, mounts, &spec(""))), &[]);
    assert_ne!(output.code, 0, "{output}");
    assert!(output.stderr.contains("absent"), "{output}");
    kube.play(&(map.to_owned() + &pod_with("web", IDLE, mounts, &spec(", optional: true"))));
    assert_eq!(kube.sh("web", "ls /v"), "");
}

#[test]
fn a_changed_config_map_reaches_a_running_container_whole() {
    let kube = Kube::new();
    let yaml = |value: &str| {
        let map = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: conf}}\ndata: {{a: {value}, b: {value}}}\n---\n"
        );
        let mounts = "    volumeMounts: [{name: v, mountPath: /v}, {name: v, mountPath: /fixed, subPath: a}]";
        map + &pod_with("web", IDLE, mounts, "  volumes: [{name: v, configMap: {name: conf}}]\n")
    };
    kube.play(&yaml("one"));
    kube.play(&yaml("two")).says("pod/web unchanged");
    assert_eq!(kube.sh("web", "cat /v/a /v/b /fixed"), "twotwoone");
}

#[test]
fn read_only_mounts_refuse_writes() {
    let kube = Kube::new();
    one(&kube, ", readOnly: true", "emptyDir: {}");
    let output = kube.run(&["exec", "web", "--", "touch", "/v/x"]);
    assert_ne!(output.code, 0);
    output.complains("Read-only");
}

#[test]
fn sub_path_is_made_and_mounted() {
    let kube = Kube::new();
    one(&kube, ", subPath: deep/er", "emptyDir: {}");
    let uid = kube.pod("web")["metadata"]["uid"].as_str().unwrap().to_owned();
    kube.sh("web", "echo x >/v/file");
    let found = std::process::Command::new("find")
        .arg(kube.root().join("pods").join(uid))
        .args(["-path", "*deep/er/file"])
        .output()
        .unwrap();
    assert!(!found.stdout.is_empty());
}

#[test]
fn sub_path_never_follows_a_link_out_of_its_volume() {
    let kube = Kube::new();
    kube.file("host/inside", "");
    kube.file("outside/secret", "outside");
    let host = kube.dir().join("host");
    std::os::unix::fs::symlink("../outside", host.join("escape")).unwrap();
    std::os::unix::fs::symlink("/etc", host.join("absolute")).unwrap();
    for sub in ["escape", "absolute", "escape/secret"] {
        let mounts = format!("    volumeMounts: [{{name: v, mountPath: /v, subPath: {sub}}}]");
        let spec = format!("  volumes: [{{name: v, hostPath: {{path: {}}}}}]\n", host.display());
        let output = kube.try_play(&pod_with("web", IDLE, &mounts, &spec), &[]);
        if output.code == 0 {
            assert_eq!(kube.sh("web", "cat /v /v/secret /v/passwd 2>/dev/null; true"), "", "{sub} leads out");
            kube.ok(&["down", "pod/web"]);
        } else {
            assert!(output.stderr.contains("subPath"), "{output}");
        }
    }
}

#[test]
fn claims_outlive_pods_and_are_shared() {
    let kube = Kube::new();
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  accessModes: [ReadWriteOnce]\n  \
                 resources: {requests: {storage: 1Gi}}\n---\n";
    let mounts = "    volumeMounts: [{name: v, mountPath: /v}]";
    let spec = "  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n";
    kube.play(
        &[claim, &pod_with("a", IDLE, mounts, spec), "---\n", &pod_with("b", IDLE, mounts, spec)].concat(),
    );
    kube.sh("a", "echo shared >/v/file");
    assert_eq!(kube.sh("b", "cat /v/file"), "shared\n");
    let list = kube.ok(&["volume", "ls"]);
    assert!(list.stdout.contains("data"), "{list}");
    kube.run(&["volume", "rm", "data"]).expect(1).complains("data");
    kube.ok(&["down", "pod/a", "pod/b"]);
    kube.ok(&["volume", "rm", "data"]);
    assert_eq!(kube.ok(&["volume", "ls", "-o", "name"]).stdout, "");
}

#[test]
fn a_claim_that_a_pod_made_is_seen_and_goes_as_one_that_was_played() {
    let kube = Kube::new();
    let mounts = "    volumeMounts: [{name: v, mountPath: /v}]";
    let spec = "  volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]\n";
    kube.play(&pod_with("web", IDLE, mounts, spec));
    let claim = kube.ok(&["inspect", "pvc/data"]).json();
    assert_eq!(claim["status"]["phase"], "Bound", "{claim:#}");
    assert_eq!(claim, kube.ok(&["volume", "ls", "-o", "json"]).json()["items"][0]);
    kube.ok(&["down", "--all", "--volumes"]).says("persistentvolumeclaim/data deleted");
    assert_eq!(kube.ok(&["volume", "ls", "-o", "name"]).stdout, "");
}

/// Creates an instance with the image `localhost/volume:1`, whose folder /www is a volume with files of user `web`.
fn with_image_volume(more: &[&str]) -> Kube {
    let kube = Kube::new();
    let tar = busybox_tar();
    let mut args = vec!["image", "import", tar.to_str().unwrap(), "localhost/volume:1", "--volume", "/www"];
    args.extend(more);
    kube.ok(&args);
    kube
}

fn of_image_volume(container: &str, spec: &str) -> String {
    pod_with("web", IDLE, container, spec).replace(BUSYBOX, "localhost/volume:1")
}

#[test]
fn the_volumes_of_an_image_are_writable_and_start_as_the_image_has_them() {
    let kube = with_image_volume(&["--volume", "/var/empty/new"]);
    kube.play(&pod_with("plain", IDLE, "", ""));
    let seen = "stat -c '%a %u %g %n' /www /www/*; cat /www/index.html | head -1";
    let in_image = kube.sh("plain", seen);
    kube.play(&of_image_volume("    securityContext: {readOnlyRootFilesystem: true}\n", ""));
    assert_eq!(kube.sh("web", seen), in_image);
    let script = "touch /x 2>/dev/null || echo read-only; echo mine >/www/mine; echo new >/var/empty/new/f; cat /www/mine";
    assert_eq!(kube.sh("web", script), "read-only\nmine\n");
    assert_eq!(kube.sh("web", "stat -c '%a %u' /var/empty/new"), "755 0\n");
}

#[test]
fn a_volume_of_an_image_outlives_its_container_and_dies_with_the_pod() {
    let kube = with_image_volume(&[]);
    let script =
        format!("if test -e /www/again; then {IDLE}; fi; touch /www/again; rm /www/index.html; exit 1");
    kube.play_failing(&pod_with("web", &script, "", "").replace(BUSYBOX, "localhost/volume:1"));
    kube.until("web", |pod| {
        let status = &pod["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["state"]["running"].is_object()
    });
    assert_eq!(kube.sh("web", "ls /www"), "again\n");
    let uid = kube.pod("web")["metadata"]["uid"].as_str().unwrap().to_owned();
    kube.ok(&["down", "pod/web", "--wait"]);
    assert!(!kube.root().join("pods").join(uid).exists());
    // A new pod starts with the content of the image.
    kube.play(&of_image_volume("", ""));
    assert_eq!(kube.sh("web", "ls /www"), "index.html\n");
}

#[test]
fn a_volume_mount_wins_over_the_volume_of_an_image_at_its_path() {
    let kube = with_image_volume(&["--volume", "/www/below"]);
    let mounts = "    volumeMounts: [{name: v, mountPath: /www}]\n";
    kube.play(&of_image_volume(mounts, "  volumes: [{name: v, emptyDir: {}}]\n"));
    assert_eq!(
        kube.sh("web", "stat -c %a /www; ls /www; touch /www/below/x && echo writable"),
        "777\nbelow\nwritable\n"
    );
}

/// A ConfigMap and a Secret of one key each.
const OBJECTS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {key: map}\n---\n\
                       apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {key: secret}\n---\n";

/// A shell script that exits with 1 on SIGUSR1.
const ENDS: &str = "trap 'exit 1' USR1; while :; do sleep 0.1; done";

fn restarted(kube: &Kube, container: &str, count: u64) {
    kube.sh_to_end_in("web", container, "kill -USR1 1");
    kube.until("web", |pod| {
        let all = pod["status"]["containerStatuses"].as_array().unwrap();
        let status = all.iter().find(|status| status["name"] == container).unwrap();
        status["restartCount"] == count && status["state"]["running"].is_object()
    });
}

#[test]
fn a_mount_below_a_config_map_or_a_secret_works_in_any_order() {
    let kube = Kube::new();
    let file = kube.file("file", "host");
    let mounts = "    volumeMounts: [{name: e, mountPath: /c/sub/deep}, {name: c, mountPath: /c}, \
                  {name: c, mountPath: /s/sub}, {name: f, mountPath: /s/file}, {name: s, mountPath: /s}, \
                  {name: r, mountPath: /r, readOnly: true}, {name: e, mountPath: /r/x}]";
    let spec = format!(
        "  volumes: [{{name: c, configMap: {{name: c}}}}, {{name: s, secret: {{secretName: s}}}}, \
         {{name: e, emptyDir: {{}}}}, {{name: r, emptyDir: {{}}}}, {{name: f, hostPath: {{path: {file}}}}}]\n"
    );
    let yaml = OBJECTS.to_owned() + &pod_with("web", ENDS, mounts, &spec);
    let script = "cat /c/key /s/key /s/sub/key /s/file; touch /c/sub/deep/x /r/x/y && ls /c/sub/deep; touch /r/z 2>/dev/null || echo ro";
    for flags in [&[][..], &["--runtime", "runc"]] {
        kube.play_with(&yaml, flags);
        assert_eq!(kube.sh("web", script), "mapsecretmaphostx\ny\nro\n", "{flags:?}");
        // After a restart, every mount is at its place again.
        restarted(&kube, "main", 1);
        assert_eq!(kube.sh("web", script), "mapsecretmaphostx\ny\nro\n", "{flags:?}");
        kube.ok(&["down", "web", "--wait"]);
    }
}

#[test]
fn a_place_below_a_config_map_stays_when_its_contents_change() {
    let kube = Kube::new();
    let mounts = "    volumeMounts: [{name: c, mountPath: /c}, {name: e, mountPath: /c/sub}]";
    let web = pod_with(
        "web",
        IDLE,
        mounts,
        "  volumes: [{name: c, configMap: {name: c}}, {name: e, emptyDir: {}}]\n",
    );
    kube.play(&(OBJECTS.to_owned() + &web));
    kube.sh("web", "echo kept >/c/sub/x");
    kube.play(&(OBJECTS.replace("key: map", "other: new") + &web));
    kube.sh("web", "until test -e /c/other; do sleep 0.1; done; cat /c/other");
    assert_eq!(
        kube.sh("web", "ls /c; cat /c/sub/x; grep -c ' /c/sub ' /proc/mounts"),
        "other\nsub\nkept\n1\n"
    );
}

#[test]
fn a_sub_path_without_a_key_of_its_name_blocks_nothing() {
    let kube = Kube::new();
    let mounts = "    volumeMounts: [{name: c, mountPath: /x, subPath: absent}, {name: s, mountPath: /y, subPath: absent}]";
    let spec = "  volumes: [{name: c, configMap: {name: c}}, {name: s, secret: {secretName: s}}]\n";
    let whole = format!(
        "  - name: whole\n    image: localhost/busybox:1\n    command: [sh, -c, {ENDS:?}]\n    \
         volumeMounts: [{{name: c, mountPath: /c}}, {{name: s, mountPath: /s}}]\n"
    );
    kube.play(&(OBJECTS.to_owned() + &pod_with("web", ENDS, mounts, spec) + &whole));
    assert_eq!(kube.sh("web", "ls /x /y"), "/x:\n\n/y:\n");
    restarted(&kube, "main", 1);
    restarted(&kube, "whole", 1);
    assert_eq!(kube.ok(&["exec", "web", "-c", "whole", "--", "cat", "/c/key", "/s/key"]).stdout, "mapsecret");
}

#[test]
fn what_was_mounted_stays_for_a_restart_when_its_object_is_taken_down() {
    let kube = Kube::new();
    let mounts = "    volumeMounts: [{name: c, mountPath: /c}, {name: s, mountPath: /s}]";
    let spec = "  volumes: [{name: c, configMap: {name: c}}, {name: s, secret: {secretName: s}}]\n";
    let web = pod_with("web", ENDS, mounts, spec);
    kube.play(&(OBJECTS.to_owned() + &web));
    kube.ok(&["down", "configmap/c", "secret/s"]);
    restarted(&kube, "main", 1);
    assert_eq!(kube.sh("web", "cat /c/key /s/key"), "mapsecret");
    // A new pod, which never had the object, does not start.
    kube.try_play(&web.replace("name: web", "name: late"), &[]).expect(1).complains("not found");
}
