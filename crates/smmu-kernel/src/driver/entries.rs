//! The stream table entries and context descriptors that this driver writes.

use smmu_arch::{
    Asid, Cd, CdTable, Features, Granule, Pa, StallModel, Ste, StreamConfig, TableRoot, Vmid,
};
use smmu_tables::{STAGE1_MAIR, Table};

/// Write-Back, read- and write-allocate; also the cacheability of table walks.
const WRITE_BACK: u8 = 1;
const INNER_SHAREABLE: u8 = 3;

/// The words of an entry.
pub(crate) type Words = [u64; 8];

/// Every transaction aborts in silence.
pub(crate) fn abort() -> Words {
    Ste { valid: true, config: StreamConfig::Abort, ..Ste::default() }.encode()
}

/// Every transaction passes as it came.
pub(crate) fn bypass() -> Words {
    incoming(StreamConfig::Bypass).encode()
}

/// A valid entry that keeps the attributes of the transactions. All entries but `abort` have that
/// in common, so that one becomes the other by one word.
fn incoming(config: StreamConfig) -> Ste {
    Ste { valid: true, config, sh_cfg: None, ..Ste::default() }
}

/// Stage 1 through the context descriptor at `cd`.
pub(crate) fn stage1(cd: Pa, features: &Features) -> Ste {
    Ste {
        s1_context_ptr: cd.0,
        s1_cir: WRITE_BACK,
        s1_cor: WRITE_BACK,
        s1_csh: INNER_SHAREABLE,
        // Stalls need a handler, and this driver has none: refuse them where there is a choice.
        s1_stalld: features.stall_model == StallModel::StallAndTerminate,
        ..incoming(StreamConfig::Stage1)
    }
}

/// Stage 2 through `table`, tagged with `vmid`.
pub(crate) fn stage2(table: &Table, vmid: Vmid, features: &Features) -> Ste {
    let root = table.root();
    Ste {
        vmid,
        s2_t0sz: 64 - root.input_bits,
        s2_sl0: start_level_code(&root),
        s2_ir0: WRITE_BACK,
        s2_or0: WRITE_BACK,
        s2_sh0: INNER_SHAREABLE,
        s2_tg: Some(root.granule),
        s2_ps: size_code(table.geometry().output_bits),
        s2_aa64: true,
        s2_ptw: true,
        s2_r: true,
        s2_s: features.stall_model == StallModel::StallForced,
        s2_ttb: root.base,
        ..incoming(StreamConfig::Stage2)
    }
}

/// The context descriptor of a stage 1 table in TTB0; TTB1 is off.
pub(crate) fn context(table: &Table, asid: Asid, features: &Features) -> Words {
    let root = table.root();
    let low = CdTable {
        tsz: 64 - root.input_bits,
        tg: Some(root.granule),
        ttb: root.base,
        epd: false,
        ir: WRITE_BACK,
        or: WRITE_BACK,
        sh: INNER_SHAREABLE,
        ..Cd::default().tables[0]
    };
    let high = CdTable { epd: true, ..Cd::default().tables[1] };
    Cd {
        valid: true,
        tables: [low, high],
        ips: size_code(table.geometry().output_bits),
        aa64: true,
        s: features.stall_model == StallModel::StallForced,
        r: true,
        a: true,
        aset: true,
        asid,
        mair: STAGE1_MAIR,
        ..Cd::default()
    }
    .encode()
}

/// S2SL0 of a start level.
fn start_level_code(root: &TableRoot) -> u8 {
    let lowest = if root.granule == Granule::K4 { 2 } else { 3 };
    (lowest - root.start_level) as u8
}

/// S2PS or IPS of an output size in bits.
fn size_code(bits: u8) -> u8 {
    (0..7).rev().find(|&code| smmu_arch::address_size_bits(code) <= bits).unwrap_or(0)
}
