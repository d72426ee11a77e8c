//! What commands write to stdout: tables in kubectl's form, and objects as JSON or YAML.

pub mod columns;
pub mod custom_columns;
pub mod exit;
pub mod json_path;
pub mod pod_lines;
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

/// The reader of our stdout has closed it. No message is printed about that.
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
    // KIND/NAME, one line each
    Name,
}

/// `-o` of commands that print one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ObjectFormat {
    // JSON
    Json,
    // YAML
    Yaml,
}

// Arguments of commands that print a list.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Listing {
    /// The output format
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    pub output: Option<Format>,
    /// Print no header line
    #[arg(long)]
    pub no_headers: bool,
}

/// The form in which a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// [`Table`].
    Table,
    /// KIND/NAME, one line each.
    Names,
    /// Kubernetes objects.
    Objects(ObjectFormat),
}

impl Listing {
    /// Returns whether the table with more columns is asked for.
    pub fn is_wide(self) -> bool {
        self.output == Some(Format::Wide)
    }

    /// Returns the form that `-o` asks for.
    pub fn shape(self) -> Shape {
        match self.output {
            None | Some(Format::Wide) => Shape::Table,
            Some(Format::Name) => Shape::Names,
            Some(Format::Json) => Shape::Objects(ObjectFormat::Json),
            Some(Format::Yaml) => Shape::Objects(ObjectFormat::Yaml),
        }
    }
}

/// Says that a list is empty. The message goes to stderr, so that a script that counts lines of stdout counts none.
pub fn none_found(what: &str, namespace: Option<&str>) {
    terminal::note(&match namespace {
        None => format!("No {what} found"),
        Some(namespace) => format!("No {what} found in namespace {namespace}"),
    });
}

/// Writes text to stdout.
///
/// # Errors
/// [`Closed`], or the kernel's error (such as a full disk).
pub fn print(text: &str) -> anyhow::Result<()> {
    print_bytes(text.as_bytes())
}

/// Writes bytes to stdout and flushes them at once.
///
/// # Errors
/// As [`print()`].
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
/// As [`print()`].
pub fn print_object<T: Serialize>(object: &T, format: ObjectFormat) -> anyhow::Result<()> {
    let text = match format {
        ObjectFormat::Json => serde_json::to_string_pretty(object)? + "\n",
        ObjectFormat::Yaml => to_yaml(&[serde_json::to_value(object)?]),
    };
    print(&text)
}

/// Writes the next object of a list without an end (`--watch`, `--follow`) to stdout.
///
/// # Errors
/// As [`print()`].
pub fn print_next<T: Serialize>(object: &T, format: ObjectFormat) -> anyhow::Result<()> {
    if format == ObjectFormat::Yaml {
        print("---\n")?;
    }
    print_object(object, format)
}

/// Writes a list of objects to stdout.
///
/// # Errors
/// As [`print()`].
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
/// As [`print()`].
pub fn print_lines(lines: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
    print(&lines.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect::<String>())
}

/// Returns Kubernetes' `v1 List` of objects that carry their own kind.
pub fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
}

/// A table in kubectl's form: headers in upper case, three spaces between columns, nothing after the last column.
#[derive(Debug, Clone)]
pub struct Table {
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
    /// The minimum width of each column.
    widths: Vec<usize>,
}

impl Table {
    /// Creates a table without rows.
    pub fn new<'a>(headers: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            // A user may have written them.
            headers: headers.into_iter().map(|header| harmless(header).into_owned()).collect(),
            rows: Vec::new(),
            widths: Vec::new(),
        }
    }

    /// Adds a row. Characters that could drive a terminal are shown in visible form, an empty cell as `<none>`.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cell = |text: String| match text.as_str() {
            "" => "<none>".to_owned(),
            text => harmless(text).into_owned(),
        };
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    /// Adds a row as kubectl prints it: an empty cell stays empty.
    pub fn exact_row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| harmless(&cell).into_owned()).collect());
    }

    /// Makes the columns at least as wide as those of an earlier table that this table continues.
    pub fn at_least(mut self, widths: Vec<usize>) -> Self {
        self.widths = widths;
        self
    }

    /// Returns the width of each column.
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

    /// Returns the table as text, with its header unless `headers` is false.
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
            // kubectl leaves padding before an empty last cell; nothing needs it.
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }

    /// Writes the table to stdout.
    ///
    /// # Errors
    /// As [`print()`].
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
