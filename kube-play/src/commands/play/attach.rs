//! `kube play --attach`: shows what containers write until all pods have ended, or until Ctrl-C takes them down.

use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pod_core::controller::Status;
use pod_core::image::Progress;
use pod_core::kind::{Kind, ObjectRef};
use pod_core::observe::PodView;
use pod_core::observe::attached::Attached;
use pod_core::plan::Plan;
use pod_core::play::{self, Change, DownOptions, PlayOptions, Report, Target};
use pod_core::store::{Objects, WorkloadId};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use crate::cli::context::Context;
use crate::input::load::Loaded;
use crate::output::exit::Failure;
use crate::output::pod_lines::PodLines;
use crate::output::report::Lines;
use crate::output::{Closed, terminal};
use crate::session::interrupt::Interrupts;

/// How often the pods are looked at although no change of their files was reported, because a network file system
/// reports none.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Plays manifests in the foreground. Returns the exit code of the first pod that failed once all have ended; after a
/// signal, 128 and its number.
///
/// # Errors
/// As `kube play` and `kube down`; 141 if stdout was closed.
pub fn run(
    context: &Context,
    loaded: Loaded,
    options: &PlayOptions,
    lines: Lines,
) -> anyhow::Result<ExitCode> {
    let Loaded { documents, plan } = loaded;
    let workloads = plan.workloads.iter().map(|workload| workload.id.clone()).collect();
    let targets = targets(&plan);
    let mut foreground = Foreground::new(Attached::new(&context.layout, workloads)?, lines)?;
    let ended = match play::play(&context.instance(), &documents, plan, options, &mut foreground) {
        // A container that has failed is a result; it may be started again.
        Ok(_) | Err(play::Error::ContainerFailed { .. }) => foreground.watch()?,
        Err(play::Error::Interrupted) => None,
        Err(error) => {
            foreground.print_rest();
            return Err(error.into());
        }
    };
    foreground.lines.finish();
    if let Some(code) = ended {
        return Ok(crate::code(code));
    }
    let down = foreground.take_down(context, &targets);
    foreground.print_rest();
    match foreground.failed.take() {
        Some(error) => {
            if let Err(down) = down {
                terminal::warning(&down.to_string());
            }
            Err(error)
        }
        None => {
            down?;
            Ok(crate::code(128 + foreground.signal.unwrap_or_default()))
        }
    }
}

/// Returns what `kube down` with the same files removes: all but claims, which keep data.
fn targets(plan: &Plan) -> Vec<Target> {
    let objects = plan.objects.iter().map(|object| &object.id);
    let objects = objects.filter(|id| id.kind != Kind::PersistentVolumeClaim);
    let workloads = plan.workloads.iter().map(|workload| Target::Workload(workload.id.clone()));
    workloads.chain(objects.map(|id: &ObjectRef| Target::Object(id.clone()))).collect()
}

/// What runs in the foreground.
struct Foreground {
    lines: Lines,
    attached: Attached,
    printer: PodLines,
    /// Readable when pods have changed, logs have grown or a signal has come.
    wake: OwnedFd,
    /// The signals, from when the play begins to change something. Until then they end this process.
    signals: Option<Interrupts>,
    /// The signal that came first.
    signal: Option<i32>,
    /// What the next signal does.
    next_signal: NextSignal,
    /// Why the logs cannot be shown any more.
    failed: Option<anyhow::Error>,
}

/// What the next signal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NextSignal {
    /// It ends the wait: everything is taken down, or killed if that has begun already.
    EndsWait,
    /// Nothing, because everything is being killed.
    Nothing,
}

impl Foreground {
    fn new(attached: Attached, lines: Lines) -> anyhow::Result<Self> {
        let wake = epoll::create(epoll::CreateFlags::CLOEXEC).context("watch pods")?;
        for fd in attached.fds() {
            watch(&wake, fd)?;
        }
        Ok(Self {
            lines,
            attached,
            printer: PodLines::to_stdout(),
            wake,
            signals: None,
            signal: None,
            next_signal: NextSignal::EndsWait,
            failed: None,
        })
    }

