//! Memory attributes that accompany an address.
//!
//! Architecture: section "Memory attributes and types". They never cause a fault except through
//! STE.S2PTW; the emulator carries them so that a translation can be shown and compared.

/// Memory type in the encoding of one MAIR byte: outer in bits 7:4, inner in bits 3:0; a Device
/// type has 0 in bits 7:4.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MemoryType(pub u8);

impl MemoryType {
    /// Device-nGnRnE, the strongest type.
    pub const DEVICE_NGNRNE: Self = Self(0x00);
    /// Normal, Non-cacheable.
    pub const NORMAL_NC: Self = Self(0x44);
    /// Normal, Write-Back, read and write allocate: what a client gets that says nothing.
    pub const NORMAL_WB: Self = Self(0xff);

    /// Whether this is any Device type.
    #[must_use]
    pub const fn is_device(self) -> bool {
        self.0 & 0xf0 == 0
    }
}

/// Shareability of Normal memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Shareability {
    /// Non-shareable.
    Non,
    /// Inner Shareable.
    Inner,
    /// Outer Shareable.
    Outer,
}

impl Shareability {
    /// From the two-bit SH field; the reserved encoding 1 counts as 0.
    #[must_use]
    pub const fn from_sh(bits: u8) -> Self {
        match bits {
            2 => Self::Outer,
            3 => Self::Inner,
            _ => Self::Non,
        }
    }

    /// The two-bit SH field.
    #[must_use]
    pub const fn to_sh(self) -> u8 {
        match self {
            Self::Non => 0,
            Self::Outer => 2,
            Self::Inner => 3,
        }
    }
}

/// Type and shareability together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Attributes {
    /// Memory type.
    pub memory: MemoryType,
    /// Shareability; Device memory is always Outer Shareable.
    pub shareability: Shareability,
}

impl Attributes {
    /// What a transaction has that carries no attributes: Write-Back, Non-shareable.
    pub const DEFAULT: Self =
        Self { memory: MemoryType::NORMAL_WB, shareability: Shareability::Non };

    /// A type with the shareability that is asked for: Device memory and fully Non-cacheable memory
    /// are Outer Shareable whatever it is.
    #[inline(always)]
    #[must_use]
    pub fn new(memory: MemoryType, shareability: Shareability) -> Self {
        let outer = memory.is_device() || memory == MemoryType::NORMAL_NC;
        Self { memory, shareability: if outer { Shareability::Outer } else { shareability } }
    }

    /// Combines the attributes of two stages: the stronger type of each of inner and outer, the
    /// wider shareability.
    #[must_use]
    pub fn combine(self, other: Self) -> Self {
        let shareability = self.shareability.max(other.shareability);
        Self::new(combine_types(self.memory, other.memory), shareability)
    }

    /// Stage 2 leaf attributes from the 4-bit MemAttr field without S2FWB, and SH.
    #[must_use]
    pub fn from_stage2(memattr: u8, sh: u8) -> Self {
        Self { memory: stage2_type(memattr), shareability: Shareability::from_sh(sh) }
    }
}

/// Memory type of a 4-bit MemAttr (STE.MemAttr, stage 2 descriptors): 0 to 3 Device, otherwise
/// outer and inner two-bit cacheabilities; reserved encodings count as Device-nGnRnE.
fn stage2_type(memattr: u8) -> MemoryType {
    let half = |bits: u8| match bits {
        1 => 0x4,
        2 => 0xb,
        _ => 0xf,
    };
    match (memattr >> 2 & 3, memattr & 3) {
        (0, device) => MemoryType(device << 2),
        (_, 0) => MemoryType::DEVICE_NGNRNE,
        (outer, inner) => MemoryType(half(outer) << 4 | half(inner)),
    }
}

fn combine_types(a: MemoryType, b: MemoryType) -> MemoryType {
    if a.is_device() || b.is_device() {
        // Among Device types the lower encoding is the stronger one.
        let strength = |t: MemoryType| if t.is_device() { t.0 & 0x0c } else { 0x0c };
        return MemoryType(strength(a).min(strength(b)));
    }
    let weaker_half = |x: u8, y: u8| {
        let rank = |half: u8| match half {
            0x4 => 0,               // Non-cacheable
            h if h & 0x4 == 0 => 1, // Write-Through (transient or not)
            _ => 2,                 // Write-Back
        };
        if rank(x) <= rank(y) { x } else { y }
    };
    MemoryType(weaker_half(a.0 >> 4, b.0 >> 4) << 4 | weaker_half(a.0 & 15, b.0 & 15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stronger_type_wins() {
        let wb = Attributes::DEFAULT;
        let device = Attributes { memory: MemoryType(0x04), shareability: Shareability::Non };
        let both = wb.combine(device);
        assert_eq!(both.memory, MemoryType(0x04));
        assert_eq!(both.shareability, Shareability::Outer);
        let nc = Attributes::from_stage2(5, 3);
        assert_eq!(nc.memory, MemoryType::NORMAL_NC);
        assert_eq!(wb.combine(nc).memory, MemoryType::NORMAL_NC);
    }

    #[test]
    fn stage2_types_of_the_plain_encoding() {
        assert_eq!(Attributes::from_stage2(0xf, 3).memory, MemoryType(0xff));
        assert_eq!(Attributes::from_stage2(0xa, 0).memory, MemoryType(0xbb));
        assert_eq!(Attributes::from_stage2(4, 0).memory, MemoryType::DEVICE_NGNRNE);
        assert_eq!(Attributes::from_stage2(3, 0).memory, MemoryType(0x0c));
    }
}
