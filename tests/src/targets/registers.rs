//! Software that writes anything to any register, with anything in memory.

use crate::draw::Draw;
use smmu_arch::registers::{CMDQV_BYTES, CmdqvParam, REGISTERS};
use smmu_arch::{
    Access, Direction, IdRegisters, Iova, Pa, PortId, SmmuId, StreamId, SubstreamId, Transaction,
};
use smmu_bus::{InterruptLine, Memory, Mmio, Outputs, Ram};
use smmu_cache::TlbGeometry;
use smmu_device::{CmdqvFrame, HierarchySizes, Port, Progress, Smmu, SmmuConfig, StructureSizes};
use std::sync::Arc;

/// Bytes of memory, at 0.
const MEMORY_BYTES: u64 = 1 << 16;
/// Accesses in one input.
const ACCESSES_MAX: usize = 64;

/// Nobody listens to the interrupts.
struct Unconnected;

impl Outputs for Unconnected {
    fn pulse(&mut self, _: SmmuId, _: InterruptLine) {}
    fn send_event(&mut self) {}
}

/// Any register accesses, stores and transactions: nothing panics, a read changes nothing, ID
/// registers stay, and once no transaction is in flight the background work comes to rest.
///
/// # Panics
///
/// Where that does not hold.
pub fn registers_mmio(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let ids = draw.pick(&[IdRegisters::REFERENCE, IdRegisters::QEMU_NESTED, enhanced()]);
    let smmu = Arc::new(smmu(ids));
    let memory = Ram::new([(Pa(0), MEMORY_BYTES)]).expect("one region of memory");
    let mut port = Port::new(Arc::clone(&smmu), PortId(0), ()).expect("the SMMU has a port");
    let cmdqv = CmdqvFrame(Arc::clone(&smmu));
    for _ in 0..ACCESSES_MAX {
        if draw.is_empty() {
            break;
        }
        match draw.byte() % 8 {
            0 => {
                let at = Pa(draw.word() % MEMORY_BYTES);
                memory.write_word(at, draw.word()).expect("the address lies in memory");
            }
            1 => {
                let _ = port.translate(&memory, &transaction(&mut draw));
                port.end();
            }
            2 => {
                let (offset, bytes) = place(&mut draw);
                read_twice(&*smmu, offset, bytes);
            }
            3 => {
                let offset = place_in_cmdqv(&mut draw);
                cmdqv.mmio_write(offset, draw.pick(&[4, 8]), draw.word());
                read_twice(&cmdqv, offset, draw.pick(&[4, 8]));
            }
            _ => {
                let (offset, bytes) = place(&mut draw);
                let value = draw.word();
                smmu.mmio_write(offset, bytes, value);
            }
        }
        assert_eq!(smmu.pump(&memory, &mut (), &mut Unconnected), Progress::Idle);
    }
    assert_eq!(smmu.mmio_read(0x00, 4), u64::from(ids.idr0));
    assert_eq!(smmu.mmio_read(0x14, 4), u64::from(ids.idr5));
}

/// Enhanced Command queues, and what they require.
fn enhanced() -> IdRegisters {
    let base = IdRegisters::REFERENCE;
    let (idr0, idr1) = (base.idr0 | 1 << 4 | 1 << 13, base.idr1 | 1 << 31);
    IdRegisters { idr0, idr1, idr6: 2 << 16, ..base }
}

pub(super) fn smmu(id_registers: IdRegisters) -> Smmu {
    let tlb = TlbGeometry::default().into();
    let structures = StructureSizes {
        tlb,
        ste_cache: Some(16),
        cd_cache: Some(16),
        hierarchy: HierarchySizes::default(),
    };
    let cmdqv = CmdqvParam::new().with_log2_queues(2).with_log2_interfaces(1).with_log2_streams(2);
    let config =
        SmmuConfig { id: SmmuId(0), id_registers, structures, ports: 1, cmdqv: Some(cmdqv) };
    Smmu::new(&config).expect("the default geometry can be built")
}

pub(super) fn transaction(draw: &mut Draw) -> Transaction {
    let direction = draw.pick(&[Direction::Read, Direction::Write]);
    let (privileged, instruction) = (draw.flag(), draw.flag());
    Transaction {
        stream: StreamId(u32::from(draw.pick(&[0u8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 255]))),
        substream: draw.pick(&[
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            Some(SubstreamId(0)),
            Some(SubstreamId(1)),
        ]),
        iova: Iova(address(draw)),
        access: Access { direction, privileged, instruction },
    }
}

/// An address: mostly one of the few low pages that tables of these inputs map.
fn address(draw: &mut Draw) -> u64 {
    match draw.byte() {
        kind @ 0..200 => u64::from(kind % 16) << 12 | 0x128,
        200..230 => draw.word() & 0xffff_ffff,
        230.. => draw.word(),
    }
}

fn read_twice(registers: &impl Mmio, offset: u64, bytes: u8) {
    let first = registers.mmio_read(offset, bytes);
    assert_eq!(registers.mmio_read(offset, bytes), first, "a read of {offset:#x} changed it");
    assert!(bytes == 8 || first >> 32 == 0, "four bytes of {offset:#x} are {first:#x}");
}

/// A register, or any offset.
fn place(draw: &mut Draw) -> (u64, u8) {
    let bytes = draw.pick(&[4, 8]);
    let register = draw.pick(REGISTERS);
    let offset = match draw.byte() {
        0..224 => u64::from(register.page.base() + register.offset),
        224..240 => u64::from(register.offset) + 4,
        240.. => draw.word() & 0x3_ffff,
    };
    (offset, bytes)
}

/// A word of the CMDQV: mostly of its first queues and interfaces.
fn place_in_cmdqv(draw: &mut Draw) -> u64 {
    let low = u64::from(draw.byte()) * 4;
    match draw.byte() % 8 {
        0 => (draw.word() % CMDQV_BYTES) & !3,
        1 => low,
        2 | 3 => 0x1000 + low % 0x200,
        page @ 4.. => u64::from(page - 3) << 16 | low,
    }
}
