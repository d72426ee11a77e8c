//! The settings that every command needs: directories, executable and namespace.

use std::path::PathBuf;

use anyhow::Context as _;
use pod_core::repair::Repaired;
use pod_core::store::{Instance, Layout};

use crate::cli::Global;
use crate::output::exit::Failure;
use crate::output::terminal;

/// The settings of this call of `kube`.
#[derive(Debug, Clone)]
pub struct Context {
    /// The persistent and the volatile directory tree.
    pub layout: Layout,
    /// The path of our own executable.
    pub exe: PathBuf,
    /// The namespace of `-n`, or `default`.
    pub namespace: String,
    /// True if `-n` was given.
    pub namespace_given: bool,
}

impl Context {
    /// Reads the settings from the global options and the environment. Creates nothing on disk.
    ///
    /// # Errors
    /// A rootless user has no home directory, or the namespace's name is not valid.
    pub fn new(global: &Global) -> anyhow::Result<Self> {
        let rootless = !rustix::process::geteuid().is_root();
        let root = match &global.root {
            Some(dir) => std::path::absolute(dir)?,
            None if rootless => rootless_root()?,
            None => PathBuf::from("/var/lib/kube-play"),
        };
        let runroot = match &global.runroot {
            Some(dir) => std::path::absolute(dir)?,
            None if rootless => rootless_runroot(),
            None => PathBuf::from("/run/kube-play"),
        };
        let namespace = global.namespace.clone().unwrap_or_else(|| "default".to_owned());
        if !is_dns_label(&namespace) {
            return Err(Failure::usage(format!("{namespace:?} is not the name of a namespace"))
                .hint("lower case letters, digits and '-', at most 63 of them")
                .into());
        }
        // The resolved path, not the link `/proc/self/exe`. The link would lead supervisors and workers to the very
        // file that runs now, also after an upgrade replaced that file, but they outlive this process and its link.
        let exe = std::env::current_exe().context("find the executable of kube")?;
        Ok(Self {
            layout: Layout { root, runroot },
            exe,
            namespace,
            namespace_given: global.namespace.is_some(),
        })
    }

    /// Returns the host in the form that the functions of [`pod_core::play`] take.
    pub fn instance(&self) -> Instance {
        Instance { layout: self.layout.clone(), exe: self.exe.clone() }
    }

    /// Repairs what a crash or a reboot left, before a command looks at any state. Prints new problems.
    ///
    /// # Errors
    /// The directory trees cannot be read.
    pub fn repair(&self) -> anyhow::Result<()> {
        let repaired = pod_core::repair::repair(&self.instance())?;
        log(&repaired);
        if repaired.are_new {
            print_problems(&repaired);
        }
        Ok(())
    }

    /// Repairs as [`Self::repair`] does, for a command that is about to report that everything is in order: prints
    /// problems with networks also if an earlier command has printed them.
    ///
    /// # Errors
    /// As [`Self::repair`].
    pub fn repair_and_print_problems(&self) -> anyhow::Result<()> {
        let repaired = pod_core::repair::repair(&self.instance())?;
        log(&repaired);
        print_problems(&repaired);
        Ok(())
    }

    /// Waits until the resources of pods that were taken down are removed, for commands that would see them or collide
    /// with them.
    ///
    /// # Errors
    /// As [`pod_core::observe::await_removals`].
    pub fn await_removals(&self) -> anyhow::Result<()> {
        Ok(pod_core::observe::await_removals(&self.instance(), &[])?)
    }
}

fn log(repaired: &Repaired) {
    for line in &repaired.log_lines {
        tracing::info!("{line}");
    }
}

fn print_problems(repaired: &Repaired) {
    for problem in &repaired.problems {
        terminal::warning(problem);
    }
}

/// Returns `$XDG_DATA_HOME/kube-play`, as the XDG base directory specification says.
fn rootless_root() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|dir| dir.join("kube-play"))
        .ok_or_else(|| {
            Failure::failed("no folder for images and volumes: neither XDG_DATA_HOME nor HOME is set")
                .hint("name one with --root DIR")
                .into()
        })
}

/// Returns `$XDG_RUNTIME_DIR/kube-play`, or a directory below `/tmp` on a host that does not set the variable.
fn rootless_runroot() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/kube-play-{}", rustix::process::geteuid().as_raw())))
        .join("kube-play")
}

/// Returns whether the name is an RFC 1123 label.
fn is_dns_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty()
        && name.len() <= 63
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
