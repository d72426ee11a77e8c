//! Checks that a module uses only modules below it, and that no files use each other in a ring.
//!
//! [`FLOORS`] is the list of docs/architecture.md. The imports of a crate are found by reading its sources: `use` lines
//! and paths in code, resolved through `pub use` to the file that an item lies in ([`imports`](crate::imports)).

use std::collections::BTreeMap;

use crate::imports::{Crate, Import};
use crate::{crates, workspace};

/// The modules of pod-core, top floor first. Modules of one line do not use each other.
const FLOORS: &[&[&str]] = &[
    &["fuzz"],
    &["play"],
    &["observe"],
    &["repair"],
    &["supervisor"],
    &["inside"],
    &["inherited", "probe", "sandbox"],
    &["traffic"],
    &["log"],
    &["ingress"],
    &["service"],
    &["controller"],
    &["generate"],
    &["volume"],
    &["runtime"],
    &["image"],
    &["record"],
    &["workload"],
    &["lifecycle"],
    &["plan"],
    &["manifest"],
    &["store"],
    &["kind"],
    &["version"],
];

/// Returns the floor of a module, counted from the top.
fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Returns the imports of a crate that violate the order of its modules.
fn against_the_floors(imports: &[Import]) -> Vec<String> {
    let mut wrong = Vec::new();
    for import in imports {
        let (Some(from), Some(to)) = (module(&import.from), module(&import.to)) else { continue };
        if from == to {
            continue;
        }
        let place = format!("{}:{}", import.from, import.line);
        match (floor_of(from), floor_of(to)) {
            (Some(upper), Some(lower)) if upper < lower => {}
            (Some(_), Some(_)) => wrong.push(format!("{place}: `{from}` uses `{to}`, which is not below it")),
            _ => wrong.push(format!("{place}: `{from}` or `{to}` has no floor: name it in FLOORS")),
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

/// Returns the top-level module that a file belongs to, or `None` for the root of the crate.
fn module(file: &str) -> Option<&str> {
    let first = file.split('/').next()?;
    let first = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(first, "lib" | "main")).then_some(first)
}

/// Returns the rings of files, each by its members. The `mod.rs` of a folder and the files in the folder belong
/// together: what these files use of their `mod.rs` is not a ring.
fn rings(imports: &[Import]) -> Vec<Vec<String>> {
    let mut uses: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for import in imports {
        if !is_inside(&import.from, &import.to) {
            uses.entry(&import.from).or_default().push(&import.to);
            uses.entry(&import.to).or_default();
        }
    }
    let reached = |start: &str| {
        let mut seen: Vec<&str> = Vec::new();
        let mut next: Vec<&str> = uses.get(start).into_iter().flatten().copied().collect();
        while let Some(file) = next.pop() {
            if !seen.contains(&file) {
                seen.push(file);
                next.extend(uses.get(file).into_iter().flatten());
            }
        }
        seen
    };
    let reach: BTreeMap<&str, Vec<&str>> = uses.keys().map(|file| (*file, reached(file))).collect();
    let mut found: Vec<Vec<String>> = Vec::new();
    for (file, seen) in &reach {
        let ring = seen.iter().filter(|other| reach[*other].contains(file)).map(|other| (*other).to_owned());
        let mut ring: Vec<String> = ring.collect();
        ring.sort();
        if ring.len() > 1 && !found.contains(&ring) {
            found.push(ring);
        }
    }
    found
}

/// Returns true if `file` is in the folder whose root is `parent`: `a/b.rs` is in that of `a/mod.rs` or `a.rs`.
fn is_inside(file: &str, parent: &str) -> bool {
    let folder = match parent.rsplit_once('/') {
        Some((folder, "mod.rs")) => folder,
        None if matches!(parent, "lib.rs" | "main.rs") => return true,
        _ => parent.strip_suffix(".rs").unwrap_or(parent),
    };
    file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

#[test]
fn a_module_of_pod_core_uses_only_modules_below_it() {
    let pod_core = Crate::read(&workspace().join("pod-core/src"));
    let imports = pod_core.imports();
    assert!(imports.len() > 1000, "only {} imports were found", imports.len());
    let wrong = against_the_floors(&imports);
    assert!(wrong.is_empty(), "{} imports against the floors:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_files_use_each_other_in_a_ring() {
    let mut found = Vec::new();
    for dir in crates().iter().filter(|dir| !dir.ends_with("tests")) {
        let rings = rings(&Crate::read(&dir.join("src")).imports());
        for ring in rings {
            found.push(format!("{}: {}", dir.file_name().unwrap().display(), ring.join(", ")));
        }
    }
    assert!(found.is_empty(), "{} rings of files:\n{}", found.len(), found.join("\n"));
}

fn krate(files: &[(&str, &str)]) -> Crate {
    Crate::of(files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect())
}

#[test]
fn an_import_against_the_floors_is_found_with_its_file_and_line() {
    let lib = "pub mod lifecycle;\npub mod play;\npub mod supervisor;\n";
    let play = ("play/mod.rs", "pub struct Change;\npub use crate::supervisor::Host;\n");
    let supervisor = ("supervisor/mod.rs", "pub struct Host;\n");
    for (text, line) in [
        ("//! x\n\nuse crate::play::Change;\n", 3),
        ("use std::fmt;\nuse crate::{\n    play::{self, Change},\n};\n", 2),
        ("fn f() {\n    let _ = crate::play::Change;\n}\n", 2),
        ("mod a;\nfn f(_: super::play::Change) {}\n", 2),
    ] {
        let files = [("lib.rs", lib), play, supervisor, ("lifecycle/mod.rs", text)];
        let wrong = against_the_floors(&krate(&files).imports());
        assert_eq!(
            wrong,
            [format!("lifecycle/mod.rs:{line}: `lifecycle` uses `play`, which is not below it")]
        );
    }
    // Through a re-export, the import counts for the module that contains the item.
    let files = [("lib.rs", lib), play, supervisor, ("lifecycle/mod.rs", "use crate::play::Host;\n")];
    let wrong = against_the_floors(&krate(&files).imports());
    assert_eq!(wrong, ["lifecycle/mod.rs:1: `lifecycle` uses `supervisor`, which is not below it"]);
    for text in [
        "// use crate::play::Change;\n",
        "/// See [`crate::play::Change`].\nfn f() -> &'static str { \"crate::play::Change\" }\n",
        "#[cfg(test)]\nmod tests {\n    use crate::play::Change;\n}\n",
    ] {
        let files = [("lib.rs", lib), play, supervisor, ("lifecycle/mod.rs", text)];
        assert_eq!(against_the_floors(&krate(&files).imports()), [""; 0], "{text}");
    }
}

#[test]
fn a_ring_of_files_is_found_and_a_folders_root_makes_none() {
    let lib = ("lib.rs", "mod a;\nmod b;\nmod c;\npub struct Error;\n");
    let files = [
        lib,
        ("a.rs", "use crate::b::B;\n"),
        ("b.rs", "use super::c;\n"),
        ("c.rs", "fn f() { crate::a::f() }"),
    ];
    assert_eq!(rings(&krate(&files).imports()), [["a.rs", "b.rs", "c.rs"]]);
    let files = [
        lib,
        ("a/mod.rs", "mod x;\nmod y;\npub use x::X;\nuse self::y::Y;\npub struct Z;\n"),
        ("a/x.rs", "use super::Z;\nuse super::y::Y;\nuse crate::Error;\n"),
        ("a/y.rs", "use super::Z;\n"),
    ];
    assert_eq!(rings(&krate(&files).imports()), [[""; 0]; 0]);
    // Also through the re-export of the folder.
    let files = [
        lib,
        ("a/mod.rs", "mod x;\nmod y;\npub use x::X;\n"),
        ("a/x.rs", "use super::y::Y;\n"),
        ("a/y.rs", "use super::X;\n"),
    ];
    assert_eq!(rings(&krate(&files).imports()), [["a/x.rs", "a/y.rs"]]);
}
