//! Advice for users who type commands and flags of kubectl, podman and docker compose that have other names in `kube`.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::arguments;

/// Returns advice for a user who typed this command.
fn command_advice(command: &str) -> Option<&'static str> {
    Some(match command {
        "apply" | "create" | "run" | "up" | "start" => "`kube play FILE` runs what a manifest says",
        "rm" | "stop" | "kill" | "remove" => "`kube down POD` stops and removes it",
        "restart" | "replace" => {
            "`kube play --replace FILE` replaces its pods, `kube rollout restart deployment/NAME` replaces \
             those of a Deployment, a few at a time"
        }
        "list" | "ls" => {
            "`kube ps` lists pods, `kube get KIND` objects of any kind; `kube image ls`, `kube volume ls`, \
             `kube network ls` list the rest"
        }
        "api-resources" | "explain" => "`kube get --help` says which kinds there are",
        "images" => "`kube image ls` lists images",
        "pull" | "load" | "save" | "import" | "rmi" | "prune" => {
            "`kube image --help` lists the commands for images"
        }
        "inspect" => "`ls NAME -o json` shows an object in full",
        "diff" => "`kube play --dry-run FILE` says what would change",
        "validate" | "lint" | "config" => "`kube check FILE` validates manifests",
        "kube" | "pod" | "container" | "compose" => {
            "leave this word out: `kube play FILE`, `kube ps`, `kube down FILE`"
        }
        "build" | "push" | "tag" => {
            "`kube image load` and `kube image import` read images that other programs built"
        }
        "login" | "logout" => "credentials are those that `podman login` or `docker login` wrote",
        "edit" | "patch" | "set" | "label" | "annotate" => {
            "edit the manifest and `kube play` it again: what has changed is replaced"
        }
        "port" | "expose" => {
            "`kube play -p HOST:CONTAINER FILE` publishes a port, `kube port-forward POD PORT` forwards one"
        }
        _ => return None,
    })
}

const BACKGROUND: &str = "leave it out: pods run in the background unless `--attach` is given";
const BUILD: &str =
    "kube builds no images: build it with podman or docker, `kube image load` reads what they save";
const CREDENTIALS: &str = "credentials are those of podman and docker: `podman login` writes them, $REGISTRY_AUTH_FILE names another file";
const NO_CLUSTER: &str = "leave it out: there is no cluster and no API server";
const NO_CUT: &str = "leave it out: columns are never cut";
const NOT_ASKED: &str = "leave it out: kube asks no questions";
const KUSTOMIZE: &str = "`kubectl kustomize FOLDER | kube play -` plays a kustomization";
const FORMAT: &str = "`-o json` and `-o yaml` print everything, `-o wide` more columns";
const LABELS: &str = "`-l LABELS` chooses by labels, and names choose pods";
const CONTAINER_USER: &str = "a command runs as its container does: `kube exec POD -- env NAME=VALUE CMD`, \
                              `kube exec POD -- sh -c 'cd FOLDER && CMD'`";

