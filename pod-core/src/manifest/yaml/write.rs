//! Writes values as YAML that looks written by hand and that every reader reads the same way: those of YAML 1.1
//! (Kubernetes, PyYAML) and those of YAML 1.2.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Writes `documents` as one YAML stream, separated by `---`.
pub fn write(documents: &[Value]) -> String {
    let mut out = String::new();
    for (index, document) in documents.iter().enumerate() {
        if index > 0 {
            out.push_str("---\n");
        }
        match document {
            Value::Object(map) if !map.is_empty() => mapping(map, 0, &mut out),
            Value::Array(list) if !list.is_empty() => sequence(list, 0, &mut out),
            other => {
                scalar(other, 1, &mut out);
                out.push('\n');
            }
        }
    }
    out
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Writes a mapping. Its first key follows the text already written; the others are indented.
fn mapping(map: &Map<String, Value>, depth: usize, out: &mut String) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 {
            indent(depth, out);
        }
        out.push_str(&quoted(key));
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                indent(depth + 1, out);
                mapping(map, depth + 1, out);
            }
            Value::Array(list) if !list.is_empty() => {
                out.push('\n');
                indent(depth, out);
                sequence(list, depth, out);
            }
            other => {
                out.push(' ');
                scalar(other, depth + 1, out);
                out.push('\n');
            }
        }
    }
}

/// Writes a list. Its dashes are in the column of the key that holds the list.
fn sequence(list: &[Value], depth: usize, out: &mut String) {
    for (index, value) in list.iter().enumerate() {
        if index > 0 {
            indent(depth, out);
        }
        out.push_str("- ");
        match value {
            Value::Object(map) if !map.is_empty() => mapping(map, depth + 1, out),
            Value::Array(list) if !list.is_empty() => sequence(list, depth + 1, out),
            other => {
                scalar(other, depth + 1, out);
                out.push('\n');
            }
        }
    }
}

/// Writes a scalar, an empty list or an empty mapping, without the newline at its end.
fn scalar(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Number(number) => out.push_str(&number_text(&number.to_string())),
        Value::String(text) if is_literal(text) => literal(text, depth, out),
        Value::String(text) => out.push_str(&quoted(text)),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// Returns a number with a dot in its mantissa, because YAML 1.1 reads `1e+20` as text and `1.0e+20` as a number.
fn number_text(text: &str) -> String {
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0e{exponent}"),
        _ => text.to_owned(),
    }
}

/// Returns true for text of several lines that can be written as a literal block. Readers disagree about blocks whose
/// first line begins with white space and about lines of white space only.
fn is_literal(text: &str) -> bool {
    let mut lines = text.trim_end_matches('\n').split('\n');
    text.contains('\n')
        && text.chars().all(|c| c == '\n' || c == '\t' || is_printable(c))
        && lines.clone().all(|line| line.is_empty() || !line.trim().is_empty())
        && lines.find(|line| !line.is_empty()).is_some_and(|first| !first.starts_with([' ', '\t']))
}

fn literal(text: &str, depth: usize, out: &mut String) {
    let body = text.trim_end_matches('\n');
    let ends = text.len() - body.len();
    out.push_str(match ends {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(depth, out);
            out.push_str(line);
        }
    }
    // The caller writes the newline of the last line.
    out.extend(std::iter::repeat_n('\n', ends.saturating_sub(1)));
}

