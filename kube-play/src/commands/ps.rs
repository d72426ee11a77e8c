//! `kube ps`: list pods.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::ExitCode;

use k8s_openapi::api::core::v1::Pod;
use pod_core::lifecycle::pod_row;
use pod_core::observe::PodView;
use pod_core::observe::changes::Changes;
use pod_core::observe::query::Query;
use pod_core::plan::{self, PortMapping};

use crate::cli::context::Context;
use crate::output::terminal;
use crate::output::{self, Listing, Shape, Table};

// Arguments of `kube ps`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # Pods of the default namespace
  kube ps

  # Pods of every namespace, with more columns
  kube ps -A -o wide

  # Pods of a Deployment
  kube ps -l app=api

  # Print Kubernetes objects
  kube ps -o json | jq '.items[].status.podIP'

  # Watch pods change
  kube ps -w")]
pub struct Args {
    /// Show only these pods (NAME, pod/NAME, or all of deployment/NAME)
    #[arg(value_name = "POD")]
    pub pods: Vec<String>,
    /// Show pods of every namespace
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Show only pods with these labels: app=web, tier!=db, 'env in (a,b)', key, !key
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// The output format.
    #[command(flatten)]
    pub listing: Listing,
    /// Keep printing pods as they change
    #[arg(short, long)]
    pub watch: bool,
}

