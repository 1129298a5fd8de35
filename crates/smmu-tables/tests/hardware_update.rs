//! How a walk makes its updates: the swap that it asks for, and what follows from the answer.
//! DDI 0487, "Hardware management of the Access flag and dirty state".

mod common;

use common::*;
use smmu_arch::*;
use smmu_tables::{UpdatingAnswer, UpdatingStep, UpdatingWalk, Walk, WalkAnswer, WalkStep};

const TOP: u64 = 0x1000;
const DBM: u64 = 1 << 51;
const LEAF: u64 = 0xb000 | DBM | UNPRIVILEGED | READ_ONLY | PAGE;

/// Stage 1 of one level: HA = HD = 1.
fn updating(big_endian: bool) -> Regime {
    let plain = stage1(root(TOP, 21, Granule::K4, 3));
    let stage1 = Stage1Regime { hardware_access: true, hardware_dirty: true, big_endian, ..plain };
    regime(Some(stage1), None)
}

/// A walk that was given the leaf, and what it asks for then.
fn up_to_leaf(regime: &Regime, access: Access, leaf: u64) -> (UpdatingWalk, UpdatingStep) {
    let mut walk = UpdatingWalk::new(Walk::new(regime, 0, access));
    walk.step(regime, UpdatingAnswer::Start);
    let step = walk.step(regime, UpdatingAnswer::Word(leaf));
    (walk, step)
}

const WHY: Why = Why::Descriptor { stage: Stage::Stage1, level: 3 };

#[test]
fn the_access_flag_and_dirty_state_are_set_by_one_swap() {
    let (regime, new) = (updating(false), LEAF & !READ_ONLY | AF);
    let (mut walk, step) = up_to_leaf(&regime, WRITE, LEAF);
    assert_eq!(step, UpdatingStep::Swap { pa: Pa(TOP), old: LEAF, new, why: WHY });
    assert_eq!(walk.step(&regime, UpdatingAnswer::Start), step, "it asks again");
    let UpdatingStep::Done(Ok(walked)) = walk.step(&regime, UpdatingAnswer::Swapped(LEAF)) else {
        panic!("the update was made");
    };
    assert!(walked.entry.permissions.allows(WRITE));
}

#[test]
fn a_big_endian_descriptor_is_swapped_as_memory_holds_it() {
    let (old, new) = (LEAF.swap_bytes(), (LEAF | AF).swap_bytes());
    let (_, step) = up_to_leaf(&updating(true), READ, old);
    assert_eq!(step, UpdatingStep::Swap { pa: Pa(TOP), old, new, why: WHY });
}

#[test]
fn an_entry_of_a_clean_page_does_not_let_write() {
    let (_, step) = up_to_leaf(&updating(false), READ, LEAF | AF);
    let UpdatingStep::Done(Ok(walked)) = step else { panic!("nothing is to be updated") };
    assert!(walked.entry.permissions.allows(READ) && !walked.entry.permissions.allows(WRITE));
}

#[test]
fn a_descriptor_that_changed_is_walked_again() {
    let regime = updating(false);
    let (mut walk, _) = up_to_leaf(&regime, READ, LEAF);
    let again = walk.step(&regime, UpdatingAnswer::Swapped(0));
    assert_eq!(again, UpdatingStep::Read { pa: Pa(TOP), why: WHY });
    let gone = walk.step(&regime, UpdatingAnswer::Word(0));
    assert!(matches!(gone, UpdatingStep::Done(Err(_))), "it was unmapped meanwhile");
}

#[test]
fn a_walk_ends_although_every_swap_finds_another_descriptor() {
    let regime = updating(false);
    let (mut walk, mut step) = up_to_leaf(&regime, READ, LEAF);
    for _ in 0..1000 {
        let answer = match step {
            UpdatingStep::Read { .. } => UpdatingAnswer::Word(LEAF),
            UpdatingStep::Swap { .. } => UpdatingAnswer::Swapped(LEAF | 1 << 55),
            UpdatingStep::Done(result) => return assert!(result.is_ok()),
        };
        step = walk.step(&regime, answer);
    }
    panic!("it goes on for ever");
}

#[test]
fn a_swap_that_aborts_is_an_external_abort_of_the_walk() {
    let regime = updating(false);
    let (mut walk, _) = up_to_leaf(&regime, READ, LEAF);
    let (stage, class) = (Stage::Stage1, FaultClass::Tt);
    let fault = Fault::WalkExternalAbort { stage, class, address: Pa(TOP) };
    let step = walk.step(&regime, UpdatingAnswer::Aborted);
    assert_eq!(step, UpdatingStep::Done(Err(fault)));
}

/// A plain walk takes updates as made.
#[test]
fn a_plain_walk_updates_nothing() {
    let regime = updating(false);
    let mut walk = Walk::new(&regime, 0, WRITE);
    walk.step(&regime, WalkAnswer::Start);
    let step = walk.step(&regime, WalkAnswer::Word(LEAF));
    assert!(matches!(step, WalkStep::Done(Ok(_))), "{step:?}");
}
