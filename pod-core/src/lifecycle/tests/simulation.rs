//! Simulates months of pod life with random crashes, failures, stops, reboots and deaths of supervisor and sandbox,
//! and checks the invariants after every event.

mod checks;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use self::checks::container;
use crate::lifecycle::*;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// An upper limit for the time of all simulated answers one after another: how much longer than its grace period a
/// stop may take.
const ANSWERS: u64 = 5 * MINUTE;

/// Makes deterministic pseudo-random choices from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.roll() % n.max(1)
    }
    fn percent(&mut self, n: u64) -> bool {
        self.below(100) < n
    }
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
    /// Returns a duration of a random order of magnitude, at most `max` milliseconds.
    fn span(&mut self, max: u64) -> u64 {
        let scale = self.pick(&[10, SECOND, 20 * SECOND, 5 * MINUTE, 11 * MINUTE, 5 * HOUR, 3 * DAY]);
        self.below(scale.min(max) + 1)
    }
}

/// A future occurrence of the simulation.
#[derive(Debug, Clone)]
enum Coming {
    /// The answer to CreateSandbox, StartContainer or RemoveSandbox; lost if the supervisor dies first.
    Answer(Event),
    /// A container's process ends, by itself or because it was asked to.
    Exit {
        container: String,
        attempt: u32,
    },
    /// A probe has its result.
    Probe(ProbeRun),
    /// A hook ends.
    Hook(HookRun),
    SandboxDies,
    Stop,
    SupervisorDies,
    Reboot,
    /// An answer that was given before is delivered again.
    Echo,
}

#[derive(Debug, Default, Clone)]
struct Process {
    /// The attempt whose process is running.
    running: Option<u32>,
    /// The attempt whose start was requested and has not been answered.
    starting: Option<u32>,
    /// The latest attempt that ran.
    ran: Option<u32>,
    /// Whether the init container has completed, or the sidecar has started, in the current sandbox.
    done: bool,
    /// When the process last ended.
    ended: Option<u64>,
    /// For the expected back-off: the number of restarts in a row, and when the last one was requested.
    restarts: u32,
    restarted: Option<u64>,
    /// Whether the simulation has already ignored one kill.
    kill_lost: bool,
}

struct World {
    dice: Dice,
    spec: PodSpec,
    state: PodState,
    schedule: ProbeSchedule,
    /// The hooks of current runs: whether they have ended.
    hooks: BTreeMap<HookRun, bool>,
    /// Containers that a failed probe or postStart hook has condemned, with the time when they may be killed.
    condemned: BTreeMap<String, u64>,
    /// Milliseconds since the simulation began, and the time of the last boot on the same scale.
    time: u64,
    booted: u64,
    queue: BTreeMap<(u64, u64), Coming>,
    sequence: u64,
    sandbox: bool,
    sandbox_busy: bool,
    processes: BTreeMap<String, Process>,
    stop: Option<(u64, u64)>,
    /// Whether all containers are being stopped in order to run again.
    restarts_all: bool,
    echoes: Vec<Event>,
    ended: Option<Phase>,
}

impl World {
    fn new(seed: u64, policy: RestartPolicy, init: usize, app: usize) -> Self {
        let mut dice = Dice(seed);
        let mut containers: Vec<_> = (0..init).map(|i| (format!("i{i}"), Role::Init)).collect();
        containers.extend((0..app).map(|i| (format!("a{i}"), Role::App)));
        let containers = containers.into_iter().map(|(name, role)| container(&mut dice, name, role, policy));
        let containers: Vec<_> = containers.collect();
        let spec = PodSpec {
            name: "web".to_owned(),
            namespace: "default".to_owned(),
            uid: "u".to_owned(),
            restart_policy: policy,
            active_deadline_seconds: dice.percent(20).then(|| dice.pick(&[60, 3_600, 86_400, 30 * 86_400])),
            readiness_gates: Vec::new(),
            grace_seconds: 30,
            containers,
        };
        let now = Now { boot: 0, wall: Timestamp::UNIX_EPOCH };
        let processes = spec.containers.iter().map(|c| (c.name.clone(), Process::default())).collect();
        let mut world = Self {
            dice,
            state: PodState::new(&spec, now),
            schedule: ProbeSchedule::default(),
            hooks: BTreeMap::new(),
            condemned: BTreeMap::new(),
            spec,
            time: 0,
            booted: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            sandbox: false,
            sandbox_busy: false,
            processes,
            stop: None,
            restarts_all: false,
            echoes: Vec::new(),
            ended: None,
        };
        for what in [Coming::SupervisorDies, Coming::Reboot, Coming::Echo, Coming::SandboxDies] {
            let after = world.dice.span(3 * DAY);
            world.later(after, what);
        }
        let life = world.dice.pick(&[SECOND, MINUTE, HOUR, DAY, 90 * DAY]);
        let stop = world.dice.below(life);
        world.later(stop, Coming::Stop);
        world
    }

