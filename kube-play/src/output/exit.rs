//! Exit codes, and the printing of errors. A command prints its error once, at its end, on stderr, with hints about
//! what to do.

use std::process::ExitCode;

use pod_core::observe::container;
use pod_core::observe::query::{self, Hint};
use pod_core::workload::patch;
use pod_core::{image, kind, play};

use crate::output::terminal;

/// Success.
pub const DONE: u8 = 0;
/// Failure without a more specific code.
pub const FAILED: u8 = 1;
/// Wrong use: an unknown command or flag, or an invalid value.
pub const USAGE: u8 = 2;
/// A manifest is not valid.
pub const INVALID: u8 = 3;
/// A named object does not exist.
pub const NOT_FOUND: u8 = 4;
/// A wait exceeded its timeout.
pub const TIMED_OUT: u8 = 5;

/// An error of the command line itself: its exit code, its message and its hints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code of the process.
    pub code: u8,
    /// What is wrong.
    pub message: String,
    /// Hints about what to do, one line each.
    pub hints: Vec<String>,
}

impl Failure {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hints: Vec::new() }
    }
    /// Creates a failure with exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(FAILED, message)
    }
    /// Creates a failure with exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message)
    }
    /// Creates a failure with exit code 3.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(INVALID, message)
    }
    /// Creates a failure with exit code 4.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(NOT_FOUND, message)
    }
    /// Creates a failure with exit code 5.
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::new(TIMED_OUT, message)
    }
    /// Adds a hint about what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// Calls `act` for each item, also after one has failed, and prints every error but the last.
///
/// # Errors
/// Returns the last error; the caller prints it.
pub fn each<T>(
    items: impl IntoIterator<Item = T>,
    mut act: impl FnMut(T) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let mut failed: Option<anyhow::Error> = None;
    for item in items {
        if let Err(error) = act(item)
            && let Some(earlier) = failed.replace(error)
        {
            report(&earlier);
        }
    }
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// Prints an error with its hints and returns the exit code of the process.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if closed_pipe(error) {
        // 128 + SIGPIPE, as for a program that this signal ended: the reader of stdout closed it and needs no message.
        return ExitCode::from(141);
    }
    let (code, hints) = code_and_hints(error);
    terminal::error(&describe(error));
    for hint in hints {
        terminal::hint(&hint);
    }
    ExitCode::from(code)
}

/// Returns the exit code of an error, and its hints.
pub fn code_and_hints(error: &anyhow::Error) -> (u8, Vec<String>) {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return (failure.code, failure.hints.clone());
        }
        if let Some(error) = cause.downcast_ref::<play::Error>() {
            return play_code_and_hints(error);
        }
        if let Some(error) = cause.downcast_ref::<image::Error>() {
            return (FAILED, image_hint(error));
        }
        if let Some(error) = cause.downcast_ref::<query::Error>() {
            return query_code_and_hints(error);
        }
        if cause.is::<kind::Error>() {
            return (USAGE, Vec::new());
        }
        if let Some(error) = cause.downcast_ref::<container::Error>() {
            return (NOT_FOUND, container_hint(error));
        }
    }
    (FAILED, Vec::new())
}

fn play_code_and_hints(error: &play::Error) -> (u8, Vec<String>) {
    let one = |hint: &str| vec![hint.to_owned()];
    match error {
        play::Error::NotFound { .. } => (NOT_FOUND, Vec::new()),
        play::Error::Unchangeable { object, source } => (FAILED, unchangeable_hint(object, source)),
        play::Error::TimedOut { .. } => {
            let hint = "the pods keep running: `kube ps` lists them, `kube events` shows what happened";
            (TIMED_OUT, one(hint))
        }
        play::Error::PodFailed { object, .. } => {
            let hint = format!(
                "`kube events --for {object}` shows what happened, `kube logs {object}` what its containers wrote"
            );
            (FAILED, vec![hint])
        }
        play::Error::ContainerFailed { object, .. } => {
            let hint = format!(
                "the pod stays: `kube logs {object} --all-containers` shows what its containers wrote, `kube \
                 inspect {object}` their states"
            );
            (FAILED, vec![hint])
        }
        play::Error::Invalid(diagnostic) => (INVALID, diagnostic.hint.iter().cloned().collect()),
        play::Error::Stalled { workload, pod, .. } => {
            let short = workload.arguments();
            (
                FAILED,
                vec![
                    format!("the rollout continues: `kube rollout status {short}` watches it"),
                    format!("`kube rollout undo {short}` returns to the previous revision"),
                    format!("`kube events --for {pod}` shows what happened"),
                ],
            )
        }
        play::Error::Undone(inner) => {
            let (code, mut hints) = match &**inner {
                // No hint about logs: the undo removed the pod's logs too.
                play::Error::PodFailed { object, .. } => {
                    (FAILED, vec![format!("`kube events --for {object}` shows what happened")])
                }
                other => play_code_and_hints(other),
            };
            hints.insert(0, "the changes of this play are undone".to_owned());
            (code, hints)
        }
        play::Error::HostPort { source: network::Error::PortTaken { .. }, .. } => {
            (FAILED, one("stop the process that uses it, or give the pod another hostPort"))
        }
        play::Error::Image(error) => (FAILED, image_hint(error)),
        play::Error::OnlyHere { image, .. } => {
            let hint = format!(
                "to run the {image} that is stored here, write imagePullPolicy: IfNotPresent, or give --pull missing"
            );
            (FAILED, vec![hint])
        }
        _ => (FAILED, Vec::new()),
    }
}

