//! Named faults: each a mistake that somebody really made in such a driver, switched on by name.

use crate::Personality;
use std::fmt;
use thiserror::Error;

/// What a fault switch breaks and where it shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultInfo {
    /// Name, as a user types it.
    pub name: &'static str,
    /// What the driver does wrong while it is on.
    pub breaks: &'static str,
    /// Who made the mistake, or where it was found.
    pub source: &'static str,
    /// Stem of the file in `scenarios/` in which it is found, in direct order or with some seed of
    /// `--interleave`, and in which nothing is found without it. `None` where no scenario can show
    /// it: what it breaks has no structure in this model, or needs an order that the runners do not
    /// make.
    pub scenario: Option<&'static str>,
    /// The kernel that has it by itself.
    pub kernel: Option<Personality>,
}

macro_rules! switches {
    ($($switch:ident $name:literal, $breaks:literal, $source:expr, $scenario:expr, $kernel:expr;)*) => {
        /// One fault of the driver.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum FaultSwitch {
            $(#[doc = concat!("`", $name, "`: ", $breaks, ".")] $switch,)*
        }

        impl FaultSwitch {
            /// Every switch, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$switch,)*];

            /// Name, damage, source and scenario.
            #[must_use]
            pub const fn info(self) -> FaultInfo {
                match self {
                    $(Self::$switch => FaultInfo {
                        name: $name, breaks: $breaks, source: $source, scenario: $scenario,
                        kernel: $kernel,
                    },)*
                }
            }
        }
    };
}

/// The series of 2021 that shares VMIDs between containers, by a reading of its code.
const SERIES: &str = "vfio VMID series, 2021-08-31";
/// Linux 7.2, by a reading of its code.
const LINUX: &str = "Linux 7.2";
/// Mistakes that drivers of every kind make.
const COMMON: &str = "drivers at large";
const RFC: Option<Personality> = Some(Personality::Rfc);
const UPSTREAM: Option<Personality> = Some(Personality::Upstream);

