//! `kube top`: show the processors and the memory that pods use.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use pod_core::observe::PodView;
use pod_core::observe::query::Query;
use pod_core::observe::usage::{PodUsage, Sample};

use crate::cli::context::Context;
use crate::output::exit::Failure;
use crate::output::{self, Listing, Shape, Table};

// Arguments of `kube top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
CPU is the average of one second, in thousandths of a processor (m). Memory is the working set: without file pages that \
have not been used lately.

Examples:
  # Every pod of the namespace
  kube top

  # The containers of a pod
  kube top web --containers

  # The pods of a Deployment, again and again, those with the most memory first
  kube top deployment/api -w --sort-by memory")]
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
    /// Show each container
    #[arg(long)]
    pub containers: bool,
    /// Show the largest figures first
    #[arg(long, value_name = "COLUMN", value_enum, ignore_case = true)]
    pub sort_by: Option<SortBy>,
    /// Add a line with the sums
    #[arg(long)]
    pub sum: bool,
    /// The output format.
    #[command(flatten)]
    pub listing: Listing,
    /// Show the figures again every two seconds
    #[arg(short, long)]
    pub watch: bool,
}

/// `--sort-by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    // The use of processors
    Cpu,
    // Memory
    Memory,
}

/// The time between two samples.
const WINDOW: Duration = Duration::from_secs(1);

/// The time between two tables of `--watch`: a window and a pause.
const INTERVAL: Duration = Duration::from_secs(2);

/// Moves the cursor to the upper left corner and erases what is below it (ECMA-48 8.3.21, 8.3.39).
const CLEAR: &str = "\x1b[H\x1b[J";

/// Runs `kube top`.
///
/// # Errors
/// A named pod does not exist (4) or does not run (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    context.repair()?;
    let names = names(&args.pods);
    let query = Query {
        namespace: &context.namespace,
        all_namespaces: args.all_namespaces,
        names,
        selector: args.selector.as_deref(),
    };
    let pods = query.pods(&context.layout)?;
    if !names.is_empty() && !args.watch {
        does_run(&pods)?;
    }
    let clears = args.watch && std::io::stdout().is_terminal() && args.listing.shape() == Shape::Table;
    let mut pods = pods;
    loop {
        let mut usages = measure(&pods);
        sort(&mut usages, args.sort_by);
        if clears {
            output::print(CLEAR)?;
        }
        show(context, args, &usages)?;
        if !args.watch {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(INTERVAL.saturating_sub(WINDOW));
        pods = query.existing_pods(&context.layout)?;
    }
}

/// Leaves out the word of `kubectl top pod`.
fn names(given: &[String]) -> &[String] {
    match given {
        [first, rest @ ..] if ["pod", "pods", "po"].contains(&first.as_str()) => rest,
        all => all,
    }
}

/// Returns an error if a pod that was named does not run.
fn does_run(pods: &[PodView]) -> Result<(), Failure> {
    match pods.iter().find(|pod| pod.state.running().next().is_none()) {
        Some(pod) if pods.len() == 1 => {
            let name = pod.plan.name();
            let hint = format!("`kube describe {name}` shows its state");
            Err(Failure::failed(format!("pod/{name} does not run")).hint(hint))
        }
        _ => Ok(()),
    }
}

fn measure(pods: &[PodView]) -> Vec<PodUsage> {
    let before = Sample::take(pods);
    if pods.iter().any(|pod| pod.state.running().next().is_some()) {
        std::thread::sleep(WINDOW);
    }
    Sample::take(pods).since(&before, pods)
}

fn sort(usages: &mut [PodUsage], by: Option<SortBy>) {
    match by {
        None => {}
        Some(SortBy::Cpu) => usages.sort_by_key(|usage| std::cmp::Reverse(usage.cpu_nanos())),
        Some(SortBy::Memory) => usages.sort_by_key(|usage| std::cmp::Reverse(usage.memory_bytes())),
    }
    for usage in usages.iter_mut().filter(|_| by.is_some()) {
        usage.containers.sort_by_key(|container| match by {
            Some(SortBy::Memory) => std::cmp::Reverse(container.memory_bytes),
            _ => std::cmp::Reverse(container.cpu_nanos),
        });
    }
}

fn show(context: &Context, args: &Args, usages: &[PodUsage]) -> anyhow::Result<()> {
    match args.listing.shape() {
        Shape::Table if usages.is_empty() => {
            output::none_found("running pods", (!args.all_namespaces).then_some(&context.namespace));
            Ok(())
        }
        Shape::Table => table(usages, args).print(!args.listing.no_headers),
        Shape::Names => output::print_lines(usages.iter().map(|usage| format!("pod/{}", usage.name))),
        Shape::Objects(format) if args.watch => {
            usages.iter().try_for_each(|usage| output::print_next(&usage.object(), format))
        }
        Shape::Objects(format) => output::print_list(usages.iter().map(PodUsage::object), format),
    }
}

