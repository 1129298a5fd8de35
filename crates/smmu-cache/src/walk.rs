//! What shortens a walk: the cache of one level's table descriptors, or of stage 2's leaves.
//!
//! Architecture: section "TLB tagging, VMIDs, ASIDs". Only misses of the TLB come here, so one lock
//! serves it, and a scope is compared with every entry.

use crate::policy::Shape;
use crate::tlb::{Placement, Victims};
use crate::{GeometryError, InvalidationLog, TlbShape};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use smmu_arch::{AddressSpace, Epoch, Granule, TlbScope, WalkEntry, WalkKey};

/// What became of a fill of a [`WalkCache`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WalkFill {
    /// The descriptor is held.
    Filled {
        /// Number of the fill, from 1.
        number: u64,
        /// A valid one had to go for it.
        evicted: bool,
    },
    /// A scope that took effect since the transaction began covers it: not held.
    Overtaken,
}

/// A cache of the descriptors of walks.
#[derive(Debug)]
pub struct WalkCache {
    lines: Mutex<Lines>,
}

impl WalkCache {
    /// An empty cache.
    ///
    /// # Errors
    /// A geometry that cannot be built.
    pub fn new(shape: TlbShape) -> Result<Self, GeometryError> {
        let store = match shape {
            TlbShape::Unbounded | TlbShape::UnboundedByAsid => Store::Map(FxHashMap::default()),
            TlbShape::SetAssociative(geometry) => {
                let shape = geometry.shape()?;
                Store::Sets {
                    shape,
                    placement: Box::new(Placement::new(&geometry)?),
                    ways: vec![None; shape.sets * shape.ways],
                    victims: Box::new(Victims::new(&geometry)?),
                }
            }
        };
        Ok(Self { lines: Mutex::new(Lines { store, spans: 0, fills: 0, held: 0 }) })
    }

    /// The descriptor from which a walk with `key` may go on, and the number of its fill. Of
    /// several, the one that resolves most.
    #[must_use]
    pub fn look_up(&self, key: &WalkKey) -> Option<(u64, WalkEntry)> {
        let lines = &mut *self.lines.lock();
        let mut spans = lines.spans;
        while spans != 0 {
            let span = spans.trailing_zeros() as u8;
            spans &= spans - 1;
            let tag = Tag::new(key.space, key.granule, key.input, span);
            if let Some(held) = lines.store.find(&tag, key) {
                return Some((held.number, held.entry));
            }
        }
        None
    }

    /// Holds `entry`, which a transaction met that began at `begin`.
    pub fn fill(&self, entry: &WalkEntry, begin: Epoch, log: &InvalidationLog) -> WalkFill {
        let lines = &mut *self.lines.lock();
        if log.overtook(begin, |scope| scope.covers_walk(entry)) {
            return WalkFill::Overtaken;
        }
        lines.fills += 1;
        lines.spans |= 1 << entry.reach.span_log2;
        let number = lines.fills;
        let replaced = lines.store.put(Held { tag: Tag::of(entry), number, entry: *entry });
        lines.held += u32::from(replaced == Replaced::Nothing);
        WalkFill::Filled { number, evicted: replaced == Replaced::Another }
    }

    /// Drops exactly what `scope` covers; returns how many descriptors that were.
    pub fn invalidate(&self, scope: &TlbScope) -> u32 {
        let lines = &mut *self.lines.lock();
        if lines.held == 0 {
            return 0;
        }
        let dropped = lines.store.drop_covered(scope);
        lines.held -= dropped;
        dropped
    }

    /// Descriptors held.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.lines.lock().held
    }

    /// Nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Clone for WalkCache {
    fn clone(&self) -> Self {
        Self { lines: Mutex::new(self.lines.lock().clone()) }
    }
}

#[derive(Clone, Debug)]
struct Lines {
    store: Store,
    /// Bit n: a descriptor that maps or resolves 2^n bytes was held.
    spans: u64,
    fills: u64,
    held: u32,
}

