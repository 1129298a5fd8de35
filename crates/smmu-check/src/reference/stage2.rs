//! Stage 2. Architecture: sections "Stage 2 translation" and "Permissions".

use super::bits::{address, bit, bits, size_bits};
use super::table::{Kind, Table};
use super::{Result, Walk};
use smmu_arch::{
    Access, Fault, FaultClass, Features, Ipa, Leaf, Pa, Stage, StageFault, StageFaultKind,
    StageRights, Why,
};

/// Stage 2 of a stream, as its STE describes it.
pub(super) struct Stage2 {
    table: Table,
    output_bits: u8,
    big_endian: bool,
    /// S2AFFD: Access flag 0 is no fault.
    access_flag_free: bool,
    /// S2HA: Access flag 0 is set.
    access_by_hardware: bool,
    /// S2HD: writable-clean counts as writable.
    dirty_by_hardware: bool,
    /// S2PTW.
    protected_walk: bool,
    forced_write_back: bool,
    execute_by_privilege: bool,
}

/// What stage 2 makes of an IPA.
pub(super) struct Stage2Done {
    pub output: u64,
    pub rights: StageRights,
    pub leaf: Leaf,
}

/// STE.S2TG as the log2 of the granule.
pub(super) fn granule(ste: &[u64; 8]) -> Option<u32> {
    [Some(12), Some(16), Some(14), None][bits(ste, 175, 174) as usize]
}

/// S2DS counts.
pub(super) fn has_ds(features: &Features, ste: &[u64; 8]) -> bool {
    features.ds && bit(ste, 195)
}

/// Start level of {S2TG, S2SL0}, with S2DS of {S2TG, S2SL0_2, S2SL0}; `None` is reserved.
pub(super) fn start_level(features: &Features, ste: &[u64; 8], granule: u32) -> Option<i32> {
    let small_tables = features.stt;
    let ds = has_ds(features, ste);
    // S2SL0_2 is of the 4K granule alone.
    if ds && granule == 12 && bit(ste, 194) {
        return (bits(ste, 167, 166) == 0).then_some(-1);
    }
    match (granule, bits(ste, 167, 166)) {
        (14, 3) if ds => Some(0),
        (12, 0) => Some(2),
        (12, 1) => Some(1),
        (12, 2) => Some(0),
        (12, 3) if small_tables => Some(3),
        (14 | 16, 0) => Some(3),
        (14 | 16, 1) => Some(2),
        (14 | 16, 2) => Some(1),
        _ => None,
    }
}

impl Stage2 {
    /// From an STE that is legal.
    pub(super) fn of(features: &Features, ste: &[u64; 8]) -> Self {
        let granule = granule(ste).unwrap_or(12);
        let start = start_level(features, ste, granule).unwrap_or(3);
        let output_52 = features.oas_bits == 52;
        let mut table = Table {
            base: 0,
            input_bits: 64 - bits(ste, 165, 160) as u32,
            granule,
            start,
            output_52,
            ds: has_ds(features, ste),
        };
        let table_bytes = 8u64 << (table.input_bits - table.shift(start));
        let alignment = if output_52 { table_bytes.max(64) } else { table_bytes };
        table.base = address(ste, 3, 4) & !(alignment - 1);
        let hardware = bit(ste, 184);
        Self {
            table,
            output_bits: size_bits(bits(ste, 178, 176)).min(features.oas_bits),
            big_endian: bit(ste, 180),
            access_flag_free: bit(ste, 181),
            access_by_hardware: hardware,
            dirty_by_hardware: hardware && bit(ste, 183),
            protected_walk: bit(ste, 182),
            forced_write_back: features.fwb && bit(ste, 89),
            execute_by_privilege: features.xnx,
        }
    }

    fn rights(&self, leaf: u64) -> StageRights {
        let s2ap = leaf >> 6 & 3;
        let writable_clean = self.dirty_by_hardware && leaf >> 51 & 1 == 1;
        let mut rights = StageRights::NONE;
        if s2ap & 1 == 1 {
            rights = rights | StageRights::READ;
        }
        if s2ap & 2 == 2 || writable_clean {
            rights = rights | StageRights::WRITE;
        }
        let xn = leaf >> 53 & 3;
        // Without XNX only bit 54 counts.
        let xn = if self.execute_by_privilege { xn } else { xn & 2 };
        rights
            | match xn {
                0 => StageRights::EXECUTE,
                1 => StageRights::EXECUTE_UNPRIVILEGED,
                2 => StageRights::NONE,
                _ => StageRights::EXECUTE_PRIVILEGED,
            }
    }

    /// Whether MemAttr names a Device type; the reserved encodings (4, 8 and 12, and 4 with S2FWB)
    /// count as one.
    fn is_device(&self, leaf: u64) -> bool {
        if self.forced_write_back {
            return leaf >> 2 & 7 <= 4;
        }
        let (outer, inner) = (leaf >> 4 & 3, leaf >> 2 & 3);
        outer == 0 || inner == 0
    }
}

impl Walk<'_> {
    /// Translates an IPA that is used for `class`, as `access` needs it.
    pub(super) fn stage2(
        &mut self,
        stage2: &Stage2,
        ipa: u64,
        access: Access,
        class: FaultClass,
    ) -> Result<Stage2Done> {
        let fault = |kind| {
            Some(Fault::Stage(StageFault {
                kind,
                stage: Stage::Stage2,
                class,
                ipa: Ipa(ipa),
                descriptor_write: false,
            }))
        };
        let table = &stage2.table;
        if ipa >> table.input_bits != 0 {
            return Err(fault(StageFaultKind::Translation));
        }
        let (mut base, mut level) = (table.base, table.start);
        loop {
            let at = table.descriptor(base, level, ipa);
            let why = Why::Descriptor { stage: Stage::Stage2, level: level as i8 };
            let abort = Fault::WalkExternalAbort { stage: Stage::Stage2, class, address: Pa(at) };
            let word = self.read(at, why).ok_or(Some(abort))?;
            let word = if stage2.big_endian { word.swap_bytes() } else { word };
            let output = match table.kind(word, level) {
                Kind::Invalid => return Err(fault(StageFaultKind::Translation)),
                Kind::Table(output) | Kind::Leaf(output) => output,
            };
            if output >> stage2.output_bits != 0 {
                return Err(fault(StageFaultKind::AddressSize));
            }
            if let Kind::Table(next) = table.kind(word, level) {
                (base, level) = (next, level + 1);
                continue;
            }
            let accessed = word >> 10 & 1 == 1;
            if !accessed && !stage2.access_flag_free && !stage2.access_by_hardware {
                return Err(fault(StageFaultKind::AccessFlag));
            }
            let rights = stage2.rights(word);
            let protected = stage2.protected_walk && class != FaultClass::In;
            if !rights.allows(access) || (protected && stage2.is_device(word)) {
                return Err(fault(StageFaultKind::Permission));
            }
            let mut set = 0;
            if stage2.access_by_hardware && !accessed {
                set |= 1 << 10;
            }
            let dirties = access.is_write() && stage2.dirty_by_hardware;
            if dirties && word >> 51 & 1 == 1 && word >> 7 & 1 == 0 {
                set |= 1 << 7;
            }
            self.update(at, set, 0, stage2.big_endian);
            let offset = (1 << table.shift(level)) - 1;
            let leaf = table.leaf(word, level, ipa);
            return Ok(Stage2Done { output: output | ipa & offset, rights, leaf });
        }
    }
}
