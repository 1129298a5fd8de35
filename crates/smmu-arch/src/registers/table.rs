//! All registers in one table.

use super::{AccessRule, Guard, Page, Register};
use crate::FieldInfo;

/// What is known of one register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegisterInfo {
    /// The architecture's name without the `SMMU_` prefix.
    pub name: &'static str,
    /// Page of the register.
    pub page: Page,
    /// Byte offset inside the page.
    pub offset: u32,
    /// Width in bits, 32 or 64.
    pub width: u32,
    /// Software access.
    pub access: AccessRule,
    /// When writes are ignored.
    pub guard: Guard,
    /// Bits that a write can change: the fields of a read-write register, 0 for a read-only one.
    pub writable: u64,
    /// Fields, lowest bit first; all other bits are RES0.
    pub fields: &'static [FieldInfo],
}

impl RegisterInfo {
    const fn of<R: Register>() -> Self {
        Self {
            name: R::NAME,
            page: R::PAGE,
            offset: R::OFFSET,
            width: R::WIDTH,
            access: R::ACCESS,
            guard: R::GUARD,
            writable: writable(R::ACCESS, R::FIELDS),
            fields: R::FIELDS,
        }
    }

    /// Byte offset from the start of the SMMU's register frame.
    #[must_use]
    pub const fn frame_offset(&self) -> u32 {
        self.page.base() + self.offset
    }

    /// The register that holds the byte at `frame_offset`, if any: a 64-bit register is also found
    /// by its upper half.
    #[must_use]
    pub fn at(frame_offset: u32) -> Option<&'static Self> {
        let after = REGISTERS.partition_point(|r| r.frame_offset() <= frame_offset);
        let register = &REGISTERS[after.checked_sub(1)?];
        (frame_offset < register.frame_offset() + register.width / 8).then_some(register)
    }

    /// The register of the architectural name, e.g. `STRTAB_BASE`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        REGISTERS.iter().find(|r| r.name == name)
    }
}

const fn writable(access: AccessRule, fields: &[FieldInfo]) -> u64 {
    let (mut bits, mut index) = (0, 0);
    while index < fields.len() && matches!(access, AccessRule::ReadWrite) {
        bits |= fields[index].mask();
        index += 1;
    }
    bits
}

macro_rules! table {
    ($($name:ident)*) => { &[$(RegisterInfo::of::<super::$name>()),*] };
}

/// Every register that this model knows, by ascending offset from the start of the frame.
/// Offsets not listed are RAZ/WI.
#[rustfmt::skip]
pub static REGISTERS: &[RegisterInfo] = table! {
    Idr0 Idr1 Idr2 Idr3 Idr4 Idr5 Iidr Aidr
    Cr0 Cr0Ack Cr1 Cr2 Statusr Gbpa Agbpa
    IrqCtrl IrqCtrlAck Gerror Gerrorn GerrorIrqCfg0 GerrorIrqCfg1 GerrorIrqCfg2
    StrtabBase StrtabBaseCfg CmdqBase CmdqProd CmdqCons
    EventqBase EventqIrqCfg0 EventqIrqCfg1 EventqIrqCfg2
    PriqBase PriqIrqCfg0 PriqIrqCfg1 PriqIrqCfg2
    GatosCtrl GatosSid GatosAddr GatosPar VatosSel
    Idr6
    Pidr4 Pidr0 Pidr1 Pidr2 Pidr3 Cidr0 Cidr1 Cidr2 Cidr3
    EventqProd EventqCons PriqProd PriqCons
    VatosCtrl VatosSid VatosAddr VatosPar
};
