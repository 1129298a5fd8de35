//! The checker against scripts: what happened, line by line, and what it has to say about it.

mod adversary;
mod blame;
mod broadcast;
mod configuration;
mod counters;
mod script;
mod tags;
mod translations;

use script::World;

/// Runs a script and compares the verdicts, one line each: blame, cause, stream, IOVA, then the
/// missing commands.
#[track_caller]
fn check(script: &str, expected: &[&str]) {
    assert_eq!(World::run(script).summaries(), expected);
}

/// Runs a script that holds no bug, and in which this many uses were stale.
#[track_caller]
fn legal(script: &str, stale: u64) {
    let world = World::run(script);
    assert_eq!(world.summaries(), [""; 0]);
    let counters = world.counters();
    assert_eq!(counters.stale_legal + counters.refusals_legal, stale);
}
