//! Test points of `spec/testpoints.toml` that no other file has a place for. The number of each is
//! in its comment.

mod common;

use common::spaces::{cd_at, edit_cd, edit_ste, ste_at};
use common::{Bench, COMMANDS, Kind, MSI, STREAM_TABLE, Setup, Space, at, attributes, output};
use common::{read, with_substream, write};
use smmu_arch::{Attributes, IdRegisters, MemoryType, Pa, Shareability, SubstreamId};
use smmu_tables::Prot;
use smmu_testpoint::testpoint;

const NSNH_ALL: [u64; 2] = [0x30, 0];
const FLAT: Space = Space { kind: Kind::Stage1, vmid: 1, asid: 7 };
const NESTED: Space = Space { kind: Kind::Nested, vmid: 1, asid: 7 };
const STAGE2: Space = Space { kind: Kind::Stage2, vmid: 1, asid: 0 };

fn words(bench: &Bench, at: Pa) -> [u64; 8] {
    std::array::from_fn(|word| bench.load(at.offset(word as u64 * 8)))
}

/// A stream that maps 0x1000 to 0xb000.
fn flat() -> (Bench, u32) {
    let mut bench = Bench::new();
    bench.map(FLAT, 0x1000, 0xb000, 0x1000, Prot::READ_WRITE);
    let stream = bench.stream_of(FLAT);
    (bench, stream)
}

fn cfgi_ste(stream: u32) -> [u64; 2] {
    [0x03 | u64::from(stream) << 32, 1]
}

fn cfgi_cd(stream: u32) -> [u64; 2] {
    [0x05 | u64::from(stream) << 32, 1]
}

/// Point 15: IDR1.CMDQS = 2, LOG2SIZE = 6. The queue has four entries.
#[test]
fn a_command_queue_is_no_larger_than_idr1_says() {
    let mut setup = Setup::default();
    setup.ids.idr1 = setup.ids.idr1 & !(0x1f << 21) | 2 << 21;
    let mut bench = Bench::with(setup);
    bench.store(COMMANDS, &[0x30, 0, 0x30, 0, 0x30, 0, 0x30, 0, 0xff, 0]);
    bench.write(at::CMDQ_PROD, 4);
    bench.pump();
    assert_eq!((bench.read(at::CMDQ_CONS), bench.command_error()), (4, None));
    bench.write(at::CMDQ_PROD, 5); // entry 0 once more, and not the fifth
    bench.pump();
    assert_eq!((bench.read(at::CMDQ_CONS), bench.command_error()), (5, None));
    testpoint!(15);
}

/// Point 17.
#[test]
fn a_command_queue_is_aligned_to_its_size() {
    let mut bench = Bench::after_reset(Setup::default());
    bench.write64(at::CMDQ_BASE, COMMANDS.0 | 0x3e0 | 6); // 64 entries of 16 bytes
    bench.write(at::CR0, common::CMDQEN);
    bench.command(NSNH_ALL);
    testpoint!(17);
}

/// Point 38.
#[test]
fn moving_prod_back_to_cons_takes_a_bad_command_out() {
    let mut bench = Bench::new();
    bench.issue([0xff, 0]);
    bench.pump();
    bench.write(at::CMDQ_PROD, 0);
    bench.write(at::GERRORN, 1);
    bench.pump();
    assert_eq!((bench.command_error(), bench.read(at::CMDQ_CONS) & 0xf_ffff), (None, 0));
    testpoint!(38);
}

/// Points 13 and 41.
#[test]
fn gerror_is_read_only_and_acknowledging_nothing_changes_nothing() {
    let bench = Bench::new();
    bench.write(at::GERROR, u32::MAX);
    bench.write(at::GERRORN, bench.read(at::GERROR));
    assert_eq!((bench.read(at::GERROR), bench.read(at::GERRORN)), (0, 0));
    testpoint!(13, 41);
}

/// Point 42.
#[test]
fn cfgi_of_a_stream_beyond_sidsize_is_legal() {
    let mut bench = Bench::new();
    bench.command(cfgi_ste(u32::MAX));
    testpoint!(42);
}

/// Point 48.
#[test]
fn sig_none_gives_no_signal() {
    let mut bench = Bench::new();
    bench.issue([0x46 | 7 << 32, MSI.0]);
    bench.pump();
    assert_eq!((bench.load(MSI), bench.pulses.lines.len(), bench.pulses.events), (0, 0, 0));
    testpoint!(48);
}

