//! A virtual Command queue: its registers.

use crate::registers::Queue;
use smmu_arch::registers::{
    CmdqCons, CmdqProd, VcmdqBase, VcmdqConfig, VcmdqConsIndxBase, VcmdqGerror, VcmdqStatus,
    VcmdqWord,
};
use smmu_arch::{CommandError, Features, Pa};

/// The registers of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct VirtualQueue {
    config: VcmdqConfig,
    prod: CmdqProd,
    cons: CmdqCons,
    gerror: VcmdqGerror,
    gerrorn: VcmdqGerror,
    base: VcmdqBase,
    cons_indx_base: VcmdqConsIndxBase,
}

impl VirtualQueue {
    /// Zero also where nothing is known of the value after reset.
    pub(super) const RESET: Self = Self {
        config: VcmdqConfig::new(),
        prod: CmdqProd::new(),
        cons: CmdqCons::new(),
        gerror: VcmdqGerror::new(),
        gerrorn: VcmdqGerror::new(),
        base: VcmdqBase::new(),
        cons_indx_base: VcmdqConsIndxBase::new(),
    };

    /// An error is active: not acknowledged yet.
    pub(super) fn has_error(&self) -> bool {
        self.gerror.cmdq_err() != self.gerrorn.cmdq_err()
    }

    fn ring(&self, features: &Features) -> Queue {
        let place = (self.base.addr(), self.base.log2size());
        Queue::of_commands(features, place, self.prod.wr(), self.cons.rd())
    }

    /// Address of the next command, if there is one and the queue may run.
    pub(super) fn entry(&self, features: &Features) -> Option<Pa> {
        let ring = self.ring(features);
        let runs = self.config.en() && !self.has_error();
        (runs && !ring.is_empty()).then(|| ring.consumer_entry())
    }

    /// The next command was consumed.
    pub(super) fn advance(&mut self, features: &Features) {
        let next = self.ring(features).next_consumer();
        self.cons.set_rd(next);
    }

    /// The next command failed; tells whether the error is new.
    pub(super) fn fail(&mut self, error: CommandError) -> bool {
        let news = !self.has_error();
        self.cons.set_err(error.code());
        self.gerror.set_cmdq_err(!self.gerrorn.cmdq_err());
        news
    }

    /// STATUS follows CONFIG: to 1 at once, to 0 when the command under way is consumed.
    pub(super) fn read(&self, word: VcmdqWord, busy: bool) -> u32 {
        match word {
            VcmdqWord::Cons => self.cons.into(),
            VcmdqWord::Prod => self.prod.into(),
            VcmdqWord::Config => self.config.into(),
            VcmdqWord::Status => VcmdqStatus::new().with_enabled(self.config.en() || busy).into(),
            VcmdqWord::Gerror => self.gerror.into(),
            VcmdqWord::Gerrorn => self.gerrorn.into(),
            VcmdqWord::Base(half) => super::half_of(self.base.into(), half),
            VcmdqWord::ConsIndxBase(half) => super::half_of(self.cons_indx_base.into(), half),
        }
    }

    /// Base and consumer index can be written while the queue is at rest, as those of the SMMU's
    /// own queue (a choice).
    pub(super) fn write(&mut self, word: VcmdqWord, value: u32, busy: bool) {
        match word {
            VcmdqWord::Prod => self.prod = value.into(),
            VcmdqWord::Config => self.config = value.into(),
            VcmdqWord::Gerrorn => self.gerrorn = value.into(),
            VcmdqWord::Status | VcmdqWord::Gerror => {}
            _ if self.config.en() || busy => {}
            VcmdqWord::Cons => self.cons.set_rd(CmdqCons::from(value).rd()),
            VcmdqWord::Base(half) => self.base = with_half(self.base.into(), half, value).into(),
            VcmdqWord::ConsIndxBase(half) => {
                self.cons_indx_base = with_half(self.cons_indx_base.into(), half, value).into();
            }
        }
    }
}

const fn with_half(word: u64, half: u8, value: u32) -> u64 {
    let shift = 32 * half as u32;
    word & !(0xffff_ffff << shift) | (value as u64) << shift
}
