//! What is counted.

use super::script::World;
use crate::{Checker, Sharing};
use smmu_arch::{CommandQueueId, Epoch, Observation, Origin, Pa, SmmuId, Vmid};
use smmu_bus::{Observer, Ram};

#[test]
fn hits_on_entries_of_others_are_counted_by_vmid_and_owner() {
    let world = World::run(
        "
        domain a s2 vmid=1
        attach 5 a
        attach 6 a
        attach 7 a
        owner 5 100
        owner 6 100
        owner 7 200
        map a 0x1000 0x80001000
        dma 5 0x1000 walk 1
        dma 5 0x1000 hit 1
        dma 6 0x1000 hit 1
        dma 7 0x1000 hit 1
        ",
    );
    let checker = world.checker.borrow();
    let sharing = checker.sharing(SmmuId(0)).unwrap();
    assert_eq!(sharing[&Vmid(1)], Sharing { shared: 2, cross_owner: 1 });
    assert_eq!(checker.counters().translations, 4);
}

#[test]
fn entries_that_need_not_have_been_dropped_are_counted() {
    let world = World::run(
        "
        domain a s2 vmid=1
        attach 5 a
        map a 0x1000 0x80001000
        map a 0x2000 0x80002000
        dma 5 0x1000 walk 1
        dma 5 0x2000 walk 2
        unmap a 0x1000
        cmd S12_VMALL vmid=1 dropped=2
        sync
        ",
    );
    let counters = world.counters();
    assert_eq!((counters.dropped, counters.dropped_needlessly), (2, 1));
}

#[test]
fn an_smmu_that_nobody_added_is_not_judged() {
    let mut checker = Checker::new(Ram::new([(Pa(0), 4096)]).unwrap());
    let origin = Origin { smmu: SmmuId(3), transaction: None, begin: Epoch(0) };
    checker.observe(&origin, &Observation::Synchronised(CommandQueueId::Main));
    assert_eq!(checker.counters().unjudged, 1);
    assert!(checker.verdicts().is_empty());
}
