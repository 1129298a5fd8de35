//! Address spaces and the streams that use them.

use super::{Bench, Board, CDS, RAM, RAM_BYTES, STREAM_TABLE};
use smmu_arch::{
    Asid, Cd, CdTable, DescriptorFormat, Granule, Pa, Ste, StreamConfig, TableRoot, Vmid,
};
use smmu_bus::DirectCpu;
use smmu_tables::{Geometry, Prot, STAGE1_MAIR, Table};
use std::collections::BTreeMap;

/// What a stream does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Stage1,
    Stage2,
    Nested,
    /// STRW = 2: EL2, or EL2-E2H by CR2.E2H.
    El2,
}

/// One address space: the stage 1 tables of an ASID, or the stage 2 tables of a VMID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Space {
    pub kind: Kind,
    pub vmid: u16,
    pub asid: u16,
}

#[derive(Default)]
pub struct Spaces {
    streams: BTreeMap<Space, u32>,
    stage1: BTreeMap<Space, Table>,
    stage2: BTreeMap<u16, Table>,
}

/// First stream of the address spaces; lower ones are for streams written by hand.
const FIRST_STREAM: u32 = 16;

/// Where an STE lies in the linear table.
pub fn ste_at(stream: u32) -> Pa {
    STREAM_TABLE.offset(u64::from(stream) * 64)
}

/// Where a CD lies in the linear CD table of a stream.
pub fn cd_at(stream: u32, index: u32) -> Pa {
    CDS.offset(u64::from(stream) * 0x1000 + u64::from(index) * 64)
}

/// A CD that walks the table from TTB0: A and R are set.
pub fn cd(table: &Table, asid: u16) -> Cd {
    halves(Some(table), None, asid)
}

/// A CD with a table for each half that is not disabled (EPD). A and R are set.
pub fn halves(low: Option<&Table>, high: Option<&Table>, asid: u16) -> Cd {
    let half = |table: Option<&Table>| {
        let root = table.map(Table::root);
        CdTable {
            epd: root.is_none(),
            tsz: root.map_or(0, |root| 64 - root.input_bits),
            tg: root.map(|root| root.granule),
            ttb: root.map_or(0, |root| root.base),
            ..Cd::default().tables[0]
        }
    };
    let roots = [low, high].into_iter().flatten().map(Table::root);
    let has_ds = |root: TableRoot| root.format == DescriptorFormat::Ds;
    Cd {
        valid: true,
        tables: [half(low), half(high)],
        ips: 5,
        ds: roots.into_iter().any(has_ds),
        aa64: true,
        r: true,
        a: true,
        aset: true,
        asid: Asid(asid),
        mair: STAGE1_MAIR,
        ..Cd::default()
    }
}

/// A valid STE of a kind; its CD table is the stream's own.
pub fn ste(stream: u32, config: StreamConfig, vmid: u16, stage2: Option<&Table>) -> Ste {
    let stage2 = stage2.map(Table::root);
    // S2SL0 counts the levels above the lowest at which a walk starts without small tables.
    // Level -1 has a code of its own: S2SL0_2.
    let sl0 = |root: TableRoot| match root.granule {
        Granule::K4 if root.start_level < 0 => 4,
        Granule::K4 => 2 - root.start_level,
        Granule::K16 | Granule::K64 => 3 - root.start_level,
    };
    Ste {
        valid: true,
        config,
        s1_context_ptr: cd_at(stream, 0).0,
        vmid: Vmid(vmid),
        s2_t0sz: stage2.map_or(0, |root| 64 - root.input_bits),
        s2_sl0: stage2.map_or(0, sl0) as u8,
        s2_ds: stage2.is_some_and(|root| root.format == DescriptorFormat::Ds),
        s2_tg: Some(stage2.map_or(Granule::K4, |root| root.granule)),
        s2_ps: 5,
        s2_aa64: stage2.is_some(),
        s2_r: true,
        s2_ttb: stage2.map_or(0, |root| root.base),
        ..Ste::default()
    }
}

