//! `kube check`: validate manifests without changing anything.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueHint;
use pod_core::manifest::Document;
use pod_core::plan::PlanOptions;

use crate::cli::context::Context;
use crate::input::load;
use crate::output;

// Arguments of `kube check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reports all errors with file, line, column and field, and every field that has no effect on this machine. \
Exits with 3 when a manifest is not valid.

Examples:
  # Validate a file
  kube check web.yaml

  # Validate a folder, and treat warnings as errors
  kube check --strict manifests/")]
pub struct Args {
    /// Manifests: files, folders, `-`, URLs
    #[arg(value_name = "FILE|DIR|-|URL", required_unless_present = "filename", value_hint = ValueHint::AnyPath)]
    pub files: Vec<String>,
    /// The same as FILE, for users of kubectl
    #[arg(short, long, value_name = "FILE", hide = true, value_hint = ValueHint::AnyPath)]
    pub filename: Vec<String>,
    /// Also read the ConfigMaps in this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub configmap: Vec<PathBuf>,
    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
    /// Print errors and warnings only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Runs `kube check`.
///
/// # Errors
/// A manifest is not valid (3), or cannot be read (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let names: Vec<String> = args.files.iter().chain(&args.filename).cloned().collect();
    let request =
        load::Request { names: &names, configmaps: &args.configmap, strict: args.strict, acts: false };
    let documents = load::load(context, &request, &PlanOptions::default())?.documents;
    if !args.quiet {
        output::print(&documents.iter().map(line).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the line about a valid document: `deployment.apps/api valid`.
fn line(document: &Document) -> String {
    let object = &document.object;
    let name = object.metadata().name.as_deref().unwrap_or_default();
    format!("{}/{name} valid\n", object.kind())
}
