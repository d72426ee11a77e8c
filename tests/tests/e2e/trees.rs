//! Only root can reach anything in the two trees, whoever created them and with whichever umask.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use tests::{IDLE, Kube, image, pod_with};

/// Users of the machine: one without a name, and the user of containers in these tests.
const USERS: [u32; 2] = [65_534, 1000];

/// The files that docs/architecture.md lists as accessible to others.
const OPEN_TO_OTHERS: [&str; 0] = [];

/// Finds everything in a tree, as root sees it, without what only containers see through their mounts.
fn everything_in(dir: &Path, found: &mut Vec<PathBuf>) {
    found.push(dir.to_owned());
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            everything_in(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

/// Returns what a user can do with each of `paths`.
fn reached(uid: u32, paths: Vec<PathBuf>) -> Vec<String> {
    let look = move || {
        // Only this thread becomes the user, without groups and capabilities. SAFETY: system calls with numbers, and
        // with an empty list of groups.
        unsafe {
            assert_eq!(libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()), 0);
            assert_eq!(libc::syscall(libc::SYS_setresgid, uid, uid, uid), 0);
            assert_eq!(libc::syscall(libc::SYS_setresuid, uid, uid, uid), 0);
        }
        let mut reached = Vec::new();
        for path in paths {
            use rustix::fs::{Access, FlockOperation, access, flock};
            for (what, how) in
                [("read", Access::READ_OK), ("written", Access::WRITE_OK), ("executed", Access::EXEC_OK)]
            {
                if access(&path, how).is_ok() {
                    reached.push(format!("{} can be {what} by uid {uid}", path.display()));
                }
            }
            if let Ok(file) = fs::File::open(&path)
                && flock(&file, FlockOperation::NonBlockingLockShared).is_ok()
            {
                reached.push(format!("{} can be locked by uid {uid}", path.display()));
            }
        }
        reached
    };
    std::thread::spawn(look).join().unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Runs a command with a umask; it may fail.
fn run_with_umask(kube: &Kube, umask: libc::mode_t, args: &[&str]) -> tests::Output {
    let mut command = kube.command(args);
    // SAFETY: umask is safe to call between fork and exec.
    unsafe {
        command.pre_exec(move || {
            libc::umask(umask);
            Ok(())
        });
    }
    kube.run_command(&mut command, None)
}

/// Fails the test if another user can do anything in the trees. Their parent folder is open, so that only the trees
/// themselves prevent access.
fn nothing_is_reached(kube: &Kube, when: &str) {
    set_mode(kube.dir(), 0o755);
    let open = kube.file("open", "");
    set_mode(Path::new(&open), 0o644);
    let mut paths = Vec::new();
    everything_in(&kube.root(), &mut paths);
    everything_in(&kube.runroot(), &mut paths);
    paths.extend(["/run/kube-play-shared", "/run/kube-play-shared/lock"].map(PathBuf::from));
    paths.retain(|path| path.symlink_metadata().is_ok());
    for uid in USERS {
        assert!(!reached(uid, vec![open.clone().into()]).is_empty(), "the test itself reaches nothing");
        let mut reached = reached(uid, paths.clone());
        reached.retain(|what| !OPEN_TO_OTHERS.iter().any(|open| what.contains(open)));
        assert!(reached.is_empty(), "{when}: {reached:#?}");
    }
}

#[test]
fn whatever_comes_first_makes_trees_that_others_cannot_enter() {
    let tar = image::busybox_tar();
    let tar = tar.to_str().unwrap();
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\napiVersion: v1\nkind: \
                    PersistentVolumeClaim\nmetadata: {name: v}\nspec: {accessModes: [ReadWriteOnce], resources: \
                    {requests: {storage: 1Mi}}}\n";
    let first: [&[&str]; 11] = [
        &["network", "create", "net"],
        &["image", "import", tar, "localhost/first:1"],
        &["image", "ls"],
        &["play", "objects.yaml"],
        &["play", "--all"],
        &["down", "--all"],
        &["ps"],
        &["info"],
        &["volume", "ls"],
        &["network", "ls"],
        &["generate", "pod/none"],
    ];
    for umask in [0o000, 0o077] {
        for made_before in [None, Some(0o755), Some(0o1777)] {
            for args in first {
                let kube = Kube::empty();
                kube.file("objects.yaml", manifest);
                for dir in [kube.root(), kube.root().join("lost+found"), kube.runroot()] {
                    if let Some(mode) = made_before {
                        fs::create_dir(&dir).unwrap();
                        set_mode(&dir, mode);
                    }
                }
                let output = run_with_umask(&kube, umask, args);
                nothing_is_reached(
                    &kube,
                    &format!("umask {umask:o}, made before: {made_before:?}, {output}"),
                );
            }
        }
    }
}

#[test]
fn others_reach_nothing_of_pods_and_non_root_containers_reach_all_that_is_theirs() {
    let yaml = |name: &str| {
        let mounts = "    securityContext: {runAsUser: 1000, runAsGroup: 1000}\n    volumeMounts:\n    \
                      - {name: claim, mountPath: /claim}\n    - {name: empty, mountPath: /empty}\n    \
                      - {name: memory, mountPath: /memory}\n    - {name: conf, mountPath: /conf}\n    \
                      - {name: host, mountPath: /new/deep/host}\n    - {name: claim, mountPath: /sub, subPath: a/b}";
        let spec = "  volumes:\n  - {name: claim, persistentVolumeClaim: {claimName: data}}\n  \
                    - {name: empty, emptyDir: {}}\n  - {name: memory, emptyDir: {medium: Memory}}\n  \
                    - {name: conf, configMap: {name: conf}}\n  - {name: host, hostPath: {path: /etc/hostname}}\n";
        let script = format!("echo started; {IDLE}");
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: conf}}\ndata: {{key: value}}\n---\napiVersion: v1\n\
             kind: PersistentVolumeClaim\nmetadata: {{name: data}}\nspec: {{accessModes: [ReadWriteOnce], resources: \
             {{requests: {{storage: 1Mi}}}}}}\n---\n{}",
            pod_with(name, &script, mounts, spec)
        )
    };
    for (umask, flags) in [(0o000, &[][..]), (0o077, &[]), (0o077, &["--runtime", "runc"])] {
        let kube = Kube::new();
        // The modes that an earlier version left.
        for dir in [kube.root(), kube.root().join("pods")] {
            fs::create_dir_all(&dir).unwrap();
            set_mode(&dir, 0o755);
        }
        let file = kube.manifest(&yaml("web"));
        run_with_umask(&kube, umask, &[&["play", &file], flags].concat()).expect(0);
        let script = "id -u; cat /conf/key; cat /etc/hosts /etc/resolv.conf /etc/hostname >/dev/null && echo; \
                      cat /new/deep/host >/dev/null && echo host; for d in /claim /empty /memory /dev/shm /tmp; do \
                      echo x >$d/file && cat $d/file; done; ls /sub >/dev/null && echo sub; umask";
        let output = run_with_umask(&kube, umask, &["exec", "web", "--", "sh", "-c", script]).expect(0);
        assert_eq!(
            output.lines(),
            ["1000", "value", "host", "x", "x", "x", "x", "x", "sub", "0022"],
            "{output}"
        );
        assert_eq!(kube.ok(&["logs", "web"]).stdout, "started\n");
        nothing_is_reached(&kube, &format!("umask {umask:o}, {flags:?}"));
        // A person, or an older version, opens the trees while the pod runs; the next command restricts them,
        // whichever it is.
        for dir in [kube.root(), kube.root().join("pods"), kube.runroot()] {
            set_mode(&dir, 0o755);
        }
        kube.ok(&["ps"]);
        nothing_is_reached(&kube, "opened");
    }
}

