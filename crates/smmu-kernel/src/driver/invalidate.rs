//! Which TLBI commands cover a change of a table.
//!
//! Architecture: section "TLB invalidation" and the range fields of IDR3.RIL. The counting rules are
//! those of Linux: a range is cut into pieces of (NUM + 1) * 2^SCALE granules, low bits first; without
//! range commands each leaf takes a command of its own, until so many of them are needed that one
//! command for the whole ASID or VMID is cheaper.

use super::{Batch, Env};
use crate::faults::FaultSwitch;
use smmu_arch::{
    Asid, Command, Features, Granule, TlbiIpa, TlbiRange, TlbiVa, TlbiVmid, TlbiVmidAsid, Vmid,
};
use smmu_tables::Unmapped;

/// Granules that one piece of a range can cover are 1 to 31 times a power of two.
const RANGE_NUM_MASK: u64 = 31;

/// What tags the translations of a domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tag {
    /// Stage 1 of VMID 0: the VMID of streams without stage 2.
    Stage1(Asid),
    /// Stage 2.
    Stage2(Vmid),
}

impl Tag {
    /// The VMID that translations bear.
    pub(crate) const fn vmid(self) -> Vmid {
        match self {
            Self::Stage1(_) => Vmid(0),
            Self::Stage2(vmid) => vmid,
        }
    }

    /// The command that forgets all of it.
    pub(crate) const fn everything(self) -> Command {
        match self {
            Self::Stage1(asid) => Command::TlbiNhAsid(TlbiVmidAsid { vmid: Vmid(0), asid }),
            Self::Stage2(vmid) => Command::TlbiS12Vmall(TlbiVmid { vmid }),
        }
    }

    const fn by_address(self, range: TlbiRange) -> Command {
        match self {
            Self::Stage1(asid) => Command::TlbiNhVa(TlbiVa { vmid: Vmid(0), asid, range }),
            Self::Stage2(vmid) => Command::TlbiS2Ipa(TlbiIpa { vmid, range }),
        }
    }
}

/// How far the commands of an unmap reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scope {
    /// The addresses that were unmapped.
    Addresses,
    /// Everything of the tag.
    Everything,
}

/// One contiguous range of input addresses whose translations are to be forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    first: u64,
    bytes: u64,
    granule: Granule,
    /// Bytes of the smallest leaf inside.
    leaf_bytes: u64,
    /// Level of the leaves, 0 where there are several or a table was removed.
    level: u8,
    /// No table was removed: entries for tables may stay.
    leaf: bool,
}

/// What an unmap left to be forgotten: descriptors merged into runs.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    runs: Vec<Run>,
}

impl Gather {
    /// Adds a descriptor that was made invalid.
    pub(crate) fn add(&mut self, unmapped: Unmapped) {
        let granule = unmapped.granule;
        // Below a removed table there may be pages, and its entries are to be forgotten too.
        let (leaf_bytes, level) = match unmapped.leaf {
            true => (unmapped.bytes, unmapped.level as u8),
            false => (1 << granule.shift(), 0),
        };
        let next = Run {
            first: unmapped.input,
            bytes: unmapped.bytes,
            granule,
            leaf_bytes,
            level,
            leaf: unmapped.leaf,
        };
        match self.runs.last_mut() {
            Some(run) if run.first.wrapping_add(run.bytes) == next.first => run.extend(&next),
            _ => self.runs.push(next),
        }
    }

    /// Nothing was unmapped.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Adds the commands that forget all runs of `tag`. With `limited`, as many commands by address
    /// as a table has entries are replaced by one of everything.
    pub(crate) fn invalidate(
        &self,
        batch: &mut Batch<'_>,
        features: &Features,
        tag: Tag,
        limited: bool,
    ) -> Scope {
        if limited && !features.ril && self.is_too_much() {
            batch.add(tag.everything());
            return Scope::Everything;
        }
        let mistakes = Mistakes::of(batch.env());
        for run in &self.runs {
            let run = mistakes.spoil_run(*run);
            let ranges = if features.ril { run.pieces() } else { run.singles() };
            for range in ranges {
                batch.add(tag.by_address(mistakes.spoil_range(range)));
            }
        }
        Scope::Addresses
    }

    fn is_too_much(&self) -> bool {
        let commands: u64 = self.runs.iter().map(|run| run.bytes / run.leaf_bytes).sum();
        self.runs.first().is_some_and(|run| commands >= 1 << run.granule.stride())
    }
}

/// Faults that spoil the addresses of a TLBI.
#[derive(Clone, Copy)]
struct Mistakes {
    short: bool,
    leaf_only: bool,
    wrong_level: bool,
}

