//! Stage 1. Architecture: sections "Stage 1 translation" and "Permissions".

use super::bits::{address, bit, bits, size_bits};
use super::stage2::Stage2;
use super::table::{Kind, Table};
use super::{Result, Walk, stage1_fault};
use smmu_arch::{
    Access, Direction, Fault, FaultClass, Features, Leaf, Pa, Stage, StageFault, StageFaultKind,
    StageRights, StreamWorld, Why,
};

/// Stage 1 of a context, as its CD describes it.
pub(super) struct Stage1 {
    low: Half,
    high: Option<Half>,
    output_bits: u8,
    big_endian: bool,
    /// AFFD: Access flag 0 is no fault.
    access_flag_free: bool,
    /// HA: Access flag 0 is set.
    access_by_hardware: bool,
    /// HD: writable-clean counts as writable.
    dirty_by_hardware: bool,
    write_execute_never: bool,
    privileged_access_never: bool,
    two_privileges: bool,
    has_asid: bool,
}

/// TTB0 or TTB1.
struct Half {
    /// EPD: every address faults.
    disabled: bool,
    table: Table,
    top_byte_ignored: bool,
    /// HAD.
    hierarchy_disabled: bool,
    /// E0PD.
    unprivileged_disabled: bool,
}

/// What stage 1 makes of a VA.
pub(super) struct Stage1Done {
    pub output: u64,
    pub rights: StageRights,
    pub leaf: Leaf,
    pub global: bool,
    /// The VA, sign-extended where the top byte is ignored.
    pub input: u64,
}

/// What the tables on the way took away.
#[derive(Clone, Copy, Default)]
struct Limits {
    no_unprivileged: bool,
    no_write: bool,
    unprivileged_execute_never: bool,
    privileged_execute_never: bool,
}

/// CD.TG0 as the log2 of the granule.
pub(super) fn granule0(cd: &[u64; 8]) -> Option<u32> {
    [Some(12), Some(16), Some(14), None][bits(cd, 7, 6) as usize]
}

/// CD.TG1 as the log2 of the granule: another coding.
pub(super) fn granule1(cd: &[u64; 8]) -> Option<u32> {
    [None, Some(14), Some(12), Some(16)][bits(cd, 23, 22) as usize]
}

/// A table of 2^`input_bits` bytes: the start level is the lowest that resolves all bits.
fn table(features: &Features, base: u64, input_bits: u32, granule: Option<u32>, ds: bool) -> Table {
    let granule = granule.unwrap_or(12);
    let levels = input_bits.saturating_sub(granule).div_ceil(granule - 3);
    let output_52 = features.oas_bits == 52;
    let mut table = Table { base: 0, input_bits, granule, start: 4 - levels as i32, output_52, ds };
    let table_bytes = 8u64 << (input_bits - table.shift(table.start));
    let alignment = if output_52 { table_bytes.max(64) } else { table_bytes };
    table.base = base & !(alignment - 1);
    table
}

impl Stage1 {
    /// From a CD that is legal.
    pub(super) fn of(features: &Features, cd: &[u64; 8], world: StreamWorld) -> Self {
        let two = world.has_ttb1();
        let had = features.had;
        let e0pd = features.e0pd && two;
        let ds = features.ds && bit(cd, 186);
        // A half that is disabled may hold anything.
        let half = |epd: bool, tsz: u64, granule, ttb, tbi, hierarchy, unprivileged| Half {
            disabled: epd,
            table: table(features, ttb, if epd { 39 } else { 64 - tsz as u32 }, granule, ds),
            top_byte_ignored: tbi,
            hierarchy_disabled: had && hierarchy,
            unprivileged_disabled: e0pd && unprivileged,
        };
        let low = half(
            two && bit(cd, 14),
            bits(cd, 5, 0),
            granule0(cd),
            address(cd, 1, 4),
            bit(cd, 38),
            bit(cd, 65),
            bit(cd, 66),
        );
        let high = half(
            bit(cd, 30),
            if two { bits(cd, 21, 16) } else { 25 },
            granule1(cd),
            address(cd, 2, 4),
            bit(cd, 39),
            bit(cd, 129),
            bit(cd, 130),
        );
        let hardware = bit(cd, 43);
        Self {
            low,
            high: two.then_some(high),
            output_bits: size_bits(bits(cd, 34, 32)).min(features.oas_bits),
            big_endian: bit(cd, 15),
            access_flag_free: bit(cd, 35),
            access_by_hardware: hardware,
            dirty_by_hardware: hardware && bit(cd, 42),
            write_execute_never: bit(cd, 36),
            privileged_access_never: two && bit(cd, 40),
            two_privileges: two,
            has_asid: world.has_asid(),
        }
    }

    fn rights(&self, leaf: u64, limits: Limits) -> StageRights {
        let ap1 = leaf >> 6 & 1 == 1;
        let ap2 = leaf >> 7 & 1 == 1;
        let pxn = leaf >> 53 & 1 == 1;
        let uxn = leaf >> 54 & 1 == 1;
        let writable_clean = self.dirty_by_hardware && leaf >> 51 & 1 == 1;
        let writable = (!ap2 || writable_clean) && !limits.no_write;
        let when = |condition, right| if condition { right } else { StageRights::NONE };
        let wxn = self.write_execute_never;
        if !self.two_privileges {
            let xn = uxn || limits.unprivileged_execute_never || (wxn && writable);
            return StageRights::READ
                | when(writable, StageRights::WRITE)
                | when(!xn, StageRights::EXECUTE);
        }
        let unprivileged = ap1 && !limits.no_unprivileged;
        let unprivileged_writable = unprivileged && writable;
        let pan = self.privileged_access_never && unprivileged;
        let privileged_xn =
            pxn || limits.privileged_execute_never || unprivileged_writable || (wxn && writable);
        let unprivileged_xn =
            uxn || limits.unprivileged_execute_never || (wxn && unprivileged_writable);
        when(unprivileged, StageRights::READ_UNPRIVILEGED)
            | when(unprivileged_writable, StageRights::WRITE_UNPRIVILEGED)
            | when(!unprivileged_xn, StageRights::EXECUTE_UNPRIVILEGED)
            | when(!pan, StageRights::READ_PRIVILEGED)
            | when(!pan && writable, StageRights::WRITE_PRIVILEGED)
            | when(!privileged_xn, StageRights::EXECUTE_PRIVILEGED)
    }
}

