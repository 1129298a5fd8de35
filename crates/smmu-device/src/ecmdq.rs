//! Enhanced Command queues: their registers, and what a command does to them.
//!
//! Architecture: section "Enhanced Command queue interfaces". A queue has its own enable, indexes
//! and error; GERROR.CMDQP_ERR tells that one of them has an error. CR0.CMDQEN is of the main queue
//! only.

use crate::Notification;
use crate::command_queue::{Admission, Head, signals};
use crate::registers::{GlobalError, Queue, RegisterFile};
use smmu_arch::registers::{
    CmdqBase, EcmdqCons, EcmdqLayout, EcmdqPlace, EcmdqProd, EcmdqRegister,
};
use smmu_arch::{Command, CommandError, CommandQueueId, Features};

/// The enhanced Command queues of an SMMU.
#[derive(Clone, Debug)]
pub(crate) struct EnhancedQueues {
    layout: EcmdqLayout,
    features: Features,
    queues: Vec<EnhancedQueue>,
}

#[derive(Clone, Copy, Debug)]
struct EnhancedQueue {
    base: CmdqBase,
    prod: EcmdqProd,
    cons: EcmdqCons,
}

impl EnhancedQueue {
    /// Zero also where the architecture says UNKNOWN (a choice).
    const RESET: Self =
        Self { base: CmdqBase::new(), prod: EcmdqProd::new(), cons: EcmdqCons::new() };

    fn has_error(&self) -> bool {
        self.cons.err() != self.prod.errack()
    }

    fn ring(&self, features: &Features) -> Queue {
        let place = (self.base.address(), self.base.log2size());
        Queue::of_commands(features, place, self.prod.wr(), self.cons.rd())
    }

    /// ENACK follows EN: to 1 at once, to 0 when the command under way is consumed.
    fn read(&self, register: EcmdqRegister, busy: bool) -> u64 {
        match register {
            EcmdqRegister::Base => self.base.into(),
            EcmdqRegister::Prod => u32::from(self.prod).into(),
            EcmdqRegister::Cons => u32::from(self.cons.with_enack(self.prod.en() || busy)).into(),
        }
    }

    /// Base and consumer index can be written while EN and ENACK are 0.
    fn write(&mut self, register: EcmdqRegister, value: u64, busy: bool) {
        match register {
            EcmdqRegister::Prod => self.prod = EcmdqProd::from(value as u32),
            _ if self.prod.en() || busy => {}
            EcmdqRegister::Base => self.base = CmdqBase::from(value),
            EcmdqRegister::Cons => self.cons = EcmdqCons::from(value as u32),
        }
    }
}

impl EnhancedQueues {
    pub(crate) fn new(layout: EcmdqLayout, features: &Features) -> Self {
        let queues = vec![EnhancedQueue::RESET; layout.queues() as usize];
        Self { layout, features: *features, queues }
    }

    /// A read of 4 or 8 bytes; `None` where none of these registers stands. `busy` tells whether a
    /// command of a queue is being consumed.
    pub(crate) fn read(
        &self,
        offset: u64,
        bytes: u8,
        busy: impl Fn(CommandQueueId) -> bool,
    ) -> Option<u64> {
        let (place, byte) = self.layout.at(offset)?;
        let (word, width) = match place {
            EcmdqPlace::PageBase(page) => (self.layout.page_base(page).into(), 8),
            EcmdqPlace::PageCfg(_) | EcmdqPlace::PageStatus(_) => (1, 4),
            EcmdqPlace::Queue(index, register) => {
                let queue = self.queues.get(usize::from(index))?;
                (queue.read(register, busy(CommandQueueId::Enhanced(index))), width(register))
            }
        };
        let value = word >> (8 * byte) & lanes(bytes);
        Some(if is_access(byte, bytes, width) { value } else { 0 })
    }

    /// A write; the queue that was touched, if one was.
    pub(crate) fn write(
        &mut self,
        offset: u64,
        bytes: u8,
        value: u64,
        busy: impl Fn(CommandQueueId) -> bool,
    ) -> Option<CommandQueueId> {
        let (EcmdqPlace::Queue(index, register), byte) = self.layout.at(offset)? else {
            return None;
        };
        let queue = self.queues.get_mut(usize::from(index))?;
        if !is_access(byte, bytes, width(register)) {
            return None;
        }
        let id = CommandQueueId::Enhanced(index);
        let (shift, busy) = (8 * byte, busy(id));
        let other = queue.read(register, busy) & !(lanes(bytes) << shift);
        queue.write(register, other | (value & lanes(bytes)) << shift, busy);
        Some(id)
    }

    /// The next command of a queue, if it has one and may run.
    pub(crate) fn head(&self, index: u16) -> Option<Head> {
        let queue = self.queues.get(usize::from(index))?;
        let ring = queue.ring(&self.features);
        (queue.prod.en() && !queue.has_error() && !ring.is_empty()).then(|| Head {
            queue: CommandQueueId::Enhanced(index),
            entry: ring.consumer_entry(),
            admission: Admission::All,
        })
    }

    /// Applies the result of a command to its queue.
    pub(crate) fn complete(
        &mut self,
        index: u16,
        registers: &mut RegisterFile,
        result: &Result<Command, CommandError>,
    ) -> Option<Notification> {
        let queue = self.queues.get_mut(usize::from(index))?;
        match result {
            Err(error) => {
                queue.cons.set_err(!queue.prod.errack());
                queue.cons.set_err_reason(error.code());
                registers.activate(GlobalError::EnhancedCommandQueue)
            }
            Ok(command) => {
                let ring = queue.ring(&self.features);
                queue.cons.set_rd(ring.next_consumer());
                signals(registers, command, ring.is_about_to_have_room())
            }
        }
    }
}

/// Bytes of a register of a queue.
const fn width(register: EcmdqRegister) -> u8 {
    match register {
        EcmdqRegister::Base => 8,
        EcmdqRegister::Prod | EcmdqRegister::Cons => 4,
    }
}

/// All of a register, or an aligned half.
const fn is_access(byte: u64, bytes: u8, width: u8) -> bool {
    matches!(bytes, 4 | 8) && bytes <= width && byte.is_multiple_of(bytes as u64)
}

const fn lanes(bytes: u8) -> u64 {
    if bytes == 8 { u64::MAX } else { 0xffff_ffff }
}
