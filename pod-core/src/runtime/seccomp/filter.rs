//! Compiles a profile to a program for the kernel's packet filter (seccomp(2)).
//!
//! libseccomp takes 5 ms to compile our default profile, more than everything else in the creation of a container, so
//! the program is cached on disk.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Seek};
use std::path::Path;

use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
    LinuxSyscall,
};
use rustix::fs::MemfdFlags;
use sha2::{Digest as _, Sha256};

use super::newer_calls;
use crate::runtime::Error;

/// Size of one instruction (`struct sock_filter`) in bytes.
const INSTRUCTION: usize = 8;
/// Version of the cache: cached programs are compiled anew when it changes.
const FORMAT: &str = "2";
/// The source of a profile in messages.
const OF: &str = "of the container";

/// The filter that is loaded before a container's program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// `SECCOMP_FILTER_FLAG_*`.
    flags: u32,
    /// The instructions: a sequence of `struct sock_filter`.
    program: Vec<u8>,
}

impl Filter {
    /// Returns the filter of a profile: from the cache `kept`, or else compiled and stored there.
    ///
    /// # Errors
    /// If libseccomp refuses the profile.
    pub fn of(profile: &LinuxSeccomp, kept: &Path) -> Result<Self, Error> {
        let path = kept.join(key(profile)?);
        if let Some(filter) = std::fs::read(&path).ok().and_then(|bytes| Self::parse(&bytes)) {
            return Ok(filter);
        }
        let filter = Self::compile(profile)?;
        let mut bytes = filter.flags.to_ne_bytes().to_vec();
        bytes.extend(&filter.program);
        // The cache only saves time, so a failure to write it is not an error.
        if let Err(e) = base::file::write_volatile(&path, &bytes) {
            tracing::warn!("{e}");
        }
        Ok(filter)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (flags, program) = bytes.split_first_chunk::<4>()?;
        let whole = !program.is_empty() && program.len().is_multiple_of(INSTRUCTION);
        whole.then(|| Self { flags: u32::from_ne_bytes(*flags), program: program.to_vec() })
    }

    fn compile(profile: &LinuxSeccomp) -> Result<Self, Error> {
        let default = action(profile.default_action(), profile.default_errno_ret());
        let arches = arches(profile).map_err(Error::seccomp(OF))?;
        let context = context(profile, default, &arches).map_err(Error::seccomp(OF))?;
        let file = rustix::fs::memfd_create("seccomp", MemfdFlags::CLOEXEC);
        let mut file = std::fs::File::from(file.map_err(Error::call("create", "seccomp filter"))?);
        context.export_bpf(&file).map_err(Error::seccomp(OF))?;
        // Jumps are relative, so instructions in front do not change those after them.
        let mut program = newer_calls::bytes(&newer_calls::program(profile, default, &arches));
        let read = file.rewind().and_then(|()| file.read_to_end(&mut program));
        read.map_err(Error::call("read", "seccomp filter"))?;
        Ok(Self { flags: flags(profile), program })
    }

    /// Loads the filter into this process permanently. Requires `no_new_privs` or CAP_SYS_ADMIN.
    ///
    /// # Errors
    /// If the kernel refuses the filter.
    pub fn load(&self) -> std::io::Result<()> {
        let mut program: Vec<libc::sock_filter> = self
            .program
            .chunks_exact(INSTRUCTION)
            .map(|one| {
                let byte = |n: usize| one.get(n).copied().unwrap_or_default();
                libc::sock_filter {
                    code: u16::from_ne_bytes([byte(0), byte(1)]),
                    jt: byte(2),
                    jf: byte(3),
                    k: u32::from_ne_bytes([byte(4), byte(5), byte(6), byte(7)]),
                }
            })
            .collect();
        let len = u16::try_from(program.len()).map_err(std::io::Error::other)?;
        let filter = libc::sock_fprog { len, filter: program.as_mut_ptr() };
        // SAFETY: the kernel copies `len` instructions, which is the length of the program, and checks them. No crate
        // can load a given program without also setting no_new_privs.
        let loaded = unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, self.flags, &raw const filter)
        };
        if loaded == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }
}

/// Returns the architectures of a profile, and the one of this machine.
fn arches(profile: &LinuxSeccomp) -> Result<Vec<ScmpArch>, SeccompError> {
    let mut arches = vec![ScmpArch::native()];
    for arch in profile.architectures().iter().flatten() {
        // Both use the names of the OCI spec.
        let arch = arch.to_string().parse::<ScmpArch>()?;
        if !arches.contains(&arch) {
            arches.push(arch);
        }
    }
    Ok(arches)
}

