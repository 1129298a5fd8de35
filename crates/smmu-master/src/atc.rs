//! An Address Translation Cache: what an endpoint remembers of completed Translation Requests.
//!
//! Architecture: chapter "ATS and PRI", section "ATS invalidation" (IHI 0070), and PCI Express,
//! section "Address Translation Services".

use smmu_arch::{
    Access, AtcInv, AtsTranslation, Direction, Iova, StreamId, SubstreamId, TranslationRequest,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A Translation Request that is under way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AtcRequest(u64);

/// An access whose address came from a completed request, until its data has moved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AtcUse(u64);

/// An invalidation request that the endpoint has taken and not yet completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AtcDrain(u64);

/// A fully associative cache of translations; the oldest entry goes first (a choice).
#[derive(Clone, Debug)]
pub struct Atc {
    capacity: usize,
    entries: VecDeque<Entry>,
    /// Requests under way, and whether an invalidation has overtaken each.
    requests: BTreeMap<AtcRequest, Pending>,
    uses: BTreeSet<AtcUse>,
    numbered: u64,
}

/// Whose translations: of a function, with one PASID or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Owner {
    stream: StreamId,
    substream: Option<SubstreamId>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    request: TranslationRequest,
    overtaken: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    owner: Owner,
    first: u64,
    translation: AtsTranslation,
}

impl Owner {
    const fn of(request: &TranslationRequest) -> Self {
        Self { stream: request.stream, substream: request.substream }
    }

    /// Without a PASID an invalidation names the translations without one. Global widens one with
    /// a PASID to every PASID, and means nothing else.
    fn is_named_by(&self, invalidation: &AtcInv) -> bool {
        self.stream == invalidation.stream
            && match (invalidation.substream, self.substream) {
                (None, None) => true,
                (Some(named), Some(own)) => invalidation.global || named == own,
                _ => false,
            }
    }
}

impl Entry {
    fn new(request: &TranslationRequest, translation: AtsTranslation) -> Self {
        let first = request.iova.align_down(u32::from(translation.size_log2)).0;
        Self { owner: Owner::of(request), first, translation }
    }

    fn last(&self) -> u64 {
        let below = 1u64.checked_shl(u32::from(self.translation.size_log2));
        self.first | below.map_or(u64::MAX, |bytes| bytes - 1)
    }

    fn overlaps(&self, first: u64, last: u64) -> bool {
        self.first <= last && first <= self.last()
    }

    /// Whether the other would answer some request of this one.
    fn is_replaced_by(&self, other: &Self) -> bool {
        self.owner == other.owner
            && self.translation.privileged == other.translation.privileged
            && self.overlaps(other.first, other.last())
    }
}

impl Atc {
    /// A cache of `capacity` translations. With 0 an endpoint asks before each access.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: VecDeque::new(),
            requests: BTreeMap::new(),
            uses: BTreeSet::new(),
            numbered: 0,
        }
    }

    /// Translations held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No translation is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The translated address, where a translation that grants the access is held.
    #[must_use]
    pub fn look_up(&self, request: &TranslationRequest, access: Access) -> Option<u64> {
        let owner = Owner::of(request);
        let privileged = request.privileged && request.substream.is_some();
        let entry = self.entries.iter().find(|entry| {
            entry.owner == owner
                && entry.translation.privileged == privileged
                && entry.overlaps(request.iova.0, request.iova.0)
                && grants(&entry.translation, access)
        })?;
        Some(output(&entry.translation, request.iova))
    }

    /// A Translation Request leaves the endpoint.
    pub fn begin_request(&mut self, request: TranslationRequest) -> AtcRequest {
        let id = AtcRequest(self.number());
        self.requests.insert(id, Pending { request, overtaken: false });
        id
    }

    /// A request was completed. `false` where an invalidation has overtaken it: then the completion
    /// is neither kept nor to be used. What grants nothing is not kept either.
    pub fn end_request(&mut self, id: AtcRequest, granted: Option<AtsTranslation>) -> bool {
        let Some(pending) = self.requests.remove(&id) else { return false };
        if pending.overtaken {
            return false;
        }
        if let Some(translation) = granted.filter(|granted| granted.read || granted.write) {
            self.fill(Entry::new(&pending.request, translation));
        }
        true
    }

    fn fill(&mut self, new: Entry) {
        if self.capacity == 0 {
            return;
        }
        self.entries.retain(|entry| !entry.is_replaced_by(&new));
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(new);
    }

    /// An access begins whose address the endpoint has from a completion.
    pub fn begin_use(&mut self) -> AtcUse {
        let id = AtcUse(self.number());
        self.uses.insert(id);
        id
    }

    /// Its data has moved, or it was refused.
    pub fn end_use(&mut self, id: AtcUse) {
        self.uses.remove(&id);
    }

    /// Takes an invalidation request: what it names is forgotten now. The request is to be
    /// completed when [`Self::is_drained`] says so.
    ///
    /// A request under way is overtaken whatever its page is, as the size of its completion is not
    /// known yet (a choice).
    pub fn invalidate(&mut self, invalidation: &AtcInv) -> AtcDrain {
        let (first, last) = (invalidation.first().0, invalidation.last().0);
        self.entries.retain(|entry| {
            !(entry.owner.is_named_by(invalidation) && entry.overlaps(first, last))
        });
        for pending in self.requests.values_mut() {
            pending.overtaken |= Owner::of(&pending.request).is_named_by(invalidation);
        }
        AtcDrain(self.number())
    }

    /// Every access that began before the invalidation has ended, whatever address it used (a
    /// choice: an endpoint need not tell them apart).
    #[must_use]
    pub fn is_drained(&self, drain: AtcDrain) -> bool {
        self.uses.first().is_none_or(|oldest| oldest.0 > drain.0)
    }

    fn number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }
}

/// Whether a translation grants an access.
#[must_use]
pub const fn grants(translation: &AtsTranslation, access: Access) -> bool {
    match access.direction {
        Direction::Read => translation.read,
        Direction::Write => translation.write,
    }
}

/// The translated address of `iova`, which lies in the translation.
#[must_use]
pub fn output(translation: &AtsTranslation, iova: Iova) -> u64 {
    let within = iova.0 - iova.align_down(u32::from(translation.size_log2)).0;
    translation.address + within
}
