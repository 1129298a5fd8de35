//! One home for a layout: the `layout!` macro makes a bit-field struct and the table of its fields
//! from the same lines, so that a decoder by name can never disagree with the accessors.
//!
//! Registers, descriptors, STEs, CDs, commands and records are all declared by it. What a field
//! holds beside its bits (an address, an identifier) is the say of its type: see `field_types`.

/// One field of a register or structure. Bits count from bit 0 of the whole word or structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FieldInfo {
    /// The architecture's name, e.g. `SMMUEN`.
    pub name: &'static str,
    /// Highest bit.
    pub msb: u16,
    /// Lowest bit.
    pub lsb: u16,
}

impl FieldInfo {
    /// Width in bits, 1 to 64.
    #[must_use]
    pub const fn width(self) -> u32 {
        (self.msb - self.lsb) as u32 + 1
    }

    /// Which 64-bit word holds the field; no field crosses a word.
    #[must_use]
    pub const fn word(self) -> usize {
        (self.lsb / 64) as usize
    }

    /// The field's bits inside its 64-bit word.
    #[must_use]
    pub const fn mask(self) -> u64 {
        (u64::MAX >> (64 - self.width())) << (self.lsb % 64)
    }

    /// The same field where `bits` bits stand below its structure.
    pub(crate) const fn above(self, bits: u16) -> Self {
        Self { msb: self.msb + bits, lsb: self.lsb + bits, ..self }
    }

    /// The field's value in `words`; 0 where `words` is too short.
    #[must_use]
    pub fn extract(self, words: &[u64]) -> u64 {
        words.get(self.word()).map_or(0, |word| (word & self.mask()) >> (self.lsb % 64))
    }
}

/// Places fields one after the other: (name, width, reserved bits above), after `first_gap` reserved
/// bits. A field that crosses the end of a 64-bit word stops the compilation.
pub(crate) const fn place<const N: usize>(
    first_gap: usize,
    fields: [(&'static str, usize, usize); N],
) -> [FieldInfo; N] {
    let mut placed = [FieldInfo { name: "", msb: 0, lsb: 0 }; N];
    let mut lsb = first_gap;
    let mut index = 0;
    while index < N {
        let (name, width, gap) = fields[index];
        let msb = lsb + width - 1;
        assert!(lsb / 64 == msb / 64, "the field crosses a word");
        placed[index] = FieldInfo { name, msb: msb as u16, lsb: lsb as u16 };
        lsb += width + gap;
        index += 1;
    }
    placed
}

/// A word with the named fields set, for constants. An unknown name or a value that does not fit
/// stops the compilation when used in a constant.
pub(crate) const fn compose(fields: &[FieldInfo], values: &[(&str, u64)]) -> u64 {
    let mut word = 0;
    let mut index = 0;
    while index < values.len() {
        let (name, value) = values[index];
        let field = find(fields, name);
        let placed = value << field.lsb;
        assert!(placed & !field.mask() == 0 && placed >> field.lsb == value, "value too wide");
        word |= placed;
        index += 1;
    }
    word
}

const fn find(fields: &[FieldInfo], name: &str) -> FieldInfo {
    let mut index = 0;
    while index < fields.len() {
        if same(fields[index].name.as_bytes(), name.as_bytes()) {
            return fields[index];
        }
        index += 1;
    }
    panic!("no field of that name")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// Values of the fields in `words`, lowest bit first: the bits as they stand, a page number and not
/// the address.
pub(crate) fn read(fields: &[FieldInfo], words: &[u64]) -> Vec<(FieldInfo, u64)> {
    fields.iter().map(|field| (*field, field.extract(words))).collect()
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

/// Declares `#[bitfield]` structs and their field tables.
///
/// A line is `NAME accessor: type [B3];` from bit 0 up; `[B3]` are reserved bits above the field,
/// and a first line `[B4];` stands for reserved bits below all fields. The opcode of a command,
/// which no struct of fields holds, is such. `as [u64; N]` gives the conversions to and from the
/// words of memory.
///
/// A `pub` struct is part of the crate's interface and also gives all its values at once. Structs
/// without `pub`, of which there may be several in one call, stay inside: the module that declares
/// them is private.
macro_rules! layout {
    (@define $(#[$($meta:tt)*])* $name:ident($bits:tt) {
        $([$first:ident];)?
        $($(#[$($attribute:tt)*])* $arch:ident $field:ident: $ty:ident $([$($gap:ident)+])?;)*
    }) => {
        #[modular_bitfield::bitfield(bits = $bits)]
        $(#[$($meta)*])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name {
            $(#[skip] __: $first,)?
            $(
                $(#[$($attribute)*])* pub $field: $ty,
                $($(#[skip] __: $gap,)+)?
            )*
        }

        impl $name {
            /// Every field by its architectural name, lowest bit first.
            pub const FIELDS: &'static [$crate::FieldInfo] = &$crate::layout::place(
                0 $(+ <$first as modular_bitfield::Specifier>::BITS)?,
                [$((
                    stringify!($arch),
                    <$ty as modular_bitfield::Specifier>::BITS,
                    0 $($(+ <$gap as modular_bitfield::Specifier>::BITS)+)?,
                )),*],
            );
        }
    };
    (@values $name:ident {
        $([$first:ident];)?
        $($(#[$($attribute:tt)*])* $arch:ident $field:ident: $ty:ident $([$($gap:ident)+])?;)*
    }) => {
        impl $name {
            /// The values of the fields, in the order of [`Self::FIELDS`].
            #[must_use]
            #[allow(clippy::useless_conversion)]
            pub fn values(&self) -> Vec<u64> {
                vec![$(u64::from(self.$field())),*]
            }
        }
    };
    (@words $name:ident $words:literal) => {
        impl $name {
            /// From little-endian 64-bit words.
            #[must_use]
            pub fn from_words(words: &[u64; $words]) -> Self {
                Self::from_bytes($crate::layout::to_bytes(words))
            }

            /// To little-endian 64-bit words.
            #[must_use]
            pub fn into_words(self) -> [u64; $words] {
                $crate::layout::to_words(self.into_bytes())
            }
        }
    };
    (
        $(#[$($meta:tt)*])*
        pub $name:ident($bits:tt) $(as [u64; $words:literal])? { $($body:tt)* }
    ) => {
        $crate::layout::layout! { @define $(#[$($meta)*])* $name($bits) { $($body)* } }
        $crate::layout::layout! { @values $name { $($body)* } }
        $($crate::layout::layout! { @words $name $words })?
    };
    ($(
        $(#[$($meta:tt)*])*
        $name:ident($bits:tt) as [u64; $words:literal] { $($body:tt)* }
    )*) => {$(
        $crate::layout::layout! {
            @define $(#[$($meta)*])* $name($bits) { $($body)* }
        }
        $crate::layout::layout! { @words $name $words }
    )*};
}
pub(crate) use layout;