impl Half {
    /// All bits from AddrTop down to the input size are those of the half.
    fn holds(&self, va: u64, high: bool) -> bool {
        let va = if self.top_byte_ignored { sign_extended(va) } else { va };
        let above = (va as i64) >> self.table.input_bits.min(63);
        above == if high { -1 } else { 0 }
    }
}

/// Bits 63:56 as bit 55.
const fn sign_extended(va: u64) -> u64 {
    ((va << 8) as i64 >> 8) as u64
}

impl Walk<'_> {
    /// Translates a VA; with stage 2 the tables lie at IPAs, and so does the output.
    pub(super) fn stage1(
        &mut self,
        stage1: &Stage1,
        stage2: Option<&Stage2>,
        va: u64,
    ) -> Result<Stage1Done> {
        let upper = va >> 55 & 1 == 1 && stage1.high.is_some();
        let half = stage1.high.as_ref().filter(|_| upper).unwrap_or(&stage1.low);
        let access = self.access;
        if half.disabled
            || !half.holds(va, upper)
            || (half.unprivileged_disabled && !access.privileged)
        {
            return Err(stage1_fault(StageFaultKind::Translation));
        }
        let input = if half.top_byte_ignored { sign_extended(va) } else { va };
        let table = &half.table;
        let (mut base, mut level) = (table.base, table.start);
        let mut limits = Limits::default();
        loop {
            let at = table.descriptor(base, level, input);
            let (pa, word) = self.stage1_descriptor(at, level, stage2)?;
            let word = if stage1.big_endian { word.swap_bytes() } else { word };
            let output = match table.kind(word, level) {
                Kind::Invalid => return Err(stage1_fault(StageFaultKind::Translation)),
                Kind::Table(output) | Kind::Leaf(output) => output,
            };
            if output >> stage1.output_bits != 0 {
                return Err(stage1_fault(StageFaultKind::AddressSize));
            }
            if let Kind::Table(next) = table.kind(word, level) {
                if !half.hierarchy_disabled {
                    limits.privileged_execute_never |= word >> 59 & 1 == 1;
                    limits.unprivileged_execute_never |= word >> 60 & 1 == 1;
                    limits.no_unprivileged |= word >> 61 & 1 == 1;
                    limits.no_write |= word >> 62 & 1 == 1;
                }
                (base, level) = (next, level + 1);
                continue;
            }
            let accessed = word >> 10 & 1 == 1;
            if !accessed && !stage1.access_flag_free && !stage1.access_by_hardware {
                return Err(stage1_fault(StageFaultKind::AccessFlag));
            }
            let rights = stage1.rights(word, limits);
            if !rights.allows(access) {
                return Err(stage1_fault(StageFaultKind::Permission));
            }
            let sets = stage1.access_by_hardware && !accessed;
            let clean = word >> 51 & 1 == 1 && word >> 7 & 1 == 1;
            let dirties = access.is_write() && stage1.dirty_by_hardware && clean;
            if sets || dirties {
                if let Some(stage2) = stage2 {
                    self.writable_descriptor(stage2, at)?;
                }
                let (set, clear) = (u64::from(sets) << 10, u64::from(dirties) << 7);
                self.update(pa, set, clear, stage1.big_endian);
            }
            let offset = (1 << table.shift(level)) - 1;
            return Ok(Stage1Done {
                output: output | input & offset,
                rights,
                leaf: table.leaf(word, level, input),
                global: word >> 11 & 1 == 0 || !stage1.has_asid,
                input,
            });
        }
    }

    /// Reads a descriptor of stage 1: at stage 2 a read of data without privilege. Gives its
    /// physical address, and the word.
    fn stage1_descriptor(
        &mut self,
        at: u64,
        level: i32,
        stage2: Option<&Stage2>,
    ) -> Result<(u64, u64)> {
        let pa = match stage2 {
            Some(stage2) => {
                let read = Access::data(Direction::Read);
                self.stage2(stage2, at, read, FaultClass::Tt)?.output
            }
            None => at,
        };
        let why = Why::Descriptor { stage: Stage::Stage1, level: level as i8 };
        let class = FaultClass::Tt;
        let abort = Fault::WalkExternalAbort { stage: Stage::Stage1, class, address: Pa(pa) };
        let word = self.read(pa, why).ok_or(Some(abort))?;
        Ok((pa, word))
    }

    /// A hardware update of a descriptor of stage 1 is a write of data at stage 2.
    fn writable_descriptor(&mut self, stage2: &Stage2, at: u64) -> Result<()> {
        let write = Access::data(Direction::Write);
        match self.stage2(stage2, at, write, FaultClass::Tt) {
            Ok(_) => Ok(()),
            Err(Some(Fault::Stage(fault))) => {
                Err(Some(Fault::Stage(StageFault { descriptor_write: true, ..fault })))
            }
            Err(other) => Err(other),
        }
    }
}
