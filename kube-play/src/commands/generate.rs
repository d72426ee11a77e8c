//! `kube generate`: write running workloads as manifests.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueHint;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use pod_core::generate::{self, Error, Facts, Options, RecordedService, Subject};
use pod_core::image::{Image, ImageName, ImageStore};
use pod_core::kind::{Kind, ObjectRef};
use pod_core::manifest;
use pod_core::observe::nearest::nearest;
use pod_core::observe::{pods_of, query, workload, workloads};
use pod_core::record::WorkloadRecord;
use pod_core::store::{Objects, WorkloadId};
use pod_core::volume::claims;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::output::exit::Failure;
use crate::output::terminal;
use crate::output::{self, ObjectFormat};
use crate::session::umask::CallersUmask;

// Arguments of `kube generate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes played workloads, with the options of `kube play` (published ports, networks), as manifests for `kube play` and \
for clusters: first the ConfigMaps, Secrets and claims that they use, with the PersistentVolumes of the claims, then the \
workloads, then the Services that select their pods. ConfigMaps, Secrets, claims and PersistentVolumes can also be written \
by themselves. Warnings name what works on this machine only.

Examples:
  # A pod with all objects that it uses
  kube generate web

  # Write to a file, with the values of Secrets and the digests of images
  kube generate web --include-secrets --pin-images -f web.yaml

  # A Deployment with three replicas and a Service, for a cluster
  kube generate web --kind deployment --replicas 3 --service | kubectl apply -f -

  # One container as a separate pod
  kube generate web/httpd

  # A claim with its PersistentVolume, and a ConfigMap
  kube generate pvc/data configmap/settings")]
pub struct Args {
    /// POD, deployment/NAME, POD/CONTAINER for one container, or pvc/NAME, pv/NAME, configmap/NAME, secret/NAME
    #[arg(value_name = "POD|KIND/NAME|POD/CONTAINER", required = true)]
    pub names: Vec<String>,
    /// Write the workload as this kind
    #[arg(long, value_name = "KIND", value_parser = kind_parser())]
    pub kind: Option<Kind>,
    /// The number of pods of a deployment or statefulset
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(i32::MAX)))]
    pub replicas: Option<u32>,
    /// Add a Service for the ports of the containers
    #[arg(short, long)]
    pub service: bool,
    /// Write the values of Secrets instead of leaving them empty
    #[arg(long)]
    pub include_secrets: bool,
    /// Name images by the digest that was pulled
    #[arg(long)]
    pub pin_images: bool,
    /// Write into this file, which must not exist, instead of stdout
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub filename: Option<PathBuf>,
    /// The output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "yaml")]
    pub output: ObjectFormat,
}

/// Reads the value of `--kind`.
fn kind_parser() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(generate::KINDS.map(Kind::singular))
        .try_map(|name| Kind::from_name_in_any_case(&name).ok_or_else(|| format!("unknown kind {name}")))
}

/// The workload, and optionally the container, that a name means.
struct Found {
    record: WorkloadRecord,
    pod: Option<String>,
    container: Option<String>,
}

