//! Text of a manifest, made fit for a message.

use std::borrow::Cow;

/// Writes control characters, line separators and what turns text round as `\u{..}`, so that a message stays
/// one line and a terminal takes no orders from a manifest.
pub fn escape(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    if !text.chars().any(harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if harmful(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// A value for a message, short and harmless.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    format!("\"{}\"", escape(&short))
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn a_terminal_takes_no_orders() {
        assert_eq!(escape("web"), "web");
        assert_eq!(escape("grün 日本"), "grün 日本");
        assert_eq!(escape("a\u{1b}[31m\nb\u{202e}"), "a\\u{1b}[31m\\u{a}b\\u{202e}");
    }
}
