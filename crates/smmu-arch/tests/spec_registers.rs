//! The registers against `spec/registers.toml`.

mod spec_tables;

use serde::Deserialize;
use smmu_arch::registers::{
    AccessRule, CmdqBase, CmdqCons, Cr0, Cr1, GatosPar, GatosParFault, Guard, Page, REGISTERS,
    Register, RegisterInfo, StrtabBase, StrtabBaseCfg, VatosPar,
};
use smmu_arch::{Features, IdRegisters};
use smmu_testpoint::testpoint;
use spec_tables::{Field, assert_each_field_alone, assert_same_fields, load};

#[derive(Deserialize)]
struct Table {
    register: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    page: String,
    offset: u32,
    width: u32,
    access: String,
    guard: Option<String>,
    note: Option<String>,
    fields: Vec<Field>,
}

/// Rows that are not modelled: name or prefix ending in `*`, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("S2PII", "stage 2 permission indirection came with SMMUv3.4"),
    ("MPAMIDR", "MPAM has no effect on translation"),
    ("GMPAM", "MPAM has no effect on translation"),
    ("GBPMPAM", "MPAM has no effect on translation"),
    ("DPT_*", "the device permission table is not modelled"),
    ("CMDQ_CONTROL_PAGE_*", "one a control page: see spec_register_blocks"),
    ("ECMDQ_*", "one a queue: see spec_register_blocks"),
    ("S_*", "Secure state is not modelled"),
    ("ROOT_*", "the Realm Management Extension is not modelled"),
    ("R_*", "the Realm Management Extension is not modelled"),
    ("PMCG_*", "a device of its own: see spec_register_blocks"),
    ("CMDQV_*", "a device of its own: see spec_register_blocks"),
    ("VCMDQ_*", "a device of its own: see spec_register_blocks"),
];

