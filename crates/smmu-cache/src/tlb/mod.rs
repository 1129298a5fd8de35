//! The main TLB.
//!
//! An address space (world, kind, VMID, ASID or ASET) is interned into a small number, and the
//! number, page and size of an entry make one word. Look-ups read words without a lock; fills
//! and invalidations take the one lock of the writers, which keeps what entries were made from.
//!
//! Architecture: sections "TLB tagging, VMIDs, ASIDs" and "TLB invalidation". How the entries
//! are arranged, and which one goes when a set is full, are this model's choices.

mod directory;
mod geometry;
mod placement;
mod sets;
mod slots;
mod space;
#[cfg(test)]
mod tests;
mod unbounded;
mod victims;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;
use parking_lot::Mutex;
use smmu_arch::{AddressSpace, Epoch, Hit, TlbEntry, TlbKey, TlbScope};

use crate::InvalidationLog;
use directory::Directory;
use sets::{Layout, Sets};
use slots::Slots;
use space::{Space, SpaceTag};
use words::Found;

pub use geometry::{Division, GeometryError, IndexFunction, Split, TlbGeometry, TlbShape};
pub(crate) use placement::Placement;
pub use space::Context;
pub(crate) use victims::Victims;

/// What became of a fill of a [`Tlb`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fill {
    /// The entry is held.
    Filled {
        /// Number of the fill, from 1: a hit on the entry bears it.
        number: u64,
        /// Valid entry that had to go for it. An older copy of the same page does not count.
        evicted: Option<Evicted>,
    },
    /// A scope that took effect since the transaction began covers the entry: not held.
    Overtaken,
    /// The entry is none: size not 2^12 to 2^52, not aligned, or an address too wide.
    Refused,
}

/// An entry that had to go for another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Evicted {
    /// Number of the fill that had made it.
    pub number: u64,
    /// Address space that had filled it.
    pub space: AddressSpace,
    /// Global at stage 1.
    pub global: bool,
    /// First input address that it translated.
    pub input: u64,
    /// log2 of the bytes that it translated.
    pub size_log2: u8,
}

impl From<&Numbered> for Evicted {
    fn from(Numbered { number, entry }: &Numbered) -> Self {
        let TlbEntry { space, global, input, size_log2, .. } = *entry;
        Self { number: *number, space, global, input, size_log2 }
    }
}

/// How many entries an address space holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Resident {
    /// The address space. Its ASID is 0 for global entries, its ASET 0 for the others: they are
    /// no tags of such entries.
    pub space: AddressSpace,
    /// The global entries of the VMID and ASET, instead of those of the ASID.
    pub global: bool,
    /// Entries held.
    pub count: u32,
}

/// An entry and the number of its fill.
#[derive(Clone, Copy, Debug)]
struct Numbered {
    number: u64,
    entry: TlbEntry,
}

/// A translation lookaside buffer, tagged as the architecture says.
///
/// It may be used from several threads: a look-up never waits for a lock unless its [`Context`]
/// has to be refreshed.
#[derive(Debug)]
pub struct Tlb {
    /// `None` for a TLB that forgets nothing: its lines hang on the address spaces.
    lines: Option<Lines>,
    /// Changes when a number of an address space is retired: contexts must be resolved anew.
    generation: CachePadded<AtomicU64>,
    /// Global entries are used in their own ASID only.
    by_asid: bool,
    ledger: Mutex<Ledger>,
}

/// Sets of ways, and which of them goes.
#[derive(Clone, Debug)]
struct Lines {
    sets: Sets,
    victims: Victims,
}

impl Lines {
    fn new(geometry: &TlbGeometry) -> Result<Self, GeometryError> {
        let victims = Victims::new(geometry)?;
        let placement = Placement::new(geometry)?;
        let plain = placement.is_plain() && !victims.remember_hits();
        let layout = if plain { Layout::Plain } else { Layout::Any(placement) };
        Ok(Self { sets: Sets::new(geometry.shape()?, layout), victims })
    }

    /// The policy hears that a look-up of `input` has hit in `space`.
    fn tell(&self, space: &Space, input: u64) {
        if let Some((set, way)) = self.sets.place_of(space, input) {
            self.victims.hit(set, way);
        }
    }
}

