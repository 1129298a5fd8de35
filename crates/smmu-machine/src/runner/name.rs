//! Names of actors that do not depend on the order of their steps.

use smmu_arch::CommandQueueId;
use std::fmt;

/// An actor of a machine: the `number`th of its family.
///
/// Who makes the same steps in another order meets the same names, so that a schedule is a list of
/// them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ActorName {
    /// What it is, and whose.
    pub family: Family,
    /// From 0, in the order of their start.
    pub number: u32,
}

/// Actors that start one after the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// CPUs.
    Cpu,
    /// Stores of a CPU that memory has not seen yet.
    Store {
        /// Number of the CPU.
        cpu: u32,
    },
    /// Devices that make a list of transfers.
    Dma,
    /// Translations for a device.
    Walk {
        /// Number of the device.
        dma: u32,
    },
    /// Reads of single words of a structure.
    Word {
        /// Number of the device.
        dma: u32,
        /// Number of its translation.
        walk: u32,
    },
    /// Commands of a queue.
    Command {
        /// SMMU.
        smmu: u8,
        /// Queue.
        queue: CommandQueueId,
    },
    /// Event records of an SMMU.
    Event {
        /// SMMU.
        smmu: u8,
    },
    /// Other background work of an SMMU: interrupts, page requests, ATOS.
    Work {
        /// SMMU.
        smmu: u8,
    },
    /// Parts of an SMMU in the DSBs of a CPU.
    Dsb {
        /// SMMU.
        smmu: u8,
        /// Number of the CPU.
        cpu: u32,
    },
    /// Invalidation requests of an SMMU to endpoints.
    Atc {
        /// SMMU.
        smmu: u8,
    },
}

impl fmt::Display for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::Cpu => f.write_str("cpu"),
            Family::Store { cpu } => write!(f, "cpu{cpu}.store"),
            Family::Dma => f.write_str("dma"),
            Family::Walk { dma } => write!(f, "dma{dma}.walk"),
            Family::Word { dma, walk } => write!(f, "dma{dma}.walk{walk}.word"),
            Family::Command { smmu, queue: CommandQueueId::Main } => {
                write!(f, "smmu{smmu}.command")
            }
            Family::Command { smmu, queue: CommandQueueId::Enhanced(queue) } => {
                write!(f, "smmu{smmu}.ecmdq{queue}.command")
            }
            Family::Command { smmu, queue: CommandQueueId::Virtual(queue) } => {
                write!(f, "smmu{smmu}.vcmdq{queue}.command")
            }
            Family::Event { smmu } => write!(f, "smmu{smmu}.event"),
            Family::Work { smmu } => write!(f, "smmu{smmu}.work"),
            Family::Dsb { smmu, cpu } => write!(f, "smmu{smmu}.cpu{cpu}.dsb"),
            Family::Atc { smmu } => write!(f, "smmu{smmu}.atc"),
        }?;
        write!(f, "{}", self.number)
    }
}
