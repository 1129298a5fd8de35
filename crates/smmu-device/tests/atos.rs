//! Address translation operations: section of that name, GATOS_* and VATOS_*. The number of each
//! test point is in its comment.

mod common;

use common::spaces::{edit_cd, edit_ste};
use common::{Bench, CMDQEN, EVENTQEN, Kind, SMMUEN, Setup, Space, at, output, read};
use smmu_arch::{DefaultSubstream, PrivilegeOverride, StreamConfig};
use smmu_tables::Prot;
use smmu_testpoint::testpoint;

const STAGE1: Space = Space { kind: Kind::Stage1, vmid: 1, asid: 7 };
const NESTED: Space = Space { kind: Kind::Nested, vmid: 2, asid: 7 };
const STAGE2: Space = Space { kind: Kind::Stage2, vmid: 2, asid: 0 };
const VA: u64 = 0x20_0000;
const IPA: u64 = 0x9000_0000;
const PA: u64 = 0x40_0000;

const GATOS: u64 = 0x100;
const VATOS: u64 = 0x2_0a00;
const VATOS_SEL: u64 = 0x180;

const READ: u64 = 1 << 8;
const HTTUI: u64 = 1 << 6;

/// FAULTCODEs.
const INTERNAL_ERR: u64 = 0xfd;
const INV_STAGE: u64 = 0xfe;
const INV_REQ: u64 = 0xff;

fn bench() -> Bench {
    let mut setup = Setup::default();
    setup.ids.idr0 |= 1 << 15 | 1 << 20 | 2 << 6; // ATOS, VATOS, HTTU = 2
    Bench::with(setup)
}

fn stage1(bench: &mut Bench) -> u32 {
    bench.map(STAGE1, VA, PA, 0x1000, Prot::READ_WRITE);
    bench.stream_of(STAGE1)
}

fn nested(bench: &mut Bench) -> u32 {
    bench.map(NESTED, VA, IPA, 0x1000, Prot::READ_WRITE);
    bench.map(STAGE2, IPA, PA, 0x1000, Prot::READ_WRITE);
    bench.stream_of(NESTED)
}

/// Writes the operands and RUN, waits for RUN = 0, and reads PAR.
fn look_up(bench: &mut Bench, group: u64, sid: u64, lookup: u64, addr: u64) -> u64 {
    bench.write64(group + 0x08, sid);
    bench.write64(group + 0x10, addr | lookup << 10);
    bench.write(group, 1);
    assert_eq!(bench.read(group), 1, "RUN");
    bench.pump();
    assert_eq!(bench.read(group), 0, "RUN is cleared");
    assert_eq!(bench.event(), None, "no record is left");
    bench.read64(group + 0x18)
}

fn gatos(bench: &mut Bench, stream: u32, lookup: u64, addr: u64) -> u64 {
    look_up(bench, GATOS, stream.into(), lookup, addr | READ)
}

/// Output address, SH and ATTR of a look-up that succeeded with the smallest size.
#[track_caller]
fn address(par: u64) -> u64 {
    assert_eq!(par & 0x801, 0, "FAULT and Size of {par:#x}");
    par & 0xff_ffff_ffff_f000
}

/// FAULTCODE, REASON and FADDR.
#[track_caller]
fn fault(par: u64) -> (u64, u64, u64) {
    assert_eq!(par & 1, 1, "FAULT of {par:#x}");
    (par >> 4 & 0xff, par >> 1 & 3, par & 0xff_ffff_ffff_f000)
}

/// Point 262.
#[test]
fn both_stages_give_what_a_transaction_gets() {
    let mut bench = bench();
    let stream = nested(&mut bench);
    let par = gatos(&mut bench, stream, 3, VA);
    assert_eq!(address(par), output(bench.dma(&read(stream, VA))).0);
    assert_eq!((par >> 56, par >> 8 & 3), (0xff, 3), "Normal Write-Back, Inner Shareable");
    testpoint!(262);
}

#[test]
fn each_stage_alone() {
    let mut bench = bench();
    let (nested, flat) = (nested(&mut bench), stage1(&mut bench));
    assert_eq!(address(gatos(&mut bench, nested, 1, VA)), IPA);
    assert_eq!(address(gatos(&mut bench, nested, 2, IPA)), PA);
    assert_eq!(address(gatos(&mut bench, flat, 1, VA)), PA);
    let missing = gatos(&mut bench, flat, 1, 0x70_0000);
    assert_eq!(fault(missing), (0x10, 0, 0), "F_TRANSLATION of stage 1");
    let missing = gatos(&mut bench, nested, 2, 0x5000_0000);
    assert_eq!(fault(missing), (0x10, 3, 0), "F_TRANSLATION of stage 2");
}

