//! What a machine has to keep.

use std::collections::BTreeMap;

use smmu_arch::Features;
use smmu_arch::registers::{PMCG_COUNTERS_MAX, VCMDQS_MAX, VINTF_STREAMS, VINTFS_MAX};

use super::windows::{check_windows, overlap, range};
use super::{
    Blueprint, CacheBlueprint, MachineFile, MainTlb, Smmu, SmmuBlueprint, Tlb, TlbBlueprint,
    WalkCache, unmodelled,
};
use crate::names::{check_copies, check_names};
use crate::presets;
use crate::{Path, Problem};

/// Most entries of a TLB.
const TLB_ENTRIES_MAX: u32 = 1 << 20;
/// Parts that larger entries may have.
const SPLITS_MAX: usize = 2;
const PAGE: u64 = 0x1000;

impl MachineFile {
    /// Adds everything that is wrong with the machine to `problems`.
    pub(super) fn check(&self, blueprint: &Blueprint, problems: &mut Vec<Problem>) {
        self.check_memory(problems);
        check_names(self.smmu.iter().map(|one| one.name.as_str()), "smmu", "an SMMU", problems);
        check_names(
            self.device.iter().map(|one| one.name.as_str()),
            "device",
            "a device",
            problems,
        );
        for (index, smmu) in blueprint.smmus.iter().enumerate() {
            let path = Path::root().key("smmu").index(index);
            check_structures(smmu, &path, problems);
            check_cmdqv(self.smmu.get(index), &path.key("cmdqv"), problems);
            check_pmcg(smmu, &path.key("pmcg"), problems);
            check_identification(smmu, &path.key("id"), problems);
            self.check_shapes(index, &path, problems);
        }
        check_windows(blueprint, problems);
        self.check_devices(problems);
        check_ats(blueprint, problems);
        check_streams(blueprint, problems);
        check_groups(blueprint, problems);
    }

    fn check_memory(&self, problems: &mut Vec<Problem>) {
        for (index, region) in self.memory.iter().enumerate() {
            let path = Path::root().key("memory").index(index);
            if !region.base.is_multiple_of(PAGE) {
                let what = format!("memory at {:#x} is not aligned to 4 KiB", region.base);
                let help = format!("use {:#x}", region.base / PAGE * PAGE);
                problems.push(Problem::new(path.key("base"), what, help));
            }
            if region.bytes.0 == 0 || !region.bytes.0.is_multiple_of(PAGE) {
                let what = format!("{} is no whole number of 4 KiB pages", region.bytes);
                problems.push(Problem::new(path.key("bytes"), what, "give a multiple of 4KiB"));
            }
            if region.base.checked_add(region.bytes.0).is_none_or(|end| end > 1 << 52) {
                let what = format!("{} at {:#x} end beyond 2^52", region.bytes, region.base);
                let help = "physical addresses have at most 52 bits";
                problems.push(Problem::new(path.key("bytes"), what, help));
            }
            let overlapped = self.memory[..index]
                .iter()
                .find(|other| overlap((other.base, other.bytes.0), (region.base, region.bytes.0)));
            if let Some(other) = overlapped {
                let what = format!(
                    "memory {} overlaps memory {}",
                    range(region.base, region.bytes.0),
                    range(other.base, other.bytes.0),
                );
                let help = format!(
                    "start at {:#x} or later, or make the other one smaller",
                    other.base.saturating_add(other.bytes.0)
                );
                problems.push(Problem::new(path.key("base"), what, help));
            }
        }
    }

    /// `shape = "unbounded"` beside sizes, of which one was not meant, and sizes that are none.
    fn check_shapes(&self, index: usize, path: &Path, problems: &mut Vec<Problem>) {
        let Some(smmu) = self.smmu.get(index) else { return };
        let walks = path.key("walk_cache");
        let tlbs = [
            (path.key("tlb"), Some(smmu.tlb.clone())),
            (path.key("micro_tlb"), smmu.micro_tlb.clone()),
            (path.key("ipa_tlb"), smmu.ipa_tlb.clone()),
            (walks.key("stage1"), smmu.walk_cache.stage1.as_ref().map(WalkCache::tlb)),
            (walks.key("stage2"), smmu.walk_cache.stage2.as_ref().map(WalkCache::tlb)),
        ];
        for (path, tlb) in tlbs {
            let Some(tlb) = tlb else { continue };
            if tlb.shape.is_some_and(super::Shape::is_unbounded) && tlb.is_sized() {
                let what = "an unbounded structure has no entries, ways, index, replacement, \
                            partitions, region or split";
                let help = "remove them, or remove `shape`";
                problems.push(Problem::new(path.key("shape"), what, help));
            }
            check_sizes(&tlb, &path, problems);
        }
        let caches = [("stage1", &smmu.walk_cache.stage1), ("stage2", &smmu.walk_cache.stage2)];
        for (key, cache) in caches {
            check_levels(cache.as_ref(), &walks.key(key), problems);
        }
        for (key, cache) in [("ste_cache", smmu.ste_cache), ("cd_cache", smmu.cd_cache)] {
            if cache.shape.is_some() && cache.entries.is_some() {
                let what = "an unbounded cache has no entries";
                let help = "remove them, or remove `shape`";
                problems.push(Problem::new(path.key(key).key("shape"), what, help));
            }
        }
    }