/// What writers know.
#[derive(Clone, Debug)]
struct Ledger {
    directory: Directory,
    slots: Option<Slots>,
    fills: u64,
    /// Numbers that a scope covers, kept for the room they take.
    ids: Vec<u32>,
}

/// Every TLB counts generations in a range of its own, so that a context of another TLB, or of
/// the one that this is a copy of, is never taken for current.
fn first_generation() -> u64 {
    static TLBS: AtomicU64 = AtomicU64::new(1);
    TLBS.fetch_add(1, Ordering::Relaxed) << 40
}

impl Tlb {
    /// An empty TLB.
    ///
    /// # Errors
    ///
    /// A geometry that cannot be built.
    pub fn new(shape: TlbShape) -> Result<Self, GeometryError> {
        Self::with_space_ids(shape, words::SPACE_ID_MAX)
    }

    /// The same, whose fills are numbered from `first`: so that those of several TLBs differ.
    ///
    /// # Errors
    /// A geometry that cannot be built.
    pub fn numbered_from(shape: TlbShape, first: u64) -> Result<Self, GeometryError> {
        let tlb = Self::new(shape)?;
        tlb.ledger.lock().fills = first.saturating_sub(1);
        Ok(tlb)
    }

    /// With fewer numbers for address spaces than a tag has room for.
    fn with_space_ids(shape: TlbShape, id_max: u32) -> Result<Self, GeometryError> {
        let (placement, lines) = match shape {
            TlbShape::Unbounded | TlbShape::UnboundedByAsid => (None, None),
            TlbShape::SetAssociative(geometry) => {
                (Some(Placement::new(&geometry)?), Some(Lines::new(&geometry)?))
            }
        };
        let slots = lines.as_ref().map(|lines| Slots::new(lines.sets.slots()));
        let directory = Directory::new(placement, id_max);
        Ok(Self {
            lines,
            generation: CachePadded::new(AtomicU64::new(first_generation())),
            by_asid: shape == TlbShape::UnboundedByAsid,
            ledger: Mutex::new(Ledger { directory, slots, fills: 0, ids: Vec::new() }),
        })
    }

    fn name(&self, space: &AddressSpace, global: bool) -> SpaceTag {
        match self.by_asid {
            true => SpaceTag::in_own_asid(space, global),
            false => SpaceTag::new(space, global),
        }
    }

    /// Works out what look-ups in `space` need.
    #[must_use]
    pub fn resolve(&self, space: &AddressSpace) -> Context {
        let mut ledger = self.ledger.lock();
        let names = [false, true].map(|global| self.name(space, global));
        self.make_room(&mut ledger, &names);
        let [own, global] = names.map(|name| {
            let id = ledger.directory.intern(name);
            Arc::clone(&ledger.directory.record(id).space)
        });
        let generation = self.generation.load(Ordering::SeqCst);
        Context { space: *space, generation, own, global }
    }

    /// The translation of `input` in the address space of `context`.
    ///
    /// Where entries of several sizes hold the address, the smallest answers, and an entry of the
    /// ASID before a global one.
    #[inline(always)]
    pub fn look_up(&self, context: &mut Context, input: u64) -> Option<Hit> {
        let found = self.find(context, input);
        // Checked after the words were read: had a number been retired and given to another
        // address space before, the new generation would be seen here (the fences in `Sets`
        // order it). So a hit is never one of somebody else.
        let current = self.generation.load(Ordering::Acquire) == context.generation;
        let found = if current { found } else { self.find_anew(context, input) };
        found.hit(input)
    }

    #[cold]
    #[inline(never)]
    fn find_anew(&self, context: &mut Context, input: u64) -> Found {
        loop {
            *context = self.resolve(&context.space);
            let found = self.find(context, input);
            if self.generation.load(Ordering::Acquire) == context.generation {
                return found;
            }
        }
    }

    #[inline(always)]
    fn find(&self, context: &Context, input: u64) -> Found {
        if !words::is_canonical(input) {
            return Found::NOTHING;
        }
        let found = self.find_in(context, &context.own, input);
        if found.is_hit() { found } else { self.find_global(context, input) }
    }

