//! The reduction, held against schedules that nothing was left out of.

use crate::exhaust::{Exhaustion, exhaust};
use crate::litmus::Litmus;
use crate::schedule::{follow, read, sample};
use crate::trial::Setup;
use std::path::Path;

/// Schedules that are drawn for each test.
const DRAWN: u64 = 500;

fn library() -> Vec<(String, Litmus)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/litmus");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let parse = |path: std::path::PathBuf| {
        let (name, text) = (path.display().to_string(), std::fs::read_to_string(&path).unwrap());
        let litmus = Litmus::parse(&name, &text).unwrap();
        (name, litmus)
    };
    files.map(parse).collect()
}

/// What schedules drawn from a seed come to.
fn drawn(setup: &Setup, count: u64) -> Exhaustion {
    let met = vec![false; setup.litmus.rules.len()];
    let mut found = Exhaustion { met, ..Exhaustion::default() };
    sample(setup, count, 1, &mut found);
    found
}

#[test]
fn no_drawn_schedule_has_an_outcome_that_was_not_explored() {
    for (name, litmus) in library() {
        let setup = Setup::new(&litmus, None);
        let explored = exhaust(&setup, 100_000, &mut |_| ());
        let drawn = drawn(&setup, DRAWN);
        assert!(explored.complete && drawn.failed.is_none(), "{name}");
        let lost = drawn.met.iter().zip(&explored.met).position(|(drawn, met)| *drawn && !met);
        assert_eq!(lost, None, "{name}: the rule that only a drawn schedule met");
    }
}

#[test]
fn a_lock_is_tried_in_both_orders() {
    let text = "
        page A, B, C
        space S asid 1 { map 0x1000 -> A }
        device nic uses S
        cpu { lock L; store pte[S, 0x1000] = B; wmb; unlock L }
        cpu { lock L; store pte[S, 0x1000] = C; wmb; unlock L }
        dma d nic { read 0x1000 }
        allow d -> A
        allow d -> B
        allow d -> C
    ";
    let setup = Setup::new(&Litmus::parse("lock.litmus", text).unwrap(), None);
    assert_eq!(exhaust(&setup, 100_000, &mut |_| ()).met, [true; 3]);
}

#[test]
fn a_schedule_that_fails_does_so_again() {
    for (name, litmus) in library() {
        let setup = Setup::new(&litmus.broken(0).unwrap(), None);
        let (events, outcome) = exhaust(&setup, 100_000, &mut |_| ()).failed.expect(&name);
        let names: Vec<_> = events.iter().map(|event| event.actor.to_string()).collect();
        let schedule = read(&setup, &names).unwrap();
        let (_, again) = follow(&setup, &schedule).unwrap();
        let (first, again) = (outcome.failure.unwrap(), again.failure.expect(&name));
        assert!(first.kind.is_like(&again.kind), "{name}");
    }
}

/// Every order of two stores of a CPU, as a device sees them.
fn orders(memory: &str) -> Vec<bool> {
    let text = format!(
        "memory {memory}
        page A, B
        space S asid 1 {{ }}
        device nic uses S
        cpu {{ store pte[S, 0x1000] = A; store pte[S, 0x2000] = B }}
        dma d nic {{ read 0x2000; read 0x1000 }}
        allow d.0 -> B and d.1 faults
        allow d.0 faults and d.1 -> A"
    );
    let setup = Setup::new(&Litmus::parse("order.litmus", &text).unwrap(), None);
    exhaust(&setup, 100_000, &mut |_| ()).met
}

#[test]
fn stores_to_two_words_are_seen_in_any_order_on_arm_alone() {
    assert_eq!(orders("sc"), [false, true]);
    assert_eq!(orders("tso"), [false, true]);
    assert_eq!(orders("arm"), [true, true]);
}