fn table(usages: &[PodUsage], args: &Args) -> Table {
    let mut headers = if args.containers { vec!["POD", "NAME"] } else { vec!["NAME"] };
    headers.extend(["CPU(cores)", "MEMORY(bytes)"]);
    if args.all_namespaces {
        headers.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(headers);
    for usage in usages {
        let namespace = args.all_namespaces.then(|| usage.namespace.clone());
        if !args.containers {
            let figures = [usage.name.clone(), cpu(usage.cpu_nanos()), memory(usage.memory_bytes())];
            table.row(namespace.into_iter().chain(figures));
            continue;
        }
        for container in &usage.containers {
            let names = [usage.name.clone(), container.name.clone()];
            let figures = [cpu(container.cpu_nanos), memory(container.memory_bytes)];
            table.row(namespace.clone().into_iter().chain(names).chain(figures));
        }
    }
    if args.sum {
        let sum = |of: fn(&PodUsage) -> Option<u64>| usages.iter().filter_map(of).reduce(u64::saturating_add);
        let empty = usize::from(args.all_namespaces) + usize::from(args.containers);
        let cells = std::iter::repeat_n(" ".to_owned(), empty);
        let sums = [String::from(" "), cpu(sum(PodUsage::cpu_nanos)), memory(sum(PodUsage::memory_bytes))];
        table.row(cells.chain(sums));
    }
    table
}

/// Thousandths of a processor, rounded up, as kubectl prints them.
fn cpu(nanos: Option<u64>) -> String {
    nanos.map_or_else(|| "<unknown>".to_owned(), |nanos| format!("{}m", nanos.div_ceil(1_000_000)))
}

fn memory(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "<unknown>".to_owned(), |bytes| format!("{}Mi", bytes / (1024 * 1024)))
}

#[cfg(test)]
mod tests {
    use pod_core::observe::usage::ContainerUsage;

    use super::*;

    fn usage(name: &str, containers: &[(&str, u64, Option<u64>)]) -> PodUsage {
        let containers = containers.iter().map(|(name, cpu, memory)| ContainerUsage {
            name: (*name).to_owned(),
            cpu_nanos: Some(*cpu),
            memory_bytes: *memory,
        });
        PodUsage {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            labels: std::collections::BTreeMap::new(),
            time: jiff::Timestamp::UNIX_EPOCH,
            window: WINDOW,
            containers: containers.collect(),
        }
    }

    fn rendered(change: impl FnOnce(&mut Args)) -> String {
        let mut args = Args {
            pods: Vec::new(),
            all_namespaces: false,
            selector: None,
            containers: false,
            sort_by: None,
            sum: false,
            listing: Listing::default(),
            watch: false,
        };
        change(&mut args);
        let mib = |count: u64| Some(count * 1024 * 1024 + 5);
        let mut usages = [
            usage("db", &[("main", 12_000_001, mib(30))]),
            usage("web", &[("main", 250_000_000, mib(4)), ("side", 0, mib(8))]),
            usage("x", &[("main", 0, None)]),
        ];
        sort(&mut usages, args.sort_by);
        table(&usages, &args).render(true)
    }

    #[test]
    fn the_table_has_the_form_of_kubectl() {
        insta::assert_snapshot!(rendered(|_| {}), @r"
        NAME   CPU(cores)   MEMORY(bytes)
        db     13m          30Mi
        web    250m         12Mi
        x      0m           <unknown>
        ");
        insta::assert_snapshot!(rendered(|args| args.containers = true), @r"
        POD   NAME   CPU(cores)   MEMORY(bytes)
        db    main   13m          30Mi
        web   main   250m         4Mi
        web   side   0m           8Mi
        x     main   0m           <unknown>
        ");
    }

    #[test]
    fn the_largest_are_first_and_sums_are_last() {
        let change = |args: &mut Args| {
            (args.sort_by, args.sum, args.all_namespaces) = (Some(SortBy::Cpu), true, true);
        };
        insta::assert_snapshot!(rendered(change), @r"
        NAMESPACE   NAME   CPU(cores)   MEMORY(bytes)
        default     web    250m         12Mi
        default     db     13m          30Mi
        default     x      0m           <unknown>
                           263m         42Mi
        ");
    }

    #[test]
    fn the_word_of_kubectl_is_left_out() {
        let words = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&words(&["pods"])), [""; 0]);
        assert_eq!(names(&words(&["pod", "web"])), ["web"]);
        assert_eq!(names(&words(&["pod/pod"])), ["pod/pod"]);
    }
}
