//! Enhanced Command queues (ECMDQ): their control pages, and the registers of each queue.
//!
//! Architecture: section "Enhanced Command queue interfaces" (IHI 0070, SMMUv3.3). ECMDQ_BASE is
//! laid out as [`CmdqBase`](super::CmdqBase).

use super::Page;
use crate::field_types::{Address55To16, Number2};
use crate::layout::layout;
use modular_bitfield::prelude::*;

layout! {
    /// `SMMU_CMDQ_CONTROL_PAGE_BASEn`: where a control page is.
    #[repr(u64)]
    pub CmdqControlPageBase(64) {
        /// Always 1: the page is there.
        CMDQ_CONTROL_PAGE_PRESET preset: bool;
        /// 1: the page has 64 KiB.
        CMDQGS cmdqgs: Number2 [B13];
        /// Offset from page 0.
        ADDR addr: Address55To16 [B8];
    }
}
layout! {
    /// `SMMU_ECMDQ_PROD`: software's index of the queue, its enable, and the acknowledge of an error.
    #[repr(u32)]
    pub EcmdqProd(32) {
        /// Index and wrap.
        WR wr: B20 [B3];
        /// An error is acknowledged by making this equal to ECMDQ_CONS.ERR.
        ERRACK errack: bool [B7];
        /// Enables the queue; ECMDQ_CONS.ENACK follows.
        EN en: bool;
    }
}
layout! {
    /// `SMMU_ECMDQ_CONS`: the SMMU's index of the queue, and its error.
    #[repr(u32)]
    pub EcmdqCons(32) {
        /// Index and wrap.
        RD rd: B20 [B3];
        /// Toggled by an error, which is active while this differs from ECMDQ_PROD.ERRACK.
        ERR err: bool;
        /// CERROR code of the error.
        ERR_REASON err_reason: B3 [B4];
        /// Acknowledges ECMDQ_PROD.EN.
        ENACK enack: bool;
    }
}

/// A register of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EcmdqRegister {
    /// `SMMU_ECMDQ_BASE`, 64 bits.
    Base,
    /// `SMMU_ECMDQ_PROD`.
    Prod,
    /// `SMMU_ECMDQ_CONS`.
    Cons,
}

/// What of the enhanced Command queues stands at an offset of the register frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EcmdqPlace {
    /// `SMMU_CMDQ_CONTROL_PAGE_BASEn`.
    PageBase(u16),
    /// `SMMU_CMDQ_CONTROL_PAGE_CFGn`.
    PageCfg(u16),
    /// `SMMU_CMDQ_CONTROL_PAGE_STATUSn`.
    PageStatus(u16),
    /// A register of a queue, which is counted over all control pages.
    Queue(u16, EcmdqRegister),
}

/// Name, offset of the first in page 0, bits.
pub const ECMDQ_PAGE_ROWS: [(&str, u64, u32); 3] = [
    ("CMDQ_CONTROL_PAGE_BASEn", 0x4000, 64),
    ("CMDQ_CONTROL_PAGE_CFGn", 0x4008, 32),
    ("CMDQ_CONTROL_PAGE_STATUSn", 0x400C, 32),
];
/// Bytes from one control page's registers to the next's, and how many there are at most.
pub const ECMDQ_PAGE_STRIDE: (u64, u16) = (32, 256);
/// Name, offset from the queue's first register, bits.
pub const ECMDQ_ROWS: [(&str, u64, u32); 3] =
    [("ECMDQ_BASE", 0x0, 64), ("ECMDQ_PROD", 0x8, 32), ("ECMDQ_CONS", 0xC, 32)];

/// How many enhanced Command queues there are: IDR6.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EcmdqLayout {
    /// log2 of the control pages, 0 to 8.
    pub log2_pages: u8,
    /// log2 of the queues of a control page, 0 to 8.
    pub log2_queues: u8,
}

impl EcmdqLayout {
    /// Offset of the first control page from page 0: they follow the VATOS page (a choice).
    pub const FIRST_PAGE: u64 = 3 * Page::SIZE as u64;

    /// Queues of all pages.
    #[must_use]
    pub const fn queues(self) -> u32 {
        1 << (self.log2_pages + self.log2_queues)
    }

    /// Bytes that the control pages take behind [`Self::FIRST_PAGE`].
    #[must_use]
    pub const fn bytes(self) -> u64 {
        (Page::SIZE as u64) << self.log2_pages
    }

    /// The base register of control page `page`.
    #[must_use]
    pub fn page_base(self, page: u16) -> CmdqControlPageBase {
        let addr = Self::FIRST_PAGE + u64::from(page) * u64::from(Page::SIZE);
        CmdqControlPageBase::new().with_preset(true).with_cmdqgs(1).with_addr(addr)
    }

    /// What stands at `offset` of the register frame, and the byte of the register that it names.
    #[must_use]
    pub fn at(self, offset: u64) -> Option<(EcmdqPlace, u64)> {
        if let Some(offset) = offset.checked_sub(Self::FIRST_PAGE) {
            return self.queue_at(offset);
        }
        let (stride, _) = ECMDQ_PAGE_STRIDE;
        let from = offset.checked_sub(ECMDQ_PAGE_ROWS[0].1)?;
        let page = u16::try_from(from / stride).ok()?;
        if u32::from(page) >> self.log2_pages != 0 {
            return None;
        }
        match from % stride {
            byte @ 0..8 => Some((EcmdqPlace::PageBase(page), byte)),
            byte @ 8..12 => Some((EcmdqPlace::PageCfg(page), byte - 8)),
            byte @ 12..16 => Some((EcmdqPlace::PageStatus(page), byte - 12)),
            _ => None,
        }
    }

    /// The queues of a page are spaced evenly over it.
    fn queue_at(self, offset: u64) -> Option<(EcmdqPlace, u64)> {
        let spacing = u64::from(Page::SIZE) >> self.log2_queues;
        let queue = u16::try_from(offset / spacing).ok()?;
        if u32::from(queue) >= self.queues() {
            return None;
        }
        let (register, byte) = match offset % spacing {
            byte @ 0..8 => (EcmdqRegister::Base, byte),
            byte @ 8..12 => (EcmdqRegister::Prod, byte - 8),
            byte @ 12..16 => (EcmdqRegister::Cons, byte - 12),
            _ => return None,
        };
        Some((EcmdqPlace::Queue(queue, register), byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: EcmdqLayout = EcmdqLayout { log2_pages: 1, log2_queues: 4 };

    #[test]
    fn queues_are_spaced_evenly_over_their_page() {
        let cons = |queue| Some((EcmdqPlace::Queue(queue, EcmdqRegister::Cons), 0));
        assert_eq!(LAYOUT.at(0x3_000c), cons(0));
        assert_eq!(LAYOUT.at(0x3_100c), cons(1));
        assert_eq!(LAYOUT.at(0x4_000c), cons(16));
        assert_eq!(LAYOUT.at(0x3_0010), None);
        assert_eq!(LAYOUT.at(0x5_0000), None);
    }

    #[test]
    fn page_0_tells_where_the_control_pages_are() {
        assert_eq!(LAYOUT.at(0x4024), Some((EcmdqPlace::PageBase(1), 4)));
        assert_eq!(LAYOUT.at(0x402c), Some((EcmdqPlace::PageStatus(1), 0)));
        assert_eq!(LAYOUT.at(0x4040), None);
        assert_eq!(u64::from(LAYOUT.page_base(1)), 0x4_0003);
    }
}