/// What tells one descriptor from another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Tag {
    space: AddressSpace,
    granule: Granule,
    span_log2: u8,
    /// Input address in units of the span.
    page: u64,
}

impl Tag {
    fn new(space: AddressSpace, granule: Granule, input: u64, span_log2: u8) -> Self {
        Self { space, granule, span_log2, page: input >> span_log2 }
    }

    fn of(entry: &WalkEntry) -> Self {
        Self::new(entry.space, entry.reach.granule, entry.reach.base, entry.reach.span_log2)
    }
}

#[derive(Clone, Copy, Debug)]
struct Held {
    tag: Tag,
    number: u64,
    entry: WalkEntry,
}

/// What had to go for a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Replaced {
    Nothing,
    /// An older copy of itself.
    Itself,
    Another,
}

#[derive(Clone, Debug)]
enum Store {
    Map(FxHashMap<Tag, Held>),
    Sets { shape: Shape, placement: Box<Placement>, ways: Vec<Option<Held>>, victims: Box<Victims> },
}

impl Store {
    /// What is held under a tag, if a walk with `key` can use it: only then is it a hit.
    fn find(&mut self, tag: &Tag, key: &WalkKey) -> Option<Held> {
        match self {
            Self::Map(map) => map.get(tag).copied().filter(|held| held.entry.matches(key)),
            Self::Sets { shape, placement, ways, victims } => {
                let set = set_of(placement, tag);
                let ways = &ways[set * shape.ways..][..shape.ways];
                let serves = |held: &Held| held.tag == *tag && held.entry.matches(key);
                let way = ways.iter().position(|held| held.as_ref().is_some_and(serves))?;
                victims.hit(set, way);
                ways[way]
            }
        }
    }

    fn put(&mut self, new: Held) -> Replaced {
        match self {
            Self::Map(map) => match map.insert(new.tag, new) {
                None => Replaced::Nothing,
                Some(_) => Replaced::Itself,
            },
            Self::Sets { shape, placement, ways, victims } => {
                let set = set_of(placement, &new.tag);
                let ways = &mut ways[set * shape.ways..][..shape.ways];
                let same = ways.iter().position(|held| held.is_some_and(|h| h.tag == new.tag));
                let allowed = victims.ways_of(new.entry.space.vmid);
                let free = || allowed.clone().find(|&way| ways[way].is_none());
                let way = same.or_else(free).unwrap_or_else(|| victims.victim(set, &allowed));
                victims.filled(set, way);
                match ways[way].replace(new) {
                    None => Replaced::Nothing,
                    Some(old) if old.tag == new.tag => Replaced::Itself,
                    Some(_) => Replaced::Another,
                }
            }
        }
    }

    fn drop_covered(&mut self, scope: &TlbScope) -> u32 {
        match self {
            Self::Map(map) => {
                let before = map.len();
                map.retain(|_, held| !scope.covers_walk(&held.entry));
                (before - map.len()) as u32
            }
            Self::Sets { ways, .. } => {
                let mut dropped = 0;
                for way in ways {
                    if way.is_some_and(|held| scope.covers_walk(&held.entry)) {
                        *way = None;
                        dropped += 1;
                    }
                }
                dropped
            }
        }
    }
}

