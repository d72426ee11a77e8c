//! A network namespace. It contains podman's rules of iptables, which would slow `kube` down if they were on the
//! host.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// A network namespace with its loopback up. It exists until this value and all processes in it are gone.
pub struct Netns {
    file: File,
}

impl Netns {
    /// Creates a network namespace.
    pub fn new() -> Self {
        let made = std::thread::spawn(|| {
            // SAFETY: only this thread, which ends here, leaves the namespace of the others.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let netns = Self { file: made.join().unwrap() };
        let mut up = Command::new("ip");
        up.args(["link", "set", "lo", "up"]);
        netns.enter(&mut up);
        assert!(up.status().unwrap().success(), "ip link set lo up");
        netns
    }

    /// Returns the path at which the namespace can be opened.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Makes a command run in the namespace.
    pub fn enter(&self, command: &mut Command) {
        let file = self.file.try_clone().unwrap();
        let join = move || Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?);
        // SAFETY: one system call, which may be made between fork and exec.
        unsafe { command.pre_exec(join) };
    }

    /// Calls a function in the namespace, on a separate thread.
    pub fn call<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let run = || {
                move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                what()
            };
            scope.spawn(run).join().unwrap()
        })
    }
}
