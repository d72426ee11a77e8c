//! `kube image`: manage images.

use std::fs::{self, File};
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum, ValueHint};
use jiff::Timestamp;
use pod_core::image::{ArchiveFormat, Error, Image, ImageName, ImageStore, PullOptions, Reference, Removed};
use pod_core::lifecycle::human_duration;
use pod_core::plan::ImageConfig;
use pod_core::record::WorkloadRecord;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::output::exit::{self, Failure};
use crate::output::progress::{self, size};
use crate::output::terminal;
use crate::output::{self, Listing, Shape, Table, print};
use crate::session::umask::CallersUmask;

// Arguments of `kube image`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A name without a registry is completed with docker.io, a name without a tag with :latest.

Examples:
  # List images
  kube image ls

  # Show all facts about an image
  kube image ls nginx:1.29 -o json

  # Pull before the first play
  kube image pull docker.io/library/nginx:1.29

  # Create an image from a root file system
  kube image import rootfs.tar localhost/app:1 --cmd /bin/app

  # Copy an image to a machine without a network
  kube image save localhost/app:1 | ssh edge kube image load

  # Remove images that no pod uses
  kube image prune --all")]
pub struct Args {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

// Subcommands of `kube image`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List images
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Pull images from their registries
    Pull(Pull),
    /// Remove images that no pod uses
    #[command(visible_alias = "remove")]
    Rm(Rm),
    /// Create an image from a tar of a root file system
    Import(Import),
    /// Load images that `save`, docker or podman wrote
    Load(Load),
    /// Write images to an archive
    Save(Save),
    /// Remove images without a name, and layers that no image needs
    Prune(Prune),
}

// Arguments of `kube image ls`.
#[derive(Debug, clap::Args)]
pub struct Ls {
    /// Names, or ids or their first characters [default: every image]
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// The output format.
    #[command(flatten)]
    pub listing: Listing,
    /// Print whole ids
    #[arg(long)]
    pub no_trunc: bool,
}

// Arguments of `kube image pull`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Logs in with the credentials of podman login or docker login ($REGISTRY_AUTH_FILE, ${XDG_RUNTIME_DIR}/containers/auth.json, \
~/.docker/config.json) and the credential helpers named there. Registries on this machine may speak plain HTTP.

Examples:
  kube image pull nginx
  kube image pull --platform linux/arm64 quay.io/team/app:1.4")]
pub struct Pull {
    /// Images
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// Pull for another platform than this machine: OS/ARCH[/VARIANT]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Print ids only
    #[arg(short, long)]
    pub quiet: bool,
}

// Arguments of `kube image rm`.
#[derive(Debug, clap::Args)]
pub struct Rm {
    /// Names, or ids or their first characters
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// Remove an image by its id with all its names
    #[arg(short, long)]
    pub force: bool,
}

// Arguments of `kube image load`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kube image load app.tar
  docker save app | kube image load")]
pub struct Load {
    /// A docker-archive or oci-archive, plain or packed with gzip or zstd; `-` is stdin
    #[arg(value_name = "FILE|-", default_value = "-", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The same as FILE, for users of docker and podman
    #[arg(short, long, value_name = "FILE", conflicts_with = "file", value_hint = ValueHint::FilePath)]
    pub input: Option<PathBuf>,
    /// The name of an image whose archive gives none
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

// Arguments of `kube image save`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kube image save -o app.tar localhost/app:1
  kube image save --format oci-archive localhost/app:1 localhost/db:1 | zstd >images.tar.zst")]
pub struct Save {
    /// Images
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// The file to write; `-` is stdout
    #[arg(short, long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// The format of the archive
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "docker-archive")]
    pub format: SaveFormat,
}

/// `--format` of `kube image save`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SaveFormat {
    // As docker save writes it: every tool reads it
    #[value(alias = "docker")]
    DockerArchive,
    // An OCI layout in a tar: keeps digests and compression
    #[value(alias = "oci")]
    OciArchive,
}

// Arguments of `kube image prune`.
#[derive(Debug, clap::Args)]
pub struct Prune {
    /// Remove every image that no pod uses, also those with a name
    #[arg(short, long)]
    pub all: bool,
}

