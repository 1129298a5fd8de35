//! Rules that a set of ID registers has to keep.

use super::IdRegisters;
use crate::registers::{Aidr, Idr0, Idr1, Idr3, Idr5};

/// A set of ID registers that no SMMU can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {rule}; {remedy}")]
pub struct InconsistentId {
    /// Register and field, e.g. `IDR1.SIDSIZE`.
    pub field: &'static str,
    /// The rule of the architecture that is broken.
    pub rule: &'static str,
    /// What would keep it.
    pub remedy: &'static str,
}

impl IdRegisters {
    /// Holds the set against the architecture's rules.
    ///
    /// # Errors
    ///
    /// Every rule that is broken, in the order of the registers.
    pub fn check(&self) -> Result<(), Vec<InconsistentId>> {
        let ids = Ids::decode(self);
        let broken: Vec<_> = RULES
            .iter()
            .filter(|(_, _, _, is_broken)| is_broken(&ids))
            .map(|&(field, rule, remedy, _)| InconsistentId { field, rule, remedy })
            .collect();
        if broken.is_empty() { Ok(()) } else { Err(broken) }
    }
}

struct Ids {
    r0: Idr0,
    r1: Idr1,
    r3: Idr3,
    r5: Idr5,
    major: u8,
    minor: u8,
}

impl Ids {
    fn decode(ids: &IdRegisters) -> Self {
        let aidr = Aidr::from(ids.aidr);
        Self {
            r0: ids.idr0.into(),
            r1: ids.idr1.into(),
            r3: ids.idr3.into(),
            r5: ids.idr5.into(),
            major: aidr.arch_major_rev(),
            minor: aidr.arch_minor_rev(),
        }
    }

    fn both_stages(&self) -> bool {
        self.r0.s1p() && self.r0.s2p()
    }

    fn no_granule(&self) -> bool {
        !(self.r5.gran4k() || self.r5.gran16k() || self.r5.gran64k())
    }
}