impl Mistakes {
    fn of(env: Env<'_>) -> Self {
        Self {
            short: env.has(FaultSwitch::TlbiShortRange),
            leaf_only: env.has(FaultSwitch::TlbiLeafOnly),
            wrong_level: env.has(FaultSwitch::TlbiWrongTtl),
        }
    }

    const fn spoil_run(self, run: Run) -> Run {
        let bytes = if self.short { run.bytes.saturating_sub(run.leaf_bytes) } else { run.bytes };
        Run { bytes, ..run }
    }

    const fn spoil_range(self, range: TlbiRange) -> TlbiRange {
        let leaf = range.leaf || self.leaf_only;
        let level = match range.level {
            3 if self.wrong_level => 2,
            1 | 2 if self.wrong_level => 3,
            level => level,
        };
        TlbiRange { leaf, level, ..range }
    }
}

impl Run {
    fn extend(&mut self, next: &Self) {
        if self.level != next.level {
            self.level = 0;
        }
        self.bytes += next.bytes;
        self.leaf_bytes = self.leaf_bytes.min(next.leaf_bytes);
        self.leaf &= next.leaf;
    }

    /// One address for each leaf.
    fn singles(&self) -> Vec<TlbiRange> {
        let steps = self.bytes / self.leaf_bytes;
        let at = |step| self.first + step * self.leaf_bytes;
        (0..steps).map(|step| TlbiRange::single(at(step), self.leaf)).collect()
    }

    /// Range commands, the lowest bits of the length first.
    fn pieces(&self) -> Vec<TlbiRange> {
        let shift = self.granule.shift();
        let mut left = self.bytes >> shift;
        // Without a level hint a piece of one granule is not encodable: take one more.
        let level = if self.leaf { self.level } else { 0 };
        if level == 0 && left & RANGE_NUM_MASK == 1 {
            left += 1;
        }
        let mut first = self.first;
        let mut pieces = Vec::new();
        while left != 0 {
            let scale = left.trailing_zeros();
            let granules = left >> scale & RANGE_NUM_MASK;
            let range = TlbiRange::granules(
                first,
                self.granule,
                (granules - 1) as u8,
                scale as u8,
                self.leaf,
            );
            pieces.push(range.with_level(level));
            first = first.wrapping_add(granules << scale << shift);
            left -= granules << scale;
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smmu_arch::CommandFeatures;

    fn run(first: u64, pages: u64, leaf: bool) -> Run {
        let bytes = pages << 12;
        let level = if leaf { 3 } else { 0 };
        Run { first, bytes, granule: Granule::K4, leaf_bytes: 4096, level, leaf }
    }

    /// The published counts of range commands for unmaps of 4 KiB pages.
    #[test]
    fn range_commands_per_unmap_are_those_of_linux() {
        let commands = |pages, leaf| run(0x1000_0000, pages, leaf).pieces().len();
        for leaf in [true, false] {
            let counts = [512, 8192, 1023, 8191].map(|pages| commands(pages, leaf));
            assert_eq!(counts, [1, 1, 2, 3]);
        }
        assert!((1..65536).all(|pages| commands(pages, true) <= 4));
    }

    #[test]
    fn single_commands_step_by_the_leaf() {
        assert_eq!(run(0x1000, 511, true).singles().len(), 511);
        let block = Run {
            first: 2 << 20,
            bytes: 4 << 20,
            granule: Granule::K4,
            leaf_bytes: 2 << 20,
            level: 2,
            leaf: true,
        };
        let addresses: Vec<_> = block.singles().iter().map(|range| range.address).collect();
        assert_eq!(addresses, [2 << 20, 4 << 20]);
    }

    #[test]
    fn neighbours_merge_and_lose_the_level_hint() {
        let mut gather = Gather::default();
        let page = |input, level, bytes, leaf| Unmapped {
            input,
            bytes,
            level,
            granule: Granule::K4,
            leaf,
        };
        gather.add(page(0x1f_f000, 3, 0x1000, true));
        gather.add(page(0x20_0000, 2, 0x20_0000, false));
        gather.add(page(0x80_0000, 3, 0x1000, true));
        let merged = Run { first: 0x1f_f000, ..run(0, 513, false) };
        assert_eq!(gather.runs, [merged, run(0x80_0000, 1, true)]);
    }

    proptest! {
        #[test]
        fn the_pieces_cover_the_run_and_are_legal(pages in 1u64..1 << 20, leaf: bool) {
            let run = run(0x4000_0000, pages, leaf);
            let features = CommandFeatures { ril: true, ..CommandFeatures::default() };
            let mut next = run.first;
            for piece in run.pieces() {
                let scope = piece.scope(&features);
                prop_assert_eq!(scope.first, next);
                prop_assert!(piece.num != 0 || piece.scale != 0 || piece.level != 0);
                next = scope.last + 1;
            }
            prop_assert!(next >= run.first + run.bytes && next <= run.first + run.bytes + 4096);
        }
    }
}
