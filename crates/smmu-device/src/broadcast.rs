//! Broadcast TLB maintenance: TLBI and DSB instructions of PEs that reach an SMMU.
//!
//! Architecture: section "TLB tagging, VMIDs, ASIDs and participation in broadcast TLB
//! maintenance". A broadcast takes effect when it arrives (a choice), and acts on translations
//! alone. A CMD_SYNC says nothing of it: the DSB of the PE does.

use crate::smmu::Smmu;
use smmu_arch::{BroadcastTlbi, Epoch, Invalidation, Maintenance, Observation, Origin};
use smmu_bus::{Actor, Answer, Condition, Observer, Step};

/// The part of an SMMU in a DSB, from its arrival until every transaction has ended that may have
/// used what a broadcast before it took away: the rule of CMD_SYNC.
#[derive(Clone, Debug)]
pub struct BroadcastSync {
    /// Epoch after all broadcasts ahead took effect.
    begin: Epoch,
}

impl Actor for BroadcastSync {
    type Outcome = ();

    fn step(&mut self, answer: Answer) -> Step<()> {
        match answer {
            Answer::Start => Step::Wait(Condition::Ended(self.begin)),
            _ => Step::Done(()),
        }
    }
}

impl Smmu {
    /// A broadcast TLBI arrives. Without IDR0.BTM, and while CR2.PTM is 1, nothing follows.
    pub fn broadcast<O: Observer>(&self, tlbi: &BroadcastTlbi, observer: &mut O) {
        let globals = self.globals();
        if !globals.hears_broadcasts {
            return;
        }
        let context = self.command_context()(&globals);
        let scope = tlbi.scope(&context.features, context.e2h, context.vmid_ignore);
        let Invalidation::Translations(translations) = scope else { return };
        let dropped = self.structures.forget(&translations);
        // The origin is made afterwards: its epoch is that from which on the scope holds.
        let by = Maintenance::Broadcast;
        let observation = Observation::Invalidated { scope, dropped, by };
        observer.observe(&self.background_origin(), &observation);
    }

    /// A DSB arrives; `None` where the SMMU takes no part. While CR2.PTM is 1 it does, for there
    /// may be broadcasts from before.
    #[must_use]
    pub fn broadcast_sync(&self) -> Option<BroadcastSync> {
        let begin = self.structures.log.now();
        self.features().btm.then_some(BroadcastSync { begin })
    }

    /// The PE learns that the SMMU has done its part.
    pub fn broadcast_synchronised<O: Observer>(&self, sync: &BroadcastSync, observer: &mut O) {
        let origin = Origin { begin: sync.begin, ..self.background_origin() };
        observer.observe(&origin, &Observation::BroadcastSynchronised);
    }
}
