//! What can be counted, and what a count is to be.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Tag;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// DMA accesses that were made, aborted ones included. Of `vm`, `device`, `smmu`.
    Dma,
    /// DMA accesses that were aborted. Of `vm`, `device`, `smmu`.
    Aborts,
    /// Look-ups of the main TLB that hit. Of `vm`, `device`, `smmu`.
    Hits,
    /// Look-ups of the main TLB that missed. Of `vm`, `device`, `smmu`.
    Misses,
    /// Walks of translation tables. Of `vm`, `device`, `smmu`.
    Walks,
    /// Descriptors fetched by walks. Of `vm`, `device`, `smmu`.
    Fetches,
    /// STEs, CDs and their level-1 descriptors fetched. Of `vm`, `device`, `smmu`.
    ConfigFetches,
    /// Entries in the main TLB now. Of `smmu`, `vmid`, `asid`; of `device` and `vm`: those that a
    /// look-up of the device, or of one of the VM's devices, could hit.
    Resident,
    /// Commands consumed. Of `smmu`.
    Commands,
    /// TLBI commands consumed. Of `smmu`.
    Tlbi,
    /// TLB entries that invalidations dropped. Of `smmu`, `vm`.
    Dropped,
    /// Event records written. Of `smmu`, `device`, `vm`.
    Events,
    /// Uses of what was over, by a transaction that began after software had been promised so or the
    /// SMMU had been told to forget it. Of `vm`, `device`.
    Stale,
    /// Hits on a translation that another VM's device filled. Of `vm`, `device`.
    CrossVmHits,
    /// Verdicts of the checker, each as often as it was seen: stale uses, and uses and refusals that
    /// were never right. Of `vm`, `device`.
    Verdicts,
    /// VMID of the device's domain now. Of `device`, which must be given.
    Vmid,
    /// ASID of the device's domain now. Of `device`, which must be given.
    Asid,
    /// VMIDs that the driver has given out now. Of `smmu`.
    VmidsInUse,
    /// ASIDs that the driver has given out now. Of `smmu`.
    AsidsInUse,
    /// CMD_SYNCs for which the driver waited in vain. Of `smmu`.
    Timeouts,
}

/// What a count may be narrowed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selector {
    /// A VM.
    Vm,
    /// A device.
    Device,
    /// An SMMU.
    Smmu,
    /// A VMID.
    Vmid,
    /// An ASID.
    Asid,
}

impl Selector {
    /// The key of the scenario file.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Device => "device",
            Self::Smmu => "smmu",
            Self::Vmid => "vmid",
            Self::Asid => "asid",
        }
    }
}

impl Metric {
    /// What it may be narrowed to.
    #[must_use]
    pub const fn selectors(self) -> &'static [Selector] {
        use Selector::{Asid, Device, Smmu, Vm, Vmid};
        match self {
            Self::Dma
            | Self::Aborts
            | Self::Hits
            | Self::Misses
            | Self::Walks
            | Self::Fetches
            | Self::ConfigFetches
            | Self::Events => &[Vm, Device, Smmu],
            Self::Resident => &[Vm, Device, Smmu, Vmid, Asid],
            Self::Commands | Self::Tlbi | Self::VmidsInUse | Self::AsidsInUse | Self::Timeouts => {
                &[Smmu]
            }
            Self::Dropped => &[Smmu, Vm],
            Self::Stale | Self::CrossVmHits | Self::Verdicts => &[Vm, Device],
            Self::Vmid | Self::Asid => &[Device],
        }
    }

    /// Tells what is now, not what has come together since some moment.
    #[must_use]
    pub const fn is_instant(self) -> bool {
        matches!(
            self,
            Self::Resident | Self::Vmid | Self::Asid | Self::VmidsInUse | Self::AsidsInUse
        )
    }

    /// Has a meaning for one device only.
    #[must_use]
    pub const fn needs_device(self) -> bool {
        matches!(self, Self::Vmid | Self::Asid)
    }
}

/// What a count is to be. At least one of `equals`, `at_least`, `at_most` is given.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// What is counted.
    pub metric: Metric,
    /// Of this VM only.
    pub vm: Option<String>,
    /// Of this device only.
    pub device: Option<String>,
    /// Of this SMMU only.
    pub smmu: Option<String>,
    /// With this VMID only; a device's name stands for its domain's.
    pub vmid: Option<Tag>,
    /// With this ASID only; a device's name stands for its domain's.
    pub asid: Option<Tag>,
    /// Counted from this mark on. Default: from the start of the run.
    pub since: Option<String>,
    /// Exactly this.
    pub equals: Option<u64>,
    /// This or more.
    pub at_least: Option<u64>,
    /// This or less.
    pub at_most: Option<u64>,
}

