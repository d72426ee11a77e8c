//! Syntax of YAML and JSON.

use super::*;

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n";

fn config(name: &str) -> String {
    CONFIG.replace("NAME", name)
}

/// Returns the value of `data` in a ConfigMap with this text.
fn data(text: &str) -> serde_json::Value {
    let loaded = read(&format!("{}data:\n{text}\n", config("a")));
    assert_eq!(shown(&loaded.diagnostics), "", "{text}");
    loaded.documents[0].value["data"].clone()
}

#[test]
fn one_bad_document_hides_no_other() {
    let text = format!(
        "{}---\na: [1\n---\n{}---\n\"x\n---\nb: *none\n---\nkind\n---\n{}",
        config("a"),
        config("b"),
        config("c")
    );
    let loaded = read(&text);
    assert_eq!(loaded.documents.len(), 3);
    insta::assert_snapshot!(shown(&loaded.diagnostics));
}

#[test]
fn documents_may_be_empty_or_comments() {
    let text = format!("# nothing\n---\n---\n# more\n\n---\n{}---\nnull\n---\n~\n...\n---\n", config("a"));
    let loaded = read(&text);
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.documents.len(), 1);
    assert_eq!(loaded.documents[0].position, Position { line: 7, column: 1 });
}

#[test]
fn a_text_without_an_object_is_an_error() {
    for text in ["", "\n\n", "# only a comment\n", "---\n---\n", "null", "\u{feff}"] {
        assert_eq!(told(text), "error: f.yaml:1:1: no Kubernetes object in it\n", "{text:?}");
    }
    assert!(load(&[], "default").diagnostics.is_empty());
    assert!(!load(&[source(""), source(&config("a"))], "default").has_errors());
}

#[test]
fn line_ends_byte_order_marks_and_directives() {
    for text in [
        config("a").replace('\n', "\r\n"),
        format!("\u{feff}{}", config("a")),
        format!("%YAML 1.1\n---\n{}...\n", config("a")),
        format!("--- # first\n{}", config("a")),
        config("a").trim_end().to_owned(),
    ] {
        let loaded = read(&text);
        assert_eq!(shown(&loaded.diagnostics), "", "{text:?}");
        assert_eq!(loaded.documents.len(), 1, "{text:?}");
    }
    let text = format!("{}---\n{}", config("a"), config("B")).replace('\n', "\r\n");
    assert_eq!(read(&text).diagnostics[0].position, Position { line: 7, column: 18 });
    assert_eq!(data("  a: |\r\n    x\r\n    y\r"), serde_json::json!({"a": "x\ny\n"}));
}

#[test]
fn json_is_read_too() {
    let object = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"ConfigMap\",\n\t\"metadata\": {\"name\": \"NAME\"},\n\t\"data\": {\"a\\/b\": \"\\ud83d\\ude00 \\u00e4 \\\" \\\\ud83d\"}\n}\n";
    let text =
        format!("{}{}", object.replace("NAME", "a").replace("a\\/b", "a"), object.replace("NAME", "b"));
    let loaded = read(&text);
    assert_eq!(
        shown(&loaded.diagnostics),
        "error: f.yaml:11:19: data[a/b]: \"a/b\" is not valid: a key has at most 253 letters, digits, -, _ and ., and \
         does not begin with ..\n  hint: for example a_b\n"
    );
    assert_eq!(loaded.documents[0].value["data"]["a"], "😀 ä \" \\ud83d");
}

#[test]
fn tabs_do_not_indent() {
    for text in ["a:\n\tb: 1\n", "a:\n  - x\n\t- y\n", "a:\n  b: 1\n  \tc: 2\n", "\ta: 1\n"] {
        let told = told(text);
        assert!(told.contains("hint: YAML is indented with spaces, not with tabs"), "{text:?}: {told}");
    }
    // In other places they are valid.
    assert_eq!(
        data("  a: \t\"b\"\t# c\n  d: |\n    x\n    \ty"),
        serde_json::json!({"a": "b", "d": "x\n\ty\n"})
    );
}

#[test]
fn merge_keys_anchors_and_aliases() {
    assert_eq!(
        data("  <<: {a: \"1\", b: \"2\"}\n  b: \"3\"\n  c: &c text\n  d: *c"),
        serde_json::json!({"b": "3", "c": "text", "d": "text", "a": "1"})
    );
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - &base\n    name: a\n    image: x\n    env: &env [{name: A, value: b}]\n  - <<: *base\n    name: b\n  - <<: [{name: c, tty: true}, *base]\n    env: *env\n";
    let loaded = read(text);
    assert_eq!(shown(&loaded.diagnostics), "");
    let containers = loaded.documents[0].value["spec"]["containers"].as_array().unwrap();
    let summary: Vec<String> =
        containers.iter().map(|c| format!("{} {} {}", c["name"], c["image"], c["env"][0]["name"])).collect();
    assert_eq!(summary, ["\"a\" \"x\" \"A\"", "\"b\" \"x\" \"A\"", "\"c\" \"x\" \"A\""]);
    assert_eq!(loaded.documents[0].positions["spec.containers[1].image"], Position { line: 8, column: 12 });
    assert!(told("a: 1\n<<: 3\n").contains("a merge key (<<) takes a mapping"));
}

#[test]
fn a_key_given_twice_is_refused_with_both_places() {
    insta::assert_snapshot!(told(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  name: b\nspec:\n  containers:\n  - {name: a, image: b, image: c}\n  hostname: x\n  \"hostname\": y\n"
    ));
    let many: String = (0..40).map(|i| format!("  k{i}: v\n")).collect();
    let text = told(&format!("{}data:\n{many}  k3: w\n", config("a")));
    assert!(text.starts_with("error: f.yaml:45:3: the key k3 is given twice; the first is at 8:3"), "{text}");
}

#[test]
fn odd_keys() {
    assert_eq!(
        told(&format!("{}data:\n  yes: \"a\"\n  0644: \"b\"\n", config("a"))),
        "warning: f.yaml:5:3: Kubernetes reads the unquoted key yes as true\n  hint: write \"yes\"\n\
         warning: f.yaml:6:3: Kubernetes reads the unquoted key 0644 as 420\n  hint: write \"0644\"\n"
    );
    insta::assert_snapshot!(gallery(["? [a]\n: b", "{a: b}: c", "null: x", ": x", "~: x"], str::to_owned));
}

#[test]
fn tags() {
    assert_eq!(
        data("  a: !!str 1\n  b: !!binary aGk=\n  c: ! 12\n  d: !!str yes"),
        serde_json::json!({"a": "1", "b": "hi", "c": "12", "d": "yes"})
    );
    insta::assert_snapshot!(gallery(
        ["a: !mine x", "a: !!set {b}", "a: !!int x", "!!map [a]"],
        str::to_owned
    ));
}

#[test]
fn text_that_is_not_yaml_is_told_where_and_what_to_do() {
    insta::assert_snapshot!(gallery(
        [
            "a: b: c",
            "a: 'x",
            "a: \"\\d\"",
            "a: [b, c",
            "a: {b: c",
            "a: @b",
            "a: `b`",
            "a: %b",
            "a:\n  b: 1\n c: 2",
            "a:\n- b\n  c",
            "a:b\nc: d",
            "- a\nb: c",
            "a: |\n x\n  y\n z\nw",
            "a: *b",
            "a: &x [*x]",
            "a: \u{7}",
            "a: \u{feff}b",
            "key: value\nkey2 value2\nkey3: value3",
        ],
        str::to_owned
    ));
}