/// The flags of other programs: the command that they are typed with (empty: any command), the flags, the advice.
/// Sources: the manual pages of podman-kube-play, -down and -generate, podman-ps, -logs, -exec and -events, the
/// reference of docker compose (up, down, logs, ps, exec) and of kubectl (apply, delete, get, logs, exec, wait).
const FLAGS: &[(&str, &[&str], &str)] = &[
    ("play", &["-d", "--detach"], BACKGROUND),
    ("play", &["--build", "--context-dir", "--no-build"], BUILD),
    ("play", &["--authfile", "--creds"], CREDENTIALS),
    (
        "play",
        &["--cert-dir", "--tls-verify"],
        "registries on this machine may speak plain HTTP, others need TLS",
    ),
    ("play", &["--down"], "`kube down FILE` stops and removes what a file names"),
    ("play", &["--ip"], "`--network NAME:ip=ADDRESS` asks for an address"),
    ("play", &["--mac-address"], "`--network NAME:mac=ADDRESS` asks for an address"),
    (
        "play",
        &["--log-driver", "--log-opt"],
        "logs are files that rotate by themselves: `kube logs POD` reads them",
    ),
    ("play", &["--annotation"], "write annotations in the manifest: metadata.annotations"),
    (
        "play",
        &["--label", "-l", "--selector"],
        "write labels in the manifest; everything in a file is played",
    ),
    (
        "play",
        &["--no-hosts", "--no-hostname", "--add-host"],
        "hostAliases in the manifest adds lines to /etc/hosts",
    ),
    ("play", &["--no-pod-prefix"], "leave it out: containers are named by `POD` and `-c CONTAINER`"),
    (
        "play",
        &["--seccomp-profile-root"],
        "securityContext.seccompProfile of the manifest names a file below /var/lib/kubelet/seccomp",
    ),
    (
        "play",
        &["--service-container"],
        "leave it out: let a systemd unit run `kube play FILE` and `kube down FILE`",
    ),
    ("play", &["--userns"], "leave it out: containers use the host's user namespace"),
    ("play", &["-w"], "`--wait` waits until pods are ready, `--wait=complete` until they have ended"),
    (
        "play",
        &["--force-recreate", "--always-recreate-deps", "-V", "--renew-anon-volumes", "--force"],
        "`--replace` replaces all pods",
    ),
    ("play", &["--no-recreate", "--no-deps"], "leave it out: what has not changed keeps running"),
    ("play", &["--no-start"], "`--start=false` records everything and starts nothing"),
    ("play", &["--remove-orphans"], "`--prune` removes workloads that are gone from the files"),
    (
        "play",
        &["--scale"],
        "`replicas` in a Deployment sets the number of pods, `kube scale deployment/NAME --replicas N` changes it",
    ),
    ("play", &["--wait-timeout", "-t"], "`--timeout DURATION` limits the wait"),
    (
        "play",
        &[
            "--abort-on-container-exit",
            "--abort-on-container-failure",
            "--exit-code-from",
            "--attach-dependencies",
            "--no-attach",
        ],
        "`--attach` shows what pods write until they have ended, `--wait=complete` waits without showing it; both exit as their containers did",
    ),
    ("play", &["--quiet-pull"], "`--quiet` prints errors and warnings only"),
    (
        "play",
        &["--no-color", "--no-log-prefix", "--timestamps"],
        "$NO_COLOR turns colours off; `kube logs` prints output, and has flags for it",
    ),
    ("play", &["-v", "--volume", "-e", "--env", "--name", "--image"], "write it in the manifest"),
    ("play", &["-o", "--output"], "`kube inspect KIND/NAME -o yaml` shows an object"),
    ("play", &["--overwrite", "--record", "--save-config", "--validate"], NO_CLUSTER),
    (
        "down",
        &["--remove-orphans"],
        "`kube play --prune FILE` removes workloads that are gone from a file, `kube down --all` removes everything",
    ),
    ("down", &["--rmi"], "`kube image prune --all` removes images that no pod uses"),
    ("down", &["-v"], "`--volumes` removes claims with their data"),
    ("down", &["--timeout", "--now"], "`--time SECONDS` limits how long containers may take to end"),
    ("down", &["--cascade"], "leave it out: pods go with their Deployment"),
    ("down", &["-l", "--selector", "--field-selector"], "name them: `kube down KIND/NAME ...`, or `--all`"),
    ("down", &["-A", "--all-namespaces"], "`kube down --all` removes everything, in every namespace"),
    ("down", &["-o", "--output"], "`-q` prints errors and warnings only"),
    ("logs", &["--no-color", "--color"], "leave it out: colours come from the container"),
    ("logs", &["--no-log-prefix"], "`--prefix=false` leaves out pod and container"),
    ("logs", &["--names"], "`--prefix` puts pod and container before every line"),
    ("logs", &["-t"], "`--timestamps` puts the time before every line"),
    (
        "logs",
        &["--until", "--limit-bytes"],
        "`--since`, `--since-time` and `--tail` choose lines; `| head` limits them",
    ),
    ("logs", &["--index"], "name one pod of a Deployment: `kube ps` lists them"),
    ("logs", &["--max-log-requests", "--ignore-errors", "--pod-running-timeout"], NO_CLUSTER),
    ("logs", &["--latest", "--details"], "name the pod: `kube ps` lists them"),
    ("ps", &["-a", "--all"], "leave it out: pods that have ended are listed too; `-A` lists every namespace"),
    ("ps", &["-q", "--quiet"], "`-o name` prints names only"),
    (
        "ps",
        &["-f", "--filter", "--status", "--orphans", "--services", "--field-selector", "--latest"],
        LABELS,
    ),
    ("ps", &["--show-labels"], "`kube get pods --show-labels` shows them"),
    ("ps", &["--format", "-p", "--pod", "-s", "--size", "--ns", "--namespace-ids"], FORMAT),
    ("ps", &["--noheading"], "`--no-headers` prints no header line"),
    ("ps", &["--sort", "--sort-by"], "`kube get pods --sort-by .metadata.creationTimestamp` sorts"),
    (
        "get",
        &["-f", "--filename"],
        "name the objects: `kube get KIND/NAME ...`, or choose them by `-l LABELS`",
    ),
    ("get", &["--template"], "`-o jsonpath=TEMPLATE` and `-o custom-columns=NAME:PATH` print fields"),
    ("get", &["--format", "-q", "--quiet"], FORMAT),
    (
        "get",
        &[
            "--raw",
            "--chunk-size",
            "--server-print",
            "--subresource",
            "--show-managed-fields",
            "--allow-missing-template-keys",
        ],
        NO_CLUSTER,
    ),
    ("generate", &["-t", "--type"], "`--kind` chooses what to write"),
    ("generate", &["-r"], "`--replicas N` sets the number of pods"),
    ("generate", &["--podman-only"], "leave it out: warnings name what works on this machine only"),
    ("exec", &["-u", "--user", "-e", "--env", "-w", "--workdir", "--env-file"], CONTAINER_USER),
    ("exec", &["-d", "--detach"], "`kube exec POD -- sh -c 'CMD &'` leaves it running"),
    ("exec", &["-T", "--no-tty", "--no-TTY"], "leave it out: a command has a terminal only with `-t`"),
    ("exec", &["--privileged"], "securityContext in the manifest sets what a container may do"),
    ("exec", &["--index"], "name one pod of a Deployment: `kube ps` lists them"),
    (
        "inspect",
        &["-f", "--format", "--template"],
        "`-o json` prints everything: `kube inspect POD | jq FILTER`",
    ),
    ("inspect", &["-t", "--type"], "write KIND/NAME: the argument contains the kind"),
    ("events", &["--filter", "--field-selector"], "`--for POD` and `--types TYPE` choose events"),
    ("events", &["--since", "--until", "--sort-by"], "events are listed in the order of time"),
    ("events", &["--stream"], "leave it out: the list ends with the last event, `--follow` continues"),
    ("events", &["--format"], FORMAT),
    ("wait", &["--condition"], "`--for=ready`, `--for=complete` or `--for=deleted` sets what to wait for"),
    ("", &["--no-trunc"], NO_CUT),
    ("", &["-y", "--yes"], NOT_ASKED),
    ("", &["-k", "--kustomize"], KUSTOMIZE),
    ("", &["-R", "--recursive"], "name the folders, each of them: `kube play FOLDER FOLDER/OTHER`"),
    ("", &["--file"], "`-f FILE`, or FILE alone, names a manifest"),
    ("", &["-f"], "the file comes after the command: `kube play FILE`"),
    (
        "",
        &["--env-file"],
        "a ConfigMap with envFrom sets variables; `--configmap FILE` reads one from another file",
    ),
    ("", &["--project-name", "--project-directory", "--profile"], "`-n NAMESPACE` separates projects"),
    (
        "",
        &[
            "--context",
            "--kubeconfig",
            "--cluster",
            "--server",
            "--as",
            "--token",
            "--insecure-skip-tls-verify",
            "--server-side",
            "--force-conflicts",
            "--field-manager",
            "--request-timeout",
        ],
        NO_CLUSTER,
    ),
    (
        "",
        &["--url", "--connection", "--remote", "-H", "--host"],
        "kube runs pods on this machine only: `ssh HOST kube ...`",
    ),
    ("", &["--debug", "--verbose"], "`--log-level debug` prints more"),
];

