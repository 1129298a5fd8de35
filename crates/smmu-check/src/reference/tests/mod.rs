//! The plain reference against tables that were written by hand, word by word.

mod configuration;
mod examples;
mod faults;
mod permissions;

use super::{Allowed, Globals, Reference, Ruling, Translation};
use smmu_arch::{
    Access, Direction, Endianness, Fault, FaultClass, Features, IdRegisters, Iova, Ipa, Pa, Stage,
    StageFault, StageFaultKind, StallModel, StreamId, SubstreamId, Transaction,
};
use smmu_bus::{Memory, Ram};

const STRTAB: u64 = 0x4000_0000;
const CD: u64 = 0x4001_0000;
/// Stage 1 tables, one page a level.
const S1: [u64; 4] = [0x4010_0000, 0x4011_0000, 0x4012_0000, 0x4013_0000];
/// Stage 2 tables from level 1 on.
const S2: [u64; 3] = [0x4020_0000, 0x4021_0000, 0x4022_0000];

/// Leaf bits: AF, SH = inner, stage 1 AP = read and write for all, nG.
const S1_PAGE: u64 = 1 << 11 | 1 << 10 | 3 << 8 | 1 << 6 | 3;
/// Leaf bits: AF, SH = inner, S2AP = read and write, MemAttr = write-back.
const S2_PAGE: u64 = 1 << 10 | 3 << 8 | 3 << 6 | 0xf << 2 | 3;
const TABLE: u64 = 3;

/// STE words: V, Config, S1ContextPtr; S2VMID 7, S2T0SZ 25 (39 bits), S2SL0 1, 4K, S2PS 44 bits,
/// S2AA64, S2R; S2TTB.
const fn ste(config: u64) -> [u64; 8] {
    let word2 = 7 | 25 << 32 | 1 << 38 | 4 << 48 | 1 << 51 | 1 << 58;
    [CD | config << 1 | 1, 0, word2, S2[0], 0, 0, 0, 0]
}

/// CD words: T0SZ 16 (48 bits), 4K, EPD1, V, IPS 44 bits, AA64, R, A, ASID 9; TTB0.
const fn cd() -> [u64; 8] {
    let word0 = 16 | 1 << 30 | 1 << 31 | 4 << 32 | 1 << 41 | 1 << 45 | 1 << 46 | 9 << 48;
    [word0, S1[0], 0, 0xff, 0, 0, 0, 0]
}

/// The consistent set of the architecture crate, with 44 bits of output, both byte orders and
/// fault models, E0PD, and neither EL2 nor small tables.
fn features() -> Features {
    Features {
        oas_bits: 44,
        endianness: Endianness::Mixed,
        stall_model: StallModel::StallAndTerminate,
        e0pd: true,
        hyp: false,
        stt: false,
        ..Features::decode(&IdRegisters::REFERENCE)
    }
}

/// Memory with an SMMU's tables in it, and the SMMU.
struct Bench {
    ram: Ram,
    reference: Reference,
}

impl Bench {
    /// Stream 5 with this STE and CD.
    fn new(ste: [u64; 8], cd: [u64; 8]) -> Self {
        let ram = Ram::new([(Pa(STRTAB), 16 << 20)]).unwrap();
        ram.write_words(Pa(STRTAB + 5 * 64), &ste).unwrap();
        ram.write_words(Pa(CD), &cd).unwrap();
        let globals = Globals {
            smmuen: true,
            strtab_base: Pa(STRTAB),
            strtab_log2size: 8,
            ..Globals::default()
        };
        Self { ram, reference: Reference { features: features(), globals } }
    }

    fn write(&self, pa: u64, word: u64) -> &Self {
        self.ram.write_word(Pa(pa), word).unwrap();
        self
    }

    /// Stage 1 tables down to level 3, all for the lowest 2 MiB.
    fn stage1_tables(&self) -> &Self {
        for level in 0..3 {
            self.write(S1[level], S1[level + 1] | TABLE);
        }
        self
    }

    /// Stage 2 tables down to level 3 for IPAs 0 to 2 MiB, and blocks that map the tables of
    /// stage 1 and the CD (0x4000_0000 and 2 MiB) to themselves.
    fn stage2_tables(&self) -> &Self {
        self.write(S2[0], S2[1] | TABLE).write(S2[1], S2[2] | TABLE);
        self.write(S2[0] + 8, (S2[0] + 0x8000) | TABLE);
        self.write(S2[0] + 0x8000, STRTAB | (S2_PAGE & !2))
    }

    fn rule(&self, transaction: &Transaction) -> Ruling {
        self.reference.rule(&self.ram, transaction)
    }

    fn read(&self, iova: u64) -> Allowed {
        self.rule(&read(iova)).allowed
    }

    fn write_to(&self, iova: u64) -> Allowed {
        self.rule(&dma(iova, Direction::Write)).allowed
    }

    #[track_caller]
    fn translation(&self, iova: u64) -> Translation {
        match self.read(iova) {
            Allowed::Translates(translation) => translation,
            other => panic!("{other:x?}"),
        }
    }
}

const fn dma(iova: u64, direction: Direction) -> Transaction {
    let access = Access::data(direction);
    Transaction { stream: StreamId(5), substream: None, iova: Iova(iova), access }
}

const fn read(iova: u64) -> Transaction {
    dma(iova, Direction::Read)
}

const fn refuses(fault: Fault) -> Allowed {
    Allowed::Refuses(Some(fault))
}

const fn stage1(kind: StageFaultKind) -> Allowed {
    refuses(Fault::Stage(StageFault {
        kind,
        stage: Stage::Stage1,
        class: FaultClass::In,
        ipa: Ipa(0),
        descriptor_write: false,
    }))
}

const fn stage2(kind: StageFaultKind, class: FaultClass, ipa: u64) -> Allowed {
    refuses(Fault::Stage(StageFault {
        kind,
        stage: Stage::Stage2,
        class,
        ipa: Ipa(ipa),
        descriptor_write: false,
    }))
}
