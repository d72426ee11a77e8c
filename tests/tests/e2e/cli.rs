//! The command line itself: help, completions, manual pages, `info`, `version`.

use tests::{IDLE, Kube, pod};

const COMMANDS: [&str; 18] = [
    "play", "down", "ps", "get", "logs", "exec", "inspect", "events", "wait", "check", "generate", "rollout",
    "scale", "image", "volume", "network", "info", "version",
];

#[test]
fn every_command_has_help_with_examples() {
    let kube = Kube::empty();
    let help = kube.ok(&["--help"]);
    for command in COMMANDS {
        assert!(help.stdout.contains(&format!("\n  {command}")), "{command} is missing: {help}");
        let output = kube.ok(&[command, "--help"]);
        assert!(output.stdout.contains("Examples:"), "{output}");
        assert!(output.stdout.contains(&format!("kube {command}")), "{output}");
    }
}

#[test]
fn completions_and_manual_pages_are_generated() {
    let kube = Kube::empty();
    for shell in ["bash", "zsh", "fish"] {
        let output = kube.ok(&["completion", shell]);
        for command in COMMANDS {
            assert!(output.stdout.contains(command), "{shell} does not complete {command}");
        }
    }
    let dir = kube.dir().join("man");
    kube.ok(&["man", dir.to_str().unwrap()]);
    for page in ["kube.1", "kube-play.1", "kube-image-import.1"] {
        assert!(dir.join(page).exists(), "{page} is missing");
    }
}

#[test]
fn version_names_the_kubernetes_api() {
    let kube = Kube::empty();
    kube.ok(&["version"]).says("kube v").says("Kubernetes API: v1.");
    assert!(kube.ok(&["version", "-o", "json"]).json()["kubernetesVersion"].is_string());
}

#[test]
fn info_tells_what_this_host_has_and_lacks() {
    let kube = Kube::empty();
    let output = kube.ok(&["info"]);
    for word in ["cgroup", "seccomp", "overlay", "nft"] {
        assert!(output.stdout.to_lowercase().contains(word), "{word} is missing: {output}");
    }
    assert!(kube.ok(&["info", "-o", "json"]).json().is_object());
}

#[test]
fn a_closed_pipe_is_no_error_to_speak_of() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    let command = kube.command(&["inspect", "web"]);
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|w| w.to_str().unwrap().to_owned())
        .collect();
    let output = std::process::Command::new("sh")
        .args(["-c", &format!("{} | head -c 1", words.join(" "))])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn lists_have_every_format() {
    let kube = Kube::new();
    kube.play(&pod("web", IDLE, ""));
    for list in
        [&["ps"][..], &["get", "pods"], &["image", "ls"], &["volume", "ls"], &["network", "ls"], &["events"]]
    {
        for format in ["wide", "json", "yaml", "name"] {
            let output = kube.ok(&[list, &["-o", format]].concat());
            if format == "json" {
                assert!(output.json()["items"].is_array(), "{output}");
            }
        }
    }
}

#[test]
fn info_finds_nft_where_pods_do() {
    let kube = Kube::empty();
    let mut info = kube.command(&["info", "-o", "json"]);
    let info = kube.run_command(info.env("PATH", "/usr/bin:/bin"), None).expect(0).json();
    let features = info["features"].as_array().unwrap();
    let nft = features.iter().find(|feature| feature["name"] == "nft").unwrap();
    assert_eq!(nft["status"], "ok", "{nft}");
}