impl Expectation {
    /// A counter over everything, equal to a number.
    #[must_use]
    pub const fn total(metric: Metric, equals: u64) -> Self {
        Self {
            metric,
            vm: None,
            device: None,
            smmu: None,
            vmid: None,
            asid: None,
            since: None,
            equals: Some(equals),
            at_least: None,
            at_most: None,
        }
    }

    /// Whether `value` is as expected.
    #[must_use]
    pub fn holds(&self, value: u64) -> bool {
        self.equals.is_none_or(|equals| value == equals)
            && self.at_least.is_none_or(|least| value >= least)
            && self.at_most.is_none_or(|most| value <= most)
    }

    /// The selectors that are given.
    pub(super) fn given(&self) -> impl Iterator<Item = Selector> {
        [
            (self.vm.is_some(), Selector::Vm),
            (self.device.is_some(), Selector::Device),
            (self.smmu.is_some(), Selector::Smmu),
            (self.vmid.is_some(), Selector::Vmid),
            (self.asid.is_some(), Selector::Asid),
        ]
        .into_iter()
        .filter_map(|(given, selector)| given.then_some(selector))
    }
}

impl std::fmt::Display for Expectation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.metric)?;
        let names = [("vm", &self.vm), ("device", &self.device), ("smmu", &self.smmu)];
        for (key, name) in names.into_iter().filter_map(|(key, name)| Some((key, name.as_ref()?))) {
            write!(f, " {key}={name}")?;
        }
        for (key, tag) in [("vmid", &self.vmid), ("asid", &self.asid)] {
            match tag {
                Some(Tag::Number(number)) => write!(f, " {key}={number}")?,
                Some(Tag::Device(device)) => write!(f, " {key} of {device}")?,
                None => {}
            }
        }
        if let Some(mark) = &self.since {
            write!(f, " since {mark}")?;
        }
        let bounds = [("=", self.equals), (">=", self.at_least), ("<=", self.at_most)];
        for (sign, bound) in bounds.into_iter().filter_map(|(sign, bound)| Some((sign, bound?))) {
            write!(f, " {sign} {bound}")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dma => "dma",
            Self::Aborts => "aborts",
            Self::Hits => "hits",
            Self::Misses => "misses",
            Self::Walks => "walks",
            Self::Fetches => "fetches",
            Self::ConfigFetches => "config_fetches",
            Self::Resident => "resident",
            Self::Commands => "commands",
            Self::Tlbi => "tlbi",
            Self::Dropped => "dropped",
            Self::Events => "events",
            Self::Stale => "stale",
            Self::CrossVmHits => "cross_vm_hits",
            Self::Verdicts => "verdicts",
            Self::Vmid => "vmid",
            Self::Asid => "asid",
            Self::VmidsInUse => "vmids_in_use",
            Self::AsidsInUse => "asids_in_use",
            Self::Timeouts => "timeouts",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Named {
        metric: Metric,
    }

    const NAMES: [&str; 20] = [
        "dma",
        "aborts",
        "hits",
        "misses",
        "walks",
        "fetches",
        "config_fetches",
        "resident",
        "commands",
        "tlbi",
        "dropped",
        "events",
        "stale",
        "cross_vm_hits",
        "verdicts",
        "vmid",
        "asid",
        "vmids_in_use",
        "asids_in_use",
        "timeouts",
    ];

    #[test]
    fn a_metric_is_shown_as_it_is_written() {
        for name in NAMES {
            let read: Named = toml::from_str(&format!("metric = '{name}'")).unwrap();
            assert_eq!(read.metric.to_string(), name);
        }
    }

    #[test]
    fn an_expectation_reads_like_a_sentence_and_holds_within_its_bounds() {
        let text = "metric = 'hits'\nvm = 'A'\nsince = 'm'\nat_least = 2\nat_most = 3\n";
        let expectation: Expectation = toml::from_str(text).unwrap();
        assert_eq!(expectation.to_string(), "hits vm=A since m >= 2 <= 3");
        let held: Vec<_> = (1..=4).filter(|value| expectation.holds(*value)).collect();
        assert_eq!(held, [2, 3]);
    }
}
