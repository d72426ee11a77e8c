//! Prints messages on stderr: coloured only on a terminal, and without any character that could drive a terminal.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use base::escape::{harmless, harmless_lines};
use pod_core::manifest::{Diagnostic, Severity};

/// Returns whether stderr may carry colour: it is a terminal, and `NO_COLOR` is not set (see no-color.org).
pub fn colour_on_stderr() -> bool {
    wants_colour() && std::io::stderr().is_terminal()
}

/// Returns whether stdout may carry colour, by the same rules.
pub fn colour_on_stdout() -> bool {
    wants_colour() && std::io::stdout().is_terminal()
}

fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
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

/// Prints a plain line on stderr. Characters that could drive a terminal are made visible.
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

/// Prints a line with one write, so that lines of several processes do not mix. An error is ignored, because a closed
/// stderr cannot be reported anywhere.
fn line(text: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Prints diagnostics on stderr, each as `file:line:column: error: path: message`, the form that compilers use.
pub fn diagnostics(diagnostics: &[Diagnostic]) {
    let text = render_diagnostics(diagnostics, colour_on_stderr());
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Returns the text that [`diagnostics`] prints.
pub fn render_diagnostics(diagnostics: &[Diagnostic], colour: bool) -> String {
    let mut text = String::new();
    // The hint for a message is printed once, not below each diagnostic with that message.
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

#[cfg(test)]
mod tests {
    use pod_core::manifest::Position;

    use super::*;

    #[test]
    fn diagnostics_have_the_form_that_compilers_use() {
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
