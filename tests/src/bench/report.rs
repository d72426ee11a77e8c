//! The rows of the result and how they are printed.

use crate::statistics::median;

/// The unit of a number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Time.
    Milliseconds,
    /// Memory.
    Megabytes,
    /// Throughput.
    MegabytesPerSecond,
    /// A count.
    Count,
    /// A factor.
    Times,
}

/// The target of a measurement.
#[derive(Clone, Copy)]
pub enum Target {
    /// There is no target.
    None,
    /// At most this number.
    AtMost(f64),
    /// At least this number.
    AtLeast(f64),
    /// At most this many times podman's number.
    BelowPodman(f64),
    /// At least podman's number.
    AtLeastPodman,
    /// At least this many times the number of what is compared.
    AtLeastTimes(f64),
}

/// One line of the table.
pub struct Row {
    what: String,
    unit: Unit,
    target: Target,
    kube: Option<f64>,
    other: Option<f64>,
}

impl Row {
    /// Creates a row of the medians of samples of `kube` and of what it is compared with.
    pub fn new(what: &str, unit: Unit, target: Target, [kube, other]: [Vec<f64>; 2]) -> Self {
        Self { what: what.to_owned(), unit, target, kube: median(&kube), other: median(&other) }
    }

    fn cells(&self) -> [String; 6] {
        let value = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |v| self.unit.text(v));
        let ratio = match (self.kube, self.other) {
            (Some(kube), Some(other)) if other > 0.0 => format!("{:.2}", kube / other),
            _ => "-".to_owned(),
        };
        let most = |most: f64| self.kube.map_or(String::new(), |kube| verdict(kube, most));
        let (target, reached) = match self.target {
            Target::None => (String::new(), String::new()),
            Target::AtMost(limit) => (format!("≤ {}", self.unit.text(limit)), most(limit)),
            Target::AtLeast(limit) => {
                let reached = |kube: f64| {
                    if kube >= limit { "yes".to_owned() } else { format!("no: {:.2} of it", kube / limit) }
                };
                (format!("≥ {}", self.unit.text(limit)), self.kube.map_or(String::new(), reached))
            }
            Target::BelowPodman(times) => {
                (format!("≤ {times} x podman"), self.other.map_or(String::new(), |p| most(p * times)))
            }
            Target::AtLeastPodman => {
                let reached = self.kube.zip(self.other).map(|(kube, podman)| {
                    if kube >= podman { "yes".to_owned() } else { format!("no: {:.2} of it", kube / podman) }
                });
                ("≥ podman".to_owned(), reached.unwrap_or_default())
            }
            Target::AtLeastTimes(times) => {
                let reached = self
                    .kube
                    .zip(self.other)
                    .map(|(kube, other)| if kube >= other * times { "yes" } else { "no" }.to_owned());
                (format!("≥ {times} x"), reached.unwrap_or_default())
            }
        };
        [self.what.clone(), value(self.kube), value(self.other), ratio, target, reached]
    }

    /// Returns the row as one line of text.
    pub fn line(&self) -> String {
        let [what, kube, other, ratio, target, reached] = self.cells();
        format!("{what}: kube {kube}, compared {other}, ratio {ratio} {target} {reached}")
    }
}

fn verdict(kube: f64, most: f64) -> String {
    if kube <= most {
        "yes".to_owned()
    } else if most > 0.0 {
        format!("no: {:.1} times it", kube / most)
    } else {
        "no".to_owned()
    }
}

impl Unit {
    fn text(self, value: f64) -> String {
        match self {
            Self::Milliseconds if value >= 10_000.0 => format!("{:.1} s", value / 1e3),
            Self::Milliseconds if value >= 100.0 => format!("{value:.0} ms"),
            Self::Milliseconds => format!("{value:.1} ms"),
            Self::Megabytes if value < 0.1 => format!("{:.0} kB", value * 1024.0),
            Self::Megabytes => format!("{value:.2} MB"),
            Self::MegabytesPerSecond => format!("{value:.0} MB/s"),
            Self::Count => format!("{value:.0}"),
            Self::Times => format!("{value:.2} x"),
        }
    }
}

/// Returns all rows as a Markdown table.
pub fn table(rows: &[Row]) -> String {
    let mut text =
        "| work | kube | podman 4.3.1 | kube / podman | to reach | reached |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for row in rows {
        text += &format!("| {} |\n", row.cells().join(" | "));
    }
    text
}

/// Returns all rows as a Markdown table of two builds, without the targets.
pub fn builds(rows: &[Row]) -> String {
    let mut text = "| work | kube | before | kube / before |\n|---|---|---|---|\n".to_owned();
    for row in rows {
        let [what, kube, before, ratio, ..] = row.cells();
        text += &format!("| {what} | {kube} | {before} | {ratio} |\n");
    }
    text
}

/// Writes the tables, and a description of the host, between the marks of a document. The text around them stays.
pub fn write(path: &std::path::Path, rows: &[Row], trace: &str) -> std::io::Result<()> {
    let text = std::fs::read_to_string(path)?;
    let text = between(&text, "measured", &format!("{}\n{}", host(), table(rows)))?;
    std::fs::write(path, between(&text, "traced", trace)?)
}

/// Returns a document with the text between two of its marks replaced.
fn between(text: &str, name: &str, new: &str) -> std::io::Result<String> {
    let begin = format!("<!-- {name}: begin (make bench writes this) -->\n");
    let end = format!("<!-- {name}: end -->");
    let Some(((before, _), (_, after))) = text.split_once(&begin).zip(text.split_once(&end)) else {
        return Err(std::io::Error::other(format!("the marks of what is {name} are missing")));
    };
    Ok(format!("{before}{begin}\n{new}\n{end}{after}"))
}

/// Returns a description of the host in one line.
fn host() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let model = read("/proc/cpuinfo");
    let model =
        model.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':')).map_or("", |(_, m)| m);
    let kernel = read("/proc/sys/kernel/osrelease");
    let memory = read("/proc/meminfo");
    let memory =
        memory.lines().find_map(|l| l.strip_prefix("MemTotal:")?.trim().split(' ').next()?.parse().ok());
    let memory = memory.unwrap_or(0.0_f64) / 1024.0 / 1024.0;
    let v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let load = read("/proc/loadavg");
    format!(
        "{cpus} CPUs ({}), {memory:.0} GB, Linux {}, cgroup {}, load at the end {}.\n",
        model.trim(),
        kernel.trim(),
        if v2 { "v2" } else { "v1" },
        load.split(' ').next().unwrap_or_default(),
    )
}