fn set_of(placement: &Placement, tag: &Tag) -> usize {
    let salt = placement.salt(tag.space.asid, tag.space.vmid);
    placement.set_of(&salt, tag.page << tag.span_log2, tag.span_log2.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TlbGeometry;
    use smmu_arch::{Asid, EntryKind, Invalidation, Leaf, Pa, Stage, StreamWorld, Vmid};

    fn space(vmid: u16) -> AddressSpace {
        AddressSpace {
            world: StreamWorld::NsEl1,
            kind: EntryKind::Stage2,
            vmid: Vmid(vmid),
            asid: Asid(0),
            aset: false,
        }
    }

    fn table(vmid: u16, region: u64) -> WalkEntry {
        WalkEntry {
            space: space(vmid),
            stage: Stage::Stage2,
            nested: true,
            reach: Leaf { base: region << 21, span_log2: 21, level: 2, granule: Granule::K4 },
            leaf: false,
            word: region << 12 | 3,
            pa: Pa(region << 3),
            limits: 0,
        }
    }

    fn key(vmid: u16, input: u64) -> WalkKey {
        WalkKey {
            space: space(vmid),
            stage: Stage::Stage2,
            input,
            granule: Granule::K4,
            start_level: 1,
            nested: true,
        }
    }

    fn filled(cache: &WalkCache, entries: &[WalkEntry]) -> InvalidationLog {
        let log = InvalidationLog::new();
        for entry in entries {
            assert!(matches!(cache.fill(entry, log.now(), &log), WalkFill::Filled { .. }));
        }
        log
    }

    #[test]
    fn any_address_of_the_region_finds_the_table_in_its_own_vmid_and_granule() {
        let cache = WalkCache::new(TlbShape::Unbounded).unwrap();
        filled(&cache, &[table(1, 5)]);
        let found = |key: WalkKey| cache.look_up(&key).map(|(number, entry)| (number, entry.word));
        assert_eq!(found(key(1, 5 << 21 | 0x1f_ffff)), Some((1, 0x5003)));
        assert_eq!(found(key(1, 6 << 21)), None);
        assert_eq!(found(key(2, 5 << 21)), None);
        assert_eq!(found(WalkKey { granule: Granule::K16, ..key(1, 5 << 21) }), None);
        assert_eq!(found(WalkKey { start_level: 3, ..key(1, 5 << 21) }), None);
    }

    #[test]
    fn the_oldest_goes_and_a_copy_of_itself_does_not_count() {
        let geometry = TlbGeometry { entries: 2, ways: 0, ..TlbGeometry::default() };
        let cache = WalkCache::new(geometry.into()).unwrap();
        let log = filled(&cache, &[table(1, 0), table(1, 1), table(1, 1)]);
        assert_eq!(cache.len(), 2);
        let fill = cache.fill(&table(1, 2), log.now(), &log);
        assert_eq!(fill, WalkFill::Filled { number: 4, evicted: true });
        assert!(cache.look_up(&key(1, 0)).is_none() && cache.look_up(&key(1, 1 << 21)).is_some());
        assert_eq!(cache.len(), 2);
    }

    #[test]
    fn a_look_up_that_cannot_use_a_table_is_no_use_of_it() {
        let replacement = crate::policy::PolicyKind::Lru;
        let geometry = TlbGeometry { entries: 2, ways: 0, replacement, ..TlbGeometry::default() };
        let cache = WalkCache::new(geometry.into()).unwrap();
        let log = filled(&cache, &[table(1, 0), table(1, 1)]);
        // The walk begins below the table's level: nothing that is held serves it.
        assert!(cache.look_up(&WalkKey { start_level: 3, ..key(1, 0) }).is_none());
        cache.fill(&table(1, 2), log.now(), &log);
        assert!(cache.look_up(&key(1, 0)).is_none(), "the first was used for the longest time not");
        assert!(cache.look_up(&key(1, 1 << 21)).is_some());
    }

    #[test]
    fn a_scope_drops_what_it_covers_and_overtakes_what_is_on_the_way() {
        let cache = WalkCache::new(TlbShape::Unbounded).unwrap();
        let log = filled(&cache, &[table(1, 0), table(2, 0)]);
        let (begin, scope) = (log.now(), TlbScope::s12_vmall(Vmid(1)));
        let dropped =
            log.take_effect(&Invalidation::Translations(scope), || cache.invalidate(&scope));
        assert_eq!((dropped, cache.len()), (1, 1));
        assert_eq!(cache.fill(&table(1, 3), begin, &log), WalkFill::Overtaken);
        assert!(matches!(cache.fill(&table(2, 3), begin, &log), WalkFill::Filled { .. }));
    }
}
