//! The ways of a set-associative TLB: arrays of words that look-ups read without a lock.
//!
//! Each set has a sequence number, odd while a writer is inside. A reader takes the words and
//! then sees whether the number is still the one it began with; otherwise it reads again.
//! Writers exclude each other by the TLB's lock.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::space::Space;
use super::words::{self, Found, SIZE_MIN};

/// A set of `W` ways, or a part of a larger set. Four ways: tags and data fill one cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Block<const W: usize> {
    tags: [AtomicU64; W],
    data: [AtomicU64; W],
    numbers: [AtomicU64; W],
    sequence: AtomicU64,
}

impl<const W: usize> Default for Block<W> {
    fn default() -> Self {
        let empty = || std::array::from_fn(|_| AtomicU64::new(0));
        Self { tags: empty(), data: empty(), numbers: empty(), sequence: AtomicU64::new(0) }
    }
}

impl<const W: usize> Block<W> {
    /// Data and fill number of the way with `tag`.
    #[inline(always)]
    fn read(&self, tag: u64) -> Option<Held> {
        match self.read_once(tag) {
            Ok(found) => found,
            Err(Overtaken) => self.read_again(tag),
        }
    }

    #[cold]
    #[inline(never)]
    fn read_again(&self, tag: u64) -> Option<Held> {
        loop {
            std::hint::spin_loop();
            if let Ok(found) = self.read_once(tag) {
                return found;
            }
        }
    }

    /// All tags are compared: which way it is cannot be predicted, so a branch on it would cost
    /// more. Without a match the words of way 0 are read, and not used.
    #[inline(always)]
    fn read_once(&self, tag: u64) -> Result<Option<Held>, Overtaken> {
        let before = self.sequence.load(Ordering::Acquire);
        let (mut found, mut way) = (false, 0);
        for (candidate, held) in self.tags.iter().enumerate() {
            let same = held.load(Ordering::Relaxed) == tag;
            found |= same;
            way |= candidate & usize::from(same).wrapping_neg();
        }
        let data = self.data[way % W].load(Ordering::Relaxed);
        let number = self.numbers[way % W].load(Ordering::Relaxed);
        // The words above are read before the number below: if one of them is a writer's,
        // that writer's odd number is seen.
        fence(Ordering::Acquire);
        if before & 1 == 0 && self.sequence.load(Ordering::Relaxed) == before {
            Ok(if found { NonZeroU64::new(number).map(|number| (data, number)) } else { None })
        } else {
            Err(Overtaken)
        }
    }

    fn way(&self, way: usize) -> Way<'_> {
        Way {
            sequence: &self.sequence,
            tag: &self.tags[way],
            data: &self.data[way],
            number: &self.numbers[way],
        }
    }
}

/// Data and fill number of a way.
type Held = (u64, NonZeroU64);

/// A writer was in the set while it was read.
struct Overtaken;

/// One way, as a writer sees it.
struct Way<'a> {
    sequence: &'a AtomicU64,
    tag: &'a AtomicU64,
    data: &'a AtomicU64,
    number: &'a AtomicU64,
}

impl Way<'_> {
    /// Only under the writers' lock.
    fn write(&self, tag: u64, data: u64, number: u64) {
        let before = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(before.wrapping_add(1), Ordering::Relaxed);
        // Whoever reads one of the words below and fences sees the odd number above.
        fence(Ordering::Release);
        self.tag.store(tag, Ordering::Relaxed);
        self.data.store(data, Ordering::Relaxed);
        self.number.store(number, Ordering::Relaxed);
        self.sequence.store(before.wrapping_add(2), Ordering::Release);
    }
}

type Blocks<const W: usize> = Box<[Block<W>]>;

/// All sets. The usual numbers of ways are known to the compiler.
#[derive(Debug)]
enum Array {
    One(Blocks<1>),
    Two(Blocks<2>),
    Four(Blocks<4>),
    Eight(Blocks<8>),
    Sixteen(Blocks<16>),
    /// Any other number: a set is several blocks, the last perhaps with ways to spare.
    Many {
        blocks: Blocks<8>,
        per_set: usize,
    },
}

fn blocks<const W: usize>(count: usize) -> Blocks<W> {
    (0..count).map(|_| Block::default()).collect()
}

/// The words of a set-associative TLB.
#[derive(Debug)]
pub(super) struct Sets {
    array: Array,
    sets: usize,
    ways: usize,
}

