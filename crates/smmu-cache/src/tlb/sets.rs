//! The ways of a set-associative TLB: arrays of words that look-ups read without a lock.
//!
//! Each set has a sequence number, odd while a writer is inside. A reader takes the words and
//! then sees whether the number is still the one it began with; otherwise it reads again.
//! Writers exclude each other by the TLB's lock.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

use std::ops::Range;

use super::placement::Placement;
use super::space::Space;
use super::words::{self, Found, SIZE_MIN};
use crate::policy::Shape;

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

    fn part(&self) -> Part<'_> {
        let Self { tags, data, numbers, sequence } = self;
        Part { sequence, tags, data, numbers }
    }
}

/// The ways of a block, as a writer sees them. Only under the writers' lock.
#[derive(Clone, Copy)]
struct Part<'a> {
    sequence: &'a AtomicU64,
    tags: &'a [AtomicU64],
    data: &'a [AtomicU64],
    numbers: &'a [AtomicU64],
}

impl Part<'_> {
    #[inline]
    fn position(&self, wanted: impl Fn(u64) -> bool) -> Option<usize> {
        self.tags.iter().position(|tag| wanted(tag.load(Ordering::Relaxed)))
    }

    #[inline]
    fn write(&self, way: usize, tag: u64, data: u64, number: u64) {
        let before = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(before.wrapping_add(1), Ordering::Relaxed);
        // Whoever reads one of the words below and fences sees the odd number above.
        fence(Ordering::Release);
        self.tags[way].store(tag, Ordering::Relaxed);
        self.data[way].store(data, Ordering::Relaxed);
        self.numbers[way].store(number, Ordering::Relaxed);
        self.sequence.store(before.wrapping_add(2), Ordering::Release);
    }
}

/// A set, as a writer sees it. Only under the writers' lock.
#[derive(Clone, Copy)]
pub(super) struct Set<'a> {
    first: Part<'a>,
    /// The other blocks of a set that is too large for one.
    rest: &'a [Block<8>],
    ways: usize,
}

impl<'a> Set<'a> {
    #[inline]
    fn new<const W: usize>(first: &'a Block<W>, rest: &'a [Block<8>], ways: usize) -> Self {
        Self { first: first.part(), rest, ways }
    }

    /// The block of a way, and its place there.
    #[inline]
    fn part_of(&self, way: usize) -> (Part<'a>, usize) {
        match self.rest {
            [] => (self.first, way),
            _ if way < 8 => (self.first, way),
            rest => (rest[way / 8 - 1].part(), way % 8),
        }
    }

    /// The first way whose tag is `wanted`.
    #[inline]
    pub(super) fn position(&self, wanted: impl Fn(u64) -> bool) -> Option<usize> {
        let rest = || {
            let mut parts = (8..).step_by(8).zip(self.rest);
            parts.find_map(|(way, block)| Some(way + block.part().position(&wanted)?))
        };
        // The last block may have ways to spare.
        self.first.position(&wanted).or_else(rest).filter(|&way| way < self.ways)
    }

    /// The first of `ways` whose tag is `wanted`.
    #[inline]
    pub(super) fn position_in(
        &self,
        ways: Range<usize>,
        wanted: impl Fn(u64) -> bool,
    ) -> Option<usize> {
        if ways.len() == self.ways {
            return self.position(wanted);
        }
        ways.into_iter().find(|&way| wanted(self.tag(way)))
    }

    /// The tag in a way.
    #[inline]
    pub(super) fn tag(&self, way: usize) -> u64 {
        let (part, way) = self.part_of(way);
        part.tags[way].load(Ordering::Relaxed)
    }

    /// Puts words into a way.
    #[inline]
    pub(super) fn write(&self, way: usize, tag: u64, data: u64, number: u64) {
        let (part, way) = self.part_of(way);
        part.write(way, tag, data, number);
    }

    /// Empties a way.
    pub(super) fn clear(&self, way: usize) {
        self.write(way, 0, 0, 0);
    }

    fn copy_to(&self, other: &Self) {
        for way in 0..self.ways {
            let (part, at) = self.part_of(way);
            let [tag, data, number] =
                [part.tags, part.data, part.numbers].map(|words| words[at].load(Ordering::Relaxed));
            other.write(way, tag, data, number);
        }
    }
}

type Blocks<const W: usize> = Box<[Block<W>]>;

