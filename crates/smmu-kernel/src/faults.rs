//! Named faults: each a mistake that somebody really made in such a driver, switched on by name.

use std::fmt;
use thiserror::Error;

/// What a fault switch breaks and where it shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultInfo {
    /// Name, as a user types it.
    pub name: &'static str,
    /// What the driver does wrong while it is on.
    pub breaks: &'static str,
    /// Stem of the file in `scenarios/` in which the checker must find it: in direct order, or with
    /// some seed of `--interleave`. `None` where no scenario can show it: what it breaks has no
    /// structure in this model, no order that the runners make, or no step of a scenario.
    pub scenario: Option<&'static str>,
}

macro_rules! switches {
    ($($switch:ident $name:literal, $breaks:literal, $scenario:expr;)*) => {
        /// One fault of the driver.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum FaultSwitch {
            $(#[doc = concat!("`", $name, "`: ", $breaks, ".")] $switch,)*
        }

        impl FaultSwitch {
            /// Every switch, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$switch,)*];

            /// Name, damage and scenario.
            #[must_use]
            pub const fn info(self) -> FaultInfo {
                match self {
                    $(Self::$switch => FaultInfo {
                        name: $name, breaks: $breaks, scenario: $scenario,
                    },)*
                }
            }
        }
    };
}

switches! {
    ReuseWithoutTlbi "reuse-without-tlbi",
        "the last user of a VMID or ASID leaves without a TLBI of it", Some("vmid-reuse");
    ReuseOrder "reuse-order",
        "a VMID or ASID is given back before the CMD_SYNC of its last TLBI", None;
    SkipUnmapTlbi "skip-unmap-tlbi",
        "an unmap changes the tables and sends no TLBI", Some("unmap");
    MissingSync "missing-sync",
        "an unmap returns without the CMD_SYNC behind its TLBI", Some("unmap-under-dma");
    TlbiWrongVmid "tlbi-wrong-vmid",
        "the TLBI of an unmap names VMID 0 instead of the domain's", Some("unmap");
    TlbiShortRange "tlbi-short-range",
        "the TLBI of an unmap leaves the last granule of a range out", Some("unmap");
    TlbiLeafOnly "tlbi-leaf-only",
        "the TLBI of an unmap that frees tables has Leaf = 1", None;
    TlbiWrongTtl "tlbi-wrong-ttl",
        "the TLBI of an unmap names a level at which there is no leaf", Some("unmap");
    SkipS1Clear "skip-s1-clear",
        "an unmap below a guest's stage 1 forgets the stage 2 alone, not what both made", None;
    NoAtcInvalidation "no-atc-invalidation",
        "an unmap or a detach sends no CMD_ATC_INV to an endpoint with ATS", None;
    SkipCfgiSte "skip-cfgi-ste",
        "an STE is rewritten without CMD_CFGI_STE", Some("ste-without-cfgi");
    FreeBeforeSync "free-before-sync",
        "an unmap gives table pages and user pages back before its CMD_SYNC", Some("unmap-under-dma");
    SteTorn "ste-torn",
        "a valid STE is overwritten word by word", None;
}

impl fmt::Display for FaultSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.info().name)
    }
}

/// A name that no fault has; [`FaultSwitch::ALL`] lists those that there are.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("there is no fault named `{0}`")]
pub struct UnknownFault(pub String);

/// A set of faults that are switched on.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults(u32);

impl Faults {
    /// A driver without faults.
    pub const NONE: Self = Self(0);

    /// The faults with these names.
    ///
    /// # Errors
    /// [`UnknownFault`] with the first name that is none.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownFault> {
        names.into_iter().try_fold(Self::NONE, |faults, name| {
            let known = FaultSwitch::ALL.iter().find(|switch| switch.info().name == name);
            known.map(|&switch| faults.with(switch)).ok_or_else(|| UnknownFault(name.to_owned()))
        })
    }

    /// These faults and one more.
    #[must_use]
    pub const fn with(self, switch: FaultSwitch) -> Self {
        Self(self.0 | 1 << switch as u32)
    }

    /// Whether a fault is on.
    #[must_use]
    pub const fn has(self, switch: FaultSwitch) -> bool {
        self.0 >> switch as u32 & 1 != 0
    }

    /// The faults that are on, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = FaultSwitch> {
        FaultSwitch::ALL.iter().copied().filter(move |&switch| self.has(switch))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_by_its_name() {
        for &switch in FaultSwitch::ALL {
            let faults = Faults::from_names([switch.info().name]).unwrap();
            assert_eq!(faults.iter().collect::<Vec<_>>(), [switch]);
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_name() {
        let error = Faults::from_names(["missing-sync", "mising-sync"]).unwrap_err();
        assert_eq!(error, UnknownFault("mising-sync".into()));
    }
}
