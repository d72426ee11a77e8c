//! What every command starts from.

use std::path::PathBuf;

use anyhow::Context as _;
use pod_core::repair::Repaired;
use pod_core::store::Layout;
use pod_core::supervisor::Host;

use crate::cli::Global;
use crate::output::exit::Failure;
use crate::output::terminal;

/// This call of `kube`: where its trees lie and which namespace it means.
#[derive(Debug, Clone)]
pub struct Context {
    /// The two trees.
    pub layout: Layout,
    /// Our own executable.
    pub exe: PathBuf,
    /// `-n`, or `default`.
    pub namespace: String,
    /// True if `-n` was given.
    pub namespace_given: bool,
}

impl Context {
    /// From the global options and the environment. Makes nothing on disk.
    ///
    /// # Errors
    /// A rootless user without a home; a namespace that is none.
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
            return Err(Failure::usage(format!("{namespace:?} is not a namespace's name"))
                .hint("lower case letters, digits and '-', at most 63 of them")
                .into());
        }
        // The link itself, so that supervisors and workers run the very file that we are even when it was
        // replaced by a newer one in the meantime, is not enough: they outlive us. So: where it points to.
        let exe = std::env::current_exe().context("find our own executable")?;
        Ok(Self {
            layout: Layout { root, runroot },
            exe,
            namespace,
            namespace_given: global.namespace.is_some(),
        })
    }

    /// This machine, for the functions of [`pod_core::play`].
    pub fn host(&self) -> Host {
        Host { layout: self.layout.clone(), exe: self.exe.clone() }
    }

    /// Puts right what a crash or a reboot left, before a command looks at anything; tells what was done.
    ///
    /// # Errors
    /// The trees cannot be read.
    pub fn repair(&self) -> anyhow::Result<()> {
        let repaired = pod_core::repair::repair(&self.host())?;
        log(&repaired);
        if repaired.are_new {
            tell_problems(&repaired);
        }
        Ok(())
    }

    /// [`Self::repair`], for a command that is about to say that all is as it should be: problems with networks are told
    /// although an earlier command did.
    ///
    /// # Errors
    /// As [`Self::repair`].
    pub fn repair_and_tell(&self) -> anyhow::Result<()> {
        let repaired = pod_core::repair::repair(&self.host())?;
        log(&repaired);
        tell_problems(&repaired);
        Ok(())
    }

    /// Waits until pods that were taken down have given back what they had, for commands that would meet it.
    ///
    /// # Errors
    /// As [`pod_core::observe::await_removals`].
    pub fn await_removals(&self) -> anyhow::Result<()> {
        Ok(pod_core::observe::await_removals(&self.host(), &[])?)
    }
}

fn log(repaired: &Repaired) {
    for line in &repaired.told {
        tracing::info!("{line}");
    }
}

fn tell_problems(repaired: &Repaired) {
    for problem in &repaired.problems {
        terminal::warning(problem);
    }
}

/// `$XDG_DATA_HOME/kube-play`, by the XDG base directory specification.
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

/// `$XDG_RUNTIME_DIR/kube-play`, or where it would be on a host that sets none.
fn rootless_runroot() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/kube-play-{}", rustix::process::geteuid().as_raw())))
        .join("kube-play")
}

/// RFC 1123 label.
fn is_dns_label(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty()
        && name.len() <= 63
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