    fn check_devices(&self, problems: &mut Vec<Problem>) {
        for (index, device) in self.device.iter().enumerate() {
            let path = Path::root().key("device").index(index);
            if device.streams.is_empty() {
                let what = format!("device `{}` has no StreamID", device.name);
                let help = "give it at least one: `streams = [1]`";
                problems.push(Problem::new(path.key("streams"), what, help));
            }
            check_copies(&device.name, device.count, &path, problems);
        }
    }
}

fn check_structures(smmu: &SmmuBlueprint, path: &Path, problems: &mut Vec<Problem>) {
    let main: (&[&str], _) = (&["tlb"], smmu.tlb);
    let mut structures: Vec<_> = std::iter::once(main).chain(smmu.hierarchy.structures()).collect();
    structures.dedup(); // the levels of a walk cache are mostly alike
    for (keys, structure) in structures {
        if let TlbBlueprint::SetAssociative(sets) = structure {
            let path = keys.iter().fold(path.clone(), |path, key| path.key(key));
            sets.check(&path, problems);
        }
    }
    if smmu.hierarchy.main == MainTlb::None && smmu.hierarchy.micro_tlb.is_none() {
        let what = "an SMMU without a main TLB needs a µTLB";
        problems.push(Problem::new(path.key("main_tlb"), what, "add a table `micro_tlb`"));
    }
    for (key, cache) in [("ste_cache", smmu.ste_cache), ("cd_cache", smmu.cd_cache)] {
        if matches!(cache, CacheBlueprint::Entries(entries) if entries > TLB_ENTRIES_MAX) {
            let what = "a configuration cache has at most 1048576 entries";
            let help = "use fewer, or `shape = \"unbounded\"`";
            problems.push(Problem::new(path.key(key).key("entries"), what, help));
        }
    }
}

/// Counts are powers of two, as PARAM gives their logarithms.
fn check_cmdqv(smmu: Option<&Smmu>, path: &Path, problems: &mut Vec<Problem>) {
    let Some(cmdqv) = smmu.and_then(|smmu| smmu.cmdqv) else { return };
    let counts = [
        ("queues", cmdqv.queues, VCMDQS_MAX),
        ("interfaces", cmdqv.interfaces, VINTFS_MAX),
        ("streams", cmdqv.streams, VINTF_STREAMS as u64),
    ];
    for (key, count, most) in counts {
        let Some(count) = count else { continue };
        if !count.is_power_of_two() || u64::from(count) > most {
            let what = format!("a CMDQV cannot have {count} {key}");
            let help = format!("choose a power of two up to {most}");
            problems.push(Problem::new(path.key(key), what, help));
        }
    }
}

fn check_pmcg(smmu: &SmmuBlueprint, path: &Path, problems: &mut Vec<Problem>) {
    let Some(pmcg) = smmu.pmcg else { return };
    if !(1..=PMCG_COUNTERS_MAX).contains(&pmcg.counters) {
        let what = format!("a PMCG cannot have {} counters", pmcg.counters);
        let help = format!("choose 1 to {PMCG_COUNTERS_MAX}");
        problems.push(Problem::new(path.key("counters"), what, help));
    }
    if !(32..=64).contains(&pmcg.counter_bits) {
        let what = format!("a counter cannot have {} bits", pmcg.counter_bits);
        problems.push(Problem::new(path.key("counter_bits"), what, "choose 32 to 64"));
    }
}

/// Levels of table descriptors, and as many sizes as levels.
fn check_levels(cache: Option<&WalkCache>, path: &Path, problems: &mut Vec<Problem>) {
    let Some(cache) = cache else { return };
    let levels = cache.levels.iter().flatten();
    if let Some(level) = levels.into_iter().find(|level| !(-1..=2).contains(*level)) {
        let what = format!("level {level} has no table descriptors");
        problems.push(Problem::new(path.key("levels"), what, "levels are -1 to 2"));
    }
    let Some(sizes) = &cache.level_entries else { return };
    let Some(levels) = &cache.levels else {
        let help = "name them: `levels = [0, 1, 2]`";
        problems.push(Problem::new(path.key("level_entries"), "sizes of which levels?", help));
        return;
    };
    if sizes.len() != levels.len() {
        let what = format!("{} sizes for {} levels", sizes.len(), levels.len());
        problems.push(Problem::new(path.key("level_entries"), what, "give one for each level"));
    }
}

