//! TLBI and DSB instructions of CPUs, on their way to all SMMUs of a machine.

use super::board::Board;
use super::listener::Listener;
use super::schedule::{CpuId, Machine, Running, Slot, State};
use smmu_arch::BroadcastTlbi;
use smmu_bus::Answer;

impl<L: Listener> Machine<L> {
    /// A CPU broadcasts a TLBI: each SMMU decides whether it takes part.
    pub(super) fn broadcast(&mut self, tlbi: &BroadcastTlbi) {
        for placed in &self.board.smmus {
            placed.smmu.broadcast(tlbi, &mut self.board.listener);
        }
    }

    /// A CPU executes a DSB: each SMMU that takes part does so as an actor of its own, and the
    /// last one answers the CPU. Without any it is answered now.
    pub(super) fn begin_sync(&mut self, cpu: CpuId) -> Option<Answer> {
        let smmus = self.board.smmus.iter().enumerate();
        let parts: Vec<_> = smmus
            .filter_map(|(smmu, placed)| {
                Some(Running::Sync { cpu, smmu, sync: placed.smmu.broadcast_sync()? })
            })
            .collect();
        if parts.is_empty() {
            return Some(Answer::Done);
        }
        parts.into_iter().for_each(|part| self.start(part));
        None
    }

    /// One SMMU has done its part in the DSB of a CPU.
    pub(super) fn end_sync(&mut self, index: usize) {
        let Running::Sync { cpu, smmu, sync } = self.actors.remove(index).actor else { return };
        let Board { smmus, listener, .. } = &mut self.board;
        smmus[smmu].smmu.broadcast_synchronised(&sync, listener);
        let is_part =
            |slot: &Slot| matches!(slot.actor, Running::Sync { cpu: of, .. } if of == cpu);
        if !self.actors.iter().any(is_part) {
            let is_it =
                |slot: &&mut Slot| matches!(slot.actor, Running::Cpu { id, .. } if id == cpu);
            if let Some(slot) = self.actors.iter_mut().find(is_it) {
                slot.state = State::Ready(Answer::Done);
            }
        }
    }
}
