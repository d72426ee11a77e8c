//! Splits a text into one chunk per document, so that an invalid document does not hide the others.

use serde::de::IgnoredAny;

/// A part of a source with at most one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk<'a> {
    /// The text, including its `---` line.
    pub text: &'a str,
    /// Number of lines of the source before it.
    pub lines_before: usize,
    /// Number of characters before it on its first line.
    pub columns_before: usize,
    /// Whether the text is JSON.
    pub json: bool,
}

/// Splits at `---` and `...` lines, which YAML does not allow inside a value, and between consecutive JSON values, as
/// kubectl does.
pub(crate) fn split(text: &str) -> impl Iterator<Item = Chunk<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let json = split_json(text);
    let lines = if json.is_empty() { Some(Lines { rest: text, lines_before: 0 }) } else { None };
    json.into_iter().chain(lines.into_iter().flatten())
}

/// Splits several consecutive JSON values; empty if `text` is something else.
fn split_json(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    if !text.trim_start().starts_with('{') {
        return chunks;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let mut start = 0;
    let mut before = (0, 0);
    while let Some(value) = values.next() {
        let end = values.byte_offset();
        let Some(chunk) = text.get(start..end) else { return Vec::new() };
        if value.is_err() {
            return Vec::new();
        }
        chunks.push(Chunk { text: chunk, lines_before: before.0, columns_before: before.1, json: true });
        before.0 += chunk.bytes().filter(|&b| b == b'\n').count();
        before.1 = match chunk.rfind('\n') {
            Some(at) => chunk.get(at + 1..).unwrap_or_default().chars().count(),
            None => before.1 + chunk.chars().count(),
        };
        start = end;
    }
    chunks
}

struct Lines<'a> {
    rest: &'a str,
    lines_before: usize,
}

/// Returns true for a line that begins with `marker` as a word.
fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

impl<'a> Iterator for Lines<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut end = 0;
        let mut lines = 0;
        // Directives (`%YAML 1.1`) belong to the `---` after them.
        let mut only_directives = true;
        for line in self.rest.split_inclusive('\n') {
            if is_marker(line, "---") && !only_directives {
                break;
            }
            end += line.len();
            lines += 1;
            if is_marker(line, "...") {
                break;
            }
            let trimmed = line.trim();
            only_directives &= line.starts_with('%') || trimmed.is_empty() || trimmed.starts_with('#');
        }
        let (text, rest) = self.rest.split_at_checked(end)?;
        let chunk = Chunk { text, lines_before: self.lines_before, columns_before: 0, json: false };
        self.rest = rest;
        self.lines_before += lines;
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<(usize, &str)> {
        split(text).map(|chunk| (chunk.lines_before, chunk.text)).collect()
    }

    #[test]
    fn documents_are_split_at_their_markers() {
        assert_eq!(parts(""), []);
        assert_eq!(parts("a: 1\n"), [(0, "a: 1\n")]);
        assert_eq!(
            parts("a: 1\n---\nb: 2\n--- # c\nc: 3"),
            [(0, "a: 1\n"), (1, "---\nb: 2\n"), (3, "--- # c\nc: 3")]
        );
        assert_eq!(parts("# note\n---\na: 1\n"), [(0, "# note\n---\na: 1\n")]);
        assert_eq!(
            parts("%YAML 1.1\n---\na: 1\n...\nb: 1\n"),
            [(0, "%YAML 1.1\n---\na: 1\n...\n"), (4, "b: 1\n")]
        );
        assert_eq!(parts("a: 1\r\n---\r\nb: 2\r\n"), [(0, "a: 1\r\n"), (1, "---\r\nb: 2\r\n")]);
        assert_eq!(parts("a: |\n  ---\n  x\n---x: 1\n"), [(0, "a: |\n  ---\n  x\n---x: 1\n")]);
        assert_eq!(parts("\u{feff}a: 1\n"), [(0, "a: 1\n")]);
    }

    #[test]
    fn json_values_that_follow_each_other_are_documents() {
        let chunks: Vec<_> = split("{\"a\": \"}\"}\n{\"b\": 1} {\"c\": 1}").collect();
        assert_eq!(chunks.len(), 3);
        assert_eq!(
            chunks[1],
            Chunk { text: "\n{\"b\": 1}", lines_before: 0, columns_before: 10, json: true }
        );
        assert_eq!(chunks[2], Chunk { text: " {\"c\": 1}", lines_before: 1, columns_before: 8, json: true });
        assert_eq!(parts("{a: 1}\n---\n{b: 2}\n").len(), 2);
    }
}
