//! Context Descriptor: the stage 1 translation of one substream.
//!
//! Architecture: section "Context Descriptor" (IHI 0070). Eight little-endian words are decoded
//! once into [`Cd`]; fields that this model does not use are in [`CdWords`] only.

mod effective;
mod layout;
mod legality;

pub use layout::CdWords;
pub use legality::IllegalCd;

use crate::address_size::{PA_MASK, stage_output_bits};
use crate::{Asid, DescriptorFormat, Features, Granule, MemoryType, StreamWorld};

/// The half of a CD that belongs to one table base.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CdTable {
    /// TxSZ, 0 to 63: 64 - input bits.
    pub tsz: u8,
    /// TGx; `None` is the reserved encoding.
    pub tg: Option<Granule>,
    /// TTBx bits 51:4.
    pub ttb: u64,
    /// EPDx as written; [`Cd::table`] tells whether the half is in use.
    pub epd: bool,
    /// HADx: hierarchical attributes are ignored.
    pub had: bool,
    /// E0PDx: unprivileged accesses fault.
    pub e0pd: bool,
    /// TBIx: the top byte of the address is ignored.
    pub tbi: bool,
    /// IRx, 0 to 3: inner cacheability of walks.
    pub ir: u8,
    /// ORx, 0 to 3: outer cacheability of walks.
    pub or: u8,
    /// SHx, 0 to 3: shareability of walks.
    pub sh: u8,
}

impl CdTable {
    /// Input bits of the half: 64 - TxSZ.
    #[must_use]
    pub const fn input_bits(&self) -> u32 {
        64u32.saturating_sub(self.tsz as u32)
    }
}

/// A decoded CD. The names are the architecture's. Default is the CD of all zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cd {
    /// V; an invalid CD gives C_BAD_CD.
    pub valid: bool,
    /// TTB0 and TTB1 with their fields; the second is used by worlds with two table bases only.
    pub tables: [CdTable; 2],
    /// ENDI: tables are big-endian.
    pub endi: bool,
    /// IPS, 0 to 7: output size code.
    pub ips: u8,
    /// AFFD: no Access flag faults; has no effect with HA.
    pub affd: bool,
    /// WXN: writable implies execute-never.
    pub wxn: bool,
    /// PAN: privileged data accesses to user-accessible pages fault.
    pub pan: bool,
    /// EPAN: PAN also covers user-executable pages; needs IDR3.EPAN.
    pub epan: bool,
    /// AA64: VMSAv8-64 tables.
    pub aa64: bool,
    /// DS: 4K and 16K tables have 52-bit addresses; needs IDR5.DS.
    pub ds: bool,
    /// HA: hardware update of the Access flag.
    pub ha: bool,
    /// HD: hardware update of dirty state; counts only together with HA.
    pub hd: bool,
    /// S: faults stall.
    pub s: bool,
    /// R: faults that terminate are recorded.
    pub r: bool,
    /// A: transactions that terminate abort; otherwise they are RAZ/WI.
    pub a: bool,
    /// ASET: the ASID is private to the SMMU.
    pub aset: bool,
    /// ASID.
    pub asid: Asid,
    /// MAIR1 and MAIR0: byte n is memory attribute n.
    pub mair: u64,
}

impl Default for Cd {
    fn default() -> Self {
        Self::decode(&[0; 8])
    }
}

impl Cd {
    /// Bytes of a CD in memory.
    pub const BYTES: u64 = 64;

    /// The CD of an AArch64 address space with one table, that of the lower half of its addresses, in
    /// pages of 4 KiB: 2^`input_bits` bytes of input, 48 bits of output, faults recorded and aborted,
    /// and memory attribute 0 Normal write-back. All else is 0.
    #[must_use]
    pub fn lower_half(input_bits: u8, ttb: u64, asid: Asid) -> Self {
        let [low, high] = Self::default().tables;
        let tg = Some(Granule::K4);
        Self {
            valid: true,
            tables: [
                CdTable { tsz: 64 - input_bits, tg, ttb, ..low },
                CdTable { epd: true, ..high },
            ],
            ips: 5,
            aa64: true,
            r: true,
            a: true,
            asid,
            mair: 0xff,
            ..Self::default()
        }
    }

    /// Decodes eight little-endian words. Never fails: reserved encodings are kept for
    /// [`Cd::check`]. Address bits 55:52 are RES0.
    #[must_use]
    pub fn decode(words: &[u64; 8]) -> Self {
        let w = CdWords::from_words(words);
        Self {
            valid: w.v(),
            tables: [decode_table0(&w), decode_table1(&w)],
            endi: w.endi(),
            ips: w.ips(),
            affd: w.affd(),
            wxn: w.wxn(),
            pan: w.pan(),
            epan: w.epan(),
            aa64: w.aa64(),
            ds: w.ds(),
            ha: w.ha(),
            hd: w.hd(),
            s: w.s(),
            r: w.r(),
            a: w.a(),
            aset: w.aset(),
            asid: Asid(w.asid()),
            mair: u64::from(w.mair1()) << 32 | u64::from(w.mair0()),
        }
    }