/// Returns a string on one line, without quotes where every reader reads it as that string.
fn quoted(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let printable = text.chars().all(is_printable);
    if printable && !text.contains(['"', '\\']) {
        return format!("\"{text}\"");
    }
    if printable {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push('"');
    out
}

/// Returns true for characters that YAML 1.1 allows unescaped, except line breaks of any kind.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
        && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Returns true for text that no reader of YAML reads as anything but itself when it has no quotes.
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let bad_start = match first {
        '-' | '?' | ':' => text.chars().nth(1).is_none_or(|second| second == ' ' || second == '-'),
        _ => ",[]{}#&*!|>'\"%@`=".contains(first),
    };
    // `--flag` is plain text, `---` separates documents.
    let dashes = text.starts_with("--") && !text.starts_with("---");
    (dashes || !bad_start)
        && text.chars().all(is_printable)
        && !text.starts_with([' ', '\u{a0}'])
        && !text.ends_with([' ', ':', '\u{a0}'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("...")
        && !is_word(text)
        && !is_number(text)
}

/// Returns true for words that mean null, true, false or a merge in YAML 1.1 or 1.2.
fn is_word(text: &str) -> bool {
    const WORDS: [&str; 11] = ["null", "~", "<<", "y", "n", "yes", "no", "on", "off", "true", "false"];
    text.len() <= 5 && WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Returns true for text that some reader reads as a number or a time, among them `0644`, `0x1f`, `1_000`, `1:30`, `1e3`,
/// `.5`, `.inf` and `2026-11-24`. Addresses and versions of three parts are text for all of them.
fn is_number(text: &str) -> bool {
    let body = text.trim_start_matches(['+', '-']);
    let lower = body.to_ascii_lowercase();
    if matches!(lower.as_str(), ".inf" | ".nan" | "inf" | "nan" | "infinity") {
        return true;
    }
    let digits = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if !digits(body) && !body.strip_prefix('.').is_some_and(digits) {
        return false;
    }
    let based = ["0x", "0o", "0b"].iter().find_map(|base| lower.strip_prefix(base));
    if based.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_hexdigit() || c == '_')) {
        return true;
    }
    let numeric = lower.chars().all(|c| c.is_ascii_digit() || "_.e+-:".contains(c));
    let address = lower.chars().filter(|c| *c == '.').count() > 1 && !lower.contains(':');
    let year = lower.len() >= 8
        && lower.chars().take(4).all(|c| c.is_ascii_digit())
        && lower.chars().nth(4) == Some('-')
        && lower.chars().nth(5).is_some_and(|c| c.is_ascii_digit());
    (numeric && !address) || year
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn it_reads_as_if_written_by_hand() {
        let value = json!({
            "name": "web",
            "empty": {}, "none": [], "port": 80, "ratio": 0.5, "on": true,
            "command": ["sh", "-c", "--", "-", "echo one\necho two\n"],
            "list": [{"a": 1, "b": {"c": "d"}}, ["x", ["y"]]],
            "keep": "a\n\n b\n\n", "strip": "a\nb",
            "k: v": "l: m", "path": "/a b", "said": "say \"hi\"", "both": "it's \"so\"\\",
            "bell": "\u{7}\u{85}\u{2028}\u{1f600}", "indented": "  a\nb",
        });
        insta::assert_snapshot!(write(&[value, json!({"b": 1})]));
    }

    #[test]
    fn what_some_reader_takes_for_something_else_is_quoted() {
        for text in [
            "yes",
            "No",
            "y",
            "N",
            "on",
            "OFF",
            "true",
            "null",
            "~",
            "<<",
            "=",
            "",
            "0644",
            "1",
            "-1",
            "+1",
            "1e3",
            "1E3",
            "0x1F",
            "0o7",
            "0b1",
            "1_000",
            "1:30",
            "190:20:30.15",
            ".5",
            "5.",
            "1.36",
            "12e03",
            ".inf",
            "-.INF",
            ".nan",
            "2026-11-24",
            "2026-11-24T10:00:00Z",
            "---",
            "--- a",
            "...",
            "- a",
            "-",
            "? a",
            "?",
            ": a",
            "a: b",
            "a:",
            "a #b",
            "#a",
            "&a",
            "*a",
            "!a",
            "|",
            ">",
            "'a",
            "\"a",
            "%a",
            "@a",
            "`a",
            "[a",
            "{a",
            " a",
            "a ",
            "a\tb",
            "\u{feff}a",
            "1:2",
            "0777_",
        ] {
            assert!(!is_plain(text), "{text:?}");
        }
        for text in [
            "web",
            "a b",
            "-c",
            "--flag",
            "--flag=1",
            "10.0.0.1",
            "1.2.3",
            "10.89.0.0/16",
            "fe80::1",
            "::1",
            "500m",
            "64Mi",
            "1Gi",
            "1h",
            "a:b",
            "a#b",
            "http://a/b?c=d#e",
            "it's",
            "$(NAME)",
            "/a",
            "~/a",
            "none",
            "nginx:1.27",
            "é",
            "No1",
        ] {
            assert!(is_plain(text), "{text:?}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "[a-z0-9 :#'\"\\\\\n\t-]{0,12}",
            "\\PC{0,6}",
            ".{0,4}",
            "(\n| |a|\t|-){0,6}",
            "[0-9._:eExob+-]{1,6}",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e30..1e30).prop_map(|n: f64| Value::from(n)),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(text.clone(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// serde_yaml, a reader of YAML 1.2, checks independently what the writer prints.
        #[test]
        fn every_value_is_read_back_as_it_was(value in values()) {
            let text = write(std::slice::from_ref(&value));
            let read: Value = serde_yaml::from_str(&text).unwrap();
            prop_assert_eq!(read, value, "{}", text);
        }
    }
}
