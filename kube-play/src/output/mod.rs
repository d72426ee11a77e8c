//! What goes to stdout: tables as kubectl writes them, and objects as JSON or YAML.

pub mod exit;
pub mod progress;
pub mod report;
pub mod terminal;

use std::io::{ErrorKind, Write as _};

use anyhow::Context as _;
use base::escape::harmless;
use clap::ValueEnum;
use pod_core::manifest::to_yaml;
use serde::Serialize;
use serde_json::{Value, json};

/// Nobody reads our stdout any more. Not worth a message.
#[derive(Debug, thiserror::Error)]
#[error("stdout is closed")]
pub struct Closed;

/// `-o` of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    // A table with more columns
    Wide,
    // Kubernetes objects, as JSON
    Json,
    // Kubernetes objects, as YAML
    Yaml,
    // KIND/NAME, a line each
    Name,
}

/// `-o` of what is no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ObjectFormat {
    // JSON
    Json,
    // YAML
    Yaml,
}

// Arguments of a list.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Listing {
    /// The output format
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    pub output: Option<Format>,
    /// Print no header line
    #[arg(long)]
    pub no_headers: bool,
}

/// What a list is printed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// [`Table`].
    Table,
    /// KIND/NAME, a line each.
    Names,
    /// Kubernetes' objects.
    Objects(ObjectFormat),
}

impl Listing {
    /// True for the table with more columns.
    pub fn is_wide(self) -> bool {
        self.output == Some(Format::Wide)
    }

    /// As what it is asked for.
    pub fn shape(self) -> Shape {
        match self.output {
            None | Some(Format::Wide) => Shape::Table,
            Some(Format::Name) => Shape::Names,
            Some(Format::Json) => Shape::Objects(ObjectFormat::Json),
            Some(Format::Yaml) => Shape::Objects(ObjectFormat::Yaml),
        }
    }
}

/// Says that a list is empty. On stderr, so that a script that counts lines counts none.
pub fn none_found(what: &str, namespace: Option<&str>) {
    terminal::note(&match namespace {
        None => format!("No {what} found"),
        Some(namespace) => format!("No {what} found in namespace {namespace}"),
    });
}

/// Writes text to stdout.
///
/// # Errors
/// [`Closed`], or what the kernel says (a full disk).
pub fn print(text: &str) -> anyhow::Result<()> {
    print_bytes(text.as_bytes())
}

/// Writes bytes to stdout, at once.
///
/// # Errors
/// As [`print`].
pub fn print_bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(error).context("write to stdout"),
    }
}

/// Writes an object to stdout.
///
/// # Errors
/// As [`print`].
pub fn print_object<T: Serialize>(object: &T, format: ObjectFormat) -> anyhow::Result<()> {
    let text = match format {
        ObjectFormat::Json => serde_json::to_string_pretty(object)? + "\n",
        ObjectFormat::Yaml => to_yaml(&[serde_json::to_value(object)?]),
    };
    print(&text)
}

/// Writes one of the objects of a list without an end to stdout.
///
/// # Errors
/// As [`print`].
pub fn print_next<T: Serialize>(object: &T, format: ObjectFormat) -> anyhow::Result<()> {
    if format == ObjectFormat::Yaml {
        print("---\n")?;
    }
    print_object(object, format)
}

/// Writes a list of objects to stdout.
///
/// # Errors
/// As [`print`].
pub fn print_list<T: Serialize>(
    items: impl IntoIterator<Item = T>,
    format: ObjectFormat,
) -> anyhow::Result<()> {
    let items = items.into_iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    print_object(&list(items), format)
}

/// Writes lines to stdout.
///
/// # Errors
/// As [`print`].
pub fn print_lines(lines: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
    print(&lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect::<String>())
}

/// Kubernetes' `v1 List` of objects that carry their own kind.
pub fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
}

/// A table as kubectl's: upper-case headers, columns three spaces apart, nothing after the last.
#[derive(Debug, Clone)]
pub struct Table {
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Columns are at least this wide.
    widths: Vec<usize>,
}

impl Table {
    /// A table without rows.
    pub fn new<'a>(headers: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            headers: headers.into_iter().map(str::to_owned).collect(),
            rows: Vec::new(),
            widths: Vec::new(),
        }
    }

    /// Adds a row; what could drive a terminal is made visible, an empty cell shows as `<none>`.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cell = |text: String| match text.as_str() {
            "" => "<none>".to_owned(),
            text => harmless(text).into_owned(),
        };
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    /// Makes the columns at least as wide as those of an earlier table that this one goes on.
    pub fn at_least(mut self, widths: Vec<usize>) -> Self {
        self.widths = widths;
        self
    }

    /// How wide the columns are.
    pub fn widths(&self, headers: bool) -> Vec<usize> {
        let mut widths = self.widths.clone();
        for line in self.lines(headers) {
            for (column, cell) in line.iter().enumerate() {
                let width = cell.chars().count();
                match widths.get_mut(column) {
                    Some(widest) => *widest = width.max(*widest),
                    None => widths.push(width),
                }
            }
        }
        widths
    }

    fn lines(&self, headers: bool) -> impl Iterator<Item = &Vec<String>> {
        headers.then_some(&self.headers).into_iter().chain(&self.rows)
    }

    /// The table as text, its header first unless `headers` is false.
    pub fn render(&self, headers: bool) -> String {
        let widths = self.widths(headers);
        let mut text = String::new();
        for line in self.lines(headers) {
            let mut padding = 0;
            for (cell, width) in line.iter().zip(&widths) {
                text.extend(std::iter::repeat_n(' ', padding));
                text.push_str(cell);
                padding = width.saturating_sub(cell.chars().count()) + 3;
            }
            text.push('\n');
        }
        text
    }

    /// Writes the table to stdout.
    ///
    /// # Errors
    /// As [`print`].
    pub fn print(&self, headers: bool) -> anyhow::Result<()> {
        print(&self.render(headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn a_table_looks_like_kubectls() {
        let mut table = Table::new(["NAME", "READY", "IP"]);
        table.row(row(&["a-long-name", "1/1", "10.88.0.2"]));
        table.row(row(&["b", "0/1", ""]));
        insta::assert_snapshot!(table.render(true), @r"
        NAME          READY   IP
        a-long-name   1/1     10.88.0.2
        b             0/1     <none>
        ");
        insta::assert_snapshot!(table.render(false), @r"
        a-long-name   1/1   10.88.0.2
        b             0/1   <none>
        ");
    }

    #[test]
    fn a_cell_cannot_drive_the_terminal() {
        let mut table = Table::new(["NAME", "X"]);
        table.row(row(&["a\x1b[2J\nb\tc\u{9b}31m\u{202e}d", "x"]));
        let text = table.render(true);
        assert_eq!(text.lines().count(), 2);
        assert!(!text.chars().any(|c| c != '\n' && base::escape::drives_terminal(c)), "{text:?}");
    }
}
