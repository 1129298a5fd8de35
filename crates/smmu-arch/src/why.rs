//! What a memory access of an SMMU or a CPU is for.
//!
//! Fault classes, statistics, PMCG events and traces are told apart by this and nothing else.

use std::fmt;

/// A stage of translation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    /// Stage 1: VA (IOVA) to IPA, or to PA where stage 2 is off.
    Stage1,
    /// Stage 2: IPA to PA.
    Stage2,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stage1 => "stage 1",
            Self::Stage2 => "stage 2",
        })
    }
}

/// What is fetched or written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Why {
    /// Level 1 stream table descriptor.
    L1Std,
    /// Stream table entry.
    Ste,
    /// Level 1 context descriptor.
    L1Cd,
    /// Context descriptor.
    Cd,
    /// Translation table descriptor.
    Descriptor {
        /// Stage of the table.
        stage: Stage,
        /// Level, -1 to 3.
        level: i8,
    },
    /// Entry of the Command queue.
    Command,
    /// Record of the Event queue.
    Event,
    /// Record of the PRI queue.
    PageRequest,
    /// Message-signalled interrupt.
    Msi,
    /// The data of a DMA.
    Data,
    /// An access of a CPU.
    Cpu,
}

impl Why {
    /// Part of a configuration look-up (PMCG event 5, `config_struct_access`).
    #[must_use]
    pub const fn is_configuration(self) -> bool {
        matches!(self, Self::L1Std | Self::Ste | Self::L1Cd | Self::Cd)
    }

    /// Part of a translation table walk (PMCG event 4, `trans_table_walk_access`).
    #[must_use]
    pub const fn is_walk(self) -> bool {
        matches!(self, Self::Descriptor { .. })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::L1Std => f.write_str("L1STD"),
            Self::Ste => f.write_str("STE"),
            Self::L1Cd => f.write_str("L1CD"),
            Self::Cd => f.write_str("CD"),
            Self::Descriptor { stage, level } => write!(f, "{stage} level {level} descriptor"),
            Self::Command => f.write_str("command"),
            Self::Event => f.write_str("event record"),
            Self::PageRequest => f.write_str("page request"),
            Self::Msi => f.write_str("MSI"),
            Self::Data => f.write_str("data"),
            Self::Cpu => f.write_str("CPU"),
        }
    }
}