    fn now(&self) -> Now {
        let wall = Timestamp::UNIX_EPOCH + SignedDuration::from_millis(i64::try_from(self.time).unwrap());
        Now { boot: self.time - self.booted, wall }
    }

    fn later(&mut self, after: u64, what: Coming) {
        self.sequence += 1;
        self.queue.insert((self.time + after, self.sequence), what);
    }

    fn process(&mut self, name: &str) -> &mut Process {
        self.processes.get_mut(name).unwrap()
    }

    /// Sends the event to the state machine, carries out its actions and checks the invariants.
    fn send(&mut self, event: &Event) {
        let now = self.now();
        let (state, actions) = step(&self.spec, self.state.clone(), event, now);
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(
            serde_json::from_str::<PodState>(&json).unwrap(),
            state,
            "a state read back is the state written"
        );
        self.state = state;
        self.schedule.follow(&self.spec, &self.state, now);
        self.follow_restarts(&actions);
        self.note_started_sidecars();
        for action in &actions {
            self.perform(action, false);
        }
        if let Some(phase) = self.ended {
            assert_eq!(self.state.phase, phase, "Succeeded and Failed are final");
        }
        self.ended = Some(self.state.phase).filter(|p| p.is_terminal());
        self.check_end();
        if self.state.has_stopped() {
            for (name, p) in &self.processes {
                assert_eq!((p.running, p.starting), (None, None), "{name} runs in a pod that has ended");
            }
        }
        for container in &self.state.containers {
            if container.awaits_startup || self.hook_runs(&container.name, HookKind::PostStart) {
                assert!(!container.is_ready(Role::App), "what has not started is not ready");
            }
        }
        if self.state.is_gone() {
            assert_eq!(self.schedule.next_deadline(), None, "a pod that is gone is not probed");
            assert!(self.state.has_stopped());
            assert!(!self.sandbox && !self.sandbox_busy, "no sandbox in a pod that is gone");
            assert_eq!(self.state.next_deadline(&self.spec), None, "a pod that is gone waits for nothing");
        }
        if *event == Event::Tick {
            let next = self.state.next_deadline(&self.spec);
            assert!(next.is_none_or(|at| at > now.boot), "a Tick at its deadline moves the deadline");
        }
        let running: BTreeSet<_> =
            self.state.running().map(|(name, attempt, _)| (name.to_owned(), attempt)).collect();
        let truly: BTreeSet<_> =
            self.processes.iter().filter_map(|(name, p)| Some((name.clone(), p.running?))).collect();
        assert_eq!(running, truly, "what runs is what the state says");
    }

