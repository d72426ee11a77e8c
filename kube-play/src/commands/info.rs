//! `kube info`: what works on this host, what is missing, and how to fix it.

use std::fmt::Write as _;
use std::process::ExitCode;

use base::escape::harmless;
use pod_core::observe::host_features::{Feature, FeatureStatus, HostFacts};
use pod_core::observe::workloads;
use serde_json::json;

use crate::cli::context::Context;
use crate::commands::version::KUBERNETES;
use crate::output::{ObjectFormat, Table, print, print_object};

// Arguments of `kube info`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # Check this machine
  kube info

  # Print JSON for a program
  kube info -o json")]
pub struct Args {
    /// The output format [default: text]
    #[arg(short, long, value_name = "FORMAT", value_enum)]
    pub output: Option<ObjectFormat>,
}

/// Runs `kube info`.
///
/// # Errors
/// stdout cannot be written.
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let facts = HostFacts::gather(&context.layout.root, &context.layout.runroot);
    let mut features = facts.features();
    features.push(networks(context));
    features.extend(ingress(context));
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = rustix::system::sysinfo();
    let memory = memory.totalram.saturating_mul(u64::from(memory.mem_unit.max(1)));
    let workloads = workloads(&context.layout)?;
    let pods: usize = workloads.iter().map(|workload| workload.pods.len()).sum();
    if let Some(format) = args.output {
        print_object(
            &json!({
                "version": concat!("v", env!("CARGO_PKG_VERSION")),
                "kubernetesVersion": KUBERNETES,
                "formatVersion": pod_core::version::format(),
                "kernel": facts.kernel,
                "architecture": std::env::consts::ARCH,
                "distribution": facts.distribution,
                "cpus": cpus,
                "memoryBytes": memory,
                "root": context.layout.root,
                "runroot": context.layout.runroot,
                "workloads": workloads.len(),
                "pods": pods,
                "features": features,
            }),
            format,
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<11}{}", harmless(&value));
    };
    line("version", format!("v{} (Kubernetes API {KUBERNETES})", env!("CARGO_PKG_VERSION")));
    line(
        "host",
        format!(
            "Linux {}, {}, {cpus} CPUs, {} MiB of memory",
            facts.kernel,
            std::env::consts::ARCH,
            memory / (1024 * 1024)
        ),
    );
    line("root", context.layout.root.display().to_string());
    line("runroot", context.layout.runroot.display().to_string());
    line("workloads", format!("{}, {pods} pods", workloads.len()));
    let mut table = Table::new(["FEATURE", "STATUS", "DETAIL"]);
    for feature in &features {
        table.row([feature.name.to_owned(), feature.status.as_str().to_owned(), feature.detail.clone()]);
    }
    let _ = write!(text, "\n{}", table.render(true));
    if features.iter().any(|feature| feature.remedy.is_some()) {
        text.push('\n');
    }
    for feature in &features {
        if let Some(remedy) = &feature.remedy {
            let _ = writeln!(text, "{}: {}", feature.name, harmless(remedy));
        }
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Checks the networks of this instance's pods as they are now, because other programs may have changed them.
fn networks(context: &Context) -> Feature {
    let layout = &context.layout;
    let networks = network::Networks::new(&layout.networks(), &layout.networks_run(), &context.exe);
    let (detail, remedy) = match networks.problems() {
        Ok(problems) if problems.is_empty() => ("the networks in use have no problems".to_owned(), None),
        Ok(problems) => (
            problems.join("; "),
            Some(
                "any command that reads pods, such as `kube ps`, repairs what it can and prints the other problems",
            ),
        ),
        Err(e) => (e.to_string(), None),
    };
    let status = if remedy.is_some() { FeatureStatus::Limited } else { FeatureStatus::Ok };
    Feature { name: "pod networks", status, detail, remedy: remedy.map(str::to_owned) }
}

/// Returns where Ingresses are served, and which of their ports others have. `None` if there are no Ingresses and no
/// setting for them.
fn ingress(context: &Context) -> Option<Feature> {
    let summary = match pod_core::ingress::summary(&context.layout) {
        Ok(summary) if summary.ingresses == 0 && !summary.is_set => return None,
        Ok(summary) => summary,
        Err(e) => {
            let (status, detail) = (FeatureStatus::Limited, e.to_string());
            return Some(Feature { name: "ingress", status, detail, remedy: None });
        }
    };
    let (http, https) = summary.ports;
    let origin = if summary.is_set { pod_core::ingress::PORTS_VARIABLE } else { "the default" };
    let mut detail = format!("ports {http} and {https} (from {origin})");
    if let Some(pid) = summary.pid {
        let _ = write!(detail, "; the proxy is pid {pid}");
    }
    let lacking: Vec<String> = summary.pending.iter().map(ToString::to_string).collect();
    let is_down = summary.ingresses > 0 && summary.pid.is_none();
    let remedy = match (lacking.is_empty(), is_down) {
        (false, _) => Some(format!(
            "{}: stop that, or set {} for the next play of an Ingress; every command tries again",
            lacking.join("; "),
            pod_core::ingress::PORTS_VARIABLE
        )),
        (true, true) => Some(
            "the proxy does not run: any command that reads pods, such as `kube ps`, starts it".to_owned(),
        ),
        (true, false) => None,
    };
    let status = if remedy.is_some() { FeatureStatus::Limited } else { FeatureStatus::Ok };
    Some(Feature { name: "ingress", status, detail, remedy })
}
