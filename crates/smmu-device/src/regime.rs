//! From STE and CD to the regime that the walk and the TLB need.
//!
//! Both are the effective ones: fields without effect are cleared, legality is checked.
//!
//! Architecture: sections "StreamWorld", "STE", "CD" and "TLB tagging".

use crate::globals::{Globals, instruction_override, overridden_attributes, privilege_override};
use smmu_arch::{
    AddressSpace, Asid, Cd, CdTable, EntryKind, FaultPolicy, Features, Granule, Regime, Stage1Half,
    Stage1Regime, Stage2Regime, Ste, StreamWorld, TableRoot, Vmid,
};

/// Regime of a stream. `cd` is `None` where stage 1 does not translate; stage 2 follows the STE.
pub(crate) fn regime(ste: &Ste, cd: Option<&Cd>, globals: &Globals) -> Regime {
    let features = &globals.features;
    let world = ste.stream_world(features, globals.e2h);
    let stage2 = ste.config.has_stage2().then(|| stage2(ste, globals));
    let kind = match (cd, stage2) {
        (Some(_), Some(_)) => EntryKind::Combined,
        (Some(_), None) => EntryKind::Stage1,
        (None, _) => EntryKind::Stage2,
    };
    Regime {
        space: AddressSpace {
            world,
            kind,
            vmid: if world.has_vmid() && features.s2p { ste.vmid } else { Vmid(0) },
            asid: cd.filter(|_| world.has_asid()).map_or(Asid(0), |cd| cd.asid),
            aset: cd.is_some_and(|cd| cd.aset),
        },
        stage1: cd.map(|cd| stage1(cd, world, globals)),
        stage2,
        input_attributes: overridden_attributes(ste.mtcfg.then_some(ste.mem_attr), ste.sh_cfg),
        policy: FaultPolicy {
            stage1_abort: cd.is_none_or(|cd| cd.a),
            stage1_record: cd.is_none_or(|cd| cd.r),
            stage1_stall: cd.is_some_and(|cd| cd.s),
            stage2_record: ste.s2_r,
            stage2_stall: ste.s2_s,
        },
        privilege_override: privilege_override(ste.priv_cfg),
        instruction_override: instruction_override(ste.inst_cfg),
    }
}

fn stage1(cd: &Cd, world: StreamWorld, globals: &Globals) -> Stage1Regime {
    let features = &globals.features;
    let half = |index: usize| {
        let table = &cd.tables[index];
        Stage1Half {
            root: cd.table(index, world).map(|table| stage1_root(cd, table, features)),
            top_byte_ignored: table.tbi,
            hierarchy_disabled: table.had,
            unprivileged_disabled: table.e0pd,
            sh: table.sh,
        }
    };
    Stage1Regime {
        low: half(0),
        high: world.has_ttb1().then(|| half(1)),
        output_bits: output_bits(cd, features),
        mair: cd.mair,
        access_flag_fault_disabled: cd.affd,
        hardware_access: cd.ha,
        hardware_dirty: cd.hd,
        write_execute_never: cd.wxn,
        privileged_access_never: cd.pan,
        big_endian: cd.endi,
        two_privileges: world.has_two_privileges(),
        has_asid: world.has_asid(),
    }
}

/// The wider output of both halves: descriptors of a narrower half hold no more bits anyway.
fn output_bits(cd: &Cd, features: &Features) -> u8 {
    let [low, high] = &cd.tables;
    cd.output_bits(low, features).max(cd.output_bits(high, features))
}

/// A legal table has a granule; the fallback is never looked at.
fn stage1_root(cd: &Cd, table: &CdTable, features: &Features) -> TableRoot {
    let granule = table.tg.unwrap_or(Granule::K4);
    let input_bits = table.input_bits();
    let start_level = granule.stage1_start_level(input_bits);
    let index_bits = input_bits - granule.level_shift(start_level);
    TableRoot {
        base: aligned(table.ttb, index_bits, features),
        input_bits: input_bits as u8,
        granule,
        start_level,
        format: cd.descriptor_format(table, features),
    }
}

/// A start table of 2^`index_bits` descriptors is aligned to its size, and to 64 bytes at least
/// where outputs may have 52 bits. Lower bits of its address count as 0.
const fn aligned(base: u64, index_bits: u32, features: &Features) -> u64 {
    let size_log2 = index_bits + 3;
    let log2 = if features.oas_bits >= 52 && size_log2 < 6 { 6 } else { size_log2 };
    base >> log2 << log2
}

fn stage2(ste: &Ste, globals: &Globals) -> Stage2Regime {
    let features = &globals.features;
    let granule = ste.s2_tg.unwrap_or(Granule::K4);
    let start_level = ste.start_level(features).unwrap_or(3);
    let input_bits = ste.s2_input_bits();
    let index_bits = input_bits.saturating_sub(granule.level_shift(start_level));
    Stage2Regime {
        root: TableRoot {
            base: aligned(ste.s2_ttb, index_bits, features),
            input_bits: input_bits as u8,
            granule,
            start_level,
            format: ste.s2_descriptor_format(features),
        },
        output_bits: ste.s2_output_bits(features),
        access_flag_fault_disabled: ste.s2_affd,
        hardware_access: ste.s2_ha,
        hardware_dirty: ste.s2_hd,
        protected_table_walk: ste.s2_ptw,
        forced_write_back: ste.s2_fwb,
        execute_by_privilege: features.xnx,
        big_endian: ste.s2_endi,
        sh: ste.s2_sh0,
    }
}
