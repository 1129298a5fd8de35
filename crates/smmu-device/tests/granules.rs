//! Every granule, both halves, top bytes and byte orders through the whole device: the walk, the
//! entry it leaves behind, and what a TLBI drops of it. Sections "Translation tables and supported
//! granules", "Context Descriptor" and "TLB invalidation"; DDI 0487, "VMSAv8-64".

mod common;

use common::spaces::{cd_at, halves, ste, ste_at};
use common::{Bench, RAM, RAM_BYTES, Setup, output, read};
use smmu_arch::{
    Asid, Cd, Command, Granule, Iova, Pa, Path, Shareability, Ste, StreamConfig, TlbiIpa,
    TlbiRange, TlbiVa, Vmid,
};
use smmu_tables::{Geometry, Prot, Table};
use smmu_testpoint::testpoint;

const STREAM: u32 = 3;
const ASID: u16 = 7;
const VMID: u16 = 1;

/// Both ways of running transactions.
fn setups() -> [Setup; 2] {
    [false, true].map(|stepwise| Setup { stepwise, ..Setup::default() })
}

/// SMMUv3.4 with 52-bit addresses of every granule: OAS, VAX and DS of IDR5.
fn with_ds() -> [Setup; 2] {
    setups().map(|mut setup| {
        setup.ids.idr5 = setup.ids.idr5 & !7 | 6 | 1 << 7 | 1 << 10;
        setup.ids.aidr = 4;
        setup
    })
}

/// A bench whose stream has stage 1 tables for the two halves, as far as they are given, over a
/// stage 2 table, if that is given.
struct Device {
    bench: Bench,
    low: Option<Table>,
    high: Option<Table>,
    stage2: Option<Table>,
}

#[derive(Clone, Copy, Default)]
struct Shape {
    low: Option<Geometry>,
    high: Option<Geometry>,
    stage2: Option<Geometry>,
}

impl Device {
    fn new(setup: Setup, shape: Shape) -> Self {
        Self::edited(setup, shape, |_, _| ())
    }

    fn edited(setup: Setup, shape: Shape, edit: impl FnOnce(&mut Ste, &mut Cd)) -> Self {
        let mut bench = Bench::with(setup);
        let mut table = |geometry: Option<Geometry>| geometry.map(|shape| bench.new_table(shape));
        let (low, high, stage2) = (table(shape.low), table(shape.high), table(shape.stage2));
        if let Some(stage2) = &stage2 {
            bench.map_in(stage2, RAM.0, RAM.0, RAM_BYTES, Prot::READ_WRITE);
        }
        let config = match (low.is_some() || high.is_some(), stage2.is_some()) {
            (true, true) => StreamConfig::Nested,
            (true, false) => StreamConfig::Stage1,
            _ => StreamConfig::Stage2,
        };
        let mut ste = ste(STREAM, config, VMID, stage2.as_ref());
        let mut cd = halves(low.as_ref(), high.as_ref(), ASID);
        edit(&mut ste, &mut cd);
        bench.store(cd_at(STREAM, 0), &cd.encode());
        bench.store(ste_at(STREAM), &ste.encode());
        Self { bench, low, high, stage2 }
    }

    fn map(&mut self, input: u64, output: u64, bytes: u64) {
        let table = self.low.clone().or(self.stage2.clone()).expect("a table");
        self.bench.map_in(&table, input, output, bytes, Prot::READ_WRITE);
    }

    fn map_high(&mut self, input: u64, output: u64, bytes: u64) {
        let table = self.high.clone().expect("a table of TTB1");
        let inside = input & ((1 << table.root().input_bits) - 1);
        self.bench.map_in(&table, inside, output, bytes, Prot::READ_WRITE);
    }

    fn map_stage2(&mut self, ipa: u64, output: u64, bytes: u64) {
        let table = self.stage2.clone().expect("a stage 2 table");
        self.bench.map_in(&table, ipa, output, bytes, Prot::READ_WRITE);
    }

