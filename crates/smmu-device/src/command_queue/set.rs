//! All Command queues of an SMMU, and whose turn it is.
//!
//! Queues are served in turn, one command at a time each (a choice): a CMD_SYNC that waits holds up
//! its own queue only. What is sent for a CMD_SYNC is waited for by all.

use super::{CommandOutcome, Head};
use crate::Notification;
use crate::cmdqv::Cmdqv;
use crate::ecmdq::EnhancedQueues;
use crate::registers::RegisterFile;
use smmu_arch::registers::CmdqvParam;
use smmu_arch::{CommandQueueId, Features};
use std::collections::BTreeSet;
use std::ops::Bound;

/// The Command queues of an SMMU.
#[derive(Clone, Debug)]
pub(crate) struct CommandQueues {
    enhanced: Option<EnhancedQueues>,
    cmdqv: Option<Cmdqv>,
    /// Queues that may have a command: all others were found idle and not touched since.
    ready: BTreeSet<CommandQueueId>,
    /// Queues one of whose commands is being consumed.
    under_way: BTreeSet<CommandQueueId>,
    /// The queue that was served last.
    last: CommandQueueId,
}

impl CommandQueues {
    pub(crate) fn new(features: &Features, cmdqv: Option<CmdqvParam>) -> Self {
        Self {
            enhanced: features.ecmdq.map(|layout| EnhancedQueues::new(layout, features)),
            cmdqv: cmdqv.map(|param| Cmdqv::new(param, features)),
            ready: BTreeSet::new(),
            under_way: BTreeSet::new(),
            last: CommandQueueId::Main,
        }
    }

    /// Software has written a register that the main queue may depend on.
    pub(crate) fn touched(&mut self) {
        self.ready.insert(CommandQueueId::Main);
    }

    /// A read of a register of the enhanced queues; `None` where none stands.
    pub(crate) fn read_enhanced(&self, offset: u64, bytes: u8) -> Option<u64> {
        let busy = |queue| self.under_way.contains(&queue);
        self.enhanced.as_ref()?.read(offset, bytes, busy)
    }

    /// A write to a register of the enhanced queues; lost where none stands.
    pub(crate) fn write_enhanced(&mut self, offset: u64, bytes: u8, value: u64) {
        let busy = |queue| self.under_way.contains(&queue);
        let Some(enhanced) = &mut self.enhanced else { return };
        self.ready.extend(enhanced.write(offset, bytes, value, busy));
    }

    /// A read of the registers of the CMDQV, 0 where there is none.
    pub(crate) fn read_cmdqv(&self, offset: u64, bytes: u8) -> u64 {
        let busy = |queue| self.under_way.contains(&CommandQueueId::Virtual(queue));
        self.cmdqv.as_ref().map_or(0, |cmdqv| cmdqv.read(offset, bytes, busy))
    }

    /// A write to the registers of the CMDQV.
    pub(crate) fn write_cmdqv(&mut self, offset: u64, bytes: u8, value: u64) {
        let busy = |queue| self.under_way.contains(&CommandQueueId::Virtual(queue));
        let Some(cmdqv) = &mut self.cmdqv else { return };
        cmdqv.write(offset, bytes, value, busy);
        self.ready.extend(cmdqv.queues().map(CommandQueueId::Virtual));
    }

    pub(crate) fn is_under_way(&self, queue: CommandQueueId) -> bool {
        self.under_way.contains(&queue)
    }

    /// The next command, of the queue that is next behind the one served last.
    pub(crate) fn next(&mut self, registers: &RegisterFile) -> Option<Head> {
        loop {
            let behind = self.ready.range((Bound::Excluded(self.last), Bound::Unbounded));
            let mut in_turn = behind.chain(&self.ready);
            let queue = *in_turn.find(|queue| !self.under_way.contains(queue))?;
            match self.head(queue, registers) {
                Some(head) => {
                    self.under_way.insert(queue);
                    self.last = queue;
                    return Some(head);
                }
                None => self.ready.remove(&queue),
            };
        }
    }

    fn head(&self, queue: CommandQueueId, registers: &RegisterFile) -> Option<Head> {
        match queue {
            CommandQueueId::Main => super::head(registers),
            CommandQueueId::Enhanced(index) => self.enhanced.as_ref()?.head(index),
            CommandQueueId::Virtual(index) => self.cmdqv.as_ref()?.head(index),
        }
    }

    /// Applies an outcome to the queue that it is of.
    pub(crate) fn complete(
        &mut self,
        registers: &mut RegisterFile,
        outcome: &CommandOutcome,
    ) -> Option<Notification> {
        self.under_way.remove(&outcome.queue);
        match outcome.queue {
            CommandQueueId::Main => super::complete(registers, &outcome.result),
            CommandQueueId::Enhanced(index) => {
                self.enhanced.as_mut()?.complete(index, registers, &outcome.result)
            }
            CommandQueueId::Virtual(index) => self.cmdqv.as_mut()?.complete(index, &outcome.result),
        }
    }
}
