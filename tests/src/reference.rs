//! The plain reference of the checker held against the SMMU: two implementations of one procedure,
//! written apart from each other, asked about the same transaction over the same memory.
//!
//! A case is drawn from a seed: ID registers, registers, a stream table of one or two levels, an
//! STE, and a transaction, mostly legal and often with one bit turned over. What the walk then meets
//! is made up as it goes: where the reference runs into an empty word (CD table, CD, descriptor), one
//! is drawn for that place, so that deep walks are as frequent as early faults.

use crate::structures::deep;
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use smmu_arch::registers::{Cr0, Cr2, Register, StrtabBase, StrtabBaseCfg};
use smmu_arch::registers::{Idr0, Idr3, Idr5};
use smmu_arch::{
    Access, CdWords, Direction, Fault, Features, FieldInfo, IdRegisters, Iova, L1Std, Pa, PortId,
    SmmuId, Stage, Stage2LeafWord, StageFaultKind, SteWords, StreamId, SubstreamId, Transaction,
    Why,
};
use smmu_bus::{Memory, Mmio, Ram};
use smmu_cache::TlbGeometry;
use smmu_check::{Allowed, Globals, Reference, Ruling};
use smmu_device::{HierarchySizes, Port, Smmu, SmmuConfig, StructureSizes, TranslationOutcome};
use std::sync::Arc;

type Words = [u64; 8];

/// Where memory lies. The stream table stands first; pointers that are drawn lead behind it, to the
/// first of some 64 KiB pages.
const BASE: u64 = 0x4000_0000;
const BYTES: u64 = 64 << 20;
const PAGES: u64 = 800;
/// Words that one walk may have drawn: more than the deepest nested walk reads.
const GROWTH: usize = 60;

/// Stage 2 of 52-bit addresses: S2TG, {S2SL0_2, S2SL0}, and the IPA widths that start there.
const DS_STAGE2: [(u64, u64, (u64, u64)); 6] = [
    (0, 4, (49, 52)),
    (0, 2, (40, 52)),
    (2, 3, (48, 52)),
    (2, 2, (37, 51)),
    (0, 5, (49, 52)), // reserved
    (1, 2, (43, 52)),
];

/// What both said about one case, in a word or two.
pub type Outcome = String;

/// Draws the case of a seed and asks both about it, the SMMU twice: the second answer comes out of
/// its caches.
///
/// # Errors
/// What each said, where they differ.
///
/// # Panics
/// If the machine of the case cannot be built, which no seed should bring about.
pub fn compare(seed: u64) -> Result<Outcome, String> {
    let mut draw = Draw(Xoshiro256PlusPlus::seed_from_u64(seed));
    let mut case = match seed % 8 {
        0 | 1 | 4 => Case::draw(&mut draw),
        5 | 7 => Case::with_ds(seed, &mut draw),
        _ => Case::with_hardware_update(seed, &mut draw),
    };
    let ruling = case.grow(&mut draw);
    // Every other eight seeds: what a walk keeps shortens the rest of itself.
    let deep_case = seed / 8 % 2 == 1 && !case.has_hint(&ruling);
    let hierarchy = if deep_case { deep() } else { HierarchySizes::default() };
    let mut port = case.port(hierarchy);
    for answer in ["walk", "caches"] {
        let got = port.translate(&case.ram, &case.transaction);
        port.end();
        if !same(&got, &ruling.allowed) || !case.updated(&ruling) {
            let Case { reference, transaction, ste, .. } = &case;
            return Err(format!(
                "seed {seed}, by {answer}: {transaction:x?}\n reference {:x?}\n SMMU {got:x?}\n \
                 STE {ste:x?}\n read {:x?}\n {reference:x?}",
                ruling.allowed, ruling.made_from
            ));
        }
    }
    let updated = if ruling.updates.is_empty() { "" } else { " updated" };
    Ok(outcome(&ruling.allowed) + updated)
}

fn same(got: &TranslationOutcome, allowed: &Allowed) -> bool {
    match (got, allowed) {
        (Ok(got), Allowed::Translates(translation)) => {
            got.output == translation.output && got.space == Some(translation.space)
        }
        (Ok(got), Allowed::Bypass(output)) => got.output == *output && got.space.is_none(),
        (Err(refused), Allowed::Refuses(fault)) => refused.fault == *fault,
        _ => false,
    }
}

