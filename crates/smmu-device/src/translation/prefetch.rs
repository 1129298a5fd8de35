//! Walking ahead: after a walk for a transaction, the page behind it is looked for as well.
//!
//! Architecture: section "Translation procedure" lets an SMMU walk for what nobody has asked for,
//! and keep it. It is no transaction: it leaves no record, and it is no use of what it finds.

use super::{Next, Purpose, Translation, access_of, translating};
use smmu_arch::{Access, Direction, Iova, TlbEntry, TlbKey, Transaction};
use smmu_tables::Walk;

impl Translation {
    /// Notes where the page behind the one that is kept begins.
    #[inline(always)]
    pub(super) fn look_ahead(&mut self, kept: &TlbEntry) {
        if self.globals.hierarchy.prefetch && self.purpose.is_untranslated() {
            self.behind = kept.last_input().checked_add(1);
        }
    }

    /// The walk for the page behind the one that this translation had to walk for, and what it
    /// looks for; `None` if it had not, or does not know of one.
    ///
    /// Where hardware updates descriptors there is none, so that it need not (a choice).
    pub(crate) fn ahead(&self) -> Option<(TlbKey, Self)> {
        let (iova, treatment) = (Iova(self.behind?), self.treatment?);
        if treatment.regime().updates_by_hardware() {
            return None;
        }
        let access = Access { direction: Direction::Read, ..self.transaction.access };
        let transaction = Transaction { iova, access, ..self.transaction };
        let fresh = Self::new(transaction, self.begin, self.globals, Purpose::Prefetch);
        let ahead = Self { treatment: self.treatment, ..fresh };
        Some((ahead.key(), ahead))
    }

    #[cold]
    pub(super) fn walk_ahead(&mut self) -> Next {
        let regime = translating(&self.treatment);
        let access = access_of(&self.transaction, regime);
        let walk = Walk::new(regime, self.transaction.iova.0, access);
        self.begin_walk(walk)
    }
}
