//! Checks rules for the sources of this repository that neither the compiler nor clippy checks.

// This is test code, which reports failures by panics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod dependencies;
mod floors;
mod imports;
mod unit_tests;

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the folder of the workspace.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns the folders of all crates of the workspace.
fn crates() -> Vec<PathBuf> {
    let manifest = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
    let members: Vec<_> = members.split('"').skip(1).step_by(2).map(|name| workspace().join(name)).collect();
    assert!(members.len() >= 4, "{members:?}");
    members
}

/// Returns all Rust files below `dir`, by their path, or none if there is no such folder.
fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Returns true for a file that contains only unit tests: `tests.rs`, or a file in a folder `tests`.
fn is_of_tests(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests")
        || path.parent().unwrap().components().any(|part| part.as_os_str() == "tests")
}
