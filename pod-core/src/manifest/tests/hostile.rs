//! Malicious and meaningless input.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// Time limit for any input, for a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn quickly(text: &str) -> String {
    let start = Instant::now();
    let told = told(text);
    assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
    told
}

#[test]
fn aliases_that_laugh_a_billion_times_cannot_blow_up() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..20 {
        let previous = format!("*a{}", i - 1);
        writeln!(text, "a{i}: &a{i} [{}]", vec![previous; 10].join(", ")).unwrap();
    }
    let told = quickly(&text);
    assert!(told.contains("stand for more than 100000 values"), "{told}");
    let mut text = String::from("a0: &a0 {x: 1}\n");
    for i in 1..2000 {
        writeln!(text, "a{i}: &a{i} {{b: *a{}}}", i - 1).unwrap();
    }
    assert!(quickly(&text).contains("nested more than 100 levels deep"));
    let keys: String = (0..1000).map(|i| format!("  k{i}: v\n")).collect();
    let merges = format!("a: &a\n{keys}b:\n{}", "- <<: *a\n".repeat(200));
    assert!(quickly(&merges).contains("stand for more than 100000 values"));
}

#[test]
fn aliases_of_long_text_are_limited_too() {
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(50_000));
    assert!(quickly(&text).contains("the aliases of this document stand for more than 8 MiB of text"));
    let text =
        format!("a: {}{}\n", (0..90).map(|i| format!("[&a{i} ")).collect::<String>(), "x".repeat(1 << 20));
    assert!(quickly(&text).contains("more than 8 MiB of text") || quickly(&text).starts_with("error: "));
}

#[test]
fn depth_is_limited() {
    for text in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        (0..3000).map(|i| format!("{}a:\n", " ".repeat(i))).collect(),
        "? ".repeat(50_000),
        "[".repeat(90) + &"]".repeat(90),
        "&a ".repeat(10_000),
        "!!str ".repeat(10_000),
    ] {
        assert!(quickly(&text).starts_with("error: "), "{}", &text[..20]);
    }
}

#[test]
fn a_manifest_of_100_000_documents_is_limited() {
    let text = quickly(&"---\na: 1\n".repeat(100_000));
    assert!(text.lines().count() < 3_000, "{}", text.lines().count());
    assert!(text.contains("the rest is not read"), "{text}");
    let one = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n---\n";
    let many: String = (0..10_001).map(|i| one.replace("NAME", &format!("n{i}"))).collect();
    let loaded = read(&many);
    assert_eq!(loaded.documents.len(), MAX_DOCUMENTS);
    assert!(shown(&loaded.diagnostics).contains("more than 10000 documents; the rest is not read"));
    let big = format!("a: {}\n---\nb: 1\n", "x".repeat(MAX_DOCUMENT));
    assert!(quickly(&big).starts_with("error: f.yaml:1:1: a document of more than 3 MiB\n"));
}

#[test]
fn large_documents_take_their_time_and_no_more() {
    let map = |lines: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n{lines}");
    let keys: String = (0..20_000).map(|i| format!("  k{i}: v\n")).collect();
    assert_eq!(quickly(&map(&keys)), "");
    assert_eq!(quickly(&map(&format!("  a: \"{}\"\n", "\\u00e4".repeat(100_000)))), "");
    assert_eq!(quickly(&map(&format!("  a: |\n{}", "    line\n".repeat(100_000)))), "");
    assert_eq!(quickly(&map(&format!("  a: {}\n", "word ".repeat(100_000)))), "");
    let args = "x, ".repeat(50_000);
    assert_eq!(quickly(&container(&format!("args: [{args}]"))), "");
    let unknown: String = (0..5_000).map(|i| format!("f{i}: 1\n")).collect();
    let told = quickly(&container(&unknown));
    assert!(told.ends_with("4000 more errors and warnings are not shown\n"), "{}", told.lines().count());
}

#[test]
fn very_many_volumes_are_no_burden() {
    let pod = |volumes: &str, mounts: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n  containers:\n  - name: c\n    image: i\n    \
             volumeMounts:\n{mounts}  volumes:\n{volumes}"
        )
    };
    let mounts: String = (0..4_000).map(|i| format!("    - {{name: w{i}, mountPath: /{i}}}\n")).collect();
    let volumes: String = (0..4_000).map(|i| format!("  - {{name: v{i}, emptyDir: {{}}}}\n")).collect();
    let told = quickly(&pod(&volumes, &mounts));
    assert!(told.contains("volumes of the pod: v0, v1, v10, v100") && told.len() < 1 << 20, "{}", told.len());
    let told = quickly(&pod(&"  - {}\n".repeat(30_000), ""));
    assert!(told.contains("spec.volumes[0].name: is required"), "{told}");
}

#[test]
fn what_is_shown_is_harmless() {
    let text = told(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"\\e]0;x\\a\\n\", \"\\e[1m\": 1}\ndata: {\"\\e\": 1}\n",
    );
    assert!(text.contains("\\u{1b}"), "{text}");
    assert!(!text.replace('\n', "").contains(char::is_control), "{text:?}");
}

fn seed() -> Vec<char> {
    include_str!("everything.yaml").chars().collect()
}

/// Text fragments that have a meaning in YAML or in Kubernetes.
const PIECES: [&str; 40] = [
    "\n",
    "\n---\n",
    "\n...\n",
    " ",
    "  ",
    "\t",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "!x ",
    "|\n",
    ">-\n",
    "'",
    "\"",
    "\\",
    "#",
    "%",
    "? ",
    "null",
    "yes",
    "0x1f",
    "1e3",
    "-1",
    "\u{0}",
    "\u{feff}",
    "\u{85}",
    "\r",
    "\u{2028}",
    "name",
    "spec:\n",
    "kind: List\n",
    "items:\n",
];

/// Checks that the results of reading any text are consistent with each other.
fn consistent(text: &str) -> Result<(), TestCaseError> {
    let loaded = read(text);
    for diagnostic in &loaded.diagnostics {
        prop_assert!(diagnostic.position.line >= 1 && diagnostic.position.column >= 1);
        prop_assert!(!diagnostic.to_string().contains(char::is_control), "{diagnostic:?}");
        prop_assert!(!diagnostic.hint.iter().any(|hint| hint.contains(char::is_control)), "{diagnostic:?}");
    }
    for document in &loaded.documents {
        prop_assert!(document.object.metadata().name.is_some());
        prop_assert!(document.positions.contains_key("metadata.name"));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 200 } else { 3000 }))]

    #[test]
    fn any_text_is_survived(text in "\\PC{0,200}") {
        consistent(&text)?;
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        consistent(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn any_pieces_are_survived(pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..80)) {
        consistent(&pieces.concat())?;
    }

    #[test]
    fn a_broken_manifest_is_survived(edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..3usize, proptest::sample::select(&PIECES[..]), 0..12usize), 1..8)) {
        let mut text = seed();
        for (at, what, piece, length) in edits {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            match what {
                0 => { text.drain(at..end); }
                1 => { text.splice(at..at, piece.chars()); }
                _ => { text.splice(at..end, piece.chars()); }
            }
        }
        consistent(&text.into_iter().collect::<String>())?;
    }
}
