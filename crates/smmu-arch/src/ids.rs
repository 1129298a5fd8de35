//! Identifiers and addresses: one type per identifier and per address space, so that a mixed-up
//! argument is a compile error.

use std::fmt;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl From<$name> for $inner {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        identifier!($(#[$doc])* $name(u64));

        impl $name {
            /// The address `bytes` further on. Wraps at 2^64, as address arithmetic in the
            /// architecture does.
            #[must_use]
            pub const fn offset(self, bytes: u64) -> Self {
                Self(self.0.wrapping_add(bytes))
            }

            /// The address with its `bits` low bits cleared.
            #[must_use]
            pub const fn align_down(self, bits: u32) -> Self {
                Self(if bits >= 64 { 0 } else { self.0 >> bits << bits })
            }

            /// Whether the `bits` low bits are zero.
            #[must_use]
            pub const fn is_aligned(self, bits: u32) -> bool {
                self.align_down(bits).0 == self.0
            }
        }
    };
}

identifier! {
    /// StreamID: which device a transaction comes from.
    StreamId(u32)
}
identifier! {
    /// SubstreamID: which context of a device; the PASID of PCI Express. At most 20 bits.
    SubstreamId(u32)
}
identifier! {
    /// Virtual machine identifier: tags translations of EL1 worlds where stage 2 is implemented.
    Vmid(u16)
}
identifier! {
    /// Address space identifier: tags non-global stage 1 translations.
    Asid(u16)
}
identifier! {
    /// Number of one SMMU of a machine.
    SmmuId(u8)
}
identifier! {
    /// A port: one source of transactions with its own place in the SMMU (a TBU port).
    PortId(u16)
}
identifier! {
    /// Number of a transaction that is held by the stall model. It is never used again, unlike the
    /// STAG of its record; software does not see it.
    StallTicket(u64)
}
/// One of the Command queues of an SMMU. A CMD_SYNC covers the commands of its own queue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CommandQueueId {
    /// The Command queue that every SMMU has (SMMU_CMDQ).
    Main,
    /// An enhanced Command queue (SMMU_ECMDQ), counted over all control pages.
    Enhanced(u16),
    /// A virtual Command queue of a CMDQV block, by its physical number.
    Virtual(u8),
}

impl fmt::Display for CommandQueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => f.write_str("CMDQ"),
            Self::Enhanced(queue) => write!(f, "ECMDQ {queue}"),
            Self::Virtual(queue) => write!(f, "VCMDQ {queue}"),
        }
    }
}

address! {
    /// I/O virtual address: what a device puts on the bus in front of the SMMU.
    Iova
}
address! {
    /// Intermediate physical address: the output of stage 1, the input of stage 2.
    Ipa
}
address! {
    /// Physical address.
    Pa
}
