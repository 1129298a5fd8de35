//! Registers of NVIDIA's Tegra241 CMDQ-Virtualization block (CMDQV).
//!
//! Source: Linux, drivers/iommu/arm/arm-smmu-v3/tegra241-cmdqv.c, as far as software uses the block.
//! VCMDQ_PROD and VCMDQ_CONS are laid out as [`CmdqProd`](super::CmdqProd) and
//! [`CmdqCons`](super::CmdqCons).

use super::Page;
use crate::field_types::{Address47To5, Number4};
use crate::layout::layout;
use modular_bitfield::prelude::*;

layout! {
    /// `CONFIG`: the switch of the block.
    #[repr(u32)]
    pub CmdqvConfig(32) {
        /// Enable.
        CMDQV_EN en: bool [B31];
    }
}
layout! {
    /// `PARAM`: what the block has.
    #[repr(u32)]
    pub CmdqvParam(32) {
        /// Version.
        VER ver: Number4;
        /// log2 of the virtual Command queues.
        NUM_VCMDQ_LOG2 log2_queues: Number4;
        /// log2 of the virtual interfaces.
        NUM_VINTF_LOG2 log2_interfaces: Number4;
        /// log2 of the StreamID slots of an interface.
        NUM_SID_PER_VM_LOG2 log2_streams: Number4 [B16];
    }
}
layout! {
    /// `STATUS`.
    #[repr(u32)]
    pub CmdqvStatus(32) {
        /// Acknowledges the enable.
        CMDQV_ENABLED enabled: bool [B31];
    }
}
layout! {
    /// `CMDQ_ALLOC(q)`: whose physical queue `q` is.
    #[repr(u32)]
    pub CmdqvCmdqAlloc(32) {
        /// It is somebody's.
        ALLOCATED allocated: bool;
        /// Its number inside the interface.
        LVCMDQ lvcmdq: B7 [B7];
        /// The interface.
        VINTF vintf: B6 [B11];
    }
}
layout! {
    /// `VINTF(v)_CONFIG`: a virtual interface.
    #[repr(u32)]
    pub CmdqvVintfConfig(32) {
        /// Enable.
        VINTF_EN en: bool;
        /// VMID that takes the place of the one in a guest's TLBI commands.
        VINTF_VMID vmid: B16;
        /// The hypervisor's own interface: every command passes.
        VINTF_HYP_OWN hyp_own: bool [B14];
    }
}
layout! {
    /// `VINTF(v)_STATUS`.
    #[repr(u32)]
    pub CmdqvVintfStatus(32) {
        /// Acknowledges the enable.
        VINTF_ENABLED enabled: bool;
        /// Error status; its values are not public.
        VINTF_STATUS status: B3 [B28];
    }
}
layout! {
    /// `VINTF(v)_SID_MATCH(s)`: a guest's StreamID.
    #[repr(u32)]
    pub CmdqvSidMatch(32) {
        /// The slot is valid.
        SID_MATCH_ENABLE enable: bool;
        /// The StreamID as the guest says it.
        VIRT_SID virt_sid: B20 [B11];
    }
}
layout! {
    /// `VCMDQ(q)_CONFIG`.
    #[repr(u32)]
    pub VcmdqConfig(32) {
        /// Enable.
        VCMDQ_EN en: bool [B31];
    }
}
layout! {
    /// `VCMDQ(q)_STATUS`.
    #[repr(u32)]
    pub VcmdqStatus(32) {
        /// Acknowledges the enable.
        VCMDQ_ENABLED enabled: bool [B31];
    }
}
layout! {
    /// `VCMDQ(q)_GERROR` and `VCMDQ(q)_GERRORN`: an error is active while they differ.
    #[repr(u32)]
    pub VcmdqGerror(32) {
        /// A command is illegal or could not be read.
        CMDQ_ERR cmdq_err: bool [B31];
    }
}
layout! {
    /// `VCMDQ(q)_BASE`.
    #[repr(u64)]
    pub VcmdqBase(64) {
        /// log2 of the entries, capped by IDR1.CMDQS.
        LOG2SIZE log2size: B5;
        /// Base address.
        ADDR addr: Address47To5 [B16];
    }
}
layout! {
    /// `VCMDQ(q)_CONS_INDX_BASE`: where a copy of the consumer index goes.
    #[repr(u64)]
    pub VcmdqConsIndxBase(64) {
        [B5];
        /// Address; 0 for none.
        ADDR addr: Address47To5 [B16];
    }
}