fn words(bench: &Bench, at: Pa) -> [u64; 8] {
    std::array::from_fn(|word| bench.load(at.offset(word as u64 * 8)))
}

/// Rewrites the STE of a stream in memory.
pub fn edit_ste(bench: &Bench, stream: u32, edit: impl FnOnce(&mut Ste)) {
    let mut ste = Ste::decode(&words(bench, ste_at(stream)));
    edit(&mut ste);
    bench.store(ste_at(stream), &ste.encode());
}

/// Rewrites CD 0 of a stream in memory.
pub fn edit_cd(bench: &Bench, stream: u32, edit: impl FnOnce(&mut Cd)) {
    let mut cd = Cd::decode(&words(bench, cd_at(stream, 0)));
    edit(&mut cd);
    bench.store(cd_at(stream, 0), &cd.encode());
}

impl Bench {
    /// The stream of an address space, made at its first use.
    pub fn stream_of(&mut self, space: Space) -> u32 {
        if let Some(&stream) = self.spaces.streams.get(&space) {
            return stream;
        }
        let stream = FIRST_STREAM + self.spaces.streams.len() as u32;
        self.spaces.streams.insert(space, stream);
        let stage2 = matches!(space.kind, Kind::Stage2 | Kind::Nested)
            .then(|| self.stage2_table(space.vmid));
        let config = match space.kind {
            Kind::Stage1 | Kind::El2 => StreamConfig::Stage1,
            Kind::Stage2 => StreamConfig::Stage2,
            Kind::Nested => StreamConfig::Nested,
        };
        let mut entry = ste(stream, config, space.vmid, stage2.as_ref());
        entry.strw = if space.kind == Kind::El2 { 2 } else { 0 };
        if space.kind != Kind::Stage2 {
            let table = self.new_table(Geometry::stage1(Granule::K4, 48, 48));
            self.store(cd_at(stream, 0), &cd(&table, space.asid).encode());
            self.spaces.stage1.insert(space, table);
        }
        self.store(ste_at(stream), &entry.encode());
        stream
    }

    pub fn new_table(&mut self, geometry: Geometry) -> Table {
        let board = Board(&self.memory);
        Table::new(&DirectCpu::new(&board), geometry, &mut self.pages).expect("a table")
    }

    /// The stage 2 table of a VMID. It maps the RAM to itself, so that tables can lie there.
    pub fn stage2_table(&mut self, vmid: u16) -> Table {
        if let Some(table) = self.spaces.stage2.get(&vmid) {
            return table.clone();
        }
        let table = self.new_table(Geometry::stage2(Granule::K4, 40, 48));
        self.map_in(&table, RAM.0, RAM.0, RAM_BYTES, Prot::READ_WRITE);
        self.spaces.stage2.insert(vmid, table.clone());
        table
    }

    pub fn table_of(&mut self, space: Space) -> Table {
        self.stream_of(space);
        match space.kind {
            Kind::Stage2 => self.stage2_table(space.vmid),
            _ => self.spaces.stage1[&space].clone(),
        }
    }

    pub fn map_in(&mut self, table: &Table, input: u64, output: u64, bytes: u64, prot: Prot) {
        let board = Board(&self.memory);
        let cpu = DirectCpu::new(&board);
        table.map(&cpu, &mut self.pages, input, output, bytes, prot).expect("a mapping");
    }

    pub fn map(&mut self, space: Space, input: u64, output: u64, bytes: u64, prot: Prot) {
        let table = self.table_of(space);
        self.map_in(&table, input, output, bytes, prot);
    }

    pub fn unmap(&mut self, space: Space, input: u64, bytes: u64) {
        let table = self.table_of(space);
        let board = Board(&self.memory);
        table.unmap(&DirectCpu::new(&board), input, bytes, &mut |_| {}).expect("an unmapping");
    }
}
