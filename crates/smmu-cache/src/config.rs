//! The STE and CD caches.
//!
//! Architecture: section "Caching of configuration structures". What was fetched may be held,
//! valid or not; a CFGI command drops what its scope covers.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;
use parking_lot::{RwLock, RwLockWriteGuard};
use smmu_arch::{ConfigEntry, ConfigKey, ConfigScope, Epoch, StreamId, SubstreamId};

use crate::InvalidationLog;

/// What became of a fill of a [`ConfigCache`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ConfigFill {
    /// The entry is held.
    Filled {
        /// Entry that had to go for it.
        evicted: Option<ConfigKey>,
    },
    /// A scope that took effect since the transaction began covers the entry: not held.
    Overtaken,
    /// The cache has no entries at all.
    Refused,
}

/// A cache of STEs or CDs as fetched.
///
/// First in, first out: a hit leaves no trace. A port may therefore keep a private copy of a
/// line together with the [`generation`](Self::generation) that it read *before* the look-up,
/// and use it for as long as the generation is the same, and no count changes.
#[derive(Debug)]
pub struct ConfigCache {
    capacity: Option<u32>,
    generation: CachePadded<AtomicU64>,
    lines: RwLock<Lines>,
}

/// Ordered by key, so that a scope finds what it covers without a search through the rest.
#[derive(Clone, Debug, Default)]
struct Lines {
    by_key: BTreeMap<ConfigKey, Line>,
    by_age: BTreeMap<u64, ConfigKey>,
    fills: u64,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    age: u64,
    entry: ConfigEntry,
}

impl Clone for ConfigCache {
    fn clone(&self) -> Self {
        let lines = self.lines.read();
        Self {
            capacity: self.capacity,
            generation: CachePadded::new(AtomicU64::new(self.generation())),
            lines: RwLock::new(lines.clone()),
        }
    }
}

impl ConfigCache {
    /// A cache of `entries` entries; with 0 it keeps nothing.
    #[must_use]
    pub fn new(entries: u32) -> Self {
        Self::with_capacity(Some(entries))
    }

    /// A cache that forgets nothing by itself.
    #[must_use]
    pub fn unbounded() -> Self {
        Self::with_capacity(None)
    }

    fn with_capacity(capacity: Option<u32>) -> Self {
        Self { capacity, generation: CachePadded::new(AtomicU64::new(0)), lines: RwLock::default() }
    }

    /// Changes whenever an entry was dropped, evicted or replaced by other contents.
    #[inline]
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// The entry for `key`.
    #[must_use]
    pub fn look_up(&self, key: &ConfigKey) -> Option<ConfigEntry> {
        self.lines.read().by_key.get(key).map(|line| line.entry)
    }

    /// Holds `entry`, which a transaction fetched that began at `begin`.
    ///
    /// An entry that is already held is replaced in its place and grows no younger.
    pub fn fill(&self, entry: &ConfigEntry, begin: Epoch, log: &InvalidationLog) -> ConfigFill {
        if self.capacity == Some(0) {
            return ConfigFill::Refused;
        }
        let mut lines = self.lines.write();
        if log.overtook(begin, |scope| scope.covers_configuration(&entry.key)) {
            return ConfigFill::Overtaken;
        }
        if let Some(line) = lines.by_key.get_mut(&entry.key) {
            if line.entry != *entry {
                line.entry = *entry;
                self.changed();
            }
            return ConfigFill::Filled { evicted: None };
        }
        let evicted = self.make_room(&mut lines);
        lines.insert(*entry);
        ConfigFill::Filled { evicted }
    }

    fn make_room(&self, lines: &mut RwLockWriteGuard<'_, Lines>) -> Option<ConfigKey> {
        if self.capacity.is_none_or(|capacity| lines.by_key.len() < capacity as usize) {
            return None;
        }
        let (_, oldest) = lines.by_age.pop_first()?;
        lines.by_key.remove(&oldest);
        self.changed();
        Some(oldest)
    }

    /// Drops what `scope` covers; returns how many entries that were.
    pub fn invalidate(&self, scope: &ConfigScope) -> u32 {
        let mut lines = self.lines.write();
        let mut dropped = 0;
        for keys in keys_within(scope) {
            dropped += lines.remove_covered(keys, scope);
        }
        if dropped > 0 {
            self.changed();
        }
        dropped
    }

    /// Entries held.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.lines.read().by_key.len() as u32
    }

    /// Nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries that fit; `None` for an unbounded cache.
    #[must_use]
    pub fn capacity(&self) -> Option<u32> {
        self.capacity
    }

    /// All entries held, in the order of their keys.
    #[must_use]
    pub fn entries(&self) -> Vec<ConfigEntry> {
        self.lines.read().by_key.values().map(|line| line.entry).collect()
    }

    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

impl Lines {
    fn insert(&mut self, entry: ConfigEntry) {
        let age = self.fills;
        self.fills += 1;
        self.by_key.insert(entry.key, Line { age, entry });
        self.by_age.insert(age, entry.key);
    }

    fn remove_covered(&mut self, keys: RangeInclusive<ConfigKey>, scope: &ConfigScope) -> u32 {
        let covered: Vec<(ConfigKey, u64)> = self
            .by_key
            .range(keys)
            .filter(|(key, _)| scope.covers(key))
            .map(|(key, line)| (*key, line.age))
            .collect();
        for (key, age) in &covered {
            self.by_key.remove(key);
            self.by_age.remove(age);
        }
        covered.len() as u32
    }
}

/// Ranges of keys outside of which `scope` covers nothing: one of STEs, one of CDs.
fn keys_within(scope: &ConfigScope) -> [RangeInclusive<ConfigKey>; 2] {
    let (first, last) = match *scope {
        ConfigScope::All => (0, u32::MAX),
        ConfigScope::Ste { stream, .. }
        | ConfigScope::Cd { stream, .. }
        | ConfigScope::CdAll { stream } => (stream.0, stream.0),
        ConfigScope::SteRange { first, log2 } => {
            let low_bits = 1u32.checked_shl(log2.into()).map_or(u32::MAX, |streams| streams - 1);
            (first.0 & !low_bits, first.0 | low_bits)
        }
    };
    [
        ConfigKey::Ste(StreamId(first))..=ConfigKey::Ste(StreamId(last)),
        ConfigKey::Cd(StreamId(first), SubstreamId(0))
            ..=ConfigKey::Cd(StreamId(last), SubstreamId(u32::MAX)),
    ]
}