/// Returns a libseccomp context with all rules of a profile.
fn context(
    profile: &LinuxSeccomp,
    default: ScmpAction,
    arches: &[ScmpArch],
) -> Result<ScmpFilterContext, SeccompError> {
    let mut context = ScmpFilterContext::new(default)?;
    for arch in arches {
        context.add_arch(*arch)?;
    }
    for rule in profile.syscalls().iter().flatten() {
        add(&mut context, rule, default)?;
    }
    Ok(context)
}

/// Returns the cache key, which depends on everything that determines a filter.
fn key(profile: &LinuxSeccomp) -> Result<String, Error> {
    let text = serde_json::to_string(profile).map_err(Error::seccomp(OF))?;
    let version = libseccomp::get_api();
    let library = libseccomp::ScmpVersion::current().map_err(Error::seccomp(OF))?;
    let all = format!("{FORMAT} {version} {library:?} {} {text}", std::env::consts::ARCH);
    let mut key = String::new();
    for byte in Sha256::digest(all).iter().take(16) {
        let _ = write!(key, "{byte:02x}");
    }
    Ok(key)
}

fn flags(profile: &LinuxSeccomp) -> u32 {
    let flag = |flag: &LinuxSeccompFilterFlag| match flag {
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => libc::SECCOMP_FILTER_FLAG_LOG,
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => libc::SECCOMP_FILTER_FLAG_TSYNC,
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
            libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
        }
    };
    let all = profile.flags().iter().flatten().map(flag).fold(0, |all, one| all | one);
    u32::try_from(all).unwrap_or_default()
}

fn add(
    context: &mut ScmpFilterContext,
    rule: &LinuxSyscall,
    default: ScmpAction,
) -> Result<(), SeccompError> {
    let action = action(rule.action(), rule.errno_ret());
    if action == default {
        return Ok(());
    }
    let comparisons: Vec<ScmpArgCompare> = rule.args().iter().flatten().map(comparison).collect();
    // libseccomp compares each argument at most once per rule: of several comparisons of the same argument, each
    // becomes a separate rule, as in other runtimes.
    let indices: BTreeSet<usize> = rule.args().iter().flatten().map(LinuxSeccompArg::index).collect();
    let apart = indices.len() < comparisons.len();
    // Calls that this libseccomp does not know are left out: the default action applies to them.
    for call in rule.names().iter().filter_map(|name| ScmpSyscall::from_name(name).ok()) {
        if comparisons.is_empty() {
            context.add_rule(action, call)?;
        } else if apart {
            for one in &comparisons {
                context.add_rule_conditional(action, call, std::slice::from_ref(one))?;
            }
        } else {
            context.add_rule_conditional(action, call, &comparisons)?;
        }
    }
    Ok(())
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> ScmpAction {
    // `errnoRet` is EPERM by default (OCI runtime spec, linux.seccomp).
    let errno = errno.and_then(|errno| i32::try_from(errno).ok()).unwrap_or(libc::EPERM);
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => ScmpAction::KillThread,
        LinuxSeccompAction::ScmpActKillProcess => ScmpAction::KillProcess,
        LinuxSeccompAction::ScmpActTrap => ScmpAction::Trap,
        LinuxSeccompAction::ScmpActErrno => ScmpAction::Errno(errno),
        LinuxSeccompAction::ScmpActTrace => ScmpAction::Trace(u16::try_from(errno).unwrap_or_default()),
        LinuxSeccompAction::ScmpActAllow => ScmpAction::Allow,
        LinuxSeccompAction::ScmpActLog => ScmpAction::Log,
        // `read_profile` refuses this action, because no process would answer the notification.
        LinuxSeccompAction::ScmpActNotify => ScmpAction::KillProcess,
    }
}

