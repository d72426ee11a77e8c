use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Chunk, parse};
use crate::manifest::Position;
use crate::manifest::yaml::{Data, Node};

fn chunk(text: &str) -> Chunk<'_> {
    Chunk { text, lines_before: 0, columns_before: 0, json: false }
}

fn read(text: &str) -> Result<Node, String> {
    let mut parsed = parse(chunk(text));
    match parsed.problems.first() {
        None => Ok(parsed.documents.remove(0)),
        Some(problem) => {
            let Position { line, column } = problem.position;
            Err(format!("{line}:{column}: {}", problem.message))
        }
    }
}

fn value(text: &str) -> Value {
    read(text).unwrap_or_else(|error| panic!("{text}\n{error}")).to_json()
}

/// What kubectl 1.32 makes of these texts.
#[test]
fn brackets_and_quotes_may_close_at_the_column_of_their_key() {
    for (text, expected) in [
        ("a:\n  b: [\n    x\n  ]\n  c: 1\n", json!({"a": {"b": ["x"], "c": 1}})),
        ("a:\n  b: [\n  x,\n  w]\n  c: 1\n", json!({"a": {"b": ["x", "w"], "c": 1}})),
        ("a:\n  b: {\n    x: 1,\n    w: [2,\n3]\n  }\n", json!({"a": {"b": {"x": 1, "w": [2, 3]}}})),
        ("a:\n- b: [\n  ]\n- c: {\n}\n", json!({"a": [{"b": []}, {"c": {}}]})),
        ("a:\n  b:\n   [x,\n  w]\n", json!({"a": {"b": ["x", "w"]}})),
        ("a:\n  b: {\n\tx: \"w\"\n\t}\n", json!({"a": {"b": {"x": "w"}}})),
        ("a:\n  b: \"x\n  w\"\n  c: 1\n", json!({"a": {"b": "x w", "c": 1}})),
        ("a:\n  b: 'x\n\n w\nz'\n", json!({"a": {"b": "x\nw z"}})),
        ("a:\n  b: \"x \\\n  \\ w\"\n", json!({"a": {"b": "x  w"}})),
        ("a:\n  b: \"x\n\tw\"\n", json!({"a": {"b": "x w"}})),
        (
            "- - a: [\n  x, # ]\n  'it''s ]', \"\\\"]\",\n# [\n  w z\n  'v]\n",
            json!([[{"a": ["x", "it's ]", "\"]", "w z 'v"]}]]),
        ),
        ("a:\n  b: [!<tag:yaml.org,2002:str> 1,\n  &x 2, *x]\n", json!({"a": {"b": ["1", 2, 2]}})),
        ("a:\r\n  b: [\r\n    x\r\n  ]\r\n  c: 1\r\n", json!({"a": {"b": ["x"], "c": 1}})),
        ("ü:\n  ö: [\n  ä,\n  'ü\n  ß']\n", json!({"ü": {"ö": ["ä", "ü ß"]}})),
        (
            "a:\n  b: |\n    [\n   \n    x: 'w\n  c: [\n  ]\n  d: it's [\n",
            json!({"a": {"b": "[\n\nx: 'w\n", "c": [], "d": "it's ["}}),
        ),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn places_are_those_of_the_text_as_it_was_written() {
    let node = read("a:\n  b: [\n  {x: 1,\n  w: 2}\n  ]\n  c: 3\n").unwrap();
    let a = &node.get("a").unwrap().value;
    let Data::Sequence(items) = &a.get("b").unwrap().value.data else { panic!() };
    let at = |entry: &crate::manifest::yaml::Entry| (entry.position.line, entry.position.column);
    assert_eq!(items[0].position, Position { line: 3, column: 3 });
    assert_eq!(at(items[0].get("w").unwrap()), (4, 3));
    assert_eq!(at(a.get("c").unwrap()), (6, 3));
    // So are those of errors that come after lines that were moved, or stand in one.
    for (text, place) in [
        ("a:\n  b: [\n  ]\n  c: [\n", "5:1: "),
        ("a:\n  b: [\n  ]\n  c: @x\n", "4:6: "),
        ("a:\n  b: [\n  x, @w ]\n", "3:6: "),
        ("a:\n  b: \"x\n  w\n", "2:6: "),
        ("a:\n  b: [\n  x\n", "3:3: "),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(place), "{text}: {error}");
    }
}

#[test]
fn what_is_wrong_beside_stays_wrong() {
    for text in [
        "a:\n  b: 1\n c: 2\n",
        "a:\n\tb: [\n\t]\n",
        "a:\n  b: [\n  ] x\n",
        "a:\n  b: [\n  }\n",
        "a:\n  b: \"x\n  w\" z\n",
        "a: [\n]]\n",
        "a:\n  b: [x\n  c: 1\n",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn very_many_lines_are_moved_in_little_time() {
    let begin = std::time::Instant::now();
    let one = format!("a:\n  b: [\n{}  ]\n", "  x,\n".repeat(30_000));
    assert_eq!(value(&one)["a"]["b"].as_array().unwrap().len(), 30_000);
    // Very many collections are not worth the time: that is an error like any other.
    let many = format!("a:\n{}", "- b: [\n]\n".repeat(100_000));
    assert!(read(&many).is_err());
    // Nor are very many blanks.
    let wide = format!("a:\n  b: {}[\n{}  ]\n", " ".repeat(2_000), "  x,\n".repeat(10));
    assert!(read(&wide).is_err());
    assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
}

/// Any value, written in flow style over several lines.
fn written(value: &Value, break_lines: &mut impl FnMut() -> String, out: &mut String) {
    let many = |out: &mut String,
                open,
                close,
                parts: Vec<(Option<&String>, &Value)>,
                brk: &mut dyn FnMut() -> String| {
        out.push(open);
        for (index, (key, value)) in parts.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(&brk());
            if let Some(key) = key {
                out.push_str(&Value::String((*key).clone()).to_string());
                out.push_str(": ");
            }
            let mut inner = || brk();
            written_dyn(value, &mut inner, out);
        }
        out.push_str(&brk());
        out.push(close);
    };
    match value {
        Value::Array(items) => {
            many(out, '[', ']', items.iter().map(|item| (None, item)).collect(), break_lines);
        }
        Value::Object(map) => {
            many(out, '{', '}', map.iter().map(|(k, v)| (Some(k), v)).collect(), break_lines);
        }
        other => out.push_str(&other.to_string()),
    }
}

fn written_dyn(value: &Value, mut brk: &mut dyn FnMut() -> String, out: &mut String) {
    written(value, &mut brk, out);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z#:,\\[\\]{}'\"? -]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{0,3}['# ]", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn collections() -> impl Strategy<Value = Value> {
    values().prop_filter("a collection", |value| value.is_array() || value.is_object())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 150 } else { 3000 }))]

    /// However the lines of a flow collection are indented, it means the same.
    #[test]
    fn the_indentation_of_a_flow_collection_means_nothing(
        first in collections(),
        second in collections(),
        breaks in prop::collection::vec(prop_oneof![
            Just(None), (0_usize..8).prop_map(Some), Just(Some(0)), Just(Some(4))
        ], 1..20),
    ) {
        let mut turn = breaks.iter().cycle();
        let mut brk = || match turn.next().copied().flatten() {
            None => " ".to_owned(),
            Some(blanks) => format!("\n{}", " ".repeat(blanks)),
        };
        let (mut one, mut other) = (String::new(), String::new());
        written(&first, &mut brk, &mut one);
        written(&second, &mut brk, &mut other);
        let text = format!("k:\n  - x: {one}\n    m: 'z'\n  - {other}\nl: 1\n");
        let expected = json!({"k": [{"x": first, "m": "z"}, second], "l": 1});
        prop_assert_eq!(read(&text).map(|node| node.to_json()), Ok(expected), "{}", text);
    }

    /// Nor does that of the lines of quoted text.
    #[test]
    fn the_indentation_of_quoted_text_means_nothing(
        lines in prop::collection::vec(("[a-z:#\\[\\]{}, -]{0,6}", 0_usize..8), 1..6),
        double in any::<bool>(),
    ) {
        let quote = if double { '"' } else { '\'' };
        let part = |(text, _): &(String, usize)| text.trim().to_owned();
        let deep: Vec<String> = lines.iter().map(|line| format!("{}{}", " ".repeat(20), part(line))).collect();
        let as_given: Vec<String> = lines.iter().map(|line| format!("{}{}", " ".repeat(line.1), part(line))).collect();
        // A line of dashes at the margin ends the document.
        prop_assume!(as_given.iter().all(|line| !line.starts_with("---")));
        let text = |lines: &[String]| format!("a:\n  b: {quote}x\n{}{quote}\n  c: 1\n", lines.join("\n"));
        prop_assert_eq!(
            read(&text(&as_given)).map(|node| node.to_json()),
            read(&text(&deep)).map(|node| node.to_json())
        );
    }
}
