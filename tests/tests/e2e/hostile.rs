//! Known attacks against the whole program. Attacks that a single module prevents are tested in that module
//! (`cve_...` and `layer_with_...` in pod-core).

use tests::image::{Entry, busybox_tar, tar};
use tests::{IDLE, Kube, pod, pod_with};

/// Returns true if the text contains characters that control a terminal.
fn drives(text: &str) -> bool {
    text.chars().any(|c| c != '\n' && c != '\t' && (c.is_control() || c == '\u{202e}'))
}

#[test]
fn cve_2024_21626_working_dir_through_a_descriptor() {
    let kube = Kube::new();
    for dir in ["/proc/self/fd/3", "/proc/self/fd/7", "/proc/self/fd/9/.."] {
        let yaml = pod_with("web", IDLE, &format!("    workingDir: {dir}"), "");
        let output = kube.try_play(&yaml, &[]);
        if output.code == 0 {
            let seen = kube.run(&["exec", "web", "--", "ls", "../../../../../../../../work"]);
            assert_ne!(seen.code, 0, "{dir} leads to the host: {seen}");
            kube.ok(&["down", "web"]);
        }
    }
}

#[test]
fn cve_2025_9566_a_volume_of_a_config_map_is_not_writable() {
    let kube = Kube::new();
    let map = |value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{key: {value}}}\n---\n")
    };
    let victim = kube.file("victim", "host");
    let web = pod_with(
        "web",
        IDLE,
        "    volumeMounts: [{name: v, mountPath: /v, readOnly: false}]",
        "  volumes: [{name: v, configMap: {name: c}}]\n",
    );
    kube.play(&(map("one") + &web));
    for script in [
        format!("ln -sfn {victim} /v/key"),
        format!("ln -sfn {victim} /v/..data"),
        "echo x >/v/key".to_owned(),
        "mount -o remount,rw /v".to_owned(),
    ] {
        assert_ne!(kube.run(&["exec", "web", "--", "sh", "-c", &script]).code, 0, "{script}");
    }
    kube.play(&(map("two") + &web));
    assert_eq!(std::fs::read_to_string(victim).unwrap(), "host");
}

#[test]
fn folders_deeper_than_descriptors_go_are_removed_with_their_container() {
    let kube = Kube::new();
    let script = "cd /tmp; i=0; while [ $i -lt 1000 ]; do mkdir d; cd d; i=$((i+1)); done";
    kube.play(&pod("deep", script, ""));
    let supervisor = rustix::process::Pid::from_raw(kube.supervisors()[0].pid);
    // An ordinary login has 1024; here 200 are enough to work with.
    let few = rustix::process::Rlimit { current: Some(200), maximum: Some(200) };
    rustix::process::prlimit(supervisor, rustix::process::Resource::Nofile, few).unwrap();
    let uid = kube.pod("deep")["metadata"]["uid"].as_str().unwrap().to_owned();
    kube.until("deep", |p| p["status"]["containerStatuses"][0]["restartCount"] == 1);
    let layers = kube.root().join("pods").join(uid).join("containers/main");
    assert!(layers.exists());
    kube.ok(&["down", "deep"]);
    assert_eq!(kube.left_behind(), [""; 0]);
    assert!(!layers.exists());
}

