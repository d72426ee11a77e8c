//! `kube completion`: print a completion script.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::context::Context;
use crate::output::print_bytes;

/// Arguments of `kube completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # For this shell
  source <(kube completion bash)

  # For good
  kube completion bash >/etc/bash_completion.d/kube
  kube completion zsh >\"${fpath[1]}/_kube\"
  kube completion fish >~/.config/fish/completions/kube.fish")]
pub struct Args {
    /// For which shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// Runs `kube completion`.
///
/// # Errors
/// stdout cannot be written.
pub fn run(_context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kube", &mut script);
    print_bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}