fn outcome(allowed: &Allowed) -> Outcome {
    match allowed {
        Allowed::Translates(translation) => format!("{:?}", translation.space.kind),
        Allowed::Bypass(_) => "bypass".to_owned(),
        Allowed::Refuses(None) => "silent abort".to_owned(),
        Allowed::Refuses(Some(Fault::Stage(fault))) => {
            format!("{} {:?} {:?}", Fault::Stage(*fault).name(), fault.stage, fault.class)
        }
        Allowed::Refuses(Some(fault)) => fault.name().to_owned(),
    }
}

/// One case.
struct Case {
    ids: IdRegisters,
    reference: Reference,
    ram: Ram,
    ste: Words,
    /// Where the STE lies.
    place: Pa,
    /// HA and HD of the CDs that are drawn.
    hardware: (u64, u64),
    /// DS and T0SZ of the CDs that are drawn, where DS is there.
    ds: Option<(u64, u64)>,
    transaction: Transaction,
}

impl Case {
    fn draw(draw: &mut Draw) -> Self {
        let ids = draw.id_registers();
        let ram = Ram::new([(Pa(BASE), BYTES)]).expect("one region");
        let globals = Globals {
            smmuen: true,
            gbpa_abort: false,
            strtab_base: Pa(BASE),
            strtab_log2size: draw.pick(&[4, 8, 12]),
            split: draw.pick(&[6, 8, 10]),
            two_level: draw.one_in(3),
            e2h: draw.one_in(2),
            recinvsid: true,
        };
        let stream = StreamId(draw.below(1 << globals.strtab_log2size) as u32);
        let ste = draw.ste();
        let place = if globals.two_level {
            draw.level1(&ram, &globals, stream)
        } else {
            BASE + u64::from(stream.0) * 64
        };
        // A level 1 descriptor with a bit turned over leads anywhere, also out of memory.
        let _ = ram.write_words(Pa(place), &ste);
        let reference = Reference { features: Features::decode(&ids), globals };
        let transaction = draw.transaction(stream);
        let (hardware, ds) = ((0, 0), None);
        Self { ids, reference, ram, ste, place: Pa(place), hardware, ds, transaction }
    }

    /// The same case with hardware updates, drawn apart so that the other cases stay as they are.
    fn with_hardware_update(seed: u64, draw: &mut Draw) -> Self {
        let mut case = Self::draw(draw);
        let mut draw = Draw(Xoshiro256PlusPlus::seed_from_u64(!seed));
        let mut idr0 = Idr0::from(case.ids.idr0);
        idr0.set_httu(2);
        case.ids.idr0 = idr0.into();
        case.reference.features = Features::decode(&case.ids);
        set(&mut case.ste, SteWords::FIELDS, "S2HA", draw.below(2));
        set(&mut case.ste, SteWords::FIELDS, "S2HD", draw.below(2));
        let _ = case.ram.write_words(case.place, &case.ste);
        case.hardware = (draw.below(2), draw.below(2));
        case
    }

    /// The same case with 52-bit addresses of every granule.
    fn with_ds(seed: u64, draw: &mut Draw) -> Self {
        let mut case = Self::draw(draw);
        let mut draw = Draw(Xoshiro256PlusPlus::seed_from_u64(!seed));
        let mut idr5 = Idr5::from(case.ids.idr5);
        idr5.set_ds(true);
        idr5.set_oas(draw.pick(&[5, 6, 6, 6]));
        idr5.set_vax(draw.pick(&[0, 1, 1, 1]));
        case.ids.idr5 = idr5.into();
        case.reference.features = Features::decode(&case.ids);
        let mut put = |name, value| set(&mut case.ste, SteWords::FIELDS, name, value);
        put("S2DS", u64::from(!draw.one_in(8)));
        put("S2PS", draw.pick(&[4, 5, 6, 6, 6, 7]));
        if !draw.one_in(4) {
            let (granule, start, (least, most)) = draw.pick(&DS_STAGE2);
            put("S2TG", granule);
            put("S2SL0", start & 3);
            put("S2SL0_2", start >> 2);
            put("S2T0SZ", 64 - (least + draw.below(most - least + 1)));
        }
        let _ = case.ram.write_words(case.place, &case.ste);
        let t0sz = draw.pick(&[11, 12, 12, 13, 14, 15, 16, 20, 25]);
        case.ds = Some((u64::from(!draw.one_in(8)), t0sz));
        if draw.one_in(2) {
            case.transaction.iova = Iova(draw.below(1 << 52));
        }
        case
    }

