//! Text in aligned columns, as `kubectl describe` prints it: by the rules of Go's text/tabwriter with a padding of two
//! spaces. A column consists of the cells of adjacent lines; a line without a cell there ends it.

use base::escape::harmless;

/// The spaces after the widest cell of a column.
const PADDING: usize = 2;

/// Lines of cells. The last cell of a line is in no column.
#[derive(Debug, Clone, Default)]
pub struct Columns(Vec<Vec<String>>);

impl Columns {
    /// Adds a line that is indented by two spaces per level. Characters that could drive a terminal are shown in
    /// visible form.
    pub fn line<const N: usize>(&mut self, level: usize, cells: [&str; N]) {
        let mut line: Vec<String> = cells.iter().map(|cell| harmless(cell).into_owned()).collect();
        if let Some(first) = line.first_mut() {
            first.insert_str(0, &"  ".repeat(level));
        }
        self.0.push(line);
    }

    /// Adds lines for the entries of a map: the title before the first one, `<none>` if there are none.
    pub fn multiline(&mut self, level: usize, title: &str, entries: impl Iterator<Item = String>) {
        let mut title = title;
        for entry in entries {
            self.line(level, [std::mem::take(&mut title), &entry]);
        }
        if !title.is_empty() {
            self.line(level, [title, "<none>"]);
        }
    }

    /// Returns the aligned text.
    pub fn render(&self) -> String {
        let mut widths: Vec<Vec<usize>> = self.0.iter().map(|_| Vec::new()).collect();
        self.measure(0..self.0.len(), 0, &mut widths);
        let mut text = String::new();
        for (line, widths) in self.0.iter().zip(&widths) {
            for (at, cell) in line.iter().enumerate() {
                text.push_str(cell);
                if let Some(width) = widths.get(at) {
                    text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
                }
            }
            // kubectl leaves padding before an empty last cell; nothing needs it.
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }

    /// Measures the cells of a column in adjacent lines, and within them those of the columns to the right of it.
    fn measure(&self, lines: std::ops::Range<usize>, column: usize, widths: &mut [Vec<usize>]) {
        let has_cell = |at: usize| self.0.get(at).is_some_and(|line| column + 1 < line.len());
        let mut at = lines.start;
        while at < lines.end {
            let end = (at..lines.end).find(|at| !has_cell(*at)).unwrap_or(lines.end);
            if end == at {
                at += 1;
                continue;
            }
            let cells = self.0.get(at..end).unwrap_or_default().iter().filter_map(|line| line.get(column));
            let width = cells.map(|cell| cell.chars().count()).max().unwrap_or_default() + PADDING;
            for widths in widths.get_mut(at..end).unwrap_or_default() {
                widths.push(width);
            }
            self.measure(at..end, column + 1, widths);
            at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_wide_as_its_adjacent_cells() {
        let mut text = Columns::default();
        text.line(0, ["Name:", "web"]);
        text.line(0, ["Controlled By:", "x"]);
        text.line(0, ["Containers:"]);
        text.line(1, ["main:"]);
        text.line(2, ["State:", "Running"]);
        text.line(2, ["  A:", "b", "c"]);
        text.line(2, ["  D:", "longer", "f"]);
        text.line(0, ["Empty:", ""]);
        text.multiline(0, "Labels:", ["a=b", "c=\x1b[2J"].into_iter().map(str::to_owned));
        text.multiline(0, "None:", std::iter::empty());
        insta::assert_snapshot!(text.render(), @r"
        Name:           web
        Controlled By:  x
        Containers:
          main:
            State:  Running
              A:    b       c
              D:    longer  f
        Empty:
        Labels:     a=b
                    c=\u{1b}[2J
        None:       <none>
        ");
    }
}