#[rustfmt::skip]
mod table {
    use super::*;
switches! {
    ReuseWithoutTlbi "reuse-without-tlbi",
        "the last user of a VMID or ASID leaves without a TLBI of it",
        COMMON, Some("vmid-reuse"), None;
    ReuseOrder "reuse-order",
        "a VMID or ASID is given back before the CMD_SYNC of its last TLBI",
        COMMON, None, None;
    SkipUnmapTlbi "skip-unmap-tlbi",
        "an unmap changes the tables and sends no TLBI",
        COMMON, Some("unmap"), None;
    MissingSync "missing-sync",
        "an unmap returns without the CMD_SYNC behind its TLBI",
        COMMON, Some("unmap-under-dma"), None;
    TlbiWrongVmid "tlbi-wrong-vmid",
        "the TLBI of an unmap names VMID 0 instead of the domain's",
        COMMON, Some("unmap"), None;
    TlbiShortRange "tlbi-short-range",
        "the TLBI of an unmap leaves the last granule of a range out",
        COMMON, Some("unmap"), None;
    TlbiLeafOnly "tlbi-leaf-only",
        "the TLBI of an unmap that frees tables has Leaf = 1",
        COMMON, Some("kernel/table-removed"), None;
    TlbiWrongTtl "tlbi-wrong-ttl",
        "the TLBI of an unmap names a level at which there is no leaf",
        COMMON, Some("unmap"), None;
    SkipS1Clear "skip-s1-clear",
        "an unmap below a guest's stage 1 forgets the stage 2 alone, not what both made",
        "what Linux's S2_VMID_S1_CLEAR entries prevent", Some("kernel/s2-unmap-s1-clear"), None;
    NoAtcInvalidation "no-atc-invalidation",
        "an unmap or a detach sends no CMD_ATC_INV to an endpoint with ATS",
        COMMON, Some("ats"), None;
    AtcBeforeTlbi "atc-before-tlbi",
        "an unmap sends CMD_ATC_INV before its TLBI, so that an endpoint may ask for what is stale",
        "Linux, repaired in August 2019", Some("kernel/atc-order"), None;
    NoAtcAtDetach "no-atc-at-detach",
        "an endpoint that is detached, and attached to something else, is not told to forget",
        "Linux, repaired in July 2019", Some("kernel/atc-detach"), None;
    SkipCfgiSte "skip-cfgi-ste",
        "an STE is rewritten without CMD_CFGI_STE",
        COMMON, Some("ste-without-cfgi"), None;
    FreeBeforeSync "free-before-sync",
        "an unmap gives table pages and user pages back before its CMD_SYNC",
        COMMON, Some("unmap-under-dma"), None;
    SteTorn "ste-torn",
        "a valid STE is overwritten word by word",
        COMMON, Some("kernel/ste-torn"), None;
    InvAttachRace "inv-attach-race",
        "an attach publishes its stream without a barrier before the STE, so that an unmap may miss it",
        "what the barriers of Linux's arm_smmu_invs prevent", None, None;
    TlbiWithoutVmid "tlbi-without-vmid",
        "a guest's CMD_TLBI_NH_VA is passed on with VMID 0",
        "Linux, repaired in November 2019", Some("kernel/missing-vmid-field"), None;
    VmidSwapWithoutTlbi "vmid-swap-without-tlbi",
        "a domain gets another VMID and the old one is not forgotten behind the STE",
        "review of the pinned VMID series, J.-P. Brucker", Some("kernel/btm-vmid-swap"), None;
    AsidSeizeWithoutTlbi "asid-seize-without-tlbi",
        "a domain gives its ASID to a process and the old translations are not forgotten",
        "what Linux's arm_smmu_share_asid has to do", Some("kernel/asid-seize"), None;
    RangeEndInclusive "range-end-inclusive",
        "the exclusive end of a range of stage 1 is taken for its last byte",
        "Linux, repaired in April 2022", Some("kernel/sva-end-off-by-one"), None;
    GetAfterAttach "b1-get-after-attach",
        "the VMID of an attached domain cannot be read, so that SET_IOMMU of the first container fails",
        SERIES, Some("kernel/rfc-get-first"), RFC;
    FreeWithoutDetach "b2-free-without-detach",
        "an attach that fails late frees the domain under a live STE",
        SERIES, Some("kernel/rfc-failed-attach"), RFC;
    LateSetIgnored "b3-late-set-ignored",
        "SET_VMID after SET_IOMMU changes what the container says and nothing else",
        SERIES, Some("kernel/rfc-set-late"), RFC;
    VmidUnchecked "b4-vmid-unchecked",
        "SET_VMID takes 0 and numbers that are too wide",
        SERIES, Some("kernel/rfc-set-bogus"), RFC;
    VmidUnreserved "b5-vmid-unreserved",
        "SET_VMID does not keep the allocator from giving the number to another VM",
        SERIES, Some("kernel/rfc-set-unreserved"), RFC;
    VmidOfOneSmmu "b6-vmid-of-one-smmu",
        "a VMID is taken on one SMMU and used on all",
        SERIES, Some("kernel/rfc-two-smmus"), RFC;
    FreeUnattached "b8-free-unattached",
        "a domain with a VMID of the container whose attach failed is freed by its SMMU, which it has not",
        SERIES, Some("kernel/rfc-free-unattached"), RFC;
    SplitTables "b9-split-tables",
        "an unmap in one container promises the end of what another of the same VMID still maps",
        SERIES, Some("kernel/rfc-split-tables"), RFC;
    FlushAtFree "b10-flush-at-free",
        "freeing a domain flushes its whole VMID, users or not",
        SERIES, Some("kernel/hotplug-flush-cost"), RFC;
    UnsentCounted "u1-unsent-counted",
        "HWPT_INVALIDATE counts commands of the last block that were checked and never sent",
        LINUX, Some("kernel/inv-entry-num"), UPSTREAM;
    ViommusShareVmid "u3-viommus-share-vmid",
        "two vIOMMUs above one parent have one VMID, so that equal ASIDs of the two alias",
        LINUX, Some("kernel/viommu-two-same-asid"), UPSTREAM;
}
}
pub use table::FaultSwitch;

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
pub struct Faults(u64);

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

    /// Those that are in one of two sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in another set.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
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
