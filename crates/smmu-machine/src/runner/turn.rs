//! A machine whose steps somebody else orders.
//!
//! Who explores orders asks which actors can take a step, and says which one does. He is told what
//! it did, so that he can tell which steps commute.

use super::listener::Listener;
use super::name::{ActorName, Family};
use super::order::MemoryOrder;
use super::schedule::{Machine, Running, State, Stuck};
use smmu_arch::{Command, CommandError, Pa};
use smmu_bus::{Condition, Request};
use smmu_device::Work;

/// What an actor did in one step, and what it went on from.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Turn {
    /// Who.
    pub actor: ActorName,
    /// SMMU that the actor is part of or stands behind; `None` for CPUs.
    pub smmu: Option<usize>,
    /// The condition that it waited for.
    pub resumed: Option<Condition>,
    /// What it did then.
    pub did: Did,
}

/// What a step came to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Did {
    /// A request was answered, or others make the answer.
    Asked(Request),
    /// It waits from now on, and touched nothing.
    Waits,
    /// It is done.
    Ended(End),
}

/// How an actor ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum End {
    /// A command was consumed, or stopped its queue.
    Command(Result<Command, CommandError>),
    /// A translation; a refusal left its record.
    Translation {
        /// The transaction was refused.
        refused: bool,
    },
    /// Anything else.
    Other,
}

impl<L: Listener> Machine<L> {
    /// When memory sees the stores of CPUs, from now on.
    pub fn set_memory_order(&mut self, order: MemoryOrder) {
        self.memory_order = order;
    }

    /// The SMMU reads a structure that has one of these words (aligned to 8 bytes) a word at a
    /// time, each at a moment of its own: memory is single-copy atomic in 8 bytes and no more.
    pub fn tear(&mut self, words: impl IntoIterator<Item = Pa>) {
        self.torn.extend(words);
    }

    /// Writes a device register of 4 or 8 bytes as a CPU does, for who sets a machine up.
    pub fn write_register(&mut self, address: Pa, bytes: u8, value: u64) {
        self.board.mmio_write(address, bytes, value);
    }

    /// Actors that can take a step now, in the order of their start. Where there is none but some
    /// wait for a moment, it comes.
    pub fn ready(&mut self, names: &mut Vec<ActorName>) {
        self.take_up_work();
        self.find_ready();
        while self.ready.is_empty() && self.pass_time().is_ok() {
            self.find_ready();
        }
        names.clear();
        names.extend(self.ready.iter().map(|&index| self.actors[index].name));
    }

    /// The step of an actor that [`Machine::ready`] named since the last step.
    ///
    /// # Panics
    /// If it did not.
    pub fn turn(&mut self, actor: ActorName) -> Turn {
        let named = |index: &usize| self.actors[*index].name == actor;
        let index = self.ready.iter().copied().find(named).expect("an actor that is ready");
        let resumed = match self.actors[index].state {
            State::Waiting(condition) => Some(condition),
            _ => None,
        };
        let smmu = self.smmu_of(index);
        self.go_on(index);
        Turn { actor, smmu, resumed, did: self.did }
    }

    /// Who waits for what, if anybody is left.
    #[must_use]
    pub fn waiting(&self) -> Option<Stuck> {
        (!self.actors.is_empty()).then(|| Stuck(self.who_waits()))
    }

    fn smmu_of(&self, index: usize) -> Option<usize> {
        match &self.actors[index].actor {
            Running::Work { smmu, .. } | Running::Sync { smmu, .. } => Some(*smmu),
            Running::Forgetting(forgetting) => Some(forgetting.smmu()),
            Running::Translation { device, .. }
            | Running::Stalled { device, .. }
            | Running::Master { device, .. } => {
                Some(usize::from(self.board.ports[*device].smmu().id().0))
            }
            Running::Cpu { .. } | Running::Store { .. } | Running::Word { .. } => None,
        }
    }

    /// The family of an actor that starts now.
    pub(super) fn family(&self, actor: &Running) -> Family {
        match actor {
            Running::Work { smmu, work } => {
                let smmu = *smmu as u8;
                match work {
                    Work::Command(consumer) => Family::Command { smmu, queue: consumer.queue() },
                    Work::Event(_) => Family::Event { smmu },
                    _ => Family::Work { smmu },
                }
            }
            Running::Translation { master, .. } | Running::Stalled { master, .. } => {
                Family::Walk { dma: master.0 }
            }
            Running::Word { master, .. } => {
                let started = self.started_of(Family::Walk { dma: master.0 });
                Family::Word { dma: master.0, walk: started.saturating_sub(1) }
            }
            Running::Cpu { .. } => Family::Cpu,
            Running::Store { cpu, .. } => Family::Store { cpu: cpu.0 },
            Running::Forgetting(forgetting) => Family::Atc { smmu: forgetting.smmu() as u8 },
            Running::Sync { cpu, smmu, .. } => Family::Dsb { smmu: *smmu as u8, cpu: cpu.0 },
            Running::Master { .. } => Family::Dma,
        }
    }
}
