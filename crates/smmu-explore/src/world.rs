//! What lies in memory when a litmus test begins, and where.

use crate::litmus::{Leaf, Litmus, Place, SteValue, Target, Value};
use smmu_arch::{
    Cd, DescriptorFormat, Eats, Granule, Pa, Stage1LeafWord, Stage2LeafWord, Ste, StreamConfig,
    Vmid, descriptor_address_bits,
};
use std::collections::BTreeMap;

/// Queues and stream tables, one block an SMMU.
const CONTROL: u64 = 0x8000_0000;
const CONTROL_BYTES: u64 = 0x4000;
/// Translation tables and CDs.
const TABLES: u64 = 0x8010_0000;
/// Bytes of memory from [`CONTROL`] on: queues, stream tables, translation tables.
pub(crate) const CONTROL_AND_TABLES: (u64, u64) = (CONTROL, 0x40_0000);
/// Pages that devices reach.
pub(crate) const DATA: u64 = 0x1_0000_0000;

/// Input bits of every space: four levels of 4K tables.
const INPUT_BITS: u8 = 48;
/// S2PS of 48 bits.
const BITS_48: u8 = 5;
const STAGE2_WRITE_BACK: u8 = 15;

/// Memory at the begin, and the addresses of what the test names.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// Words that are not zero.
    pub(crate) words: BTreeMap<u64, u64>,
    /// What lies at an address, in the language's words.
    pub(crate) names: BTreeMap<u64, String>,
    /// First addresses of the pages, by number.
    pub(crate) pages: Vec<u64>,
    /// First address behind them.
    pub(crate) data_end: u64,
    /// Tables by space, level of their descriptors, and first input address.
    tables: BTreeMap<(usize, i8, u64), u64>,
    spares: Vec<u64>,
    /// CDs by device and space.
    cds: BTreeMap<(usize, usize), u64>,
    next: u64,
}

/// The Command queue of an SMMU, 16 bytes an entry.
pub(crate) const fn command_queue(smmu: usize) -> u64 {
    CONTROL + smmu as u64 * CONTROL_BYTES
}

/// The Event queue of an SMMU.
pub(crate) const fn event_queue(smmu: usize) -> u64 {
    command_queue(smmu) + 0x1000
}

/// The stream table of an SMMU: 64 STEs.
pub(crate) const fn stream_table(smmu: usize) -> u64 {
    command_queue(smmu) + 0x2000
}

/// log2 of the entries of a Command queue: more than a test has commands.
pub(crate) const COMMANDS_LOG2: u8 = 8;
/// log2 of the entries of an Event queue.
pub(crate) const EVENTS_LOG2: u8 = 5;
/// log2 of the STEs of a stream table.
pub(crate) const STREAMS_LOG2: u8 = 6;

const fn shift(level: i8) -> u32 {
    39 - 9 * level as u32
}

fn entry(table: u64, level: i8, input: u64) -> u64 {
    table + (input >> shift(level) & 511) * 8
}

impl World {
    /// The world of a test.
    pub(crate) fn new(litmus: &Litmus) -> Self {
        let mut world = Self {
            words: BTreeMap::new(),
            names: BTreeMap::new(),
            pages: Vec::new(),
            data_end: DATA,
            tables: BTreeMap::new(),
            spares: Vec::new(),
            cds: BTreeMap::new(),
            next: TABLES,
        };
        world.place_pages(litmus);
        for space in 0..litmus.spaces.len() {
            world.fill_space(litmus, space);
        }
        world.place_spares(litmus);
        world.place_devices(litmus);
        world
    }

    fn allocate(&mut self) -> u64 {
        let page = self.next;
        self.next += 4096;
        page
    }

    fn place_pages(&mut self, litmus: &Litmus) {
        for page in &litmus.pages {
            let bytes = 1u64 << page.size_log2;
            let first = self.data_end.next_multiple_of(bytes);
            self.pages.push(first);
            self.data_end = first + bytes;
        }
    }

    fn fill_space(&mut self, litmus: &Litmus, space: usize) {
        self.table(litmus, space, 0, 0);
        for map in &litmus.spaces[space].maps {
            let level = self.level_of(litmus, &map.leaf);
            let place = Place::Pte { space, input: map.input, level };
            let pa = self.address(litmus, place);
            let word = self.leaf(litmus, space, level, &map.leaf);
            self.words.insert(pa, word);
        }
        if litmus.spaces.iter().any(|other| other.over == Some(space)) {
            // The tables of a stage 1 above, and its CDs, are where the host put them.
            let pa = self.address(litmus, Place::Pte { space, input: CONTROL, level: 1 });
            self.words.insert(pa, stage2_leaf(CONTROL, 1, false));
        }
    }

    /// Level of the leaf that maps a whole target.
    pub(crate) fn level_of(&self, litmus: &Litmus, leaf: &Leaf) -> i8 {
        match leaf.target {
            Target::Ipa(_) => 3,
            Target::Page(page) => match litmus.pages[page].size_log2 {
                30 => 1,
                21 => 2,
                _ => 3,
            },
        }
    }

