//! The ways of a set-associative TLB: arrays of words that look-ups read without a lock.
//!
//! Each set has a sequence number, odd while a writer is inside. A reader takes the words and
//! then sees whether the number is still the one it began with; otherwise it reads again.
//! Writers exclude each other by the TLB's lock.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
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
    /// What the way with `tag` holds.
    fn read(&self, tag: u64) -> Found {
        loop {
            if let Some(found) = self.try_read(tag) {
                return found;
            }
            std::hint::spin_loop();
        }
    }

    /// `None` if a writer was inside. All tags are compared before one branch: which way it is
    /// cannot be predicted, so a branch for each would cost more.
    #[inline(always)]
    fn try_read(&self, tag: u64) -> Option<Found> {
        let before = self.sequence.load(Ordering::Acquire);
        let mut ways = 0u32;
        for way in 0..W {
            ways |= u32::from(self.tags[way].load(Ordering::Relaxed) == tag) << way;
        }
        let found = if ways == 0 {
            Found::NOTHING
        } else {
            let way = ways.trailing_zeros() as usize % W;
            Found {
                data: self.data[way].load(Ordering::Relaxed),
                number: self.numbers[way].load(Ordering::Relaxed),
            }
        };
        // The words above are read before the number below: if one of them is a writer's, that
        // writer's odd number is seen.
        fence(Ordering::Acquire);
        let quiet = before & 1 == 0 && self.sequence.load(Ordering::Relaxed) == before;
        quiet.then_some(found)
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

#[inline(always)]
fn set_index(space: &Space, input: u64, size: u32, mask: usize) -> usize {
    ((input >> size) ^ space.mix) as usize & mask
}

/// The smallest size that may be there, which is the only one as a rule. One function for each
/// number of ways, and nothing but tail calls to what is rare: so it needs no stack.
#[inline(never)]
fn find_in<const W: usize>(blocks: &[Block<W>], space: &Space, input: u64) -> Found {
    let sizes = space.sizes(input);
    if sizes == 0 {
        return Found::NOTHING;
    }
    let bit = sizes & sizes.wrapping_neg();
    let set = set_index(space, input, SIZE_MIN + sizes.trailing_zeros(), blocks.len() - 1);
    match blocks[set].try_read(space.tag | words::page_by_bit(input, bit)) {
        Some(found) if found.is_hit() || sizes == bit => found.narrow(input, bit),
        Some(_) => find_sizes(blocks, space, input, sizes ^ bit),
        None => find_sizes(blocks, space, input, sizes),
    }
}

/// The smallest of `sizes` that is there.
#[inline(never)]
fn find_sizes<const W: usize>(blocks: &[Block<W>], space: &Space, input: u64, sizes: u64) -> Found {
    find_by(space, input, sizes, blocks.len() - 1, |set, tag| blocks[set].read(tag))
}

#[inline(never)]
fn find_in_many(blocks: &[Block<8>], per_set: usize, space: &Space, input: u64) -> Found {
    let mask = blocks.len() / per_set - 1;
    find_by(space, input, space.sizes(input), mask, |set, tag| {
        let mut parts = blocks[set * per_set..][..per_set].iter().map(|block| block.read(tag));
        parts.find(|found| found.is_hit()).unwrap_or(Found::NOTHING)
    })
}

#[inline(always)]
fn find_by(
    space: &Space,
    input: u64,
    mut sizes: u64,
    mask: usize,
    read: impl Fn(usize, u64) -> Found,
) -> Found {
    while sizes != 0 {
        let bit = sizes & sizes.wrapping_neg();
        let set = set_index(space, input, SIZE_MIN + sizes.trailing_zeros(), mask);
        let found = read(set, space.tag | words::page_by_bit(input, bit));
        if found.is_hit() {
            return found.narrow(input, bit);
        }
        sizes ^= bit;
    }
    Found::NOTHING
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

    /// Ways of a set.
    pub(super) fn ways(&self) -> usize {
        self.ways
    }

    /// The set that may hold 2^`size` bytes at `input`.
    pub(super) fn set_of(&self, space: &Space, input: u64, size: u32) -> usize {
        set_index(space, input, size, self.sets - 1)
    }

    /// What `space` holds at a canonical `input`.
    #[inline(always)]
    pub(super) fn find(&self, space: &Space, input: u64) -> Found {
        match &self.array {
            Array::One(blocks) => find_in(blocks, space, input),
            Array::Two(blocks) => find_in(blocks, space, input),
            Array::Four(blocks) => find_in(blocks, space, input),
            Array::Eight(blocks) => find_in(blocks, space, input),
            Array::Sixteen(blocks) => find_in(blocks, space, input),
            Array::Many { blocks, per_set } => find_in_many(blocks, *per_set, space, input),
        }
    }

    fn way(&self, set: usize, way: usize) -> Way<'_> {
        match &self.array {
            Array::One(blocks) => blocks[set].way(way),
            Array::Two(blocks) => blocks[set].way(way),
            Array::Four(blocks) => blocks[set].way(way),
            Array::Eight(blocks) => blocks[set].way(way),
            Array::Sixteen(blocks) => blocks[set].way(way),
            Array::Many { blocks, per_set } => blocks[set * per_set + way / 8].way(way % 8),
        }
    }

    /// The tag in a way. Only under the writers' lock.
    pub(super) fn tag(&self, set: usize, way: usize) -> u64 {
        self.way(set, way).tag.load(Ordering::Relaxed)
    }

    /// Puts words into a way. Only under the writers' lock.
    pub(super) fn write(&self, set: usize, way: usize, tag: u64, data: u64, number: u64) {
        self.way(set, way).write(tag, data, number);
    }

    /// Empties a way. Only under the writers' lock.
    pub(super) fn clear(&self, set: usize, way: usize) {
        self.write(set, way, 0, 0, 0);
    }
}

