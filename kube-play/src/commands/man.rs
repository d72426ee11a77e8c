//! `kube man`: write the manual pages.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueHint;

use crate::session::umask::CallersUmask;

// Arguments of `kube man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # Write one page per command: kube.1, kube-play.1, ...
  kube man /usr/local/share/man/man1")]
pub struct Args {
    /// The folder to write into; it is created if missing
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}

/// Runs `kube man`; `kube` is the command line that the pages describe.
///
/// # Errors
/// The folder cannot be written.
pub fn run(kube: clap::Command, args: &Args) -> anyhow::Result<ExitCode> {
    let dir = &args.dir;
    let _umask = CallersUmask::begin();
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        clap_mangen::generate_to(kube, dir)
    };
    write().with_context(|| format!("write manual pages into {}", dir.display()))?;
    Ok(ExitCode::SUCCESS)
}