/// Runs `kube generate`.
///
/// # Errors
/// A named object does not exist (4); the file exists (1).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(path) = args.filename.as_deref().filter(|path| path.symlink_metadata().is_ok()) {
        return Err(exists(path).into());
    }
    context.repair()?;
    let mut named = Vec::new();
    let mut found = Vec::new();
    for name in &args.names {
        match find_object(context, name)? {
            Some(object) => named.push(object),
            None => found.push(find(context, name)?),
        }
    }
    let subjects: Vec<Subject<'_>> = found
        .iter()
        .map(|one| Subject {
            record: &one.record,
            pod: one.pod.as_deref(),
            container: one.container.as_deref(),
        })
        .collect();
    let mut used = generate::references(&subjects).map_err(failure)?;
    used.extend(named.iter().cloned());
    let volumes = volumes(context, &used);
    used.extend(volumes.values().map(|name| ObjectRef::new(Kind::PersistentVolume, "", name)));
    let options = Options {
        objects: named,
        kind: args.kind,
        replicas: args.replicas,
        service: args.service,
        include_secrets: args.include_secrets,
    };
    let mut facts = Facts {
        objects: objects(context, used)?,
        volumes,
        services: services(context)?,
        real_paths: real_paths(&found),
        homes: homes(),
        ..Facts::default()
    };
    if args.pin_images {
        facts.pins = pins(context, &found)?;
    }
    let generated = generate::generate(&subjects, &options, &facts).map_err(failure)?;
    let text = match args.output {
        ObjectFormat::Yaml => manifest::to_yaml(&generated.documents),
        ObjectFormat::Json => {
            let object = match generated.documents.as_slice() {
                [one] => one.clone(),
                several => json!({"apiVersion": "v1", "kind": "List", "items": several}),
            };
            serde_json::to_string_pretty(&object)? + "\n"
        }
    };
    match &args.filename {
        Some(path) => write(path, &text, args.include_secrets)?,
        None => output::print(&text)?,
    }
    for warning in &generated.warnings {
        terminal::warning(warning);
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the object that a name such as `pvc/data` means, or nothing if the name is that of a workload.
fn find_object(context: &Context, name: &str) -> anyhow::Result<Option<ObjectRef>> {
    let kind = name.split_once('/').and_then(|(kind, _)| Kind::parse(kind));
    if !kind.is_some_and(|kind| generate::OBJECT_KINDS.contains(&kind)) {
        return Ok(None);
    }
    let object = ObjectRef::parse(name, &context.namespace)?;
    // A claim that was made for a pod has no manifest.
    let exists = Objects::get(&context.layout, &object)?.is_some()
        || object.kind == Kind::PersistentVolumeClaim
            && claims::exists(&context.layout, &object.namespace, &object.name);
    if exists { Ok(Some(object)) } else { Err(query::not_found(&context.layout, &object).into()) }
}

/// Returns the names of the PersistentVolumes that claims are bound to.
fn volumes(context: &Context, used: &[ObjectRef]) -> BTreeMap<ObjectRef, String> {
    let claims = used.iter().filter(|id| id.kind == Kind::PersistentVolumeClaim);
    claims
        .filter_map(|id| {
            let claim = claims::get(&context.layout, &id.namespace, &id.name)?;
            Some((id.clone(), claim.volume?))
        })
        .collect()
}

/// Finds the workload that a name means: `web` or `deployment/api`; for one container `web/httpd`, `pod/web/httpd` or
/// `deployment/api/httpd`.
fn find(context: &Context, name: &str) -> anyhow::Result<Found> {
    let (object, container) = match name.split('/').collect::<Vec<_>>().as_slice() {
        [pod, container] if !is_kind(pod) => ((*pod).to_owned(), Some(*container)),
        [kind, name, container] => (format!("{kind}/{name}"), Some(*container)),
        _ => (name.to_owned(), None),
    };
    let wanted = query::parse_workload(&object, &context.namespace)?;
    let load =
        |kind: Kind| workload(&context.layout, &WorkloadId::new(kind, &context.namespace, &wanted.name));
    let container = container.map(str::to_owned);
    if let Some(record) = load(wanted.kind)? {
        return Ok(Found { record, pod: None, container });
    }
    if wanted.kind == Kind::Pod {
        for record in workloads(&context.layout)? {
            let pod = record
                .pods
                .iter()
                .find(|pod| pod.plan.namespace() == context.namespace && pod.plan.name() == wanted.name);
            if let Some(uid) = pod.map(|pod| pod.plan.uid.clone()) {
                return Ok(Found { record, pod: Some(uid), container });
            }
        }
        // A name without a kind may also be the name of a Deployment.
        if !object.contains('/')
            && let Some(record) = load(Kind::Deployment)?
        {
            return Ok(Found { record, pod: None, container });
        }
    }
    Err(query::not_found(&context.layout, &wanted).into())
}

/// Returns whether the text before a `/` is a kind and not the name of a pod.
fn is_kind(text: &str) -> bool {
    Kind::parse(text).is_some_and(Kind::has_objects)
}

fn failure(error: Error) -> Failure {
    let message = error.to_string();
    match error {
        Error::NoContainer { container, known, .. } => {
            let failure = Failure::not_found(message);
            match nearest(&container, known.iter().map(String::as_str)) {
                Some(near) => failure.hint(format!("did you mean {near}?")),
                None => failure.hint(format!("its containers: {}", known.join(", "))),
            }
        }
        Error::NotGenerated { .. } => Failure::usage(message),
        Error::NoReplicas { .. } => Failure::usage(message)
            .hint("--replicas goes with a deployment or statefulset: add --kind deployment"),
        Error::Twice { .. } => Failure::usage(message).hint("generate them one at a time"),
        Error::Damaged { .. } => Failure::failed(message).hint("play it again"),
    }
}

fn objects(context: &Context, ids: Vec<ObjectRef>) -> anyhow::Result<BTreeMap<ObjectRef, Value>> {
    let mut found = BTreeMap::new();
    for id in ids {
        if let Some(object) = Objects::get(&context.layout, &id)? {
            found.insert(id, object);
        }
    }
    Ok(found)
}

/// Returns the recorded Services.
fn services(context: &Context) -> anyhow::Result<BTreeMap<ObjectRef, RecordedService>> {
    let mut found = BTreeMap::new();
    for ((namespace, name), recorded) in Objects::list(&context.layout, Kind::Service)? {
        let id = ObjectRef::new(Kind::Service, &namespace, &name);
        let given = Objects::given(&context.layout, &id)?.unwrap_or_else(|| recorded.clone());
        found.insert(id, RecordedService { recorded, given });
    }
    Ok(found)
}

/// Returns the real paths of hostPaths that contain `..`.
fn real_paths(found: &[Found]) -> BTreeMap<PathBuf, PathBuf> {
    let pods = found.iter().flat_map(|one| &one.record.pods).map(|pod| &pod.plan.pod);
    let volumes = pods.flat_map(|pod| pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()));
    volumes
        .filter_map(|volume| Some(PathBuf::from(&volume.host_path.as_ref()?.path)))
        .filter(|path| path.components().any(|part| part == Component::ParentDir))
        .map(|path| (path.clone(), upwards(&path)))
        .collect()
}

