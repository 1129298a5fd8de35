//! Every order of the steps, but one of each kind: a depth-first search by running again.
//!
//! Dynamic partial-order reduction with source sets and sleep sets, after Abdulla, Aronis,
//! Jonsson and Sagonas, "Source sets: a foundation for optimal dynamic partial order reduction"
//! (2014). Runs that differ in the order of independent steps alone are made once.

use crate::footprint::{Footprint, Relation};
use crate::trace::{Event, order_last};
use crate::trial::{Failure, FailureKind, Outcome, Setup};
use smmu_machine::ActorName;

/// Runs behind a forbidden outcome, in which the checker may find what command is missing.
const MORE: u64 = 2000;

/// What a search came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exhaustion {
    /// Runs to their end.
    pub(crate) runs: u64,
    /// Runs that were given up: all that they could still do was seen in others.
    pub(crate) redundant: u64,
    /// Steps of all runs.
    pub(crate) steps: u64,
    /// Nothing is left to be tried.
    pub(crate) complete: bool,
    /// For each rule of the test, whether some run met it.
    pub(crate) met: Vec<bool>,
    /// The run that failed, with what is wrong.
    pub(crate) failed: Option<(Vec<Event>, Outcome)>,
}

/// A state on the way, and what is left to be tried there.
struct Node {
    /// Actors whose step is to be tried, those that were included.
    todo: Vec<ActorName>,
    /// Actors whose step was tried, or need not be.
    asleep: Vec<(ActorName, Footprint)>,
}

struct Search<'s> {
    setup: &'s Setup,
    events: Vec<Event>,
    nodes: Vec<Node>,
    found: Exhaustion,
    /// Runs after which a failure is told that the checker has nothing to say about.
    enough: u64,
}

enum Ended {
    Completely,
    Redundantly,
    Badly(Outcome),
}

/// Tries every order, up to a number of runs. `progress` is told of runs now and then.
pub(crate) fn exhaust(setup: &Setup, bound: u64, progress: &mut dyn FnMut(u64)) -> Exhaustion {
    let met = vec![false; setup.litmus.rules.len()];
    let found = Exhaustion { met, ..Exhaustion::default() };
    let mut search =
        Search { setup, events: Vec::new(), nodes: Vec::new(), found, enough: u64::MAX };
    loop {
        let from = search.events.len();
        match search.run() {
            Ended::Badly(outcome) => {
                search.found.runs += 1;
                if search.fail(outcome) {
                    return search.found;
                }
            }
            Ended::Completely => search.found.runs += 1,
            Ended::Redundantly => search.found.redundant += 1,
        }
        let tried = search.found.runs + search.found.redundant;
        if tried.is_multiple_of(256) {
            progress(tried);
        }
        search.race(from.saturating_sub(1));
        if !search.backtrack() {
            search.found.complete = search.found.failed.is_none();
            return search.found;
        }
        if tried >= bound.min(search.enough) {
            return search.found;
        }
    }
}

impl Search<'_> {
    /// A run has failed; `true` if there is nothing better to be found. A verdict of the checker
    /// is: it names the command that is missing.
    fn fail(&mut self, outcome: Outcome) -> bool {
        let is_verdict = |outcome: &Outcome| {
            matches!(&outcome.failure, Some(Failure { kind: FailureKind::Verdict(_), .. }))
        };
        let done = is_verdict(&outcome);
        if done || self.found.failed.is_none() {
            self.found.failed = Some((self.events.clone(), outcome));
            self.enough = self.found.runs + self.found.redundant + MORE;
        }
        done
    }

    /// Makes the steps that were chosen, and goes on to the end.
    fn run(&mut self) -> Ended {
        let mut trial = self.setup.start();
        let mut ready = Vec::new();
        let chosen = self.events.len();
        for depth in 0.. {
            trial.ready(&mut ready);
            if depth >= chosen {
                if ready.is_empty() {
                    break;
                }
                let Some(actor) = self.descend(&ready) else { return Ended::Redundantly };
                let (enabled, print) = (ready.clone(), Footprint::default());
                self.events.push(Event { actor, print, enabled, before: Default::default() });
            }
            let (_, print) = trial.turn(self.events[depth].actor);
            self.events[depth].print = print;
            self.found.steps += 1;
            if trial.verdict().is_some() {
                return Ended::Badly(trial.outcome(false));
            }
        }
        let outcome = trial.outcome(true);
        for (met, now) in self.found.met.iter_mut().zip(&outcome.met) {
            *met |= now;
        }
        if outcome.failure.is_some() { Ended::Badly(outcome) } else { Ended::Completely }
    }

    /// A new state: who is asleep there, and who takes the first step. `None` where all that can
    /// are asleep.
    fn descend(&mut self, ready: &[ActorName]) -> Option<ActorName> {
        let asleep = match (self.nodes.last(), self.events.last()) {
            (Some(above), Some(event)) => {
                let sleeps = |(actor, print): &&(ActorName, Footprint)| {
                    *actor != event.actor && print.relation(&event.print) == Relation::Independent
                };
                above.asleep.iter().filter(sleeps).cloned().collect()
            }
            _ => Vec::new(),
        };
        let is_awake = |actor: &ActorName| !is_in(&asleep, *actor);
        // Who went on goes on: fewer changes between actors.
        let last = self.events.last().map(|event| event.actor);
        let same = last.filter(|last| ready.contains(last) && is_awake(last));
        let actor = same.or_else(|| ready.iter().copied().find(is_awake))?;
        self.nodes.push(Node { todo: vec![actor], asleep });
        Some(actor)
    }

    /// Works out the order of the steps from `first` on. Where two could have come in the other
    /// order, that is to be tried.
    fn race(&mut self, first: usize) {
        for at in first..self.events.len() {
            for other in order_last(&mut self.events[..=at]) {
                self.reverse(other, at);
            }
        }
    }

    /// Step `late` is to come before step `early`, and with it all that `early` has no part in.
    fn reverse(&mut self, early: usize, late: usize) {
        let depends = |at: usize| self.events[at].before.contains(early);
        let suffix: Vec<usize> =
            (early + 1..late).filter(|&at| !depends(at)).chain([late]).collect();
        let is_initial =
            |at: &&usize| suffix.iter().all(|before| !self.events[**at].before.contains(*before));
        let mut initials = suffix.iter().filter(is_initial).map(|&at| self.events[at].actor);
        let node = &self.nodes[early];
        let known = |actor: ActorName| node.todo.contains(&actor) || is_in(&node.asleep, actor);
        if initials.clone().any(known) {
            return;
        }
        let enabled = &self.events[early].enabled;
        let next = initials.find(|actor| enabled.contains(actor));
        match next {
            Some(actor) => self.nodes[early].todo.push(actor),
            // It could not be told who has to go first: everybody is tried.
            None => self.nodes[early].todo = enabled.clone(),
        }
    }

    /// Goes back to the last state where something is left to be tried, and chooses it.
    fn backtrack(&mut self) -> bool {
        while let (Some(node), Some(event)) = (self.nodes.last_mut(), self.events.last_mut()) {
            if !is_in(&node.asleep, event.actor) {
                node.asleep.push((event.actor, std::mem::take(&mut event.print)));
            }
            if let Some(&next) = node.todo.iter().find(|actor| !is_in(&node.asleep, **actor)) {
                event.actor = next;
                return true;
            }
            self.nodes.pop();
            self.events.pop();
        }
        false
    }
}

fn is_in(asleep: &[(ActorName, Footprint)], actor: ActorName) -> bool {
    asleep.iter().any(|(sleeps, _)| *sleeps == actor)
}