    /// Carries out an action. `again`: a new supervisor repeats an action that the previous one had requested.
    fn perform(&mut self, action: &Action, again: bool) {
        match action {
            Action::CreateSandbox => {
                assert!(again || (!self.sandbox && !self.sandbox_busy), "one sandbox at a time");
                assert!(again || self.stop.is_none(), "no sandbox is made after the stop");
                self.sandbox_busy = true;
                let ips = vec!["10.88.0.2".parse().unwrap()];
                let answer = if self.dice.percent(85) {
                    Event::SandboxReady { ips }
                } else {
                    Event::SandboxFailed { message: "no".to_owned() }
                };
                let after = self.dice.span(20 * SECOND);
                self.later(after, Coming::Answer(answer));
            }
            Action::RemoveSandbox => {
                assert!(
                    self.processes.values().all(|p| p.running.is_none() && p.starting.is_none()),
                    "it is empty"
                );
                self.sandbox_busy = true;
                let after = self.dice.span(20 * SECOND);
                self.later(after, Coming::Answer(Event::SandboxRemoved));
            }
            Action::StartContainer { container, attempt } => self.start(container, *attempt, again),
            Action::StopContainer { container, .. } => {
                let attempt = self.process(container).running.expect("what is stopped runs");
                self.check_stop(container, attempt);
                if self.dice.percent(70) {
                    let after = self.dice.span(MINUTE);
                    self.later(after, Coming::Exit { container: container.clone(), attempt });
                }
            }
            Action::KillContainer { container } => {
                let attempt = self.process(container).running.expect("what is killed runs");
                assert!(
                    !self.sandbox || self.is_grace_over(container),
                    "nothing is killed before its grace is over"
                );
                let lost = self.dice.percent(10);
                let process = self.process(container);
                if lost && !process.kill_lost {
                    process.kill_lost = true;
                } else {
                    let after = self.dice.below(2 * SECOND);
                    self.later(after, Coming::Exit { container: container.clone(), attempt });
                }
            }
            Action::RunHook { container, attempt, hook } => {
                let run = HookRun { container: container.clone(), attempt: *attempt, kind: *hook };
                self.run_hook(run, again);
            }
            Action::Emit { .. } => {}
        }
    }

    fn start(&mut self, container: &str, attempt: u32, again: bool) {
        let role = self.spec.containers.iter().find(|c| c.name == container).unwrap().role;
        if !again {
            assert!(self.sandbox, "{container} starts in a sandbox");
            assert!(self.stop.is_none(), "nothing starts after the stop");
            assert_eq!(self.state.goal, Goal::Run, "nothing starts in a pod that ends");
            for c in &self.spec.containers {
                let p = &self.processes[&c.name];
                if c.name == container {
                    break;
                }
                assert!(c.role == Role::App || p.done, "{container} starts only when {} is done", c.name);
                assert!(!self.restarts_all, "nothing starts before all containers have ended");
            }
            if role == Role::Init {
                assert!(!self.processes[container].done, "an init container runs once in a sandbox");
            }
        }
        let now = self.time;
        let process = self.process(container);
        assert_eq!(process.running, None, "{container} runs already");
        assert!(again || process.starting.is_none(), "{container} starts already");
        assert_eq!(attempt, process.ran.map_or(0, |n| n + 1), "attempts are counted up");
        if let Some(ended) = process.ended.take() {
            let well = process.restarted.is_none_or(|at| ended - at > 10 * MINUTE);
            process.restarts = if well { 0 } else { process.restarts + 1 };
            let wait = match process.restarts {
                0 => 0,
                n => ((10 * SECOND) << (n - 1).min(10)).min(5 * MINUTE),
            };
            assert!(now >= ended + wait, "{container} restarts {} ms after its end, not {wait}", now - ended);
            process.restarted = Some(now);
        }
        process.starting = Some(attempt);
        let (name, reason) = (
            container.to_owned(),
            self.dice.pick(&["ErrImagePull", "CreateContainerError", "RunContainerError"]),
        );
        let event = match self.dice.below(100) {
            0..80 => Event::Started {
                container: name,
                attempt,
                pid: 7,
                container_id: format!("kube://{container}-{attempt}"),
                image_id: "sha256:1".to_owned(),
                stop_signal: "SIGTERM".to_owned(),
            },
            80..95 => Event::StartFailed {
                container: name,
                attempt,
                reason: reason.into(),
                message: "no".to_owned(),
            },
            _ => Event::Exited { container: name, attempt, code: Some(1), oom_killed: false, message: None },
        };
        let after = self.dice.span(40 * SECOND);
        self.later(after, Coming::Answer(event));
    }

