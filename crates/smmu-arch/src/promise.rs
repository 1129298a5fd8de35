//! What software was told: the moments after which a stale translation is a bug.
//!
//! The driver model hands each [`Promise`] to its CPU when it has kept it, as far as it knows.
//! A stale use is legal until then and a bug for every transaction that began afterwards.

use crate::{Asid, Pa, SmmuId, Stage, StreamId, Vmid};
use std::fmt;

/// One thing that software may rely on from now on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Promise {
    /// An unmap returned: no device reaches anything through these input addresses any more.
    Unmapped {
        /// SMMU whose tables were changed.
        smmu: SmmuId,
        /// Stage whose input addresses these are.
        stage: Stage,
        /// VMID of the address space.
        vmid: Vmid,
        /// ASID of the address space, for stage 1.
        asid: Option<Asid>,
        /// First input address.
        first: u64,
        /// Last input address, inclusive.
        last: u64,
    },
    /// A device was detached: the stream no longer uses the domain that it was in.
    Detached {
        /// SMMU in front of the device.
        smmu: SmmuId,
        /// Stream.
        stream: StreamId,
    },
    /// Pages went back to their owner, who may give them to somebody else.
    PagesReturned {
        /// First byte.
        first: Pa,
        /// Length in bytes.
        bytes: u64,
    },
    /// Pages were given to an address space: DMA to them is meant again.
    PagesLent {
        /// First byte.
        first: Pa,
        /// Length in bytes.
        bytes: u64,
    },
    /// A VMID became free: nothing tagged with it is used any more.
    VmidFreed {
        /// SMMU.
        smmu: SmmuId,
        /// VMID.
        vmid: Vmid,
    },
    /// A VMID was given to a domain.
    VmidAssigned {
        /// SMMU.
        smmu: SmmuId,
        /// VMID.
        vmid: Vmid,
    },
    /// An ASID became free.
    AsidFreed {
        /// SMMU.
        smmu: SmmuId,
        /// ASID.
        asid: Asid,
    },
    /// An ASID was given to a domain.
    AsidAssigned {
        /// SMMU.
        smmu: SmmuId,
        /// ASID.
        asid: Asid,
    },
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmapped { stage, vmid, asid, first, last, .. } => {
                write!(f, "unmap of {stage} {first:#x}..={last:#x} returned (VMID {vmid}")?;
                if let Some(asid) = asid {
                    write!(f, ", ASID {asid}")?;
                }
                f.write_str(")")
            }
            Self::Detached { stream, .. } => write!(f, "stream {stream} was detached"),
            Self::PagesReturned { first, bytes } => {
                write!(f, "{bytes:#x} bytes at PA {first} went back to their owner")
            }
            Self::PagesLent { first, bytes } => {
                write!(f, "{bytes:#x} bytes at PA {first} were lent to an address space")
            }
            Self::VmidFreed { vmid, .. } => write!(f, "VMID {vmid} was freed"),
            Self::VmidAssigned { vmid, .. } => write!(f, "VMID {vmid} was assigned"),
            Self::AsidFreed { asid, .. } => write!(f, "ASID {asid} was freed"),
            Self::AsidAssigned { asid, .. } => write!(f, "ASID {asid} was assigned"),
        }
    }
}