/// Returns the exit code and the hints for a name or a selector that led to nothing.
fn query_code_and_hints(error: &query::Error) -> (u8, Vec<String>) {
    match error {
        query::Error::Store(_) => (FAILED, Vec::new()),
        query::Error::Name(_) | query::Error::Selector(_) => (USAGE, Vec::new()),
        query::Error::PartOfDeployment(_) => {
            let hint = "name its deployment; `kube inspect` shows the name below metadata.ownerReferences"
                .to_owned();
            (USAGE, vec![hint])
        }
        query::Error::NotAWorkload(_) => (USAGE, vec!["name a pod or a deployment".to_owned()]),
        query::Error::NoPods(_) => (NOT_FOUND, Vec::new()),
        query::Error::NoSelector(_) => (FAILED, vec!["name a pod: `kube ps` lists them".to_owned()]),
        query::Error::NotFound { object, hint } => {
            let hint = match hint {
                Some(Hint::Similar(object)) => Some(format!("did you mean {object}?")),
                Some(Hint::WithoutPods(id)) => Some(format!("{id} has no pods (replicas: 0)")),
                Some(Hint::OtherNamespace(other)) => {
                    Some(format!("there is one in namespace {other}: add -n {other}"))
                }
                None if object.kind.is_workload() => Some("`kube ps -A` lists the pods".to_owned()),
                None if object.kind.is_namespaced() => {
                    Some(format!("`kube get {} -A` lists them", object.kind.plural()))
                }
                None => Some(format!("`kube get {}` lists them", object.kind.plural())),
            };
            (NOT_FOUND, hint.into_iter().collect())
        }
    }
}

/// Returns what to do about a container that a pod does not have.
fn container_hint(error: &container::Error) -> Vec<String> {
    match error {
        container::Error::NotFound { similar: Some(name), .. } => vec![format!("did you mean {name}?")],
        container::Error::NotFound { known, .. } => vec![format!("its containers: {}", known.join(", "))],
        container::Error::NoContainers(_) => Vec::new(),
    }
}

/// Returns hints for a Deployment that cannot be changed in its present state.
fn unchangeable_hint(object: &str, error: &patch::Error) -> Vec<String> {
    match error {
        patch::Error::RestartPaused | patch::Error::UndoPaused => {
            vec![format!("resume it first: `kube rollout resume {object}`")]
        }
        patch::Error::NoRevision(_) | patch::Error::NoHistory => {
            vec![format!("`kube rollout history {object}` lists its revisions")]
        }
        _ => Vec::new(),
    }
}

/// Returns hints for an image that is not available.
fn image_hint(error: &image::Error) -> Vec<String> {
    match error {
        image::Error::Unreachable { .. } => {
            vec!["without the network: `kube image load` brings an image from another machine".to_owned()]
        }
        image::Error::NoRegistry { .. } => vec![
            "`kube image load` or `kube image import` bring an image under that name; a registry on this machine is \
             written with its port, e.g. localhost:5000/app"
                .to_owned(),
        ],
        _ => Vec::new(),
    }
}