/// Point 263.
#[test]
fn type_0_is_no_request() {
    let mut bench = bench();
    let stream = nested(&mut bench);
    assert_eq!(fault(gatos(&mut bench, stream, 0, VA)), (INV_REQ, 0, 0));
    let with_substream = u64::from(stream) | 1 << 52;
    let par = look_up(&mut bench, GATOS, with_substream, 2, IPA | READ);
    assert_eq!(fault(par), (INV_REQ, 0, 0), "stage 2 has no substreams");
    testpoint!(263);
}

/// Point 264.
#[test]
fn a_stage_that_the_stream_lacks_is_invalid() {
    let mut bench = bench();
    let (flat, second) = (stage1(&mut bench), bench.stream_of(STAGE2));
    for (stream, lookup) in [(flat, 2), (flat, 3), (second, 1), (second, 3)] {
        assert_eq!(fault(gatos(&mut bench, stream, lookup, VA)), (INV_STAGE, 0, 0));
    }
    for config in [StreamConfig::Abort, StreamConfig::Bypass] {
        edit_ste(&bench, flat, |ste| ste.config = config);
        bench.command([0x03 | u64::from(flat) << 32, 1]);
        assert_eq!(fault(gatos(&mut bench, flat, 1, VA)), (INV_STAGE, 0, 0), "{config:?}");
    }
    testpoint!(264);
}

/// Point 265, and C_BAD_STREAMID whatever RECINVSID.
#[test]
fn errors_of_the_configuration_are_told_in_par_alone() {
    let mut bench = bench();
    assert_eq!(fault(gatos(&mut bench, 3, 1, VA)), (0x04, 0, 0));
    assert_eq!(fault(gatos(&mut bench, 0x10_0000, 1, VA)), (0x02, 0, 0));
    let stream = stage1(&mut bench);
    edit_cd(&bench, stream, |cd| cd.valid = false);
    assert_eq!(fault(gatos(&mut bench, stream, 1, VA)), (0x0a, 0, 0));
    testpoint!(265);
}

/// Point 266.
#[test]
fn vatos_serves_stage_1_of_one_vm() {
    let mut bench = bench();
    let stream = nested(&mut bench);
    bench.write(VATOS_SEL, 2);
    let vatos = |bench: &mut Bench, stream: u32, lookup| {
        look_up(bench, VATOS, stream.into(), lookup, VA | READ)
    };
    assert_eq!(address(vatos(&mut bench, stream, 1)), IPA);
    assert_eq!(fault(vatos(&mut bench, stream, 3)), (INV_REQ, 0, 0));
    assert_eq!(fault(vatos(&mut bench, stream, 2)), (INV_REQ, 0, 0));
    bench.write(VATOS_SEL, 3);
    assert_eq!(fault(vatos(&mut bench, stream, 1)), (0x04, 0, 0), "another VMID");
    edit_ste(&bench, 3, |ste| (ste.valid, ste.config) = (true, StreamConfig::Bypass));
    bench.write(VATOS_SEL, 0);
    assert_eq!(fault(vatos(&mut bench, 3, 1)), (0x04, 0, 0), "it does not translate");
    testpoint!(266);
}

/// A nested stream whose start table of stage 1 is not mapped by stage 2, and its IPA.
fn unmapped_table(bench: &mut Bench) -> (u32, u64) {
    let stream = nested(bench);
    edit_cd(bench, stream, |cd| cd.tables[0].ttb = 0x5000_0000);
    (stream, 0x5000_0000)
}

/// Points 267 and 268.
#[test]
fn stage_2_is_hidden_from_a_look_up_of_stage_1() {
    let mut bench = bench();
    let (stream, table) = unmapped_table(&mut bench);
    assert_eq!(fault(gatos(&mut bench, stream, 1, VA)), (0x0b, 0, 0), "F_WALK_EABT");
    assert_eq!(fault(gatos(&mut bench, stream, 3, VA)), (0x10, 2, table), "F_TRANSLATION");
    testpoint!(267, 268);
}

#[test]
fn a_cd_that_stage_2_does_not_map() {
    let mut bench = bench();
    let stream = nested(&mut bench);
    edit_ste(&bench, stream, |ste| ste.s1_context_ptr = 0x5000_0000);
    assert_eq!(fault(gatos(&mut bench, stream, 1, VA)), (0x09, 0, 0), "F_CD_FETCH");
    assert_eq!(fault(gatos(&mut bench, stream, 3, VA)), (0x10, 1, 0x5000_0000));
}

#[test]
fn a_stage_2_fault_of_the_output_has_its_ipa() {
    let mut bench = bench();
    let stream = nested(&mut bench);
    bench.map(NESTED, 0x70_0000, 0x6000_0000, 0x1000, Prot::READ);
    assert_eq!(fault(gatos(&mut bench, stream, 3, 0x70_0000)), (0x10, 3, 0x6000_0000));
    assert_eq!(address(gatos(&mut bench, stream, 1, 0x70_0000)), 0x6000_0000);
}

