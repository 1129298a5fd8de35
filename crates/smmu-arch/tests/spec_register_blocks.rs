//! Registers that stand in rows, and the pages of blocks beside the SMMU, against
//! `spec/registers.toml`: counter groups, enhanced Command queues, CMDQV.

mod spec_tables;

use serde::Deserialize;
use smmu_arch::FieldInfo;
use smmu_arch::registers::{
    CMDQV_ROWS, CmdqBase, CmdqCons, CmdqControlPageBase, CmdqProd, CmdqvCmdqAlloc, CmdqvConfig,
    CmdqvParam, CmdqvRow, CmdqvSidMatch, CmdqvStatus, CmdqvVintfConfig, CmdqvVintfStatus,
    ECMDQ_PAGE_ROWS, ECMDQ_PAGE_STRIDE, ECMDQ_ROWS, EcmdqCons, EcmdqProd, PMCG_ROWS, PMCG_SINGLE,
    PmcgCfgr, PmcgCr, PmcgEvtyper, PmcgIrqCfg0, PmcgIrqCfg2, PmcgIrqCtrl, VCMDQ_ROWS, VCMDQ_STRIDE,
    VCMDQS_MAX, VINTF_ROWS, VINTF_STRIDE, VINTFS_MAX, VcmdqBase, VcmdqConfig, VcmdqConsIndxBase,
    VcmdqGerror, VcmdqStatus,
};
use spec_tables::{Field, assert_same_fields, load};

#[derive(Deserialize)]
struct Table {
    register: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    offset: u32,
    width: u32,
    stride: Option<u64>,
    count: Option<u64>,
    fields: Vec<Field>,
}

fn rows() -> Vec<Row> {
    load::<Table>("registers.toml").register
}

fn assert_fields(layouts: &[(&str, &[FieldInfo])]) {
    let rows = rows();
    for (name, fields) in layouts {
        let row = rows.iter().find(|row| row.name == *name).expect("listed");
        assert_same_fields(name, &row.fields, fields);
    }
}

/// The page of a counter group: names and offsets.
#[test]
fn the_registers_of_a_counter_group_stand_where_the_rows_say() {
    let rows = rows();
    let rows = rows.iter().filter(|row| row.name.starts_with("PMCG_"));
    let single = PMCG_SINGLE.iter().map(|&(name, offset, bytes, _)| (name, offset, Some(bytes)));
    let known: Vec<_> =
        single.chain(PMCG_ROWS.iter().map(|&(name, offset, ..)| (name, offset, None))).collect();
    let mut count = 0;
    for row in rows {
        let found = known.iter().find(|(name, ..)| *name == row.name);
        let (_, offset, bytes) = found.unwrap_or_else(|| panic!("{} is missing", row.name));
        assert_eq!(*offset, u64::from(row.offset), "{}", row.name);
        assert!(bytes.is_none_or(|bytes| u32::from(bytes) * 8 == row.width), "{}", row.name);
        count += 1;
    }
    assert_eq!(count, known.len());
}

/// The rows of registers that are one number, or that read 0 here, have no layout to be held.
#[test]
fn the_fields_of_a_counter_group_are_those_of_the_rows() {
    assert_fields(&[
        ("PMCG_EVTYPERn", PmcgEvtyper::FIELDS),
        ("PMCG_CFGR", PmcgCfgr::FIELDS),
        ("PMCG_CR", PmcgCr::FIELDS),
        ("PMCG_IRQ_CTRL", PmcgIrqCtrl::FIELDS),
        ("PMCG_IRQ_CTRLACK", PmcgIrqCtrl::FIELDS),
        ("PMCG_IRQ_CFG0", PmcgIrqCfg0::FIELDS),
        ("PMCG_IRQ_CFG2", PmcgIrqCfg2::FIELDS),
    ]);
}

