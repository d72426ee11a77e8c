//! What a terminal needs: colour only where it is one, and nothing printed that could drive it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use pod_core::manifest::{Diagnostic, Severity};

/// True if stderr may carry colour: a terminal, and no `NO_COLOR` (see no-color.org).
pub fn colour_on_stderr() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
        && std::io::stderr().is_terminal()
}

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const CYAN: &str = "\x1b[1;36m";
const RESET: &str = "\x1b[0m";

/// Prints `error: ...` on stderr.
pub fn error(message: &str) {
    labelled("error", RED, message);
}

/// Prints `warning: ...` on stderr.
pub fn warning(message: &str) {
    labelled("warning", YELLOW, message);
}

/// Prints `hint: ...` on stderr.
pub fn hint(message: &str) {
    labelled("hint", CYAN, message);
}

/// Prints a plain line on stderr, with nothing in it that could drive a terminal.
pub fn note(message: &str) {
    line(&harmless_lines(message));
}

fn labelled(label: &str, colour: &str, message: &str) {
    let message = harmless_lines(message);
    if colour_on_stderr() {
        line(&format!("{colour}{label}:{RESET} {message}"));
    } else {
        line(&format!("{label}: {message}"));
    }
}

/// One write, so that lines of several processes do not mix; nobody can be told that stderr is closed.
fn line(text: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Prints diagnostics on stderr, each as `file:line:column: error: path: message`, as compilers do.
pub fn diagnostics(diagnostics: &[Diagnostic]) {
    let text = render_diagnostics(diagnostics, colour_on_stderr());
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// The text of [`diagnostics`].
pub fn render_diagnostics(diagnostics: &[Diagnostic], colour: bool) -> String {
    let mut text = String::new();
    // A hint that stands below the same message once is not repeated below each.
    let mut hinted = HashSet::new();
    for diagnostic in diagnostics {
        let (label, paint) = match diagnostic.severity {
            Severity::Error => ("error", RED),
            Severity::Warning => ("warning", YELLOW),
        };
        let position = diagnostic.position;
        let (start, end) = if colour { (paint, RESET) } else { ("", "") };
        let path = if diagnostic.path.is_empty() { String::new() } else { format!("{}: ", diagnostic.path) };
        let _ = writeln!(
            text,
            "{}:{}:{}: {start}{label}:{end} {}{}",
            harmless(&diagnostic.source),
            position.line,
            position.column,
            harmless(&path),
            harmless_lines(&diagnostic.message),
        );
        if let Some(hint) = &diagnostic.hint
            && hinted.insert((&diagnostic.message, hint))
        {
            let (start, end) = if colour { (CYAN, RESET) } else { ("", "") };
            let _ = writeln!(text, "  {start}hint:{end} {}", harmless_lines(hint));
        }
    }
    text
}

/// The text with every character that drives a terminal made visible: control characters (newline and tab
/// too) and those that reorder what is shown.
pub fn harmless(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// Like [`harmless`], but newlines and tabs stay.
pub fn harmless_lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| c == '\n' || c == '\t')
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let drives = |c: char| drives_terminal(c) && !keep(c);
    if !text.contains(drives) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if drives(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// What a container wrote, for a terminal: colours and text styles (SGR, ECMA-48 8.3.117) and tabs get through,
/// and a carriage return before the end of the line; everything else that drives a terminal is made visible.
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

/// How many bytes of `text` are one sequence that sets colours or styles; 0 if it begins with none.
fn style_length(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\x1b[") else { return 0 };
    let length =
        parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':').unwrap_or(parameters.len());
    if parameters.get(length..).is_some_and(|after| after.starts_with('m')) { length + 3 } else { 0 }
}

/// C0, DEL and C1 controls, and Unicode's bidirectional controls, which let a name show as another.
pub fn drives_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use pod_core::manifest::Position;

    use super::*;

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

    #[test]
    fn diagnostics_read_like_a_compilers() {
        let diagnostic = |severity, path: &str, hint: Option<&str>| Diagnostic {
            severity,
            source: "web.yaml".to_owned(),
            position: Position { line: 7, column: 5 },
            path: path.to_owned(),
            message: "unknown field \x1b[31m\"imag\"".to_owned(),
            hint: hint.map(str::to_owned),
        };
        let all = [
            diagnostic(Severity::Error, "spec.containers[0].imag", Some("did you mean image?")),
            diagnostic(Severity::Warning, "", None),
        ];
        insta::assert_snapshot!(render_diagnostics(&all, false), @r#"
        web.yaml:7:5: error: spec.containers[0].imag: unknown field \u{1b}[31m"imag"
          hint: did you mean image?
        web.yaml:7:5: warning: unknown field \u{1b}[31m"imag"
        "#);
        assert!(render_diagnostics(&all, true).contains("\x1b[1;31merror:\x1b[0m spec"));
    }
}