    /// Memory is as the ruling leaves it. Before a fault some Access flags may have been set.
    fn updated(&self, ruling: &Ruling) -> bool {
        if matches!(ruling.allowed, Allowed::Refuses(_)) {
            return true;
        }
        ruling.made_from.iter().all(|source| {
            let updates = ruling.updates.iter().filter(|update| update.pa == source.pa);
            let expected = updates.fold(source.word, |word, update| update.applied_to(word));
            self.ram.read_word(source.pa) == Ok(expected)
        })
    }

    /// The ruling of the reference, when every empty word that the walk ran into was drawn.
    fn grow(&mut self, draw: &mut Draw) -> Ruling {
        let mut ruling = self.reference.rule(&self.ram, &self.transaction);
        for _ in 0..GROWTH {
            if !self.grow_once(draw, &ruling) {
                break;
            }
            ruling = self.reference.rule(&self.ram, &self.transaction);
        }
        ruling
    }

    fn grow_once(&self, draw: &mut Draw, ruling: &Ruling) -> bool {
        let (Allowed::Refuses(Some(fault)), Some(last)) = (ruling.allowed, ruling.made_from.last())
        else {
            return false;
        };
        match (fault, last.why) {
            (Fault::Stage(fault), Why::Descriptor { stage, level })
                if fault.kind == StageFaultKind::Translation && last.word == 0 =>
            {
                let word = draw.descriptor(level);
                let word = if self.is_big_endian(stage, ruling) { word.swap_bytes() } else { word };
                self.ram.write_word(last.pa, word).is_ok()
            }
            (Fault::BadCd, Why::Cd) if cd_words(ruling).all(|word| word == 0) => {
                // The last of eight words was read.
                let mut cd = draw.cd();
                for (name, on) in [("HA", self.hardware.0), ("HD", self.hardware.1)] {
                    let value = on | get(CdWords::FIELDS, name, cd[0]);
                    set(&mut cd, CdWords::FIELDS, name, value);
                }
                if let Some((ds, t0sz)) = self.ds {
                    let fields = [("DS", ds), ("T0SZ", t0sz), ("IPS", draw.pick(&[5, 6, 6]))];
                    for (name, value) in fields {
                        set(&mut cd, CdWords::FIELDS, name, value);
                    }
                }
                self.ram.write_words(Pa(last.pa.0 - 56), &cd).is_ok()
            }
            (Fault::BadSubstreamId, Why::L1Cd) if last.word == 0 => {
                self.ram.write_word(last.pa, draw.page() | 1).is_ok()
            }
            _ => false,
        }
    }

    /// S2ENDI, or CD.ENDI, as the reference read it.
    /// A leaf of stage 2 has the Contiguous hint. Its group was never drawn, so it is misprogrammed,
    /// and what is kept of it may be used for addresses that other descriptors map.
    fn has_hint(&self, ruling: &Ruling) -> bool {
        let big_endian = self.is_big_endian(Stage::Stage2, ruling);
        ruling.made_from.iter().any(|source| {
            let word = if big_endian { source.word.swap_bytes() } else { source.word };
            matches!(source.why, Why::Descriptor { stage: Stage::Stage2, .. })
                && Stage2LeafWord::from(word).contiguous()
        })
    }

    fn is_big_endian(&self, stage: Stage, ruling: &Ruling) -> bool {
        match stage {
            Stage::Stage1 => {
                cd_words(ruling).next().is_some_and(|word| get(CdWords::FIELDS, "ENDI", word) != 0)
            }
            Stage::Stage2 => SteWords::from_words(&self.ste).s2endi(),
        }
    }

    /// A port of an SMMU that is set up as the case says.
    fn port(&self, hierarchy: HierarchySizes) -> Port<()> {
        let config = SmmuConfig {
            id: SmmuId(0),
            id_registers: self.ids,
            structures: StructureSizes {
                tlb: TlbGeometry::default().into(),
                ste_cache: Some(16),
                cd_cache: Some(16),
                hierarchy,
            },
            ports: 1,
            cmdqv: None,
        };
        let smmu = Arc::new(Smmu::new(&config).expect("the default geometry"));
        let Globals { strtab_base, strtab_log2size, split, two_level, e2h, recinvsid, .. } =
            self.reference.globals;
        write(&smmu, StrtabBase::new().with_address(strtab_base.0));
        let cfg = StrtabBaseCfg::new().with_log2size(strtab_log2size).with_split(split);
        write(&smmu, cfg.with_fmt(u8::from(two_level)));
        write(&smmu, Cr2::new().with_e2h(e2h).with_recinvsid(recinvsid));
        write(&smmu, Cr0::new().with_smmuen(true));
        Port::new(smmu, PortId(0), ()).expect("the only port")
    }
}