    fn happen(&mut self, what: Coming) {
        match what {
            Coming::Answer(event) => self.answer(event),
            Coming::Exit { container, attempt } => {
                if self.process(&container).running == Some(attempt) {
                    self.exit(&container, attempt);
                }
            }
            Coming::Probe(run) => self.probed(&run),
            Coming::Hook(run) => self.hook_ends(&run),
            Coming::SandboxDies => {
                if self.sandbox && !self.sandbox_busy {
                    self.sandbox = false;
                    // In a shared process namespace the containers die with the infra container.
                    if self.dice.percent(50) {
                        for (name, p) in self.processes.clone() {
                            let Some(attempt) = p.running else { continue };
                            self.later(0, Coming::Exit { container: name, attempt });
                        }
                    }
                    for p in self.processes.values_mut() {
                        p.done = false;
                    }
                    self.send(&Event::SandboxDied);
                }
                self.again(Coming::SandboxDies);
            }
            Coming::Stop => {
                let now = self.time;
                let grace = self.dice.pick(&[None, Some(0), Some(5), Some(100)]);
                let deadline = now + grace.unwrap_or(30) * SECOND;
                self.stop = match self.stop {
                    None => Some((now, deadline)),
                    Some((at, sooner)) => Some((at, sooner.min(deadline))),
                };
                self.send(&Event::Stop { grace_seconds: grace });
                if self.dice.percent(50) {
                    let after = self.dice.below(40 * SECOND);
                    self.later(after, Coming::Stop);
                }
            }
            Coming::SupervisorDies => {
                self.queue.retain(|_, what| {
                    !matches!(what, Coming::Answer(_) | Coming::Probe(_) | Coming::Hook(_))
                });
                self.schedule = ProbeSchedule::default();
                self.schedule.follow(&self.spec, &self.state, self.now());
                for action in self.state.pending_actions() {
                    match action {
                        Action::RunHook { container, attempt, hook } if !hook.runs_again() => {
                            let run = HookRun { container: container.clone(), attempt, kind: hook };
                            self.hooks.insert(run, true);
                            self.send(&Event::HookEnded { container, attempt, hook, error: None });
                        }
                        action => self.perform(&action, true),
                    }
                }
                if self.stop.is_none() {
                    self.again(Coming::SupervisorDies);
                }
            }
            Coming::Reboot => {
                self.queue.retain(|_, what| {
                    let is_lost = matches!(what, Coming::Answer(_) | Coming::Exit { .. });
                    !is_lost && !matches!(what, Coming::Probe(_) | Coming::Hook(_))
                });
                self.condemned.clear();
                self.hooks.clear();
                self.schedule = ProbeSchedule::default();
                self.booted = self.time;
                (self.sandbox, self.sandbox_busy) = (false, false);
                for p in self.processes.values_mut() {
                    let ran = p.running.or(p.ran);
                    *p = Process { ran, ..Process::default() };
                }
                let stopped = self.stop.is_some();
                self.state = self.state.clone().revive(&self.spec, self.now());
                if stopped {
                    // The pod was asked to stop before the reboot; the new supervisor repeats that request.
                    self.ended = None;
                    self.happen(Coming::Stop);
                } else {
                    self.send(&Event::Start);
                }
                self.again(Coming::Reboot);
            }
            Coming::Echo => {
                if !self.echoes.is_empty() {
                    let i = usize::try_from(self.dice.below(self.echoes.len() as u64)).unwrap();
                    let (before, event) = (self.state.clone(), self.echoes[i].clone());
                    let is_answer = !matches!(event, Event::Probed { .. });
                    if is_answer && self.state.next_deadline(&self.spec).is_none_or(|at| at > self.now().boot)
                    {
                        self.send(&event);
                        assert_eq!(self.state, before, "an answer that comes twice changes nothing");
                    }
                }
                self.again(Coming::Echo);
            }
        }
    }

    fn again(&mut self, what: Coming) {
        let after = MINUTE + self.dice.span(10 * DAY) * 4;
        self.later(after, what);
    }

