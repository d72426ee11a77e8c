//! Checks invariants of Deployments in random simulations: pods fail, start slowly and terminate slowly, specs change
//! in the middle of a rollout, and crashes occur between a decision and its actions.

use proptest::prelude::*;

use super::{
    Counts, Event, IntOrPercent, PodStatus, Replicas, Rule, State, World, rolling, rule, set_template,
};

/// An occurrence of the simulation.
#[derive(Debug, Clone)]
enum Happening {
    Update(u8),
    Scale(u32),
    Pause(bool),
    Strategy(Option<(IntOrPercent, IntOrPercent)>),
    Replace,
    Run(bool),
    /// A pod becomes Ready.
    Ready(usize),
    Unready(usize),
    Ends(usize),
    Cost(usize, i32),
    Restarts(usize),
    /// A terminating pod is gone.
    Gone(usize),
    Wait(i64),
    Takeover,
    /// Only this many actions of the next step are carried out, and the state of that step is saved or not.
    Crash {
        actions: usize,
        saved: bool,
    },
}

fn amount() -> impl Strategy<Value = IntOrPercent> {
    prop_oneof![(0u32..4).prop_map(IntOrPercent::Int), (0u32..=100).prop_map(IntOrPercent::Percent)]
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    prop_oneof![
        3 => (0u8..4).prop_map(Update),
        2 => (0u32..9).prop_map(Scale),
        1 => any::<bool>().prop_map(Pause),
        1 => proptest::option::of((amount(), amount())).prop_map(Happening::Strategy),
        1 => Just(Replace),
        1 => any::<bool>().prop_map(Run),
        12 => (0usize..32).prop_map(Ready),
        2 => (0usize..32).prop_map(Unready),
        2 => (0usize..32).prop_map(Ends),
        1 => (0usize..32, -3..3).prop_map(|(pod, cost)| Cost(pod, cost)),
        1 => (0usize..32).prop_map(Restarts),
        8 => (0usize..32).prop_map(Gone),
        3 => (0i64..700).prop_map(Wait),
        1 => Just(Takeover),
        2 => (0usize..6, any::<bool>()).prop_map(|(actions, saved)| Crash { actions, saved }),
    ]
}

impl World {
    fn nth(&mut self, index: usize) -> Option<&mut PodStatus> {
        let length = self.pods.len();
        (length > 0).then(|| &mut self.pods[index % length])
    }

    fn happens(&mut self, what: &Happening) -> Event {
        let now = self.now();
        let running = self.spec.running;
        match what {
            Happening::Update(letter) => {
                let hash = char::from(b'a' + letter).to_string();
                set_template(&mut self.spec, &hash);
            }
            Happening::Replace => self.spec.replaced += 1,
            Happening::Run(running) => self.spec.running = *running,
            Happening::Scale(_) | Happening::Pause(_) | Happening::Strategy(_) => {
                let Rule::Replicas(rule) = &mut self.spec.rule else { unreachable!() };
                match what {
                    Happening::Scale(count) => rule.count = *count,
                    Happening::Pause(paused) => rule.paused = *paused,
                    Happening::Strategy(None) => rule.strategy = super::Strategy::Recreate,
                    Happening::Strategy(Some((surge, unavailable))) => {
                        rule.strategy = rolling(*surge, *unavailable);
                    }
                    _ => {}
                }
            }
            Happening::Wait(seconds) => {
                self.time += seconds;
                return Event::Tick;
            }
            Happening::Takeover => return Event::Applied,
            Happening::Crash { .. } => return Event::PodsChanged,
            Happening::Gone(index) => {
                if let Some(pod) = self.nth(*index).filter(|pod| pod.terminating) {
                    let uid = pod.uid.clone();
                    self.pods.retain(|pod| pod.uid != uid);
                }
                return Event::PodsChanged;
            }
            Happening::Ready(index)
            | Happening::Unready(index)
            | Happening::Ends(index)
            | Happening::Restarts(index)
            | Happening::Cost(index, _) => {
                let Some(pod) = self.nth(*index) else { return Event::PodsChanged };
                match what {
                    Happening::Ready(_) if pod.should_run && !pod.has_ended && running => {
                        pod.is_started = true;
                        pod.ready_since = pod.ready_since.or(Some(now));
                    }
                    Happening::Unready(_) => pod.ready_since = None,
                    Happening::Ends(_) if pod.is_started => {
                        pod.ready_since = None;
                        pod.has_ended = true;
                    }
                    Happening::Restarts(_) => pod.restarts += 1,
                    Happening::Cost(_, cost) => pod.deletion_cost = *cost,
                    _ => {}
                }
                return Event::PodsChanged;
            }
        }
        self.spec.generation += 1;
        Event::Applied
    }