fn comparison(arg: &LinuxSeccompArg) -> ScmpArgCompare {
    let (value, second) = (arg.value(), arg.value_two().unwrap_or_default());
    let index = u32::try_from(arg.index()).unwrap_or(u32::MAX);
    let (operator, datum) = match arg.op() {
        LinuxSeccompOperator::ScmpCmpNe => (ScmpCompareOp::NotEqual, value),
        LinuxSeccompOperator::ScmpCmpLt => (ScmpCompareOp::Less, value),
        LinuxSeccompOperator::ScmpCmpLe => (ScmpCompareOp::LessOrEqual, value),
        LinuxSeccompOperator::ScmpCmpEq => (ScmpCompareOp::Equal, value),
        LinuxSeccompOperator::ScmpCmpGe => (ScmpCompareOp::GreaterEqual, value),
        LinuxSeccompOperator::ScmpCmpGt => (ScmpCompareOp::Greater, value),
        // In the OCI spec the mask is the first value.
        LinuxSeccompOperator::ScmpCmpMaskedEq => (ScmpCompareOp::MaskedEqual(value), second),
    };
    ScmpArgCompare::new(index, operator, datum)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn profile(value: serde_json::Value) -> LinuxSeccomp {
        serde_json::from_value(value).unwrap()
    }

    fn kept(dir: &Path) -> Vec<std::path::PathBuf> {
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_filter_is_made_once_and_the_same_when_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let default = super::super::default_profile(&BTreeSet::new(), "x86_64").unwrap();
        let made = Filter::of(&default, dir.path()).unwrap();
        let [file] = &kept(dir.path())[..] else { panic!("one file") };
        assert_eq!(Filter::of(&default, dir.path()).unwrap(), made);
        // A damaged cache entry is compiled anew.
        std::fs::write(file, "123").unwrap();
        assert_eq!(Filter::of(&default, dir.path()).unwrap(), made);
        let flagged =
            profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}));
        assert_eq!(Filter::of(&flagged, dir.path()).unwrap().flags, 2);
        assert_eq!(kept(dir.path()).len(), 2);
    }

    /// Returns the exit codes of children that load a profile and call personality(2) with these arguments, because
    /// nothing else calls it.
    fn answers(value: serde_json::Value, arguments: &[u64]) -> Vec<i32> {
        let dir = tempfile::tempdir().unwrap();
        let filter = Filter::of(&profile(value), dir.path()).unwrap();
        let answer = |argument: &u64| {
            // SAFETY: the child makes system calls only, and ends.
            match unsafe { nix::unistd::fork() }.unwrap() {
                nix::unistd::ForkResult::Child => {
                    // SAFETY: no pointers.
                    unsafe {
                        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                        if filter.load().is_err() {
                            libc::_exit(255);
                        }
                        let done = libc::syscall(libc::SYS_personality, *argument);
                        libc::_exit(if done < 0 { *libc::__errno_location() } else { 0 });
                    }
                }
                nix::unistd::ForkResult::Parent { child } => match nix::sys::wait::waitpid(child, None) {
                    Ok(nix::sys::wait::WaitStatus::Exited(_, code)) => code,
                    other => panic!("{other:?}"),
                },
            }
        };
        arguments.iter().map(answer).collect()
    }

    #[test]
    fn masked_comparisons_have_the_mask_first() {
        let call = |arg| {
            json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["personality", "nosuchcall"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99,
                              "args": [arg]}],
            })
        };
        let masked = call(json!({"index": 0, "value": 0xf0, "valueTwo": 0x10, "op": "SCMP_CMP_MASKED_EQ"}));
        assert_eq!(answers(masked, &[0x10, 0x1f, 0x20, 0x0]), [99, 99, 0, 0]);
        let equal = call(json!({"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}));
        assert_eq!(answers(equal, &[7, 0]), [99, 0]);
        let more = call(json!({"index": 0, "value": 7, "op": "SCMP_CMP_GT"}));
        assert_eq!(answers(more, &[7, 8]), [0, 99]);
    }

    #[test]
    fn comparisons_with_one_argument_are_rules_of_their_own() {
        let either = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["personality"], "action": "SCMP_ACT_ERRNO",
                          "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"},
                                   {"index": 0, "value": 9, "op": "SCMP_CMP_EQ"}]}],
        });
        assert_eq!(answers(either, &[7, 9, 0]), [libc::EPERM, libc::EPERM, 0]);
    }

    #[test]
    fn what_is_newer_than_the_profile_is_not_implemented_and_what_it_leaves_out_is_denied() {
        let dir = tempfile::tempdir().unwrap();
        let default = super::super::default_profile(&BTreeSet::new(), std::env::consts::ARCH).unwrap();
        let filter = Filter::of(&default, dir.path()).unwrap();
        let answer = |call: libc::c_long| {
            // SAFETY: the child makes system calls only, and ends.
            match unsafe { nix::unistd::fork() }.unwrap() {
                nix::unistd::ForkResult::Child => {
                    // SAFETY: a call without pointers, or none at all.
                    unsafe {
                        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                        if filter.load().is_err() {
                            libc::_exit(255);
                        }
                        let done = libc::syscall(call, 0, 0, 0, 0, 0, 0);
                        libc::_exit(if done < 0 { *libc::__errno_location() } else { 0 });
                    }
                }
                nix::unistd::ForkResult::Parent { child } => match nix::sys::wait::waitpid(child, None) {
                    Ok(nix::sys::wait::WaitStatus::Exited(_, code)) => code,
                    other => panic!("{other:?}"),
                },
            }
        };
        assert_eq!(answer(9999), libc::ENOSYS);
        assert_eq!(answer(libc::SYS_unshare), libc::EPERM);
        // A libc that gets ENOSYS creates threads by clone(2).
        assert_eq!(answer(libc::SYS_clone3), libc::ENOSYS);
        assert_eq!(answer(libc::SYS_getppid), 0);
    }
}
