//! Reading the ID registers, and refusing what this driver cannot drive.

use super::events::EventQueue;
use super::ids::IdAllocator;
use super::queue::{BATCH_COMMANDS, CommandQueue};
use super::registers::RegisterFrame;
use super::strtab::StreamTable;
use super::vmid::VmidTable;
use super::{Env, Smmu};
use crate::guarded::{Guarded, LockNumbers};
use crate::{Errno, SmmuNode};
use smmu_arch::registers::{Aidr, Idr0, Idr1, Idr3, Idr5};
use smmu_arch::{Endianness, Features, Granule, IdRegisters, SmmuId, StreamId};
use thiserror::Error;

/// Why the kernel did not boot.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ProbeError {
    /// An SMMU was refused.
    #[error("SMMU {smmu}: {refusal}")]
    Refused {
        /// Which.
        smmu: SmmuId,
        /// Why.
        refusal: Refusal,
    },
    /// Two devices have the same name.
    #[error("two devices are named `{name}`")]
    DuplicateDevice {
        /// Name.
        name: String,
    },
    /// The devices of a group stand behind several SMMUs.
    #[error("the devices of group {group} stand behind several SMMUs")]
    SplitGroup {
        /// N of `/dev/vfio/N`.
        group: u32,
    },
    /// The kernel runs already.
    #[error("the kernel was booted before")]
    AlreadyBooted,
}

/// Why the driver refuses an SMMU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Refusal {
    /// IDR0.S1P = IDR0.S2P = 0.
    #[error("no stage of translation is implemented")]
    NoStage,
    /// `IDR0.TTF[1]` = 0.
    #[error("VMSAv8-64 tables are not implemented")]
    NoAarch64Tables,
    /// IDR0.TTENDIAN = 3.
    #[error("tables must be big-endian")]
    BigEndianOnly,
    /// IDR5.GRAN*K are all 0.
    #[error("no granule is implemented")]
    NoGranule,
    /// IDR1.QUEUES_PRESET or IDR1.TABLES_PRESET.
    #[error("queues or tables at fixed addresses are not supported")]
    Preset,
    /// IDR1.CMDQS: the Command queue cannot hold a batch of 64 and its CMD_SYNC.
    #[error("the Command queue has at most 2^{log2} entries, too few for a batch")]
    CommandQueueTooSmall {
        /// IDR1.CMDQS.
        log2: u8,
    },
    /// A device has a StreamID that the stream table cannot hold.
    #[error("StreamID {stream} needs more bits than the stream table resolves")]
    StreamOutOfRange {
        /// Stream.
        stream: StreamId,
    },
    /// A device stands behind an SMMU that the machine has not.
    #[error("a device names this SMMU, and there is none")]
    NoSuchSmmu,
    /// A register was not acknowledged in time.
    #[error("{register} was not acknowledged")]
    Timeout {
        /// Name of the register.
        register: &'static str,
    },
    /// Queues or tables found no memory.
    #[error("no memory for queues and tables: {0}")]
    Memory(#[from] Errno),
}

impl Refusal {
    pub(crate) const fn of(self, smmu: SmmuId) -> ProbeError {
        ProbeError::Refused { smmu, refusal: self }
    }
}

/// Entries of the queues, at most: as many as fill 64 KiB of commands and 128 KiB of events.
const QUEUE_LOG2_MAX: u8 = 12;

/// Reads the ID registers of one SMMU and takes memory for what it needs.
pub(super) fn probe(
    env: Env<'_>,
    locks: &LockNumbers,
    node: &SmmuNode,
) -> Result<Smmu, ProbeError> {
    let frame = RegisterFrame::new(node.registers);
    let features = Features::decode(&IdRegisters {
        idr0: frame.read::<Idr0>(env).into(),
        idr1: frame.read::<Idr1>(env).into(),
        idr3: frame.read::<Idr3>(env).into(),
        idr5: frame.read::<Idr5>(env).into(),
        aidr: frame.read::<Aidr>(env).into(),
        ..IdRegisters::default()
    });
    build(env, locks, node.id, frame, features).map_err(|refusal| refusal.of(node.id))
}

fn build(
    env: Env<'_>,
    locks: &LockNumbers,
    id: SmmuId,
    frame: RegisterFrame,
    features: Features,
) -> Result<Smmu, Refusal> {
    refuse(&features)?;
    let command_log2 = features.cmdq_log2_max.min(QUEUE_LOG2_MAX);
    let commands = env.driver.heap.allocate(env, 16 << command_log2)?;
    let event_log2 = features.eventq_log2_max.min(QUEUE_LOG2_MAX);
    let events = env.driver.heap.allocate(env, 32 << event_log2)?;
    let streams = StreamTable::new(env, &features)?;
    let policy = env.driver.options.id_policy;
    let vmids = VmidTable::new(IdAllocator::new(features.vmid_bits(), policy));
    let asids = IdAllocator::new(features.asid_bits(), policy);
    Ok(Smmu {
        id,
        frame,
        counters: Default::default(),
        queue: Guarded::new(locks, CommandQueue::new(commands, u32::from(command_log2))),
        events: Guarded::new(locks, EventQueue::new(events, u32::from(event_log2))),
        streams: Guarded::new(locks, streams),
        vmids: Guarded::new(locks, vmids),
        asids: Guarded::new(locks, asids),
        ats_streams: Default::default(),
        features,
    })
}

fn refuse(features: &Features) -> Result<(), Refusal> {
    if !features.s1p && !features.s2p {
        return Err(Refusal::NoStage);
    }
    if !features.aarch64_tables {
        return Err(Refusal::NoAarch64Tables);
    }
    if features.endianness == Endianness::Big {
        return Err(Refusal::BigEndianOnly);
    }
    if granule(features).is_none() {
        return Err(Refusal::NoGranule);
    }
    if features.queues_preset || features.tables_preset {
        return Err(Refusal::Preset);
    }
    if 1 << features.cmdq_log2_max <= BATCH_COMMANDS {
        return Err(Refusal::CommandQueueTooSmall { log2: features.cmdq_log2_max });
    }
    Ok(())
}

/// The granule that this driver uses: the smallest there is, as CPUs have pages of 4 KiB.
pub(super) fn granule(features: &Features) -> Option<Granule> {
    Granule::ALL.into_iter().find(|&granule| features.supports(granule))
}
