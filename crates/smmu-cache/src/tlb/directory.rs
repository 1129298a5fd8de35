//! The writers' book of address spaces: which numbers are in use, and what is held under them.
//!
//! A TLBI without an address retires numbers instead of clearing ways, so it costs as much as it
//! names address spaces, whatever the capacity. The ways of a retired number are dead: no
//! look-up asks for them, and a fill takes them first. The number comes back into use when the
//! last of them has been overwritten.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smmu_arch::{
    AddressScope, Asid, AsidMatch, EntryKind, StreamWorld, TlbEntry, TlbScope, Vmid, VmidMatch,
};

use super::placement::Placement;
use super::space::{AsidTag, Space, SpaceTag};
use super::words::{SIZE_MIN, SIZES};

/// End of a list of slots.
pub(super) const NOWHERE: u32 = u32::MAX;

/// What is known of one number.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) name: SpaceTag,
    pub(super) space: Arc<Space>,
    /// In use; otherwise retired or free.
    pub(super) live: bool,
    /// Entries that a look-up may find.
    pub(super) residents: u32,
    /// Ways that bear the number although it is retired.
    dead: u32,
    /// First slot of the entries (in sets).
    pub(super) head: u32,
    /// Sizes ever held: bit `n` is 2^(12+n) bytes.
    sizes: u64,
    /// For each of them the largest span (log2) that holds such an entry and its leaf.
    spans: [u8; SIZES],
}

/// Pages of one size that an address scope may cover.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) size: u32,
    /// First and last input address, aligned to the size.
    first: u64,
    last: u64,
}

impl Window {
    fn pages(&self) -> u64 {
        ((self.last - self.first) >> self.size).saturating_add(1)
    }

    /// The first input address of every page.
    pub(super) fn inputs(self) -> impl Iterator<Item = u64> {
        (0..self.pages()).map(move |page| self.first + (page << self.size))
    }
}

impl Record {
    fn new(id: u32, name: SpaceTag, placement: Option<&Placement>) -> Self {
        Self {
            name,
            space: Arc::new(Space::new(id, &name, placement)),
            live: true,
            residents: 0,
            dead: 0,
            head: NOWHERE,
            sizes: 0,
            spans: [0; SIZES],
        }
    }

    /// `entry` is about to be held: look-ups and scopes must find it.
    pub(super) fn announce(&mut self, entry: &TlbEntry) {
        let size = u32::from(entry.size_log2);
        self.space.add_size(entry.input, size);
        let position = size - SIZE_MIN;
        self.sizes |= 1 << position;
        let span = &mut self.spans[position as usize];
        *span = (*span).max(reach(entry) as u8);
    }

    /// Sizes ever held, log2 of bytes, the smallest first.
    pub(super) fn sizes(&self) -> impl Iterator<Item = u32> + use<> {
        let sizes = self.sizes;
        (0..SIZES as u32).filter(move |bit| sizes >> bit & 1 != 0).map(|bit| SIZE_MIN + bit)
    }

    /// Where the entries lie that `range` may cover, or `None` when it is quicker to look at all.
    pub(super) fn windows(&self, range: &AddressScope) -> Option<Windows> {
        let (low, high) = (range.first.min(range.last), range.first.max(range.last));
        let windows = Windows { sizes: self.sizes, spans: self.spans, low, high };
        let pages = windows.clone().fold(0, |sum: u64, w| sum.saturating_add(w.pages()));
        (pages <= u64::from(self.residents)).then_some(windows)
    }
}

/// One [`Window`] for each size.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    sizes: u64,
    spans: [u8; SIZES],
    low: u64,
    high: u64,
}

impl Iterator for Windows {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        let position = self.sizes.trailing_zeros();
        let span = self.spans.get(position as usize)?;
        self.sizes &= self.sizes - 1;
        let inside = u64::MAX >> (64 - u32::from(*span));
        Some(Window {
            size: SIZE_MIN + position,
            first: self.low & !inside,
            last: self.high | inside,
        })
    }
}

/// log2 of the aligned span that holds the entry and the leaf which a TLBI compares.
fn reach(entry: &TlbEntry) -> u32 {
    let leaf = if entry.space.kind.has_stage1() { &entry.stage1 } else { &entry.stage2 };
    let leaf_bits =
        leaf.as_ref().map_or(0, |leaf| (leaf.base ^ entry.input) | (leaf.last() ^ entry.input));
    64 - (leaf_bits | (entry.last_input() ^ entry.input)).leading_zeros()
}

/// All numbers.
#[derive(Debug)]
pub(super) struct Directory {
    /// `None` where there are no sets.
    placement: Option<Placement>,
    id_max: u32,
    /// By number; number 0 is nobody's.
    records: Vec<Record>,
    free: Vec<u32>,
    by_name: FxHashMap<SpaceTag, u32>,
    ordered: BTreeSet<(SpaceTag, u32)>,
    /// The last name asked for, while its number is live: fills come in bursts of one.
    recent: Option<(SpaceTag, u32)>,
}

impl Directory {
    pub(super) fn new(placement: Option<Placement>, id_max: u32) -> Self {
        let nobody = SpaceTag {
            world: StreamWorld::NsEl1,
            vmid: Vmid(0),
            asid: AsidTag::Global(false),
            kind: EntryKind::Stage1,
        };
        let nobody = Record { live: false, ..Record::new(0, nobody, None) };
        Self {
            placement,
            id_max,
            records: vec![nobody],
            free: Vec::new(),
            by_name: FxHashMap::default(),
            ordered: BTreeSet::new(),
            recent: None,
        }
    }

