//! Registers are found where the machine file puts them.

use smmu_arch::Pa;
use smmu_bus::Cpu;
use smmu_machine::{Board, Document, Machine, MachineFile, Order};

fn machine(text: &str) -> Machine<()> {
    let document = Document::parse("m.toml", text).expect("TOML");
    let blueprint = MachineFile::load_document(&document).expect("a machine");
    Machine::new(Board::build(&blueprint, 0, |_| ()).expect("a board"), Order::Direct)
}

fn read(machine: &mut Machine<()>, address: u64, bytes: u8) -> u64 {
    machine.run(move |cpu: &dyn Cpu| cpu.mmio_read(Pa(address), bytes)).expect("it ends")
}

#[test]
fn a_cmdqv_stands_at_its_address() {
    let mut machine = machine(
        "[[smmu]]
         name = 'a'
         [smmu.cmdqv]
         registers = 0x3000_0000
         queues = 8
         interfaces = 4
         streams = 2",
    );
    assert_eq!(read(&mut machine, 0x3000_0004, 4), 1 << 12 | 2 << 8 | 3 << 4 | 1);
    machine.run(|cpu| cpu.mmio_write(Pa(0x3000_0000), 4, 1)).expect("it ends");
    assert_eq!(read(&mut machine, 0x3000_0008, 4), 1, "enabled");
    assert_eq!(read(&mut machine, 0x3083_0000, 4), 0xffff_ffff, "nothing behind it");
}

#[test]
fn without_numbers_it_has_all_that_there_can_be() {
    let mut machine = machine("[[smmu]]\nname = 'a'\n[smmu.cmdqv]\n");
    assert_eq!(read(&mut machine, 0x2c00_0004, 4), 4 << 12 | 6 << 8 | 7 << 4 | 1);
}

#[test]
fn features_put_pages_behind_the_first_two() {
    let base = 0x2b40_0000;
    let mut plain = machine("[[smmu]]\nname = 'a'\n");
    assert_eq!(read(&mut plain, base + 0x2_0000, 4), 0xffff_ffff, "nothing is there");
    let ids = smmu_arch::IdRegisters::REFERENCE;
    let idr0 = ids.idr0 | 1 << 15 | 1 << 20;
    let mut vatos = machine(&format!("[[smmu]]\nname = 'a'\nid.idr0 = {idr0}\n"));
    assert_eq!(read(&mut vatos, base + 0x2_0000, 4), 0);
    let idr0 = ids.idr0 | 1 << 4 | 1 << 13;
    let idr1 = ids.idr1 | 1 << 31;
    let text =
        format!("[[smmu]]\nname = 'a'\nid.idr0 = {idr0}\nid.idr1 = {idr1}\nid.idr6 = 0x10000\n");
    let mut ecmdq = machine(&text);
    assert_eq!(read(&mut ecmdq, base + 0x4000, 8), 0x3_0003);
    assert_eq!(read(&mut ecmdq, base + 0x3_8008, 4), 0, "PROD of the second queue");
    assert_eq!(read(&mut ecmdq, base + 0x4_0000, 4), 0xffff_ffff);
}
