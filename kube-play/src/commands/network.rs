//! `kube network`: list, create and remove networks.

use std::process::ExitCode;

use clap::Subcommand;
use ipnet::IpNet;
use network::{DEFAULT_NETWORK, Error, Network, NetworkOptions, Networks};
use pod_core::observe;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::output::exit::{self, Failure};
use crate::output::{self, Listing, Shape, Table};

// Arguments of `kube network`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  # List networks with their subnets and numbers of pods
  kube network ls

  # Create a network with a given subnet, and run a pod with a fixed address in it
  kube network create lab --subnet 10.55.0.0/24
  kube play --network lab:ip=10.55.0.7 web.yaml

  # Remove it
  kube network rm lab")]
pub struct Args {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

// Subcommands of `kube network`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List networks
    #[command(visible_alias = "list")]
    Ls {
        /// Names of networks [default: every network]
        names: Vec<String>,
        /// The output format.
        #[command(flatten)]
        listing: Listing,
    },
    /// Create a network; `kube play --network` also creates one on first use
    Create {
        /// The name of the network
        name: String,
        /// The subnet, at most one per family [default: a free one]
        #[arg(long, value_name = "CIDR")]
        subnet: Vec<IpNet>,
        /// Add a free IPv6 subnet to the IPv4 one
        #[arg(long, conflicts_with = "subnet")]
        ipv6: bool,
        /// Allow no traffic beyond this machine
        #[arg(long)]
        internal: bool,
    },
    /// Remove networks that no pod uses
    #[command(visible_alias = "remove")]
    Rm {
        /// Names of networks
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// Runs `kube network`.
///
/// # Errors
/// A network does not exist (4), is in use (1), or cannot be created (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let layout = &context.layout;
    let networks = Networks::new(&layout.networks(), &layout.networks_run(), &context.exe);
    match &args.command {
        Command::Ls { names, listing } => {
            let pods = observe::pods(layout)?;
            let pods: Vec<&str> = pods.iter().map(|pod| pod.plan.name()).collect();
            list(&networks, names, &pods, *listing)?;
        }
        Command::Create { name, subnet, ipv6, internal } => {
            let options = NetworkOptions { subnets: subnet.clone(), ipv6: *ipv6, internal: *internal };
            networks.create(name, &options).map_err(failure)?;
            output::print(&format!("network/{name} created\n"))?;
        }
        Command::Rm { names } => {
            // A network may still have endpoints of a pod that crashed.
            context.repair()?;
            context.await_removals()?;
            return exit::each(names, |name| {
                networks.remove(name).map_err(failure)?;
                output::print(&format!("network/{name} deleted\n"))
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(networks: &Networks, names: &[String], pods: &[&str], listing: Listing) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let mut found = networks.list()?;
    if let Some(name) = names.iter().find(|name| !found.iter().any(|network| network.name == **name)) {
        return Err(failure(Error::NoSuchNetwork(name.clone())));
    }
    found.retain(|network| names.is_empty() || names.contains(&network.name));
    for network in found {
        let mut endpoints = networks.endpoints(&network.name)?;
        // An endpoint of a pod that was taken down may still exist.
        endpoints.retain(|name| pods.contains(&name.as_str()));
        rows.push((network, endpoints));
    }
    let networks = rows.iter().map(|(network, _)| network);
    match listing.shape() {
        Shape::Table => table(&rows, listing.is_wide()).print(!listing.no_headers),
        Shape::Names => output::print_lines(networks.map(|network| format!("network/{}", network.name))),
        Shape::Objects(format) => output::print_list(networks.map(object), format),
    }
}

fn table(rows: &[(Network, Vec<String>)], wide: bool) -> Table {
    let mut headers = vec!["NAME", "SUBNETS", "PODS"];
    if wide {
        headers.extend(["GATEWAYS", "BRIDGE", "INTERNAL", "POD NAMES"]);
    }
    let mut table = Table::new(headers);
    let join = |items: Vec<String>| items.join(",");
    for (network, endpoints) in rows {
        let mut row = vec![
            network.name.clone(),
            join(network.subnets.iter().map(|s| s.subnet.to_string()).collect()),
            endpoints.len().to_string(),
        ];
        if wide {
            row.extend([
                join(network.subnets.iter().map(|s| s.gateway.to_string()).collect()),
                network.bridge.clone(),
                network.internal.to_string(),
                join(endpoints.clone()),
            ]);
        }
        table.row(row);
    }
    table
}

/// Returns a network as the object that Kubernetes has for additional networks: a NetworkAttachmentDefinition with a
/// CNI configuration.
fn object(network: &Network) -> Value {
    let ranges: Vec<Value> = network
        .subnets
        .iter()
        .map(|s| json!([{"subnet": s.subnet.to_string(), "gateway": s.gateway.to_string()}]))
        .collect();
    let config = json!({
        "cniVersion": "1.0.0",
        "name": network.name,
        "type": "bridge",
        "bridge": network.bridge,
        "isGateway": true,
        "isDefaultGateway": !network.internal,
        "ipMasq": !network.internal,
        "hairpinMode": true,
        "ipam": {"type": "host-local", "ranges": ranges},
    });
    json!({
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": network.name},
        "spec": {"config": config.to_string()},
    })
}

fn failure(error: Error) -> anyhow::Error {
    match error {
        Error::NoSuchNetwork(_) => {
            Failure::not_found(error.to_string()).hint("`kube network ls` lists them").into()
        }
        Error::NetworkInUse { .. } => {
            Failure::failed(error.to_string()).hint("stop its pods first: `kube down POD...`").into()
        }
        Error::BadNetworkName(_) | Error::BadSubnet { .. } => Failure::usage(error.to_string()).into(),
        Error::NetworkExists(ref name) if name == DEFAULT_NETWORK => Failure::failed(error.to_string())
            .hint("it is the default network: remove it with `kube network rm kube`, then create it with your options")
            .into(),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<(Network, Vec<String>)> {
        let subnet = |subnet: &str, gateway: &str| network::Subnet {
            subnet: subnet.parse().unwrap(),
            gateway: gateway.parse().unwrap(),
        };
        let network = |name: &str, internal, subnets| Network {
            name: name.to_owned(),
            id: "0".repeat(64),
            bridge: "kube-1f2e3d4c".to_owned(),
            subnets,
            internal,
            subnets_chosen: true,
            made_for: None,
        };
        let both = vec![subnet("10.179.81.0/24", "10.179.81.1"), subnet("fd84:e732::/64", "fd84:e732::1")];
        vec![
            (network("kube", false, both), vec!["web".to_owned(), "api-6d4cf56db6-x2lqz".to_owned()]),
            (network("lab", true, vec![subnet("10.55.0.0/24", "10.55.0.1")]), Vec::new()),
        ]
    }

    #[test]
    fn networks_are_listed() {
        insta::assert_snapshot!(table(&rows(), false).render(true));
        insta::assert_snapshot!(table(&rows(), true).render(true));
    }

    #[test]
    fn a_network_is_shown_as_a_network_attachment_definition() {
        insta::assert_snapshot!(pod_core::manifest::to_yaml(&[object(&rows()[0].0)]));
    }

    #[test]
    fn errors_of_networks_have_their_exit_codes() {
        let code = |error| failure(error).downcast_ref::<Failure>().map(|f| f.code);
        assert_eq!(code(Error::NoSuchNetwork("x".to_owned())), Some(exit::NOT_FOUND));
        assert_eq!(code(Error::BadNetworkName("X".to_owned())), Some(exit::USAGE));
        let in_use = Error::NetworkInUse { network: "x".to_owned(), by: vec!["web".to_owned()] };
        assert_eq!(code(in_use), Some(exit::FAILED));
    }
}