/// All sets. The usual numbers of ways are known to the compiler.
#[derive(Debug)]
enum Array {
    One(Blocks<1>),
    Two(Blocks<2>),
    Four(Blocks<4>),
    /// As `Four`, for a TLB that wants more of a look-up.
    FourAside(Blocks<4>),
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

/// How the set is found: known to the compiler, so that the plain way pays nothing for the others.
trait Locate: Copy {
    fn set_of(self, space: &Space, input: u64, size: u32) -> usize;
}

/// By low bits of the page number: the sets less 1.
#[derive(Clone, Copy)]
struct LowBits(usize);

impl Locate for LowBits {
    #[inline(always)]
    fn set_of(self, space: &Space, input: u64, size: u32) -> usize {
        ((input >> size) ^ space.salt.mix) as usize & self.0
    }
}

impl Locate for &Placement {
    /// Called, so that it stays out of the way of what is plain.
    #[inline(never)]
    fn set_of(self, space: &Space, input: u64, size: u32) -> usize {
        Placement::set_of(self, &space.salt, input, size)
    }
}

/// The smallest size that may be there, which is the only one as a rule, and nothing but tail calls
/// to what is rare.
#[inline(always)]
fn find_in<const W: usize>(
    blocks: &[Block<W>],
    how: impl Locate,
    space: &Space,
    input: u64,
) -> Found {
    let sizes = space.sizes(input);
    if sizes == 0 {
        return Found::NOTHING;
    }
    let bit = sizes & sizes.wrapping_neg();
    let size = SIZE_MIN + sizes.trailing_zeros();
    let set = how.set_of(space, input, size);
    match blocks[set].try_read(space.tag | words::page_by_bit(input, bit)) {
        Some(found) if found.is_hit() => found.narrow(input, bit),
        Some(_) if sizes == bit => Found::NOTHING,
        Some(_) => find_sizes(blocks, how, space, input, sizes ^ bit),
        None => find_sizes(blocks, how, space, input, sizes),
    }
}

/// The smallest of `sizes` that is there.
#[inline(never)]
fn find_sizes<const W: usize>(
    blocks: &[Block<W>],
    how: impl Locate,
    space: &Space,
    input: u64,
    sizes: u64,
) -> Found {
    find_by(how, space, input, sizes, |set, tag| blocks[set].read(tag))
}

#[inline(never)]
fn find_in_many(
    blocks: &[Block<8>],
    per_set: usize,
    how: impl Locate,
    space: &Space,
    input: u64,
) -> Found {
    find_by(how, space, input, space.sizes(input), |set, tag| {
        let mut parts = blocks[set * per_set..][..per_set].iter().map(|block| block.read(tag));
        parts.find(|found| found.is_hit()).unwrap_or(Found::NOTHING)
    })
}

#[inline(always)]
fn find_by(
    how: impl Locate,
    space: &Space,
    input: u64,
    mut sizes: u64,
    read: impl Fn(usize, u64) -> Found,
) -> Found {
    while sizes != 0 {
        let bit = sizes & sizes.wrapping_neg();
        let set = how.set_of(space, input, SIZE_MIN + sizes.trailing_zeros());
        let found = read(set, space.tag | words::page_by_bit(input, bit));
        if found.is_hit() {
            return found.narrow(input, bit);
        }
        sizes ^= bit;
    }
    Found::NOTHING
}

/// What a look-up has to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layout {
    /// Find a way by bits of the page: the usual sets of four ways are part of the caller's code.
    Plain,
    /// Anything else.
    Any(Placement),
}

/// Sets of four ways that are indexed by bits of the page.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a>(&'a [Block<4>]);

impl Plain<'_> {
    /// What `space` holds at a canonical `input`.
    #[inline(always)]
    pub(super) fn find(self, space: &Space, input: u64) -> Found {
        find_in(self.0, LowBits(self.0.len() - 1), space, input)
    }
}

/// The words of a set-associative TLB.
#[derive(Debug)]
pub(super) struct Sets {
    array: Array,
    sets: usize,
    ways: usize,
    layout: Layout,
}

