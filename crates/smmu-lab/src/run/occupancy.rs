//! Who holds the entries of the TLBs over time, what invalidations took away in vain, and how large
//! the working sets are: a reader of observations.

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Serialize;
use smmu_arch::{
    EntryKind, Invalidation, Observation, Origin, SmmuId, Structure, TlbEntry, TlbScope,
};
use std::collections::BTreeMap;

/// Samples of a timeline that are kept: when there are more, every other one goes.
const SAMPLES_MAX: usize = 256;
/// Transactions of a window over which working sets are counted.
pub const WINDOW: u64 = 1024;
/// Dropped entries that are remembered of an SMMU: whether they come back is not told of later ones.
const GONE_MAX: usize = 1 << 16;

/// VMID, and ASID where entries have one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Tags {
    /// VMID.
    pub vmid: u16,
    /// ASID; `None` for global entries and where stage 1 is off.
    pub asid: Option<u16>,
}

impl Tags {
    const fn of(entry: &TlbEntry) -> Self {
        let plain = !entry.global && !matches!(entry.space.kind, EntryKind::Stage2);
        Self { vmid: entry.space.vmid.0, asid: if plain { Some(entry.space.asid.0) } else { None } }
    }
}

/// What some tags hold and have lost at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Held {
    /// Entries.
    pub entries: u64,
    /// Entries lost to fills of other tags so far.
    pub lost: u64,
    /// Entries of other tags that left for its fills so far.
    pub taken: u64,
}

/// Occupancy of the TLBs of one SMMU at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Sample {
    /// Transactions of the SMMU so far.
    pub transactions: u64,
    /// By tags that ever held anything.
    pub held: Vec<Occupant>,
}

/// One of those who share a TLB.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Occupant {
    /// Who.
    #[serde(flatten)]
    pub tags: Tags,
    /// What it holds.
    #[serde(flatten)]
    pub held: Held,
}

/// The pages that some tags touch in a window of transactions (Denning, CACM 1968).
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct WorkingSet {
    /// Who.
    #[serde(flatten)]
    pub tags: Tags,
    /// Transactions of a window, all tags together.
    pub window: u64,
    /// Windows in which it touched anything.
    pub windows: u64,
    /// Pages of the sizes in which they are held, on average over these windows.
    pub mean_pages: f64,
    /// The most in a window.
    pub max_pages: u64,
}

/// What invalidations took away.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Blast {
    /// Entries of the TLBs that were dropped. Copies in µTLBs are none.
    pub entries: u64,
    /// Of which were filled again unchanged: they would have been hit instead.
    pub refilled: u64,
    /// The most that one invalidation dropped.
    pub largest: u64,
}

/// Follows the entries of every SMMU.
#[derive(Debug, Default)]
pub(super) struct Occupancy {
    smmus: BTreeMap<SmmuId, Follower>,
}

#[derive(Debug)]
struct Follower {
    live: FxHashMap<u64, TlbEntry>,
    /// The number of each of them, by where it is held and for what.
    numbers: FxHashMap<Place, u64>,
    held: BTreeMap<Tags, Held>,
    transactions: u64,
    every: u64,
    samples: Vec<Sample>,
    blast: Blast,
    /// What was dropped and may come back.
    gone: FxHashMap<Place, TlbEntry>,
    touched: FxHashSet<(Tags, u64)>,
    sets: BTreeMap<Tags, Pages>,
}

#[derive(Clone, Copy, Default, Debug)]
struct Pages {
    windows: u64,
    sum: u64,
    max: u64,
}

impl Default for Follower {
    fn default() -> Self {
        Self {
            live: FxHashMap::default(),
            numbers: FxHashMap::default(),
            held: BTreeMap::new(),
            transactions: 0,
            every: 1,
            samples: Vec::new(),
            blast: Blast::default(),
            gone: FxHashMap::default(),
            touched: FxHashSet::default(),
            sets: BTreeMap::new(),
        }
    }
}

impl Occupancy {
    pub(super) fn observe(&mut self, origin: &Origin, observation: &Observation) {
        let smmu = self.smmus.entry(origin.smmu).or_default();
        match observation {
            Observation::Began(_) => smmu.began(),
            Observation::LookedUp {
                structure: Structure::MainTlb | Structure::MicroTlb,
                hit: Some(number),
                ..
            } => smmu.used(*number),
            Observation::Filled { number, entry, evicted, .. } => {
                smmu.filled(*number, entry, *evicted);
            }
            Observation::Invalidated {
                scope: Invalidation::Translations(scope),
                dropped: 1..,
                ..
            } => smmu.invalidated(scope),
            _ => {}
        }
    }

