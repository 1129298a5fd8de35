//! Draining the Event queue.
//!
//! Architecture: section "Event queue".

use super::{Env, Smmu};
use crate::log::Notice;
use smmu_arch::registers::{EventqCons, EventqProd};
use smmu_arch::{Event, Pa};

const RECORD_BYTES: u64 = 32;

/// Software's side of the queue.
#[derive(Debug)]
pub(crate) struct EventQueue {
    base: Pa,
    log2size: u32,
    /// Index and wrap flag of the next record.
    cons: u32,
    /// Overflows acknowledged so far, as a toggle.
    acknowledged: bool,
}

impl EventQueue {
    pub(crate) const fn new(base: Pa, log2size: u32) -> Self {
        Self { base, log2size, cons: 0, acknowledged: false }
    }

    /// Base address and log2 of the entries.
    pub(crate) const fn place(&self) -> (Pa, u32) {
        (self.base, self.log2size)
    }

    fn read(&mut self, env: Env<'_>) -> [u64; 4] {
        let index = u64::from(self.cons) & ((1 << self.log2size) - 1);
        let record = self.base.offset(index * RECORD_BYTES);
        let words = [0, 8, 16, 24].map(|at| env.cpu.load(record.offset(at)).unwrap_or(0));
        self.cons = (self.cons + 1) & ((2 << self.log2size) - 1);
        words
    }
}

/// Takes every record out of the queue, oldest first, and acknowledges an overflow.
pub(super) fn service(env: Env<'_>, smmu: &Smmu) -> Vec<Event> {
    smmu.events.with(env.cpu, |queue| {
        let prod = smmu.frame.read::<EventqProd>(env);
        let mut events = Vec::new();
        let before = (queue.cons, queue.acknowledged);
        while queue.cons != prod.wr() & ((2 << queue.log2size) - 1) {
            let words = queue.read(env);
            match Event::decode(&words) {
                Ok(event) => events.push(event),
                Err(_) => env.log(smmu, Notice::UnknownEvent { words }),
            }
        }
        if prod.ovflg() != queue.acknowledged {
            queue.acknowledged = prod.ovflg();
            env.log(smmu, Notice::EventOverflow);
        }
        if before != (queue.cons, queue.acknowledged) {
            let cons = EventqCons::new().with_rd(queue.cons).with_ovackflg(queue.acknowledged);
            smmu.frame.write(env, cons);
        }
        events
    })
}
