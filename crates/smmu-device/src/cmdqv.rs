//! NVIDIA's CMDQ-Virtualization block (CMDQV) of Tegra241, in front of an SMMU: Command queues that
//! a guest may be given.
//!
//! Source: Linux, tegra241-cmdqv.c and its series of 2021. A physical queue is allocated to a
//! virtual interface. The interface of a guest lends its VMID to the guest's commands, and its
//! slots turn the guest's StreamIDs into real ones. What hardware does besides is not public; what
//! this model does there is a choice: queues run whatever CR0.CMDQEN says, VINTF_STATUS has no
//! error codes, and no copy of an index is written to CONS_INDX_BASE.

mod interface;
mod queue;

use crate::Notification;
use crate::command_queue::Head;
use interface::Interface;
use queue::VirtualQueue;
use smmu_arch::registers::{
    CmdqvCmdqAlloc, CmdqvConfig, CmdqvParam, CmdqvStatus, CmdqvVintfStatus, CmdqvWord, VcmdqWord,
    VintfWord,
};
use smmu_arch::{Command, CommandError, CommandQueueId, Features};
use smmu_bus::InterruptLine;

/// The block behind its registers.
#[derive(Clone, Debug)]
pub(crate) struct Cmdqv {
    param: CmdqvParam,
    features: Features,
    config: CmdqvConfig,
    /// Interfaces whose errors raise no interrupt.
    masked: u64,
    interfaces: Vec<Interface>,
    allocations: Vec<CmdqvCmdqAlloc>,
    queues: Vec<VirtualQueue>,
}

impl Cmdqv {
    /// The block after reset. At most 128 queues, 64 interfaces and 16 slots are there, whatever
    /// PARAM says.
    pub(crate) fn new(param: CmdqvParam, features: &Features) -> Self {
        let param = param
            .with_log2_queues(param.log2_queues().min(7))
            .with_log2_interfaces(param.log2_interfaces().min(6))
            .with_log2_streams(param.log2_streams().min(4));
        let queues = 1 << param.log2_queues();
        Self {
            param,
            features: *features,
            config: CmdqvConfig::new(),
            masked: 0,
            interfaces: vec![Interface::default(); 1 << param.log2_interfaces()],
            allocations: vec![CmdqvCmdqAlloc::new(); queues],
            queues: vec![VirtualQueue::RESET; queues],
        }
    }

    /// Numbers of the queues.
    pub(crate) fn queues(&self) -> impl Iterator<Item = u8> + use<> {
        0..self.queues.len() as u8
    }

    /// A read of 4 bytes, or of 8 that are two words; 0 where nothing stands. `busy` tells whether
    /// a command of a queue is being consumed: it holds back that a disable is acknowledged.
    pub(crate) fn read(&self, offset: u64, bytes: u8, busy: impl Fn(u8) -> bool) -> u64 {
        if !matches!(bytes, 4 | 8) || !offset.is_multiple_of(4) {
            return 0;
        }
        let word = |offset| {
            let word = CmdqvWord::at(offset).and_then(|word| self.read_word(word, &busy));
            u64::from(word.unwrap_or(0))
        };
        word(offset) | if bytes == 8 { word(offset.wrapping_add(4)) << 32 } else { 0 }
    }

    /// A write of 4 bytes, or of 8 that are two words.
    pub(crate) fn write(&mut self, offset: u64, bytes: u8, value: u64, busy: impl Fn(u8) -> bool) {
        if !matches!(bytes, 4 | 8) || !offset.is_multiple_of(4) {
            return;
        }
        for word in 0..u64::from(bytes / 4) {
            if let Some(at) = CmdqvWord::at(offset.wrapping_add(4 * word)) {
                self.write_word(at, (value >> (32 * word)) as u32, &busy);
            }
        }
    }

    fn read_word(&self, word: CmdqvWord, busy: impl Fn(u8) -> bool) -> Option<u32> {
        Some(match word {
            CmdqvWord::Config => self.config.into(),
            CmdqvWord::Param => self.param.into(),
            CmdqvWord::Status => {
                let enabled = self.config.en() || self.queues().any(busy);
                CmdqvStatus::new().with_enabled(enabled).into()
            }
            CmdqvWord::VintfErrMap(half) => half_of(self.interfaces_in_error(), half),
            CmdqvWord::VintfIntMask(half) => half_of(self.masked, half),
            CmdqvWord::CmdqErrMap(word) => self.map(word, Some),
            CmdqvWord::CmdqAlloc(queue) => (*self.allocations.get(usize::from(queue))?).into(),
            CmdqvWord::Vintf(vintf, word) => self.read_interface(vintf, word, busy)?,
            CmdqvWord::Physical(queue, word) => self.read_queue(queue, word, busy)?,
            CmdqvWord::Logical { vintf, lvcmdq, word } => {
                self.read_queue(self.physical(vintf, lvcmdq)?, word, busy)?
            }
        })
    }