    #[inline(always)]
    fn find_in(&self, context: &Context, space: &Space, input: u64) -> Found {
        match &self.lines {
            Some(lines) => match lines.sets.plain() {
                Some(sets) => sets.find(space, input),
                None => self.find_aside(lines, context, space, input),
            },
            None => unbounded::find(space, input),
        }
    }

    /// What is in lines of any other kind; the policy hears of a hit that counts.
    #[inline(never)]
    fn find_aside(&self, lines: &Lines, context: &Context, space: &Space, input: u64) -> Found {
        let found = lines.sets.find(space, input);
        let current = || self.generation.load(Ordering::Acquire) == context.generation;
        if found.is_hit() && lines.victims.remember_hits() && current() {
            lines.tell(space, input);
        }
        found
    }

    #[inline(never)]
    fn find_global(&self, context: &Context, input: u64) -> Found {
        self.find_in(context, &context.global, input)
    }

    /// The entry that answers a look-up with `key`, and the number of its fill. Unlike a look-up
    /// it takes the writers' lock and is no use of the entry.
    #[must_use]
    pub fn entry(&self, key: &TlbKey) -> Option<(u64, TlbEntry)> {
        if !words::is_canonical(key.input) {
            return None;
        }
        let mut ledger = self.ledger.lock();
        let held = [false, true].into_iter().find_map(|global| {
            let id = ledger.directory.find(self.name(&key.space, global))?;
            ledger.held_at(self.lines.as_ref(), id, key.input)
        })?;
        Some((held.number, held.entry))
    }

    /// Holds `entry`, which a transaction made that began at `begin`.
    #[inline(always)]
    pub fn fill(&self, entry: &TlbEntry, begin: Epoch, log: &InvalidationLog) -> Fill {
        self.fill_as(None, entry, begin, log)
    }

    /// Holds a copy of what another TLB holds as its fill `number`: a hit on it bears that number.
    #[inline]
    pub fn copy(&self, number: u64, entry: &TlbEntry, begin: Epoch, log: &InvalidationLog) -> Fill {
        self.fill_as(Some(number), entry, begin, log)
    }

    /// One piece of code for both, as few callers as can be inside: it is long.
    #[inline(never)]
    fn fill_as(
        &self,
        number: Option<u64>,
        entry: &TlbEntry,
        begin: Epoch,
        log: &InvalidationLog,
    ) -> Fill {
        if !words::fits(entry) {
            return Fill::Refused;
        }
        let mut ledger = self.ledger.lock();
        if log.overtook(begin, |scope| scope.covers_translation(entry)) {
            return Fill::Overtaken;
        }
        let name = self.name(&entry.space, entry.global);
        let id = match ledger.directory.find(name) {
            Some(id) => id,
            None => self.intern(&mut ledger, name),
        };
        let (number, evicted) = ledger.place(self.lines.as_ref(), id, number, entry);
        Fill::Filled { number, evicted }
    }

    #[cold]
    fn intern(&self, ledger: &mut Ledger, name: SpaceTag) -> u32 {
        self.make_room(ledger, &[name]);
        ledger.directory.intern(name)
    }

    /// Drops exactly what `scope` covers; returns how many entries that were.
    ///
    /// Without an address the cost does not depend on how many entries there are, unless entries
    /// of one ASID are told apart by their ASET, which is no tag of theirs.
    pub fn invalidate(&self, scope: &TlbScope) -> u32 {
        let mut ledger = self.ledger.lock();
        let mut ids = std::mem::take(&mut ledger.ids);
        ledger.directory.collect_covered(scope, &mut ids);
        let one_by_one = scope.address.is_some() || scope.shared_only;
        let dropped = if one_by_one {
            ids.iter().map(|&id| ledger.drop_within(self.lines.as_ref(), id, scope)).sum()
        } else {
            ids.iter().map(|&id| ledger.retire(id)).sum()
        };
        if !one_by_one && dropped > 0 {
            self.generation.fetch_add(1, Ordering::SeqCst);
        }
        ids.clear();
        ledger.ids = ids;
        dropped
    }

