//! What came before what: the partial order of the steps of a run.
//!
//! Steps that commute may come in either order with the same result; a run stands for all runs
//! that differ in such orders alone (a Mazurkiewicz trace).

use crate::bits::Bits;
use crate::footprint::{Footprint, Relation};
use smmu_machine::ActorName;

/// A step of a run, and what could have been done instead.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Who took it.
    pub(crate) actor: ActorName,
    /// What it touched.
    pub(crate) print: Footprint,
    /// Who could have taken a step.
    pub(crate) enabled: Vec<ActorName>,
    /// Steps that it depends on, by their numbers: the transitive closure.
    pub(crate) before: Bits,
}

/// Works out what the last of `events` depends on. Gives the steps that it races with: it could
/// have come before each of them, with another result.
pub(crate) fn order_last(events: &mut [Event]) -> Vec<usize> {
    let Some((last, earlier)) = events.split_last_mut() else { return Vec::new() };
    let mut before = Bits::default();
    let depend = |on: usize, before: &mut Bits| {
        before.union(&earlier[on].before);
        before.insert(on);
    };
    if let Some(own) = earlier.iter().rposition(|event| event.actor == last.actor) {
        depend(own, &mut before);
    }
    let mut races = Vec::new();
    // Whatever let the actor take this step came before it.
    let cause = earlier.iter().rposition(|event| !event.enabled.contains(&last.actor));
    if let Some(cause) = cause.filter(|&cause| !before.contains(cause)) {
        races = blockers(earlier, last, cause, &before);
        depend(cause, &mut before);
    }
    for at in (0..earlier.len()).rev() {
        if before.contains(at) {
            continue;
        }
        match earlier[at].print.relation(&last.print) {
            Relation::Independent => continue,
            Relation::Ordered => {}
            Relation::Race => races.push(at),
        }
        depend(at, &mut before);
    }
    last.before = before;
    races
}

/// Steps without which `last` would not have had to wait for `cause`: who takes a lock, for him who
/// gives it back. It could have come before them.
fn blockers(earlier: &[Event], last: &Event, cause: usize, before: &Bits) -> Vec<usize> {
    let races = |at: usize| earlier[at].print.relation(&last.print) == Relation::Race;
    if !races(cause) {
        return Vec::new();
    }
    let led_to_it = (0..cause).filter(|&at| earlier[cause].before.contains(at));
    led_to_it.filter(|&at| !before.contains(at) && races(at)).collect()
}
