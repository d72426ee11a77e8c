//! The scripts in tests/ refuse unknown arguments, above all options, because `--help` is not the name of a file.

use std::fs;
use std::path::Path;
use std::process::Command;

macro_rules! scripts {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../", $path)))),*]
    };
}

const SCRIPTS: [(&str, &str); 11] = scripts![
    ".ci/run",
    "tests/busybox-rootfs.sh",
    "tests/demo.sh",
    "tests/deny.sh",
    "tests/test-binary.sh",
    "tests/fuzz.sh",
    "tests/kubernetes-validate.sh",
    "tests/packages.sh",
    "tests/summary.sh",
    "tests/test.sh",
    "tests/vm.sh",
];

#[test]
fn options_are_refused_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in SCRIPTS {
        let shell = text.strip_prefix("#!").unwrap().lines().next().unwrap();
        for arguments in
            [&["--help"][..], &["-x"], &["--shell", "--help"], &["name", "--help"], &["--help", "name"]]
        {
            // The current folder does not matter, because the script refuses before it reads any file.
            let output = Command::new(shell)
                .args(["-c", text, path])
                .args(arguments)
                .current_dir(dir.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{path} {arguments:?}: {said}");
            assert!(said.contains("usage: ") && said.contains(path), "{path} {arguments:?}: {said}");
            assert_eq!(
                fs::read_dir(dir.path()).unwrap().count(),
                0,
                "{path} {arguments:?} has made something"
            );
        }
    }
}

#[test]
fn every_script_is_looked_at() {
    if tests::in_vm() {
        return tests::skip("the virtual machine does not have the sources");
    }
    let known = |name: &str| SCRIPTS.iter().any(|(path, _)| *path == format!("tests/{name}"));
    let names = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap().map(Result::unwrap);
    let scripts = names.filter_map(|e| e.file_name().into_string().ok()).filter(|name| name.ends_with(".sh"));
    let unknown: Vec<_> = scripts.filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
