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
    let smmu = Arc::new(smmu(IdRegisters::REFERENCE));
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
    u64::from(draw.byte()) % TABLES + FIRST_TABLE << 12
}

fn granule(draw: &mut Draw) -> Option<Granule> {
    draw.pick(&[Some(Granule::K4), Some(Granule::K4), Some(Granule::K16), Some(Granule::K64), None])
}

fn ste(draw: &mut Draw) -> Ste {
    use StreamConfig::{Abort, Bypass, Nested, Stage1, Stage2};
    Ste {
        valid: true,
        config: draw.pick(&[Nested, Nested, Stage1, Stage1, Stage2, Stage2, Bypass, Abort]),
        s1_context_ptr: 1 << 12,
        strw: draw.pick(&[0, 0, 0, 0, 0, 2, 1, 3]),
        vmid: Vmid(u16::from(draw.byte())),
        s2_t0sz: draw.pick(&[25, 16, 24, 34, 40, 12, 51]),
        s2_sl0: draw.byte() & 3,
        s2_tg: granule(draw),
        s2_ps: draw.pick(&[5, 5, 2, 0, 7]),
        s2_aa64: true,
        s2_affd: draw.flag(),
        s2_endi: false,
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
        ips: draw.pick(&[5, 5, 2, 0, 7]),
        affd: draw.flag(),
        wxn: draw.byte() < 32,
        pan: draw.byte() < 32,
        aa64: true,
        r: draw.flag(),
        a: draw.flag(),
        asid: Asid(u16::from(draw.byte())),
        mair: 0x44_ff_04,
        ..Cd::default()
    };
    for half in &mut cd.tables {
        half.tsz = draw.pick(&[25, 16, 24, 34, 39, 12, 48]);
        half.tg = granule(draw);
        half.ttb = table(draw);
        half.epd = draw.byte() < 32;
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
    let kind = [3, 3, 3, 3, 3, 1, 0, 2][(what >> 4 & 7) as usize];
    let flag = u64::from(how & 7 != 0) << 10; // AF
    let rights = (how >> 3 & 3) << 6; // AP or S2AP
    let attributes = (how >> 5) << 2; // AttrIndx, or the low bits of MemAttr
    let word = page | kind | flag | rights | attributes;
    if what >> 7 == 1 { draw.disturbed(word) } else { word }
}
