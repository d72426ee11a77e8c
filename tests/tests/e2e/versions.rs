//! Programs of different versions on one machine: files of kube 0.1.0, an upgrade while everything runs, and an older
//! `kube` that finds files of a newer one. The other version is this program with `KUBE_TEST_FORMAT`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::fail_points::{FailPointClass, fail_points};
use tests::{IDLE, Kube, Running, in_vm, pod};

/// The format of this program, and a format that it does not know.
const THIS: u32 = 2;
const NEXT: u32 = 3;

/// The number of lines that a container writes at full speed before it idles. They fit into the files that are kept
/// of a log.
const LINES: u32 = 200_000;

fn counting(name: &str) -> String {
    let script = format!(
        "trap 'exit 0' TERM; n=0; while [ $n -lt {LINES} ]; do n=$((n+1)); echo line $n; done; \
         while :; do sleep 3600 & wait $!; done"
    );
    pod(name, &script, "")
}

/// Waits until a container has written all its lines, and checks that its log contains each line once.
fn is_counted(kube: &Kube, name: &str) {
    let last = format!("line {LINES}");
    kube.start(&["logs", "-f", "--tail", "1", name]).line(|line| line == last);
    let text = kube.ok(&["logs", name]).stdout;
    let mut expected = 1..=LINES;
    for line in text.lines() {
        let number = expected.next().unwrap_or_else(|| panic!("{line:?} after the last line"));
        assert_eq!(line, format!("line {number}"));
    }
    assert_eq!(expected.next(), None, "the log ends before the last line");
}

/// Returns the format of a workload's record.
fn format_of(kube: &Kube, workload: &str) -> u64 {
    let path = kube.root().join("workloads").join(workload).join("workload.json");
    let record: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    record["version"]["format"].as_u64().unwrap_or(1)
}

/// Returns the first process of a container.
fn main_process(kube: &Kube, name: &str) -> i32 {
    kube.process(name, "trap 'exit 0'").pid
}

fn supervisors(kube: &Kube) -> Vec<i32> {
    let mut pids: Vec<i32> = kube.supervisors().iter().map(|p| p.pid).collect();
    pids.sort_unstable();
    pids
}

/// Returns the seconds since midnight of a time such as `2026-01-31T12:34:56Z`.
fn seconds_of_day(time: &str) -> i64 {
    let clock = time.split('T').nth(1).unwrap().trim_end_matches('Z').split(':');
    clock.fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap())
}