/// A word of 32 bits of the block. Registers of 64 bits are two of them: the number tells which,
/// the low one first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "each is the register of its name")]
pub enum CmdqvWord {
    Config,
    Param,
    Status,
    VintfErrMap(u8),
    VintfIntMask(u8),
    CmdqErrMap(u8),
    CmdqAlloc(u8),
    Vintf(u8, VintfWord),
    /// A queue by its physical number.
    Physical(u8, VcmdqWord),
    /// A queue by its number inside an interface: the apertures that guests are given.
    Logical {
        vintf: u8,
        lvcmdq: u8,
        word: VcmdqWord,
    },
}

/// A word of a virtual interface.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "each is the register of its name")]
pub enum VintfWord {
    Config,
    Status,
    SidMatch(u8),
    SidReplace(u8),
    LvcmdqErrMap(u8),
}

/// A word of a virtual Command queue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "each is the register of its name")]
pub enum VcmdqWord {
    Cons,
    Prod,
    Config,
    Status,
    Gerror,
    Gerrorn,
    Base(u8),
    ConsIndxBase(u8),
}

/// Registers of a kind: name, offset of the first, bytes from one to the next, how many, bits of
/// each, and the word by index and half.
pub type CmdqvRow<W> = (&'static str, u64, u64, u64, u32, fn(u8, u8) -> W);

/// The page of the block itself.
#[rustfmt::skip]
pub const CMDQV_ROWS: &[CmdqvRow<CmdqvWord>] = &[
    ("CMDQV_CONFIG", 0x0, 4, 1, 32, |_, _| CmdqvWord::Config),
    ("CMDQV_PARAM", 0x4, 4, 1, 32, |_, _| CmdqvWord::Param),
    ("CMDQV_STATUS", 0x8, 4, 1, 32, |_, _| CmdqvWord::Status),
    // Software reads the maps of interfaces as 64 bits: their second words are the upper halves.
    ("CMDQV_VINTF_ERR_MAP", 0x14, 4, 2, 32, |index, _| CmdqvWord::VintfErrMap(index)),
    ("CMDQV_VINTF_INT_MASK", 0x1C, 4, 2, 32, |index, _| CmdqvWord::VintfIntMask(index)),
    ("CMDQV_CMDQ_ERR_MAPm", 0x24, 4, 4, 32, |index, _| CmdqvWord::CmdqErrMap(index)),
    ("CMDQV_CMDQ_ALLOCq", 0x200, 4, 128, 32, |index, _| CmdqvWord::CmdqAlloc(index)),
];
/// Interface 0; the next stands [`VINTF_STRIDE`] further on.
#[rustfmt::skip]
pub const VINTF_ROWS: &[CmdqvRow<VintfWord>] = &[
    ("CMDQV_VINTF_CONFIG", 0x1000, 4, 1, 32, |_, _| VintfWord::Config),
    ("CMDQV_VINTF_STATUS", 0x1004, 4, 1, 32, |_, _| VintfWord::Status),
    ("CMDQV_VINTF_SID_MATCHs", 0x1040, 4, 16, 32, |index, _| VintfWord::SidMatch(index)),
    ("CMDQV_VINTF_SID_REPLACEs", 0x1080, 4, 16, 32, |index, _| VintfWord::SidReplace(index)),
    ("CMDQV_VINTF_LVCMDQ_ERR_MAP", 0x10C0, 8, 2, 64, |index, half| VintfWord::LvcmdqErrMap(2 * index + half)),
];
/// Queue 0; the next stands [`VCMDQ_STRIDE`] further on.
#[rustfmt::skip]
pub const VCMDQ_ROWS: &[CmdqvRow<VcmdqWord>] = &[
    ("VCMDQ_CONS", 0x10000, 4, 1, 32, |_, _| VcmdqWord::Cons),
    ("VCMDQ_PROD", 0x10004, 4, 1, 32, |_, _| VcmdqWord::Prod),
    ("VCMDQ_CONFIG", 0x10008, 4, 1, 32, |_, _| VcmdqWord::Config),
    ("VCMDQ_STATUS", 0x1000C, 4, 1, 32, |_, _| VcmdqWord::Status),
    ("VCMDQ_GERROR", 0x10010, 4, 1, 32, |_, _| VcmdqWord::Gerror),
    ("VCMDQ_GERRORN", 0x10014, 4, 1, 32, |_, _| VcmdqWord::Gerrorn),
    ("VCMDQ_BASE", 0x20000, 8, 1, 64, |_, half| VcmdqWord::Base(half)),
    ("VCMDQ_CONS_INDX_BASE", 0x20008, 8, 1, 64, |_, half| VcmdqWord::ConsIndxBase(half)),
];

/// Bytes from one interface's registers to the next's.
pub const VINTF_STRIDE: u64 = 0x100;
/// Bytes from one queue's registers to the next's.
pub const VCMDQ_STRIDE: u64 = 0x80;
/// Most interfaces.
pub const VINTFS_MAX: u64 = 64;
/// Most queues.
pub const VCMDQS_MAX: u64 = 128;
/// StreamID slots of an interface.
pub const VINTF_STREAMS: usize = 16;

/// First interface, first queue's page 0, and first aperture.
const VINTFS: u64 = 0x1000;
const QUEUES: u64 = Page::SIZE as u64;
const APERTURES: u64 = 3 * Page::SIZE as u64;

/// Bytes of the block's registers.
pub const CMDQV_BYTES: u64 = APERTURES + VINTFS_MAX * 2 * Page::SIZE as u64;

impl CmdqvWord {
    /// The word at `offset`, which is a multiple of 4.
    #[must_use]
    pub fn at(offset: u64) -> Option<Self> {
        if offset < VINTFS {
            return find(CMDQV_ROWS, offset);
        }
        if let Some(from) = offset.checked_sub(APERTURES) {
            let (aperture, within) = (from / QUEUES, from % QUEUES);
            let (vintf, page) = (aperture / 2, aperture % 2);
            let (lvcmdq, word) = vcmdq_at(QUEUES * (1 + page) + within)?;
            let vintf = u8::try_from(vintf).ok().filter(|&vintf| u64::from(vintf) < VINTFS_MAX)?;
            return Some(Self::Logical { vintf, lvcmdq, word });
        }
        if offset >= QUEUES {
            return vcmdq_at(offset).map(|(queue, word)| Self::Physical(queue, word));
        }
        let from = offset - VINTFS;
        let vintf = from / VINTF_STRIDE;
        let word = find(VINTF_ROWS, VINTFS + from % VINTF_STRIDE)?;
        (vintf < VINTFS_MAX).then_some(Self::Vintf(vintf as u8, word))
    }
}

/// A word of one of the two pages of queues.
fn vcmdq_at(offset: u64) -> Option<(u8, VcmdqWord)> {
    let (page, within) = (offset - offset % QUEUES, offset % QUEUES);
    let queue = within / VCMDQ_STRIDE;
    let word = find(VCMDQ_ROWS, page + within % VCMDQ_STRIDE)?;
    (queue < VCMDQS_MAX).then_some((queue as u8, word))
}

fn find<W>(rows: &[CmdqvRow<W>], offset: u64) -> Option<W> {
    rows.iter().find_map(|&(_, first, stride, count, _, word)| {
        let from = offset.checked_sub(first)?;
        let (index, half) = (from / stride, from % stride / 4);
        (index < count).then(|| word(index as u8, half as u8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_by_its_offset() {
        use CmdqvWord as W;
        assert_eq!(CmdqvWord::at(0x204), Some(W::CmdqAlloc(1)));
        assert_eq!(CmdqvWord::at(0x400), None);
        assert_eq!(CmdqvWord::at(0x1144), Some(W::Vintf(1, VintfWord::SidMatch(1))));
        assert_eq!(CmdqvWord::at(0x10cc), Some(W::Vintf(0, VintfWord::LvcmdqErrMap(3))));
        assert_eq!(CmdqvWord::at(0x5000), None);
        assert_eq!(CmdqvWord::at(0x1_0084), Some(W::Physical(1, VcmdqWord::Prod)));
        assert_eq!(CmdqvWord::at(0x2_0084), Some(W::Physical(1, VcmdqWord::Base(1))));
        assert_eq!(CmdqvWord::at(0x1_4000), None);
    }

    #[test]
    fn an_aperture_shows_both_pages_of_an_interfaces_queues() {
        let logical = |vintf, lvcmdq, word| Some(CmdqvWord::Logical { vintf, lvcmdq, word });
        assert_eq!(CmdqvWord::at(0x3_0004), logical(0, 0, VcmdqWord::Prod));
        assert_eq!(CmdqvWord::at(0x5_0080), logical(1, 1, VcmdqWord::Cons));
        assert_eq!(CmdqvWord::at(0x6_0080), logical(1, 1, VcmdqWord::Base(0)));
        assert_eq!(CmdqvWord::at(CMDQV_BYTES), None);
    }
}
