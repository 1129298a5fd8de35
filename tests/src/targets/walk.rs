//! Any tables in memory: the SMMU says what the plain reference says.

use super::registers::{smmu, transaction};
use crate::draw::Draw;
use smmu_arch::{Asid, Cd, Fault, Granule, IdRegisters, Pa, PortId, Ste, StreamConfig, Vmid};
use smmu_bus::{Memory, Mmio, Ram};
use smmu_check::{Allowed, Globals, Reference};
use smmu_device::Port;
use std::sync::Arc;

/// Pages of memory, at 0. Page 0 has the stream table, page 1 the CDs, then come the tables, and
/// the rest is what they map.
const PAGES: u64 = 64;
const FIRST_TABLE: u64 = 2;
const TABLES: u64 = 8;
/// Entries that are drawn in each table; with memory at 0 they reach all that is mapped.
const ENTRIES: u64 = 16;
/// The stream table holds 2 to the power of this many STEs.
const STREAMS_LOG2: u8 = 4;

/// Any STE, CD and tables, and a transaction: the SMMU grants or refuses what the reference does,
/// with the same output or fault, at a miss and again at a hit.
///
/// # Panics
///
/// Where they disagree.
pub fn walk(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let memory = memory(&mut draw);
    let transaction = transaction(&mut draw);
    let smmu = Arc::new(smmu(ids(&mut draw)));
    smmu.mmio_write(0x80, 8, 0); // STRTAB_BASE
    smmu.mmio_write(0x88, 4, u64::from(STREAMS_LOG2)); // STRTAB_BASE_CFG
    smmu.mmio_write(0x20, 4, 1); // CR0.SMMUEN
    let globals = Globals { smmuen: true, strtab_log2size: STREAMS_LOG2, ..Globals::default() };
    let reference = Reference { features: *smmu.features(), globals };
    let ruled = Outcome::of(&reference.rule(&memory, &transaction).allowed);
    let mut port = Port::new(smmu, PortId(0), ()).expect("the SMMU has a port");
    for again in ["at first", "again"] {
        let outcome = match port.translate(&memory, &transaction) {
            Ok(granted) => Outcome::Goes(granted.output),
            Err(refused) => Outcome::Refused(refused.fault),
        };
        port.end();
        assert_eq!(outcome, ruled, "{transaction:?} {again}");
    }
}

/// 48-bit addresses, or 52-bit ones of every granule.
fn ids(draw: &mut Draw) -> IdRegisters {
    let base = IdRegisters::REFERENCE;
    match draw.byte() % 4 {
        0 => IdRegisters { idr5: base.idr5 & !7 | 6 | 1 << 7 | 1 << 10, aidr: 4, ..base },
        _ => base,
    }
}

/// What a master and software see.
#[derive(PartialEq, Debug)]
enum Outcome {
    Goes(Pa),
    Refused(Option<Fault>),
}

impl Outcome {
    fn of(allowed: &Allowed) -> Self {
        match allowed {
            Allowed::Refuses(fault) => Self::Refused(*fault),
            Allowed::Translates(translation) => Self::Goes(translation.output),
            Allowed::Bypass(output) => Self::Goes(*output),
        }
    }
}

fn memory(draw: &mut Draw) -> Ram {
    let memory = Ram::new([(Pa(0), PAGES << 12)]).expect("one region of memory");
    let put = |at: u64, words: &[u64]| {
        memory.write_words(Pa(at), words).expect("the address lies in memory");
    };
    put(0, &ste(draw).encode().map(|word| draw.disturbed(word)));
    put(1 << 12, &cd(draw).encode().map(|word| draw.disturbed(word)));
    for page in FIRST_TABLE..FIRST_TABLE + TABLES {
        let words: [u64; ENTRIES as usize] = std::array::from_fn(|_| descriptor(draw));
        put(page << 12, &words);
    }
    memory
}

fn table(draw: &mut Draw) -> u64 {
    (u64::from(draw.byte()) % TABLES + FIRST_TABLE) << 12
}