/// Returns advice for a user who typed this flag.
fn flag_advice(command: &str, flag: &str) -> Option<&'static str> {
    let of = |wanted: &str| {
        FLAGS.iter().find(|(command, flags, _)| *command == wanted && flags.contains(&flag)).map(|row| row.2)
    };
    of(command).or_else(|| of(""))
}

/// Adds advice to an error about an unknown command or flag: the name that `kube` uses for it.
pub fn explain(error: &mut clap::Error, arguments: &[OsString]) {
    let tip = match error.kind() {
        ErrorKind::InvalidSubcommand => match error.get(ContextKind::InvalidSubcommand) {
            Some(ContextValue::String(command)) => command_advice(command),
            _ => None,
        },
        ErrorKind::UnknownArgument => match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(flag)) => {
                flag_advice(&arguments::command(arguments).unwrap_or_default(), flag)
            }
            _ => None,
        },
        _ => None,
    };
    if let Some(tip) = tip {
        error.remove(ContextKind::SuggestedSubcommand);
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::Cli;

    fn error_text(args: &[&str]) -> String {
        let mut error = Cli::try_parse_from(args).unwrap_err();
        let arguments: Vec<OsString> = args.iter().map(OsString::from).collect();
        explain(&mut error, &arguments);
        error.to_string()
    }

    #[test]
    fn a_flag_of_another_program_leads_to_ours() {
        let tips: String = [
            "kube play --build x.yaml",
            "kube play x.yaml -d",
            "kube play x.yaml -d --force-recreate",
            "kube down x.yaml -v --remove-orphans",
            "kube logs -ft web",
            "kube ps -a --format json",
            "kube generate web -t deployment",
            "kube -f compose.yaml up",
            "kube play -k base",
            "kube play x.yaml --context=prod",
            "kube play x.yaml --replcae",
        ]
        .map(|line| {
            let error = error_text(&line.split(' ').collect::<Vec<_>>());
            let tip = error.lines().find(|line| line.trim_start().starts_with("tip: ")).unwrap_or("  none");
            format!("{line}\n{tip}\n")
        })
        .concat();
        insta::assert_snapshot!(tips);
    }

    /// The advice of a row with a flag that `kube` has would never be printed.
    #[test]
    fn no_flag_of_kube_has_advice() {
        let mut root = Cli::command();
        root.build();
        for (command, flags, _) in FLAGS.iter().filter(|(command, _, _)| !command.is_empty()) {
            let command = root.find_subcommand(command).unwrap();
            for arg in command.get_arguments() {
                let longs = arg.get_long().into_iter().chain(arg.get_all_aliases().unwrap_or_default());
                for name in
                    longs.map(|long| format!("--{long}")).chain(arg.get_short().map(|c| format!("-{c}")))
                {
                    assert!(!flags.contains(&name.as_str()), "{} {name}", command.get_name());
                }
            }
        }
    }

    #[test]
    fn a_command_of_another_program_leads_to_ours() {
        insta::assert_snapshot!(error_text(&["kube", "apply", "-f", "x.yaml"]));
        insta::assert_snapshot!(error_text(&["kube", "images"]));
        // clap itself suggests the command for a typing error.
        insta::assert_snapshot!(error_text(&["kube", "plya"]));
    }

    #[test]
    fn a_group_of_commands_without_inspect_leads_to_ls() {
        assert!(
            error_text(&["kube", "image", "inspect", "x"])
                .contains("tip: `ls NAME -o json` shows an object in full")
        );
    }

    #[test]
    fn no_command_of_kube_has_advice() {
        for command in Cli::command().get_subcommands() {
            for name in std::iter::once(command.get_name()).chain(command.get_all_aliases()) {
                assert!(name == "inspect" || command_advice(name).is_none(), "{name}");
            }
        }
    }
}
