//! Checks every manifest below a folder, and prints which kinds and fields are not honoured, by files and folders.
//!
//! `corpus DIR [--kube KUBE]` runs `kube check` for each file. A folder of `DIR` (its first level, as a rule one
//! repository each) is honoured in full if all that its files say is: no errors, and no warnings except for kinds that
//! need a cluster, such as roles.

// A program of developers, which reports failures by panics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What one finding of `kube check` is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// `error` or `warning`.
    severity: String,
    /// The field without indexes and keys, or `kind` with the kind.
    field: String,
    /// What is said about it, for errors.
    text: String,
}

impl Finding {
    /// Returns the finding in a line `FILE:LINE:COLUMN: SEVERITY: FIELD: TEXT`, if the line is one.
    fn parse(line: &str) -> Option<Self> {
        let (place, rest) = line.split_once(": ")?;
        let mut numbers = place.rsplitn(3, ':');
        numbers.next()?.parse::<u32>().ok()?;
        numbers.next()?.parse::<u32>().ok()?;
        let (severity, rest) = rest.split_once(": ")?;
        let (field, text) = rest.split_once(": ").unwrap_or((rest, ""));
        let field = if field == "kind" { text.to_owned() } else { without_indexes(field) };
        let text = if severity == "error" { text.to_owned() } else { String::new() };
        Some(Self { severity: severity.to_owned(), field, text })
    }

    /// Returns whether the finding is about an object that has a meaning only in a cluster.
    fn needs_cluster(&self) -> bool {
        self.severity == "warning" && self.field.contains("it needs a cluster")
    }
}

/// Returns a path such as `spec.containers[0].image` as `spec.containers[].image`.
fn without_indexes(field: &str) -> String {
    let mut out = String::new();
    let mut is_inside = false;
    for c in field.chars() {
        match c {
            '[' => (is_inside, out) = (true, out + "[]"),
            ']' => is_inside = false,
            c if !is_inside => out.push(c),
            _ => {}
        }
    }
    out
}

/// The files and folders in which something was found.
#[derive(Default)]
struct Places {
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<String>,
}

fn manifests(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            manifests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            found.push(path);
        }
    }
}

fn main() {
    let mut dir = None;
    let mut kube = PathBuf::from("target/debug/kube");
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--kube" => kube = arguments.next().expect("--kube KUBE").into(),
            _ if argument.starts_with('-') || dir.is_some() => {
                eprintln!("usage: corpus DIR [--kube KUBE]");
                std::process::exit(2);
            }
            _ => dir = Some(PathBuf::from(argument)),
        }
    }
    let Some(dir) = dir else {
        eprintln!("usage: corpus DIR [--kube KUBE]");
        std::process::exit(2);
    };
    let mut files = Vec::new();
    manifests(&dir, &mut files);
    let mut places: BTreeMap<Finding, Places> = BTreeMap::new();
    let (mut folders, mut imperfect) = (BTreeSet::new(), BTreeSet::new());
    let mut whole_files = 0;
    for file in &files {
        let below = file.strip_prefix(&dir).unwrap();
        let folder = below.iter().next().unwrap().to_string_lossy().into_owned();
        folders.insert(folder.clone());
        let output = Command::new(&kube).arg("check").arg(file).output().expect("run kube");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let found: BTreeSet<Finding> = said.lines().filter_map(Finding::parse).collect();
        let is_whole = found.iter().all(Finding::needs_cluster);
        // A file that is refused without a finding, for example as no text, has its message counted.
        let refused = (!output.status.success() && is_whole).then(|| Finding {
            severity: "error".to_owned(),
            field: String::new(),
            text: said.lines().next().unwrap_or_default().replace(&file.display().to_string(), "FILE"),
        });
        if is_whole && refused.is_none() {
            whole_files += 1;
        } else {
            imperfect.insert(folder.clone());
        }
        for finding in found.into_iter().chain(refused) {
            let at = places.entry(finding).or_default();
            at.files.insert(file.clone());
            at.folders.insert(folder.clone());
        }
    }
    let mut sorted: Vec<(&Finding, &Places)> = places.iter().collect();
    sorted.sort_by_key(|(_, places)| std::cmp::Reverse((places.folders.len(), places.files.len())));
    println!("{:>7} {:>5}  what", "folders", "files");
    for (finding, places) in sorted {
        let Finding { severity, field, text } = finding;
        let line = format!("{:>7} {:>5}  {severity}: {field}", places.folders.len(), places.files.len());
        println!("{line}{}{text}", if text.is_empty() || field.is_empty() { "" } else { ": " });
    }
    let whole = folders.len() - imperfect.len();
    println!(
        "\n{whole} of {} folders and {whole_files} of {} files are honoured in full",
        folders.len(),
        files.len()
    );
}