    /// The output for `iova`, and whether an entry gave it.
    #[track_caller]
    fn dma(&mut self, iova: u64) -> (u64, bool) {
        let granted = self.bench.dma(&read(STREAM, iova)).expect("the transaction is let through");
        (granted.output.0, matches!(granted.path, Path::Hit(_)))
    }

    #[track_caller]
    fn refused(&mut self, iova: u64) {
        let (name, event) = self.bench.refusal(&read(STREAM, iova));
        assert_eq!(name, "F_TRANSLATION", "{iova:#x}");
        let event = *event.expect("a record").kind.stage_event().expect("a stage fault");
        assert_eq!(event.input, Iova(iova), "InputAddr is what was presented");
    }

    fn invalidate_va(&mut self, range: TlbiRange) {
        let (vmid, asid) = (Vmid(VMID), Asid(ASID));
        self.bench.command(Command::TlbiNhVa(TlbiVa { vmid, asid, range }).encode());
    }

    fn invalidate_ipa(&mut self, range: TlbiRange) {
        self.bench.command(Command::TlbiS2Ipa(TlbiIpa { vmid: Vmid(VMID), range }).encode());
    }

    /// One leaf of `bytes` bytes at `input` is one entry: the first access walks, the last byte
    /// hits, and a TLBI by any page of it, here the last but one, makes the next access walk.
    #[track_caller]
    fn check_leaf(&mut self, input: u64, output: u64, bytes: u64, by_ipa: bool) {
        self.map(input, output, bytes);
        self.map(input + bytes, output + bytes, 0x1_0000);
        assert_eq!(self.dma(input + 8), (output + 8, false), "{bytes:#x}");
        let last = bytes - 8;
        assert_eq!(self.dma(input + last), (output + last, true), "{bytes:#x}");
        assert_eq!(self.dma(input + bytes), (output + bytes, false), "the neighbour");
        let range = TlbiRange::single(input + bytes - 0x1000, true);
        if by_ipa {
            self.invalidate_ipa(range)
        } else {
            self.invalidate_va(range)
        }
        assert_eq!(self.dma(input + bytes), (output + bytes, true), "the neighbour stays");
        assert_eq!(self.dma(input), (output, false), "{bytes:#x}");
    }
}

/// Page, group of pages, block and group of blocks, of the sheet of the granules.
const LEAVES: [(Granule, [u64; 4]); 3] = [
    (Granule::K4, [0x1000, 0x1_0000, 0x20_0000, 0x200_0000]),
    (Granule::K16, [0x4000, 0x20_0000, 0x200_0000, 0x4000_0000]),
    (Granule::K64, [0x1_0000, 0x20_0000, 0x2000_0000, 0x4_0000_0000]),
];

/// Where leaf number `index` lies: aligned to the largest, away from the RAM.
fn place(index: usize) -> u64 {
    (index as u64 + 1) << 36
}

#[test]
fn every_leaf_of_stage_1_is_one_entry_that_any_of_its_addresses_drops() {
    for (granule, sizes) in LEAVES {
        for setup in setups() {
            let low = Some(Geometry::stage1(granule, 48, 48));
            let mut device = Device::new(setup, Shape { low, ..Shape::default() });
            for (index, bytes) in sizes.into_iter().enumerate() {
                device.check_leaf(place(index), place(index + 4), bytes, false);
            }
        }
    }
    testpoint!(146, 228);
}

#[test]
fn every_leaf_of_stage_2_is_one_entry_that_any_of_its_addresses_drops() {
    for (granule, sizes) in LEAVES {
        for setup in setups() {
            let stage2 = Some(Geometry::stage2(granule, 40, 48));
            let mut device = Device::new(setup, Shape { stage2, ..Shape::default() });
            for (index, bytes) in sizes.into_iter().enumerate() {
                device.check_leaf(place(index), place(index + 4), bytes, true);
            }
        }
    }
}

