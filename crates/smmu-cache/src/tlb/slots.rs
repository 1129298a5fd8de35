//! The writers' side of a set-associative TLB: what each slot was made from, and who goes next.

use std::ops::Range;

use smmu_arch::{TlbEntry, TlbScope};

use super::directory::{Directory, NOWHERE};
use super::sets::{Set, Sets};
use super::victims::Victims;
use super::{Evicted, Lines, Numbered, words};

/// Neighbours of a slot in the list of its address space.
#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
}

/// What became of the way that a fill took.
enum Victim {
    /// It held the same page.
    Same,
    /// It was empty.
    Empty,
    /// It belonged to a retired address space.
    Dead(u32),
    /// It held a valid entry of this address space.
    Valid(u32),
}

/// One record a slot, beside the words that look-ups read.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    links: Vec<Link>,
    held: Vec<Option<Numbered>>,
}

impl Slots {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            links: vec![Link { previous: NOWHERE, next: NOWHERE }; slots],
            held: vec![None; slots],
        }
    }

    /// Holds `entry` under the live number `id`.
    #[inline(always)]
    pub(super) fn place(
        &mut self,
        lines: &Lines,
        directory: &mut Directory,
        id: u32,
        number: u64,
        entry: &TlbEntry,
    ) -> Option<Evicted> {
        let Lines { sets, victims } = lines;
        let size = u32::from(entry.size_log2);
        let tag = words::tag(id, words::page(entry.input, size));
        let set = sets.set_of(&directory.record(id).space, entry.input, size);
        let ways = sets.set(set);
        let allowed = victims.ways_of(entry.space.vmid);
        let (way, victim) = choose(set, &ways, directory, tag, victims, allowed);
        victims.filled(set, way);
        let slot = set * sets.ways() + way;
        let evicted = match victim {
            Victim::Valid(_) => self.held[slot].as_ref().map(Evicted::from),
            _ => None,
        };
        self.hand_over(directory, slot, &victim, id);
        self.held[slot] = Some(Numbered { number, entry: *entry });
        ways.write(way, tag, words::data(entry), number);
        evicted
    }

    /// Puts a slot into the list of `id`, if it is not there already.
    #[inline]
    fn hand_over(&mut self, directory: &mut Directory, slot: usize, victim: &Victim, id: u32) {
        match *victim {
            Victim::Same => return,
            Victim::Valid(of) if of == id => return,
            Victim::Valid(of) => self.unlink(directory, of, slot),
            Victim::Dead(of) => directory.bury(of),
            Victim::Empty => {}
        }
        self.link(directory, id, slot);
    }

    /// Drops the entries of `id` that `scope` covers, one by one.
    pub(super) fn invalidate(
        &mut self,
        sets: &Sets,
        directory: &mut Directory,
        id: u32,
        scope: &TlbScope,
    ) -> u32 {
        let record = directory.record(id);
        let Some(windows) = scope.address.as_ref().and_then(|range| record.windows(range)) else {
            return self.invalidate_all(sets, directory, id, scope);
        };
        let mut dropped = 0;
        for window in windows {
            for input in window.inputs() {
                if let Some(slot) = self.find(sets, directory, id, input, window.size) {
                    dropped += self.drop_covered(sets, directory, id, slot, scope);
                }
            }
        }
        dropped
    }

    /// As [`Self::invalidate`], looking at every entry of `id`.
    fn invalidate_all(
        &mut self,
        sets: &Sets,
        directory: &mut Directory,
        id: u32,
        scope: &TlbScope,
    ) -> u32 {
        let mut dropped = 0;
        let mut slot = directory.record(id).head;
        while slot != NOWHERE {
            let next = self.links[slot as usize].next;
            dropped += self.drop_covered(sets, directory, id, slot as usize, scope);
            slot = next;
        }
        dropped
    }

    fn find(
        &self,
        sets: &Sets,
        directory: &Directory,
        id: u32,
        input: u64,
        size: u32,
    ) -> Option<usize> {
        let tag = words::tag(id, words::page(input, size));
        let set = sets.set_of(&directory.record(id).space, input, size);
        let way = sets.set(set).position(|other| other == tag)?;
        Some(set * sets.ways() + way)
    }

    fn drop_covered(
        &mut self,
        sets: &Sets,
        directory: &mut Directory,
        id: u32,
        slot: usize,
        scope: &TlbScope,
    ) -> u32 {
        if !self.held[slot].as_ref().is_some_and(|held| scope.covers(&held.entry)) {
            return 0;
        }
        sets.set(slot / sets.ways()).clear(slot % sets.ways());
        self.unlink(directory, id, slot);
        self.held[slot] = None;
        1
    }

    fn link(&mut self, directory: &mut Directory, id: u32, slot: usize) {
        let record = directory.record_mut(id);
        record.residents += 1;
        let next = std::mem::replace(&mut record.head, slot as u32);
        self.links[slot] = Link { previous: NOWHERE, next };
        if next != NOWHERE {
            self.links[next as usize].previous = slot as u32;
        }
    }

    fn unlink(&mut self, directory: &mut Directory, id: u32, slot: usize) {
        let record = directory.record_mut(id);
        record.residents -= 1;
        let Link { previous, next } = self.links[slot];
        match previous {
            NOWHERE => record.head = next,
            _ => self.links[previous as usize].next = next,
        }
        if next != NOWHERE {
            self.links[next as usize].previous = previous;
        }
    }

    /// The smallest entry of `id` around `input`.
    pub(super) fn held_at(
        &self,
        sets: &Sets,
        directory: &Directory,
        id: u32,
        input: u64,
    ) -> Option<Numbered> {
        let sizes = directory.record(id).sizes();
        sizes
            .filter_map(|size| self.find(sets, directory, id, input, size))
            .find_map(|slot| self.held[slot])
    }

    /// The entries of `id`.
    pub(super) fn held_by(&self, directory: &Directory, id: u32) -> Vec<Numbered> {
        let first = Some(directory.record(id).head);
        let chain = std::iter::successors(first, |&slot| {
            (slot != NOWHERE).then(|| self.links[slot as usize].next)
        });
        chain.filter(|&slot| slot != NOWHERE).filter_map(|slot| self.held[slot as usize]).collect()
    }

    /// Empties every slot, dead or alive. The directory must have forgotten them.
    pub(super) fn clear(&mut self, sets: &Sets) {
        for (slot, held) in self.held.iter_mut().enumerate() {
            sets.set(slot / sets.ways()).clear(slot % sets.ways());
            *held = None;
        }
    }
}

/// The way for a new entry: that of an older copy, a free one of those `allowed`, or a victim.
#[inline(always)]
fn choose(
    set: usize,
    ways: &Set<'_>,
    directory: &Directory,
    tag: u64,
    victims: &Victims,
    allowed: Range<usize>,
) -> (usize, Victim) {
    if let Some(way) = ways.position(|other| other == tag) {
        return (way, Victim::Same);
    }
    let owner = |way: usize| words::space_of(ways.tag(way));
    // Most ways belong to the one that fills, and that one is live.
    let id = words::space_of(tag);
    let is_free =
        |other| words::space_of(other) != id && !directory.is_live(words::space_of(other));
    match ways.position_in(allowed.clone(), is_free) {
        Some(way) if owner(way) == 0 => (way, Victim::Empty),
        Some(way) => (way, Victim::Dead(owner(way))),
        None => {
            let way = victims.victim(set, &allowed);
            (way, Victim::Valid(owner(way)))
        }
    }
}