/// Returns the error and its causes on one line. A cause whose text an error before it contains already is left out.
fn describe(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<crate::output::Closed>().is_some())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::Context as _;
    use pod_core::kind::{Kind, ObjectRef};
    use pod_core::store::WorkloadId;

    use super::*;

    #[test]
    fn every_error_ends_with_its_documented_code() {
        let cases: [(anyhow::Error, u8); 7] = [
            (anyhow::anyhow!("x"), FAILED),
            (Failure::usage("x").into(), USAGE),
            (Failure::invalid("x").into(), INVALID),
            (play::Error::NotFound { what: "pod/x".into() }.into(), NOT_FOUND),
            (anyhow::Error::from(Failure::not_found("x")).context("while y"), NOT_FOUND),
            (play::Error::TimedOut { what: "x".into(), after: Duration::ZERO }.into(), TIMED_OUT),
            (play::Error::PodFailed { object: "pod/x".into(), message: "y".into() }.into(), FAILED),
        ];
        for (error, code) in cases {
            assert_eq!(code_and_hints(&error).0, code, "{error}");
        }
    }

    #[test]
    fn a_play_that_was_undone_says_so_and_gives_hints() {
        let failed = || play::Error::PodFailed { object: "pod/x".into(), message: "y".into() };
        let (code, hints) = code_and_hints(&play::Error::Undone(Box::new(failed())).into());
        assert_eq!(code, FAILED);
        let events = "`kube events --for pod/x` shows what happened";
        assert_eq!(hints, ["the changes of this play are undone", events]);
        // The logs of a pod that was not removed can be read; a pod that was never tried has neither logs nor events.
        assert_eq!(
            code_and_hints(&failed().into()).1,
            [format!("{events}, `kube logs pod/x` what its containers wrote")]
        );
        let refused = play::Error::Failed { object: "pod/x".into(), message: "y".into() };
        assert!(code_and_hints(&refused.into()).1.is_empty());
        let by = || "nginx, pid 8".to_owned();
        let source = network::Error::PortTaken { port: 80, protocol: "tcp".into(), by: by() };
        let error = anyhow::Error::from(play::Error::HostPort { object: "pod/x".into(), source });
        assert_eq!(describe(&error), "pod/x: port tcp/80 of the host is taken by nginx, pid 8");
        assert_eq!(
            code_and_hints(&error).1,
            ["stop the process that uses it, or give the pod another hostPort"]
        );
    }

    #[test]
    fn a_cause_is_printed_once() {
        let io = std::io::Error::other("no space left");
        let error = anyhow::Error::from(pod_core::store::Error::io("write", "/x")(io));
        assert_eq!(describe(&error), "write /x: no space left");
        let nested = Err::<(), _>(error).context("play pod/web").unwrap_err();
        assert_eq!(describe(&nested), "play pod/web: write /x: no space left");
    }

    #[test]
    fn a_name_that_is_not_found_ends_with_a_hint_to_what_was_meant() {
        let web = || ObjectRef::new(Kind::Pod, "default", "web");
        let not_found = |hint| code_and_hints(&query::Error::NotFound { object: web(), hint }.into());
        let idle = WorkloadId::new(Kind::Deployment, "default", "idle");
        for (hint, text) in [
            (Some(Hint::Similar(web())), "did you mean pod/web?"),
            (Some(Hint::WithoutPods(idle)), "deployment.apps/idle has no pods (replicas: 0)"),
            (Some(Hint::OtherNamespace("prod".to_owned())), "there is one in namespace prod: add -n prod"),
            (None, "`kube ps -A` lists the pods"),
        ] {
            assert_eq!(not_found(hint), (NOT_FOUND, vec![text.to_owned()]));
        }
        let secret = ObjectRef::new(Kind::Secret, "default", "x");
        assert_eq!(code_and_hints(&query::not_a_workload(secret).into()).0, USAGE);
        assert_eq!(code_and_hints(&ObjectRef::parse("X", "default").unwrap_err().into()), (USAGE, vec![]));
        let known = vec!["main".to_owned(), "side".to_owned()];
        for (similar, text) in
            [(Some("side".to_owned()), "did you mean side?"), (None, "its containers: main, side")]
        {
            let (pod, container) = ("web".to_owned(), "sied".to_owned());
            let error = container::Error::NotFound { pod, container, similar, known: known.clone() };
            assert_eq!(code_and_hints(&error.into()), (NOT_FOUND, vec![text.to_owned()]));
        }
    }

    #[test]
    fn an_error_of_a_closed_stdout_is_recognised() {
        assert!(closed_pipe(&anyhow::Error::from(crate::output::Closed).context("print")));
        assert!(!closed_pipe(&anyhow::anyhow!("x")));
    }
}