/// Point 72.
#[test]
fn the_stream_table_is_no_larger_than_sidsize() {
    let mut setup = Setup { strtab_cfg: 12, ..Setup::default() };
    setup.ids.idr1 = setup.ids.idr1 & !0x3f | 6;
    let mut bench = Bench::with(setup);
    bench.store(STREAM_TABLE.offset(63 * 64), &[1 | 4 << 1]);
    bench.store(STREAM_TABLE.offset(64 * 64), &[1 | 4 << 1]);
    assert_eq!(output(bench.dma(&read(63, 0x40))), Pa(0x40));
    assert_eq!(bench.refusal(&read(64, 0x40)).0, "C_BAD_STREAMID");
    testpoint!(72);
}

/// Point 87: MTCFG, MemAttr 5 and SHCFG 3 of a bypassed stream, where they can be overridden.
#[test]
fn a_bypassed_stream_has_the_attributes_of_its_ste() {
    let normal_nc = Attributes { memory: MemoryType::NORMAL_NC, shareability: Shareability::Outer };
    for (ovr, expected) in [(1, normal_nc), (0, Attributes::DEFAULT)] {
        let mut setup = Setup::default();
        setup.ids.idr1 = setup.ids.idr1 & !(1 << 27) | ovr << 27;
        let mut bench = Bench::with(setup);
        bench.store(ste_at(1), &[1 | 4 << 1, 5 << 32 | 1 << 36 | 3 << 44]);
        let granted = bench.dma(&read(1, 0x1234));
        assert_eq!((output(granted), attributes(granted)), (Pa(0x1234), expected));
    }
    testpoint!(87);
}

/// Points 92 and 93: STRW counts in stage-1-only streams of an SMMU with EL2 worlds alone.
#[test]
fn strw_is_looked_at_where_it_means_something() {
    let (mut bench, stream) = flat();
    edit_ste(&bench, stream, |ste| ste.strw = 1);
    assert_eq!(bench.refusal(&read(stream, 0x1000)).0, "C_BAD_STE");
    let mut setup = Setup::default();
    setup.ids.idr0 &= !(1 << 9); // HYP
    let mut bench = Bench::with(setup);
    bench.map(FLAT, 0x1000, 0xb000, 0x1000, Prot::READ);
    let stream = bench.stream_of(FLAT);
    edit_ste(&bench, stream, |ste| ste.strw = 2);
    let granted = bench.dma(&read(stream, 0x1000)).expect("EL1");
    assert_eq!(granted.space.map(|space| space.asid.0), Some(7), "an ASID: no EL2");
    testpoint!(92, 93);
}

/// Points 90, 91, 94 to 111 and 129 to 135 at the device: an illegal structure is its own event,
/// recorded whatever CD.R says (138) and CR2.RECINVSID (278).
#[test]
fn an_illegal_structure_is_recorded_whatever_the_fault_policy() {
    let mut bench = Bench::with(Setup { cr2: 0, ..Setup::default() });
    bench.map(FLAT, 0x1000, 0xb000, 0x1000, Prot::READ);
    let stream = bench.stream_of(FLAT);
    edit_cd(&bench, stream, |cd| (cd.r, cd.tables[0].tg) = (false, None));
    let (name, event) = bench.refusal(&read(stream, 0x1000));
    assert_eq!((name.as_str(), event.map(|event| event.name())), ("C_BAD_CD", Some("C_BAD_CD")));
    edit_ste(&bench, stream, |ste| ste.valid = false);
    bench.command(cfgi_ste(stream));
    let (name, event) = bench.refusal(&read(stream, 0x1000));
    assert_eq!((name.as_str(), event.map(|event| event.name())), ("C_BAD_STE", Some("C_BAD_STE")));
    testpoint!(138, 278);
}

/// Points 276 and 277: STE before SubstreamID before CD.
#[test]
fn configuration_errors_come_in_their_order() {
    let (mut bench, stream) = flat();
    edit_ste(&bench, stream, |ste| ste.s1_cd_max = 2);
    edit_cd(&bench, stream, |cd| cd.valid = false);
    let beyond = with_substream(read(stream, 0x1000), 4);
    assert_eq!(bench.refusal(&beyond).0, "C_BAD_SUBSTREAMID");
    edit_ste(&bench, stream, |ste| ste.strw = 3);
    bench.command(cfgi_ste(stream));
    assert_eq!(bench.refusal(&beyond).0, "C_BAD_STE");
    testpoint!(276, 277);
}