/// Sizes in bytes that a structure goes by, and how many parts there are.
fn check_sizes(tlb: &Tlb, path: &Path, problems: &mut Vec<Problem>) {
    let region = tlb.region.iter().map(|size| ("region", *size));
    let splits = tlb.split.iter().flatten().map(|part| ("split", part.from));
    let sizes = tlb.sizes.iter().flatten().map(|size| ("sizes", *size));
    for (key, size) in region.chain(splits).chain(sizes) {
        if !size.0.is_power_of_two() || !(PAGE..=1 << 52).contains(&size.0) {
            let what = format!("{size} is the size of no entry");
            problems.push(Problem::new(path.key(key), what, "give a power of two from 4KiB on"));
        }
    }
    if tlb.split.as_ref().is_some_and(|parts| parts.len() > SPLITS_MAX) {
        let help = "split off two sizes at most";
        problems.push(Problem::new(path.key("split"), "too many parts", help));
    }
    if tlb.sizes.as_ref().is_some_and(Vec::is_empty) {
        let help = "name one size at least, or leave `sizes` out";
        problems.push(Problem::new(path.key("sizes"), "no entry has no size", help));
    }
}

fn check_identification(smmu: &SmmuBlueprint, path: &Path, problems: &mut Vec<Problem>) {
    if smmu.preset == presets::QEMU && smmu.ids == presets::qemu_ids() {
        return; // taken verbatim: replayed cases expect it as it is
    }
    for broken in smmu.ids.check().err().unwrap_or_default() {
        let what = format!("{}: {}", broken.field, broken.rule);
        problems.push(Problem::new(at_register(path, broken.field), what, broken.remedy));
    }
    for missing in unmodelled(&smmu.ids) {
        let what = format!("{} announces what is not modelled: {}", missing.field, missing.reason);
        problems.push(Problem::new(at_register(path, missing.field), what, missing.remedy));
    }
}

/// The key of the register of a field: `id.idr0` for `IDR0.ATS`.
fn at_register(path: &Path, field: &str) -> Path {
    let register = field.split('.').next().unwrap_or_default();
    path.key(&register.to_lowercase())
}

/// The most translations that an endpoint holds.
const ATC_ENTRIES_MAX: u32 = 1 << 16;

fn check_ats(blueprint: &Blueprint, problems: &mut Vec<Problem>) {
    for device in &blueprint.devices {
        let Some(ats) = device.ats else { continue };
        let path = Path::root().key("device").index(device.entry).key("ats");
        let smmu = &blueprint.smmus[device.smmu];
        if !Features::decode(&smmu.ids).ats {
            let what = format!("`{}` has no ATS (IDR0.ATS = 0) for `{}`", smmu.name, device.name);
            let help = format!("set `idr0 = {:#x}` under its `id`", smmu.ids.idr0 | 1 << 10);
            problems.push(Problem::new(path.clone(), what, help));
        }
        if ats.entries == 0 || ats.entries > ATC_ENTRIES_MAX {
            let what = format!("an address translation cache cannot have {} entries", ats.entries);
            let help = format!("choose 1 to {ATC_ENTRIES_MAX}, or leave `ats` out");
            problems.push(Problem::new(path.key("entries"), what, help));
        }
    }
}

fn check_streams(blueprint: &Blueprint, problems: &mut Vec<Problem>) {
    let mut owners = BTreeMap::new();
    for device in &blueprint.devices {
        let path = Path::root().key("device").index(device.entry).key("streams");
        let smmu = &blueprint.smmus[device.smmu];
        let bits = u32::from(Features::decode(&smmu.ids).sid_bits);
        for &stream in &device.streams {
            if u64::from(stream) >> bits != 0 {
                let what = format!(
                    "StreamID {stream:#x} of `{}` is beyond the {bits} bits of `{}`",
                    device.name, smmu.name
                );
                let help = format!("use at most {:#x}, or raise id.sid_bits", (1u64 << bits) - 1);
                problems.push(Problem::new(path.clone(), what, help));
            }
            if let Some(owner) = owners.insert((device.smmu, stream), &device.name) {
                let what = format!(
                    "StreamID {stream:#x} of `{}` is taken by `{owner}` on `{}`",
                    device.name, smmu.name
                );
                let help = "give each device its own StreamIDs";
                problems.push(Problem::new(path.clone(), what, help));
            }
        }
    }
}

fn check_groups(blueprint: &Blueprint, problems: &mut Vec<Problem>) {
    let mut homes = BTreeMap::new();
    for device in &blueprint.devices {
        let (home, first) = *homes.entry(device.group).or_insert((device.smmu, &device.name));
        if home != device.smmu {
            let path = Path::root().key("device").index(device.entry).key("group");
            let what = format!(
                "group {} is spread over two SMMUs: `{first}` behind `{}`, `{}` behind `{}`",
                device.group,
                blueprint.smmus[home].name,
                device.name,
                blueprint.smmus[device.smmu].name
            );
            let help = "a group lies behind one SMMU: give one of the devices another group";
            problems.push(Problem::new(path, what, help));
        }
    }
}