    /// Over time, of one SMMU; the last sample is now.
    pub(super) fn timeline(&self, smmu: SmmuId) -> Vec<Sample> {
        let Some(follower) = self.smmus.get(&smmu) else { return Vec::new() };
        let mut samples = follower.samples.clone();
        if samples.last().is_none_or(|last| last.transactions != follower.transactions) {
            samples.push(follower.sample());
        }
        samples
    }

    /// What invalidations of one SMMU took away.
    pub(super) fn blast(&self, smmu: SmmuId) -> Blast {
        self.smmus.get(&smmu).map_or_else(Blast::default, |follower| follower.blast)
    }

    /// The working sets on one SMMU.
    pub(super) fn working_sets(&self, smmu: SmmuId) -> Vec<WorkingSet> {
        let Some(follower) = self.smmus.get(&smmu) else { return Vec::new() };
        let mut sets = follower.sets.clone();
        follower.close_window(&mut sets);
        let set = |(&tags, pages): (&Tags, &Pages)| WorkingSet {
            tags,
            window: WINDOW,
            windows: pages.windows,
            mean_pages: pages.sum as f64 / pages.windows as f64,
            max_pages: pages.max,
        };
        sets.iter().map(set).collect()
    }
}

impl Follower {
    fn began(&mut self) {
        self.transactions += 1;
        if self.transactions.is_multiple_of(WINDOW) {
            let mut sets = std::mem::take(&mut self.sets);
            self.close_window(&mut sets);
            self.sets = sets;
            self.touched.clear();
        }
        if !self.transactions.is_multiple_of(self.every) {
            return;
        }
        if self.samples.len() == SAMPLES_MAX {
            self.every *= 2;
            let every = self.every;
            self.samples.retain(|sample| sample.transactions.is_multiple_of(every));
            if !self.transactions.is_multiple_of(every) {
                return;
            }
        }
        self.samples.push(self.sample());
    }

    fn sample(&self) -> Sample {
        let held = self.held.iter().map(|(&tags, &held)| Occupant { tags, held });
        Sample { transactions: self.transactions, held: held.collect() }
    }

    fn close_window(&self, sets: &mut BTreeMap<Tags, Pages>) {
        let mut counts: BTreeMap<Tags, u64> = BTreeMap::new();
        for (tags, _) in &self.touched {
            *counts.entry(*tags).or_default() += 1;
        }
        for (tags, count) in counts {
            let pages = sets.entry(tags).or_default();
            pages.windows += 1;
            pages.sum += count;
            pages.max = pages.max.max(count);
        }
    }

    fn used(&mut self, number: u64) {
        if let Some(entry) = self.live.get(&number) {
            self.touched.insert((Tags::of(entry), entry.input));
        }
    }

    fn filled(&mut self, number: u64, entry: &TlbEntry, evicted: Option<u64>) {
        let tags = Tags::of(entry);
        if let Some((number, victim)) = evicted.and_then(|number| self.live.remove_entry(&number)) {
            self.numbers.remove(&place(number, &victim));
            self.left(&Tags::of(&victim), &tags);
        }
        self.touched.insert((tags, entry.input));
        let place = place(number, entry);
        let came_back = self.gone.remove(&place);
        self.blast.refilled += u64::from(came_back.is_some_and(|gone| same(&gone, entry)));
        match self.numbers.insert(place, number) {
            // An older copy of the page, which had no room of its own.
            Some(older) => drop(self.live.remove(&older)),
            None => self.held.entry(tags).or_default().entries += 1,
        }
        self.live.insert(number, *entry);
    }

    fn left(&mut self, victim: &Tags, by: &Tags) {
        let held = self.held.entry(*victim).or_default();
        held.entries = held.entries.saturating_sub(1);
        if victim != by {
            held.lost += 1;
            self.held.entry(*by).or_default().taken += 1;
        }
    }

    fn invalidated(&mut self, scope: &TlbScope) {
        let Self { live, numbers, held, gone, .. } = self;
        let mut count = 0;
        live.retain(|&number, entry| {
            if !scope.covers(entry) {
                return true;
            }
            let tags = Tags::of(entry);
            if let Some(held) = held.get_mut(&tags) {
                held.entries = held.entries.saturating_sub(1);
            }
            let place = place(number, entry);
            numbers.remove(&place);
            if gone.len() < GONE_MAX {
                gone.insert(place, *entry);
            }
            count += 1;
            false
        });
        self.blast.entries += count;
        self.blast.largest = self.blast.largest.max(count);
    }
}

/// The TLB, where each port has one (the upper bits of the number say which), and what for.
type Place = (u64, Tags, u64, u8);