/// Shapes of stage 2 tables: granule, T0SZ, SL0. The last two are legal with S2DS alone.
const STAGE2: [(Granule, u8, u8); 9] = [
    (Granule::K4, 16, 2),
    (Granule::K4, 25, 1),
    (Granule::K4, 34, 1),
    (Granule::K4, 34, 0),
    (Granule::K16, 25, 1),
    (Granule::K64, 25, 1),
    (Granule::K64, 36, 0),
    (Granule::K4, 14, 4),
    (Granule::K16, 12, 3),
];

/// Shapes of stage 1 tables: granule, TxSZ. The last two are legal with DS alone.
const STAGE1: [(Granule, u8); 9] = [
    (Granule::K4, 16),
    (Granule::K4, 25),
    (Granule::K4, 34),
    (Granule::K16, 16),
    (Granule::K16, 25),
    (Granule::K64, 22),
    (Granule::K64, 36),
    (Granule::K4, 12),
    (Granule::K16, 13),
];

/// What is as it should be, seven times in eight.
fn mostly<T>(draw: &mut Draw, right: T, other: impl FnOnce(&mut Draw) -> T) -> T {
    if draw.byte() < 224 { right } else { other(draw) }
}

fn ste(draw: &mut Draw) -> Ste {
    use StreamConfig::{Abort, Bypass, Nested, Stage1, Stage2};
    let (granule, t0sz, sl0) = draw.pick(&STAGE2);
    Ste {
        valid: true,
        config: draw.pick(&[Nested, Nested, Nested, Stage1, Stage1, Stage2, Stage2, Bypass, Abort]),
        s1_context_ptr: 1 << 12,
        strw: mostly(draw, 0, |draw| draw.byte() & 3),
        vmid: Vmid(u16::from(draw.byte())),
        s2_t0sz: mostly(draw, t0sz, |draw| draw.byte() & 63),
        s2_sl0: mostly(draw, sl0, |draw| draw.byte() & 7),
        s2_ds: draw.flag(),
        s2_tg: mostly(draw, Some(granule), |_| None),
        s2_ps: mostly(draw, 5, |draw| draw.byte() & 7),
        s2_aa64: true,
        s2_affd: draw.flag(),
        s2_ptw: draw.flag(),
        s2_r: draw.flag(),
        s2_fwb: draw.flag(),
        s2_ttb: table(draw),
        ..Ste::default()
    }
}

fn cd(draw: &mut Draw) -> Cd {
    let mut cd = Cd {
        valid: true,
        ips: mostly(draw, 5, |draw| draw.byte() & 7),
        affd: draw.flag(),
        wxn: mostly(draw, false, |_| true),
        pan: mostly(draw, false, |_| true),
        aa64: true,
        ds: draw.flag(),
        r: draw.flag(),
        a: draw.flag(),
        asid: Asid(u16::from(draw.byte())),
        mair: 0x44_ff_04,
        ..Cd::default()
    };
    for half in &mut cd.tables {
        let (granule, tsz) = draw.pick(&STAGE1);
        half.tsz = mostly(draw, tsz, |draw| draw.byte() & 63);
        half.tg = mostly(draw, Some(granule), |_| None);
        half.ttb = table(draw);
        half.epd = mostly(draw, false, |_| true);
        half.had = draw.flag();
        half.tbi = draw.flag();
    }
    cd
}

/// A descriptor of either stage: a table, page or block among the low pages, mostly with the
/// Access flag and with rights, and rarely with a bit turned over.
fn descriptor(draw: &mut Draw) -> u64 {
    let (what, how) = (u64::from(draw.byte()), u64::from(draw.byte()));
    let page = (what & 15) << 12;
    let kind = [3, 3, 3, 3, 3, 3, 1, 0][(what >> 4 & 7) as usize];
    let flag = u64::from(how & 15 != 0) << 10; // AF
    let rights = [1, 1, 3, 0, 2, 1, 3, 1][(how & 7) as usize] << 6; // AP or S2AP
    let attributes = (how >> 4 & 15) << 2; // AttrIndx, or the low bits of MemAttr
    let word = page | kind | flag | rights | attributes;
    if what >> 7 == 1 { draw.disturbed(word) } else { word }
}
