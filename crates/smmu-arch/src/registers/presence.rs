//! Which fields exist in an SMMU with given features.

use super::RegisterInfo;
use crate::{Features, FieldInfo};

/// A condition on the features.
type Condition = fn(&Features) -> bool;

/// Register, field (`*` for all) and the condition without which the field is RES0 or read-only.
/// Every row of a field has to hold.
#[rustfmt::skip]
const CONDITIONS: &[(&str, &str, Condition)] = &[
    ("CR0", "PRIQEN", |f| f.pri),
    ("CR0", "ATSCHK", |f| f.ats),
    ("CR0", "VMW", |f| f.vmw),
    ("CR0", "DPT_WALK_EN", |_| false),
    ("CR2", "E2H", |f| f.hyp),
    ("CR2", "PTM", |f| f.btm),
    ("CR2", "REC_CFG_ATS", |f| f.atsrecerr),
    ("IRQ_CTRL", "PRIQ_IRQEN", |f| f.pri),
    ("GERRORN", "CMDQP_ERR", |f| f.ecmdq.is_some()),
    ("GERROR_IRQ_CFG0", "*", |f| f.msi),
    ("GERROR_IRQ_CFG1", "*", |f| f.msi),
    ("GERROR_IRQ_CFG2", "*", |f| f.msi),
    ("STRTAB_BASE", "*", |f| !f.tables_preset),
    ("STRTAB_BASE_CFG", "*", |f| !f.tables_preset),
    ("STRTAB_BASE_CFG", "FMT", |f| f.two_level_stream_table),
    ("STRTAB_BASE_CFG", "SPLIT", |f| f.two_level_stream_table),
    ("CMDQ_BASE", "*", |f| !f.queues_preset),
    ("EVENTQ_BASE", "*", |f| !f.queues_preset),
    ("EVENTQ_IRQ_CFG0", "*", |f| f.msi),
    ("EVENTQ_IRQ_CFG1", "*", |f| f.msi),
    ("EVENTQ_IRQ_CFG2", "*", |f| f.msi),
    ("PRIQ_BASE", "*", |f| f.pri && !f.queues_preset),
    ("PRIQ_IRQ_CFG0", "*", |f| f.pri && f.msi),
    ("PRIQ_IRQ_CFG1", "*", |f| f.pri && f.msi),
    ("PRIQ_IRQ_CFG2", "*", |f| f.pri),
    ("PRIQ_IRQ_CFG2", "MemAttr", |f| f.msi),
    ("PRIQ_IRQ_CFG2", "SH", |f| f.msi),
    ("PRIQ_PROD", "*", |f| f.pri),
    ("PRIQ_CONS", "*", |f| f.pri),
    ("GATOS_CTRL", "*", |f| f.atos),
    ("GATOS_SID", "*", |f| f.atos),
    ("GATOS_ADDR", "*", |f| f.atos),
    ("VATOS_SEL", "*", |f| f.vatos),
    ("VATOS_CTRL", "*", |f| f.vatos),
    ("VATOS_SID", "*", |f| f.vatos),
    ("VATOS_ADDR", "*", |f| f.vatos),
];

impl RegisterInfo {
    /// Bits that a write can change in an SMMU with the features: [`Self::writable`] without the
    /// fields that are RES0 there or preset, and without bits of base and MSI addresses above the
    /// OAS, which the SMMU truncates.
    #[must_use]
    pub fn writable_in(&self, features: &Features) -> u64 {
        let present = self.fields.iter().filter(|field| self.has(field, features));
        present.fold(0, |mask, field| mask | bits(field, features)) & self.writable
    }

    fn has(&self, field: &FieldInfo, features: &Features) -> bool {
        CONDITIONS
            .iter()
            .filter(|(register, name, _)| {
                *register == self.name && [field.name, "*"].contains(name)
            })
            .all(|(_, _, condition)| condition(features))
    }
}

/// The writable bits of a field: an address field ends at the OAS. The input address of GATOS_ADDR
/// is no physical address and reaches up to bit 63.
fn bits(field: &FieldInfo, features: &Features) -> u64 {
    let is_physical_address = field.name == "ADDR" && field.msb == 55;
    let limit = if is_physical_address { (1 << features.oas_bits) - 1 } else { u64::MAX };
    field.mask() & limit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IdRegisters;

    #[test]
    fn every_condition_names_a_register_and_a_field() {
        for (register, field, _) in CONDITIONS {
            let register = RegisterInfo::named(register).expect("a register");
            let known = *field == "*" || register.fields.iter().any(|f| f.name == *field);
            assert!(known, "{}.{field}", register.name);
        }
    }

    #[test]
    fn addresses_end_at_the_oas() {
        let writable = |name, oas_bits| {
            let reference = Features::decode(&IdRegisters::REFERENCE);
            let register = RegisterInfo::named(name).expect("a register");
            register.writable_in(&Features { oas_bits, atos: true, ..reference })
        };
        assert_eq!(writable("STRTAB_BASE", 48), 0x4000_ffff_ffff_ffc0);
        assert_eq!(writable("CMDQ_BASE", 44), 0x4000_0fff_ffff_ffff);
        assert_eq!(writable("GERROR_IRQ_CFG0", 52), 0x000f_ffff_ffff_fffc);
        assert_eq!(writable("GATOS_ADDR", 48), 0xffff_ffff_ffff_ffc0);
    }
}
