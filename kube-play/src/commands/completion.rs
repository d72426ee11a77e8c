//! `kube completion`: print a completion script.

use std::process::ExitCode;

use clap_complete::Shell;

use crate::output::print_bytes;

// Arguments of `kube completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # Load completions into this shell
  source <(kube completion bash)

  # Install completions permanently
  kube completion bash >/etc/bash_completion.d/kube
  kube completion zsh >\"${fpath[1]}/_kube\"
  kube completion fish >~/.config/fish/completions/kube.fish")]
pub struct Args {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// Runs `kube completion`; `kube` is the command line that the script completes.
///
/// # Errors
/// stdout cannot be written.
pub fn run(mut kube: clap::Command, args: &Args) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut kube, "kube", &mut script);
    print_bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}
