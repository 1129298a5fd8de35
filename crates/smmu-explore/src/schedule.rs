//! Schedules: drawn at random, made again, made shorter.

use crate::bits::Bits;
use crate::exhaust::Exhaustion;
use crate::trace::{Event, order_last};
use crate::trial::{Failure, Outcome, Setup, Trial};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rustc_hash::FxHashMap;
use smmu_machine::{ActorName, Turn};

/// Steps that a run of PCT is taken to have, for the choice of its change points.
const STEPS: usize = 256;
/// Change points of a run of PCT: it finds bugs that take so many orders, and one more.
const CHANGES: usize = 3;
/// Walks that the number of all orders is estimated from.
const WALKS: u64 = 64;

/// A schedule that somebody asks for and that cannot be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("step {step} is of `{actor}`, which cannot take a step then: {ready} can")]
pub struct Impossible {
    /// The step, from 1.
    pub step: usize,
    /// Who was to take it.
    pub actor: String,
    /// Who could have.
    pub ready: String,
}

/// Runs a number of schedules drawn from a seed: half of them uniformly, half by PCT
/// (probabilistic concurrency testing, Burckhardt and others, 2010).
pub(crate) fn sample(setup: &Setup, count: u64, seed: u64, found: &mut Exhaustion) -> u64 {
    for number in 0..count {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9));
        let mut priorities = (number % 2 == 0).then(|| Priorities::new(&mut rng));
        let (events, outcome) = run(setup, &mut |at, ready| match &mut priorities {
            Some(priorities) => priorities.choose(&mut rng, at, ready),
            None => ready[rng.random_range(0..ready.len())],
        });
        found.steps += events.len() as u64;
        for (met, now) in found.met.iter_mut().zip(&outcome.met) {
            *met |= now;
        }
        if outcome.failure.is_some() {
            found.failed = Some((events, outcome));
            return number + 1;
        }
    }
    count
}

/// Actors by priority: the highest that can goes on. At its change points a run lowers the one
/// that is about to step below all others.
struct Priorities {
    of: FxHashMap<ActorName, u64>,
    changes: Vec<usize>,
}

impl Priorities {
    fn new(rng: &mut impl Rng) -> Self {
        let changes = (0..CHANGES).map(|_| rng.random_range(0..STEPS)).collect();
        Self { of: FxHashMap::default(), changes }
    }

    fn choose(&mut self, rng: &mut impl Rng, at: usize, ready: &[ActorName]) -> ActorName {
        for &actor in ready {
            self.of.entry(actor).or_insert_with(|| rng.random_range(CHANGES as u64..u64::MAX));
        }
        let highest = |of: &FxHashMap<ActorName, u64>| {
            ready.iter().copied().max_by_key(|actor| (of[actor], *actor)).unwrap_or(ready[0])
        };
        if let Some(change) = self.changes.iter().position(|&change| change == at) {
            let lowered = highest(&self.of);
            self.of.insert(lowered, change as u64);
        }
        highest(&self.of)
    }
}

/// One run, whose steps somebody chooses.
fn run(
    setup: &Setup,
    choose: &mut dyn FnMut(usize, &[ActorName]) -> ActorName,
) -> (Vec<Event>, Outcome) {
    let mut trial = setup.start();
    let (mut events, mut ready) = (Vec::new(), Vec::new());
    loop {
        trial.ready(&mut ready);
        if ready.is_empty() {
            return (events, trial.outcome(true));
        }
        let actor = choose(events.len(), &ready);
        let (_, print) = trial.turn(actor);
        events.push(Event { actor, print, enabled: ready.clone(), before: Bits::default() });
        if trial.verdict().is_some() {
            return (events, trial.outcome(false));
        }
    }
}

/// log10 of the number of orders of the steps, estimated by random walks (Knuth, 1975): the mean
/// of the products of the numbers of choices.
pub(crate) fn orders_log10(setup: &Setup) -> f64 {
    let walk = |number| {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(number);
        let (events, _) = run(setup, &mut |_, ready| ready[rng.random_range(0..ready.len())]);
        events.iter().map(|event| (event.enabled.len() as f64).log10()).sum::<f64>()
    };
    let walks: Vec<f64> = (0..WALKS).map(walk).collect();
    let most = walks.iter().copied().fold(0.0, f64::max);
    let sum: f64 = walks.iter().map(|walk| 10f64.powf(walk - most)).sum();
    most + (sum / WALKS as f64).log10()
}