/// The entry is as large as the smaller page, and TLBI by VA names the page of stage 1, whole.
#[test]
fn every_granule_over_every_other_makes_entries_of_the_smaller_page() {
    let pairs = Granule::ALL.into_iter().flat_map(|one| Granule::ALL.map(|two| (one, two)));
    for (first, second) in pairs {
        let shape = Shape {
            low: Some(Geometry { contiguous: false, ..Geometry::stage1(first, 48, 48) }),
            stage2: Some(Geometry { contiguous: false, ..Geometry::stage2(second, 40, 48) }),
            ..Shape::default()
        };
        let (page1, page2) = (1u64 << first.shift(), 1u64 << second.shift());
        let (iova, ipa, pa) = (0x12_3450_0000, 0x30_0001_0000, 0x40_0001_0000);
        let mut device = Device::new(Setup::default(), shape);
        device.map(iova, ipa, page1.max(page2));
        device.map_stage2(ipa, pa, page1.max(page2));
        assert_eq!(device.dma(iova), (pa, false), "{first} over {second}");
        let small = page1.min(page2);
        assert_eq!(device.dma(iova + small - 8), (pa + small - 8, true));
        if page1 > small {
            assert_eq!(device.dma(iova + small), (pa + small, false), "{first} over {second}");
            device.invalidate_va(TlbiRange::single(iova + page1 - 0x1000, true));
            assert_eq!(device.dma(iova + small), (pa + small, false), "all of the page is gone");
        } else {
            device.invalidate_va(TlbiRange::single(iova + small, true));
            assert_eq!(device.dma(iova), (pa, true), "another page of stage 1");
            device.invalidate_va(TlbiRange::single(iova, true));
        }
        assert_eq!(device.dma(iova), (pa, false), "{first} over {second}");
    }
}

/// TG and TTL name granule and level of the leaf. That others stay is this model's choice.
#[test]
fn ranges_and_level_hints_count_in_the_granule_that_they_name() {
    for (granule, [page, _, block, _]) in LEAVES {
        let low = Geometry { contiguous: false, ..Geometry::stage1(granule, 48, 48) };
        let shape = Shape { low: Some(low), ..Shape::default() };
        let mut device = Device::new(Setup::default(), shape);
        let (pages, blocks) = (place(0), place(1));
        device.map(pages, place(4), 8 * page);
        device.map(blocks, place(5), block);
        let cached = |device: &mut Device, index: u64| device.dma(pages + index * page).1;
        let refill = |device: &mut Device| {
            for index in 0..8 {
                device.dma(pages + index * page);
            }
            device.dma(blocks);
        };
        refill(&mut device);
        // (NUM + 1) * 2^SCALE = 6 pages, from the second on.
        device.invalidate_va(TlbiRange::granules(pages + page, granule, 2, 1, true));
        let left = [0, 1, 2, 3, 4, 5, 6, 7].map(|index| cached(&mut device, index));
        assert_eq!(left, [true, false, false, false, false, false, false, true], "{granule}");
        refill(&mut device);
        let hint = |at, level| TlbiRange::granules(at, granule, 0, 0, true).with_level(level);
        device.invalidate_va(hint(pages, 2));
        device.invalidate_va(hint(blocks, 3));
        assert!(cached(&mut device, 0) && device.dma(blocks).1, "{granule}: another level");
        device.invalidate_va(hint(pages, 3));
        device.invalidate_va(hint(blocks, 2));
        assert!(!cached(&mut device, 0) && !device.dma(blocks).1, "{granule}");
    }
    testpoint!(222);
}

/// 39 bits of 4K pages in TTB0, 42 bits of 64K pages in TTB1.
fn two_halves() -> Shape {
    Shape {
        low: Some(Geometry::stage1(Granule::K4, 39, 48)),
        high: Some(Geometry::stage1(Granule::K64, 42, 48)),
        stage2: None,
    }
}

const LOW_LAST: u64 = (1 << 39) - 0x1000;
const HIGH_FIRST: u64 = !0 << 42;
const HIGH_LAST: u64 = !0xffff;