    fn read_interface(&self, vintf: u8, word: VintfWord, busy: impl Fn(u8) -> bool) -> Option<u32> {
        let interface = self.interfaces.get(usize::from(vintf))?;
        let of_it = |queue| self.owner(queue).filter(|owner| owner.vintf() == vintf);
        Some(match word {
            VintfWord::Status => {
                let at_work = self.queues().any(|queue| of_it(queue).is_some() && busy(queue));
                let enabled = interface.config().en() || at_work;
                CmdqvVintfStatus::new().with_enabled(enabled).into()
            }
            VintfWord::LvcmdqErrMap(word) => {
                self.map(word, |queue| of_it(queue).map(|owner| owner.lvcmdq()))
            }
            VintfWord::SidMatch(slot) | VintfWord::SidReplace(slot) if !self.has_slot(slot) => 0,
            other => interface.read(other),
        })
    }

    fn read_queue(&self, queue: u8, word: VcmdqWord, busy: impl Fn(u8) -> bool) -> Option<u32> {
        Some(self.queues.get(usize::from(queue))?.read(word, busy(queue)))
    }

    fn write_word(&mut self, word: CmdqvWord, value: u32, busy: impl Fn(u8) -> bool) {
        match word {
            CmdqvWord::Config => self.config = value.into(),
            CmdqvWord::VintfIntMask(half) => {
                let shift = 32 * u32::from(half);
                self.masked = self.masked & !(0xffff_ffff << shift) | u64::from(value) << shift;
            }
            CmdqvWord::CmdqAlloc(queue) => {
                if let Some(allocation) = self.allocations.get_mut(usize::from(queue)) {
                    *allocation = value.into();
                }
            }
            CmdqvWord::Vintf(_, VintfWord::SidMatch(slot) | VintfWord::SidReplace(slot))
                if !self.has_slot(slot) => {}
            CmdqvWord::Vintf(vintf, word) => {
                if let Some(interface) = self.interfaces.get_mut(usize::from(vintf)) {
                    interface.write(word, value);
                }
            }
            CmdqvWord::Physical(queue, word) => self.write_queue(queue, word, value, busy),
            CmdqvWord::Logical { vintf, lvcmdq, word } => {
                if let Some(queue) = self.physical(vintf, lvcmdq) {
                    self.write_queue(queue, word, value, busy);
                }
            }
            CmdqvWord::Param
            | CmdqvWord::Status
            | CmdqvWord::VintfErrMap(_)
            | CmdqvWord::CmdqErrMap(_) => {}
        }
    }

    fn write_queue(&mut self, queue: u8, word: VcmdqWord, value: u32, busy: impl Fn(u8) -> bool) {
        if let Some(state) = self.queues.get_mut(usize::from(queue)) {
            state.write(word, value, busy(queue));
        }
    }

    fn has_slot(&self, slot: u8) -> bool {
        slot >> self.param.log2_streams() == 0
    }

    /// The allocation of a queue, if it is somebody's.
    fn owner(&self, queue: u8) -> Option<CmdqvCmdqAlloc> {
        let allocation = *self.allocations.get(usize::from(queue))?;
        allocation.allocated().then_some(allocation)
    }

    /// The queue that an interface knows by this number: the lowest, should there be several.
    fn physical(&self, vintf: u8, lvcmdq: u8) -> Option<u8> {
        let is_it = |owner: CmdqvCmdqAlloc| owner.vintf() == vintf && owner.lvcmdq() == lvcmdq;
        self.queues().find(|&queue| self.owner(queue).is_some_and(is_it))
    }

    fn in_error(&self) -> impl Iterator<Item = u8> {
        self.queues().filter(|&queue| self.queues[usize::from(queue)].has_error())
    }

    fn interfaces_in_error(&self) -> u64 {
        let owners = self.in_error().filter_map(|queue| self.owner(queue));
        owners.fold(0, |map, owner| map | 1 << owner.vintf())
    }

    /// 32 bits of a map of queues in error, by the number that `number` gives them.
    fn map(&self, word: u8, number: impl Fn(u8) -> Option<u8>) -> u32 {
        let numbers = self.in_error().filter_map(number);
        let here = numbers.filter(|number| number / 32 == word);
        here.fold(0, |map, number| map | 1 << (number % 32))
    }

    /// The next command of a queue, if it has one and may run.
    pub(crate) fn head(&self, queue: u8) -> Option<Head> {
        let interface = self.interfaces.get(usize::from(self.owner(queue)?.vintf()))?;
        let entry = self.queues.get(usize::from(queue))?.entry(&self.features)?;
        (self.config.en() && interface.config().en()).then(|| Head {
            queue: CommandQueueId::Virtual(queue),
            entry,
            admission: interface.admission(),
        })
    }

    /// Applies the result of a command to its queue.
    pub(crate) fn complete(
        &mut self,
        queue: u8,
        result: &Result<Command, CommandError>,
    ) -> Option<Notification> {
        let owner = self.owner(queue);
        let state = self.queues.get_mut(usize::from(queue))?;
        let news = match result {
            Ok(_) => {
                state.advance(&self.features);
                false
            }
            Err(error) => state.fail(*error),
        };
        let heard = owner.is_none_or(|owner| self.masked >> owner.vintf() & 1 == 0);
        let line = Some(InterruptLine::Cmdqv);
        (news && heard).then(|| Notification { line, ..Notification::default() })
    }
}

const fn half_of(word: u64, half: u8) -> u32 {
    (word >> (32 * half as u32)) as u32
}