/// Points 140 and 280: an IPS above the OAS is the OAS.
#[test]
fn ips_above_the_oas_counts_as_the_oas() {
    let mut setup = Setup::default();
    setup.ids.idr5 = IdRegisters::REFERENCE.idr5 & !7 | 4; // 44 bits
    let mut bench = Bench::with(setup);
    bench.map(FLAT, 0x1000, 1 << 45, 0x1000, Prot::READ);
    bench.map(FLAT, 0x2000, 1 << 43, 0x1000, Prot::READ);
    let stream = bench.stream_of(FLAT);
    edit_cd(&bench, stream, |cd| cd.ips = 6);
    assert_eq!(bench.refusal(&read(stream, 0x1000)).0, "F_ADDR_SIZE");
    assert_eq!(output(bench.dma(&read(stream, 0x2000))), Pa(1 << 43));
    edit_cd(&bench, stream, |cd| cd.tables[0].ttb |= 1 << 44);
    bench.command(cfgi_cd(stream));
    assert_eq!(bench.refusal(&read(stream, 0x2000)).0, "C_BAD_CD");
    testpoint!(140, 233, 234, 280);
}

/// Points 225 and 226.
#[test]
fn streams_share_entries_by_their_tags_alone() {
    let (mut bench, stream) = flat();
    let twin = 4;
    bench.store(ste_at(twin), &words(&bench, ste_at(stream)));
    let hit = |granted: smmu_device::TranslationOutcome| {
        matches!(granted.expect("granted").path, smmu_arch::Path::Hit(_))
    };
    assert!(!hit(bench.dma(&read(stream, 0x1000))));
    assert!(hit(bench.dma(&read(twin, 0x1000))), "same VMID, same ASID");
    edit_ste(&bench, twin, |ste| ste.vmid.0 = 2);
    bench.command(cfgi_ste(twin));
    assert!(!hit(bench.dma(&read(twin, 0x1000))), "another VMID");
    bench.command([0x12 | 1 << 32 | 7 << 48, 0x1000]);
    assert!(!hit(bench.dma(&read(stream, 0x1000))));
    assert!(hit(bench.dma(&read(twin, 0x1000))));
    testpoint!(225, 226);
}

/// Point 229: no table is cached, so a TLBI of the leaf is enough; Leaf = 0 is, anyway.
#[test]
fn a_changed_table_pointer_is_followed_after_a_tlbi() {
    let (mut bench, stream) = flat();
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0xb000));
    let other = Space { asid: 8, ..FLAT };
    bench.map(other, 0x1000, 0xc000, 0x1000, Prot::READ);
    let (root, new) = (bench.table_of(FLAT).root().base, bench.table_of(other).root().base);
    bench.store(Pa(root), &[bench.load(Pa(new))]);
    bench.command([0x12 | 1 << 32 | 7 << 48, 0x1000]);
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0xc000));
    testpoint!(229);
}

/// Points 230 and 275. Without a TLBI the model walks again, as it may.
#[test]
fn a_permission_or_an_access_flag_that_is_granted_is_seen() {
    let (mut bench, stream) = flat();
    bench.map(FLAT, 0x2000, 0xc000, 0x1000, Prot::READ);
    let leaf = (common::RAM.0..common::RAM.0 + common::RAM_BYTES)
        .step_by(8)
        .map(Pa)
        .find(|&pa| bench.load(pa) & 0xf_ffff_f003 == 0xc003)
        .expect("a leaf");
    bench.store(leaf, &[bench.load(leaf) & !(1 << 10)]);
    assert_eq!(bench.refusal(&read(stream, 0x2000)).0, "F_ACCESS");
    bench.store(leaf, &[bench.load(leaf) | 1 << 10]);
    assert_eq!(output(bench.dma(&read(stream, 0x2000))), Pa(0xc000));
    assert_eq!(bench.refusal(&write(stream, 0x2000)).0, "F_PERMISSION");
    bench.store(leaf, &[bench.load(leaf) & !(1 << 7)]);
    bench.command([0x12 | 1 << 32 | 7 << 48, 0x2000]);
    assert_eq!(output(bench.dma(&write(stream, 0x2000))), Pa(0xc000));
    testpoint!(230, 275);
}

/// Points 238 and 239: from bypass to stage 1 without a break, and a break by V = 0.
#[test]
fn a_stream_changes_without_a_break_if_one_word_decides() {
    let (mut bench, stream) = flat();
    let target = words(&bench, ste_at(stream));
    let bypass = (target[0] & !0xf) | 1 | 4 << 1; // the words of stage 1 are there already
    bench.store(ste_at(stream), &[bypass]);
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0x1000));
    bench.store(ste_at(stream), &[target[0]]);
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0x1000), "cached, or not");
    bench.command(cfgi_ste(stream));
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0xb000));
    bench.store(ste_at(stream), &[0]);
    bench.command(cfgi_ste(stream));
    assert_eq!(bench.refusal(&read(stream, 0x1000)).0, "C_BAD_STE");
    testpoint!(238, 239);
}