#[test]
fn each_half_has_its_own_size_and_granule_and_the_hole_between_faults() {
    for setup in setups() {
        let mut device = Device::new(setup, two_halves());
        device.map(0, 0x10_0000_0000, 0x1000);
        device.map(LOW_LAST, 0x11_0000_0000, 0x1000);
        device.map_high(HIGH_FIRST, 0x12_0000_0000, 0x1_0000);
        device.map_high(HIGH_LAST, 0x13_0000_0000, 0x1_0000);
        for hit in [false, true] {
            assert_eq!(device.dma(0), (0x10_0000_0000, hit));
            assert_eq!(device.dma(LOW_LAST + 0xff8), (0x11_0000_0ff8, hit));
            assert_eq!(device.dma(HIGH_FIRST + 0xfff8), (0x12_0000_fff8, hit));
            assert_eq!(device.dma(!7), (0x13_0000_fff8, hit));
        }
        for outside in [1 << 39, 1 << 54, 1 << 55, HIGH_FIRST - 8, 1 << 63, !(1 << 55)] {
            device.refused(outside);
        }
        device.invalidate_va(TlbiRange::single(HIGH_LAST + 0xf000, true));
        assert_eq!(device.dma(HIGH_LAST), (0x13_0000_0000, false));
        assert!(device.dma(HIGH_FIRST).1 && device.dma(0).1 && device.dma(LOW_LAST).1);
    }
    testpoint!(141, 143);
}

/// The last range of the address space ends with it.
#[test]
fn a_range_that_reaches_beyond_the_last_address_ends_there() {
    let mut device = Device::new(Setup::default(), two_halves());
    device.map(0, 0x10_0000_0000, 0x1000);
    device.map_high(HIGH_LAST, 0x13_0000_0000, 0x1_0000);
    device.dma(0);
    device.dma(HIGH_LAST);
    device.invalidate_va(TlbiRange::granules(HIGH_LAST, Granule::K64, 31, 31, true));
    assert!(!device.dma(HIGH_LAST).1 && device.dma(0).1);
}

#[test]
fn tbi_makes_all_top_bytes_of_its_half_one_entry_and_records_keep_them() {
    for setup in setups() {
        for half in [0, 1] {
            let edit = |_: &mut Ste, cd: &mut Cd| cd.tables[half].tbi = true;
            let mut device = Device::edited(setup, two_halves(), edit);
            device.map(0x1000, 0x10_0000_0000, 0x1000);
            device.map_high(HIGH_LAST, 0x13_0000_0000, 0x1_0000);
            let (tagged, plain) = ([0x1000, HIGH_LAST][half], [0x1000, HIGH_LAST][1 - half]);
            let with_tag = |address: u64, tag: u64| address << 8 >> 8 | tag << 56;
            assert!(!device.dma(with_tag(tagged, 0xab)).1);
            assert!(device.dma(with_tag(tagged, 0x54)).1 && device.dma(tagged).1, "half {half}");
            device.refused(with_tag(plain, 0xab));
            device.refused(with_tag(tagged ^ 0x10_0000, 0xab));
            device.refused(with_tag(tagged ^ 1 << 54, 0xab));
            device.invalidate_va(TlbiRange::single(tagged, true));
            assert!(!device.dma(with_tag(tagged, 0xcd)).1, "half {half}");
        }
    }
    testpoint!(142);
}

/// STRW = 2: one table base and, with CR2.E2H, two.
#[test]
fn ttb1_exists_in_the_el2_e2h_world_and_not_in_el2() {
    for e2h in [0, 1] {
        let setup = Setup { cr2: 0b10 | e2h, ..Setup::default() };
        let mut device = Device::edited(setup, two_halves(), |ste, cd| {
            (ste.strw, cd.tables[0].tbi) = (2, true);
        });
        device.map(0x1000, 0x10_0000_0000, 0x1000);
        device.map_high(HIGH_LAST, 0x13_0000_0000, 0x1_0000);
        assert_eq!(output(device.bench.dma(&read(STREAM, 0xab00_0000_0000_1000))).0 >> 36, 1);
        if e2h == 1 {
            assert_eq!(device.dma(HIGH_LAST), (0x13_0000_0000, false));
        } else {
            device.refused(HIGH_LAST);
            device.refused(0x0080_0000_0000_1000); // VA[55] is no part of the ignored byte
        }
    }
    testpoint!(165);
}

