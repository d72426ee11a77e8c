//! AppArmor: whether the kernel has it, and the profile that containers with RuntimeDefault get.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::plan::AppArmor;

/// The name of the profile of containers with RuntimeDefault.
pub const DEFAULT_PROFILE: &str = "kube-play-default";

/// The profile of containers with RuntimeDefault: that of containerd (contrib/apparmor/template.go), with `ptrace` and
/// `signal` among containers of this profile. It is loaded with `apparmor_parser -Kr`. The variable is the one that
/// apparmor.d(5) has in tunables/global, which is not included because an administrator may change it.
const DEFAULT_TEXT: &str = "\
@{PROC}=/proc/
profile kube-play-default flags=(attach_disconnected,mediate_deleted) {
  network,
  capability,
  file,
  umount,
  signal (receive) peer=unconfined,
  signal (send,receive) peer=kube-play-default,
  deny @{PROC}/* w,
  deny @{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9]*}/** w,
  deny @{PROC}/sys/[^k]** w,
  deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,
  deny @{PROC}/sysrq-trigger rwklx,
  deny @{PROC}/mem rwklx,
  deny @{PROC}/kmem rwklx,
  deny @{PROC}/kcore rwklx,
  deny mount,
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
  ptrace (trace,read,tracedby,readby) peer=kube-play-default,
}
";

/// Why a profile cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel has no AppArmor, and a profile is asked for by name.
    #[error("the AppArmor profile {0:?} cannot be applied: AppArmor is not enabled on this host")]
    Disabled(String),
    /// A profile that is asked for by name is not loaded.
    #[error("the AppArmor profile {0:?} is not loaded on this host: load it with `apparmor_parser -r FILE`")]
    NotLoaded(String),
    /// The kernel's list of profiles cannot be read.
    #[error("read the list of AppArmor profiles: {0}")]
    List(#[source] std::io::Error),
    /// apparmor_parser cannot be run.
    #[error("run apparmor_parser (package apparmor) to load the default profile: {0}")]
    Run(#[source] std::io::Error),
    /// apparmor_parser refused our profile.
    #[error("apparmor_parser cannot load the default profile: {0}")]
    Refused(String),
}

/// The program that loads profiles, of the package apparmor.
const PARSER: &str = "apparmor_parser";

/// The kernel's list of loaded profiles.
const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";

/// Returns whether the kernel confines processes by AppArmor.
pub fn is_enabled() -> bool {
    fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'))
        && fs::metadata(PROFILES).is_ok()
}

/// Returns whether containers with RuntimeDefault can be confined: the kernel has AppArmor, and our profile is loaded or
/// can be loaded. Without the package apparmor they run without a profile, as with containerd.
pub fn has_default() -> bool {
    let has_parser = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(PARSER).is_file())
    };
    is_enabled()
        && (has_parser() || fs::read_to_string(PROFILES).is_ok_and(|list| is_loaded(&list, DEFAULT_PROFILE)))
}

/// Returns whether a profile is in the kernel's list, whose lines are `NAME (MODE)`.
fn is_loaded(list: &str, name: &str) -> bool {
    list.lines().any(|line| line.rsplit_once(" (").is_some_and(|(loaded, _)| loaded == name))
}

/// Checks that a profile that is asked for by name can be applied. Changes nothing.
///
/// # Errors
/// If this kernel has no AppArmor, or the profile is not loaded.
pub fn check(profile: &AppArmor) -> Result<(), Error> {
    let AppArmor::Localhost(name) = profile else { return Ok(()) };
    if !is_enabled() {
        return Err(Error::Disabled(name.clone()));
    }
    let list = fs::read_to_string(PROFILES).map_err(Error::List)?;
    if is_loaded(&list, name) { Ok(()) } else { Err(Error::NotLoaded(name.clone())) }
}

/// Loads the profile that a container needs, if it is ours and not loaded, and checks one that is asked for by name.
///
/// # Errors
/// If the profile cannot be applied.
pub fn prepare(profile: &AppArmor) -> Result<(), Error> {
    if *profile != AppArmor::RuntimeDefault || !has_default() {
        return check(profile);
    }
    let list = fs::read_to_string(PROFILES).map_err(Error::List)?;
    if is_loaded(&list, DEFAULT_PROFILE) {
        return Ok(());
    }
    let mut parser = Command::new(PARSER)
        .arg("-Kr")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::Run)?;
    if let Some(mut input) = parser.stdin.take() {
        input.write_all(DEFAULT_TEXT.as_bytes()).map_err(Error::Run)?;
    }
    let output = parser.wait_with_output().map_err(Error::Run)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_loaded_if_the_kernel_lists_it() {
        let list = "kube-play-default (enforce)\n/usr/bin/man (complain)\nodd (name) (enforce)\n";
        assert!(
            is_loaded(list, DEFAULT_PROFILE)
                && is_loaded(list, "/usr/bin/man")
                && is_loaded(list, "odd (name)")
        );
        assert!(!is_loaded(list, "kube-play") && !is_loaded("", DEFAULT_PROFILE));
    }

    #[test]
    fn a_profile_asked_for_by_name_needs_apparmor_and_the_others_do_not() {
        for fine in [AppArmor::Unset, AppArmor::Unconfined, AppArmor::RuntimeDefault] {
            assert!(check(&fine).is_ok(), "{fine:?}");
        }
        let missing = AppArmor::Localhost("no-such-profile-anywhere".to_owned());
        assert!(matches!(check(&missing), Err(Error::Disabled(_) | Error::NotLoaded(_))));
    }
}