/// Resolves `..` in a path. Symbolic links are followed, because `..` after a link depends on the link's target. A part
/// that does not exist is kept as written, because it may be created when a pod starts.
fn upwards(path: &Path) -> PathBuf {
    let mut real = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            real = std::fs::canonicalize(&real).unwrap_or(real);
            real.pop();
        } else {
            real.push(part);
        }
    }
    real
}

/// Returns the folders that contain home directories.
fn homes() -> Vec<PathBuf> {
    let own = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.parent().is_some());
    ["/home", "/root"].into_iter().map(PathBuf::from).chain(own).collect()
}

/// Maps the names of images to names with digests: the digest of the running image, or, for a container that never ran,
/// of the stored image.
fn pins(context: &Context, found: &[Found]) -> anyhow::Result<BTreeMap<String, String>> {
    let store = ImageStore::open(&context.layout.images())?;
    let images = store.list()?;
    let mut pins = BTreeMap::new();
    for one in found {
        for view in pods_of(&context.layout, &one.record.id)? {
            let spec = view.plan.pod.spec.iter();
            let containers =
                spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
            for container in containers {
                let Some(name) = container.image.as_deref() else { continue };
                let named = ImageName::parse(name)?;
                let running = view.state.container(&container.name).map(|state| state.image_id.as_str());
                let ran = images.iter().find(|image| Some(image.id.as_str()) == running).cloned();
                let image = match ran {
                    Some(image) => Some(image),
                    None => store.find(&named)?,
                };
                if let Some(pinned) = image.and_then(|image| pinned(&named, &image)) {
                    pins.insert(name.to_owned(), pinned);
                }
            }
        }
    }
    Ok(pins)
}

/// Returns `name:tag@digest` if the image came from a registry.
fn pinned(name: &ImageName, image: &Image) -> Option<String> {
    let reference = name.reference().filter(|reference| reference.digest().is_none())?;
    let prefix = format!("{}@", reference.name());
    let digest = image.repo_digests.iter().find_map(|known| known.strip_prefix(&prefix))?;
    Some(format!("{name}@{digest}"))
}

fn exists(path: &Path) -> Failure {
    Failure::failed(format!("{} exists and is not overwritten", path.display()))
        .hint("remove it, or name another file with -f")
}

/// Writes the whole file or nothing. A file with values of Secrets is accessible to its owner only.
fn write(path: &Path, text: &str, secret: bool) -> anyhow::Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let what = || format!("write {}", path.display());
    let name = path.file_name().with_context(what)?.to_string_lossy();
    let temporary = dir.join(format!(".{name}.{}.tmp", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(if secret { 0o600 } else { 0o666 });
    let _umask = CallersUmask::begin();
    let written = options.open(&temporary).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // Unlike a rename, a link fails if a file with this name has appeared.
        std::fs::hard_link(&temporary, path)
    });
    // The temporary file may not exist; only the first error is reported.
    let _ = std::fs::remove_file(&temporary);
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(exists(path).into()),
        other => other.with_context(what),
    }
}