    /// Sees to it that `names` can be interned. When numbers run out, address spaces without
    /// entries give theirs up, and if that is not enough everything is forgotten.
    fn make_room(&self, ledger: &mut Ledger, names: &[SpaceTag]) {
        if !ledger.directory.has_room(names) {
            ledger.reclaim(self.lines.as_ref(), names);
            self.generation.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Entries held by each address space that holds any.
    #[must_use]
    pub fn resident(&self) -> Vec<Resident> {
        let ledger = self.ledger.lock();
        let holders = ledger.directory.live().filter(|(_, record)| record.residents > 0);
        holders
            .map(|(_, record)| {
                let (space, global) = record.name.address_space();
                Resident { space, global, count: record.residents }
            })
            .collect()
    }

    /// All entries held, in the order of their fills.
    #[must_use]
    pub fn entries(&self) -> Vec<TlbEntry> {
        let ledger = self.ledger.lock();
        let mut held: Vec<Numbered> =
            ledger.directory.live().flat_map(|(id, _)| ledger.held_by(id)).collect();
        held.sort_by_key(|held| held.number);
        held.iter().map(|held| held.entry).collect()
    }

    /// Entries held.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.ledger.lock().directory.live().map(|(_, record)| record.residents).sum()
    }

    /// Nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries that fit; `None` for a TLB that forgets nothing.
    #[must_use]
    pub fn capacity(&self) -> Option<u32> {
        self.lines.as_ref().map(|lines| lines.sets.slots() as u32)
    }
}

impl Clone for Tlb {
    /// A TLB with the same entries, fill numbers and victims to come. Contexts of the original
    /// refresh themselves when they are used with it.
    fn clone(&self) -> Self {
        let ledger = self.ledger.lock();
        Self {
            lines: self.lines.clone(),
            generation: CachePadded::new(AtomicU64::new(first_generation())),
            by_asid: self.by_asid,
            ledger: Mutex::new(ledger.clone()),
        }
    }
}

impl Ledger {
    /// Holds `entry` under the live number `id`; gives the number of the fill, which is the next
    /// unless one is given.
    #[inline(always)]
    fn place(
        &mut self,
        lines: Option<&Lines>,
        id: u32,
        number: Option<u64>,
        entry: &TlbEntry,
    ) -> (u64, Option<Evicted>) {
        self.directory.record_mut(id).announce(entry);
        self.fills += 1;
        let number = number.unwrap_or(self.fills);
        let evicted = match (&mut self.slots, lines) {
            (Some(slots), Some(lines)) => {
                slots.place(lines, &mut self.directory, id, number, entry)
            }
            _ => {
                unbounded::place(self.directory.record_mut(id), number, entry);
                None
            }
        };
        (number, evicted)
    }

    fn drop_within(&mut self, lines: Option<&Lines>, id: u32, scope: &TlbScope) -> u32 {
        match (&mut self.slots, lines) {
            (Some(slots), Some(lines)) => {
                slots.invalidate(&lines.sets, &mut self.directory, id, scope)
            }
            _ => unbounded::invalidate(self.directory.record_mut(id), scope),
        }
    }

    /// Takes a number out of use and with it all entries under it.
    fn retire(&mut self, id: u32) -> u32 {
        let record = self.directory.record(id);
        let dead = if self.slots.is_some() { record.residents } else { 0 };
        unbounded::clear(record);
        self.directory.retire(id, dead)
    }

    /// The smallest entry of `id` around `input`.
    fn held_at(&self, lines: Option<&Lines>, id: u32, input: u64) -> Option<Numbered> {
        match (&self.slots, lines) {
            (Some(slots), Some(lines)) => slots.held_at(&lines.sets, &self.directory, id, input),
            _ => unbounded::held_at(self.directory.record(id), input),
        }
    }

    fn held_by(&self, id: u32) -> Vec<Numbered> {
        match &self.slots {
            Some(slots) => slots.held_by(&self.directory, id),
            None => unbounded::held_by(self.directory.record(id)),
        }
    }

    fn reclaim(&mut self, lines: Option<&Lines>, names: &[SpaceTag]) {
        let live = self.directory.live();
        let idle = live.filter(|(_, record)| record.residents == 0).map(|(id, _)| id);
        for id in idle.collect::<Vec<u32>>() {
            self.directory.retire(id, 0);
        }
        if self.directory.has_room(names) {
            return;
        }
        self.directory.reset();
        if let (Some(slots), Some(lines)) = (&mut self.slots, lines) {
            slots.clear(&lines.sets);
        }
    }
}
