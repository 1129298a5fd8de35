//! TLBI commands: what is named and how it stands in the words.
//!
//! Architecture: section "TLB invalidation", with the range fields of IDR3.RIL.

use std::fmt;

use modular_bitfield::specifiers::*;

use super::{CommandFeatures, IllegalCommand, Leafed, Payload};
use crate::field_types::{
    Address55To12, Address63To12, AsidField, Number2, Number5, Number6, VmidField,
};
use crate::layout::layout;
use crate::{AddressScope, Asid, Granule, Vmid};

layout! {
    /// Commands that name a VMID, an ASID or both. A command that has one of them only leaves
    /// the other RES0.
    TlbiTagWords(128) as [u64; 2] {
        [B32];
        VMID vmid: VmidField;
        ASID asid: AsidField [B64];
    }

    /// Commands by virtual address.
    TlbiVaWords(128) as [u64; 2] {
        [B12];
        NUM num: Number5 [B3];
        SCALE scale: Number6 [B6];
        VMID vmid: VmidField;
        ASID asid: AsidField;
        Leaf leaf: bool [B6];
        TTL128 ttl128: bool;
        TTL ttl: Number2;
        TG tg: Number2;
        Address address: Address63To12;
    }

    /// The command by IPA.
    TlbiIpaWords(128) as [u64; 2] {
        [B12];
        NUM num: Number5 [B3];
        SCALE scale: Number6 [B6];
        VMID vmid: VmidField [B16];
        Leaf leaf: bool [B6];
        TTL128 ttl128: bool;
        TTL ttl: Number2;
        TG tg: Number2;
        Address address: Address55To12 [B8];
    }
}

/// Which addresses a TLBI by address names, as encoded.
///
/// `num`, `scale` and `level` mean something only with a granule, and all four only where
/// IDR3.RIL = 1; [`TlbiRange::scope`] applies that.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlbiRange {
    /// First address: bits 63:12 of a VA, 55:12 of an IPA.
    pub address: u64,
    /// Leaf: only last-level information need be removed.
    pub leaf: bool,
    /// TG: granule of the range and of the level hint; `None` = a single address.
    pub granule: Option<Granule>,
    /// TTL: level of the leaf entries; 0 = no hint.
    pub level: u8,
    /// TTL128: the level hint counts tables of 128-bit descriptors.
    pub level_128: bool,
    /// NUM: granules, in units of 2^`scale`, minus 1. 0 to 31.
    pub num: u8,
    /// SCALE: 0 to 63; bit 5 counts only where IDR5.DS = 1.
    pub scale: u8,
}

impl TlbiRange {
    /// A single address.
    #[must_use]
    pub const fn single(address: u64, leaf: bool) -> Self {
        Self { address, leaf, granule: None, level: 0, level_128: false, num: 0, scale: 0 }
    }

    /// (`num` + 1) * 2^`scale` granules from `address` on.
    #[must_use]
    pub const fn granules(address: u64, granule: Granule, num: u8, scale: u8, leaf: bool) -> Self {
        Self { granule: Some(granule), num, scale, ..Self::single(address, leaf) }
    }

    /// The same range with a level hint.
    #[must_use]
    pub const fn with_level(self, level: u8) -> Self {
        Self { level, ..self }
    }

    /// The addresses, level and granule to compare. Addresses end at 2^64 - 1 at the latest.
    #[must_use]
    pub fn scope(&self, features: &CommandFeatures) -> AddressScope {
        let (first, leaf) = (self.address, self.leaf);
        let Some(granule) = self.granule.filter(|_| features.ril) else {
            return AddressScope { first, last: first, leaf, level: 0, granule: None };
        };
        let shift = granule.shift() + self.effective_scale(features);
        let size = (u128::from(self.num) + 1) << shift;
        let last = (u128::from(first) + size - 1).min(u128::from(u64::MAX)) as u64;
        let level = self.effective_level(features);
        AddressScope { first, last, leaf, level, granule: Some(granule) }
    }