fn rows() -> Vec<Row> {
    load::<Table>("registers.toml").register
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

#[test]
fn every_row_is_a_register_or_left_out_with_a_reason() {
    let rows = rows();
    for row in &rows {
        let left_out = LEFT_OUT.iter().any(|(pattern, _)| matches(pattern, &row.name));
        assert!(RegisterInfo::named(&row.name).is_some() != left_out, "{}", row.name);
    }
    for (pattern, _) in LEFT_OUT {
        assert!(rows.iter().any(|row| matches(pattern, &row.name)), "{pattern}");
    }
    for register in REGISTERS {
        assert!(rows.iter().any(|row| row.name == register.name), "{}", register.name);
    }
}

#[test]
fn place_width_access_and_fields_are_those_of_the_row() {
    for row in rows() {
        let Some(register) = RegisterInfo::named(&row.name) else { continue };
        let page = match register.page {
            Page::Page0 => "page0",
            Page::Page1 => "page1",
            Page::Vatos => "vatos",
        };
        assert_eq!((page, register.offset), (row.page.as_str(), row.offset), "{}", row.name);
        assert_eq!(register.width, row.width, "{}", row.name);
        let access = if register.access == AccessRule::ReadOnly { "RO" } else { "RW" };
        assert_eq!(access, row.access, "{}", row.name);
        if ![GatosPar::NAME, VatosPar::NAME].contains(&row.name.as_str()) {
            assert_same_fields(&row.name, &row.fields, register.fields);
        }
    }
}

#[test]
fn gatos_par_has_a_layout_for_success_and_one_for_faults() {
    let row = rows().into_iter().find(|row| row.name == GatosPar::NAME).expect("listed");
    let of_fault = |f: &Field| GatosParFault::FIELDS.iter().any(|g| g.name == f.name);
    let (fault, success): (Vec<_>, Vec<_>) = row.fields.iter().cloned().partition(of_fault);
    let common: Vec<_> = fault.iter().filter(|f| f.name == "FAULT").cloned().collect();
    assert_same_fields("fault", &fault, GatosParFault::FIELDS);
    assert_same_fields("success", &[success, common].concat(), GatosPar::FIELDS);
}

/// What the guard column says, as the model's value.
fn guard_of(row: &Row) -> Guard {
    let inherited = match row.name.as_str() {
        name if name.starts_with("GERROR_IRQ_CFG") => "GERROR_IRQEN",
        name if name.starts_with("EVENTQ_IRQ_CFG") => "EVENTQ_IRQEN",
        name if name.starts_with("PRIQ_IRQ_CFG") => "PRIQ_IRQEN",
        // The layouts and rules of VATOS are those of GATOS.
        "VATOS_SID" | "VATOS_ADDR" => return Guard::VatosRun,
        "STRTAB_BASE_CFG" => "SMMUEN",
        _ => "",
    };
    let text = match row.guard.as_deref() {
        None => return Guard::None,
        Some("as CFG0" | "as STRTAB_BASE") => inherited,
        Some(text) => text,
    };
    let words = [
        ("TABLE_*", Guard::TableAndAnyQueue),
        ("Update=1", Guard::Update),
        ("RUN=1", Guard::GatosRun),
        ("GERROR_IRQEN", Guard::GerrorIrqen),
        ("EVENTQ_IRQEN", Guard::EventqIrqen),
        ("PRIQ_IRQEN", Guard::PriqIrqen),
        ("SMMUEN", Guard::Smmuen),
        ("CMDQEN", Guard::Cmdqen),
        ("EVENTQEN", Guard::Eventqen),
        ("PRIQEN", Guard::Priqen),
    ];
    words.iter().find(|(word, _)| text.contains(word)).expect("a known guard").1
}

#[test]
fn guards_are_those_of_the_row() {
    for row in rows() {
        let Some(register) = RegisterInfo::named(&row.name) else { continue };
        assert_eq!(register.guard, guard_of(&row), "{}", row.name);
    }
}

#[test]
fn the_table_is_sorted_and_registers_do_not_overlap() {
    for pair in REGISTERS.windows(2) {
        let end = pair[0].frame_offset() + pair[0].width / 8;
        assert!(end <= pair[1].frame_offset(), "{} and {}", pair[0].name, pair[1].name);
    }
    for register in REGISTERS {
        assert_eq!(register.offset % (register.width / 8), 0, "{}", register.name);
        let last = register.fields.last().expect("at least one field");
        assert!(u32::from(last.msb) < register.width, "{}", register.name);
    }
}

#[test]
fn only_fields_of_read_write_registers_are_writable() {
    for register in REGISTERS {
        let fields = register.fields.iter().fold(0, |mask, field| mask | field.mask());
        let expected = if register.access == AccessRule::ReadWrite { fields } else { 0 };
        assert_eq!(register.writable, expected, "{}", register.name);
    }
}

#[test]
fn registers_are_found_by_any_of_their_bytes() {
    let name = |offset| RegisterInfo::at(offset).map(|register| register.name);
    assert_eq!(name(0x0), Some("IDR0"));
    assert_eq!(name(0x84), Some("STRTAB_BASE"));
    assert_eq!(name(0x88), Some("STRTAB_BASE_CFG"));
    assert_eq!(name(0x8c), None);
    assert_eq!(name(0x100a8), Some("EVENTQ_PROD"));
    assert_eq!(name(0x100cf), Some("PRIQ_CONS"));
    assert_eq!(name(u32::MAX), None);
}

#[test]
fn queue_indexes_do_not_alias_into_page_0() {
    for offset in [0xa8, 0xac, 0xc8, 0xcc] {
        assert_eq!(RegisterInfo::at(offset), None, "{offset:#x}");
    }
}

type Switch = fn(&mut Features, bool);

/// The features that the table names in "RES0 when X=0" and "present when X=1".
const SWITCHES: &[(&str, Switch)] = &[
    ("PRI", |f, on| f.pri = on),
    ("ATS", |f, on| f.ats = on),
    ("HYP", |f, on| f.hyp = on),
    ("BTM", |f, on| f.btm = on),
    ("MSI", |f, on| f.msi = on),
    ("IDR0.ATSRECERR", |f, on| f.atsrecerr = on),
    ("IDR0.ATOS", |f, on| f.atos = on),
];

fn everything() -> Features {
    let mut features = Features::decode(&IdRegisters::REFERENCE);
    for (_, switch) in SWITCHES {
        switch(&mut features, true);
    }
    features.oas_bits = 52;
    Features { vmw: true, ..features }
}

fn without(switch: Switch) -> Features {
    let mut features = everything();
    switch(&mut features, false);
    features
}

#[test]
fn fields_are_not_writable_without_the_feature_that_the_row_names() {
    let mut found = 0;
    for row in rows() {
        let Some(register) = RegisterInfo::named(&row.name) else { continue };
        for (name, switch) in SWITCHES {
            let words = [format!("RES0 when {name}=0"), format!("Present when {name}=1")];
            let says = |text: &str| words.iter().any(|word| text.contains(word.as_str()));
            let whole = [&row.guard, &row.note].into_iter().flatten().any(|text| says(text));
            for field in &row.fields {
                if !(whole || says(&field.meaning)) {
                    continue;
                }
                let info = register.fields.iter().find(|f| f.name == field.name).expect("listed");
                let writable = |f: &Features| register.writable_in(f) & info.mask() != 0;
                assert!(writable(&everything()), "{}.{}", row.name, field.name);
                assert!(!writable(&without(*switch)), "{}.{} {name}", row.name, field.name);
                found += 1;
            }
        }
    }
    assert!(found >= 12, "only {found} rows say so");
}

#[test]
fn preset_bases_are_read_only() {
    let writable = |name, f: &Features| RegisterInfo::named(name).expect("listed").writable_in(f);
    let preset = Features { tables_preset: true, queues_preset: true, ..everything() };
    for name in ["STRTAB_BASE", "CMDQ_BASE", "EVENTQ_BASE", "PRIQ_BASE"] {
        assert_ne!(writable(name, &everything()), 0, "{name}");
        assert_eq!(writable(name, &preset), 0, "{name}");
    }
}

fn check_accessors<R: Register>() {
    assert_each_field_alone(R::FIELDS, |words| {
        let register = R::from_word(words[0]);
        let mask = R::FIELDS.iter().fold(0, |mask, field| mask | field.mask());
        assert_eq!(register.to_word() & mask, words[0] & mask, "{}", R::NAME);
        register.values()
    });
}

macro_rules! check_all {
    ($($name:ident)*) => {{
        $(check_accessors::<smmu_arch::registers::$name>();)*
        [$(smmu_arch::registers::$name::NAME),*].len()
    }};
}

#[test]
#[rustfmt::skip]
fn each_accessor_reads_its_own_bits_only() {
    let checked = check_all! {
        Idr0 Idr1 Idr2 Idr3 Idr4 Idr5 Iidr Aidr Cr0 Cr0Ack Cr1 Cr2 Statusr Gbpa Agbpa
        IrqCtrl IrqCtrlAck Gerror Gerrorn GerrorIrqCfg0 GerrorIrqCfg1 GerrorIrqCfg2
        StrtabBase StrtabBaseCfg CmdqBase CmdqProd CmdqCons
        EventqBase EventqIrqCfg0 EventqIrqCfg1 EventqIrqCfg2
        PriqBase PriqIrqCfg0 PriqIrqCfg1 PriqIrqCfg2 GatosCtrl GatosSid GatosAddr GatosPar VatosSel
        VatosCtrl VatosSid VatosAddr VatosPar
        Idr6 Pidr4 Pidr0 Pidr1 Pidr2 Pidr3 Cidr0 Cidr1 Cidr2 Cidr3
        EventqProd EventqCons PriqProd PriqCons
    };
    assert_eq!(checked, REGISTERS.len());
}

/// Words composed by hand from the bit numbers.
#[test]
fn pinned_words() {
    let cr0 = Cr0::from(0x0000_008d);
    assert!(cr0.smmuen() && !cr0.priqen() && cr0.eventqen() && cr0.cmdqen() && !cr0.atschk());
    assert_eq!(cr0.vmw(), 2);
    let base = StrtabBase::from(0x4000_0008_1234_5640);
    assert!(base.ra());
    assert_eq!(base.address(), 0x8_1234_5640);
    let cfg = StrtabBaseCfg::from(0x0001_0210);
    assert_eq!((cfg.log2size(), cfg.split(), cfg.effective_split()), (16, 8, 8));
    assert!(cfg.is_two_level());
    assert_eq!(StrtabBaseCfg::from(0x0003_01d0).effective_split(), 6);
    assert!(!StrtabBaseCfg::from(0x0003_01d0).is_two_level());
    let queue = CmdqBase::from(0x0000_0001_0000_0033);
    assert_eq!((queue.log2size(), queue.address()), (0x13, 0x1_0000_0020));
    let cons = CmdqCons::from(0x0200_0007);
    assert_eq!((cons.rd(), cons.err()), (7, 2));
    assert_eq!((Cr1::QUEUE_MASK, Cr1::TABLE_MASK), (0x03f, 0xfc0));
    testpoint!(82, 83);
}
