//! What a port keeps of one (StreamID, SubstreamID), worked out as far as it goes.

use crate::globals::Globals;
use crate::translation::{Treatment, overridden_by};
use smmu_arch::{
    Access, Direction, Permissions, Regime, Stage1Half, StreamId, SubstreamId, Transaction,
};
use smmu_cache::Context;
use smmu_tables::lookup_input;

/// What is known of one (StreamID, SubstreamID), as of the port's generation.
#[derive(Clone, Debug)]
pub(super) struct Line {
    stream: StreamId,
    substream: Option<SubstreamId>,
    /// Bits of an input address that may not be set.
    refused: u64,
    /// What an access needs of the permissions, after the overrides of the STE; by `row`.
    needed: [u16; 8],
    /// TBI of any half.
    top_byte_ignored: bool,
    pub(super) treatment: Treatment,
    pub(super) context: Context,
}

impl Line {
    pub(super) fn new(
        transaction: &Transaction,
        treatment: Treatment,
        context: Context,
        globals: &Globals,
    ) -> Self {
        let mut needed = [0; 8];
        for access in accesses() {
            needed[row(access)] = Permissions::needed(overridden_by(access, treatment.regime()));
        }
        let ignores = |half: &Stage1Half| half.top_byte_ignored;
        let stage1 = treatment.regime().stage1.as_ref();
        Self {
            stream: transaction.stream,
            substream: transaction.substream,
            refused: treatment.refused_bits(globals),
            needed,
            top_byte_ignored: stage1
                .is_some_and(|s| ignores(&s.low) || s.high.as_ref().is_some_and(ignores)),
            treatment,
            context,
        }
    }

    /// Whether the line is that of the transaction, whose input address is none that the
    /// configuration refuses.
    #[inline(always)]
    pub(super) fn serves(&self, transaction: &Transaction) -> bool {
        self.stream == transaction.stream
            && self.substream == transaction.substream
            && transaction.iova.0 & self.refused == 0
    }

    /// The input of a look-up; `regime` is that of the line's treatment.
    #[inline(always)]
    pub(super) fn lookup_input(&self, regime: &Regime, transaction: &Transaction) -> u64 {
        let input = transaction.iova.0;
        if self.top_byte_ignored { lookup_input(regime, input) } else { input }
    }

    /// The bits of [`Permissions::bits`] that `access`, as presented, needs.
    #[inline(always)]
    pub(super) fn needed(&self, access: Access) -> u16 {
        self.needed[row(access)]
    }
}

#[inline(always)]
fn row(access: Access) -> usize {
    let Access { privileged, instruction, .. } = access;
    usize::from(access.is_write()) | usize::from(privileged) << 1 | usize::from(instruction) << 2
}

fn accesses() -> impl Iterator<Item = Access> {
    [Direction::Read, Direction::Write].into_iter().flat_map(|direction| {
        [(false, false), (false, true), (true, false), (true, true)]
            .map(move |(privileged, instruction)| Access { direction, privileged, instruction })
    })
}
