use oci_spec::runtime::LinuxSeccompAction;

use super::*;

/// Returns whether a profile allows a call, by its rules without arguments.
fn allows(profile: &LinuxSeccomp, name: &str) -> bool {
    profile.syscalls().iter().flatten().any(|rule| {
        rule.args().is_none()
            && rule.action() == LinuxSeccompAction::ScmpActAllow
            && rule.names().iter().any(|known| known == name)
    })
}

fn profile_with(capabilities: &[&str]) -> LinuxSeccomp {
    let capabilities = capabilities.iter().map(|name| (*name).to_owned()).collect();
    default_profile(&capabilities, "x86_64").unwrap()
}

#[test]
fn what_is_not_named_is_refused() {
    let profile = profile_with(&[]);
    assert_eq!(profile.default_action(), LinuxSeccompAction::ScmpActErrno);
    assert_eq!(profile.default_errno_ret(), Some(1));
    for name in [
        "mount",
        "bpf",
        "unshare",
        "setns",
        "reboot",
        "init_module",
        "keyctl",
        "add_key",
        "kexec_load",
        "userfaultfd",
        "io_uring_setup",
        "open_by_handle_at",
        "chroot",
        "perf_event_open",
        "swapon",
    ] {
        assert!(!allows(&profile, name), "{name}");
    }
    for name in ["read", "openat", "execve", "futex", "statx", "rseq", "prctl"] {
        assert!(allows(&profile, name), "{name}");
    }
}

#[test]
fn capabilities_open_their_calls() {
    for (capability, name) in [
        ("CAP_SYS_ADMIN", "mount"),
        ("CAP_SYS_CHROOT", "chroot"),
        ("CAP_SYS_MODULE", "init_module"),
        ("CAP_SYS_TIME", "clock_settime"),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ] {
        assert!(allows(&profile_with(&[capability]), name), "{capability}");
    }
    let names_clone = |profile: &LinuxSeccomp| {
        let rules = profile.syscalls().iter().flatten();
        rules.filter(|rule| rule.names().iter().any(|name| name.starts_with("clone"))).count()
    };
    assert_eq!(names_clone(&profile_with(&[])), 2, "clone without namespaces, clone3 not at all");
    assert_eq!(names_clone(&profile_with(&["CAP_SYS_ADMIN"])), 1, "both, freely");
}

#[test]
fn architectures_differ() {
    let arm = default_profile(&BTreeSet::new(), "aarch64").unwrap();
    assert!(allows(&arm, "set_tls") && !allows(&arm, "arch_prctl"));
    let x86 = profile_with(&[]);
    assert!(allows(&x86, "arch_prctl") && !allows(&x86, "set_tls"));
    assert_eq!(x86.architectures().as_ref().unwrap().len(), 3, "its 32-bit programs run too");
}

#[test]
fn every_rule_names_known_calls() {
    // A misspelt name would silently refuse a call. Some calls are newer than the libseccomp of this machine.
    let young = [
        "cachestat",
        "fchmodat2",
        "futex_requeue",
        "futex_wait",
        "futex_wake",
        "getxattrat",
        "listmount",
        "listxattrat",
        "lsm_get_self_attr",
        "lsm_list_modules",
        "lsm_set_self_attr",
        "map_shadow_stack",
        "mseal",
        "quotactl_fd",
        "removexattrat",
        "set_mempolicy_home_node",
        "setxattrat",
        "statmount",
        "uretprobe",
        "futex_waitv",
        "process_mrelease",
        "memfd_secret",
    ];
    let all =
        profile_with(&["CAP_SYS_ADMIN", "CAP_SYS_NICE", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYSLOG"]);
    for name in all.syscalls().iter().flatten().flat_map(|rule| rule.names()) {
        let known = libseccomp::ScmpSyscall::from_name(name).is_ok();
        assert!(known || young.contains(&name.as_str()), "{name}");
    }
}