#[test]
fn an_upgrade_under_load_loses_nothing() {
    let kube = Kube::new();
    let crashing = pod("crash", "echo once; exit 3", "");
    kube.try_play(&crashing, &[]);
    kube.play(&[counting("busy"), pod("plain", IDLE, "")].join("---\n"));
    kube.wait("plain", "ready");
    kube.wait("busy", "ready");
    let backs_off = |pod: &Value| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    };
    let before = kube.until("crash", backs_off);
    let (busy, plain, all) = (main_process(&kube, "busy"), main_process(&kube, "plain"), supervisors(&kube));
    let mut open =
        kube.start(&["exec", "-i", "plain", "--", "sh", "-c", "echo up; read x; echo got $x; exit 42"]);
    open.line(|line| line == "up");
    let mut ended = kube.start(&["exec", "-i", "busy", "--", "sh", "-c", "echo up; read x; exit 7"]);
    ended.line(|line| line == "up");

    let waiting = kube.start(&["wait", "plain", "--for=deleted", "--timeout", "60s"]);
    let mut following = kube.start(&["logs", "-f", "--tail", "0", "plain"]);

    // Several upgrades one after the other, while lines are written.
    for format in NEXT..NEXT + 3 {
        kube.speak(format);
        for name in ["busy", "plain"] {
            assert_eq!(kube.sh(name, "echo here"), "here\n");
            assert_eq!(format_of(&kube, &format!("pod_default_{name}")), u64::from(format));
        }
        let refused = kube.run(&["exec", "crash", "--", "true"]).expect(1);
        assert!(refused.stderr.contains("is not running"), "{refused}");
        assert_eq!(format_of(&kube, "pod_default_crash"), u64::from(format));
    }
    assert_eq!(supervisors(&kube), all, "the same processes supervise");
    assert_eq!(main_process(&kube, "plain"), plain);
    assert_eq!(main_process(&kube, "busy"), busy);
    for name in ["busy", "plain"] {
        assert_eq!(kube.container(name, "main")["restartCount"], 0);
    }

    // A command of the older program that needs the supervisor ends with the reason.
    let (code, lines) = waiting.end();
    assert_eq!(code, 1, "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("nothing was changed: use kube ")), "{lines:?}");
    // A command that only reads files continues.
    kube.sh("plain", "echo still here >/proc/1/fd/1");
    following.line(|line| line == "still here");

    // Commands of `exec` that began before the upgrade end normally.
    for (session, code) in [(&mut open, 42), (&mut ended, 7)] {
        use std::io::Write as _;
        let mut stdin = session.stdin.take().unwrap();
        stdin.write_all(b"hello\n").unwrap();
        if code == 42 {
            session.line(|line| line == "got hello");
        }
    }
    assert_eq!((open.end().0, ended.end().0), (42, 7));

    // The back-off continues: the next run starts at the time at which it would have started.
    let runs = before["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap();
    let after = kube.until("crash", |pod| {
        backs_off(pod) && pod["status"]["containerStatuses"][0]["restartCount"] != runs
    });
    assert_eq!(after["status"]["containerStatuses"][0]["restartCount"], runs + 1);
    let time = |pod: &Value, field: &str| {
        let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"][field];
        seconds_of_day(last.as_str().unwrap())
    };
    let pause = (time(&after, "startedAt") - time(&before, "finishedAt")).rem_euclid(24 * 3600);
    let expected = 10_i64 << (runs.saturating_sub(1)).min(4);
    assert!((expected - 1..expected + 5).contains(&pause), "{pause} s instead of {expected} s");

    is_counted(&kube, "busy");
    // The exit code of a container that an older program started is known, because it is still a child.
    kube.sh_to_end("busy", "kill -TERM 1");
    let pod = kube.until("busy", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1);
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&0.into(), &"Completed".into()), "{last:#}");
    kube.ok(&["down", "--all"]);
}

#[test]
fn a_worker_that_is_at_work_in_an_upgrade_finishes_what_it_does() {
    if in_vm() {
        return;
    }
    // Workers for the sandbox, for a container that is created in parallel with it, and for one that is started
    // later.
    for point in ["addresses-leased", "bundle-written", "container-started"] {
        let kube = Kube::new();
        let mark = kube.dir().join("mark");
        let mut play = kube.command(&["play", &kube.manifest(&counting("busy"))]);
        let spec = format!("{point}:stop:0:{}", mark.display());
        let play = Running::start(play.env("KUBE_FAIL_POINT", spec));
        let Some(halted) = play.until_halted(&mark) else { panic!("{point} is never reached") };
        // The processes include workers.
        let before = supervisors(&kube);
        kube.speak(NEXT);
        kube.run(&["exec", "busy", "--", "true"]).expect(1);
        assert_eq!(format_of(&kube, "pod_default_busy"), u64::from(NEXT));
        halted.kill(nix::sys::signal::Signal::SIGCONT);
        kube.wait("busy", "ready");
        assert!(supervisors(&kube).iter().all(|pid| before.contains(pid)), "at {point}");
        assert_eq!(kube.container("busy", "main")["restartCount"], 0, "at {point}");
        is_counted(&kube, "busy");
        // The older program was waiting for the pod and cannot continue.
        assert_eq!(play.end().0, 1);
        kube.ok(&["down", "--all"]);
    }
}

