//! Which kernel is modelled.

use crate::{FaultSwitch, Faults};
use std::fmt;

/// Which kernel is modelled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Personality {
    /// The patch series of August 2021 that shares VMIDs between containers, exactly as posted:
    /// with its bugs.
    Rfc,
    /// The same series as its document means it.
    RfcFixed,
    /// Linux 7.2: no nesting containers and no VMIDs in user space.
    Upstream,
}

impl Personality {
    /// Every personality.
    pub const ALL: [Self; 3] = [Self::Rfc, Self::RfcFixed, Self::Upstream];

    /// The name, as a user types it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rfc => "rfc",
            Self::RfcFixed => "rfc-fixed",
            Self::Upstream => "upstream",
        }
    }

    /// Whether there are nesting containers, `VFIO_IOMMU_GET_VMID` and `VFIO_IOMMU_SET_VMID`.
    #[must_use]
    pub const fn has_nesting(self) -> bool {
        !matches!(self, Self::Upstream)
    }

    /// The mistakes that this kernel has by itself.
    #[must_use]
    pub fn mistakes(self) -> Faults {
        let own = |switch: &FaultSwitch| switch.info().kernel == Some(self);
        let all = FaultSwitch::ALL.iter().copied();
        all.filter(own).fold(Faults::NONE, Faults::with)
    }
}

impl fmt::Display for Personality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
