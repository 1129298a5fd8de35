//! A machine with one SMMU and one device, and software that sets both up: stage 1 from one table of
//! 2 MiB blocks.

use smmu_arch::{Cd, Pa, Ste, StreamConfig, StreamId};
use smmu_bus::Cpu;

pub(crate) const REGISTERS: u64 = 0x0900_0000;
pub(crate) const RAM: u64 = 0x4000_0000;
pub(crate) const TABLE: u64 = RAM + 0x2000;
pub(crate) const COMMANDS: u64 = RAM + 0x3000;
pub(crate) const EVENTS: u64 = RAM + 0x4000;
/// The block that the device reaches.
pub(crate) const TARGET: u64 = RAM + 0x20_0000;
pub(crate) const STREAM: StreamId = StreamId(1);
const CD: u64 = RAM + 0x1000;

/// A valid block of 2 MiB: Access flag, not global, both may read and write.
pub(crate) const BLOCK: u64 = TARGET | 1 << 11 | 1 << 10 | 1 << 6 | 1;

pub(crate) fn store(cpu: &dyn Cpu, pa: u64, words: &[u64]) {
    for (index, word) in words.iter().enumerate() {
        cpu.store(Pa(pa + index as u64 * 8), *word).expect("RAM");
    }
}

pub(crate) fn write(cpu: &dyn Cpu, offset: u64, bytes: u8, value: u64) {
    cpu.mmio_write(Pa(REGISTERS + offset), bytes, value);
}

/// Tables and registers for the stream; `ste` and `cd` tell what else is to be in its two.
pub(crate) fn set_up(cpu: &dyn Cpu, ste: Ste, cd: Cd) {
    let ste = Ste { valid: true, config: StreamConfig::Stage1, s1_context_ptr: CD, ..ste };
    let plain = Cd::lower_half(30, TABLE, cd.asid);
    let (tables, ips, mair) = (plain.tables, plain.ips, plain.mair);
    let cd = Cd { valid: true, tables, ips, aa64: true, r: true, a: true, mair, ..cd };
    store(cpu, RAM + u64::from(STREAM.0) * 64, &ste.encode());
    store(cpu, CD, &cd.encode());
    write(cpu, 0x80, 8, RAM);
    write(cpu, 0x88, 4, 4); // STRTAB_BASE_CFG: 16 streams
    write(cpu, 0x90, 8, COMMANDS | 4);
    write(cpu, 0xa0, 8, EVENTS | 4);
    write(cpu, 0x20, 4, 0b1101); // CR0: CMDQEN, EVENTQEN, SMMUEN
}
