//! How the encoded structures of the queues are declared: once, as `modular-bitfield` structs
//! whose fields bear the architecture's names.
//!
//! The field types below convert while they cut: a 52-bit page number is read as the address it
//! stands for, and bits that a field has no room for are dropped. So an encoder never fails and a
//! decoder never shifts.

use modular_bitfield::Specifier;
use modular_bitfield::error::{InvalidBitPattern, OutOfBounds};

use crate::{Asid, StreamId, SubstreamId, Vmid};

/// One field of an encoded structure, as a person reads it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Field {
    /// Name in the architecture.
    pub name: &'static str,
    /// Most significant bit, counted from bit 0 of the whole structure.
    pub msb: u16,
    /// Least significant bit.
    pub lsb: u16,
    /// The bits as they stand, not scaled: a page number, not the address.
    pub value: u64,
}

/// The runs of bits of a layout from bit 0 upward: name (`None` = opcode, event number or
/// reserved) and width.
pub(crate) type Runs = &'static [(Option<&'static str>, usize)];

/// Reads the named fields of a layout out of `words`.
pub(crate) fn fields(runs: Runs, words: &[u64]) -> Vec<Field> {
    let mut lsb = 0;
    let mut fields = Vec::new();
    for &(name, width) in runs {
        if let Some(name) = name {
            let value = bits(words, lsb, width);
            fields.push(Field { name, msb: (lsb + width - 1) as u16, lsb: lsb as u16, value });
        }
        lsb += width;
    }
    fields
}

/// `width` bits from bit `lsb` on. No field of 64 bits or less crosses more than one word end.
fn bits(words: &[u64], lsb: usize, width: usize) -> u64 {
    let word = |index: usize| u128::from(words.get(index).copied().unwrap_or(0));
    let both = word(lsb / 64) | word(lsb / 64 + 1) << 64;
    ((both >> (lsb % 64)) & ((1u128 << width) - 1)) as u64
}

/// The bytes of little-endian 64-bit words.
pub(crate) fn to_bytes<const WORDS: usize, const BYTES: usize>(
    words: &[u64; WORDS],
) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// The little-endian 64-bit words of bytes.
pub(crate) fn to_words<const WORDS: usize, const BYTES: usize>(bytes: [u8; BYTES]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = chunk.iter().rev().fold(0, |high, &byte| high << 8 | u64::from(byte));
    }
    words
}

/// Declares a bit-field struct over 64-bit words, bit 0 first. `= "Name"` gives a field its name
/// in the architecture; what bears none is not shown to people.
macro_rules! layout {
    ($(
        $(#[$doc:meta])*
        struct $name:ident: $words:literal words, $bits:literal bits {
            $($(#[$attribute:meta])* $field:ident: $ty:ident $(= $label:literal)?,)*
        }
    )*) => {$(
        $(#[$doc])*
        #[modular_bitfield::bitfield(bits = $bits)]
        #[derive(Clone, Copy)]
        pub(super) struct $name {
            $($(#[$attribute])* pub(super) $field: $ty,)*
        }

        impl $name {
            /// Runs of bits, for [`crate::queue_layout::fields`].
            pub(super) const RUNS: $crate::queue_layout::Runs = &[$((
                layout!(@label $($label)?),
                <$ty as modular_bitfield::Specifier>::BITS,
            ),)*];

            pub(super) fn from_words(words: &[u64; $words]) -> Self {
                Self::from_bytes($crate::queue_layout::to_bytes(words))
            }

            pub(super) fn into_words(self) -> [u64; $words] {
                $crate::queue_layout::to_words(self.into_bytes())
            }
        }
    )*};
    (@label) => { None };
    (@label $label:literal) => { Some($label) };
}
pub(crate) use layout;

/// A field of `$bits` bits that stands for `$inner`, scaled by 2^`$shift`.
macro_rules! scaled_field {
    ($($(#[$doc:meta])* $name:ident: $bits:literal bits of $stored:ty, $value:ty => $inner:ty, shift $shift:literal;)*) => {$(
        $(#[$doc])*
        pub(crate) enum $name {}

        impl Specifier for $name {
            const BITS: usize = $bits;
            type Bytes = $stored;
            type InOut = $value;

            fn into_bytes(input: $value) -> Result<$stored, OutOfBounds> {
                let value: $inner = input.into();
                Ok((value >> $shift) & (<$stored>::MAX >> (<$stored>::BITS - $bits)))
            }

            fn from_bytes(bytes: $stored) -> Result<$value, InvalidBitPattern<$stored>> {
                Ok((bytes << $shift).into())
            }
        }
    )*};
}

scaled_field! {
    /// StreamID.
    StreamIdField: 32 bits of u32, StreamId => u32, shift 0;
    /// SubstreamID.
    SubstreamIdField: 20 bits of u32, SubstreamId => u32, shift 0;
    /// VMID.
    VmidField: 16 bits of u16, Vmid => u16, shift 0;
    /// ASID.
    AsidField: 16 bits of u16, Asid => u16, shift 0;
    /// Address bits 63:12.
    Address63To12: 52 bits of u64, u64 => u64, shift 12;
    /// Address bits 55:12.
    Address55To12: 44 bits of u64, u64 => u64, shift 12;
    /// Address bits 55:3.
    Address55To3: 53 bits of u64, u64 => u64, shift 3;
    /// Address bits 55:2.
    Address55To2: 54 bits of u64, u64 => u64, shift 2;
    /// A number of 2 bits.
    Number2: 2 bits of u8, u8 => u8, shift 0;
    /// A number of 4 bits.
    Number4: 4 bits of u8, u8 => u8, shift 0;
    /// A number of 5 bits.
    Number5: 5 bits of u8, u8 => u8, shift 0;
    /// A number of 6 bits.
    Number6: 6 bits of u8, u8 => u8, shift 0;
    /// A number of 9 bits.
    Number9: 9 bits of u16, u16 => u16, shift 0;
}
