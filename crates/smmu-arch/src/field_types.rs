//! Types of the fields of queue entries.
//!
//! They convert while they cut: a 52-bit page number is read as the address it stands for, and bits
//! that a field has no room for are dropped. So an encoder never fails and a decoder never shifts.

use modular_bitfield::Specifier;
use modular_bitfield::error::{InvalidBitPattern, OutOfBounds};

use crate::{Asid, StreamId, SubstreamId, Vmid};

/// A field of `$bits` bits that stands for `$inner`, scaled by 2^`$shift`.
macro_rules! scaled_field {
    ($($(#[$doc:meta])* $name:ident: $bits:literal bits of $stored:ty, $value:ty => $inner:ty, shift $shift:literal;)*) => {$(
        $(#[$doc])*
        pub enum $name {}

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
    /// Address bits 51:12.
    Address51To12: 40 bits of u64, u64 => u64, shift 12;
    /// Address bits 55:3.
    Address55To3: 53 bits of u64, u64 => u64, shift 3;
    /// Address bits 55:16.
    Address55To16: 40 bits of u64, u64 => u64, shift 16;
    /// Address bits 47:5.
    Address47To5: 43 bits of u64, u64 => u64, shift 5;
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
