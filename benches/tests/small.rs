//! Every row with few operations: the results are what the mappings call for, by Smmulator and by
//! its peer, and every row does the work that its name says.

use smmu_cache::TlbGeometry;
use smmulator_benches::counting::Counting;
use smmulator_benches::layout::Stages;
use smmulator_benches::machine::Plan;
use smmulator_benches::workloads::{AtRandom, InTurn, Translate};
use smmulator_benches::{Workload, rows};

const OPERATIONS: u64 = 2048;

#[test]
fn every_row_gives_the_results_that_the_mappings_call_for() {
    for row in rows() {
        let mut ours = (row.ours)();
        let measured = ours.run(OPERATIONS);
        assert_eq!(measured.hash, ours.expected(OPERATIONS), "{}", row.name);
        assert!(measured.operations >= OPERATIONS, "{}", row.name);
        println!("{}: {:016x}", row.name, measured.hash);
        if let Some(peer) = &row.peer {
            assert_eq!(peer().run(OPERATIONS).hash, measured.hash, "{} by the peer", row.name);
        }
    }
}

#[test]
fn a_run_can_be_repeated() {
    for row in rows().iter().filter(|row| !row.name.contains("entries=1048576")) {
        let mut ours = (row.ours)();
        assert_eq!(ours.run(OPERATIONS).hash, ours.run(OPERATIONS).hash, "{}", row.name);
    }
}

fn counted(mut work: Translate<impl smmulator_benches::workloads::Order, Counting>) -> Counting {
    *work.observer(0) = Counting::default();
    work.run(OPERATIONS);
    *work.observer(0)
}

#[test]
fn hits_hit() {
    let tlb = TlbGeometry::default();
    let plan = Plan { tlb, streams: 1, stages: Stages::One, pages: 1024 };
    let counted = counted(Translate::<AtRandom, Counting>::new(&plan));
    let expected = Counting {
        begun: OPERATIONS,
        hits: OPERATIONS,
        translated: OPERATIONS,
        ended: OPERATIONS,
        ..Counting::default()
    };
    assert_eq!(counted, expected);
}

#[test]
fn misses_fetch_4_descriptors_and_nested_ones_24() {
    for (stages, fetches) in [(Stages::One, 4), (Stages::Nested, 24)] {
        let tlb = TlbGeometry { entries: 4, ways: 4, ..TlbGeometry::default() };
        let plan = Plan { tlb, streams: 1, stages, pages: 1024 };
        let counted = counted(Translate::<InTurn, Counting>::new(&plan));
        let expected = Counting {
            begun: OPERATIONS,
            misses: OPERATIONS,
            fetches: fetches * OPERATIONS,
            fills: OPERATIONS,
            translated: OPERATIONS,
            ended: OPERATIONS,
            ..Counting::default()
        };
        assert_eq!(counted, expected);
    }
}