/// IDR5.DS: 52 bits in and out with 4K and 16K pages, of either stage and of both.
#[test]
fn addresses_of_52_bits_go_in_and_out_with_ds() {
    for (granule, block) in [(Granule::K4, 1 << 39), (Granule::K16, 1 << 36)] {
        for setup in with_ds() {
            let shape = Shape {
                low: Some(Geometry::stage1(granule, 52, 52)),
                high: Some(Geometry::stage1(granule, 52, 52)),
                stage2: None,
            };
            let mut device = Device::edited(setup, shape, |_, cd| cd.ips = 6);
            let page = 1u64 << granule.shift();
            let (low, high) = ((1 << 52) - page, !0u64 << 52);
            device.map(low, 0xf_0001_0000_0000, page);
            device.map_high(high, 0x8_0002_0000_0000, page);
            device.map(1 << 48, 1 << 50, block);
            for hit in [false, true] {
                assert_eq!(device.dma(low + 8), (0xf_0001_0000_0008, hit));
                assert_eq!(device.dma(high + 8), (0x8_0002_0000_0008, hit));
                assert_eq!(device.dma((1 << 48) + block / 2), ((1 << 50) + block / 2, hit));
            }
            device.refused(1 << 52);
            device.refused(high - 8);
            device.invalidate_va(TlbiRange::single((1 << 48) + block - page, true));
            assert!(!device.dma(1 << 48).1 && device.dma(low).1);
        }
    }
}

#[test]
fn stage_2_with_s2ds_takes_and_gives_52_bits() {
    for granule in [Granule::K4, Granule::K16] {
        let concatenated = Geometry::stage2(granule, 52, 52);
        // One level above: level -1 with 4K, for which S2SL0_2 stands.
        let single = Geometry { start_level: granule.stage1_start_level(52), ..concatenated };
        for stage2 in [concatenated, single] {
            for setup in with_ds() {
                let shape = Shape { low: None, high: None, stage2: Some(stage2) };
                let mut device = Device::edited(setup, shape, |ste, _| ste.s2_ps = 6);
                let page = 1u64 << granule.shift();
                let last = (1 << 52) - page;
                device.map(last, 0xf_0001_0000_0000, page);
                assert_eq!(device.dma(last + 8), (0xf_0001_0000_0008, false));
            }
        }
    }
}

/// A leaf of DS has no shareability: its bits are of the address.
#[test]
fn with_ds_the_cd_says_how_leaves_are_shared() {
    for sh in [0, 2, 3] {
        for setup in with_ds() {
            let low = Some(Geometry::stage1(Granule::K4, 48, 52));
            let shape = Shape { low, high: None, stage2: None };
            let mut device = Device::edited(setup, shape, |_, cd| {
                cd.ips = 6;
                cd.tables[0].sh = sh;
            });
            device.map(0x1000, 0xf_0001_0000_0000, 0x1000);
            let granted = device.bench.dma(&read(STREAM, 0x1000)).expect("mapped");
            assert_eq!(granted.output, Pa(0xf_0001_0000_0000));
            assert_eq!(granted.attributes.shareability, Shareability::from_sh(sh));
        }
    }
}

#[test]
fn with_s2ds_the_ste_says_how_leaves_are_shared() {
    for sh in [0, 2, 3] {
        for setup in with_ds() {
            let stage2 = Some(Geometry::stage2(Granule::K4, 52, 52));
            let shape = Shape { low: None, high: None, stage2 };
            let mut device =
                Device::edited(setup, shape, |ste, _| (ste.s2_ps, ste.s2_sh0) = (6, sh));
            device.map(0x1000, 0xf_0001_0000_0000, 0x1000);
            let granted = device.bench.dma(&read(STREAM, 0x1000)).expect("mapped");
            assert_eq!(granted.attributes.shareability, Shareability::from_sh(sh));
        }
    }
}