// Arguments of `kube image import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  kube image import rootfs.tar localhost/app:1 --cmd /bin/app --env MODE=test
  # Set arguments; read from stdin
  docker export app | kube image import - localhost/app:1 --entrypoint '[\"/bin/app\", \"--verbose\"]'")]
pub struct Import {
    /// The tar, plain or packed with gzip or zstd; `-` is stdin
    #[arg(value_name = "FILE|-", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The name of the image
    #[arg(value_name = "NAME")]
    pub name: String,
    /// CMD: the command of pods that give none; words, or a JSON array of them
    #[arg(long, value_name = "WORDS", value_parser = words)]
    pub cmd: Option<Words>,
    /// ENTRYPOINT: words, or a JSON array of them
    #[arg(long, value_name = "WORDS", value_parser = words)]
    pub entrypoint: Option<Words>,
    /// ENV: a variable
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<String>,
    /// USER: name or number, optionally with `:GROUP`
    #[arg(long, value_name = "USER", default_value = "", hide_default_value = true)]
    pub user: String,
    /// WORKDIR: the working directory of its processes
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    pub workdir: String,
    /// STOPSIGNAL: the signal that stops its containers
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// LABEL: a label of the image
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    pub label: Vec<(String, String)>,
    /// EXPOSE: a port, like 80 or 53/udp
    #[arg(long, value_name = "PORT")]
    pub expose: Vec<String>,
    /// VOLUME: a folder that each container gets as a writable copy, which is removed with the pod
    #[arg(long, value_name = "DIR")]
    pub volume: Vec<String>,
}

/// The words of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(Vec<String>);

/// Why the value of a flag of `kube image import` is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum ValueError {
    #[error("no JSON array of strings: {0}")]
    NotWords(String),
    #[error("not NAME=VALUE")]
    NotVariable,
}

fn words(text: &str) -> Result<Words, ValueError> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map(Words).map_err(|e| ValueError::NotWords(e.to_string()));
    }
    Ok(Words(text.split_whitespace().map(str::to_owned).collect()))
}

fn label(text: &str) -> Result<(String, String), ValueError> {
    variable(text)?;
    Ok(text.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).unwrap_or_default())
}

fn variable(text: &str) -> Result<String, ValueError> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err(ValueError::NotVariable),
    }
}

