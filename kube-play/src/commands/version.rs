//! `kube version`: print versions.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::context::Context;
use crate::output::{ObjectFormat, print, print_object};

// Arguments of `kube version`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kube version
  kube version -o json")]
pub struct Args {
    /// The output format [default: text]
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    pub output: Option<ObjectFormat>,
}

/// The version of the Kubernetes API that `kube` understands: k8s-openapi's feature `v1_37`.
pub const KUBERNETES: &str = "v1.37";

/// Runs `kube version`.
///
/// # Errors
/// stdout cannot be written.
pub fn run(_context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    match args.output {
        Some(format) => print_object(
            &json!({
                "clientVersion": {
                    "gitVersion": version,
                    "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
                },
                "kubernetesVersion": KUBERNETES,
                "formatVersion": pod_core::version::format(),
            }),
            format,
        )?,
        None => print(&format!(
            "kube {version}\nKubernetes API: {KUBERNETES}\nFormat of files and supervisors: {}\n",
            pod_core::version::format()
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}
