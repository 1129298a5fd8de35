//! Operands of TLBI instructions: the 64 bits of Xt.
//!
//! Architecture: DDI 0487, the TLBI system instructions, without FEAT_LPA2 and FEAT_D128.

use modular_bitfield::specifiers::*;

use crate::field_types::{Address51To12, Address55To12, AsidField, Number2, Number4, Number5};
use crate::layout::layout;
use crate::{Asid, Granule, TlbiRange};

layout! {
    /// One virtual address.
    VaOperand(64) as [u64; 1] {
        VA va: Address55To12;
        TTL ttl: Number4;
        ASID asid: AsidField;
    }

    /// One IPA.
    IpaOperand(64) as [u64; 1] {
        IPA ipa: Address51To12 [B4];
        TTL ttl: Number4 [B15];
        NS ns: bool;
    }

    /// A range of virtual addresses. That of IPAs has no ASID.
    RangeOperand(64) as [u64; 1] {
        BaseADDR base: B37;
        TTL ttl: Number2;
        NUM num: Number5;
        SCALE scale: Number2;
        TG tg: Number2;
        ASID asid: AsidField;
    }
}

/// Which of the two halves of the virtual addresses, told by the highest bit that is encoded.
const fn sign_extended(address: u64, bits: u32) -> u64 {
    ((address << (64 - bits)) as i64 >> (64 - bits)) as u64
}

/// The ASID of an operand by address: it stands at one place in all of them.
pub(super) fn asid(xt: u64) -> Asid {
    VaOperand::from_words(&[xt]).asid()
}

/// One virtual address.
pub(super) fn va(xt: u64, leaf: bool) -> TlbiRange {
    let operand = VaOperand::from_words(&[xt]);
    hinted(TlbiRange::single(sign_extended(operand.va(), 56), leaf), operand.ttl())
}

/// One IPA.
pub(super) fn ipa(xt: u64, leaf: bool) -> TlbiRange {
    let operand = IpaOperand::from_words(&[xt]);
    hinted(TlbiRange::single(operand.ipa(), leaf), operand.ttl())
}

/// A range of virtual addresses; `None` for the reserved granule, which names nothing.
pub(super) fn va_range(xt: u64, leaf: bool) -> Option<TlbiRange> {
    let range = ipa_range(xt, leaf)?;
    let bits = 37 + range.granule?.shift();
    Some(TlbiRange { address: sign_extended(range.address, bits), ..range })
}

/// A range of IPAs: NUM + 1 times 2^(5 * SCALE + 1) granules from BaseADDR on, which counts
/// granules too.
pub(super) fn ipa_range(xt: u64, leaf: bool) -> Option<TlbiRange> {
    let operand = RangeOperand::from_words(&[xt]);
    let granule = Granule::from_command_tg(operand.tg())?;
    let (address, scale) = (operand.base() << granule.shift(), 5 * operand.scale() + 1);
    let range = TlbiRange::granules(address, granule, operand.num(), scale, leaf);
    Some(range.with_level(operand.ttl()))
}

/// TTL of a single address: the granule in its high bits, the level in its low ones. What is
/// reserved tells nothing.
fn hinted(single: TlbiRange, ttl: u8) -> TlbiRange {
    match (Granule::from_command_tg(ttl >> 2), ttl & 3) {
        (None, _) | (_, 0) | (Some(Granule::K16), 1) => single,
        (granule, level) => TlbiRange { granule, ..single }.with_level(level),
    }
}