/// One CD.DS for both halves: a half of 64K pages has the format of its own.
#[test]
fn a_half_of_64k_pages_has_no_part_in_ds() {
    for setup in with_ds() {
        let low = Some(Geometry::stage1(Granule::K4, 52, 52));
        let high = Some(Geometry::stage1(Granule::K64, 52, 52));
        let mut device =
            Device::edited(setup, Shape { low, high, stage2: None }, |_, cd| cd.ips = 6);
        device.map(0x1000, 0xd_0001_0000_0000, 0x1000);
        device.map_high(!0 << 52, 0xd_0002_0000_0000, 0x1_0000);
        assert_eq!(device.dma(0x1008), (0xd_0001_0000_0008, false));
        assert_eq!(device.dma(!0 << 52 | 8), (0xd_0002_0000_0008, false));
    }
}

/// An output above IPS is F_ADDR_SIZE with DS as well.
#[test]
fn with_ds_an_output_beyond_ips_is_an_address_size_fault() {
    for setup in with_ds() {
        let low = Some(Geometry::stage1(Granule::K4, 48, 52));
        let shape = Shape { low, high: None, stage2: None };
        let mut device = Device::edited(setup, shape, |_, cd| cd.ips = 5);
        device.map(0x1000, 1 << 50, 0x1000);
        let (name, _) = device.bench.refusal(&read(STREAM, 0x1000));
        assert_eq!(name, "F_ADDR_SIZE");
    }
}

/// CD.DS and STE.S2DS have no meaning without IDR5.DS.
#[test]
fn without_the_feature_ds_changes_nothing() {
    for setup in setups() {
        let low = Some(Geometry::stage1(Granule::K4, 48, 48));
        let shape = Shape { low, high: None, stage2: None };
        let mut device = Device::edited(setup, shape, |_, cd| cd.ds = true);
        device.map(0x1000, 0x8000, 0x1000);
        assert_eq!(device.dma(0x1008), (0x8008, false));
        let stage2 = Some(Geometry::stage2(Granule::K4, 40, 48));
        let shape = Shape { low: None, high: None, stage2 };
        let mut device = Device::edited(setup, shape, |ste, _| {
            (ste.s2_ds, ste.s2_sl0) = (true, ste.s2_sl0 | 4);
        });
        device.map(0x1000, 0x8000, 0x1000);
        assert_eq!(device.dma(0x1008), (0x8008, false));
    }
}

/// IDR5.OAS = 6 and VAX: 52 bits in and out, with 64K pages alone.
#[test]
fn addresses_of_52_bits_go_in_and_out_with_64k_pages() {
    for mut setup in setups() {
        setup.ids.idr5 = setup.ids.idr5 & !7 | 6 | 1 << 10;
        let shape = Shape {
            low: Some(Geometry::stage1(Granule::K64, 52, 52)),
            high: Some(Geometry::stage1(Granule::K64, 52, 52)),
            stage2: None,
        };
        let mut device = Device::edited(setup, shape, |_, cd| cd.ips = 6);
        let (low, high) = ((1 << 52) - 0x1_0000, !0u64 << 52);
        device.map(low, 0xf_0001_0000_0000, 0x1_0000);
        device.map_high(high, 0x8_0002_0000_0000, 0x1_0000);
        device.map(1 << 48, 1 << 50, 1 << 42); // a block of level 1
        for hit in [false, true] {
            assert_eq!(device.dma(low + 0xfff8), (0xf_0001_0000_fff8, hit));
            assert_eq!(device.dma(high + 8), (0x8_0002_0000_0008, hit));
            assert_eq!(device.dma((1 << 48) + (1 << 41) + 8), ((1 << 50) + (1 << 41) + 8, hit));
        }
        device.refused(1 << 52);
        device.refused(high - 8);
        device.invalidate_va(TlbiRange::single(high + 0xf000, true));
        assert!(!device.dma(high).1 && device.dma(low).1);
    }
}