/// Field, rule, remedy, and whether the rule is broken.
type Rule = (&'static str, &'static str, &'static str, fn(&Ids) -> bool);

#[rustfmt::skip]
const RULES: &[Rule] = &[
    ("IDR0.S1P", "at least one stage is implemented", "set S1P or S2P", |i| !i.r0.s1p() && !i.r0.s2p()),
    ("IDR0.TTF", "0 is reserved", "set TTF to 2 for VMSAv8-64 tables", |i| i.r0.ttf() == 0),
    ("IDR0.HYP", "EL2 worlds need both stages", "clear HYP, or set S1P and S2P", |i| i.r0.hyp() && !i.both_stages()),
    ("IDR0.HYP", "mandatory from v3.2 with both stages", "set HYP", |i| i.minor >= 2 && i.both_stages() && !i.r0.hyp()),
    ("IDR0.HTTU", "3 came with v3.4", "set HTTU to 2 or less", |i| i.r0.httu() == 3 && i.minor < 4),
    ("IDR0.PRI", "PRI requires ATS", "set ATS or clear PRI", |i| i.r0.pri() && !i.r0.ats()),
    ("IDR0.VMID16", "RES0 without stage 2", "clear VMID16", |i| i.r0.vmid16() && !i.r0.s2p()),
    ("IDR0.VATOS", "VATOS requires ATOS", "set ATOS or clear VATOS", |i| i.r0.vatos() && !i.r0.atos()),
    ("IDR0.TTENDIAN", "1 is reserved", "set TTENDIAN to 0, 2 or 3", |i| i.r0.ttendian() == 1),
    ("IDR0.STALL_MODEL", "3 is reserved", "set STALL_MODEL to 0, 1 or 2", |i| i.r0.stall_model() == 3),
    ("IDR0.ST_LEVEL", "2 and 3 are reserved", "set ST_LEVEL to 0 or 1", |i| i.r0.st_level() > 1),
    ("IDR1.SIDSIZE", "at most 32 bits", "set SIDSIZE to 32 or less", |i| i.r1.sidsize() > 32),
    ("IDR1.SIDSIZE", "7 or more requires a 2-level stream table", "set IDR0.ST_LEVEL to 1", |i| i.r1.sidsize() >= 7 && i.r0.st_level() == 0),
    ("IDR1.SSIDSIZE", "at most 20 bits", "set SSIDSIZE to 20 or less", |i| i.r1.ssidsize() > 20),
    ("IDR1.PRIQS", "at most 19", "set PRIQS to 19 or less", |i| i.r1.priqs() > 19),
    ("IDR1.EVENTQS", "at most 19", "set EVENTQS to 19 or less", |i| i.r1.eventqs() > 19),
    ("IDR1.CMDQS", "at most 19", "set CMDQS to 19 or less", |i| i.r1.cmdqs() > 19),
    ("IDR1.ECMDQ", "requires coherent accesses and MSIs", "set IDR0.COHACC and IDR0.MSI", |i| i.r1.ecmdq() && !(i.r0.cohacc() && i.r0.msi())),
    ("IDR1.ECMDQ", "excludes preset queues", "clear QUEUES_PRESET", |i| i.r1.ecmdq() && i.r1.queues_preset()),
    ("IDR3.HAD", "mandatory from v3.1 with stage 1", "set HAD", |i| i.minor >= 1 && i.r0.s1p() && !i.r3.had()),
    ("IDR3.XNX", "mandatory from v3.1 with stage 2", "set XNX", |i| i.minor >= 1 && i.r0.s2p() && !i.r3.xnx()),
    ("IDR3.FWB", "mandatory from v3.2 with stage 2", "set FWB", |i| i.minor >= 2 && i.r0.s2p() && !i.r3.fwb()),
    ("IDR3.RIL", "mandatory from v3.2", "set RIL", |i| i.minor >= 2 && !i.r3.ril()),
    ("IDR3.BBML", "at least 1 from v3.2", "set BBML to 1 or 2", |i| i.minor >= 2 && i.r3.bbml() == 0),
    ("IDR3.BBML", "3 is reserved", "set BBML to 0, 1 or 2", |i| i.r3.bbml() == 3),
    ("IDR3.E0PD", "mandatory from v3.3 with stage 1", "set E0PD", |i| i.minor >= 3 && i.r0.s1p() && !i.r3.e0pd()),
    ("IDR3.PTWNNC", "mandatory from v3.3 with both stages", "set PTWNNC", |i| i.minor >= 3 && i.both_stages() && !i.r3.ptwnnc()),
    ("IDR5.OAS", "52 bits came with v3.1", "set OAS to 5 or less", |i| i.r5.oas() == 6 && i.minor < 1),
    ("IDR5.OAS", "7 is reserved before v3.4", "set OAS to 6 or less", |i| i.r5.oas() == 7 && i.minor < 4),
    ("IDR5.GRAN4K", "VMSAv8-64 tables need a granule", "set GRAN4K, GRAN16K or GRAN64K", |i| i.r0.ttf() & 2 != 0 && i.no_granule()),
    ("IDR5.VAX", "52-bit addresses came with v3.1, 56-bit ones with v3.4", "set VAX to 0", |i| [0, 1, 4, 16][usize::from(i.r5.vax())] > i.minor),
    ("IDR5.DS", "came with v3.4", "clear DS", |i| i.r5.ds() && i.minor < 4),
    ("IDR5.DS", "requires an OAS and VAX of 52 bits", "set OAS to 6 and VAX to 1", |i| i.r5.ds() && (i.r5.oas() < 6 || i.r5.vax() == 0)),
    ("IDR5.STALL_MAX", "0 where nothing stalls", "set STALL_MAX to 0", |i| i.r0.stall_model() == 1 && i.r5.stall_max() != 0),
    ("IDR5.STALL_MAX", "at least 1 where transactions stall", "set STALL_MAX to 1 or more", |i| i.r0.stall_model() != 1 && i.r5.stall_max() == 0),
    ("AIDR.ArchMajorRev", "0 is SMMUv3", "set ArchMajorRev to 0", |i| i.major != 0),
    ("AIDR.ArchMinorRev", "0 to 4 are known", "set ArchMinorRev to 4 or less", |i| i.minor > 4),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(ids: &IdRegisters) -> Vec<&'static str> {
        ids.check().err().unwrap_or_default().into_iter().map(|e| e.field).collect()
    }

    #[test]
    fn the_reference_set_is_consistent() {
        assert_eq!(IdRegisters::REFERENCE.check(), Ok(()));
    }

    #[test]
    fn qemu_deviates_with_vmid16_only() {
        assert_eq!(fields(&IdRegisters::QEMU_NESTED), [""; 0]);
        assert_eq!(fields(&IdRegisters::QEMU_STAGE2), [""; 0]);
        assert_eq!(fields(&IdRegisters::QEMU_STAGE1), ["IDR0.VMID16"]);
    }

    /// One edit of the reference set for each rule, and the fields that then complain.
    #[test]
    fn each_rule_is_broken_by_one_edit() {
        type Edit = fn(&mut IdRegisters);
        let clear_stages: Edit = |i| i.idr0 &= !0x4_0203;
        let cases: &[(Edit, &[&str])] = &[
            (clear_stages, &["IDR0.S1P"]),
            (|i| i.idr0 &= !0xc, &["IDR0.TTF"]),
            (|i| i.idr0 &= !0x4_0001, &["IDR0.HYP"]),
            (|i| i.idr0 &= !0x200, &["IDR0.HYP"]),
            (|i| i.idr0 |= 0xc0, &["IDR0.HTTU"]),
            (|i| i.idr0 |= 1 << 16, &["IDR0.PRI"]),
            (|i| i.idr0 &= !0x201, &["IDR0.VMID16"]),
            (|i| i.idr0 |= 1 << 20, &["IDR0.VATOS"]),
            (|i| i.idr0 ^= 3 << 21, &["IDR0.TTENDIAN"]),
            (|i| (i.idr0, i.idr5) = (i.idr0 | 3 << 24, i.idr5 | 1 << 16), &["IDR0.STALL_MODEL"]),
            (|i| i.idr0 |= 2 << 27, &["IDR0.ST_LEVEL"]),
            (|i| i.idr1 |= 33, &["IDR1.SIDSIZE"]),
            (|i| i.idr0 &= !(3 << 27), &["IDR1.SIDSIZE"]),
            (|i| i.idr1 |= 21 << 6, &["IDR1.SSIDSIZE"]),
            (|i| i.idr1 |= 20 << 11, &["IDR1.PRIQS"]),
            (|i| i.idr1 |= 31 << 16, &["IDR1.EVENTQS"]),
            (|i| i.idr1 |= 31 << 21, &["IDR1.CMDQS"]),
            (|i| (i.idr0, i.idr1) = (i.idr0 & !(1 << 13), i.idr1 | 1 << 31), &["IDR1.ECMDQ"]),
            (|i| i.idr1 |= 5 << 29, &["IDR1.ECMDQ"]),
            (|i| i.idr3 &= !(1 << 2), &["IDR3.HAD"]),
            (|i| i.idr3 &= !(1 << 4), &["IDR3.XNX"]),
            (|i| i.idr3 &= !(1 << 8), &["IDR3.FWB"]),
            (|i| i.idr3 &= !(1 << 10), &["IDR3.RIL"]),
            (|i| i.idr3 &= !(3 << 11), &["IDR3.BBML"]),
            (|i| i.idr3 |= 3 << 11, &["IDR3.BBML"]),
            (|i| (i.aidr, i.idr3) = (3, i.idr3 | 1 << 14), &["IDR3.E0PD"]),
            (|i| (i.aidr, i.idr3) = (3, i.idr3 | 1 << 13), &["IDR3.PTWNNC"]),
            (|i| (i.aidr, i.idr5) = (0, i.idr5 ^ 3), &["IDR5.OAS"]),
            (|i| i.idr5 |= 7, &["IDR5.OAS"]),
            (|i| i.idr5 &= !0x70, &["IDR5.GRAN4K"]),
            (|i| i.idr5 |= 2 << 10, &["IDR5.VAX"]),
            (|i| i.idr5 = i.idr5 & !7 | 6 | 1 << 7 | 1 << 10, &["IDR5.DS"]),
            (|i| (i.aidr, i.idr3, i.idr5) = (4, i.idr3 | 3 << 13, i.idr5 | 1 << 7), &["IDR5.DS"]),
            (|i| i.idr5 |= 1 << 16, &["IDR5.STALL_MAX"]),
            (|i| i.idr0 &= !(3 << 24), &["IDR5.STALL_MAX"]),
            (|i| i.aidr |= 0x10, &["AIDR.ArchMajorRev"]),
            (|i| (i.aidr, i.idr3) = (5, i.idr3 | 3 << 13), &["AIDR.ArchMinorRev"]),
        ];
        assert_eq!(cases.len(), RULES.len());
        for ((edit, expected), rule) in cases.iter().zip(RULES) {
            let mut ids = IdRegisters::REFERENCE;
            edit(&mut ids);
            assert_eq!(&fields(&ids), expected, "{}: {}", rule.0, rule.1);
            assert!(ids.check().unwrap_err().iter().any(|e| e.rule == rule.1), "{}", rule.1);
        }
    }

    #[test]
    fn an_error_names_field_rule_and_remedy() {
        let error = IdRegisters { idr0: 0, ..IdRegisters::REFERENCE }.check().unwrap_err()[0];
        assert_eq!(
            error.to_string(),
            "IDR0.S1P: at least one stage is implemented; set S1P or S2P"
        );
    }
}
