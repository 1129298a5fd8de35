//! Tags of a study, and the hash over what hit.

use rustc_hash::FxHashMap;

/// Bits of a page number in a tag.
const PAGE_BITS: u32 = 44;
/// Contexts that a tag has room for.
const CONTEXTS_MAX: usize = (1 << (64 - PAGE_BITS)) - 1;

/// A tag: a context, counted from 1, and a page number of 4 KiB pages or larger.
pub(crate) const fn tag(context: u32, page: u64) -> u64 {
    (context as u64) << PAGE_BITS | page & ((1 << PAGE_BITS) - 1)
}

/// The context of a tag.
pub(crate) const fn context_of(tag: u64) -> u32 {
    (tag >> PAGE_BITS) as u32
}

/// Gives small numbers to pairs of identifiers, in the order in which they come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contexts {
    numbers: FxHashMap<(u32, u32), u32>,
    names: Vec<(u32, u32)>,
    last: Option<((u32, u32), u32)>,
}

impl Contexts {
    /// The number of a pair, from 1. Beyond 2^20 - 1 pairs the last number is shared.
    #[inline]
    pub(crate) fn number(&mut self, name: (u32, u32)) -> u32 {
        match self.last {
            Some((last, number)) if last == name => number,
            _ => self.find(name),
        }
    }

    #[inline(never)]
    fn find(&mut self, name: (u32, u32)) -> u32 {
        let next = self.names.len().min(CONTEXTS_MAX - 1) as u32 + 1;
        let number = *self.numbers.entry(name).or_insert(next);
        if number as usize > self.names.len() {
            self.names.push(name);
        }
        self.last = Some((name, number));
        number
    }

    /// The pair of a number.
    pub(crate) fn name(&self, number: u32) -> Option<(u32, u32)> {
        self.names.get((number as usize).checked_sub(1)?).copied()
    }
}

/// FNV-1a of 64 bits over the indices of the accesses that hit, 8 bytes each, little end first:
/// two structures have the same hash if the same accesses hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fnv64(pub u64);

impl Default for Fnv64 {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv64 {
    const PRIME: u64 = 0x100_0000_01b3;

    /// Takes in the index of a hit. Bytes of zero only multiply, so that the upper ones of a small
    /// index are one multiplication.
    #[inline]
    pub fn add(&mut self, index: u64) {
        const UPPER: u64 = Fnv64::PRIME.wrapping_pow(4);
        let mut hash = self.0;
        for byte in 0..4 {
            hash = (hash ^ (index >> (8 * byte) & 0xff)).wrapping_mul(Self::PRIME);
        }
        self.0 = match index >> 32 {
            0 => hash.wrapping_mul(UPPER),
            upper => (0..4).fold(hash, |hash, byte| {
                (hash ^ (upper >> (8 * byte) & 0xff)).wrapping_mul(Self::PRIME)
            }),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(indices: &[u64]) -> u64 {
        let bytes = indices.iter().flat_map(|index| index.to_le_bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    }

    #[test]
    fn the_hash_is_fnv_1a_over_eight_bytes() {
        let indices = [0, 1, 255, 256, 1 << 31, 1 << 32, u64::MAX, 0x0123_4567_89ab_cdef];
        let mut hash = Fnv64::default();
        indices.iter().for_each(|&index| hash.add(index));
        assert_eq!(hash.0, plain(&indices));
    }

    #[test]
    fn contexts_are_numbered_from_1() {
        let mut contexts = Contexts::default();
        assert_eq!([(7, 1), (7, 2), (7, 1)].map(|name| contexts.number(name)), [1, 2, 1]);
        assert_eq!(contexts.name(2), Some((7, 2)));
        assert_eq!((contexts.name(0), contexts.name(3)), (None, None));
        assert_eq!(context_of(tag(2, u64::MAX)), 2);
    }
}
