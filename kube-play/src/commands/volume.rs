//! `kube volume`: list and remove the volumes of claims.

use std::process::ExitCode;

use clap::Subcommand;
use jiff::Timestamp;
use pod_core::kind::{Kind, ObjectRef};
use pod_core::lifecycle::human_duration;
use pod_core::observe;
use pod_core::observe::objects::{Object, Reader};
use pod_core::volume::claims::{self, Claim, Error};
use pod_core::volume::persistent::{self, Phase};

use crate::cli::context::Context;
use crate::output::exit::{self, Failure};
use crate::output::{self, Listing, Shape, Table};

// Arguments of `kube volume`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A volume is a folder with the data of a PersistentVolumeClaim; it outlives the pods that mount it. It is created when
the claim is played, or when a pod first uses it. PersistentVolumes are listed after the claims, as pv/NAME.

Examples:
  # List volumes with their age and the pods that use them
  kube volume ls

  # List volumes with their folders
  kube volume ls -o wide

  # Delete a volume and its data permanently
  kube volume rm data

  # A PersistentVolume, with its phase and its claim
  kube inspect pv/disk")]
pub struct Args {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

// Subcommands of `kube volume`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List volumes
    #[command(visible_alias = "list")]
    Ls {
        /// Names of volumes: NAME or pvc/NAME [default: every volume]
        names: Vec<String>,
        /// Show volumes of every namespace
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        /// The output format.
        #[command(flatten)]
        listing: Listing,
    },
    /// Remove volumes that no pod uses, with their data
    #[command(visible_alias = "remove")]
    Rm {
        /// Names of volumes: NAME or pvc/NAME
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// Runs `kube volume`.
///
/// # Errors
/// A volume does not exist (4), or is in use (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Ls { names, all_namespaces, listing } => {
            list(context, names, *all_namespaces, *listing)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Rm { names } => {
            let names: Vec<&str> =
                names.iter().map(|given| name(&context.namespace, given)).collect::<anyhow::Result<_>>()?;
            // A pod that crashed may still use the volume.
            context.repair()?;
            context.await_removals()?;
            exit::each(names, |name| {
                claims::remove(&context.layout, &context.namespace, name).map_err(failure)?;
                output::print(&format!("{}/{name} deleted\n", Kind::PersistentVolumeClaim))
            })
        }
    }
}

fn list(context: &Context, names: &[String], all: bool, listing: Listing) -> anyhow::Result<()> {
    let mut found = claims::list(&context.layout)?;
    found.retain(|claim| all || claim.namespace == context.namespace);
    let names: Vec<&str> =
        names.iter().map(|given| name(&context.namespace, given)).collect::<anyhow::Result<_>>()?;
    if let Some(name) = names.iter().find(|name| !found.iter().any(|claim| claim.name == **name)) {
        let (namespace, name) = (context.namespace.clone(), (*name).to_owned());
        return Err(failure(Error::NotFound { namespace, name }));
    }
    found.retain(|claim| names.is_empty() || names.contains(&claim.name.as_str()));
    // PersistentVolumes are in no namespace; a claim that is named is meant alone.
    let volumes = if names.is_empty() { persistent::list(&context.layout)? } else { Vec::new() };
    let pods = observe::pods(&context.layout)?;
    for claim in &mut found {
        // A pod that was taken down may still hold the volume.
        claim.used_by.retain(|user| {
            pods.iter().any(|pod| {
                pod.plan.namespace() == claim.namespace && *user == format!("pod/{}", pod.plan.name())
            })
        });
    }
    match listing.shape() {
        Shape::Table if found.is_empty() && volumes.is_empty() => {
            output::none_found("volumes", (!all).then_some(&context.namespace));
            Ok(())
        }
        Shape::Table => {
            table(&found, &volumes, all, listing.is_wide(), Timestamp::now()).print(!listing.no_headers)
        }
        Shape::Names => {
            let line = |claim: &Claim| format!("{}/{}", Kind::PersistentVolumeClaim, claim.name);
            let volume = |it: &persistent::Volume| format!("{}/{}", Kind::PersistentVolume, it.name);
            output::print_lines(found.iter().map(line).chain(volumes.iter().map(volume)))
        }
        Shape::Objects(format) => {
            let reader = Reader::without_host_ips(&context.layout);
            let mut objects = reader.list(Kind::PersistentVolumeClaim)?;
            objects.retain(|object| {
                let is_meant =
                    |claim: &Claim| claim.namespace == object.id.namespace && claim.name == object.id.name;
                found.iter().any(is_meant)
            });
            if !volumes.is_empty() {
                objects.extend(reader.list(Kind::PersistentVolume)?);
            }
            let objects = objects.iter().map(Object::to_json).collect::<Result<Vec<_>, _>>()?;
            output::print_list(objects, format)
        }
    }
}

