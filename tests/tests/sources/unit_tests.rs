//! Checks that unit tests are in one place: in the module `tests` at the end of the file that they test. The module
//! is inline if it is short, else in the file `tests.rs` (which may have a folder `tests`) in the folder of the
//! module.

use std::fs;
use std::path::Path;

use crate::{crates, is_of_tests, rust_files};

/// The most lines of an inline module of tests.
const INLINE: usize = 200;

/// Returns what is wrong with the tests in a file of product code.
fn faults(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    let stem = path.file_stem().unwrap().to_str().unwrap();
    if stem.ends_with("_tests") || stem.ends_with("_test") || stem.starts_with("test_") {
        faults.push("a file of unit tests is tests.rs, or lies in a folder tests".to_owned());
    }
    if path.ends_with("tests/mod.rs") {
        faults.push("the module `tests` is tests.rs beside its folder".to_owned());
    }
    let mut inline = None;
    for (index, line) in lines.iter().enumerate() {
        let number = index + 1;
        let of_tests = index > 0 && lines[index - 1].trim() == "#[cfg(test)]";
        let declared = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        if of_tests && let Some(module) = declared.strip_prefix("mod ") {
            match module {
                "tests;" if number < lines.len() => {
                    faults.push(format!("line {number}: `mod tests;` is the last line of a file"));
                }
                "tests;" => {}
                "tests {" => inline = Some(index),
                _ => faults.push(format!("line {number}: a module of tests is named `tests`")),
            }
        }
        let is_test = line.trim() == "#[test]" || line.trim().starts_with("proptest!");
        if is_test && inline.is_none() {
            faults.push(format!("line {number}: a test outside the module `tests`"));
        }
    }
    if let Some(begin) = inline {
        let end =
            lines.iter().skip(begin).position(|line| *line == "}").map_or(lines.len(), |n| begin + n + 1);
        if end < lines.len() {
            faults.push(format!("line {end}: something follows the module `tests`"));
        }
        if end - begin > INLINE {
            faults.push(format!("line {begin}: the module `tests` is long, move it to {stem}/tests.rs"));
        }
    }
    faults
}

#[test]
fn unit_tests_stand_in_modules_named_tests() {
    let mut all = Vec::new();
    for dir in crates() {
        for path in rust_files(&dir.join("src")) {
            let inside = path.strip_prefix(&dir).unwrap();
            if !is_of_tests(inside) || path.ends_with("tests/mod.rs") {
                let faults = faults(&path, &fs::read_to_string(&path).unwrap());
                all.extend(faults.iter().map(|fault| format!("{}: {fault}", path.display())));
            }
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn other_places_are_found() {
    let count = |name: &str, text: &str| faults(Path::new(name), text).len();
    assert_eq!(count("a.rs", "fn f() {}\n\n#[cfg(test)]\nmod tests;\n"), 0);
    assert_eq!(count("a.rs", "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn f() {}\n}\n"), 0);
    assert_eq!(count("a_tests.rs", "fn f() {}\n"), 1);
    assert_eq!(count("a/tests/mod.rs", "fn f() {}\n"), 1);
    assert_eq!(count("a.rs", "#[cfg(test)]\nmod a_tests;\n"), 1);
    assert_eq!(count("a.rs", "#[cfg(test)]\nmod tests;\nfn f() {}\n"), 1);
    assert_eq!(count("a.rs", "#[test]\nfn f() {}\n"), 1);
    assert_eq!(count("a.rs", "#[cfg(test)]\nmod tests {\n}\nfn f() {}\n"), 1);
    assert_eq!(count("a.rs", &format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(INLINE))), 1);
}