impl Clone for Sets {
    /// Only under the writers' lock.
    fn clone(&self) -> Self {
        let copy = Self::new(self.sets as u32, self.ways as u32);
        for (set, way) in (0..self.sets).flat_map(|set| (0..self.ways).map(move |way| (set, way))) {
            let words = self.way(set, way);
            let [tag, data, number] =
                [words.tag, words.data, words.number].map(|word| word.load(Ordering::Relaxed));
            copy.write(set, way, tag, data, number);
        }
        copy
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// One way changes hands as fast as it can; whoever finds its page finds that page's words.
    #[test]
    fn a_way_is_never_seen_half_written() {
        const WORDS: u64 = 0x4567 << 48;
        let sets = Sets::new(1, 4);
        let space = Space::default();
        space.add_size(0, SIZE_MIN);
        let stop = AtomicBool::new(false);
        let write = || {
            for number in (2..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                sets.write(0, 2, words::page((number % 2) << 12, SIZE_MIN), WORDS | number, number);
            }
        };
        let read = |page: u64| {
            let found = sets.find(&space, page << 12);
            !found.is_hit() || (found.data, found.number % 2) == (WORDS | found.number, page)
        };
        let whole = std::thread::scope(|threads| {
            threads.spawn(write);
            let whole = (0..3_000_000).all(|n| read(n % 2));
            stop.store(true, Ordering::Relaxed);
            whole
        });
        assert!(whole);
    }
}

/// Every order of the reader's and the writer's accesses that the memory model allows. The
/// processor that the tests run on may allow fewer.
#[cfg(all(test, loom))]
mod proof {
    use loom::sync::Arc;

    use super::*;

    #[test]
    fn a_quiet_read_is_of_one_moment() {
        loom::model(|| {
            let block = Arc::new(Block::<1>::default());
            block.way(0).write(1, 10, 100);
            let written = Arc::clone(&block);
            let writer = loom::thread::spawn(move || written.way(0).write(2, 20, 200));
            for tag in 1..=2 {
                if let Some(found) = block.try_read(tag).filter(|found| found.is_hit()) {
                    assert_eq!((found.data, found.number), (10 * tag, 100 * tag));
                }
            }
            writer.join().unwrap();
            assert!(!block.try_read(1).unwrap().is_hit());
            assert_eq!(block.try_read(2).unwrap().number, 200);
        });
    }

    /// A number of an address space is retired, given away and written under: who reads the new
    /// entry also sees the new generation.
    #[test]
    fn a_hit_under_a_number_that_was_given_away_is_not_taken() {
        loom::model(|| {
            let block = Arc::new(Block::<1>::default());
            let generation = Arc::new(AtomicU64::new(0));
            let (written, bumped) = (Arc::clone(&block), Arc::clone(&generation));
            let writer = loom::thread::spawn(move || {
                bumped.fetch_add(1, Ordering::SeqCst);
                written.way(0).write(1, 10, 100);
            });
            if block.try_read(1).is_some_and(Found::is_hit) {
                assert_eq!(generation.load(Ordering::Acquire), 1);
            }
            writer.join().unwrap();
        });
    }
}