#[test]
fn the_registers_of_enhanced_queues_stand_where_the_rows_say() {
    let rows = rows();
    for (name, offset, width) in ECMDQ_PAGE_ROWS.iter().chain(&ECMDQ_ROWS) {
        let row = rows.iter().find(|row| row.name == *name).expect("listed");
        assert_eq!((u64::from(row.offset), row.width), (*offset, *width), "{name}");
        let (stride, count) = ECMDQ_PAGE_STRIDE;
        let many = name.starts_with("CMDQ_").then_some((stride, u64::from(count)));
        assert_eq!(row.stride.zip(row.count), many, "{name}");
    }
    let all = rows
        .iter()
        .filter(|row| row.name.contains("ECMDQ_") || row.name.starts_with("CMDQ_CONTROL"));
    assert_eq!(all.count(), ECMDQ_PAGE_ROWS.len() + ECMDQ_ROWS.len());
}

#[test]
fn the_fields_of_enhanced_queues_are_those_of_the_rows() {
    assert_fields(&[
        ("CMDQ_CONTROL_PAGE_BASEn", CmdqControlPageBase::FIELDS),
        ("ECMDQ_BASE", CmdqBase::FIELDS),
        ("ECMDQ_PROD", EcmdqProd::FIELDS),
        ("ECMDQ_CONS", EcmdqCons::FIELDS),
    ]);
}

/// `step` and `count` are those of the interface or queue, where a row is one of each.
fn assert_cmdqv_row<W>(rows: &[Row], known: &CmdqvRow<W>, step: u64, most: u64) {
    let (name, offset, stride, count, width, _) = *known;
    let row = rows.iter().find(|row| row.name == name).expect("listed");
    assert_eq!((u64::from(row.offset), row.width), (offset, width), "{name}");
    match (row.stride, row.count) {
        (Some(step_of_row), Some(of_row)) if count == 1 => {
            assert_eq!((step_of_row, of_row), (step, most), "{name}");
        }
        (Some(stride_of_row), Some(of_row)) => {
            assert_eq!((stride_of_row, of_row), (stride, count), "{name}");
        }
        // The upper halves of the maps of interfaces are a note of the row.
        _ => assert!(count <= 2 && most == 1, "{name}"),
    }
}

#[test]
fn the_registers_of_a_cmdqv_stand_where_the_rows_say() {
    let rows = rows();
    CMDQV_ROWS.iter().for_each(|row| assert_cmdqv_row(&rows, row, 0, 1));
    VINTF_ROWS.iter().for_each(|row| assert_cmdqv_row(&rows, row, VINTF_STRIDE, VINTFS_MAX));
    VCMDQ_ROWS.iter().for_each(|row| assert_cmdqv_row(&rows, row, VCMDQ_STRIDE, VCMDQS_MAX));
    let of_block = |row: &&Row| row.name.starts_with("CMDQV_") || row.name.starts_with("VCMDQ_");
    let known = CMDQV_ROWS.len() + VINTF_ROWS.len() + VCMDQ_ROWS.len();
    assert_eq!(rows.iter().filter(of_block).count(), known);
}

/// Maps and the physical StreamID of a slot are one number and have no layout to be held.
#[test]
fn the_fields_of_a_cmdqv_are_those_of_the_rows() {
    assert_fields(&[
        ("CMDQV_CONFIG", CmdqvConfig::FIELDS),
        ("CMDQV_PARAM", CmdqvParam::FIELDS),
        ("CMDQV_STATUS", CmdqvStatus::FIELDS),
        ("CMDQV_CMDQ_ALLOCq", CmdqvCmdqAlloc::FIELDS),
        ("CMDQV_VINTF_CONFIG", CmdqvVintfConfig::FIELDS),
        ("CMDQV_VINTF_STATUS", CmdqvVintfStatus::FIELDS),
        ("CMDQV_VINTF_SID_MATCHs", CmdqvSidMatch::FIELDS),
        ("VCMDQ_CONS", CmdqCons::FIELDS),
        ("VCMDQ_PROD", CmdqProd::FIELDS),
        ("VCMDQ_CONFIG", VcmdqConfig::FIELDS),
        ("VCMDQ_STATUS", VcmdqStatus::FIELDS),
        ("VCMDQ_GERROR", VcmdqGerror::FIELDS),
        ("VCMDQ_GERRORN", VcmdqGerror::FIELDS),
        ("VCMDQ_BASE", VcmdqBase::FIELDS),
        ("VCMDQ_CONS_INDX_BASE", VcmdqConsIndxBase::FIELDS),
    ]);
}
