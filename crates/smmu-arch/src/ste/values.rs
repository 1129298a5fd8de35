//! Encodings of STE fields.

use crate::Shareability;

/// STE.Config: which stages translate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StreamConfig {
    /// Abort without an event (encodings 0 to 3).
    Abort,
    /// Neither stage translates.
    Bypass,
    /// Stage 1 only.
    Stage1,
    /// Stage 2 only.
    Stage2,
    /// Both stages.
    Nested,
}

impl StreamConfig {
    /// Stage 1 is enabled.
    #[must_use]
    pub const fn has_stage1(self) -> bool {
        matches!(self, Self::Stage1 | Self::Nested)
    }

    /// Stage 2 is enabled.
    #[must_use]
    pub const fn has_stage2(self) -> bool {
        matches!(self, Self::Stage2 | Self::Nested)
    }

    /// From the 3-bit field.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits {
            4 => Self::Bypass,
            5 => Self::Stage1,
            6 => Self::Stage2,
            7 => Self::Nested,
            _ => Self::Abort,
        }
    }

    /// To the 3-bit field; `Abort` is 0.
    #[must_use]
    pub const fn to_bits(self) -> u8 {
        match self {
            Self::Abort => 0,
            Self::Bypass => 4,
            Self::Stage1 => 5,
            Self::Stage2 => 6,
            Self::Nested => 7,
        }
    }
}

/// Declares an enum of a two-bit field; encodings not listed count as the first one.
macro_rules! two_bits {
    (
        $(#[doc = $doc:literal])*
        $name:ident { $(#[doc = $first_doc:literal])* $first:ident = 0, $($(#[doc = $vdoc:literal])* $variant:ident = $bits:literal),* }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name {
            $(#[doc = $first_doc])* $first,
            $($(#[doc = $vdoc])* $variant),*
        }

        impl $name {
            /// From the 2-bit field; a reserved encoding counts as 0.
            #[must_use]
            pub const fn from_bits(bits: u8) -> Self {
                match bits {
                    $($bits => Self::$variant,)*
                    _ => Self::$first,
                }
            }

            /// To the 2-bit field.
            #[must_use]
            pub const fn to_bits(self) -> u8 {
                match self {
                    Self::$first => 0,
                    $(Self::$variant => $bits,)*
                }
            }
        }
    };
}

two_bits! {
    /// STE.S1Fmt: shape of the CD table.
    CdFormat {
        /// One array.
        Linear = 0,
        /// Two levels with 4 KiB leaf tables of 64 CDs.
        Leaf4K = 1,
        /// Two levels with 64 KiB leaf tables of 1024 CDs.
        Leaf64K = 2
    }
}

two_bits! {
    /// STE.S1DSS: transactions without a SubstreamID where substreams are enabled.
    DefaultSubstream {
        /// Terminated with F_STREAM_DISABLED.
        Terminate = 0,
        /// Stage 1 is bypassed.
        Bypass = 1,
        /// CD 0 is used, and no transaction may name substream 0.
        Substream0 = 2
    }
}

two_bits! {
    /// STE.EATS: what the stream may do with ATS.
    Eats {
        /// No ATS.
        Disabled = 0,
        /// Full ATS: the device gets final addresses.
        Full = 1,
        /// Split-stage ATS: the device gets stage 1 outputs.
        Split = 2,
        /// Full ATS with DPT check; counts as `Disabled` in an SMMU without IDR3.DPT.
        Dpt = 3
    }
}

two_bits! {
    /// STE.PRIVCFG and GBPA.PRIVCFG: privilege of the stream's transactions.
    PrivilegeOverride {
        /// As the transaction says.
        Incoming = 0,
        /// Unprivileged.
        Unprivileged = 2,
        /// Privileged.
        Privileged = 3
    }
}

two_bits! {
    /// STE.INSTCFG and GBPA.INSTCFG: whether the stream's reads are instruction fetches.
    InstructionOverride {
        /// As the transaction says.
        Incoming = 0,
        /// Data.
        Data = 2,
        /// Instruction.
        Instruction = 3
    }
}

/// SHCFG: `None` keeps the incoming shareability.
pub(crate) const fn shareability_override(bits: u8) -> Option<Shareability> {
    match bits {
        1 => None,
        _ => Some(Shareability::from_sh(bits)),
    }
}

pub(super) const fn shareability_override_bits(shareability: Option<Shareability>) -> u8 {
    match shareability {
        None => 1,
        Some(shareability) => shareability.to_sh(),
    }
}
