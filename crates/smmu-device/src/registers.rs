//! The register file: what is stored, what a read gives, what a write may change.
//!
//! Architecture: chapter "Memory map and registers". Offsets, access rules and guards stand with
//! each register in `smmu-arch`; here are the values and what a write sets off.

mod errors;
mod queues;

pub(crate) use errors::GlobalError;
pub(crate) use queues::Queue;

use crate::atos::Group;
use smmu_arch::registers::{
    AccessRule, Cr0, Cr0Ack, Cr1, GatosCtrl, Gbpa, Guard, IrqCtrl, IrqCtrlAck, Register,
    RegisterInfo, VatosCtrl,
};
use smmu_arch::{Features, IdRegisters};

/// Words of the frame: page 0, page 1 and the VATOS page.
const WORDS: usize = 3 * 0x1_0000 / 4;

/// What is still under way although its enable may be 0 already: it holds back the acknowledge.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Busy {
    /// Transactions that began while SMMUEN was 1.
    pub(crate) transactions: bool,
    /// The consumption of a command.
    pub(crate) command: bool,
    /// The write of an event record.
    pub(crate) record: bool,
    /// The write of a page request.
    pub(crate) page_request: bool,
    /// A PRI queue interrupt.
    pub(crate) pri_interrupt: bool,
    /// A GERROR interrupt.
    pub(crate) gerror_interrupt: bool,
    /// An Event queue interrupt.
    pub(crate) event_interrupt: bool,
}

/// Registers of one SMMU, Non-secure programming interface.
#[derive(Clone, Debug)]
pub(crate) struct RegisterFile {
    words: Box<[u32]>,
    features: Features,
}

impl RegisterFile {
    /// Registers after reset: zero where the architecture says UNKNOWN (a choice).
    pub(crate) fn new(ids: &IdRegisters) -> Self {
        let mut file =
            Self { words: vec![0; WORDS].into_boxed_slice(), features: Features::decode(ids) };
        for offset in (0..0x1000).step_by(4) {
            if let Some(word) = ids.word_at(offset) {
                file.words[offset as usize / 4] = word;
            }
        }
        for (offset, value) in COMPONENT_ID {
            file.words[offset / 4] = value;
        }
        file
    }

    pub(crate) const fn features(&self) -> &Features {
        &self.features
    }

    /// A read by software. Unaligned, wrongly sized and undefined accesses read as zero.
    pub(crate) fn read(&self, offset: u64, bytes: u8) -> u64 {
        let Some(at) = word_index(offset, bytes) else { return 0 };
        let low = u64::from(self.words[at]);
        match bytes {
            4 => low,
            _ if is_wide(offset) => low | u64::from(self.words[at + 1]) << 32,
            _ => 0,
        }
    }