    /// Shows the pods until all have ended. `None`: a signal has come, or the logs cannot be shown any more.
    fn watch(&mut self) -> anyhow::Result<Option<i32>> {
        loop {
            self.look();
            // Read before the lines, so that lines that were written before the end are printed.
            let ended = self.attached.exit_code()?;
            self.print();
            if self.signal.is_some() || self.failed.is_some() {
                return Ok(None);
            }
            if ended.is_some() {
                self.printer.end_line();
                return Ok(ended);
            }
            let timeout = Timespec::try_from(LOOK_INTERVAL).context("wait")?;
            match poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("wait for pods"),
            }
            if self.woken().is_break() {
                return Ok(None);
            }
        }
    }

    /// Looks for new pods and for containers that have ended.
    fn look(&mut self) {
        match self.attached.look() {
            Ok(exits) => {
                // What they have written last comes first.
                self.print();
                for exit in exits {
                    self.printer.end_line();
                    let reason = match exit.code {
                        0 => String::new(),
                        _ => format!(" ({})", exit.reason),
                    };
                    terminal::note(&format!("{} ended with exit code {}{reason}", exit.label, exit.code));
                }
            }
            Err(error) => self.fail(error.into()),
        }
    }

    /// Prints what containers have written since the last call.
    fn print(&mut self) {
        if self.failed.is_some() {
            return;
        }
        let mut error = None;
        let printer = &mut self.printer;
        let read = self.attached.read(&mut |label, line| match printer.print(label, line) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                error = Some(e);
                ControlFlow::Break(())
            }
        });
        match (read, error) {
            (_, Some(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => self.fail(Closed.into()),
            (_, Some(e)) => self.fail(anyhow::Error::from(e).context("write to stdout")),
            (Err(e), None) => self.fail(e.into()),
            (Ok(_), None) => {}
        }
    }

    fn print_rest(&mut self) {
        self.look();
        self.print();
        self.printer.end_line();
    }

    fn fail(&mut self, error: anyhow::Error) {
        self.failed.get_or_insert(error);
    }

    /// Takes everything down in order; kills at once if a signal comes meanwhile.
    fn take_down(&mut self, context: &Context, targets: &[Target]) -> Result<(), play::Error> {
        let mut targets = targets.to_vec();
        targets.retain(|target| match target {
            Target::Workload(_) => true,
            // A play that was interrupted may not have created it.
            Target::Object(id) => Objects::exists(&context.layout, id),
        });
        self.printer.end_line();
        terminal::note("stopping; Ctrl-C kills at once");
        let instance = context.instance();
        match play::down(&instance, &targets, &DownOptions::default(), self) {
            Err(play::Error::Interrupted) => {
                terminal::note("killing");
                self.next_signal = NextSignal::Nothing;
                let options = DownOptions { force: true, ..DownOptions::default() };
                play::down(&instance, &targets, &options, self)
            }
            done => done,
        }
    }

    /// Returns whether a signal has come that ends the wait.
    fn has_come(&mut self) -> bool {
        let mut ends = false;
        while let Some(signal) = self.signals.as_ref().and_then(Interrupts::next) {
            self.signal.get_or_insert(signal);
            ends = true;
        }
        ends && self.next_signal == NextSignal::EndsWait
    }
}

fn watch(epoll: &OwnedFd, fd: BorrowedFd<'_>) -> anyhow::Result<()> {
    epoll::add(epoll, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN).context("watch pods")
}

/// Prints the lines of a play, and shows the pods meanwhile.
impl Report for Foreground {
    fn starts_changing(&mut self) {
        let taken = Interrupts::take().and_then(|signals| {
            watch(&self.wake, signals.as_fd())?;
            Ok(signals)
        });
        match taken {
            Ok(signals) => self.signals = Some(signals),
            Err(error) => self.fail(error.context(Failure::failed("cannot wait for Ctrl-C"))),
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.wake.as_fd())
    }

    fn woken(&mut self) -> ControlFlow<()> {
        let failed_before = self.failed.is_some();
        if self.attached.may_have_changed() {
            self.look();
        }
        self.print();
        let fails = self.failed.is_some() && !failed_before;
        if self.has_come() || fails { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn changed(&mut self, object: &str, change: Change) {
        self.printer.end_line();
        self.lines.changed(object, change);
    }

    fn unchanged(&mut self, object: &str, pods: &[PodView]) {
        self.printer.end_line();
        self.lines.unchanged(object, pods);
    }

    fn warning(&mut self, message: &str) {
        self.lines.warning(message);
    }

    fn waiting(&mut self, pods: &[PodView]) {
        self.printer.end_line();
        self.lines.waiting(pods);
    }

    fn progress(&mut self, workload: &WorkloadId, status: &Status) {
        self.lines.progress(workload, status);
    }

    fn hint(&mut self, message: &str) {
        self.lines.hint(message);
    }

    fn last_lines(&mut self, _: &str, _: &str, _: &[String]) {
        // They are printed already.
    }

    fn pull(&mut self, image: &str) -> Arc<dyn Progress> {
        self.lines.pull(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_keep_their_data() {
        let object = |kind, name: &str| pod_core::plan::ObjectPlan {
            id: ObjectRef::new(kind, "default", name),
            object: serde_json::Value::Null,
            given: None,
        };
        let objects = vec![object(Kind::ConfigMap, "settings"), object(Kind::PersistentVolumeClaim, "data")];
        let plan = Plan { objects, workloads: Vec::new(), pull: None };
        let settings = ObjectRef::new(Kind::ConfigMap, "default", "settings");
        assert_eq!(targets(&plan), [Target::Object(settings)]);
    }
}
