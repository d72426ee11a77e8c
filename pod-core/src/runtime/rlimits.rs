//! Ulimits of containers (getrlimit(2)).
//!
//! libcontainer would set them early, where a low number of open files breaks its own work and where a process of a user
//! namespace may not raise any. Therefore the worker raises its own hard limits, which are inherited, and the process of
//! the container sets the values as its last step ([`super::executor`]).

use oci_spec::runtime::{PosixRlimit, PosixRlimitType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Error;

/// Returns the kernel's resource of a limit.
fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}

/// Converts a limit of a spec: the largest number is no limit.
fn limit(value: u64) -> Option<u64> {
    (value != u64::MAX).then_some(value)
}

/// Returns true if the limit `a` allows more than `b`.
fn is_above(a: Option<u64>, b: Option<u64>) -> bool {
    match (a, b) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(a), Some(b)) => a > b,
    }
}

/// Raises the hard limits of this process to those that a process of `wanted` is to have.
///
/// # Errors
/// If this process may not raise a limit (CAP_SYS_RESOURCE), or the kernel does not allow that many (fs.nr_open).
pub(super) fn raise_hard(wanted: &[PosixRlimit]) -> Result<(), Error> {
    for one in wanted {
        let (kind, hard) = (resource(one.typ()), limit(one.hard()));
        let Rlimit { current, maximum } = getrlimit(kind);
        if is_above(hard, maximum) {
            let subject = format!("the limit {} to {}", one.typ(), one.hard());
            setrlimit(kind, Rlimit { current, maximum: hard }).map_err(Error::call("raise", &subject))?;
        }
    }
    Ok(())
}

/// Sets the limits of this process.
///
/// # Errors
/// The limit that cannot be set, and why.
pub(super) fn apply(wanted: &[PosixRlimit]) -> Result<(), (PosixRlimitType, rustix::io::Errno)> {
    for one in wanted {
        let limits = Rlimit { current: limit(one.soft()), maximum: limit(one.hard()) };
        setrlimit(resource(one.typ()), limits).map_err(|errno| (one.typ(), errno))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_above_every_number() {
        assert!(is_above(None, Some(5)) && is_above(Some(6), Some(5)));
        assert!(!is_above(Some(5), None) && !is_above(None, None) && !is_above(Some(5), Some(5)));
    }
}