/// S1DSS = 1 without a substream: the input address comes back.
#[test]
fn a_bypassed_stage_1_gives_its_input() {
    let mut bench = bench();
    let stream = nested(&mut bench);
    edit_ste(&bench, stream, |ste| (ste.s1_cd_max, ste.s1_dss) = (1, DefaultSubstream::Bypass));
    assert_eq!(address(gatos(&mut bench, stream, 1, IPA)), IPA);
    assert_eq!(address(gatos(&mut bench, stream, 3, IPA)), PA);
}

/// The access is that of the request, and the overrides of the STE do not apply.
#[test]
fn permissions_are_those_of_the_request() {
    let mut bench = bench();
    bench.map(STAGE1, VA, PA, 0x1000, Prot { privileged: true, ..Prot::READ });
    let stream = bench.stream_of(STAGE1);
    edit_ste(&bench, stream, |ste| ste.priv_cfg = PrivilegeOverride::Privileged);
    assert_eq!(fault(gatos(&mut bench, stream, 1, VA)).0, 0x13, "unprivileged");
    assert_eq!(address(gatos(&mut bench, stream, 1, VA | 1 << 9)), PA, "PnU");
    let par = look_up(&mut bench, GATOS, stream.into(), 1, VA | 1 << 9);
    assert_eq!(fault(par).0, 0x13, "a write");
}

/// The lowest set bit of the address codes the size of a block.
#[test]
fn a_block_tells_its_size() {
    let mut bench = bench();
    bench.map(STAGE1, 0x4020_0000, 0x4060_0000, 2 << 20, Prot::READ);
    let stream = bench.stream_of(STAGE1);
    let par = gatos(&mut bench, stream, 1, 0x4021_2000);
    assert_eq!((par & 1, par >> 11 & 1), (0, 1), "Size");
    assert_eq!(par & 0xff_ffff_ffff_f000, 0x4060_0000 | 1 << 20);
}

/// HTTUI: an Access flag that would be set counts as set, and is not.
#[test]
fn httui_keeps_descriptors_as_they_are() {
    let mut bench = bench();
    let stream = stage1(&mut bench);
    edit_cd(&bench, stream, |cd| cd.ha = true);
    let mut table = bench.table_of(STAGE1).root().base;
    for shift in [39, 30, 21] {
        table = bench.load(smmu_arch::Pa(table + (VA >> shift & 511) * 8)) & 0xffff_ffff_f000;
    }
    let leaf = smmu_arch::Pa(table + (VA >> 12 & 511) * 8);
    let without_flag = bench.load(leaf) & !(1 << 10);
    bench.store(leaf, &[without_flag]);
    assert_eq!(address(gatos(&mut bench, stream, 1, VA | HTTUI)), PA);
    assert_eq!(bench.load(leaf), without_flag);
    assert_eq!(address(gatos(&mut bench, stream, 1, VA)), PA);
    assert_eq!(bench.load(leaf), without_flag | 1 << 10);
}

/// The operands cannot be changed while RUN is 1, and writing 0 does not stop it.
#[test]
fn a_running_look_up_keeps_its_operands() {
    let mut bench = bench();
    let stream = stage1(&mut bench);
    bench.write64(GATOS + 0x08, stream.into());
    bench.write64(GATOS + 0x10, VA | READ | 1 << 10);
    bench.write(GATOS, 1);
    bench.write(GATOS, 0);
    bench.write64(GATOS + 0x10, 0);
    assert_eq!(bench.read(GATOS), 1);
    bench.pump();
    assert_eq!(address(bench.read64(GATOS + 0x18)), PA);
}

#[test]
fn smmuen_is_needed_and_ends_a_look_up_when_cleared() {
    let mut bench = bench();
    let stream = stage1(&mut bench);
    bench.write64(GATOS + 0x08, stream.into());
    bench.write64(GATOS + 0x10, VA | READ | 1 << 10);
    bench.write(GATOS, 1);
    bench.write(at::CR0, EVENTQEN | CMDQEN);
    assert_eq!(bench.read(GATOS), 0);
    assert_eq!(fault(bench.read64(GATOS + 0x18)), (INTERNAL_ERR, 0, 0));
    bench.write(GATOS, 1);
    assert_eq!(bench.read(GATOS), 0, "RUN cannot be set");
    bench.write(at::CR0, SMMUEN | EVENTQEN | CMDQEN);
    assert_eq!(address(gatos(&mut bench, stream, 1, VA)), PA);
}

/// Without IDR0.ATOS there are no such registers.
#[test]
fn the_registers_are_res0_without_atos() {
    let bench = Bench::new();
    for offset in [0x08, 0x10] {
        bench.write64(GATOS + offset, u64::MAX);
        bench.write64(VATOS + offset, u64::MAX);
        assert_eq!((bench.read64(GATOS + offset), bench.read64(VATOS + offset)), (0, 0));
    }
    bench.write(GATOS, 1);
    bench.write(VATOS_SEL, 7);
    assert_eq!((bench.read(GATOS), bench.read(VATOS_SEL)), (0, 0));
}
