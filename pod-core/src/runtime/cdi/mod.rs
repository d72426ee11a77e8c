//! Devices by the Container Device Interface: files that vendors install say what a container needs for a device.
//!
//! [`load`] reads the files, [`resolve`] is pure: it finds the devices that a container asks for. Source:
//! <https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md>.

mod edits;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use edits::{ContainerEdits, EditError};
pub use edits::{Edits, apply};

use crate::manifest::read_yaml;
use crate::plan::DeviceRequest;

/// The folders of CDI files. Of two files for one device, that in the later folder counts.
pub const DIRS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// Why the devices of a container cannot be provided.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file describes devices of a kind.
    #[error("this machine has no device {kind}: no file in {} describes one", DIRS.join(" or "))]
    NoKind {
        /// `vendor.com/class`.
        kind: String,
    },
    /// There are fewer devices of a kind than the container asks for.
    #[error("this machine has {there} of {kind}, and the container asks for {wanted}")]
    TooFew {
        /// `vendor.com/class`.
        kind: String,
        /// How many there are.
        there: usize,
        /// How many are wanted.
        wanted: usize,
    },
    /// No device of a kind has the name that an annotation asks for.
    #[error("this machine has no device {kind}={name}; its devices of that kind: {known}")]
    NoDevice {
        /// `vendor.com/class`.
        kind: String,
        /// The name that is asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A file that describes a wanted device is invalid.
    #[error("{}: {problem}", file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A device node of the file does not exist.
    #[error(transparent)]
    Edit(#[from] EditError),
}

/// A CDI file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// `vendor.com/class`.
    kind: String,
    #[serde(default)]
    devices: Vec<Device>,
    /// What a container with any of the devices needs.
    #[serde(default)]
    container_edits: ContainerEdits,
    #[serde(skip)]
    file: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    name: String,
    #[serde(default)]
    container_edits: ContainerEdits,
}

/// Reads all CDI files of this machine, those that count more first. A file that cannot be read is left out, with a
/// line in the log.
pub fn load() -> Vec<Description> {
    load_from(&DIRS.map(Path::new))
}

fn load_from(dirs: &[&Path]) -> Vec<Description> {
    let mut found = Vec::new();
    for dir in dirs.iter().rev() {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "json" || end == "yaml"));
        files.sort();
        for file in files {
            match read(&file) {
                Ok(description) => found.push(description),
                Err(error) => tracing::warn!(%error, "a CDI file is left out"),
            }
        }
    }
    found
}

fn read(file: &Path) -> Result<Description, Error> {
    let invalid = |problem: String| Error::Invalid { file: file.to_owned(), problem };
    let text = fs::read_to_string(file).map_err(|error| invalid(error.to_string()))?;
    let value = read_yaml(&text).ok_or_else(|| invalid("is neither YAML nor JSON".to_owned()))?;
    let description: Description =
        serde_json::from_value(value).map_err(|error| invalid(error.to_string()))?;
    Ok(Description { file: file.to_owned(), ..description })
}

/// Returns what a container needs for the devices that it asks for. A number of devices of a kind are the first ones by
/// name; a device `all` stands for all of them and is not one.
///
/// # Errors
/// If a device does not exist.
pub fn resolve(descriptions: &[Description], requests: &[DeviceRequest]) -> Result<Edits, Error> {
    let mut edits = Edits::default();
    for request in requests {
        let (kind, wanted) = match request {
            DeviceRequest::Count { kind, count } => (kind, first(descriptions, kind, *count)?),
            DeviceRequest::Named { kind, name } => (kind, vec![name.clone()]),
        };
        let mut used: Vec<&Path> = Vec::new();
        for name in wanted {
            let (description, device) = find(descriptions, kind, &name)?;
            if !used.contains(&description.file.as_path()) {
                used.push(&description.file);
                edits.add(&description.container_edits)?;
            }
            edits.add(&device.container_edits)?;
        }
    }
    Ok(edits)
}

/// Returns the names of the devices of a kind, sorted.
fn names(descriptions: &[Description], kind: &str) -> Vec<String> {
    let of_kind = descriptions.iter().filter(|one| one.kind == kind);
    let mut names: Vec<String> =
        of_kind.flat_map(|one| one.devices.iter().map(|device| device.name.clone())).collect();
    names.sort();
    names.dedup();
    names
}

fn first(descriptions: &[Description], kind: &str, count: usize) -> Result<Vec<String>, Error> {
    let mut names = names(descriptions, kind);
    names.retain(|name| name != "all");
    let kind = kind.to_owned();
    match names.len() {
        0 => Err(Error::NoKind { kind }),
        there if there < count => Err(Error::TooFew { kind, there, wanted: count }),
        _ => {
            names.truncate(count);
            Ok(names)
        }
    }
}

fn find<'a>(
    descriptions: &'a [Description],
    kind: &str,
    name: &str,
) -> Result<(&'a Description, &'a Device), Error> {
    let of_kind = descriptions.iter().filter(|one| one.kind == kind);
    let mut all = of_kind.flat_map(|one| one.devices.iter().map(move |device| (one, device)));
    all.find(|(_, device)| device.name == name).ok_or_else(|| match names(descriptions, kind) {
        known if known.is_empty() => Error::NoKind { kind: kind.to_owned() },
        known => {
            let (kind, name) = (kind.to_owned(), name.to_owned());
            Error::NoDevice { kind, name, known: known.join(", ") }
        }
    })
}

#[cfg(test)]
mod tests;
