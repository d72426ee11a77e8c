//! The process of a pod's infra container: it keeps the pod's namespaces alive and does nothing else.
//!
//! Built by build.rs into a static program without libc. As PID 1 of a shared pid namespace it reaps what is
//! handed to it; on SIGTERM or SIGINT it ends with 0. It waits with its signals blocked: a blocked signal is
//! queued even for PID 1, for which the kernel drops signals with a default action (pid_namespaces(7)).

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

#[cfg(target_arch = "x86_64")]
mod number {
    pub const RT_SIGPROCMASK: usize = 14;
    pub const WAIT4: usize = 61;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const EXIT_GROUP: usize = 231;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const RT_SIGPROCMASK: usize = 135;
    pub const WAIT4: usize = 260;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const EXIT_GROUP: usize = 94;
}

// The kernel enters here with the stack pointer at argc; a function wants it aligned and a clear frame pointer.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "and rsp, -16", "call {main}", "ud2", main = sym main);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "mov x30, #0", "bl {main}", "brk #1", main = sym main);

const SIGINT: isize = 2;
const SIGTERM: isize = 15;
const SIGCHLD: isize = 17;
const SIG_SETMASK: usize = 2;
const WNOHANG: usize = 1;
const ANY_CHILD: usize = usize::MAX;
/// Bytes of the kernel's signal set.
const SET_SIZE: usize = 8;

/// One system call.
///
/// # Safety
/// The arguments must be what this call may be given.
#[cfg(target_arch = "x86_64")]
unsafe fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: the kernel's calling convention; it clobbers rcx and r11 only.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// One system call.
///
/// # Safety
/// The arguments must be what this call may be given.
#[cfg(target_arch = "aarch64")]
unsafe fn syscall(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    // SAFETY: the kernel's calling convention.
    unsafe {
        asm!("svc #0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d,
             options(nostack));
    }
    result
}

extern "C" fn main() -> ! {
    let signals: u64 = (1 << (SIGINT - 1)) | (1 << (SIGTERM - 1)) | (1 << (SIGCHLD - 1));
    let set = &raw const signals as usize;
    // SAFETY: `set` points at a signal set of SET_SIZE bytes; no old set is asked for.
    unsafe { syscall(number::RT_SIGPROCMASK, SIG_SETMASK, set, 0, SET_SIZE) };
    loop {
        // Signals of one kind are merged, so one SIGCHLD may stand for many children. SAFETY: no status and no
        // usage is asked for.
        while unsafe { syscall(number::WAIT4, ANY_CHILD, 0, WNOHANG, 0) } > 0 {}
        // SAFETY: as above; no siginfo is asked for and no timeout given.
        match unsafe { syscall(number::RT_SIGTIMEDWAIT, set, 0, 0, SET_SIZE) } {
            SIGINT | SIGTERM => exit(0),
            _ => {}
        }
    }
}

fn exit(status: usize) -> ! {
    loop {
        // SAFETY: takes a number and does not return.
        unsafe { syscall(number::EXIT_GROUP, status, 0, 0, 0) };
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(2)
}
