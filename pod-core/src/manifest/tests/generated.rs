//! Files that a test generates and keeps up to date.

use std::path::Path;

/// Fails if `file` (below this crate) is not `expected`; writes the file instead if `UPDATE_GENERATED` is set.
pub(in crate::manifest) fn assert_current(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, expected).unwrap();
        return;
    }
    let actual = std::fs::read_to_string(&path).unwrap_or_default();
    let differing = actual.lines().zip(expected.lines()).enumerate().find(|(_, (a, b))| a != b);
    assert!(
        actual == expected,
        "{} is out of date (first difference: {differing:?}): run the tests of pod-core's manifest module with \
         UPDATE_GENERATED=1",
        path.display()
    );
}