    /// Whether all of `names` have numbers or can have some.
    pub(super) fn has_room(&self, names: &[SpaceTag]) -> bool {
        let free = self.free.len() + (self.id_max as usize + 1 - self.records.len());
        free >= names.len()
            || free >= names.iter().filter(|name| !self.by_name.contains_key(name)).count()
    }

    /// The live number of an address space.
    #[inline]
    pub(super) fn find(&mut self, name: SpaceTag) -> Option<u32> {
        match self.recent {
            Some((recent, id)) if recent == name => Some(id),
            _ => self.find_by_name(name),
        }
    }

    #[inline(never)]
    fn find_by_name(&mut self, name: SpaceTag) -> Option<u32> {
        let id = *self.by_name.get(&name)?;
        self.recent = Some((name, id));
        Some(id)
    }

    /// The number of an address space, a new one where it has none.
    pub(super) fn intern(&mut self, name: SpaceTag) -> u32 {
        if let Some(id) = self.find(name) {
            return id;
        }
        let id = self.free.pop().unwrap_or(self.records.len() as u32);
        let record = Record::new(id, name, self.placement.as_ref());
        match self.records.get_mut(id as usize) {
            Some(free) => *free = record,
            None => self.records.push(record),
        }
        self.by_name.insert(name, id);
        self.ordered.insert((name, id));
        id
    }

    /// Whether a number is in use; 0, which an empty way bears, never is.
    pub(super) fn is_live(&self, id: u32) -> bool {
        self.record(id).live
    }

    pub(super) fn record(&self, id: u32) -> &Record {
        &self.records[id as usize]
    }

    pub(super) fn record_mut(&mut self, id: u32) -> &mut Record {
        &mut self.records[id as usize]
    }

    /// Live numbers and what is known of them, in the order of their names.
    pub(super) fn live(&self) -> impl Iterator<Item = (u32, &Record)> {
        self.ordered.iter().map(|&(_, id)| (id, self.record(id)))
    }

    /// Takes a live number out of use; `dead` ways still bear it. Returns the entries lost.
    pub(super) fn retire(&mut self, id: u32, dead: u32) -> u32 {
        let record = &mut self.records[id as usize];
        let residents = std::mem::take(&mut record.residents);
        (record.live, record.head, record.dead) = (false, NOWHERE, dead);
        self.by_name.remove(&record.name);
        self.recent = None;
        self.ordered.remove(&(record.name, id));
        if dead == 0 {
            self.free.push(id);
        }
        residents
    }

    /// One of the dead ways of a retired number has been overwritten.
    pub(super) fn bury(&mut self, id: u32) {
        let record = &mut self.records[id as usize];
        record.dead -= 1;
        if record.dead == 0 {
            self.free.push(id);
        }
    }

    /// Forgets every address space. No way may bear a number afterwards.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.placement, self.id_max);
    }

    /// Adds to `ids` the live numbers with entries whose tags `scope` covers, whatever the
    /// address.
    pub(super) fn collect_covered(&self, scope: &TlbScope, ids: &mut Vec<u32>) {
        let everywhere = TlbScope { address: None, ..*scope };
        for names in ranges(scope) {
            let named = self.ordered.range((*names.start(), 0)..=(*names.end(), u32::MAX));
            let covered = named.filter(|(name, id)| {
                self.record(*id).residents > 0 && name.is_covered(&everywhere)
            });
            ids.extend(covered.map(|&(_, id)| id));
        }
    }
}

impl Clone for Directory {
    fn clone(&self) -> Self {
        let records = self
            .records
            .iter()
            .map(|record| Record { space: Arc::new(Space::clone(&record.space)), ..*record });
        Self {
            placement: self.placement,
            id_max: self.id_max,
            records: records.collect(),
            free: self.free.clone(),
            by_name: self.by_name.clone(),
            ordered: self.ordered.clone(),
            recent: self.recent,
        }
    }
}

/// Ranges of names outside of which `scope` covers nothing; none overlap.
fn ranges(scope: &TlbScope) -> impl Iterator<Item = RangeInclusive<SpaceTag>> + use<> {
    const ANY: (AsidTag, AsidTag) = (AsidTag::Global(false), AsidTag::Asid(Asid(u16::MAX)));
    const GLOBAL: (AsidTag, AsidTag) =
        (AsidTag::Global(false), AsidTag::GlobalOf(Asid(u16::MAX), true));
    let own = |asid| (AsidTag::GlobalOf(asid, false), AsidTag::GlobalOf(asid, true));
    let one = |asid| (AsidTag::Asid(asid), AsidTag::Asid(asid));
    let (first_vmid, last_vmid, asids) = match (scope.vmid, scope.asid) {
        (VmidMatch::Like { vmid, ignore: 0 }, AsidMatch::Any) => (vmid, vmid, [Some(ANY), None]),
        (VmidMatch::Like { vmid, ignore: 0 }, AsidMatch::NonGlobal(asid)) => {
            (vmid, vmid, [Some(own(asid)), Some(one(asid))])
        }
        (VmidMatch::Like { vmid, ignore: 0 }, AsidMatch::OrGlobal(asid)) => {
            (vmid, vmid, [Some(GLOBAL), Some(one(asid))])
        }
        _ => (Vmid(0), Vmid(u16::MAX), [Some(ANY), None]),
    };
    let worlds = [StreamWorld::NsEl1, StreamWorld::El2, StreamWorld::El2E2h];
    let named = scope.worlds;
    worlds.into_iter().filter(move |world| named.contains(*world)).flat_map(move |world| {
        asids.into_iter().flatten().map(move |(first, last)| {
            SpaceTag { world, vmid: first_vmid, asid: first, kind: EntryKind::Stage1 }..=SpaceTag {
                world,
                vmid: last_vmid,
                asid: last,
                kind: EntryKind::Combined,
            }
        })
    })
}
