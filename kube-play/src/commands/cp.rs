//! `kube cp`: copy files into a container and out of it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueHint;
use pod_core::inside::{ContainerRoot, copy};
use pod_core::kind::{self, ObjectRef};
use pod_core::observe::query;

use crate::cli::context::Context;
use crate::input::container;
use crate::output::exit::Failure;
use crate::output::{Closed, terminal};

// Arguments of `kube cp`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Paths of a container are written POD:PATH, also NAMESPACE/POD:PATH and deployment/NAME:PATH; relative ones begin at its \
working directory. The image needs no tar. Into a container, a folder that exists receives the copy; out of it, the \
contents of a folder are merged into one that exists. Modes are kept. Files in a container belong to its user. Links are \
not copied out of a container, because it decides where they lead.

Examples:
  # Into a container, and out of it
  kube cp index.html web:/www/
  kube cp web:/var/log/httpd ./logs

  # The container named importer
  kube cp data.csv web:/tmp/data.csv -c importer

  # As a tar archive
  kube cp web:/etc - | tar t
  tar c site | kube cp - web:/www")]
pub struct Args {
    /// What to copy: PATH, POD:PATH, or `-` for a tar archive on stdin
    #[arg(value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub source: String,
    /// Where to: PATH, POD:PATH, or `-` for a tar archive on stdout
    #[arg(value_name = "DESTINATION", value_hint = ValueHint::AnyPath)]
    pub destination: String,
    /// The container [default: the only one, or the first]
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
}

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    /// A tar archive on a standard stream.
    Archive,
    /// A path of this host.
    Here(PathBuf),
    /// A path of a container.
    Inside { namespace: Option<String>, pod: String, path: PathBuf },
}

/// Runs `kube cp`.
///
/// # Errors
/// No such pod or container (4); two paths of this host, or two of containers (2); the container does not run, or a file
/// cannot be read or written (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let (source, destination) = (Side::parse(&args.source)?, Side::parse(&args.destination)?);
    let mut skipped =
        |path: &Path, what: &str| terminal::warning(&format!("{} is left out: {what}", path.display()));
    match (source, destination) {
        (Side::Inside { namespace, pod, path }, Side::Here(target)) => {
            let root = open(context, args, namespace.as_deref(), &pod)?;
            copy::to_host(&root, &path, &target, &mut skipped)?;
        }
        (Side::Inside { namespace, pod, path }, Side::Archive) => {
            let root = open(context, args, namespace.as_deref(), &pod)?;
            let out = std::io::BufWriter::new(std::io::stdout().lock());
            copy::to_archive(&root, &path, out, &mut skipped).map_err(|error| match &error {
                pod_core::inside::Error::Archive { source, .. }
                    if source.kind() == std::io::ErrorKind::BrokenPipe =>
                {
                    Closed.into()
                }
                _ => anyhow::Error::from(error),
            })?;
        }
        (Side::Here(source), Side::Inside { namespace, pod, path }) => {
            let root = open(context, args, namespace.as_deref(), &pod)?;
            copy::to_container(&root, &source, &path, &mut skipped)?;
        }
        (Side::Archive, Side::Inside { namespace, pod, path }) => {
            let root = open(context, args, namespace.as_deref(), &pod)?;
            copy::from_archive(&root, &mut std::io::stdin().lock(), &path, &mut skipped)?;
        }
        (Side::Inside { .. }, Side::Inside { .. }) => {
            return Err(Failure::usage("both paths are of containers")
                .hint("copy to this machine first, or: `kube cp web:/data - | kube cp - db:/tmp`")
                .into());
        }
        _ => {
            return Err(Failure::usage("neither path is of a container")
                .hint("write POD:PATH for a path of a container: `kube cp web:/etc/hosts .`")
                .into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Side {
    /// Parses an argument. A path of this host that contains a colon is written `./a:b`.
    fn parse(text: &str) -> Result<Self, Failure> {
        if text == "-" {
            return Ok(Self::Archive);
        }
        let Some((pod, path)) = text.split_once(':').filter(|(pod, _)| !pod.starts_with(['.', '/'])) else {
            return match text {
                "" => Err(Failure::usage("the path is empty")),
                text => Ok(Self::Here(text.into())),
            };
        };
        if pod.is_empty() || path.is_empty() {
            return Err(Failure::usage(format!("{text:?} is no path of a container: write POD:PATH")));
        }
        // kubectl reads the word before the slash as a namespace; `pod/web` and `deployment/api` are ours.
        let (namespace, pod) = match pod.split_once('/') {
            Some((namespace, pod)) if !is_kind(namespace) => (Some(namespace.to_owned()), pod),
            _ => (None, pod),
        };
        Ok(Self::Inside { namespace, pod: pod.to_owned(), path: path.into() })
    }
}

fn is_kind(word: &str) -> bool {
    !matches!(ObjectRef::parse(&format!("{word}/x"), "default"), Err(kind::Error::NoObjects { .. }))
}

fn open(context: &Context, args: &Args, namespace: Option<&str>, pod: &str) -> anyhow::Result<ContainerRoot> {
    context.repair()?;
    let pod = query::pod(&context.layout, pod, namespace.unwrap_or(&context.namespace))?;
    let name = container::choose(&pod, args.container.as_deref(), false)?;
    let (attempt, pid) = container::running(&pod, &name)?;
    Ok(ContainerRoot::open(&pod.plan.uid, &name, attempt, pid)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_container_is_written_as_for_kubectl() {
        let inside = |namespace: Option<&str>, pod: &str, path: &str| {
            let (namespace, pod) = (namespace.map(str::to_owned), pod.to_owned());
            Ok(Side::Inside { namespace, pod, path: path.into() })
        };
        assert_eq!(Side::parse("web:/a"), inside(None, "web", "/a"));
        assert_eq!(Side::parse("web:a:b"), inside(None, "web", "a:b"));
        assert_eq!(Side::parse("prod/web:/a"), inside(Some("prod"), "web", "/a"));
        assert_eq!(Side::parse("pod/web:/a"), inside(None, "pod/web", "/a"));
        assert_eq!(Side::parse("deploy/api:/a"), inside(None, "deploy/api", "/a"));
        for here in ["a", "./a:b", "/a:b", "a/b"] {
            assert_eq!(Side::parse(here), Ok(Side::Here(here.into())));
        }
        assert_eq!(Side::parse("-"), Ok(Side::Archive));
        for wrong in ["", "web:", ":/a"] {
            assert!(Side::parse(wrong).is_err(), "{wrong}");
        }
    }
}
