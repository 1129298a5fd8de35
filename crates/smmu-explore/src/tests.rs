//! The reduction, held against schedules that nothing was left out of.

use crate::exhaust::{Exhaustion, exhaust};
use crate::litmus::Litmus;
use crate::schedule::sample;
use crate::trial::Setup;

/// Outcomes by every schedule, and by many drawn ones.
fn outcomes(text: &str) -> (Vec<bool>, Vec<bool>) {
    let litmus = Litmus::parse("test.litmus", text).unwrap();
    let setup = Setup::new(&litmus, None);
    let all = exhaust(&setup, 100_000, &mut |_| ());
    assert!(all.complete && all.failed.is_none());
    let met = vec![false; litmus.rules.len()];
    let mut drawn = Exhaustion { met, ..Exhaustion::default() };
    sample(&setup, 3000, 1, &mut drawn);
    (all.met, drawn.met)
}

const REMAP: &str = "
    page A, B
    space S asid 1 { map 0x1000 -> A }
    device nic uses S
    cpu {
        store pte[S, 0x1000] = invalid
        tlbi va 0x1000 asid 1
        sync
        store pte[S, 0x1000] = B
        wmb
        free A
    }
    dma d nic { write 0x1000 }
    allow d -> A
    allow d -> B
    allow d faults
";

#[test]
fn every_outcome_that_is_drawn_is_explored() {
    let (explored, drawn) = outcomes(REMAP);
    assert_eq!(explored, drawn);
    assert_eq!(explored, [true; 3]);
}
