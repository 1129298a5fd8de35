//! Where the kernel that is modelled would corrupt its memory or crash.

use smmu_arch::{SmmuId, Vmid};
use std::fmt;

/// Why the modelled kernel stopped. The emulator goes on; every later call gives EIO.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Oops {
    /// The reference count of a VMID lies behind the end of its array (bug B4 of the series).
    VmidOutOfBounds {
        /// SMMU.
        smmu: SmmuId,
        /// The VMID as user space named it, 16 bits of it.
        vmid: Vmid,
        /// Elements of the array.
        counts: u32,
    },
    /// A domain that was never attached is freed, and its SMMU is a null pointer (bug B8 of the
    /// series).
    FreedUnattachedDomain {
        /// SMMU that the domain was meant for.
        smmu: SmmuId,
    },
    /// A range ends between two pages: the loop over its pieces never comes to its end.
    EndlessRange {
        /// SMMU.
        smmu: SmmuId,
        /// First address.
        first: u64,
        /// Bytes, no whole number of pages.
        bytes: u64,
    },
}

impl fmt::Display for Oops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VmidOutOfBounds { smmu, vmid, counts } => write!(
                f,
                "the count of VMID {vmid} lies outside of an array of {counts} (SMMU {})",
                smmu.0
            ),
            Self::FreedUnattachedDomain { smmu } => write!(
                f,
                "a domain that was never attached is freed: its SMMU is a null pointer (SMMU {})",
                smmu.0
            ),
            Self::EndlessRange { smmu, first, bytes } => write!(
                f,
                "a loop over {bytes:#x} bytes from {first:#x} never ends: no whole pages (SMMU {})",
                smmu.0
            ),
        }
    }
}
