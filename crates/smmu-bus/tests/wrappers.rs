//! Memory that tells, memory that breaks.

use proptest::prelude::*;
use smmu_arch::Pa;
use smmu_bus::{Aborted, Faulting, Memory, Ram, Recording, StoreListener};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
struct Log(RefCell<Vec<(u64, u64, u64)>>);

impl StoreListener for Log {
    fn stored(&self, pa: Pa, old: u64, new: u64) {
        self.0.borrow_mut().push((pa.0, old, new));
    }
}

fn ram() -> Ram {
    Ram::new([(Pa(0x1000), 0x1000)]).unwrap()
}

#[test]
fn every_word_stored_is_told_with_what_it_replaced() {
    let log = Rc::new(Log::default());
    let memory = Recording::new(ram(), Rc::clone(&log));
    memory.write_word(Pa(0x1003), 1).unwrap();
    memory.write_word(Pa(0x1000), 1).unwrap();
    memory.write_words(Pa(0x1008), &[2, 3]).unwrap();
    memory.write_masked(Pa(0x1010), 0xf0, 0xf0).unwrap();
    memory.write_bytes(Pa(0x1017), &[1, 1]).unwrap();
    let told = [
        (0x1000, 0, 1),
        (0x1000, 1, 1),
        (0x1008, 0, 2),
        (0x1010, 0, 3),
        (0x1010, 3, 0xf3),
        (0x1010, 0xf3, 0x0100_0000_0000_00f3),
        (0x1018, 0, 1),
    ];
    assert_eq!(*log.0.borrow(), told);
    assert_eq!(memory.read_words::<4>(Pa(0x1000)), Ok([1, 2, 0x0100_0000_0000_00f3, 1]));
}

#[test]
fn a_compare_and_swap_is_told_only_if_it_stored() {
    let memory = Recording::new(ram(), Log::default());
    assert_eq!(memory.compare_and_swap(Pa(0x1000), 5, 6), Ok(0));
    assert_eq!(memory.compare_and_swap(Pa(0x1000), 0, 6), Ok(0));
    assert_eq!(*memory.listener().0.borrow(), [(0x1000, 0, 6)]);
}

#[test]
fn reads_aborts_and_stores_behind_are_not_told() {
    let memory = Recording::new(ram(), Log::default());
    assert_eq!(memory.write_word(Pa(0x2000), 1), Err(Aborted(Pa(0x2000))));
    assert_eq!(memory.compare_and_swap(Pa(0x2000), 0, 1), Err(Aborted(Pa(0x2000))));
    memory.memory().write_word(Pa(0x1000), 4).unwrap();
    assert_eq!(memory.read_word(Pa(0x1000)), Ok(4));
    assert_eq!(*memory.listener().0.borrow(), []);
}

#[test]
fn stores_of_two_threads_are_told_exactly() {
    /// Adds up what each store changed: the sum is the last value, if each `old` is right.
    #[derive(Default)]
    struct Sum(AtomicU64);
    impl StoreListener for Sum {
        fn stored(&self, _: Pa, old: u64, new: u64) {
            self.0.fetch_add(new.wrapping_sub(old), Ordering::Relaxed);
        }
    }
    let memory = Recording::new(ram(), Sum::default());
    std::thread::scope(|threads| {
        for thread in 0..2 {
            let memory = &memory;
            threads.spawn(move || {
                for value in 0..20_000 {
                    memory.write_word(Pa(0x1000), value * 2 + thread).unwrap();
                }
            });
        }
    });
    let sum = memory.listener().0.load(Ordering::Relaxed);
    assert_eq!(Ok(sum), memory.read_word(Pa(0x1000)));
}

#[test]
fn a_failed_range_aborts_every_access_until_repaired() {
    let memory = Faulting::new(ram());
    memory.write_word(Pa(0x1010), 9).unwrap();
    memory.fail(Pa(0x1010), 8);
    assert_eq!(memory.read_word(Pa(0x1010)), Err(Aborted(Pa(0x1010))));
    assert_eq!(memory.write_word(Pa(0x1017), 1), Err(Aborted(Pa(0x1017))));
    assert_eq!(memory.compare_and_swap(Pa(0x1010), 9, 1), Err(Aborted(Pa(0x1010))));
    assert_eq!(memory.read_words::<8>(Pa(0x1000)), Err(Aborted(Pa(0x1010))));
    assert_eq!(memory.read_word(Pa(0x1008)), Ok(0));
    assert_eq!(memory.read_word(Pa(0x1018)), Ok(0));
    assert_eq!(memory.memory().read_word(Pa(0x1010)), Ok(9));
    memory.repair(Pa(0x1010), 8);
    assert_eq!(memory.read_word(Pa(0x1010)), Ok(9), "nothing was lost or written meanwhile");
}

#[test]
fn one_failed_byte_fails_its_word_and_no_byte_fails_nothing() {
    let memory = Faulting::new(ram());
    memory.fail(Pa(0x1000), 0);
    assert_eq!(memory.read_word(Pa(0x1000)), Ok(0));
    memory.fail(Pa(0x1005), 1);
    assert_eq!(memory.read_word(Pa(0x1000)), Err(Aborted(Pa(0x1000))));
}

#[test]
fn a_failed_range_ends_at_the_last_address() {
    let memory = Faulting::new(ram());
    memory.fail(Pa(0x1800), u64::MAX);
    assert!(memory.read_word(Pa(0x1ff8)).is_err());
    assert_eq!(memory.read_word(Pa(0x17f8)), Ok(0));
    memory.repair_all();
    assert_eq!(memory.read_word(Pa(0x1ff8)), Ok(0));
}

proptest! {
    /// Failed and repaired spans of words against one flag a word.
    #[test]
    fn a_word_aborts_if_it_was_failed_last(
        edits in prop::collection::vec((any::<bool>(), 0u64..512, 0u64..64), 1..30),
    ) {
        let memory = Faulting::new(ram());
        let mut broken = [false; 512];
        for (fail, at, words) in edits {
            let (first, bytes) = (Pa(0x1000 + at * 8), words * 8);
            if fail { memory.fail(first, bytes) } else { memory.repair(first, bytes) }
            let end = (at + words).min(512) as usize;
            broken[at as usize..end].fill(fail);
            for (word, &broken) in (0u64..).zip(&broken) {
                prop_assert_eq!(memory.read_word(Pa(0x1000 + word * 8)).is_err(), broken);
            }
        }
    }
}
