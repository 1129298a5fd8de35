//! One line for each legality rule: the `rules!` macro makes the error enum, its identifiers and
//! the predicates from the same table.

/// Declares an enum of legality rules. A line is `Variant "ID", "what is wrong" => predicate;`.
macro_rules! rules {
    (
        $(#[$($meta:tt)*])*
        $name:ident($($arg:ident: $ty:ty),*) {
            $( $variant:ident $id:literal, $text:literal => $broken:expr; )*
        }
    ) => {
        $(#[$($meta)*])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name {
            $( #[doc = concat!($id, ": ", $text, ".")] $variant, )*
        }

        impl $name {
            /// Every rule, in the order of the check.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Identifier of the rule in the project's specification tables.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id),* }
            }

            fn is_broken(self, $($arg: $ty),*) -> bool {
                match self { $(Self::$variant => $broken),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => concat!($id, ": ", $text)),* })
            }
        }

        impl std::error::Error for $name {}
    };
}
pub(crate) use rules;