fn write<R: Register>(smmu: &Smmu, register: R) {
    let offset = u64::from(R::PAGE.base() + R::OFFSET);
    smmu.mmio_write(offset, (R::WIDTH / 8) as u8, register.to_word());
}

fn cd_words(ruling: &Ruling) -> impl Iterator<Item = u64> {
    ruling.made_from.iter().filter(|source| source.why == Why::Cd).map(|source| source.word)
}

fn field(fields: &'static [FieldInfo], name: &str) -> &'static FieldInfo {
    let found = fields.iter().find(|field| field.name == name);
    found.unwrap_or_else(|| panic!("there is no field {name}"))
}

fn get(fields: &'static [FieldInfo], name: &str, word: u64) -> u64 {
    let mask = field(fields, name).mask();
    (word & mask) >> mask.trailing_zeros()
}

fn set(words: &mut Words, fields: &'static [FieldInfo], name: &str, value: u64) {
    let field = field(fields, name);
    let word = &mut words[field.word()];
    *word = *word & !field.mask() | value << field.mask().trailing_zeros() & field.mask();
}

/// Draws the parts of a case.
struct Draw(Xoshiro256PlusPlus);

impl Draw {
    fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.0.random_range(0..of.len())]
    }

    fn page(&mut self) -> u64 {
        BASE + (1 << 20) + self.below(PAGES) * 0x1_0000
    }

    /// One bit of the entry is turned over, once in four times.
    fn disturb(&mut self, words: &mut Words) {
        if self.one_in(4) {
            words[self.below(8) as usize] ^= 1 << self.below(64);
        }
    }

    fn id_registers(&mut self) -> IdRegisters {
        let ids = IdRegisters::REFERENCE;
        let (mut idr0, mut idr3) = (Idr0::from(ids.idr0), Idr3::from(ids.idr3));
        let mut idr5 = Idr5::from(ids.idr5);
        idr0.set_hyp(!self.one_in(3));
        if self.one_in(3) {
            idr0.set_ttendian(0); // mixed
        }
        if self.one_in(4) {
            idr0.set_asid16(false);
            idr0.set_vmid16(false);
        }
        if self.one_in(3) {
            idr5.set_oas(self.pick(&[3, 4, 6]));
        }
        idr3.set_stt(!self.one_in(3));
        idr3.set_xnx(!self.one_in(6));
        idr3.set_fwb(!self.one_in(6));
        if self.one_in(6) {
            match self.below(3) {
                0 => idr5.set_gran4k(false),
                1 => idr5.set_gran16k(false),
                _ => idr5.set_gran64k(false),
            }
        }
        IdRegisters { idr0: idr0.into(), idr3: idr3.into(), idr5: idr5.into(), ..ids }
    }

    /// Writes the level 1 descriptor of a stream; gives the place of its STE.
    fn level1(&mut self, ram: &Ram, globals: &Globals, stream: StreamId) -> u64 {
        let level1 = Pa(BASE + u64::from(stream.0 >> globals.split) * 8);
        let span = if self.one_in(4) { self.below(13) as u8 } else { globals.split + 1 };
        let descriptor = L1Std { span, l2ptr: self.page() };
        ram.write_word(level1, descriptor.encode()).expect("the table lies in memory");
        let index = stream.0 & ((1 << globals.split) - 1);
        let entry = descriptor.entry_address(index, globals.split);
        entry.unwrap_or(descriptor.l2ptr + u64::from(index) * 64)
    }

    fn ste(&mut self) -> Words {
        let mut words = [0; 8];
        words[0] = self.page(); // S1ContextPtr
        words[3] = self.page(); // S2TTB
        let mut put = |name, value| set(&mut words, SteWords::FIELDS, name, value);
        put("V", 1);
        put("Config", self.pick(&[4, 5, 5, 6, 6, 7, 7, 7]));
        if self.one_in(3) {
            put("S1CDMax", self.pick(&[1, 3, 8, 12, 16, 17]));
            put("S1Fmt", self.below(4));
        }
        put("S1DSS", self.pick(&[0, 1, 2, 2, 2, 3]));
        if self.one_in(6) {
            put("STRW", self.below(4));
        }
        if self.one_in(4) {
            put("PRIVCFG", self.below(4));
            put("INSTCFG", self.below(4));
        }
        put("S2VMID", self.below(5));
        let (granule, start, input_bits) = self.stage2_shape();
        put("S2TG", granule);
        put("S2SL0", start);
        put("S2T0SZ", 64 - input_bits);
        put("S2PS", self.pick(&[0, 1, 3, 4, 5, 5, 5, 6, 7]));
        put("S2AA64", 1);
        for (name, n) in [("S2AFFD", 5), ("S2PTW", 4), ("S2FWB", 4), ("S2ENDI", 8)] {
            put(name, u64::from(self.one_in(n)));
        }
        self.disturb(&mut words);
        words
    }

    /// S2TG, S2SL0, and a width of the IPA that a walk from there may have.
    fn stage2_shape(&mut self) -> (u64, u64, u64) {
        if self.one_in(2) {
            return (0, 2, 40 + self.below(5)); // wide enough for every page that is drawn
        }
        let granule = self.below(3);
        let widths: &[(u64, u64)] = match granule {
            0 => &[(22, 34), (31, 43), (40, 48), (13, 25)],
            1 => &[(17, 33), (30, 46), (43, 48)],
            _ => &[(15, 29), (26, 40), (37, 48)],
        };
        let start = self.below(widths.len() as u64);
        let (least, most) = widths[start as usize];
        (granule, start, least + self.below(most - least + 1))
    }

    fn cd(&mut self) -> Words {
        let mut words = [0, self.page(), self.page(), self.word(), 0, 0, 0, 0];
        let mut put = |name, value| set(&mut words, CdWords::FIELDS, name, value);
        put("V", 1);
        put("T0SZ", self.pick(&[16, 17, 20, 25, 28, 32, 36, 39, 40, 43, 48, 15]));
        put("TG0", self.below(3));
        put("T1SZ", self.pick(&[16, 17, 20, 25, 28, 32, 36, 39]));
        put("TG1", 1 + self.below(3));
        put("EPD1", u64::from(self.one_in(2)));
        put("IPS", self.pick(&[0, 1, 3, 4, 5, 5, 5, 6, 7]));
        for (name, n) in [("EPD0", 5), ("ENDI", 8)] {
            put(name, u64::from(self.one_in(n)));
        }
        for name in ["AFFD", "WXN", "TBI0", "TBI1", "PAN", "ASET", "NSCFG0", "HAD0", "HAD1"] {
            put(name, u64::from(self.one_in(4)));
        }
        for name in ["E0PD0", "E0PD1"] {
            put(name, u64::from(self.one_in(4)));
        }
        for name in ["AA64", "R", "A"] {
            put(name, 1);
        }
        put("ASID", self.below(9));
        self.disturb(&mut words);
        words
    }

    fn descriptor(&mut self, level: i8) -> u64 {
        let mut word = self.page();
        if level < 3 && !self.one_in(4) {
            word |= 3; // table
            if self.one_in(4) {
                word |= self.below(32) << 59; // NSTable, APTable, XNTable, PXNTable
            }
        } else {
            word |= if level == 3 { 3 } else { 1 };
            word |= self.leaf_bits();
            if level < 3 && self.one_in(2) {
                word &= !0x3f_f000; // aligned to a block of 4 MiB
            }
        }
        if self.one_in(16) {
            word ^= 1 << self.below(64);
        }
        word
    }

    /// Attributes of a leaf: mostly accessed, and writable.
    fn leaf_bits(&mut self) -> u64 {
        let random = self.word();
        let mut bits = random & (0x3f << 2 | 3 << 8 | 1 << 11); // AttrIndx, NS, AP, SH, nG
        for (bit, n) in [(10, 8), (6, 4), (7, 4)] {
            bits |= u64::from(!self.one_in(n)) << bit; // AF, AP
        }
        for (bit, n) in [(52, 4), (51, 8)] {
            bits |= u64::from(self.one_in(n)) << bit; // Contiguous, DBM
        }
        if self.one_in(3) {
            bits |= self.below(4) << 53; // PXN, XN
        }
        if self.one_in(4) {
            bits ^= 1 << 7; // read-only
        }
        bits
    }

    fn transaction(&mut self, stream: StreamId) -> Transaction {
        let iova = match self.below(5) {
            0 => self.below(1 << 22),
            1 => self.word() >> self.below(40),
            2 => !0 << 39 | self.word() >> 30, // the high half
            3 => self.below(1 << 39),
            _ => self.below(1 << 32),
        };
        let access = Access {
            direction: if self.one_in(2) { Direction::Read } else { Direction::Write },
            privileged: self.one_in(2),
            instruction: self.one_in(3),
        };
        let substream = self.one_in(4).then(|| SubstreamId(self.below(20) as u32));
        Transaction { stream, substream, iova: Iova(iova), access }
    }
}
