//! Foreign text, made safe to show. Text of a manifest, an image or a container may contain characters that drive a
//! terminal or that make a name look like another; they are shown as escapes (`\u{1b}`).

use std::borrow::Cow;

/// Returns true for characters that drive a terminal: C0, DEL and C1 controls, and the bidirectional controls of Unicode,
/// which make a name look like another.
pub fn drives_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

/// Returns true for characters that cannot be seen, or that end a line for some readers.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}')
}

/// Writes every character that drives a terminal, cannot be seen or separates lines as `\u{..}`, so that a message that
/// contains the text stays one line.
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_if(text, |c| drives_terminal(c) || is_invisible(c), |c, out| out.extend(c.escape_unicode()))
}

/// Returns a value for a message: quoted, at most 60 characters of it, and escaped like [`escape`].
pub fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    format!("\"{}\"", escape(&short))
}

/// Writes every character that drives a terminal, newline and tab included, as an escape.
pub fn harmless(text: &str) -> Cow<'_, str> {
    escape_if(text, drives_terminal, |c, out| out.extend(c.escape_default()))
}

/// Like [`harmless`], but keeps newlines and tabs.
pub fn harmless_lines(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| drives_terminal(c) && c != '\n' && c != '\t';
    escape_if(text, is_harmful, |c, out| out.extend(c.escape_default()))
}

fn escape_if(
    text: &str,
    is_harmful: impl Fn(char) -> bool,
    escape: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if !text.contains(&is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_harmful(c) {
            escape(c, &mut out);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Returns the output of a container for a terminal. Colours and text styles (SGR, ECMA-48 8.3.117) and tabs are kept,
/// and so is a carriage return before the end of the line if the line `ends`; other characters that drive a terminal are
/// written as escapes.
pub fn harmless_but_colours(content: &[u8], ends: bool) -> String {
    let text = String::from_utf8_lossy(content);
    let (text, end) = match text.strip_suffix('\r') {
        Some(text) if ends => (text, "\r"),
        _ => (&*text, ""),
    };
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c| drives_terminal(c) && c != '\t') {
        let (before, from) = rest.split_at(at);
        safe.push_str(before);
        let style = style_length(from);
        if style > 0 {
            let (style, after) = from.split_at(style);
            safe.push_str(style);
            rest = after;
        } else {
            let mut characters = from.chars();
            safe.extend(characters.next().into_iter().flat_map(char::escape_default));
            rest = characters.as_str();
        }
    }
    safe.push_str(rest);
    safe.push_str(end);
    safe
}

/// Returns the length in bytes of the sequence that sets colours or styles at the start of `text`; 0 if there is none.
fn style_length(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\x1b[") else { return 0 };
    let length =
        parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':').unwrap_or(parameters.len());
    if parameters.get(length..).is_some_and(|after| after.starts_with('m')) { length + 3 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_takes_no_orders() {
        assert_eq!(escape("web"), "web");
        assert_eq!(escape("grün 日本"), "grün 日本");
        assert_eq!(escape("a\u{1b}[31m\nb\u{202e}"), "a\\u{1b}[31m\\u{a}b\\u{202e}");
        assert_eq!(escape("\u{200b}\u{2060}\u{feff}"), "\\u{200b}\\u{2060}\\u{feff}");
    }

    #[test]
    fn what_drives_a_terminal_is_made_visible() {
        assert_eq!(harmless("plain \u{e9}\u{4e2d}"), "plain \u{e9}\u{4e2d}");
        assert_eq!(harmless("a\x1b]0;x\x07b\n"), "a\\u{1b}]0;x\\u{7}b\\n");
        assert_eq!(harmless("\u{202e}gnp.exe"), "\\u{202e}gnp.exe");
        assert_eq!(harmless_lines("a\n\tb\r"), "a\n\tb\\r");
    }

    #[test]
    fn logs_on_a_terminal_keep_their_colours_and_nothing_else() {
        let shown = |text: &str| harmless_but_colours(text.as_bytes(), true);
        assert_eq!(shown("\x1b[1;31mred\x1b[0m\ta\x1b[m"), "\x1b[1;31mred\x1b[0m\ta\x1b[m");
        assert_eq!(shown("\x1b]0;title\x07"), "\\u{1b}]0;title\\u{7}");
        assert_eq!(shown("\x1b[2J\x1b[31"), "\\u{1b}[2J\\u{1b}[31");
        assert_eq!(shown("hidden\rshown\r"), "hidden\\rshown\r");
        assert_eq!(harmless_but_colours(b"half\r", false), "half\\r");
        assert_eq!(harmless_but_colours(b"\xff\xc2\x9b31m", true), "\u{fffd}\\u{9b}31m");
    }
}