/// Runs `kube image`.
///
/// # Errors
/// An image is not stored here (4), is in use (1), or cannot be pulled (1); a name is not valid (2).
pub fn run(context: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let store = ImageStore::open(&context.layout.images())?;
    match &args.command {
        Command::Ls(args) => list(&listed(&store, &args.images)?, args)?,
        Command::Pull(args) => return exit::each(&args.images, |image| pull(&store, image, args)),
        Command::Rm(args) => {
            context.await_removals()?;
            let users = Users::find(context, &store)?;
            return exit::each(&args.images, |image| remove(&store, image, args.force, &users));
        }
        Command::Import(args) => return import(&store, args),
        Command::Load(args) => load(&store, args)?,
        Command::Save(args) => save(&store, args)?,
        Command::Prune(args) => {
            context.await_removals()?;
            let users = Users::find(context, &store)?;
            let removed = store.prune(args.all, &|image| users.of(image))?;
            print_removed(&removed)?;
            print(&format!("freed: {}\n", size(removed.freed)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds the exit code and a hint to an error of the store.
fn failure(error: Error) -> anyhow::Error {
    let message = error.to_string();
    match error {
        Error::NotHere { .. } => Failure::not_found(message).hint("`kube image ls` lists them").into(),
        Error::InvalidName { .. } | Error::Ambiguous { .. } | Error::InvalidPlatform { .. } => {
            Failure::usage(message).into()
        }
        Error::InUse { .. } => {
            Failure::failed(message).hint("stop its pods first: `kube down POD...`").into()
        }
        Error::Denied { registry, .. } => Failure::failed(message)
            .hint(format!(
                "log in: `podman login {registry}` or `docker login {registry}` write the credentials that kube reads"
            ))
            .into(),
        error => error.into(),
    }
}

/// Parses the name of an image.
fn parse(name: &str) -> anyhow::Result<ImageName> {
    ImageName::parse(name).map_err(|error| failure(error.into()))
}

/// The recorded pods with the images that they use.
struct Users(Vec<(String, String)>);

impl Users {
    fn find(context: &Context, store: &ImageStore) -> anyhow::Result<Self> {
        let mut users = Vec::new();
        for workload in WorkloadRecord::list_all(&context.layout)? {
            for pod in &workload.pods {
                let Some(spec) = &pod.plan.pod.spec else { continue };
                for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
                    // A container whose image has an invalid name or is not stored uses no image.
                    let Some(image) = container.image.as_deref() else { continue };
                    if let Ok(Ok(Some(image))) = ImageName::parse(image).map(|name| store.find(&name)) {
                        users.push((image.id, format!("pod/{}", pod.plan.name())));
                    }
                }
            }
        }
        users.sort();
        users.dedup();
        Ok(Self(users))
    }

    fn of(&self, image: &Image) -> Vec<String> {
        self.0.iter().filter(|(id, _)| *id == image.id).map(|(_, pod)| pod.clone()).collect()
    }
}

fn pull(store: &ImageStore, image: &str, args: &Pull) -> anyhow::Result<()> {
    let reference = Reference::parse(image).map_err(|error| failure(error.into()))?;
    let progress = progress::of_pull(image, args.quiet);
    let options = PullOptions { platform: args.platform.clone(), ..PullOptions::default() };
    let pulled = store.pull(&reference, &options, progress.as_ref()).map_err(failure)?;
    drop(progress);
    print(&format!("{}\n", pulled.id))
}

fn remove(store: &ImageStore, image: &str, force: bool, users: &Users) -> anyhow::Result<()> {
    let removed = store.remove(&parse(image)?, force, &|image| users.of(image)).map_err(failure)?;
    print_removed(&removed)
}

fn print_removed(removed: &Removed) -> anyhow::Result<()> {
    let untagged = removed.untagged.iter().map(|name| format!("untagged: {name}"));
    let deleted = removed.deleted.iter().map(|id| format!("deleted: {id}"));
    output::print_lines(untagged.chain(deleted))
}

fn load(store: &ImageStore, args: &Load) -> anyhow::Result<()> {
    let file = args.input.as_ref().unwrap_or(&args.file);
    let name = args.name.as_deref().map(Reference::parse).transpose();
    let name = name.map_err(|error| failure(error.into()))?;
    let mut archive = open(file)?;
    for loaded in store.load(&mut archive, &shown(file), name.as_ref()).map_err(failure)? {
        if loaded.names.is_empty() {
            print(&format!("loaded: {}\n", loaded.image.id))?;
            if loaded.image.names.is_empty() {
                terminal::hint(
                    "this image has no name in the archive: load it with --name NAME to give it one",
                );
            }
        } else {
            output::print_lines(loaded.names.iter().map(|name| format!("loaded: {name}")))?;
        }
    }
    Ok(())
}

fn save(store: &ImageStore, args: &Save) -> anyhow::Result<()> {
    let format = match args.format {
        SaveFormat::DockerArchive => ArchiveFormat::Docker,
        SaveFormat::OciArchive => ArchiveFormat::Oci,
    };
    let images = args.images.iter().map(|name| parse(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let path = &args.output;
    if path.as_os_str() == "-" {
        if std::io::stdout().is_terminal() {
            return Err(Failure::usage("an archive cannot be written to a terminal")
                .hint("name a file with -o FILE, or send it through a pipe")
                .into());
        }
        return store.save(&images, format, &mut std::io::stdout().lock()).map_err(failure);
    }
    // A pipe or a device is written directly. A file is written under a temporary name and renamed when it is complete.
    if fs::metadata(path).is_ok_and(|m| !m.is_file()) {
        let mut file = fs::OpenOptions::new().write(true).open(path).with_context(|| shown(path))?;
        return store.save(&images, format, &mut file).map_err(failure);
    }
    let mut name = path.clone().into_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(name);
    let written = (|| {
        let mut file = {
            let _umask = CallersUmask::begin();
            File::create(&part).with_context(|| shown(&part))?
        };
        store.save(&images, format, &mut file).map_err(failure)?;
        file.sync_all().with_context(|| shown(&part))?;
        fs::rename(&part, path).with_context(|| shown(path))
    })();
    if written.is_err() {
        // The temporary file may not exist; only the first error is reported.
        let _ = fs::remove_file(&part);
    }
    written
}

fn open(file: &Path) -> anyhow::Result<Box<dyn Read>> {
    if file.as_os_str() != "-" {
        return Ok(Box::new(File::open(file).with_context(|| shown(file))?));
    }
    if std::io::stdin().is_terminal() {
        return Err(Failure::usage("no archive given: stdin is a terminal").hint("name a file").into());
    }
    Ok(Box::new(std::io::stdin().lock()))
}

fn shown(file: &Path) -> String {
    if file.as_os_str() == "-" { "stdin".to_owned() } else { file.display().to_string() }
}

/// Returns the named images without duplicates, or all images if no names are given.
fn listed(store: &ImageStore, names: &[String]) -> anyhow::Result<Vec<Image>> {
    if names.is_empty() {
        return Ok(store.list()?);
    }
    let mut found: Vec<Image> = Vec::new();
    for name in names {
        let not_here = || failure(Error::NotHere { reference: name.clone() });
        let image = store.find(&parse(name)?).map_err(failure)?.ok_or_else(not_here)?;
        if !found.iter().any(|other| other.id == image.id) {
            found.push(image);
        }
    }
    Ok(found)
}

fn list(images: &[Image], args: &Ls) -> anyhow::Result<()> {
    match args.listing.shape() {
        Shape::Table => table(images, args, Timestamp::now()).print(!args.listing.no_headers),
        Shape::Names => {
            // Prints names that `kube image rm` accepts.
            let names = |image: &Image| {
                if image.names.is_empty() { vec![image.id.clone()] } else { image.names.clone() }
            };
            output::print_lines(images.iter().flat_map(names))
        }
        Shape::Objects(format) => output::print_list(images.iter().map(object), format),
    }
}

/// Builds a table with one line per name, and one line for an image without a name.
fn table(images: &[Image], args: &Ls, now: Timestamp) -> Table {
    let wide = args.listing.is_wide();
    let mut headers = vec!["NAME", "TAG", "IMAGE ID", "AGE", "SIZE"];
    if wide {
        headers.extend(["ARCH", "LAYERS", "DIGESTS"]);
    }
    let mut table = Table::new(headers);
    for image in images {
        let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
        let id = if args.no_trunc { &image.id } else { id.get(..12).unwrap_or(id) };
        let age = image
            .created
            .as_deref()
            .and_then(|text| text.parse::<Timestamp>().ok())
            .map_or("<unknown>".to_owned(), |created| human_duration(now.duration_since(created).as_secs()));
        let unnamed = [String::new()];
        let names: &[String] = if image.names.is_empty() { &unnamed } else { &image.names };
        for name in names {
            let (name, tag) = split(name);
            let mut row = vec![name, tag, id.to_owned(), age.clone(), size(image.size)];
            if wide {
                let digests: Vec<&str> =
                    image.repo_digests.iter().filter_map(|d| d.split_once('@')).map(|(_, d)| d).collect();
                row.extend([image.architecture.clone(), image.layers.len().to_string(), digests.join(",")]);
            }
            table.row(row);
        }
    }
    table
}

/// Splits a name into name and tag, or name and digest.
fn split(name: &str) -> (String, String) {
    match name.split_once('@').or_else(|| name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))) {
        Some((name, tag)) => (name.to_owned(), tag.to_owned()),
        None => (name.to_owned(), String::new()),
    }
}

/// Returns an image as an object. Kubernetes has no kind for images; the fields `names` and `sizeBytes` are those of a
/// node's status.images.
fn object(image: &Image) -> Value {
    let names: Vec<&String> = image.names.iter().chain(&image.repo_digests).collect();
    json!({
        "apiVersion": "kube-play/v1",
        "kind": "Image",
        "metadata": {"name": image.id, "creationTimestamp": image.created},
        "names": names,
        "sizeBytes": image.size,
        "architecture": image.architecture,
        "layers": image.layers,
        "config": image.config,
    })
}

fn import(store: &ImageStore, args: &Import) -> anyhow::Result<ExitCode> {
    let name = Reference::parse(&args.name).map_err(|error| failure(error.into()))?;
    let config = ImageConfig {
        entrypoint: args.entrypoint.clone().map(|w| w.0).unwrap_or_default(),
        cmd: args.cmd.clone().map(|w| w.0).unwrap_or_default(),
        env: args.env.clone(),
        working_dir: args.workdir.clone(),
        user: args.user.clone(),
        stop_signal: args.stop_signal.clone(),
        exposed_ports: args
            .expose
            .iter()
            .map(|p| if p.contains('/') { p.clone() } else { format!("{p}/tcp") })
            .collect(),
        labels: args.label.iter().cloned().collect(),
        volumes: args.volume.clone(),
    };
    if let Some(relative) = args.volume.iter().find(|dir| !dir.starts_with('/')) {
        return Err(Failure::usage(format!("--volume {relative} is not an absolute path")).into());
    }
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return Err(
            Failure::usage(format!("--workdir {} is not an absolute path", config.working_dir)).into()
        );
    }
    let mut archive = open(&args.file)?;
    let created = Timestamp::now().to_string();
    let image =
        store.import(&mut archive, &shown(&args.file), &name, config, Some(created)).map_err(failure)?;
    print(&format!("{}\n", image.id))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn a_command_is_words_or_a_json_array() {
        assert_eq!(words("httpd -f"), Ok(Words(vec!["httpd".into(), "-f".into()])));
        assert_eq!(words(r#"["sh", "-c", "a b"]"#), Ok(Words(vec!["sh".into(), "-c".into(), "a b".into()])));
        assert!(words("[1]").is_err());
    }

    fn image(names: &[&str]) -> Image {
        Image {
            id: format!("sha256:{}", "0123456789abcdef".repeat(4)),
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            repo_digests: vec![format!("quay.io/app@sha256:{}", "ab".repeat(32))],
            config: ImageConfig { cmd: vec!["/app".to_owned()], ..ImageConfig::default() },
            layers: vec!["sha256:x".to_owned()],
            size: 4_321_000,
            created: Some("2026-01-01T00:00:00Z".to_owned()),
            architecture: "amd64".to_owned(),
        }
    }

    #[test]
    fn images_are_listed_with_a_line_for_each_name() {
        let now = "2026-01-03T00:00:00Z".parse().unwrap();
        let images = [image(&["localhost:5000/app:1", "quay.io/app@sha256:00"]), image(&[])];
        let mut args = Ls { images: Vec::new(), listing: Listing::default(), no_trunc: false };
        insta::assert_snapshot!(table(&images, &args, now).render(true));
        args.listing.output = Some(Format::Wide);
        insta::assert_snapshot!(table(&images, &args, now).render(true));
        insta::assert_snapshot!(pod_core::manifest::to_yaml(&[object(&images[0])]));
    }

    #[test]
    fn errors_of_images_have_their_exit_codes() {
        let code = |error| failure(error).downcast_ref::<Failure>().map(|f| f.code);
        assert_eq!(code(Error::NotHere { reference: "x".to_owned() }), Some(exit::NOT_FOUND));
        assert_eq!(code(Reference::parse("X").unwrap_err().into()), Some(exit::USAGE));
        assert_eq!(code(Error::InUse { image: "x".to_owned(), users: vec![] }), Some(exit::FAILED));
        assert_eq!(code(Error::Incomplete { image: "x".to_owned() }), None);
    }

    #[test]
    fn a_variable_has_a_name_and_a_value() {
        assert!(variable("A=").is_ok());
        assert!(variable("=b").is_err());
        assert!(variable("A").is_err());
    }
}