    /// The table of a space whose descriptors are of `level`. It is made, and linked where nothing
    /// else stands, when it is first asked for.
    fn table(&mut self, litmus: &Litmus, space: usize, level: i8, input: u64) -> u64 {
        let first = if level == 0 { 0 } else { input >> shift(level - 1) << shift(level - 1) };
        if let Some(&table) = self.tables.get(&(space, level, first)) {
            return table;
        }
        let table = self.allocate();
        self.tables.insert((space, level, first), table);
        if level > 0 {
            let above = self.table(litmus, space, level - 1, input);
            let link = entry(above, level - 1, input);
            self.words.entry(link).or_insert(table | 3);
            self.name_pte(litmus, space, level - 1, input, link);
        }
        table
    }

    fn name_pte(&mut self, litmus: &Litmus, space: usize, level: i8, input: u64, pa: u64) {
        let (name, first) = (&litmus.spaces[space].name, input >> shift(level) << shift(level));
        let level = if level == 3 { String::new() } else { format!(", {level}") };
        self.names.insert(pa, format!("pte[{name}, {first:#x}{level}]"));
    }

    fn place_spares(&mut self, litmus: &Litmus) {
        for spare in &litmus.tables {
            let table = self.allocate();
            self.spares.push(table);
            for map in &spare.maps {
                let span_log2 = match map.leaf.target {
                    Target::Page(page) => u32::from(litmus.pages[page].size_log2),
                    Target::Ipa(_) => 12,
                };
                let count = 1u64 << span_log2.saturating_sub(shift(spare.level)).min(9);
                let word = self.leaf(litmus, spare.space, spare.level, &map.leaf);
                for at in 0..count {
                    let offset = at << shift(spare.level);
                    let pa = entry(table, spare.level, map.input + offset);
                    self.words.insert(pa, word + offset);
                    let name = format!("entry[{}, {:#x}]", spare.name, map.input + offset);
                    self.names.insert(pa, name);
                }
            }
        }
    }

    fn place_devices(&mut self, litmus: &Litmus) {
        for (index, device) in litmus.devices.iter().enumerate() {
            for space in 0..litmus.spaces.len() {
                if litmus.spaces[space].asid.is_none() {
                    continue;
                }
                let cd = self.allocate();
                self.cds.insert((index, space), cd);
                self.put(cd, self.cd_words(litmus, space));
                let name = if device.start == SteValue::Space(space) {
                    format!("cd[{}", device.name)
                } else {
                    format!(
                        "cd of {} for {}[{}",
                        device.name, litmus.spaces[space].name, device.name
                    )
                };
                self.name_words(cd, &name);
            }
            let ste = self.ste(litmus, index);
            self.put(ste, self.ste_words(litmus, index, device.start));
            self.name_words(ste, &format!("ste[{}", device.name));
        }
    }

    fn put(&mut self, pa: u64, words: [u64; 8]) {
        self.words.extend((pa..).step_by(8).zip(words));
    }

    fn name_words(&mut self, pa: u64, name: &str) {
        self.names.extend((0..8).map(|word| (pa + 8 * word, format!("{name}, {word}]"))));
    }

    fn ste(&self, litmus: &Litmus, device: usize) -> u64 {
        let device = &litmus.devices[device];
        stream_table(device.smmu) + Ste::BYTES * u64::from(device.stream)
    }

    /// The address of the first word of a place. Tables on the way are made.
    pub(crate) fn address(&mut self, litmus: &Litmus, place: Place) -> u64 {
        match place {
            Place::Pte { space, input, level } => {
                let table = self.table(litmus, space, level, input);
                let pa = entry(table, level, input);
                self.name_pte(litmus, space, level, input, pa);
                pa
            }
            Place::Entry { table, input } => {
                let pa = entry(self.spares[table], litmus.tables[table].level, input);
                self.names.insert(pa, format!("entry[{}, {input:#x}]", litmus.tables[table].name));
                pa
            }
            Place::Ste(device, word) => self.ste(litmus, device) + 8 * u64::from(word.unwrap_or(0)),
            Place::Cd(device, word) => {
                let first = match litmus.devices[device].start {
                    SteValue::Space(space) => self.cds.get(&(device, space)).copied(),
                    _ => None,
                };
                // The parser has refused a device without a CD.
                first.unwrap_or(TABLES) + 8 * u64::from(word.unwrap_or(0))
            }
        }
    }

