//! Prints lines of several containers as `docker compose up` does: `web  | text`, the name in the colour of its pod.

use std::io::{IsTerminal as _, Stdout, Write};

use base::escape::harmless_but_colours;
use pod_core::log::Line;

use crate::output::terminal;

/// The colours of pods, in the order in which pods appear: SGR parameters (ECMA-48 8.3.117), without red, which looks
/// like an error.
const COLOURS: &[&str] = &["36", "33", "32", "35", "34", "96", "93", "92", "95", "94"];

/// Writes lines, each with the name of its container.
#[derive(Debug)]
pub struct PodLines<W = Stdout> {
    out: W,
    /// True if `out` is a terminal: characters that could drive it are made visible.
    terminal: bool,
    colour: bool,
    /// The longest name so far.
    width: usize,
    /// The pods in the order in which they appeared.
    pods: Vec<String>,
    /// The container whose text is not ended by a newline yet.
    open: Option<String>,
}

impl PodLines {
    /// Creates a printer to stdout.
    pub fn to_stdout() -> Self {
        let stdout = std::io::stdout();
        let terminal = stdout.is_terminal();
        Self::new(stdout, terminal, terminal::colour_on_stdout())
    }
}

impl<W: Write> PodLines<W> {
    fn new(out: W, terminal: bool, colour: bool) -> Self {
        Self { out, terminal, colour, width: 0, pods: Vec::new(), open: None }
    }

    /// Writes a line, or a part of one, of the container `label` (`web`, `web/main`) with one write.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn print(&mut self, label: &str, line: &Line<'_>) -> std::io::Result<()> {
        let mut text = Vec::new();
        let continues = self.open.as_deref() == Some(label) && !line.begins;
        if !continues {
            if self.open.take().is_some() {
                text.push(b'\n');
            }
            text.extend(self.prefix(label).into_bytes());
        }
        if self.terminal {
            text.extend(harmless_but_colours(line.content, line.ends).into_bytes());
        } else {
            text.extend(line.content);
        }
        if line.ends {
            // A colour that the container has not ended does not reach the next name.
            if self.colour && line.content.contains(&b'\x1b') {
                text.extend(b"\x1b[0m");
            }
            text.push(b'\n');
        }
        self.open = (!line.ends).then(|| label.to_owned());
        self.out.write_all(&text)?;
        self.out.flush()
    }

    /// Ends a line that a container has not ended, so that a message begins a line of its own.
    pub fn end_line(&mut self) {
        if self.open.take().is_some() {
            // An error is reported by the next line that is printed.
            let _ = self.out.write_all(b"\n").and_then(|()| self.out.flush());
        }
    }

    fn prefix(&mut self, label: &str) -> String {
        let pod = label.split_once('/').map_or(label, |(pod, _)| pod);
        let at = self.pods.iter().position(|known| known == pod).unwrap_or_else(|| {
            self.pods.push(pod.to_owned());
            self.pods.len() - 1
        });
        self.width = self.width.max(label.len());
        let width = self.width;
        match COLOURS.get(at % COLOURS.len()).filter(|_| self.colour) {
            Some(colour) => format!("\x1b[{colour}m{label:<width$} |\x1b[0m "),
            None => format!("{label:<width$} | "),
        }
    }
}

#[cfg(test)]
mod tests {
    use pod_core::log::Stream;

    use super::*;

    fn line(content: &str, begins: bool, ends: bool) -> Line<'_> {
        Line { time: "", stream: Stream::Stdout, content: content.as_bytes(), ends, begins }
    }

    fn printed(colour: bool, lines: &[(&str, Line<'_>)]) -> String {
        let mut printer = PodLines::new(Vec::new(), colour, colour);
        for (label, line) in lines {
            printer.print(label, line).unwrap();
        }
        String::from_utf8(printer.out).unwrap()
    }

    #[test]
    fn every_line_has_the_name_of_its_container() {
        let lines = [
            ("web", line("ready", true, true)),
            ("db/main", line("a ", true, false)),
            ("db/main", line("long line", false, true)),
            ("web", line("GET /", true, true)),
            ("web", line("", true, true)),
        ];
        assert_eq!(
            printed(false, &lines),
            "web | ready\ndb/main | a long line\nweb     | GET /\nweb     | \n"
        );
    }

    #[test]
    fn a_line_that_another_container_interrupts_begins_again_with_its_name() {
        let lines = [
            ("a", line("begun ", true, false)),
            ("b", line("whole", true, true)),
            ("a", line("ended", false, true)),
        ];
        assert_eq!(printed(false, &lines), "a | begun \nb | whole\na | ended\n");
    }

    #[test]
    fn the_containers_of_a_pod_have_one_colour_which_ends_before_the_text() {
        let lines = [
            ("web/a", line("x", true, true)),
            ("db", line("\x1b[31mred", true, true)),
            ("web/b", line("\x1b[2Jy", true, true)),
        ];
        assert_eq!(
            printed(true, &lines),
            "\x1b[36mweb/a |\x1b[0m x\n\x1b[33mdb    |\x1b[0m \x1b[31mred\x1b[0m\n\
             \x1b[36mweb/b |\x1b[0m \\u{1b}[2Jy\x1b[0m\n"
        );
    }
}