fn table(claims: &[Claim], volumes: &[persistent::Volume], all: bool, wide: bool, now: Timestamp) -> Table {
    let mut headers = vec!["NAME", "CAPACITY", "ACCESS MODES", "USED BY", "AGE"];
    if all {
        headers.insert(0, "NAMESPACE");
    }
    if wide {
        headers.extend(["STATUS", "VOLUME", "PATH"]);
    }
    let mut table = Table::new(headers);
    for claim in claims {
        let modes: Vec<&str> = claim.access_modes.iter().map(|mode| short_mode(mode)).collect();
        let age = now.duration_since(claim.created).as_secs();
        let mut row = vec![
            claim.name.clone(),
            claim.storage.clone().unwrap_or_default(),
            modes.join(","),
            claim.used_by.join(","),
            human_duration(age),
        ];
        if all {
            row.insert(0, claim.namespace.clone());
        }
        if wide {
            row.push("Bound".to_owned());
            row.push(claim.volume.clone().unwrap_or_default());
            row.push(claim.path.display().to_string());
        }
        table.row(row);
    }
    for volume in volumes {
        let spec = volume.object.spec.clone().unwrap_or_default();
        let capacity = spec.capacity.as_ref().and_then(|capacity| capacity.get("storage"));
        let modes = spec.access_modes.unwrap_or_default();
        let modes: Vec<&str> = modes.iter().map(|mode| short_mode(mode)).collect();
        let claim = volume.claim.as_ref().filter(|_| volume.phase == Phase::Bound);
        let mut row = vec![
            format!("pv/{}", volume.name),
            capacity.map(|capacity| capacity.0.clone()).unwrap_or_default(),
            modes.join(","),
            claim.map(|(namespace, name)| format!("pvc/{namespace}/{name}")).unwrap_or_default(),
            volume.created.map_or_else(
                || "<unknown>".to_owned(),
                |created| human_duration(now.duration_since(created).as_secs()),
            ),
        ];
        if all {
            row.insert(0, String::new());
        }
        if wide {
            row.extend([volume.phase.as_str().to_owned(), String::new(), persistent::place(&volume.object)]);
        }
        table.row(row);
    }
    table
}

/// Shortens an access mode as kubectl does.
fn short_mode(mode: &str) -> &str {
    match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        other => other,
    }
}

/// Returns the name in `data`, `pvc/data` or `persistentvolumeclaim/data`.
fn name<'a>(namespace: &str, given: &'a str) -> anyhow::Result<&'a str> {
    if !given.contains('/') {
        return Ok(given);
    }
    let resource = ObjectRef::parse(given, namespace)?;
    if resource.kind != Kind::PersistentVolumeClaim {
        return Err(Failure::usage(format!("{resource} is not a volume"))
            .hint("name a claim: data, pvc/data")
            .into());
    }
    Ok(given.rsplit('/').next().unwrap_or(given))
}

fn failure(error: Error) -> anyhow::Error {
    match error {
        Error::NotFound { .. } => {
            Failure::not_found(error.to_string()).hint("`kube volume ls -A` lists them").into()
        }
        Error::InUse { .. } => {
            Failure::failed(error.to_string()).hint("take its pods down first: `kube down POD...`").into()
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Vec<Claim> {
        let claim = |name: &str, storage: Option<&str>, used_by: &[&str]| Claim {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            created: "2026-11-23T12:00:00.5Z".parse().unwrap(),
            storage: storage.map(str::to_owned),
            access_modes: storage.map(|_| "ReadWriteOnce".to_owned()).into_iter().collect(),
            declared: storage.is_some(),
            made_for: None,
            owner: None,
            volume: None,
            block: false,
            copy_of: None,
            used_by: used_by.iter().map(|pod| (*pod).to_owned()).collect(),
            path: format!("/var/lib/kube-play/volumes/default/{name}/data").into(),
        };
        vec![claim("data", Some("1Gi"), &["pod/web", "pod/db"]), claim("scratch", None, &[])]
    }

    #[test]
    fn volumes_are_listed() {
        let now = "2026-11-23T12:05:00Z".parse().unwrap();
        insta::assert_snapshot!(table(&claims(), &[], false, false, now).render(true), @r"
    NAME      CAPACITY   ACCESS MODES   USED BY          AGE
    data      1Gi        RWO            pod/web,pod/db   4m59s
    scratch   <none>     <none>         <none>           4m59s
    ");
        insta::assert_snapshot!(table(&claims(), &[], true, true, now).render(true), @r"
    NAMESPACE   NAME      CAPACITY   ACCESS MODES   USED BY          AGE     STATUS   VOLUME   PATH
    default     data      1Gi        RWO            pod/web,pod/db   4m59s   Bound    <none>   /var/lib/kube-play/volumes/default/data/data
    default     scratch   <none>     <none>         <none>           4m59s   Bound    <none>   /var/lib/kube-play/volumes/default/scratch/data
    ");
    }

    #[test]
    fn a_claim_may_be_named_with_its_kind() {
        assert_eq!(name("default", "data").unwrap(), "data");
        assert_eq!(name("default", "pvc/data").unwrap(), "data");
        assert_eq!(name("default", "persistentvolumeclaims/data").unwrap(), "data");
        assert!(name("default", "pod/web").is_err());
    }

    #[test]
    fn nothing_is_removed_when_one_name_is_wrong() {
        let (_dir, context) = crate::tests::fixture::context();
        claims::ensure(&context.layout, "default", "data", None).unwrap();
        let names = vec!["data".to_owned(), "pod/web".to_owned()];
        let error = run(&context, &Args { command: Command::Rm { names } }).unwrap_err();
        assert_eq!(error.downcast_ref::<Failure>().unwrap().code, exit::USAGE);
        assert!(claims::exists(&context.layout, "default", "data"));
    }

    #[test]
    fn errors_of_volumes_have_their_exit_codes() {
        let code = |error| failure(error).downcast_ref::<Failure>().map(|f| f.code);
        let (namespace, name) = ("default".to_owned(), "x".to_owned());
        let missing = Error::NotFound { namespace: namespace.clone(), name: name.clone() };
        assert_eq!(code(missing), Some(exit::NOT_FOUND));
        let used = Error::InUse { namespace, name, pods: vec!["pod/web".to_owned()] };
        assert_eq!(code(used), Some(exit::FAILED));
    }
}