    /// The words that a store puts into a place, with their addresses.
    pub(crate) fn store(&mut self, litmus: &Litmus, place: Place, value: Value) -> Vec<(u64, u64)> {
        let first = self.address(litmus, place);
        match (place, value) {
            (Place::Ste(device, word), Value::Ste(value)) => {
                words_from(first, word, self.ste_words(litmus, device, value))
            }
            (Place::Cd(_, word), Value::Cd(space)) => {
                words_from(first, word, self.cd_words(litmus, space))
            }
            (Place::Cd(_, word), _) => words_from(first, word, [0; 8]),
            (Place::Pte { space, level, .. }, Value::Leaf(leaf)) => {
                vec![(first, self.leaf(litmus, space, level, &leaf))]
            }
            (Place::Entry { table, .. }, Value::Leaf(leaf)) => {
                let spare = &litmus.tables[table];
                vec![(first, self.leaf(litmus, spare.space, spare.level, &leaf))]
            }
            (_, Value::Table(table)) => vec![(first, self.spares[table] | 3)],
            (Place::Pte { space, level, input }, Value::OldTable) => {
                vec![(first, self.table(litmus, space, level + 1, input) | 3)]
            }
            _ => vec![(first, 0)],
        }
    }

    /// The table page that a space used at first for an address.
    pub(crate) fn table_page(
        &mut self,
        litmus: &Litmus,
        space: usize,
        level: i8,
        input: u64,
    ) -> Pa {
        Pa(self.table(litmus, space, level, input))
    }

    fn leaf(&self, litmus: &Litmus, space: usize, level: i8, leaf: &Leaf) -> u64 {
        let output = match leaf.target {
            Target::Page(page) => self.pages[page],
            Target::Ipa(ipa) => ipa,
        };
        match litmus.spaces[space].asid {
            None => stage2_leaf(output, level, leaf.read_only),
            Some(_) => stage1_leaf(output, level, leaf),
        }
    }

    fn cd_words(&self, litmus: &Litmus, space: usize) -> [u64; 8] {
        let of = &litmus.spaces[space];
        let table = self.tables[&(space, 0, 0)];
        Cd::lower_half(INPUT_BITS, table, of.asid.unwrap_or_default()).encode()
    }

    fn ste_words(&self, litmus: &Litmus, device: usize, value: SteValue) -> [u64; 8] {
        let eats = if litmus.devices[device].ats { Eats::Full } else { Eats::Disabled };
        let ste = |config| Ste { valid: true, config, sh_cfg: None, ..Ste::default() };
        let ste = match value {
            SteValue::Invalid => Ste::default(),
            SteValue::Abort => ste(StreamConfig::Abort),
            SteValue::Bypass => ste(StreamConfig::Bypass),
            SteValue::Space(space) => {
                let of = &litmus.spaces[space];
                let stage1 = Ste {
                    vmid: of.vmid,
                    eats,
                    s1_context_ptr: self.cds.get(&(device, space)).copied().unwrap_or(0),
                    ..ste(StreamConfig::Stage1)
                };
                match (of.asid, of.over) {
                    (None, _) => Ste { eats, ..self.stage2(space, of.vmid) },
                    (Some(_), None) => stage1,
                    (Some(_), Some(over)) => Ste {
                        config: StreamConfig::Nested,
                        s1_context_ptr: stage1.s1_context_ptr,
                        eats,
                        ..self.stage2(over, of.vmid)
                    },
                }
            }
        };
        ste.encode()
    }

    fn stage2(&self, space: usize, vmid: Vmid) -> Ste {
        Ste {
            valid: true,
            config: StreamConfig::Stage2,
            sh_cfg: None,
            vmid,
            s2_t0sz: 64 - INPUT_BITS,
            s2_sl0: 2,
            s2_tg: Some(Granule::K4),
            s2_ps: BITS_48,
            s2_aa64: true,
            s2_r: true,
            s2_ttb: self.tables[&(space, 0, 0)],
            ..Ste::default()
        }
    }
}

/// One word, or all.
fn words_from(first: u64, word: Option<u8>, words: [u64; 8]) -> Vec<(u64, u64)> {
    match word {
        Some(word) => vec![(first, words[usize::from(word)])],
        None => (first..).step_by(8).zip(words).collect(),
    }
}

const fn kind(level: i8) -> u8 {
    if level == 3 { 3 } else { 1 }
}

fn stage1_leaf(output: u64, level: i8, leaf: &Leaf) -> u64 {
    let word = Stage1LeafWord::new()
        .with_kind(kind(level))
        .with_ap_unprivileged(true)
        .with_ap_read_only(leaf.read_only)
        .with_sh(3)
        .with_af(true)
        .with_ng(!leaf.global)
        .with_pxn(true)
        .with_uxn(true);
    u64::from(word) | descriptor_address_bits(output, DescriptorFormat::Bits48)
}

fn stage2_leaf(output: u64, level: i8, read_only: bool) -> u64 {
    let word = Stage2LeafWord::new()
        .with_kind(kind(level))
        .with_mem_attr(STAGE2_WRITE_BACK)
        .with_read(true)
        .with_write(!read_only)
        .with_sh(3)
        .with_af(true)
        .with_xn(2);
    u64::from(word) | descriptor_address_bits(output, DescriptorFormat::Bits48)
}
