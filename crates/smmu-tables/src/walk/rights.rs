//! What a leaf and the tables above it allow.
//!
//! Architecture: section "Permissions"; DDI 0487, "Access permissions" and "Hierarchical control
//! of data access permissions".

use smmu_arch::{
    Stage1LeafWord, Stage1Regime, Stage2LeafWord, Stage2Regime, StageRights, TableWord,
};

/// APTable, PXNTable and UXNTable of the tables passed, gathered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TableLimits(pub(super) u8);

impl TableLimits {
    pub(super) const NONE: Self = Self(0);
    const PXN: u8 = 1;
    const UXN: u8 = 2;
    const NO_UNPRIVILEGED: u8 = 4;
    const READ_ONLY: u8 = 8;

    /// With what one more table takes away. `disabled` is HAD.
    #[inline(always)]
    pub(super) fn below(self, word: u64, disabled: bool) -> Self {
        if disabled {
            return self;
        }
        let table = TableWord::from(word);
        self.with(Self::PXN, table.pxn_table())
            .with(Self::UXN, table.uxn_table())
            .with(Self::NO_UNPRIVILEGED, table.ap_table_no_unprivileged())
            .with(Self::READ_ONLY, table.ap_table_read_only())
    }

    #[inline(always)]
    const fn with(self, limit: u8, set: bool) -> Self {
        Self(self.0 | if set { limit } else { 0 })
    }

    const fn has(self, limit: u8) -> bool {
        self.0 & limit != 0
    }
}

/// Rights that stage 1 grants.
#[inline(always)]
pub(super) fn stage1_rights(
    leaf: Stage1LeafWord,
    limits: TableLimits,
    regime: &Stage1Regime,
) -> StageRights {
    let writable =
        (!leaf.ap_read_only() || is_clean1(leaf, regime)) && !limits.has(TableLimits::READ_ONLY);
    let never = leaf.uxn() || limits.has(TableLimits::UXN);
    let wxn = regime.write_execute_never;
    if !regime.two_privileges {
        // One privilege level: AP[1], PXN and APTable[0] mean nothing.
        return when(true, StageRights::READ)
            | when(writable, StageRights::WRITE)
            | when(!(never || wxn && writable), StageRights::EXECUTE);
    }
    let unprivileged = leaf.ap_unprivileged() && !limits.has(TableLimits::NO_UNPRIVILEGED);
    let unprivileged_writable = unprivileged && writable;
    let privileged_never = leaf.pxn() || limits.has(TableLimits::PXN);
    let pan = regime.privileged_access_never && unprivileged;
    when(unprivileged, StageRights::READ_UNPRIVILEGED)
        | when(unprivileged_writable, StageRights::WRITE_UNPRIVILEGED)
        // A page without unprivileged data access can still be executed there.
        | when(!(never || wxn && unprivileged_writable), StageRights::EXECUTE_UNPRIVILEGED)
        | when(!pan, StageRights::READ_PRIVILEGED)
        | when(!pan && writable, StageRights::WRITE_PRIVILEGED)
        // What unprivileged code can write, privileged code never executes.
        | when(
            !(privileged_never || unprivileged_writable || wxn && writable),
            StageRights::EXECUTE_PRIVILEGED,
        )
}

/// Rights that stage 2 grants.
#[inline(always)]
pub(super) fn stage2_rights(leaf: Stage2LeafWord, regime: &Stage2Regime) -> StageRights {
    let execute = match (leaf.xn(), regime.execute_by_privilege) {
        (0, _) | (1, false) => StageRights::EXECUTE,
        (1, true) => StageRights::EXECUTE_UNPRIVILEGED,
        (3, true) => StageRights::EXECUTE_PRIVILEGED,
        _ => StageRights::NONE,
    };
    let writable = leaf.write() || is_clean2(leaf, regime);
    when(leaf.read(), StageRights::READ) | when(writable, StageRights::WRITE) | execute
}

/// Writable-clean: a write is permitted, and makes the leaf dirty first.
#[inline(always)]
pub(super) fn is_clean1(leaf: Stage1LeafWord, regime: &Stage1Regime) -> bool {
    regime.hardware_dirty && leaf.dbm() && leaf.ap_read_only()
}

/// The same of stage 2.
#[inline(always)]
pub(super) fn is_clean2(leaf: Stage2LeafWord, regime: &Stage2Regime) -> bool {
    regime.hardware_dirty && leaf.dbm() && !leaf.write()
}

#[inline(always)]
const fn when(granted: bool, rights: StageRights) -> StageRights {
    if granted { rights } else { StageRights::NONE }
}
