//! What software was told, and who owns which page.

use super::Moment;
use smmu_arch::{AddressSpace, EntryKind, Pa, Promise, SmmuId, Stage, StreamId};
use std::collections::{BTreeMap, VecDeque};

/// A use of a translation, as promises see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub smmu: SmmuId,
    pub stream: StreamId,
    /// Tags that it was used under; `None` for a bypass.
    pub space: Option<AddressSpace>,
    /// The stage 1 leaf is global: every ASID uses it.
    pub global: bool,
    /// Input address of the first enabled stage.
    pub input: u64,
    /// Input address of stage 2, where stage 2 took part.
    pub ipa: Option<u64>,
    pub output: Pa,
    /// When the entry was filled that a hit used. A tag that was freed before says nothing of it.
    pub filled: Option<Moment>,
}

/// All promises, in order.
#[derive(Debug, Default)]
pub(super) struct Promises {
    log: VecDeque<(Moment, Promise)>,
    pages: Pages,
}

impl Promises {
    /// Promises that are kept.
    const KEPT: usize = 1 << 17;

    pub(super) fn promised(&mut self, at: Moment, promise: Promise) {
        match promise {
            Promise::PagesLent { first, bytes } => self.pages.lend(first, bytes),
            Promise::PagesReturned { first, bytes } => self.pages.give_back(at, first, bytes),
            _ => {}
        }
        if self.log.len() == Self::KEPT {
            self.log.pop_front();
        }
        self.log.push_back((at, promise));
    }

    /// The first promise after `after` and before `before` that a use breaks.
    pub(super) fn broken(
        &self,
        used: &Used,
        after: Moment,
        before: Moment,
    ) -> Option<(Moment, Promise)> {
        self.between(after, before).copied().find(|(at, promise)| match promise {
            Promise::PagesReturned { first, bytes } => {
                contains(*first, *bytes, used.output) && !self.lent(used.output, *at, before)
            }
            other => covers(other, used, *at),
        })
    }

    /// The first promise about a tag, between the same moments, that a use breaks.
    pub(super) fn broken_tag(
        &self,
        used: &Used,
        after: Moment,
        before: Moment,
    ) -> Option<(Moment, Promise)> {
        let about_tag = |promise: &Promise| {
            matches!(
                promise,
                Promise::VmidFreed { .. }
                    | Promise::VmidAssigned { .. }
                    | Promise::AsidFreed { .. }
                    | Promise::AsidAssigned { .. }
            )
        };
        self.between(after, before)
            .copied()
            .find(|(at, promise)| about_tag(promise) && covers(promise, used, *at))
    }

    /// The promise that a page is back with its owner, if it is since before `before`.
    pub(super) fn returned(&self, pa: Pa, before: Moment) -> Option<(Moment, Promise)> {
        let at = self.pages.returned(pa).filter(|&at| at < before)?;
        let found = self.log.binary_search_by_key(&at, |&(at, _)| at).ok()?;
        self.log.get(found).copied()
    }

    fn lent(&self, pa: Pa, after: Moment, before: Moment) -> bool {
        self.between(after, before).any(|(_, promise)| match promise {
            Promise::PagesLent { first, bytes } => contains(*first, *bytes, pa),
            _ => false,
        })
    }

    fn between(&self, after: Moment, before: Moment) -> impl Iterator<Item = &(Moment, Promise)> {
        let first = self.log.partition_point(|&(at, _)| at <= after);
        self.log.range(first..).take_while(move |&&(at, _)| at < before)
    }
}

/// Whether a promise about tags, addresses or streams says that the use is over.
fn covers(promise: &Promise, used: &Used, at: Moment) -> bool {
    let filled_before = used.filled.is_none_or(|filled| filled < at);
    let vmid = used.space.filter(|space| space.world.has_vmid()).map(|space| space.vmid);
    let has_asid =
        |space: &AddressSpace| space.kind.has_stage1() && space.world.has_asid() && !used.global;
    let asid = used.space.filter(has_asid).map(|space| space.asid);
    match *promise {
        Promise::Unmapped { smmu, stage, vmid: of, asid: only, first, last } => {
            let stage2_alone = used.space.is_some_and(|space| space.kind == EntryKind::Stage2);
            let input = match stage {
                Stage::Stage1 if stage2_alone => None,
                Stage::Stage1 => Some(used.input),
                Stage::Stage2 => used.ipa,
            };
            smmu == used.smmu
                && vmid.is_none_or(|vmid| vmid == of)
                && only.is_none_or(|only| asid.is_none_or(|asid| asid == only))
                && used.space.is_some()
                && input.is_some_and(|input| (first..=last).contains(&input))
        }
        Promise::Detached { smmu, stream } => (smmu, stream) == (used.smmu, used.stream),
        Promise::VmidFreed { smmu, vmid: of } | Promise::VmidAssigned { smmu, vmid: of } => {
            smmu == used.smmu && vmid == Some(of) && filled_before
        }
        Promise::AsidFreed { smmu, asid: of } | Promise::AsidAssigned { smmu, asid: of } => {
            smmu == used.smmu && asid == Some(of) && filled_before
        }
        Promise::PagesReturned { .. } | Promise::PagesLent { .. } => false,
    }
}

const fn contains(first: Pa, bytes: u64, pa: Pa) -> bool {
    pa.0 >= first.0 && pa.0 - first.0 < bytes
}

/// How often each page is lent. A page that two address spaces map is lent twice.
#[derive(Debug, Default)]
struct Pages {
    /// From each key up to the next one.
    ranges: BTreeMap<u64, Lending>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Lending {
    times: u32,
    /// When it was last given back, if it is not lent now.
    returned: Option<Moment>,
}

impl Pages {
    fn lend(&mut self, first: Pa, bytes: u64) {
        self.change(first, bytes, |lending| {
            *lending = Lending { times: lending.times.saturating_add(1), returned: None };
        });
    }

    fn give_back(&mut self, at: Moment, first: Pa, bytes: u64) {
        self.change(first, bytes, |lending| {
            lending.times = lending.times.saturating_sub(1);
            lending.returned = (lending.times == 0).then_some(at);
        });
    }

    fn returned(&self, pa: Pa) -> Option<Moment> {
        self.ranges.range(..=pa.0).next_back()?.1.returned
    }

    fn change(&mut self, first: Pa, bytes: u64, edit: impl Fn(&mut Lending)) {
        let end = first.0.saturating_add(bytes);
        if end == first.0 {
            return;
        }
        for boundary in [first.0, end] {
            let before = self.ranges.range(..=boundary).next_back();
            let lending = before.map_or_else(Lending::default, |(_, &lending)| lending);
            self.ranges.insert(boundary, lending);
        }
        self.ranges.range_mut(first.0..end).for_each(|(_, lending)| edit(lending));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_back_when_every_loan_of_it_is() {
        let mut pages = Pages::default();
        pages.lend(Pa(0x1000), 0x3000);
        pages.lend(Pa(0x2000), 0x1000);
        pages.give_back(Moment(5), Pa(0x1000), 0x3000);
        let returned = [0x0, 0x1000, 0x2000, 0x3000, 0x4000].map(|pa| pages.returned(Pa(pa)));
        assert_eq!(returned, [None, Some(Moment(5)), None, Some(Moment(5)), None]);
        pages.give_back(Moment(6), Pa(0x2000), 0x1000);
        assert_eq!(pages.returned(Pa(0x2fff)), Some(Moment(6)));
        pages.lend(Pa(0x2000), 0x1000);
        assert_eq!(pages.returned(Pa(0x2000)), None);
    }
}
