//! The NFS server of this host's kernel, for one test at a time. It speaks NFSv4 alone, which needs no rpcbind.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A running server that exports one folder to this host. Dropping it ends the server.
pub struct NfsServer {
    export: PathBuf,
}

impl NfsServer {
    /// Starts a server that exports `dir` to 127.0.0.1 if this host has one (Debian's package nfs-kernel-server).
    pub fn start(dir: &Path) -> Option<Self> {
        let is_installed = |program: &str| Path::new("/usr/sbin").join(program).exists();
        if !["rpc.nfsd", "rpc.mountd", "exportfs"].into_iter().all(is_installed) {
            return None;
        }
        // nfsd(7): the interface to the server, and the folder in which it remembers its clients.
        run("modprobe", &["nfsd"]);
        if !Path::new("/proc/fs/nfsd/threads").exists() {
            run("mount", &["-t", "nfsd", "nfsd", "/proc/fs/nfsd"]);
        }
        std::fs::create_dir_all("/var/lib/nfs/v4recovery").unwrap();
        let server = Self { export: dir.to_owned() };
        let options = "rw,no_root_squash,no_subtree_check,insecure,fsid=0";
        run("exportfs", &["-i", "-o", options, &format!("127.0.0.1:{}", dir.display())]);
        // Answers the kernel's questions about exports.
        run("rpc.mountd", &["--no-nfs-version", "3", "--no-udp"]);
        // No client of an earlier server has to be waited for longer than this.
        let seconds = "1";
        run("rpc.nfsd", &["--no-nfs-version", "3", "--lease-time", "10", "--grace-time", seconds, "2"]);
        Some(server)
    }
}

impl Drop for NfsServer {
    fn drop(&mut self) {
        let export = format!("127.0.0.1:{}", self.export.display());
        for (program, arguments) in
            [("rpc.nfsd", &["0"][..]), ("exportfs", &["-u", &export][..]), ("pkill", &["rpc.mountd"][..])]
        {
            let _ = Command::new(program).args(arguments).status();
        }
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}
