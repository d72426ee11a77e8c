//! Rows and how they are printed.

use crate::statistics::median;

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Time.
    Milliseconds,
}

/// What is to be reached.
#[derive(Clone, Copy)]
pub enum Target {
    /// Nothing was set.
    None,
    /// So much or less.
    AtMost(f64),
}

/// One line of the table.
pub struct Row {
    what: String,
    unit: Unit,
    target: Target,
    kube: Option<f64>,
    podman: Option<f64>,
}

impl Row {
    /// A row of the medians of samples of `kube` and of podman.
    pub fn new(what: &str, unit: Unit, target: Target, [kube, podman]: [Vec<f64>; 2]) -> Self {
        Self { what: what.to_owned(), unit, target, kube: median(&kube), podman: median(&podman) }
    }

    fn cells(&self) -> [String; 6] {
        let value = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| self.unit.text(v));
        let ratio = match (self.kube, self.podman) {
            (Some(kube), Some(podman)) if podman > 0.0 => format!("{:.2}", kube / podman),
            _ => "-".to_owned(),
        };
        let (target, reached) = match self.target {
            Target::None => (String::new(), String::new()),
            Target::AtMost(most) => (format!("≤ {}", self.unit.text(most)), verdict(self.kube, most)),
        };
        [self.what.clone(), value(self.kube), value(self.podman), ratio, target, reached]
    }

    /// One line of text.
    pub fn line(&self) -> String {
        let [what, kube, podman, ratio, target, reached] = self.cells();
        format!("{what}: kube {kube}, podman {podman}, ratio {ratio} {target} {reached}")
    }
}

fn verdict(kube: Option<f64>, most: f64) -> String {
    match kube {
        None => String::new(),
        Some(kube) if kube <= most => "yes".to_owned(),
        Some(kube) => format!("no: {:.1} times it", kube / most),
    }
}

impl Unit {
    fn text(self, value: f64) -> String {
        match self {
            Self::Milliseconds if value >= 100.0 => format!("{value:.0} ms"),
            Self::Milliseconds => format!("{value:.1} ms"),
        }
    }
}

/// All rows as a table of Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text =
        "| work | kube | podman 4.3.1 | kube / podman | to reach | reached |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for row in rows {
        text += &format!("| {} |\n", row.cells().join(" | "));
    }
    text
}