impl Sets {
    pub(super) fn new(sets: u32, ways: u32) -> Self {
        let (sets, ways) = (sets as usize, ways as usize);
        let per_set = ways.div_ceil(8);
        let array = match ways {
            1 => Array::One(blocks(sets)),
            2 => Array::Two(blocks(sets)),
            4 => Array::Four(blocks(sets)),
            8 => Array::Eight(blocks(sets)),
            16 => Array::Sixteen(blocks(sets)),
            _ => Array::Many { blocks: blocks(sets * per_set), per_set },
        };
        Self { array, sets, ways }
    }

    /// Slots of all sets.
    pub(super) fn slots(&self) -> usize {
        self.sets * self.ways
    }

    /// The slots that may hold 2^`size` bytes at `input`.
    pub(super) fn slots_of(&self, space: &Space, input: u64, size: u32) -> std::ops::Range<usize> {
        let first = self.set_of(space, input, size) * self.ways;
        first..first + self.ways
    }

    #[inline]
    fn set_of(&self, space: &Space, input: u64, size: u32) -> usize {
        ((input >> size) ^ space.mix) as usize & (self.sets - 1)
    }

    /// The hit of `space` at a canonical `input`.
    #[inline(always)]
    pub(super) fn find(&self, space: &Space, input: u64) -> Option<Found> {
        match &self.array {
            // What most TLBs have becomes part of the caller's code.
            Array::Four(blocks) => self.find_by(space, input, |set, tag| blocks[set].read(tag)),
            _ => self.find_in_any(space, input),
        }
    }

    /// As [`Self::find`], whatever the ways are.
    #[inline(never)]
    pub(super) fn find_in_any(&self, space: &Space, input: u64) -> Option<Found> {
        self.find_by(space, input, |set, tag| match &self.array {
            Array::Four(blocks) => blocks[set].read(tag),
            Array::Eight(blocks) => blocks[set].read(tag),
            Array::One(blocks) => blocks[set].read(tag),
            Array::Two(blocks) => blocks[set].read(tag),
            Array::Sixteen(blocks) => blocks[set].read(tag),
            Array::Many { blocks, per_set } => {
                blocks[set * per_set..][..*per_set].iter().find_map(|block| block.read(tag))
            }
        })
    }

    /// Reads a set for each size that `space` may hold at `input`, until one has the page.
    #[inline(always)]
    fn find_by(
        &self,
        space: &Space,
        input: u64,
        read: impl Fn(usize, u64) -> Option<Held>,
    ) -> Option<Found> {
        let mut sizes = space.sizes(input);
        while sizes != 0 {
            let size = SIZE_MIN + sizes.trailing_zeros();
            sizes &= sizes - 1;
            let tag = space.tag | words::page(input, size);
            if let Some((data, number)) = read(self.set_of(space, input, size), tag) {
                return Found::new(data, number.get(), size);
            }
        }
        None
    }

    fn way(&self, slot: usize) -> Way<'_> {
        let (set, way) = (slot / self.ways, slot % self.ways);
        match &self.array {
            Array::One(blocks) => blocks[set].way(way),
            Array::Two(blocks) => blocks[set].way(way),
            Array::Four(blocks) => blocks[set].way(way),
            Array::Eight(blocks) => blocks[set].way(way),
            Array::Sixteen(blocks) => blocks[set].way(way),
            Array::Many { blocks, per_set } => blocks[set * per_set + way / 8].way(way % 8),
        }
    }

    /// The tag in a slot. Only under the writers' lock.
    pub(super) fn tag(&self, slot: usize) -> u64 {
        self.way(slot).tag.load(Ordering::Relaxed)
    }

    /// Puts words into a slot. Only under the writers' lock.
    pub(super) fn write(&self, slot: usize, tag: u64, data: u64, number: u64) {
        self.way(slot).write(tag, data, number);
    }

    /// Empties a slot. Only under the writers' lock.
    pub(super) fn clear(&self, slot: usize) {
        self.write(slot, 0, 0, 0);
    }
}

impl Clone for Sets {
    /// Only under the writers' lock.
    fn clone(&self) -> Self {
        let copy = Self::new(self.sets as u32, self.ways as u32);
        for slot in 0..self.slots() {
            let way = self.way(slot);
            let [tag, data, number] =
                [way.tag, way.data, way.number].map(|word| word.load(Ordering::Relaxed));
            copy.write(slot, tag, data, number);
        }
        copy
    }
}
