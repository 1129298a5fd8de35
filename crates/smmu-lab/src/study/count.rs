//! Hits and misses of a packed trace, and nothing else: the fast way through.

use super::tags::{Fnv64, TaggedBy, tag};
use super::tlb::{Geometry, NoTlb, Outcome, Tally};
use super::trace::{Ids, packed};
use crossbeam::channel::Sender;
use smmu_cache::policy::{Policy, Shape, WithPolicy};
use smmu_cache::{Array, IndexFunction};
use std::collections::BTreeMap;
use std::thread;

/// Contexts that a word has room for.
const CONTEXTS: usize = 1 << 16;

/// Counts what a source of words gives. The policy and the common numbers of ways are known to the
/// compiler, so that a reference asks for no name.
///
/// # Errors
/// A geometry or policy that cannot be; what the source says of itself.
pub(crate) fn count<E: From<NoTlb>>(
    geometry: &Geometry,
    ids: Ids,
    source: impl FnOnce(&mut dyn FnMut(&[[u8; 4]])) -> Result<(), E>,
) -> Result<Outcome, E> {
    let shape = geometry.shape().map_err(NoTlb::from)?;
    let policy = geometry.policy.policy(shape).map_err(NoTlb::from)?;
    policy.with(Counting { geometry, shape, ids, source })
}

struct Counting<'a, S> {
    geometry: &'a Geometry,
    shape: Shape,
    ids: Ids,
    source: S,
}

impl<S, E> WithPolicy for Counting<'_, S>
where
    S: FnOnce(&mut dyn FnMut(&[[u8; 4]])) -> Result<(), E>,
{
    type Output = Result<Outcome, E>;

    fn with<P: Policy>(self, policy: P) -> Result<Outcome, E> {
        match (self.shape.ways, self.geometry.index) {
            (4, IndexFunction::Hash) => self.run::<4, true, P>(policy),
            (4, _) => self.run::<4, false, P>(policy),
            (8, IndexFunction::Page | IndexFunction::PageXorTags) => {
                self.run::<8, false, P>(policy)
            }
            (16, IndexFunction::Page | IndexFunction::PageXorTags) => {
                self.run::<16, false, P>(policy)
            }
            (_, IndexFunction::Hash) => self.run::<0, true, P>(policy),
            _ => self.run::<0, false, P>(policy),
        }
    }
}

/// What is worked out of a context once.
#[derive(Clone, Copy, Default)]
struct Context {
    tag: u64,
    salt: u64,
    hits: u64,
    references: u64,
}

impl<S, E> Counting<'_, S>
where
    S: FnOnce(&mut dyn FnMut(&[[u8; 4]])) -> Result<(), E>,
{
    fn contexts(&self) -> Vec<Context> {
        let context = |number: usize| {
            let access = packed::access((number as u32) << 16, self.ids);
            let tag = tag(number as u32 + 1, access.iova, 12);
            Context { tag, salt: self.geometry.salt(&access), ..Context::default() }
        };
        (0..CONTEXTS).map(context).collect()
    }

    fn run<const W: usize, const HASH: bool, P: Policy>(self, policy: P) -> Result<Outcome, E> {
        let mut array = Array::<W, P>::new(self.shape, policy);
        let mut contexts = self.contexts();
        let sets = self.shape.sets;
        let first = packed::access(0, self.ids).iova >> 12;
        let (source, tagged_by, ids) = (self.source, self.geometry.tagged_by, self.ids);
        let (done, hashed) = hash_beside(|hits| {
            source(&mut |words| {
                for words in words.chunks(64) {
                    let mut bits = 0;
                    for (place, &word) in words.iter().enumerate() {
                        let word = u32::from_le_bytes(word);
                        let context = &mut contexts[(word >> 16) as usize];
                        let page = u64::from(word & 0xffff);
                        let how =
                            if HASH { IndexFunction::Hash } else { IndexFunction::PageXorTags };
                        let set = how.set_of(first + page, context.salt, sets);
                        let hit = array.refer(set, context.tag + (page << 1)).is_hit();
                        bits |= u64::from(hit) << place;
                        context.hits += u64::from(hit);
                        context.references += 1;
                    }
                    hits.push(bits, words.len());
                }
            })
        });
        done?;
        Ok(outcome(&contexts, tagged_by, ids, hashed))
    }
}

/// Which of up to 64 references in a row hit, and how many they are.
type Row = (u64, u8);

/// Rows on their way to the thread that hashes.
struct Hits {
    rows: Vec<Row>,
    to: Sender<Vec<Row>>,
}

impl Hits {
    /// Rows that are handed over at once.
    const ROWS: usize = 1 << 10;

    #[inline]
    fn push(&mut self, bits: u64, references: usize) {
        self.rows.push((bits, references as u8));
        if self.rows.len() == Self::ROWS {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let rows = std::mem::replace(&mut self.rows, Vec::with_capacity(Self::ROWS));
        self.to.send(rows).expect("the other thread takes rows until the sender is gone");
    }
}

/// Runs `work`, and hashes on another thread what it says has hit: each step of the hash waits for
/// the one before, and would hold up the look-ups.
fn hash_beside<T>(work: impl FnOnce(&mut Hits) -> T) -> (T, Fnv64) {
    let (to, from) = crossbeam::channel::bounded::<Vec<Row>>(8);
    thread::scope(|scope| {
        let hashing = scope.spawn(move || {
            let (mut hash, mut first) = (Fnv64::default(), 0);
            for (mut bits, references) in from.iter().flatten() {
                while bits != 0 {
                    hash.add(first + u64::from(bits.trailing_zeros()));
                    bits &= bits - 1;
                }
                first += u64::from(references);
            }
            hash
        });
        let mut hits = Hits { rows: Vec::with_capacity(Hits::ROWS), to };
        let done = work(&mut hits);
        hits.hand_over();
        drop(hits);
        (done, hashing.join().expect("hashing does not panic"))
    })
}

fn outcome(contexts: &[Context], tagged_by: TaggedBy, ids: Ids, hits: Fnv64) -> Outcome {
    let used = contexts.iter().enumerate().filter(|(_, context)| context.references > 0);
    let tallies: Vec<_> = used
        .map(|(number, context)| {
            let name = tagged_by.name(&packed::access((number as u32) << 16, ids));
            let misses = context.references - context.hits;
            (name, Tally { hits: context.hits, misses, ..Tally::default() })
        })
        .collect();
    // Every page of a packed trace has 4 KiB.
    let outcome = Outcome::new(tallies.into_iter(), std::iter::empty(), hits);
    Outcome { by_size: BTreeMap::from([(12, outcome.total)]), ..outcome }
}
