//! ID registers: the preset's words, with words and fields of the file over them.

use smmu_arch::IdRegisters;
use smmu_arch::registers::{Idr0, Idr1, Idr5};

use super::IdOverrides;
use crate::{Path, Problem};

/// The words of `ids` with what the file gives over them.
pub(crate) fn with_overrides(
    ids: IdRegisters,
    over: &IdOverrides,
    at: &Path,
    problems: &mut Vec<Problem>,
) -> IdRegisters {
    let words = IdRegisters {
        idr0: over.idr0.unwrap_or(ids.idr0),
        idr1: over.idr1.unwrap_or(ids.idr1),
        idr2: over.idr2.unwrap_or(ids.idr2),
        idr3: over.idr3.unwrap_or(ids.idr3),
        idr4: over.idr4.unwrap_or(ids.idr4),
        idr5: over.idr5.unwrap_or(ids.idr5),
        idr6: over.idr6.unwrap_or(ids.idr6),
        iidr: over.iidr.unwrap_or(ids.iidr),
        aidr: over.aidr.unwrap_or(ids.aidr),
    };
    with_fields(words, over, at, problems)
}

fn with_fields(
    ids: IdRegisters,
    over: &IdOverrides,
    at: &Path,
    problems: &mut Vec<Problem>,
) -> IdRegisters {
    let mut refuse = |key: &str, value: u8, help: &str| {
        let what = format!("{key} = {value} is not possible");
        problems.push(Problem::new(at.key(key), what, help));
    };
    let mut idr0 = Idr0::from(ids.idr0);
    let mut idr1 = Idr1::from(ids.idr1);
    let mut idr5 = Idr5::from(ids.idr5);
    match over.vmid_bits {
        None => {}
        Some(bits @ (8 | 16)) => idr0.set_vmid16(bits == 16),
        Some(bits) => refuse("vmid_bits", bits, "VMIDs have 8 or 16 bits"),
    }
    match over.asid_bits {
        None => {}
        Some(bits @ (8 | 16)) => idr0.set_asid16(bits == 16),
        Some(bits) => refuse("asid_bits", bits, "ASIDs have 8 or 16 bits"),
    }
    match over.sid_bits {
        None => {}
        Some(bits @ 0..=32) => idr1.set_sidsize(bits),
        Some(bits) => refuse("sid_bits", bits, "StreamIDs have 0 to 32 bits"),
    }
    if let Some(bits) = over.oas_bits {
        match OAS_BITS.iter().position(|size| *size == bits) {
            Some(code) => idr5.set_oas(code as u8),
            None => refuse("oas_bits", bits, "choose 32, 36, 40, 42, 44, 48 or 52"),
        }
    }
    IdRegisters { idr0: idr0.into(), idr1: idr1.into(), idr5: idr5.into(), ..ids }
}

/// Sizes of IDR5.OAS, by encoding.
const OAS_BITS: [u8; 7] = [32, 36, 40, 42, 44, 48, 52];
