//! The declaration of one register.

/// Declares a register: `Name "NAME" Page offset Access Guard, word bits { fields }`.
macro_rules! register {
    (
        $(#[doc = $doc:literal])*
        $name:ident $arch:literal $page:ident $offset:literal $access:ident $guard:ident,
        $word:ident $bits:tt { $($fields:tt)* }
    ) => {
        $crate::layout::layout! {
            $(#[doc = $doc])*
            #[repr($word)]
            pub $name($bits) { $($fields)* }
        }

        impl $crate::registers::Register for $name {
            const NAME: &'static str = $arch;
            const PAGE: $crate::registers::Page = $crate::registers::Page::$page;
            const OFFSET: u32 = $offset;
            const WIDTH: u32 = $bits;
            const ACCESS: $crate::registers::AccessRule = $crate::registers::AccessRule::$access;
            const GUARD: $crate::registers::Guard = $crate::registers::Guard::$guard;
            const FIELDS: &'static [$crate::FieldInfo] = Self::FIELDS;

            fn from_word(word: u64) -> Self {
                Self::from(word as $word)
            }

            #[allow(clippy::useless_conversion)]
            fn to_word(self) -> u64 {
                u64::from($word::from(self))
            }

            fn values(&self) -> Vec<u64> {
                Self::values(self)
            }
        }
    };
}
pub(super) use register;