impl Sets {
    pub(super) fn new(shape: Shape, layout: Layout) -> Self {
        let Shape { sets, ways } = shape;
        let per_set = ways.div_ceil(8);
        let array = match ways {
            1 => Array::One(blocks(sets)),
            2 => Array::Two(blocks(sets)),
            4 if matches!(layout, Layout::Plain) => Array::Four(blocks(sets)),
            4 => Array::FourAside(blocks(sets)),
            8 => Array::Eight(blocks(sets)),
            16 => Array::Sixteen(blocks(sets)),
            _ => Array::Many { blocks: blocks(sets * per_set), per_set },
        };
        Self { array, sets, ways, layout }
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
        match &self.layout {
            Layout::Plain => LowBits(self.sets - 1).set_of(space, input, size),
            Layout::Any(placement) => Locate::set_of(placement, space, input, size),
        }
    }

    /// The set and way that a look-up finds for a canonical `input`, as far as nobody writes.
    pub(super) fn place_of(&self, space: &Space, input: u64) -> Option<(usize, usize)> {
        let mut sizes = space.sizes(input);
        while sizes != 0 {
            let bit = sizes & sizes.wrapping_neg();
            let set = self.set_of(space, input, SIZE_MIN + sizes.trailing_zeros());
            let tag = space.tag | words::page_by_bit(input, bit);
            if let Some(way) = self.set(set).position(|other| other == tag) {
                return Some((set, way));
            }
            sizes ^= bit;
        }
        None
    }

    /// What most TLBs have.
    #[inline(always)]
    pub(super) fn plain(&self) -> Option<Plain<'_>> {
        match &self.array {
            Array::Four(blocks) => Some(Plain(blocks)),
            _ => None,
        }
    }

    /// What `space` holds at a canonical `input`.
    pub(super) fn find(&self, space: &Space, input: u64) -> Found {
        match &self.layout {
            Layout::Plain => self.find_by(LowBits(self.sets - 1), space, input),
            Layout::Any(placement) => self.find_by(placement, space, input),
        }
    }

    fn find_by(&self, how: impl Locate, space: &Space, input: u64) -> Found {
        match &self.array {
            Array::One(blocks) => find_in(blocks, how, space, input),
            Array::Two(blocks) => find_in(blocks, how, space, input),
            Array::Four(blocks) | Array::FourAside(blocks) => find_in(blocks, how, space, input),
            Array::Eight(blocks) => find_in(blocks, how, space, input),
            Array::Sixteen(blocks) => find_in(blocks, how, space, input),
            Array::Many { blocks, per_set } => find_in_many(blocks, *per_set, how, space, input),
        }
    }

    /// A set, for writers.
    #[inline(always)]
    pub(super) fn set(&self, set: usize) -> Set<'_> {
        match &self.array {
            Array::Four(blocks) => Set::new(&blocks[set], &[], self.ways),
            _ => self.set_elsewhere(set),
        }
    }

    #[inline(never)]
    fn set_elsewhere(&self, set: usize) -> Set<'_> {
        match &self.array {
            Array::One(blocks) => Set::new(&blocks[set], &[], self.ways),
            Array::Two(blocks) => Set::new(&blocks[set], &[], self.ways),
            Array::Four(blocks) | Array::FourAside(blocks) => {
                Set::new(&blocks[set], &[], self.ways)
            }
            Array::Eight(blocks) => Set::new(&blocks[set], &[], self.ways),
            Array::Sixteen(blocks) => Set::new(&blocks[set], &[], self.ways),
            Array::Many { blocks, per_set } => {
                let (first, rest) = (set * per_set, set * per_set + 1..(set + 1) * per_set);
                Set::new(&blocks[first], &blocks[rest], self.ways)
            }
        }
    }
}

impl Clone for Sets {
    /// Only under the writers' lock.
    fn clone(&self) -> Self {
        let copy = Self::new(Shape { sets: self.sets, ways: self.ways }, self.layout);
        (0..self.sets).for_each(|set| self.set(set).copy_to(&copy.set(set)));
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
        let sets = Sets::new(Shape { sets: 1, ways: 4 }, Layout::Plain);
        let space = Space::default();
        space.add_size(0, SIZE_MIN);
        let stop = AtomicBool::new(false);
        let write = || {
            let set = sets.set(0);
            for number in (2..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                set.write(2, words::page((number % 2) << 12, SIZE_MIN), WORDS | number, number);
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
            block.part().write(0, 1, 10, 100);
            let written = Arc::clone(&block);
            let writer = loom::thread::spawn(move || written.part().write(0, 2, 20, 200));
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
                written.part().write(0, 1, 10, 100);
            });
            if block.try_read(1).is_some_and(Found::is_hit) {
                assert_eq!(generation.load(Ordering::Acquire), 1);
            }
            writer.join().unwrap();
        });
    }
}
