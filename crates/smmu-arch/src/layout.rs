//! One home for a layout: the `layout!` macro makes a bit-field struct and the table of its fields
//! from the same lines, so that a decoder by name can never disagree with the accessors.

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

    /// The field's value in `words`; 0 where `words` is too short.
    #[must_use]
    pub fn extract(self, words: &[u64]) -> u64 {
        words.get(self.word()).map_or(0, |word| (word & self.mask()) >> (self.lsb % 64))
    }
}

/// Places fields one after the other: (name, width, RES0 bits above), after `first_gap` RES0 bits.
pub(crate) const fn place<const N: usize>(
    first_gap: usize,
    fields: [(&'static str, usize, usize); N],
) -> [FieldInfo; N] {
    let mut placed = [FieldInfo { name: "", msb: 0, lsb: 0 }; N];
    let mut lsb = first_gap;
    let mut index = 0;
    while index < N {
        let (name, width, gap) = fields[index];
        placed[index] = FieldInfo { name, msb: (lsb + width - 1) as u16, lsb: lsb as u16 };
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

/// Declares a `#[bitfield]` struct and its field table. A line is
/// `NAME accessor: type [B3];` from bit 0 up; `[B3]` are RES0 bits above the field, and a first
/// line `[B4];` stands for RES0 bits below all fields.
macro_rules! layout {
    (
        $(#[$($meta:tt)*])*
        $name:ident($bits:tt) {
            $([$first:ident];)?
            $( $(#[doc = $doc:literal])* $arch:ident $field:ident: $ty:ident $([$gap:ident])?; )*
        }
    ) => {
        #[modular_bitfield::bitfield(bits = $bits)]
        $(#[$($meta)*])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name {
            $(#[skip] __: $first,)?
            $(
                $(#[doc = $doc])* pub $field: $ty,
                $(#[skip] __: $gap,)?
            )*
        }

        impl $name {
            /// Every field by its architectural name, lowest bit first.
            pub const FIELDS: &'static [$crate::FieldInfo] = &$crate::layout::place(
                0 $(+ <$first as modular_bitfield::Specifier>::BITS)?,
                [$((
                    stringify!($arch),
                    <$ty as modular_bitfield::Specifier>::BITS,
                    0 $(+ <$gap as modular_bitfield::Specifier>::BITS)?,
                )),*],
            );

            /// The values of the fields, in the order of [`Self::FIELDS`].
            #[must_use]
            #[allow(clippy::useless_conversion)]
            pub fn values(&self) -> Vec<u64> {
                vec![$(u64::from(self.$field())),*]
            }
        }
    };
}
pub(crate) use layout;
