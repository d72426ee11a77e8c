//! Answers system calls that are newer than a profile with ENOSYS.
//!
//! A profile answers calls that it does not name with EPERM. A libc takes this as final and does not fall back to the
//! older call, as it does on ENOSYS. Therefore calls with a number above the newest one in the profile are answered
//! with ENOSYS, by instructions before libseccomp's own, as runc does (libcontainer/seccomp/patchbpf).

use libseccomp::{ScmpAction, ScmpArch, ScmpSyscall};
use oci_spec::runtime::LinuxSeccomp;

/// One instruction: code, jump offsets if true and if false, and operand (`struct sock_filter`).
type Instruction = (u16, u8, u8, u32);

/// `BPF_LD | BPF_W | BPF_ABS`.
const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const IF_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGT | BPF_K`.
const IF_ABOVE: u16 = 0x25;
/// `BPF_JMP | BPF_JGE | BPF_K`.
const IF_AT_LEAST: u16 = 0x35;
/// `BPF_JMP | BPF_JA`.
const JUMP: u16 = 0x05;
/// `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;
/// Offset of `nr` in `struct seccomp_data`.
const NUMBER: u32 = 0;
/// Offset of `arch` in `struct seccomp_data`.
const ARCH: u32 = 4;
/// `SECCOMP_RET_ERRNO | ENOSYS`.
const NOT_IMPLEMENTED: u32 = 0x0005_0000 | libc::ENOSYS.unsigned_abs();
/// `__X32_SYSCALL_BIT`: x32 shares its AUDIT_ARCH with x86_64.
const X32_BIT: u32 = 0x4000_0000;

/// Returns the `AUDIT_ARCH_*` of an architecture (linux/audit.h); `None` if its calls are left to libseccomp.
fn token(arch: ScmpArch) -> Option<u32> {
    match arch {
        ScmpArch::X8664 => Some(0xc000_003e),
        ScmpArch::X86 => Some(0x4000_0003),
        ScmpArch::Aarch64 => Some(0xc000_00b7),
        ScmpArch::Arm => Some(0x4000_0028),
        _ => None,
    }
}

/// Returns the instructions to put before a profile's program, for the architectures of the filter. Empty if the
/// profile allows unnamed calls or answers them with ENOSYS already.
pub(super) fn program(profile: &LinuxSeccomp, default: ScmpAction, arches: &[ScmpArch]) -> Vec<Instruction> {
    match default {
        ScmpAction::Allow | ScmpAction::Log | ScmpAction::Trace(_) | ScmpAction::Errno(libc::ENOSYS) => {
            return Vec::new();
        }
        _ => {}
    }
    let newest = |arch: ScmpArch| {
        let names = profile.syscalls().iter().flatten().flat_map(|rule| rule.names());
        // Calls that an architecture does not have are negative.
        let numbers = names.filter_map(|name| ScmpSyscall::from_name_by_arch(name, arch).ok());
        numbers.filter_map(|call| u32::try_from(i32::from(call)).ok()).max()
    };
    let x32 = arches.contains(&ScmpArch::X32).then(|| newest(ScmpArch::X32)).flatten();
    let groups = arches.iter().filter_map(|arch| {
        let body = match (arch, newest(*arch)?) {
            (ScmpArch::X8664, newest) => vec![
                (IF_AT_LEAST, 1, 0, X32_BIT),
                (IF_ABOVE, 1, 2, newest),
                x32.map_or((JUMP, 0, 0, 1), |newest| (IF_ABOVE, 0, 1, newest)),
                (RETURN, 0, 0, NOT_IMPLEMENTED),
            ],
            (_, newest) => vec![(IF_ABOVE, 0, 1, newest), (RETURN, 0, 0, NOT_IMPLEMENTED)],
        };
        let over = u8::try_from(body.len() + 1).ok()?;
        let head = [(LOAD, 0, 0, ARCH), (IF_EQUAL, 0, over, token(*arch)?), (LOAD, 0, 0, NUMBER)];
        Some(head.into_iter().chain(body))
    });
    groups.flatten().collect()
}

/// Converts instructions to the kernel's memory format.
pub(super) fn bytes(program: &[Instruction]) -> Vec<u8> {
    let one = |(code, if_true, if_false, operand): &Instruction| {
        let mut bytes = code.to_ne_bytes().to_vec();
        bytes.extend([*if_true, *if_false]);
        bytes.extend(operand.to_ne_bytes());
        bytes
    };
    program.iter().flat_map(one).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns the answer of such a program to a call; `None` if libseccomp's own instructions decide.
    fn run(program: &[Instruction], arch: u32, number: u32) -> Option<u32> {
        let (mut at, mut loaded) = (0, 0);
        while let Some((code, if_true, if_false, operand)) = program.get(at).copied() {
            let jump = |holds: bool| usize::from(if holds { if_true } else { if_false });
            at += 1;
            match code {
                LOAD => loaded = if operand == ARCH { arch } else { number },
                IF_EQUAL => at += jump(loaded == operand),
                IF_ABOVE => at += jump(loaded > operand),
                IF_AT_LEAST => at += jump(loaded >= operand),
                JUMP => at += operand as usize,
                RETURN => return Some(operand),
                other => panic!("{other}"),
            }
        }
        assert_eq!(at, program.len(), "it ends where libseccomp's begins");
        None
    }

    fn profile(default: &str, names: &[&str]) -> LinuxSeccomp {
        let value =
            json!({ "defaultAction": default, "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }] });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn calls_above_the_newest_of_each_architecture_are_not_implemented() {
        let profile = profile("SCMP_ACT_ERRNO", &["read", "openat", "no_such_call"]);
        let arches = [ScmpArch::X8664, ScmpArch::X86, ScmpArch::X32, ScmpArch::Aarch64];
        let program = program(&profile, ScmpAction::Errno(libc::EPERM), &arches);
        // openat is 257 on x86_64, 295 on x86, 56 on aarch64, where 63 is read.
        for (arch, newest) in [(0xc000_003e, 257), (0x4000_0003, 295), (0xc000_00b7, 63)] {
            assert_eq!(run(&program, arch, newest), None, "{arch:x}");
            assert_eq!(run(&program, arch, newest - 1), None, "{arch:x}");
            assert_eq!(run(&program, arch, newest + 1), Some(NOT_IMPLEMENTED), "{arch:x}");
        }
        assert_eq!(run(&program, 0xc000_003e, X32_BIT + 257), None);
        assert_eq!(run(&program, 0xc000_003e, X32_BIT + 258), Some(NOT_IMPLEMENTED));
        assert_eq!(run(&program, 0x1234, 9999), None, "another architecture is left to libseccomp's filter");
    }

    #[test]
    fn without_x32_its_calls_are_left_to_libseccomp() {
        let profile = profile("SCMP_ACT_ERRNO", &["read"]);
        let program = program(&profile, ScmpAction::Errno(libc::EPERM), &[ScmpArch::X8664]);
        assert_eq!(run(&program, 0xc000_003e, X32_BIT + 9999), None);
        assert_eq!(run(&program, 0xc000_003e, 1), Some(NOT_IMPLEMENTED));
    }

    #[test]
    fn a_profile_that_lets_through_what_it_does_not_name_stays_as_it_is() {
        for action in [ScmpAction::Allow, ScmpAction::Log, ScmpAction::Errno(libc::ENOSYS)] {
            assert!(program(&profile("SCMP_ACT_ALLOW", &["read"]), action, &[ScmpArch::X8664]).is_empty());
        }
    }
}