    /// The range rule: TG alone, without range and without level, is illegal.
    pub(super) fn check(&self, features: &CommandFeatures) -> Result<(), IllegalCommand> {
        let empty = self.granule.is_some()
            && self.num == 0
            && self.effective_scale(features) == 0
            && self.effective_level(features) == 0;
        if features.ril && empty { Err(IllegalCommand::RangeRule) } else { Ok(()) }
    }

    /// Without IDR5.DS the field has five bits; with it, values above 39 count as 39.
    fn effective_scale(&self, features: &CommandFeatures) -> u32 {
        u32::from(if features.ds { self.scale.min(39) } else { self.scale & 31 })
    }

    /// A 16K granule has level 1 blocks only where IDR5.DS = 1; the hint is reserved otherwise.
    fn effective_level(&self, features: &CommandFeatures) -> u8 {
        let reserved = self.granule == Some(Granule::K16) && self.level == 1 && !features.ds;
        if reserved { 0 } else { self.level }
    }
}

impl fmt::Display for TlbiRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.address)?;
        if let Some(granule) = self.granule {
            write!(f, " tg={granule} num={} scale={} ttl={}", self.num, self.scale, self.level)?;
        }
        Leafed(self.leaf).fmt(f)
    }
}

/// The fields of a range stand at the same places in both layouts by address.
macro_rules! range_fields {
    ($($words:ident)*) => {$(
        impl $words {
            fn with_range(self, range: &TlbiRange) -> Self {
                self.with_num(range.num)
                    .with_scale(range.scale)
                    .with_leaf(range.leaf)
                    .with_ttl128(range.level_128)
                    .with_ttl(range.level)
                    .with_tg(range.granule.map_or(0, Granule::to_command_tg))
                    .with_address(range.address)
            }

            fn range(self) -> TlbiRange {
                TlbiRange {
                    address: self.address(),
                    leaf: self.leaf(),
                    granule: Granule::from_command_tg(self.tg()),
                    level: self.ttl(),
                    level_128: self.ttl128(),
                    num: self.num(),
                    scale: self.scale(),
                }
            }
        }
    )*};
}
range_fields!(TlbiVaWords TlbiIpaWords);

/// CMD_TLBI_NH_ALL and CMD_TLBI_S12_VMALL: a whole VMID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlbiVmid {
    /// VMID.
    pub vmid: Vmid,
}

impl TlbiVmid {
    pub(super) fn decode(words: &[u64; 2]) -> Self {
        let words = TlbiTagWords::from_words(words);
        Self { vmid: words.vmid() }
    }
}

impl Payload for TlbiVmid {
    fn encode(&self) -> [u64; 2] {
        TlbiTagWords::new().with_vmid(self.vmid).into_words()
    }
}

impl fmt::Display for TlbiVmid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vmid={}", self.vmid)
    }
}

/// CMD_TLBI_NH_ASID: an ASID of a VMID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlbiVmidAsid {
    /// VMID.
    pub vmid: Vmid,
    /// ASID.
    pub asid: Asid,
}

impl TlbiVmidAsid {
    pub(super) fn decode(words: &[u64; 2]) -> Self {
        let words = TlbiTagWords::from_words(words);
        Self { vmid: words.vmid(), asid: words.asid() }
    }
}

impl Payload for TlbiVmidAsid {
    fn encode(&self) -> [u64; 2] {
        TlbiTagWords::new().with_vmid(self.vmid).with_asid(self.asid).into_words()
    }
}

impl fmt::Display for TlbiVmidAsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vmid={} asid={}", self.vmid, self.asid)
    }
}

/// CMD_TLBI_EL2_ASID: an ASID of EL2-E2H.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlbiAsid {
    /// ASID.
    pub asid: Asid,
}

impl TlbiAsid {
    pub(super) fn decode(words: &[u64; 2]) -> Self {
        let words = TlbiTagWords::from_words(words);
        Self { asid: words.asid() }
    }
}