/// The steps of a schedule, and what it comes to.
pub(crate) fn follow(
    setup: &Setup,
    schedule: &[ActorName],
) -> Result<(Vec<Turn>, Outcome), Impossible> {
    let mut trial = setup.start();
    let (mut turns, mut ready) = (Vec::new(), Vec::new());
    for (at, &actor) in schedule.iter().enumerate() {
        trial.ready(&mut ready);
        if !ready.contains(&actor) {
            return Err(impossible(at, &actor.to_string(), &ready));
        }
        turns.push(trial.turn(actor).0);
    }
    Ok((turns, end(&mut trial)))
}

fn end(trial: &mut Trial<'_>) -> Outcome {
    let mut ready = Vec::new();
    trial.ready(&mut ready);
    trial.outcome(ready.is_empty())
}

pub(crate) fn impossible(at: usize, actor: &str, ready: &[ActorName]) -> Impossible {
    let names: Vec<String> = ready.iter().map(ToString::to_string).collect();
    let ready = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    Impossible { step: at + 1, actor: actor.to_owned(), ready }
}

/// The names of a schedule that was written down.
pub(crate) fn read(setup: &Setup, names: &[String]) -> Result<Vec<ActorName>, Impossible> {
    let mut trial = setup.start();
    let (mut schedule, mut ready) = (Vec::new(), Vec::new());
    for (at, name) in names.iter().enumerate() {
        trial.ready(&mut ready);
        let known = ready.iter().copied().find(|actor| actor.to_string() == *name);
        let actor = known.ok_or_else(|| impossible(at, name, &ready))?;
        trial.turn(actor);
        schedule.push(actor);
    }
    Ok(schedule)
}

/// The shortest schedule found that fails alike: only steps that the failure depends on, with as
/// few changes between actors as a greedy choice gives.
pub(crate) fn shrink(setup: &Setup, mut events: Vec<Event>, failure: &Failure) -> Vec<ActorName> {
    let all: Vec<ActorName> = events.iter().map(|event| event.actor).collect();
    for at in 0..events.len() {
        let _ = order_last(&mut events[..=at]);
    }
    let mut needed = Bits::default();
    for &step in &failure.steps {
        needed.union(&events[step].before);
        needed.insert(step);
    }
    let cone: Vec<usize> = (0..events.len()).filter(|&at| needed.contains(at)).collect();
    let fails = |schedule: &[ActorName]| {
        let outcome = follow(setup, schedule).ok().and_then(|(_, outcome)| outcome.failure);
        outcome.is_some_and(|found| found.kind.is_like(&failure.kind))
    };
    let in_order: Vec<ActorName> = cone.iter().map(|&at| events[at].actor).collect();
    let candidates = [few_changes(&events, &cone), in_order];
    candidates.into_iter().find(|schedule| fails(schedule)).unwrap_or(all)
}

/// The steps in an order that their dependences allow: always as many of one actor as can be.
fn few_changes(events: &[Event], cone: &[usize]) -> Vec<ActorName> {
    let mut left = cone.to_vec();
    let mut schedule = Vec::new();
    while !left.is_empty() {
        let mut actors: Vec<ActorName> = left.iter().map(|&at| events[at].actor).collect();
        actors.sort_unstable();
        actors.dedup();
        let runs = actors.iter().map(|&actor| run_of(events, &left, actor));
        // The first of the longest: the order does not depend on anything else.
        let best = runs.rev().max_by_key(Vec::len).unwrap_or_default();
        if best.is_empty() {
            break;
        }
        schedule.extend(best.iter().map(|&at| events[at].actor));
        left.retain(|at| !best.contains(at));
    }
    schedule
}

/// Steps of an actor that can be taken one after the other now.
fn run_of(events: &[Event], left: &[usize], actor: ActorName) -> Vec<usize> {
    let mut taken: Vec<usize> = Vec::new();
    for &at in left.iter().filter(|&&at| events[at].actor == actor) {
        let before = &events[at].before;
        if left.iter().any(|&other| before.contains(other) && !taken.contains(&other)) {
            break;
        }
        taken.push(at);
    }
    taken
}
