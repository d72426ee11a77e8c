//! The fail points of the product (`base/src/fail_point.rs`), read from its sources. The crash tests handle each
//! point by the class in its call, so moving a call to another file changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

/// Which process reaches a fail point: `base::fail_point::FailPointClass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailPointClass {
    /// A `kube` command.
    Command,
    /// A supervisor.
    Supervisor,
    /// A worker of a supervisor, or code that workers share with commands.
    Worker,
    /// A command that pulls or removes an image.
    Pull,
    /// A command or supervisor that takes part when a newer `kube` replaces a supervisor.
    HandOver,
    /// A process that removes something while the disk is full.
    FullDisk,
}

impl FailPointClass {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "Command" => Self::Command,
            "Supervisor" => Self::Supervisor,
            "Worker" => Self::Worker,
            "Pull" => Self::Pull,
            "HandOver" => Self::HandOver,
            "FullDisk" => Self::FullDisk,
            _ => return None,
        })
    }
}

/// A fail point as written in its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailPoint {
    /// The name, for `KUBE_FAIL_POINT`.
    pub name: String,
    /// Which process reaches it.
    pub class: FailPointClass,
}

/// Returns all fail points of the product, sorted by name.
///
/// # Panics
/// If a call has no class, or two calls of one name have different classes, because the crash tests could not decide
/// how to handle the point.
pub fn fail_points() -> Vec<FailPoint> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(&workspace).unwrap() {
        let package = entry.unwrap().path();
        // This package is not part of the product.
        if package.join("Cargo.toml").exists() && package.file_name().is_some_and(|name| name != "tests") {
            read_sources(&package.join("src"), &mut texts);
        }
    }
    let points = collect(texts.iter().map(|(file, text)| (file.as_str(), text.as_str())));
    let points = points.unwrap_or_else(|e| panic!("{e}"));
    assert!(points.len() >= 100, "only {} fail points found in {}", points.len(), workspace.display());
    points
}

/// Appends every Rust file below `dir` with its text.
fn read_sources(dir: &Path, texts: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, texts);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("base/src/fail_point.rs") {
            texts.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Collects the fail points of files, given as name and text.
pub fn collect<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Vec<FailPoint>, String> {
    let mut found: BTreeMap<String, (FailPointClass, &str)> = BTreeMap::new();
    for (file, text) in files {
        for FailPoint { name, class } in calls(text).map_err(|e| format!("{file}: {e}"))? {
            let (known, elsewhere) = *found.entry(name.clone()).or_insert((class, file));
            if known != class {
                return Err(format!("{name} is {known:?} in {elsewhere} and {class:?} in {file}"));
            }
        }
    }
    Ok(found.into_iter().map(|(name, (class, _))| FailPoint { name, class }).collect())
}

/// Returns the calls in a source text: `fail_point!(CLASS, "NAME")`, on one line or several.
fn calls(text: &str) -> Result<Vec<FailPoint>, String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let call = |rest: &str| {
        let arguments = rest.strip_prefix("!(")?;
        let (class, rest) = arguments.split_once(',')?;
        let (name, end) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
        let end = end.trim_start();
        let class = FailPointClass::parse(class.trim())?;
        end.strip_prefix(',').unwrap_or(end).trim_start().strip_prefix(')')?;
        Some(FailPoint { name: name.to_owned(), class })
    };
    // Imports and paths (`fail_point::FAIL_POINT`) are not calls.
    let is_call = |rest: &&str| rest.trim_start().starts_with(['(', '!']) || rest.starts_with("::reach");
    let calls = code.split("fail_point").skip(1).filter(is_call);
    calls
        .map(|rest| {
            let shown = rest.lines().next().unwrap_or_default();
            call(rest).ok_or_else(|| format!("`fail_point{shown}`: write fail_point!(CLASS, \"NAME\")"))
        })
        .collect()
}