fn place(number: u64, entry: &TlbEntry) -> Place {
    (number >> 48, Tags::of(entry), entry.input, entry.size_log2)
}

/// A use could not tell one from the other.
fn same(a: &TlbEntry, b: &TlbEntry) -> bool {
    a.output == b.output && a.permissions == b.permissions && a.attributes == b.attributes
}

#[cfg(test)]
mod tests {
    use super::*;
    use smmu_arch::{
        Access, AddressSpace, Asid, Attributes, Direction, Epoch, Iova, Maintenance, Pa,
        Permissions, StreamId, StreamWorld, Transaction, Vmid,
    };

    const ORIGIN: Origin = Origin { smmu: SmmuId(0), transaction: None, begin: Epoch(0) };

    fn entry(vmid: u16, page: u64) -> TlbEntry {
        let space = AddressSpace {
            world: StreamWorld::NsEl1,
            kind: EntryKind::Stage2,
            vmid: Vmid(vmid),
            asid: Asid(0),
            aset: false,
        };
        TlbEntry {
            space,
            global: false,
            input: page << 12,
            size_log2: 12,
            output: Pa(page << 12),
            permissions: Permissions::ALL,
            attributes: Attributes::DEFAULT,
            stage1: None,
            stage2: None,
        }
    }

    fn fill(all: &mut Occupancy, number: u64, entry: TlbEntry, evicted: Option<u64>) {
        let structure = Structure::MainTlb;
        all.observe(&ORIGIN, &Observation::Filled { structure, number, entry, evicted });
    }

    fn begin(all: &mut Occupancy) {
        let access = Access::data(Direction::Read);
        let began = Transaction { stream: StreamId(1), substream: None, iova: Iova(0), access };
        all.observe(&ORIGIN, &Observation::Began(began));
    }

    fn tlbi_vmid(all: &mut Occupancy, vmid: u16) {
        let scope = Invalidation::Translations(TlbScope::s12_vmall(Vmid(vmid)));
        let by = Maintenance::Command(smmu_arch::CommandQueueId::Main);
        all.observe(&ORIGIN, &Observation::Invalidated { scope, dropped: 2, by });
    }

    #[test]
    fn who_took_whose_entries_is_told_over_time() {
        let mut all = Occupancy::default();
        fill(&mut all, 1, entry(1, 1), None);
        begin(&mut all);
        fill(&mut all, 2, entry(2, 1), Some(1));
        begin(&mut all);
        let timeline = all.timeline(SmmuId(0));
        let held = |at: usize| -> Vec<(u16, Held)> {
            timeline[at].held.iter().map(|one| (one.tags.vmid, one.held)).collect()
        };
        assert_eq!(held(0), [(1, Held { entries: 1, lost: 0, taken: 0 })]);
        let taken = Held { entries: 1, lost: 0, taken: 1 };
        assert_eq!(held(1), [(1, Held { entries: 0, lost: 1, taken: 0 }), (2, taken)]);
    }

    #[test]
    fn a_long_run_has_as_many_samples_as_can_be_drawn() {
        let mut all = Occupancy::default();
        (0..100_000).for_each(|_| begin(&mut all));
        let timeline = all.timeline(SmmuId(0));
        assert!((SAMPLES_MAX / 2..=SAMPLES_MAX + 1).contains(&timeline.len()));
        assert_eq!(timeline.last().map(|sample| sample.transactions), Some(100_000));
        assert!(timeline.is_sorted_by_key(|sample| sample.transactions));
    }

    #[test]
    fn what_comes_back_unchanged_was_dropped_in_vain() {
        let mut all = Occupancy::default();
        fill(&mut all, 1, entry(1, 1), None);
        fill(&mut all, 2, entry(1, 2), None);
        fill(&mut all, 3, entry(2, 1), None);
        tlbi_vmid(&mut all, 1);
        fill(&mut all, 4, entry(1, 1), None);
        fill(&mut all, 5, TlbEntry { output: Pa(0), ..entry(1, 2) }, None);
        let blast = Blast { entries: 2, refilled: 1, largest: 2 };
        assert_eq!(all.blast(SmmuId(0)), blast);
    }

    #[test]
    fn a_working_set_is_the_pages_of_a_window() {
        let mut all = Occupancy::default();
        for number in 0..3 * WINDOW {
            fill(&mut all, number, entry(1, number % 5), None);
            begin(&mut all);
        }
        let sets = all.working_sets(SmmuId(0));
        assert_eq!((sets[0].windows, sets[0].max_pages, sets[0].mean_pages), (3, 5, 5.0));
    }
}