#[test]
fn whoever_is_killed_in_a_hand_over_loses_nothing() {
    if in_vm() {
        return;
    }
    let points = fail_points().into_iter().filter(|point| point.class == FailPointClass::HandOver);
    // That point is reached only where a hand-over is impossible, which another test covers.
    let points: Vec<_> = points.filter(|point| point.name != "older-supervisor-killed").collect();
    assert!(points.len() >= 4, "{points:?}");
    for point in points {
        let kube = Kube::new();
        let mark = kube.dir().join("mark");
        let fail_point_spec = format!("{}:kill:0:{}", point.name, mark.display());
        let run = |args: &[&str]| {
            let mut command = kube.command(args);
            kube.run_command(command.env("KUBE_FAIL_POINT", &fail_point_spec), None)
        };
        run(&["play", &kube.manifest(&counting("busy"))]).expect(0);
        let pid = main_process(&kube, "busy");
        kube.speak(NEXT);
        run(&["exec", "busy", "--", "true"]);
        assert!(mark.exists(), "{} is never reached", point.name);
        assert_eq!(kube.sh("busy", "echo here"), "here\n", "at {}", point.name);
        assert_eq!(format_of(&kube, "pod_default_busy"), u64::from(NEXT));
        assert_eq!(main_process(&kube, "busy"), pid, "at {}", point.name);
        is_counted(&kube, "busy");
        kube.ok(&["down", "--all"]);
    }
}

/// Starts a counting pod with a supervisor that sends no Hello, like those of kube 0.1.0, and returns the process of
/// its container.
fn of_first_format(kube: &Kube) -> i32 {
    kube.speak(1);
    kube.play_with(&counting("busy"), &["--start=false"]);
    // No command of this version can make such a supervisor start the pod, so it is recorded as a pod that should run
    // and whose supervisor was killed.
    let path = kube.root().join("workloads/pod_default_busy/workload.json");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    record["pods"][0]["desired"] = "running".into();
    std::fs::write(&path, record.to_string()).unwrap();
    std::fs::create_dir_all(kube.runroot().join("workloads/pod_default_busy")).unwrap();
    std::fs::write(kube.runroot().join("workloads/pod_default_busy/lock"), "").unwrap();
    kube.until_all(|pods| pods.iter().any(|pod| pod["status"]["phase"] == "Running"));
    main_process(kube, "busy")
}

#[test]
fn a_supervisor_that_cannot_hand_over_is_replaced_as_after_a_crash() {
    let kube = Kube::new();
    let pid = of_first_format(&kube);
    let old = supervisors(&kube);
    kube.speak(THIS);
    let output = kube.ok(&["exec", "busy", "--", "echo", "here"]);
    assert_eq!(output.stdout, "here\n");
    assert!(output.stderr.contains("is of an older kube: it is replaced"), "{output}");
    assert_ne!(supervisors(&kube), old);
    assert_eq!(main_process(&kube, "busy"), pid);
    is_counted(&kube, "busy");
}

#[test]
fn a_kube_that_is_killed_while_it_replaces_a_supervisor_leaves_it_to_the_next() {
    if in_vm() {
        return;
    }
    let kube = Kube::new();
    let pid = of_first_format(&kube);
    kube.speak(THIS);
    let mark = kube.dir().join("mark");
    let mut command = kube.command(&["exec", "busy", "--", "true"]);
    command.env("KUBE_FAIL_POINT", format!("older-supervisor-killed:kill:0:{}", mark.display()));
    kube.run_command(&mut command, None).expect(128 + 9);
    assert_eq!(kube.sh("busy", "echo here"), "here\n");
    assert_eq!(main_process(&kube, "busy"), pid);
    is_counted(&kube, "busy");
}

/// Returns every regular file of both trees with its contents.
fn contents(kube: &Kube) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(dir: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                walk(&path, found);
            } else if kind.is_file() {
                let bytes = std::fs::read(&path).unwrap_or_default();
                found.insert(path, bytes);
            } else {
                found.insert(path, Vec::new());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&kube.root(), &mut found);
    walk(&kube.runroot(), &mut found);
    found
}