/// Runs `kube ps`.
///
/// # Errors
/// A named pod does not exist (4); the selector is not valid (2).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    if args.watch {
        return watch(context, args);
    }
    let pods = shown(args, args.query(context).pods(&context.layout)?);
    match args.listing.shape() {
        Shape::Table => {
            match pods.is_empty() {
                true => output::none_found("pods", (!args.all_namespaces).then_some(&context.namespace)),
                false => table(&pods, args, jiff::Timestamp::now()).print(!args.listing.no_headers)?,
            }
            for id in args.query(context).workloads_without_pods(&context.layout)? {
                terminal::note(&format!("{id} has no pods (replicas: 0)"));
            }
        }
        Shape::Names => output::print_lines(pods.iter().map(name))?,
        Shape::Objects(format) => output::print_list(pods.iter().map(|pod| &pod.pod), format)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A pod with everything that its line in the table needs.
#[derive(Debug, Clone)]
struct Shown {
    pod: Pod,
    ports: String,
    workload: String,
}

impl Args {
    fn query<'a>(&'a self, context: &'a Context) -> Query<'a> {
        Query {
            namespace: &context.namespace,
            all_namespaces: self.all_namespaces,
            names: &self.pods,
            selector: self.selector.as_deref(),
        }
    }
}

fn shown(args: &Args, pods: Vec<PodView>) -> Vec<Shown> {
    // Only JSON and YAML output contains the host's addresses, and reading them takes longer than everything else.
    let host_ips = match args.listing.shape() {
        Shape::Objects(_) => plan::node::ips(),
        _ => Vec::new(),
    };
    let shown = |view: PodView| Shown {
        pod: view.object(&host_ips),
        ports: ports(&view.plan.network.ports),
        workload: view.workload.to_string(),
    };
    pods.into_iter().map(shown).collect()
}

/// Returns the PORTS column: `8080->80/tcp`, with the host's address if the pod asked for one.
fn ports(ports: &[PortMapping]) -> String {
    let one = |port: &PortMapping| {
        let ip = match port.host_ip {
            Some(IpAddr::V6(ip)) => format!("[{ip}]:"),
            Some(IpAddr::V4(ip)) => format!("{ip}:"),
            None => String::new(),
        };
        format!("{ip}{}->{}/{}", port.host_port, port.container_port, port.protocol)
    };
    ports.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn name(pod: &Shown) -> String {
    format!("pod/{}", pod.pod.metadata.name.as_deref().unwrap_or_default())
}

fn table(pods: &[Shown], args: &Args, now: jiff::Timestamp) -> Table {
    let wide = args.listing.is_wide();
    let mut headers = vec!["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "PORTS"];
    if args.all_namespaces {
        headers.insert(0, "NAMESPACE");
    }
    if wide {
        headers.extend(["WORKLOAD", "NODE", "IMAGES"]);
    }
    let mut table = Table::new(headers);
    for shown in pods {
        let row = pod_row(&shown.pod, now);
        let mut cells =
            vec![row.name, row.ready, row.status, row.restarts, row.age, row.ip, shown.ports.clone()];
        if args.all_namespaces {
            cells.insert(0, shown.pod.metadata.namespace.clone().unwrap_or_default());
        }
        if wide {
            cells.extend([shown.workload.clone(), node(&shown.pod), images(&shown.pod)]);
        }
        table.row(cells);
    }
    table
}

fn node(pod: &Pod) -> String {
    pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default()
}

fn images(pod: &Pod) -> String {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.filter_map(|container| container.image.as_deref()).collect::<Vec<_>>().join(",")
}

/// Prints all pods, then prints a pod again whenever its line changes.
fn watch(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let changes = Changes::new(&context.layout)?;
    let mut before: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut first = true;
    let mut widths = Vec::new();
    loop {
        // A named pod may disappear during the watch, which is not an error.
        let pods = match first {
            true => args.query(context).pods(&context.layout)?,
            false => args.query(context).existing_pods(&context.layout)?,
        };
        let mut now = BTreeMap::new();
        let mut changed = Vec::new();
        for shown in shown(args, pods) {
            let row = pod_row(&shown.pod, jiff::Timestamp::now());
            let restarts = row.restarts.split(' ').next().unwrap_or_default().to_owned();
            // All columns but the age, which changes by itself.
            let state = format!("{} {} {restarts} {} {}", row.ready, row.status, row.ip, shown.ports);
            let uid = shown.pod.metadata.uid.clone().unwrap_or_default();
            if before.get(&uid).is_none_or(|(old, _)| *old != state) {
                changed.push(shown.clone());
            }
            now.insert(uid, (state, name(&shown)));
        }
        if !changed.is_empty() {
            match args.listing.shape() {
                Shape::Table => {
                    let headers = first && !args.listing.no_headers;
                    let table = table(&changed, args, jiff::Timestamp::now()).at_least(widths);
                    widths = table.widths(headers);
                    table.print(headers)?;
                }
                Shape::Names => output::print_lines(changed.iter().map(name))?,
                Shape::Objects(format) => {
                    for shown in &changed {
                        output::print_next(&shown.pod, format)?;
                    }
                }
            }
            first = false;
        }
        for (uid, (_, name)) in &before {
            if !now.contains_key(uid) {
                terminal::note(&format!("{name} deleted"));
            }
        }
        before = now;
        changes.wait(None)?;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::Format;

    fn shown(namespace: &str, name: &str, state: &serde_json::Value, ports: &str) -> Shown {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2026-11-23T18:00:00Z"},
            "spec": {"nodeName": "box", "containers": [{"name": "main", "image": "localhost/busybox:1"}]},
            "status": {"phase": "Running", "podIP": "10.88.0.7", "containerStatuses": [{
                "name": "main", "ready": state.get("running").is_some(), "restartCount": 2, "image": "",
                "imageID": "", "state": state,
                "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-11-23T18:04:30Z"}}}]},
        });
        Shown {
            pod: serde_json::from_value(pod).unwrap(),
            ports: ports.to_owned(),
            workload: format!("pod/{name}"),
        }
    }

    fn rendered(output: Option<Format>, all_namespaces: bool) -> String {
        let args = Args {
            pods: Vec::new(),
            all_namespaces,
            selector: None,
            listing: Listing { output, no_headers: false },
            watch: false,
        };
        let pods = [
            shown("default", "web", &json!({"running": {}}), "8080->80/tcp"),
            shown("prod", "worker", &json!({"waiting": {"reason": "CrashLoopBackOff"}}), ""),
        ];
        table(&pods, &args, "2026-11-23T18:05:00Z".parse().unwrap()).render(true)
    }

    #[test]
    fn the_table_has_the_form_of_kubectl() {
        insta::assert_snapshot!(rendered(None, false), @r"
        NAME     READY   STATUS             RESTARTS      AGE   IP          PORTS
        web      1/1     Running            2 (30s ago)   5m    10.88.0.7   8080->80/tcp
        worker   0/1     CrashLoopBackOff   2 (30s ago)   5m    10.88.0.7   <none>
        ");
    }

    #[test]
    fn wide_and_all_namespaces_add_columns() {
        insta::assert_snapshot!(rendered(Some(Format::Wide), true), @r"
        NAMESPACE   NAME     READY   STATUS             RESTARTS      AGE   IP          PORTS          WORKLOAD     NODE   IMAGES
        default     web      1/1     Running            2 (30s ago)   5m    10.88.0.7   8080->80/tcp   pod/web      box    localhost/busybox:1
        prod        worker   0/1     CrashLoopBackOff   2 (30s ago)   5m    10.88.0.7   <none>         pod/worker   box    localhost/busybox:1
        ");
    }
}
