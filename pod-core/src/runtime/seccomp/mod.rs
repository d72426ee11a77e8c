//! Seccomp profiles: the default profile, and profiles in files.
//!
//! The default profile is in a JSON file in this folder. Profile files have the format of `linux.seccomp` in the OCI
//! runtime spec, as with the kubelet's Localhost profiles.

mod filter;
mod newer_calls;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Error;
pub use filter::Filter;

const DEFAULT: &str = include_str!("default.json");

/// The content of the default profile's file.
#[derive(Deserialize)]
struct Profile {
    always: Vec<String>,
    architectures: BTreeMap<String, Vec<String>>,
    capabilities: BTreeMap<String, Vec<String>>,
    rules: Vec<Rule>,
}

/// A rule with conditions: OCI's `LinuxSyscall`, and when it applies.
#[derive(Deserialize)]
struct Rule {
    /// Left out for containers that have this capability.
    without: Option<String>,
    #[serde(flatten)]
    rule: BTreeMap<String, Value>,
}

/// Returns our default profile for a container with these capabilities (bounding, as `CAP_CHOWN`) on this architecture
/// (as Rust names it: `x86_64`, `aarch64`).
///
/// # Errors
/// If the built-in profile is damaged.
pub fn default_profile(capabilities: &BTreeSet<String>, arch: &str) -> Result<LinuxSeccomp, Error> {
    let profile: Profile = serde_json::from_str(DEFAULT).map_err(Error::seccomp("built in"))?;
    let mut names: BTreeSet<&String> = profile.always.iter().collect();
    names.extend(profile.architectures.get(arch).into_iter().flatten());
    for (capability, calls) in &profile.capabilities {
        if capabilities.contains(capability) {
            names.extend(calls);
        }
    }
    let mut syscalls = vec![json!({ "names": names, "action": "SCMP_ACT_ALLOW" })];
    for Rule { without, mut rule } in profile.rules {
        if without.is_none_or(|capability| !capabilities.contains(&capability)) {
            rule.remove("comment");
            syscalls.push(json!(rule));
        }
    }
    serde_json::from_value(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": libc::EPERM,
        "architectures": architectures(arch),
        "syscalls": syscalls,
    }))
    .map_err(Error::seccomp("built in"))
}

/// Returns an architecture and the others whose programs its kernel also runs, because a filter without them would kill
/// all those programs.
fn architectures(arch: &str) -> &'static [&'static str] {
    match arch {
        "x86_64" => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "aarch64" => &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        _ => &[],
    }
}

/// Reads a profile from a file (`seccompProfile.type: Localhost`).
///
/// # Errors
/// If it cannot be read, is not an OCI seccomp profile, or asks for notifications (`SCMP_ACT_NOTIFY`), which this
/// runtime does not support.
pub fn read_profile(path: &Path) -> Result<LinuxSeccomp, Error> {
    let bytes = std::fs::read(path).map_err(Error::io("read seccomp profile", path))?;
    let profile: LinuxSeccomp =
        serde_json::from_slice(&bytes).map_err(Error::seccomp(&path.display().to_string()))?;
    let answers = profile.syscalls().iter().flatten().map(oci_spec::runtime::LinuxSyscall::action);
    if answers.chain([profile.default_action()]).any(|one| one == LinuxSeccompAction::ScmpActNotify) {
        return Err(Error::Seccomp {
            profile: path.display().to_string(),
            message: "SCMP_ACT_NOTIFY needs a seccomp agent, which is not supported".to_owned(),
        });
    }
    Ok(profile)
}

#[cfg(test)]
mod tests;