/// Point 218: the combined entry goes by NH_ALL.
#[test]
fn a_changed_stage_2_is_seen_by_nested_streams_after_both_tlbis() {
    let mut bench = Bench::new();
    bench.map(STAGE2, 0x9000_1000, 0xb000, 0x1000, Prot::READ);
    bench.map(NESTED, 0x1000, 0x9000_1000, 0x1000, Prot::READ);
    let stream = bench.stream_of(NESTED);
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0xb000));
    bench.unmap(STAGE2, 0x9000_1000, 0x1000);
    bench.map(STAGE2, 0x9000_1000, 0xc000, 0x1000, Prot::READ);
    bench.issue([0x2a | 1 << 32, 0x9000_1000]);
    bench.command([0x10 | 1 << 32, 0]);
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0xc000));
    testpoint!(218);
}

/// Point 279.
#[test]
fn an_ipa_beyond_stage_2_is_a_translation_fault_of_the_final_ipa() {
    let mut bench = Bench::new();
    bench.map(NESTED, 0x1000, 1 << 40, 0x1000, Prot::READ);
    let stream = bench.stream_of(NESTED);
    let (name, event) = bench.refusal(&read(stream, 0x1000));
    let event = *event.expect("a record").kind.stage_event().expect("a stage fault");
    assert_eq!((name.as_str(), event.ipa.0), ("F_TRANSLATION", 1 << 40));
    assert_eq!(event.class.to_string(), "IN");
    testpoint!(168, 279);
}

/// Points 282 and 198: like records are never merged, whatever STE.MEV says.
#[test]
fn like_records_are_not_merged() {
    for mev in [false, true] {
        let (mut bench, stream) = flat();
        edit_ste(&bench, stream, |ste| ste.mev = mev);
        let _ = (bench.dma(&read(stream, 0x9000)), bench.dma(&read(stream, 0x9000)));
        assert!(bench.event().is_some() && bench.event().is_some() && bench.event().is_none());
    }
    testpoint!(198, 282);
}

/// Points 123 to 125: SubstreamIDs 1, 65 and 1025.
#[test]
fn substreams_find_their_cds_in_every_format() {
    for (format, ssid, level1) in [(0u64, 1u32, None), (1, 65, Some(8)), (2, 1025, Some(8))] {
        let (mut bench, stream) = flat();
        let cd = words(&bench, cd_at(stream, 0));
        let (table, leaf) = (common::CDS.offset(0x20_0000), common::CDS.offset(0x21_0000));
        edit_ste(&bench, stream, |ste| {
            (ste.s1_cd_max, ste.s1_context_ptr) = (11, table.0);
            ste.s1_fmt = [
                smmu_arch::CdFormat::Linear,
                smmu_arch::CdFormat::Leaf4K,
                smmu_arch::CdFormat::Leaf64K,
            ][format as usize];
        });
        match level1 {
            None => bench.store(table.offset(64), &cd),
            Some(offset) => {
                bench.store(table.offset(offset), &[leaf.0 | 1]);
                bench.store(leaf.offset(64), &cd);
            }
        }
        let transaction =
            smmu_arch::Transaction { substream: Some(SubstreamId(ssid)), ..read(stream, 0x1000) };
        assert_eq!(output(bench.dma(&transaction)), Pa(0xb000), "S1Fmt = {format}");
    }
    testpoint!(123, 124, 125);
}

/// Point 161: INSTCFG = 3 makes reads instructions, and leaves writes what they are.
#[test]
fn instcfg_concerns_reads_alone() {
    let (mut bench, stream) = flat();
    edit_ste(&bench, stream, |ste| ste.inst_cfg = smmu_arch::InstructionOverride::Instruction);
    assert_eq!(bench.refusal(&read(stream, 0x1000)).0, "F_PERMISSION", "the page is UXN");
    assert_eq!(output(bench.dma(&write(stream, 0x1000))), Pa(0xb000));
    testpoint!(161);
}

/// Point 232.
#[test]
fn a_level_1_descriptor_that_becomes_valid_is_followed_after_cfgi_ste() {
    let mut bench = Bench::with(Setup { strtab_cfg: 8 | 6 << 6 | 1 << 16, ..Setup::default() });
    let level2 = common::CDS;
    bench.store(level2, &[1 | 4 << 1]);
    assert_eq!(bench.refusal(&read(0, 0x40)).0, "C_BAD_STREAMID");
    bench.store(STREAM_TABLE, &[level2.0 | 1]);
    bench.command([0x03, 0]);
    assert_eq!(output(bench.dma(&read(0, 0x40))), Pa(0x40));
    testpoint!(232);
}
