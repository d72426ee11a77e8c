//! Checks that every dependency in a manifest is used: that code of the crate names it, and product code unless it is
//! a dependency of tests only.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::{crates, is_of_tests, rust_files, workspace};

/// Returns the names in a section of a manifest.
fn names(manifest: &str, section: &str) -> BTreeSet<String> {
    let header = format!("[{section}]");
    let lines = manifest.lines().skip_while(|line| *line != header).skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['=', '.', ' ']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Returns true if a path in `text` begins with the crate `name`: `name::...`, `use name;` or `use name as ...`.
fn is_named(text: &str, name: &str) -> bool {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        // `::name::` is the crate, `super::name::` a module of that name.
        let begins = before.strip_suffix("::").unwrap_or(before);
        if begins.ends_with(is_of_word) || begins.ends_with(':') || begins.ends_with('>') {
            return false;
        }
        let is_used = before.ends_with("use ") && (after.starts_with(';') || after.starts_with(" as "));
        after.starts_with("::") || is_used
    })
}

/// Returns the product code of a crate, and its product code together with tests and examples, both without comment
/// lines.
fn code(dir: &Path) -> (String, String) {
    let (mut product, mut all) = (String::new(), String::new());
    for file in ["src", "tests", "examples"].iter().flat_map(|folder| rust_files(&dir.join(folder))) {
        let text = fs::read_to_string(&file).unwrap();
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let text = text.lines().filter(is_code).collect::<Vec<_>>().join("\n");
        let inside = file.strip_prefix(dir).unwrap();
        // The tests of the crate `tests` count as its product.
        if dir.ends_with("tests") {
            product.push_str(&text);
        } else if inside.starts_with("src") && !is_of_tests(inside) {
            product.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
        }
        all.push_str(&text);
    }
    (product, all)
}

#[test]
fn every_dependency_is_used() {
    let mut unused = Vec::new();
    for dir in crates() {
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        let (product, all) = code(&dir);
        for (section, code) in [("dependencies", &product), ("dev-dependencies", &all)] {
            for name in names(&manifest, section) {
                if !is_named(code, &name.replace('-', "_")) {
                    unused.push(format!("{}: {name} in [{section}]", dir.join("Cargo.toml").display()));
                }
            }
        }
    }
    assert!(
        unused.is_empty(),
        "the sources never name these dependencies, remove them:\n{}",
        unused.join("\n")
    );
}

#[test]
fn every_dependency_of_the_workspace_is_one_of_a_crate() {
    let manifest = |dir: &Path| fs::read_to_string(dir.join("Cargo.toml")).unwrap();
    let mut unused = names(&manifest(&workspace()), "workspace.dependencies");
    assert!(unused.len() > 20, "{unused:?}");
    for dir in crates() {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for name in names(&manifest(&dir), section) {
                unused.remove(&name);
            }
        }
    }
    assert!(unused.is_empty(), "no crate has these of [workspace.dependencies], remove them: {unused:?}");
}

#[test]
fn a_name_is_found_only_where_a_path_begins_with_it() {
    for text in
        ["tar::Builder", "use tar;", "use tar as t;", "::tar::Archive", "a(tar::x)", "use tar::{A, B};"]
    {
        assert!(is_named(text, "tar"), "{text}");
    }
    for text in ["super::tar::x", "crate::tar::x", "star::x", "tar_x::y", "let tar = 1;", "use tarred;"] {
        assert!(!is_named(text, "tar"), "{text}");
    }
}