/// CD.ENDI and STE.S2ENDI each swap the tables of their own stage, and nothing else.
#[test]
fn each_stage_reads_its_tables_in_its_own_byte_order() {
    for (first, second) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut setup = Setup::default();
        setup.ids.idr0 &= !(3 << 21); // TTENDIAN = 0: both orders
        let shape = Shape {
            low: Some(Geometry { big_endian: first, ..Geometry::stage1(Granule::K16, 36, 48) }),
            stage2: Some(Geometry { big_endian: second, ..Geometry::stage2(Granule::K4, 40, 48) }),
            high: None,
        };
        let mut device = Device::edited(setup, shape, |ste, cd| {
            (ste.s2_endi, cd.endi) = (second, first);
        });
        device.map(0x4000, 0x30_0000_0000, 0x4000);
        device.map_stage2(0x30_0000_0000, 0x40_0000_0000, 0x4000);
        for hit in [false, true] {
            assert_eq!(device.dma(0x4008), (0x40_0000_0008, hit), "{first} over {second}");
        }
        // The same tables, read in the other order, are no tables.
        let endi = halves(device.low.as_ref(), None, ASID);
        device.bench.store(cd_at(STREAM, 0), &Cd { endi: !first, ..endi }.encode());
        device.bench.command([0x05 | u64::from(STREAM) << 32, 1]);
        device.invalidate_va(TlbiRange::single(0x4000, true));
        assert!(device.bench.dma(&read(STREAM, 0x4008)).is_err(), "{first} over {second}");
    }
    testpoint!(163);
}

/// A big-endian table written out by hand: a table of level 2, a page of level 3.
#[test]
fn a_pinned_big_endian_table() {
    let mut setup = Setup::default();
    setup.ids.idr0 &= !(3 << 21);
    let low = Some(Geometry::stage1(Granule::K4, 30, 48));
    let shape = Shape { low, ..Shape::default() };
    let mut device = Device::edited(setup, shape, |_, cd| cd.endi = true);
    let root = Pa(device.low.as_ref().expect("a table").root().base);
    let level3 = RAM.offset(0x200_0000);
    device.bench.store(root.offset(9 * 8), &[0x0300_0082_0000_0000]); // 0x8200_0003
    device.bench.store(level3.offset(0xab * 8), &[0x4304_3412_0000_0000]); // 0x1234_0443
    assert_eq!(device.dma(0x12a_b123), (0x1234_0123, false));
    testpoint!(163);
}

/// A table of two entries has 16 bytes and lies at 16: unless outputs may have 52 bits, where every
/// table is aligned to 64 bytes at least, and lower bits count as 0.
#[test]
fn a_small_table_is_aligned_to_64_bytes_where_outputs_may_have_52_bits() {
    let low = Some(Geometry::stage1(Granule::K64, 43, 48));
    let stage2 = Some(Geometry { start_level: 1, ..Geometry::stage2(Granule::K64, 43, 48) });
    for shape in [Shape { low, ..Shape::default() }, Shape { stage2, ..Shape::default() }] {
        for oas in [5, 6] {
            let mut setup = Setup::default();
            setup.ids.idr5 = setup.ids.idr5 & !7 | oas;
            let edit = |ste: &mut Ste, cd: &mut Cd| {
                (ste.s2_ttb, cd.tables[0].ttb) = (ste.s2_ttb | 0x30, cd.tables[0].ttb | 0x30);
            };
            let mut device = Device::edited(setup, shape, edit);
            device.map(0x30_0000_0000, 0x40_0000_0000, 0x1_0000);
            if oas == 6 {
                assert_eq!(device.dma(0x30_0000_0000), (0x40_0000_0000, false));
            } else {
                device.refused(0x30_0000_0000);
            }
        }
    }
}