#[test]
fn a_setuid_file_of_a_container_cannot_be_executed_by_a_user() {
    let kube = Kube::new();
    let script = format!("cp /bin/busybox /suid && chmod 4755 /suid && echo made; {IDLE}");
    kube.play(&pod_with("web", &script, "", "  hostNetwork: true\n"));
    kube.start(&["logs", "-f", "web"]).line(|l| l == "made");
    set_mode(kube.dir(), 0o755);
    let mut paths = Vec::new();
    everything_in(&kube.root().join("pods"), &mut paths);
    let suid: Vec<_> = paths.into_iter().filter(|path| path.ends_with("suid")).collect();
    assert_eq!(suid.len(), 1, "{suid:?}");
    assert_eq!(mode(&suid[0]), 0o4755);
    for uid in USERS {
        assert!(std::process::Command::new(&suid[0]).arg("id").uid(uid).gid(uid).output().is_err());
    }
}

#[test]
fn a_folder_that_is_not_kubes_is_refused_and_left_as_it_is() {
    let kube = Kube::empty();
    fs::create_dir(kube.root()).unwrap();
    fs::write(kube.root().join("letter"), "x").unwrap();
    set_mode(&kube.root(), 0o755);
    for args in [&["ps"][..], &["network", "create", "net"]] {
        kube.run(args).expect(1).complains("root/letter").complains("--root");
    }
    assert_eq!(mode(&kube.root()), 0o755);
    assert_eq!(fs::read_dir(kube.root()).unwrap().count(), 1);
    // Another user may have created folders with the names that `kube` uses.
    fs::remove_file(kube.root().join("letter")).unwrap();
    set_mode(&kube.root(), 0o1777);
    fs::create_dir(kube.root().join("images")).unwrap();
    std::os::unix::fs::chown(kube.root().join("images"), Some(1000), None).unwrap();
    kube.run(&["ps"]).expect(1).complains("root/images");
    fs::remove_dir(kube.root().join("images")).unwrap();
    std::os::unix::fs::chown(kube.root(), Some(1000), None).unwrap();
    set_mode(&kube.root(), 0o700);
    kube.run(&["ps"]).expect(1).complains("belongs to uid 1000");
    fs::remove_dir(kube.root()).unwrap();
    // A link to another folder is followed.
    fs::create_dir(kube.dir().join("disk")).unwrap();
    set_mode(&kube.dir().join("disk"), 0o755);
    symlink(kube.dir().join("disk"), kube.root()).unwrap();
    kube.ok(&["ps"]);
    assert_eq!(mode(&kube.dir().join("disk")), 0o700);
    fs::remove_file(kube.root()).unwrap();
    // Shared folders are refused even if they are empty; commands that need no tree work.
    for shared in ["/tmp", "/dev/shm"] {
        let before = mode(Path::new(shared));
        let run = |args: &[&str]| {
            let mut command = std::process::Command::new(kube.command(&[]).get_program());
            command.args(["--root", shared, "--runroot"]).arg(kube.runroot()).args(args);
            kube.run_command(&mut command, None)
        };
        run(&["ps"]).expect(1).complains("open to other users");
        run(&["version"]).expect(0);
        assert_eq!(mode(Path::new(shared)), before);
    }
}

#[test]
fn files_that_a_command_writes_for_its_user_have_the_users_umask() {
    let kube = Kube::new();
    kube.play(&pod_with("web", IDLE, "", "  hostNetwork: true\n"));
    for (umask, wanted) in [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600), (0, 0o666)] {
        let (yaml, tar) = (kube.dir().join("out.yaml"), kube.dir().join("out.tar"));
        run_with_umask(&kube, umask, &["generate", "pod/web", "-f", yaml.to_str().unwrap()]).expect(0);
        run_with_umask(&kube, umask, &["image", "save", image::BUSYBOX, "-o", tar.to_str().unwrap()])
            .expect(0);
        for file in [yaml, tar] {
            assert_eq!(mode(&file), wanted, "{} with umask {umask:o}", file.display());
            fs::remove_file(file).unwrap();
        }
        let man = kube.dir().join("man");
        run_with_umask(&kube, umask, &["man", man.to_str().unwrap()]).expect(0);
        assert_eq!(mode(&man), 0o777 & !umask);
        assert_eq!(mode(&man.join("kube.1")), wanted);
        fs::remove_dir_all(man).unwrap();
    }
}
