//! Memory-mapped registers of the Non-secure programming interface.
//!
//! Architecture: chapter "Memory map and registers" (IHI 0070). Each register has its name, page,
//! offset, access, guard and fields in one place; [`REGISTERS`] lists them for look-up by offset.

mod atos;
mod cmdqv;
mod control;
mod ecmdq;
mod id;
mod interrupts;
mod macros;
mod pmcg;
mod presence;
mod queues;
mod stream_table;
mod table;

pub use atos::{
    GatosAddr, GatosCtrl, GatosPar, GatosParFault, GatosSid, VatosAddr, VatosCtrl, VatosPar,
    VatosSel, VatosSid,
};
pub use cmdqv::{
    CMDQV_BYTES, CMDQV_ROWS, CmdqvCmdqAlloc, CmdqvConfig, CmdqvParam, CmdqvRow, CmdqvSidMatch,
    CmdqvStatus, CmdqvVintfConfig, CmdqvVintfStatus, CmdqvWord, VCMDQ_ROWS, VCMDQ_STRIDE,
    VCMDQS_MAX, VINTF_ROWS, VINTF_STREAMS, VINTF_STRIDE, VINTFS_MAX, VcmdqBase, VcmdqConfig,
    VcmdqConsIndxBase, VcmdqGerror, VcmdqStatus, VcmdqWord, VintfWord,
};
pub use control::{Agbpa, Cr0, Cr0Ack, Cr1, Cr2, Gbpa, Statusr};
pub use ecmdq::{
    CmdqControlPageBase, ECMDQ_PAGE_ROWS, ECMDQ_PAGE_STRIDE, ECMDQ_ROWS, EcmdqCons, EcmdqLayout,
    EcmdqPlace, EcmdqProd, EcmdqRegister,
};
pub use id::{
    Aidr, Cidr0, Cidr1, Cidr2, Cidr3, Idr0, Idr1, Idr2, Idr3, Idr4, Idr5, Idr6, Iidr, Pidr0, Pidr1,
    Pidr2, Pidr3, Pidr4,
};
pub use interrupts::{
    EventqIrqCfg0, EventqIrqCfg1, EventqIrqCfg2, Gerror, GerrorIrqCfg0, GerrorIrqCfg1,
    GerrorIrqCfg2, Gerrorn, IrqCtrl, IrqCtrlAck, PriqIrqCfg0, PriqIrqCfg1, PriqIrqCfg2,
};
pub use pmcg::{
    PMCG_COUNTERS_MAX, PMCG_ROWS, PMCG_SINGLE, PmcgCfgr, PmcgCr, PmcgEvtyper, PmcgIrqCfg0,
    PmcgIrqCfg2, PmcgIrqCtrl, PmcgRegister,
};
pub use queues::{
    CmdqBase, CmdqCons, CmdqProd, EventqBase, EventqCons, EventqProd, PriqBase, PriqCons, PriqProd,
};
pub use stream_table::{StrtabBase, StrtabBaseCfg};
pub use table::{REGISTERS, RegisterInfo};

use crate::FieldInfo;

/// A 64 KiB page of the register map.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Page {
    /// Page 0: nearly everything.
    Page0,
    /// Page 1: the indexes of the Event and PRI queues. Their offsets in page 0 are RAZ/WI here;
    /// the architecture would also let them alias page 1 (a choice).
    Page1,
    /// The VATOS page. It follows the other two: IDR2.BA_VATOS = 0 (a choice).
    Vatos,
}

impl Page {
    /// Bytes of one page.
    pub const SIZE: u32 = 0x1_0000;

    /// Offset of the page from the start of the SMMU's register frame.
    #[must_use]
    pub const fn base(self) -> u32 {
        match self {
            Self::Page0 => 0,
            Self::Page1 => Self::SIZE,
            Self::Vatos => 2 * Self::SIZE,
        }
    }
}

/// How software may access a register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AccessRule {
    /// Writes are ignored.
    ReadOnly,
    /// Reads and writes.
    ReadWrite,
}

/// When a write is ignored. From SMMUv3.2 the architecture ignores such a write; for v3.0 and v3.1
/// it leaves the effect open, and this model ignores it too (a choice).
///
/// "Enabled" means that the enable bit or its acknowledge is 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Guard {
    /// Never.
    None,
    /// While CR0.SMMUEN is enabled.
    Smmuen,
    /// While CR0.CMDQEN is enabled.
    Cmdqen,
    /// While CR0.EVENTQEN is enabled.
    Eventqen,
    /// While CR0.PRIQEN is enabled.
    Priqen,
    /// CR1: the `TABLE_*` fields while SMMUEN is enabled, the `QUEUE_*` fields while any queue is
    /// enabled ([`Cr1::TABLE_MASK`], [`Cr1::QUEUE_MASK`]).
    TableAndAnyQueue,
    /// GBPA: unless the write has Update = 1 and no update is under way.
    Update,
    /// While IRQ_CTRL.GERROR_IRQEN is enabled.
    GerrorIrqen,
    /// While IRQ_CTRL.EVENTQ_IRQEN is enabled.
    EventqIrqen,
    /// While IRQ_CTRL.PRIQ_IRQEN is enabled.
    PriqIrqen,
    /// While GATOS_CTRL.RUN = 1.
    GatosRun,
    /// While VATOS_CTRL.RUN = 1.
    VatosRun,
}

/// A register: its place and rules, and the conversion from and to the word on the bus.
pub trait Register: Copy {
    /// The architecture's name without the `SMMU_` prefix.
    const NAME: &'static str;
    /// Page of the register.
    const PAGE: Page;
    /// Byte offset inside the page.
    const OFFSET: u32;
    /// Width in bits, 32 or 64.
    const WIDTH: u32;
    /// Software access.
    const ACCESS: AccessRule;
    /// When writes are ignored.
    const GUARD: Guard;
    /// Fields, lowest bit first; all other bits are RES0.
    const FIELDS: &'static [FieldInfo];

    /// From the word on the bus; bits above `WIDTH` are dropped.
    fn from_word(word: u64) -> Self;

    /// To the word on the bus.
    fn to_word(self) -> u64;

    /// The values of the fields, in the order of `FIELDS`.
    fn values(&self) -> Vec<u64>;
}
