//! What ID registers may announce and this model does not do.

use smmu_arch::IdRegisters;
use smmu_arch::registers::{Idr0, Idr1, Idr3, Idr5};

/// A feature that the ID registers announce and the model lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unmodelled {
    /// Register and field, for example `IDR0.ATS`.
    pub field: &'static str,
    /// What is missing.
    pub reason: &'static str,
    /// What to set instead.
    pub remedy: &'static str,
}

struct Registers {
    idr0: Idr0,
    idr1: Idr1,
    idr3: Idr3,
    idr5: Idr5,
}

/// Field, what is missing, remedy, and whether the registers announce it.
type Rule = (&'static str, &'static str, &'static str, fn(&Registers) -> bool);

#[rustfmt::skip]
const RULES: &[Rule] = &[
    ("IDR0.TTF", "VMSAv8-32 (LPAE) tables are not walked", "set TTF to 2", |r| r.idr0.ttf() & 1 != 0),
    ("IDR0.HTTU", "Access flags of table descriptors are not updated", "set HTTU to 2 or less", |r| r.idr0.httu() == 3),
    ("IDR0.RME_IMPL", "there are no Realm and Root worlds", "clear RME_IMPL", |r| r.idr0.rme_impl()),
    ("IDR1.TABLES_PRESET", "the stream table base is written by software", "clear TABLES_PRESET", |r| r.idr1.tables_preset()),
    ("IDR1.QUEUES_PRESET", "queue bases are written by software", "clear QUEUES_PRESET", |r| r.idr1.queues_preset()),
    ("IDR3.MPAM", "transactions bear no partition", "clear MPAM", |r| r.idr3.mpam()),
    ("IDR3.PBHA", "descriptor bits 62:59 have no use", "clear PBHA", |r| r.idr3.pbha()),
    ("IDR3.DPT", "there is no Device Permission Table", "clear DPT", |r| r.idr3.dpt()),
    ("IDR3.EPAN", "PAN does not look at execution", "clear EPAN", |r| r.idr3.epan()),
    ("IDR3.S1PI", "permissions are direct", "clear S1PI", |r| r.idr3.s1pi()),
    ("IDR3.S2PI", "permissions are direct", "clear S2PI", |r| r.idr3.s2pi()),
    ("IDR3.S2PO", "permissions are not overlaid", "clear S2PO", |r| r.idr3.s2po()),
    ("IDR3.THE", "there is no translation hardening", "clear THE", |r| r.idr3.the()),
    ("IDR3.MTEPERM", "descriptors bear no tag access", "clear MTEPERM", |r| r.idr3.mteperm()),
    ("IDR3.AIE", "a CD has eight memory attributes", "clear AIE", |r| r.idr3.aie()),
    ("IDR5.OAS", "addresses have 52 bits at most", "set OAS to 6 or less", |r| r.idr5.oas() == 7),
    ("IDR5.VAX", "addresses have 52 bits at most", "set VAX to 1 or 0", |r| r.idr5.vax() > 1),
    ("IDR5.D128", "descriptors have 64 bits", "clear D128", |r| r.idr5.d128()),
];

/// Everything that a set of ID registers announces and the model lacks.
#[must_use]
pub fn unmodelled(ids: &IdRegisters) -> Vec<Unmodelled> {
    let registers = Registers {
        idr0: ids.idr0.into(),
        idr1: ids.idr1.into(),
        idr3: ids.idr3.into(),
        idr5: ids.idr5.into(),
    };
    RULES
        .iter()
        .filter(|(_, _, _, announces)| announces(&registers))
        .map(|&(field, reason, remedy, _)| Unmodelled { field, reason, remedy })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_announces_nothing_that_is_missing() {
        assert_eq!(unmodelled(&IdRegisters::REFERENCE), []);
    }

    #[test]
    fn a_realm_is_named_and_broadcast_maintenance_is_not() {
        let base = IdRegisters::REFERENCE;
        let ids = IdRegisters { idr0: base.idr0 | 1 << 30 | 1 << 5, ..base };
        let fields: Vec<_> = unmodelled(&ids).iter().map(|one| one.field).collect();
        assert_eq!(fields, ["IDR0.RME_IMPL"]);
    }

    /// Each of these would be walked wrongly without a word.
    #[test]
    fn what_changes_a_walk_and_came_with_v3_4_is_named() {
        let base = IdRegisters::REFERENCE;
        let ids = IdRegisters {
            idr3: base.idr3 | 1 << 17 | 1 << 22 | 1 << 23,
            idr5: base.idr5 | 7 | 2 << 10,
            ..base
        };
        let fields: Vec<_> = unmodelled(&ids).iter().map(|one| one.field).collect();
        let expected = ["IDR3.EPAN", "IDR3.MTEPERM", "IDR3.AIE", "IDR5.OAS", "IDR5.VAX"];
        assert_eq!(fields, expected);
    }
}
