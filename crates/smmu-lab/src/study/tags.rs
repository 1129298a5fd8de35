//! Tags of a study, and the hash over what hit.

use super::trace::{Access, Forget};
use rustc_hash::FxHashMap;

/// Bits of a tag below the context: the page number and a mark of its size.
const PAGE_BITS: u32 = 46;
const PAGE_MASK: u64 = (1 << PAGE_BITS) - 1;
/// Contexts that a tag has room for.
const CONTEXTS_MAX: usize = (1 << (64 - PAGE_BITS)) - 1;

/// A tag: a context, counted from 1, and a page. Below the lowest valid bit of the page number
/// stands a one that tells its size.
#[inline]
pub(crate) const fn tag(context: u32, iova: u64, size_log2: u8) -> u64 {
    let mark = 1 << (size_log2 - 12);
    let page = (iova >> 12 << 1 | mark) & !(mark - 1);
    (context as u64) << PAGE_BITS | page & PAGE_MASK
}

/// The context of a tag.
pub(crate) const fn context_of(tag: u64) -> u32 {
    (tag >> PAGE_BITS) as u32
}

/// First and last address of the page of a tag, without bits 63:57.
pub(crate) const fn range_of(tag: u64) -> (u64, u64) {
    let page = tag & PAGE_MASK;
    let mark = page & page.wrapping_neg();
    let first = (page ^ mark) >> 1 << 12;
    (first, first + (mark << 12) - 1)
}

/// Bits of an address that a tag has.
pub(crate) const ADDRESS_MASK: u64 = (1 << 57) - 1;

/// Gives small numbers to pairs of identifiers, in the order in which they come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contexts {
    numbers: FxHashMap<(u32, u32), u32>,
    names: Vec<(u32, u32)>,
    last: Option<((u32, u32), u32)>,
}

impl Contexts {
    /// The number of a pair, from 1. Beyond 2^18 - 1 pairs the last number is shared.
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

    /// Pairs so far, in the order of their numbers.
    pub(crate) fn names(&self) -> &[(u32, u32)] {
        &self.names
    }
}

/// Which identifiers a TLB is tagged with.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum TaggedBy {
    /// VMID and ASID.
    #[default]
    AddressSpace,
    /// StreamID and SubstreamID. An invalidation by VMID or ASID drops every page of its range, for
    /// a trace does not say whose a stream is.
    Stream,
}

impl TaggedBy {
    /// The pair of an access.
    #[inline]
    pub(crate) fn name(self, access: &Access) -> (u32, u32) {
        match self {
            Self::AddressSpace => (access.vmid.into(), access.asid.into()),
            Self::Stream => (access.sid, access.ssid),
        }
    }

    /// Whether an invalidation covers a tag.
    pub(crate) fn is_covered(self, tag: u64, forget: &Forget, contexts: &Contexts) -> bool {
        let (vmid, asid) = contexts.name(context_of(tag)).unwrap_or_default();
        let agrees =
            |named: Option<u16>, own: u32| named.is_none_or(|named| own == u32::from(named));
        let (first, last) = range_of(tag);
        let meets = forget
            .range
            .is_none_or(|(from, to)| first <= to & ADDRESS_MASK && from & ADDRESS_MASK <= last);
        meets && (self == Self::Stream || agrees(forget.vmid, vmid) && agrees(forget.asid, asid))
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
        let take = |hash: u64, half: u64| {
            (0..4).fold(hash, |hash, byte| {
                (hash ^ (half >> (8 * byte) & 0xff)).wrapping_mul(Self::PRIME)
            })
        };
        let hash = take(self.0, index);
        let upper = index >> 32;
        self.0 = if upper == 0 { hash.wrapping_mul(UPPER) } else { take(hash, upper) };
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
    }

    #[test]
    fn a_tag_tells_its_page() {
        for (iova, size_log2, first) in
            [(0x5_1234, 12, 0x5_1000), (0x7_1234_5678, 21, 0x7_1220_0000)]
        {
            let tag = tag(3, iova, size_log2);
            assert_eq!(context_of(tag), 3);
            assert_eq!(range_of(tag), (first, first + (1 << size_log2) - 1));
        }
        assert_ne!(tag(1, 0, 12), tag(1, 0, 21), "sizes differ");
        assert_eq!(range_of(tag(1, 0, 52)), (0, (1 << 52) - 1));
    }

    #[test]
    fn an_invalidation_covers_what_agrees_with_all_it_names() {
        let mut contexts = Contexts::default();
        let tag = tag(contexts.number((1, 7)), 0x20_0000, 21);
        let check = |vmid, asid, range| {
            let forget = Forget { vmid, asid, range };
            TaggedBy::AddressSpace.is_covered(tag, &forget, &contexts)
        };
        assert!(check(None, None, None) && check(Some(1), Some(7), Some((0x3f_f000, 0x3f_ffff))));
        assert!(!check(Some(2), None, None) && !check(Some(1), Some(8), None));
        assert!(!check(None, None, Some((0x40_0000, u64::MAX))));
    }
}