#[test]
fn terminal_escapes_are_shown_and_not_obeyed() {
    let kube = Kube::new();
    // From an image: its config contains control characters, and messages quote the config.
    let file = busybox_tar();
    let evil = "/\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}";
    kube.ok(&["image", "import", file.to_str().unwrap(), "localhost/evil:1", "--cmd", evil]);
    let yaml = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  restartPolicy: Never\n  containers:\n  \
                - {name: main, image: localhost/evil:1}\n";
    let play = kube.try_play(yaml, &["--wait"]);
    assert_ne!(play.code, 0, "{play}");
    assert!(play.stderr.contains("owned"), "{play}");
    // From a manifest that is refused and from one that is played: names, labels, commands.
    let name = kube.try_play(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: \"\\e]0;x\\a\", labels: {\"\\e[1m\": \"\\u202e\"}}\nspec: {\"\\e[2J\": 1}\n",
        &[],
    );
    assert_eq!(name.code, 3, "{name}");
    let absent = pod("absent", IDLE, "").replace("command: [sh,", "command: [\"\\e[2Jabsent\",");
    let absent = kube.try_play(&absent, &["--wait"]);
    assert_ne!(absent.code, 0, "{absent}");
    let mut outputs = vec![play, name, absent];
    for args in [
        &["events"][..],
        &["events", "-o", "wide"],
        &["ps", "-a"],
        &["ps", "-a", "-o", "wide"],
        &["ps", "-a", "-o", "yaml"],
        &["get", "pods,events,rs,deploy", "-o", "wide"],
        &["get", "pods", "-o", "custom-columns=\u{1b}[2J:.metadata"],
        &["get", "pods", "-o", "jsonpath={.a \u{1b}[2J}"],
        &["get", "\u{1b}[2J"],
        &["get", "pod/\u{1b}[2J"],
        &["describe", "\u{1b}[2J"],
        &["image", "ls"],
        &["logs", "\u{1b}[2J"],
        &["down", "\u{1b}[2J"],
        &["inspect", "pod/\u{1b}[2J"],
        &["play", "\u{1b}[2J.yaml"],
        &["image", "pull", "\u{1b}[2J"],
        &["\u{1b}[2J"],
    ] {
        outputs.push(kube.run(args));
    }
    for output in outputs {
        assert!(
            !drives(&output.stdout) && !drives(&output.stderr),
            "{:?} {:?}",
            output.stdout,
            output.stderr
        );
    }
}

#[test]
fn a_hostile_image_reaches_nothing_of_the_host() {
    let kube = Kube::new();
    let victim = kube.file("victim", "host");
    // /etc and /dev are links to the host, and so is one of the files.
    let layer = kube.file(
        "evil.tar",
        tar(&[
            Entry::Symlink("etc", kube.dir().to_str().unwrap()),
            Entry::Dir("bin", 0o755),
            Entry::Dir("proc", 0o755),
            Entry::Dir("sys", 0o755),
            Entry::Dir("dev", 0o755),
            Entry::Symlink("dev/null", &victim),
            Entry::Symlink("dev/pts", kube.dir().to_str().unwrap()),
            Entry::File("bin/sh", 0o755, &std::fs::read("/bin/busybox").unwrap()),
        ]),
    );
    kube.ok(&["image", "import", &layer, "localhost/evil:1", "--cmd", "sh"]);
    let before: Vec<_> = std::fs::read_dir(kube.dir()).unwrap().map(|e| e.unwrap().file_name()).collect();
    let yaml = pod("web", IDLE, "").replace(tests::image::BUSYBOX, "localhost/evil:1");
    let output = kube.try_play(&yaml, &[]);
    if output.code == 0 {
        kube.ok(&["exec", "web", "--", "sh", "-c", "echo evil >/etc/victim; echo evil >/dev/null"]);
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "host");
    kube.ok(&["down", "--all"]);
    let mut after: Vec<_> = std::fs::read_dir(kube.dir()).unwrap().map(|e| e.unwrap().file_name()).collect();
    after
        .retain(|name| name != "run" && !name.to_string_lossy().ends_with(".yaml") && !before.contains(name));
    assert!(after.is_empty(), "made on the host: {after:?}");
}

#[test]
fn what_an_image_says_of_itself_brings_no_line_of_its_own() {
    let kube = Kube::new();
    let tar = busybox_tar();
    let forged = "x\nerror: forged";
    let folder = format!("/www/index.html/{forged}");
    for (flag, value) in
        [("--volume", &folder), ("--user", &forged.to_owned()), ("--stop-signal", &forged.to_owned())]
    {
        kube.ok(&["image", "import", tar.to_str().unwrap(), "localhost/evil:1", "--cmd", "sh", flag, value]);
        let yaml = pod("web", IDLE, "").replace(tests::image::BUSYBOX, "localhost/evil:1");
        let output = kube.try_play(&yaml, &["--wait"]);
        assert_ne!(output.code, 0, "{flag}: {output}");
        let events = kube.ok(&["events"]);
        let lines = output.stderr.lines().chain(output.stdout.lines()).chain(events.stdout.lines());
        let taken: Vec<&str> = lines.filter(|line| line.starts_with("error: forged")).collect();
        assert!(taken.is_empty(), "{flag}: {output}\n{events}");
    }
}