    /// Encodes the CD into eight little-endian words. Fields that the struct does not hold are 0;
    /// bits that do not fit their field are dropped.
    #[must_use]
    pub fn encode(&self) -> [u64; 8] {
        let words = CdWords::new()
            .with_v(self.valid)
            .with_endi(self.endi)
            .with_ips(self.ips & 7)
            .with_affd(self.affd)
            .with_wxn(self.wxn)
            .with_pan(self.pan)
            .with_epan(self.epan)
            .with_aa64(self.aa64)
            .with_ds(self.ds)
            .with_ha(self.ha)
            .with_hd(self.hd)
            .with_s(self.s)
            .with_r(self.r)
            .with_a(self.a)
            .with_aset(self.aset)
            .with_asid(self.asid.0)
            .with_mair0(self.mair as u32)
            .with_mair1((self.mair >> 32) as u32);
        let [table0, table1] = &self.tables;
        encode_table1(encode_table0(words, table0), table1).into_words()
    }

    /// The half that translates addresses of TTB0 (`half` 0) or TTB1 (1), or `None` where it is
    /// disabled: EPDx is 1, or the world has no TTB1. EPD0 counts as 0 in the EL2 world.
    #[must_use]
    pub fn table(&self, half: usize, world: StreamWorld) -> Option<&CdTable> {
        let table = self.tables.get(half)?;
        let enabled = if world.has_ttb1() { !table.epd } else { half == 0 };
        enabled.then_some(table)
    }

    /// The format of the descriptors of `table`.
    #[must_use]
    pub fn descriptor_format(&self, table: &CdTable, features: &Features) -> DescriptorFormat {
        let granule = table.tg.unwrap_or(Granule::K4);
        DescriptorFormat::of(granule, self.ds && features.ds, features.oas_bits >= 52)
    }

    /// Effective output bits of walks through `table`: the smaller of IPS and OAS, at most 48 with
    /// the 4K and 16K granules unless DS counts. LPAE tables have 40 bits.
    #[must_use]
    pub fn output_bits(&self, table: &CdTable, features: &Features) -> u8 {
        stage_output_bits(self.aa64, table.tg, self.ds && features.ds, self.ips, features)
    }

    /// Memory type of the attribute index of a descriptor, 0 to 7; higher bits are ignored.
    #[must_use]
    pub const fn memory_type(&self, index: u8) -> MemoryType {
        MemoryType((self.mair >> (8 * (index & 7))) as u8)
    }
}

fn decode_table0(w: &CdWords) -> CdTable {
    CdTable {
        tsz: w.t0sz(),
        tg: Granule::from_tg0(w.tg0()),
        ttb: w.ttb0() << 4 & PA_MASK,
        epd: w.epd0(),
        had: w.had0(),
        e0pd: w.e0pd0(),
        tbi: w.tbi0(),
        ir: w.ir0(),
        or: w.or0(),
        sh: w.sh0(),
    }
}

fn decode_table1(w: &CdWords) -> CdTable {
    CdTable {
        tsz: w.t1sz(),
        tg: Granule::from_tg1(w.tg1()),
        ttb: w.ttb1() << 4 & PA_MASK,
        epd: w.epd1(),
        had: w.had1(),
        e0pd: w.e0pd1(),
        tbi: w.tbi1(),
        ir: w.ir1(),
        or: w.or1(),
        sh: w.sh1(),
    }
}

fn encode_table0(words: CdWords, table: &CdTable) -> CdWords {
    words
        .with_t0sz(table.tsz & 63)
        .with_tg0(table.tg.map_or(3, Granule::to_tg0))
        .with_ttb0((table.ttb & PA_MASK) >> 4)
        .with_epd0(table.epd)
        .with_had0(table.had)
        .with_e0pd0(table.e0pd)
        .with_tbi0(table.tbi)
        .with_ir0(table.ir & 3)
        .with_or0(table.or & 3)
        .with_sh0(table.sh & 3)
}

fn encode_table1(words: CdWords, table: &CdTable) -> CdWords {
    words
        .with_t1sz(table.tsz & 63)
        .with_tg1(table.tg.map_or(0, Granule::to_tg1))
        .with_ttb1((table.ttb & PA_MASK) >> 4)
        .with_epd1(table.epd)
        .with_had1(table.had)
        .with_e0pd1(table.e0pd)
        .with_tbi1(table.tbi)
        .with_ir1(table.ir & 3)
        .with_or1(table.or & 3)
        .with_sh1(table.sh & 3)
}