    fn answer(&mut self, event: Event) {
        match &event {
            Event::SandboxReady { .. } => (self.sandbox, self.sandbox_busy) = (true, false),
            Event::SandboxFailed { .. } => self.sandbox_busy = false,
            Event::SandboxRemoved => {
                (self.sandbox, self.sandbox_busy) = (false, false);
                self.processes.values_mut().for_each(|p| p.done = false);
            }
            Event::Started { container, attempt, .. } => {
                let process = self.process(container);
                (process.running, process.starting, process.ran) = (Some(*attempt), None, Some(*attempt));
                self.echoes.push(event.clone());
                if self.dice.percent(80) {
                    let after = self.dice.span(3 * DAY);
                    self.later(after, Coming::Exit { container: container.clone(), attempt: *attempt });
                }
            }
            Event::StartFailed { container, attempt, reason, .. } => {
                let now = self.time;
                let process = self.process(container);
                process.starting = None;
                if *reason == WaitingReason::RunContainerError {
                    (process.ran, process.ended) = (Some(*attempt), Some(now));
                }
            }
            Event::Exited { container, attempt, .. } => {
                let now = self.time;
                let process = self.process(container);
                (process.starting, process.ran, process.ended) = (None, Some(*attempt), Some(now));
            }
            _ => {}
        }
        self.send(&event);
    }

    fn exit(&mut self, container: &str, attempt: u32) {
        let code = self.dice.pick(&[Some(0), Some(0), Some(1), Some(137), None]);
        let now = self.time;
        let role = self.container_spec(container).role;
        let sandbox = self.sandbox;
        let process = self.process(container);
        (process.running, process.ended) = (None, Some(now));
        self.condemned.remove(container);
        self.hooks.retain(|run, _| run.container != container);
        let process = self.process(container);
        if role != Role::Sidecar {
            process.done = role == Role::Init && sandbox && code == Some(0);
        }
        let event = Event::Exited {
            container: container.to_owned(),
            attempt,
            code,
            oom_killed: code == Some(137) && self.dice.percent(50),
            message: None,
        };
        self.echoes.push(event.clone());
        self.send(&event);
    }

    /// Runs the simulation for three months, or until the pod is gone or `steps` things have happened.
    fn live(&mut self, steps: usize) {
        self.send(&Event::Start);
        for _ in 0..steps {
            let deadline = self.state.next_deadline(&self.spec).map(|at| at + self.booted);
            let probe = self.schedule.next_deadline().map(|at| at + self.booted);
            let coming = self.queue.first_key_value().map(|((at, _), _)| *at);
            if let Some(at) = probe
                && deadline.into_iter().chain(coming).all(|other| at < other)
            {
                self.time = self.time.max(at);
                for run in self.schedule.take_due(&self.spec, self.now()) {
                    self.check_probe(&run);
                    let after = self.dice.below(10 * SECOND);
                    self.later(after, Coming::Probe(run));
                }
                continue;
            }
            match (deadline, coming) {
                (Some(at), coming) if coming.is_none_or(|c| at <= c) => {
                    self.time = self.time.max(at);
                    self.send(&Event::Tick);
                }
                (_, Some(_)) => {
                    let ((at, _), what) = self.queue.pop_first().unwrap();
                    self.time = self.time.max(at);
                    self.happen(what);
                }
                (_, None) => break,
            }
            if let Some((asked, deadline)) = self.stop {
                if self.state.is_gone() {
                    break;
                }
                assert!(self.time <= asked.max(deadline) + ANSWERS, "a stop ends");
            }
            if self.time > 90 * DAY {
                break;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_over_months_of_pod_life(
        seed in any::<u64>(),
        policy in prop::sample::select(vec![RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never]),
        init in 0_usize..4,
        app in 1_usize..4,
    ) {
        let mut world = World::new(seed, policy, init, app);
        world.live(4_000);
        // Whatever state the pod is in now, it can be stopped and is gone soon after.
        world.happen(Coming::Stop);
        world.live(2_000);
        prop_assert!(world.state.is_gone());
    }
}