    /// A write by software. Tells which register changed, with its new value in place; `None`
    /// where the write is ignored (read-only, guarded, undefined, unaligned, wrongly sized).
    pub(crate) fn write(
        &mut self,
        offset: u64,
        bytes: u8,
        value: u64,
    ) -> Option<&'static RegisterInfo> {
        word_index(offset, bytes)?;
        let info = RegisterInfo::at(offset as u32)?;
        if info.access == AccessRule::ReadOnly || (bytes == 8 && !is_wide(offset)) {
            return None;
        }
        let shift = (offset as u32 - info.frame_offset()) * 8;
        let lanes = if bytes == 8 { u64::MAX } else { 0xffff_ffff << shift };
        let mut mask =
            lanes & info.writable_in(&self.features) & self.guarded(info, value << shift);
        if [GatosCtrl::NAME, VatosCtrl::NAME].contains(&info.name) {
            // RUN can be set while SMMUEN is 1, and is cleared by the SMMU.
            mask &= if self.cr0().smmuen() { value } else { 0 };
        }
        if mask == 0 {
            return None;
        }
        let old = self.word(info);
        self.set_word(info, old & !mask | value << shift & mask);
        Some(info)
    }

    /// The bits that the register's guard leaves writable at this moment.
    fn guarded(&self, info: &RegisterInfo, value: u64) -> u64 {
        let (cr0, ack): (Cr0, Cr0Ack) = (self.get(), self.get());
        let (irq, irq_ack): (IrqCtrl, IrqCtrlAck) = (self.get(), self.get());
        let unless = |enabled: bool| if enabled { 0 } else { u64::MAX };
        let enabled = cr0.smmuen() || ack.smmuen();
        match info.guard {
            Guard::None => u64::MAX,
            Guard::Smmuen => unless(enabled),
            Guard::Cmdqen => unless(cr0.cmdqen() || ack.cmdqen()),
            Guard::Eventqen => unless(cr0.eventqen() || ack.eventqen()),
            Guard::TableAndAnyQueue => {
                let queues = cr0.cmdqen()
                    || ack.cmdqen()
                    || cr0.eventqen()
                    || ack.eventqen()
                    || cr0.priqen()
                    || ack.priqen();
                u64::from(Cr1::TABLE_MASK) & unless(enabled)
                    | u64::from(Cr1::QUEUE_MASK) & unless(queues)
            }
            Guard::Update => unless(!Gbpa::from_word(value).update()),
            Guard::GerrorIrqen => unless(irq.gerror_irqen() || irq_ack.gerror_irqen()),
            Guard::EventqIrqen => unless(irq.eventq_irqen() || irq_ack.eventq_irqen()),
            Guard::Priqen => unless(cr0.priqen() || ack.priqen()),
            Guard::PriqIrqen => unless(irq.priq_irqen() || irq_ack.priq_irqen()),
            Guard::GatosRun => unless(self.runs(Group::Global)),
            Guard::VatosRun => unless(self.runs(Group::Vm)),
        }
    }

    /// CR0 takes effect at once. Enables are acknowledged at once, and what goes to 0 when it has
    /// come to rest: the transactions translated before have ended, the command under way is
    /// consumed, the record under way is written.
    pub(crate) fn acknowledge_cr0(&mut self, busy: &Busy) {
        let cr0: Cr0 = self.get();
        let ack: Cr0Ack = self.get();
        let next = Cr0Ack::from_word(cr0.to_word())
            .with_smmuen(cr0.smmuen() || ack.smmuen() && busy.transactions)
            .with_cmdqen(cr0.cmdqen() || ack.cmdqen() && busy.command)
            .with_eventqen(cr0.eventqen() || ack.eventqen() && busy.record)
            .with_priqen(cr0.priqen() || ack.priqen() && busy.page_request);
        self.set(next);
    }

    /// IRQ_CTRL takes effect at once. When the acknowledge shows 0, every interrupt of the source
    /// is out.
    pub(crate) fn acknowledge_irq_ctrl(&mut self, busy: &Busy) {
        let irq: IrqCtrl = self.get();
        let ack: IrqCtrlAck = self.get();
        let next = IrqCtrlAck::from_word(irq.to_word())
            .with_gerror_irqen(irq.gerror_irqen() || ack.gerror_irqen() && busy.gerror_interrupt)
            .with_priq_irqen(irq.priq_irqen() || ack.priq_irqen() && busy.pri_interrupt)
            .with_eventq_irqen(irq.eventq_irqen() || ack.eventq_irqen() && busy.event_interrupt);
        self.set(next);
    }

    /// GBPA takes effect at once.
    pub(crate) fn finish_gbpa_update(&mut self) {
        let gbpa: Gbpa = self.get();
        self.set(gbpa.with_update(false));
    }

    pub(crate) fn cr0(&self) -> Cr0 {
        self.get()
    }

    /// An address of a register, without the bits that the OAS does not have.
    pub(crate) fn physical(&self, address: u64) -> u64 {
        self.features.truncated(address)
    }

    pub(crate) fn get<R: Register>(&self) -> R {
        let at = frame_index::<R>();
        let low = u64::from(self.words[at]);
        let high = if R::WIDTH == 64 { u64::from(self.words[at + 1]) << 32 } else { 0 };
        R::from_word(low | high)
    }

    pub(crate) fn set<R: Register>(&mut self, register: R) {
        let at = frame_index::<R>();
        let word = register.to_word();
        self.words[at] = word as u32;
        if R::WIDTH == 64 {
            self.words[at + 1] = (word >> 32) as u32;
        }
    }

    fn word(&self, info: &RegisterInfo) -> u64 {
        let at = info.frame_offset() as usize / 4;
        let high = if info.width == 64 { u64::from(self.words[at + 1]) << 32 } else { 0 };
        u64::from(self.words[at]) | high
    }

    fn set_word(&mut self, info: &RegisterInfo, value: u64) {
        let at = info.frame_offset() as usize / 4;
        self.words[at] = value as u32;
        if info.width == 64 {
            self.words[at + 1] = (value >> 32) as u32;
        }
    }
}

fn frame_index<R: Register>() -> usize {
    (R::PAGE.base() + R::OFFSET) as usize / 4
}

fn is_wide(offset: u64) -> bool {
    offset.is_multiple_of(8)
        && RegisterInfo::at(offset as u32)
            .is_some_and(|info| info.width == 64 && u64::from(info.frame_offset()) == offset)
}

/// Index of the word at `offset` for a well-formed access inside the frame.
fn word_index(offset: u64, bytes: u8) -> Option<usize> {
    let aligned = matches!(bytes, 4 | 8) && offset.is_multiple_of(u64::from(bytes));
    let index = usize::try_from(offset / 4).ok()?;
    (aligned && index < WORDS).then_some(index)
}

/// Component identification (section "ID registers"): fixed preamble bytes.
const COMPONENT_ID: [(usize, u32); 4] =
    [(0xff0, 0x0d), (0xff4, 0xf0), (0xff8, 0x05), (0xffc, 0xb1)];