#[test]
fn an_older_kube_refuses_what_a_newer_one_left_and_touches_nothing() {
    let kube = Kube::new();
    kube.speak(NEXT);
    let file = kube.manifest(&pod("web", IDLE, ""));
    kube.ok(&["play", &file]);
    kube.wait("web", "ready");
    kube.ok(&["ps"]);
    // Memos are written only once files have stopped changing.
    kube.until_all(|_| kube.runroot().join("glances.json").exists());
    let tar = tests::image::busybox_tar();
    let tar = tar.to_str().unwrap();
    let commands: [&[&str]; 25] = [
        &["play", &file],
        &["play", "--all"],
        &["play", &file, "--dry-run"],
        &["down", "web"],
        &["down", "--all", "--force"],
        &["ps"],
        &["ps", "-A"],
        &["logs", "web"],
        &["exec", "web", "--", "true"],
        &["inspect", "web"],
        &["events"],
        &["wait", "web", "--for=ready"],
        &["generate", "web"],
        &["image", "ls"],
        &["image", "rm", "localhost/busybox:1"],
        &["image", "import", tar, "localhost/another:1"],
        &["image", "prune"],
        &["volume", "ls"],
        &["volume", "create", "data"],
        &["volume", "rm", "data"],
        &["network", "ls"],
        &["network", "create", "spare"],
        &["network", "rm", "spare"],
        &["info"],
        &["image", "pull", "localhost/absent:1"],
    ];
    let marker = kube.root().join("version.json");
    let refuse = |commands: &[&[&str]], file: &str| {
        kube.speak(THIS);
        let before = contents(&kube);
        for args in commands {
            let output = kube.run(args);
            if output.code == 2 {
                continue;
            }
            assert_eq!(output.code, 1, "{output}");
            let expected = format!("{file} has format 3, and this kube (");
            assert!(output.stderr.contains(&expected), "{output}");
            assert!(output.stderr.contains("nothing was changed: use kube "), "{output}");
            assert_eq!(output.stderr.lines().count(), 1, "{output}");
            assert!(contents(&kube) == before, "{output} changed something");
        }
        kube.speak(NEXT);
    };
    refuse(&commands, "version.json");
    // A record is copied into another tree.
    let text = std::fs::read(&marker).unwrap();
    std::fs::remove_file(&marker).unwrap();
    refuse(&commands[..13], "workload.json");
    std::fs::write(&marker, text).unwrap();
    kube.ok(&["down", "--all"]);
}

/// Copies a tree.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn records_of_0_1_0_are_read_played_unchanged_and_taken_down() {
    let kube = Kube::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/0.1.0");
    if !fixture.exists() {
        eprintln!("SKIP: {} is not on this machine", fixture.display());
        return;
    }
    copy(&fixture.join("root"), &kube.root());
    let app = fixture.join("app.yaml");
    let app = app.to_str().unwrap();
    let uid = "19e5fd30-e91f-4276-8b9a-5004ec279a77";
    let web = kube.pod("web");
    assert_eq!(web["metadata"]["uid"], uid);
    let done = kube.pod("done");
    assert_eq!(done["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3, "{done:#}");
    assert_eq!(kube.pods().len(), 4);

    kube.ok(&["play", "--all"]).says("pod/web started");
    let played = kube.ok(&["play", app]);
    for name in ["configmap/settings", "pod/web", "deployment.apps/api", "pod/done"] {
        assert!(played.stdout.contains(&format!("{name} unchanged")), "{played}");
    }
    assert_eq!(kube.pod("web")["metadata"]["uid"], uid);
    assert_eq!(kube.sh("web", "cat /settings/greeting"), "hello");
    assert_eq!(format_of(&kube, "pod_default_web"), u64::from(THIS), "it is in this format from now on");
    assert_eq!(format_of(&kube, "pod_default_done"), 1, "nobody had a reason to write it");
    kube.ok(&["down", app]);
    assert!(kube.pods().is_empty());
}