    fn total(&self) -> u32 {
        u32::try_from(self.pods.iter().filter(|pod| pod.is_active()).count()).unwrap()
    }

    fn available(&self) -> u32 {
        Counts::new(&self.spec, &self.pods, self.now()).available
    }

    /// Scaling deletes pods in proportion, whether they are available or not.
    fn is_scaling(&self) -> bool {
        let rule = self.rule();
        self.state.revisions.iter().any(|r| r.replicas > 0 && r.desired_replicas != rule.count)
    }

    /// Takes a step, carries out its actions and checks the invariants.
    fn checked_step(&mut self, event: Event, crash: Option<(usize, bool)>) {
        let (total, available, is_scaling) = (self.total(), self.available(), self.is_scaling());
        let before = self.state.clone();
        let wanted = before.revisions.iter().map(|revision| revision.replicas).sum();
        let mut actions = self.decide(event);
        if self.spec.generation.is_multiple_of(8) {
            let text = serde_json::to_string(&self.state).unwrap();
            assert_eq!(serde_json::from_str::<State>(&text).unwrap(), self.state);
        }
        if let Some((done, saved)) = crash {
            actions.truncate(done);
            if !saved {
                self.state = before;
            }
        }
        self.carry_out(&actions);

        let rule = self.rule();
        // If the strategy became stricter, surplus pods that the previous one allowed are not deleted, but none are
        // added either.
        let most = total.max(wanted).max(rule.max_total());
        assert!(self.total() <= most, "more than count + maxSurge");
        let is_rolling = matches!(rule.strategy, super::Strategy::RollingUpdate { .. });
        if is_rolling && self.spec.running && !rule.paused && !is_scaling {
            let expected = available.min(rule.min_available());
            assert!(self.available() >= expected, "fewer than count - maxUnavailable are available");
        }
        if crash.is_none() {
            let decided = self.decide(Event::PodsChanged);
            assert_eq!(decided, [], "a second step finds something to do");
            let state = self.state.clone();
            assert_eq!(self.decide(Event::PodsChanged), []);
            assert_eq!(self.state, state, "a further step changes the state");
            assert_eq!(state.observed_generation, self.spec.generation);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_deployment_keeps_its_bounds_and_converges(
        count in 0u32..9,
        surge in amount(),
        unavailable in amount(),
        min_ready_seconds in prop_oneof![3 => Just(0u32), 1 => 1u32..100],
        deadline in proptest::option::of(101u32..700),
        revision_history_limit in 0u32..4,
        happenings in prop::collection::vec(happening(), 0..40),
    ) {
        let rule = Replicas {
            strategy: rolling(surge, unavailable),
            min_ready_seconds,
            progress_deadline_seconds: deadline,
            revision_history_limit,
            ..rule(count)
        };
        let mut world = World::new(Rule::Replicas(rule));
        world.checked_step(Event::Applied, None);
        for what in &happenings {
            let event = world.happens(what);
            let crash = match what {
                Happening::Crash { actions, saved } => Some((*actions, *saved)),
                _ => None,
            };
            world.checked_step(event, crash);
        }
        // From now on no pod fails and nothing crashes.
        world.change_rule(|rule| rule.paused = false);
        world.apply(|spec| spec.running = true);
        world.finish();
        let counts = Counts::new(&world.spec, &world.pods, world.now());
        prop_assert!(counts.is_complete(&world.spec), "{counts:?}");
        prop_assert_eq!(counts.terminating, 0);
        prop_assert_eq!(world.state.available.as_ref().unwrap().status, Some(true));
        if deadline.is_some() {
            prop_assert_eq!(world.progressing(), "NewReplicaSetAvailable");
        }
        let numbers: Vec<u64> = world.state.revisions.iter().map(|revision| revision.number).collect();
        prop_assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        prop_assert!(numbers.len() <= revision_history_limit as usize + 1);
        prop_assert_eq!(world.state.current(&world.spec).unwrap().replicas, world.rule().count);
    }

    #[test]
    fn there_is_always_exactly_one_pod(happenings in prop::collection::vec(happening(), 0..40)) {
        let mut world = World::new(Rule::Once);
        for what in happenings {
            if matches!(what, Happening::Scale(_) | Happening::Pause(_) | Happening::Strategy(_)) {
                continue;
            }
            let event = world.happens(&what);
            world.step(event);
            prop_assert_eq!(world.pods.iter().filter(|pod| !pod.terminating).count(), 1);
            prop_assert_eq!(world.step(Event::PodsChanged), []);
            prop_assert!(world.state.revisions.is_empty());
        }
    }
}