impl Payload for TlbiAsid {
    fn encode(&self) -> [u64; 2] {
        TlbiTagWords::new().with_asid(self.asid).into_words()
    }
}

impl fmt::Display for TlbiAsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asid={}", self.asid)
    }
}

/// CMD_TLBI_NH_VA: addresses in an ASID of a VMID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlbiVa {
    /// VMID.
    pub vmid: Vmid,
    /// ASID.
    pub asid: Asid,
    /// Virtual addresses.
    pub range: TlbiRange,
}

impl TlbiVa {
    pub(super) fn decode(words: &[u64; 2]) -> Self {
        let words = TlbiVaWords::from_words(words);
        Self { vmid: words.vmid(), asid: words.asid(), range: words.range() }
    }
}

impl Payload for TlbiVa {
    fn encode(&self) -> [u64; 2] {
        TlbiVaWords::new()
            .with_vmid(self.vmid)
            .with_asid(self.asid)
            .with_range(&self.range)
            .into_words()
    }
}

impl fmt::Display for TlbiVa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vmid={} asid={} va={}", self.vmid, self.asid, self.range)
    }
}

/// CMD_TLBI_NH_VAA: addresses in every ASID of a VMID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlbiVaa {
    /// VMID.
    pub vmid: Vmid,
    /// Virtual addresses.
    pub range: TlbiRange,
}

impl TlbiVaa {
    pub(super) fn decode(words: &[u64; 2]) -> Self {
        let words = TlbiVaWords::from_words(words);
        Self { vmid: words.vmid(), range: words.range() }
    }
}

impl Payload for TlbiVaa {
    fn encode(&self) -> [u64; 2] {
        TlbiVaWords::new().with_vmid(self.vmid).with_range(&self.range).into_words()
    }
}

impl fmt::Display for TlbiVaa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vmid={} va={}", self.vmid, self.range)
    }
}

/// CMD_TLBI_EL2_VA: addresses in an ASID of EL2-E2H, or of EL2, which has none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlbiEl2Va {
    /// ASID.
    pub asid: Asid,
    /// Virtual addresses.
    pub range: TlbiRange,
}

impl TlbiEl2Va {
    pub(super) fn decode(words: &[u64; 2]) -> Self {
        let words = TlbiVaWords::from_words(words);
        Self { asid: words.asid(), range: words.range() }
    }
}

impl Payload for TlbiEl2Va {
    fn encode(&self) -> [u64; 2] {
        TlbiVaWords::new().with_asid(self.asid).with_range(&self.range).into_words()
    }
}

impl fmt::Display for TlbiEl2Va {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asid={} va={}", self.asid, self.range)
    }
}

/// CMD_TLBI_EL2_VAA: addresses in every ASID of EL2-E2H, or of EL2.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlbiEl2Vaa {
    /// Virtual addresses.
    pub range: TlbiRange,
}

impl TlbiEl2Vaa {
    pub(super) fn decode(words: &[u64; 2]) -> Self {
        let words = TlbiVaWords::from_words(words);
        Self { range: words.range() }
    }
}

impl Payload for TlbiEl2Vaa {
    fn encode(&self) -> [u64; 2] {
        TlbiVaWords::new().with_range(&self.range).into_words()
    }
}

impl fmt::Display for TlbiEl2Vaa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "va={}", self.range)
    }
}

/// CMD_TLBI_S2_IPA: stage 2 of a VMID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlbiIpa {
    /// VMID.
    pub vmid: Vmid,
    /// Intermediate physical addresses.
    pub range: TlbiRange,
}

impl TlbiIpa {
    pub(super) fn decode(words: &[u64; 2]) -> Self {
        let words = TlbiIpaWords::from_words(words);
        Self { vmid: words.vmid(), range: words.range() }
    }
}

impl Payload for TlbiIpa {
    fn encode(&self) -> [u64; 2] {
        TlbiIpaWords::new().with_vmid(self.vmid).with_range(&self.range).into_words()
    }
}

impl fmt::Display for TlbiIpa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vmid={} ipa={}", self.vmid, self.range)
    }
}
