//! NVIDIA's CMDQV: queues for guests. What is held is what Linux's tegra241-cmdqv.c rests on.

mod common;

use common::{Bench, Kind, Setup, Space, at, output, read};
use smmu_arch::registers::{CMDQV_BYTES, CmdqvParam};
use smmu_arch::{Iova, Pa, StreamId};
use smmu_bus::{InterruptLine, Mmio};
use smmu_device::{CmdqvFrame, Progress};
use smmu_tables::Prot;
use std::sync::Arc;

const SYNC: [u64; 2] = [0x46, 0];
const HYP_OWN: u32 = 1 << 17;

/// Eight queues, four interfaces, four slots each; ATS.
fn setup() -> Setup {
    let param = CmdqvParam::new().with_log2_queues(3).with_log2_interfaces(2).with_log2_streams(2);
    let mut setup = Setup { cmdqv: Some(param), ..Setup::default() };
    setup.ids.idr0 |= 1 << 10;
    setup
}

const fn ring(queue: u64) -> Pa {
    Pa(0x8005_0000 + queue * 0x1000)
}

/// The block with an SMMU behind it.
struct Block {
    bench: Bench,
    frame: CmdqvFrame,
}

impl Block {
    fn new() -> Self {
        let bench = Bench::with(setup());
        let block = Self { frame: CmdqvFrame(Arc::clone(&bench.smmu)), bench };
        block.write(0x0, 1);
        block
    }

    fn write(&self, offset: u64, value: u32) {
        self.frame.mmio_write(offset, 4, value.into());
    }

    fn read(&self, offset: u64) -> u32 {
        self.frame.mmio_read(offset, 4) as u32
    }

    /// Enables an interface with a VMID.
    fn interface(&self, vintf: u64, vmid: u32, flags: u32) {
        self.write(0x1000 + vintf * 0x100, 1 | vmid << 1 | flags);
    }

    /// Gives a queue to an interface and enables it.
    fn queue(&self, queue: u64, vintf: u32, lvcmdq: u32) {
        self.write(0x200 + queue * 4, 1 | lvcmdq << 1 | vintf << 15);
        self.frame.mmio_write(0x2_0000 + queue * 0x80, 8, ring(queue).0 | 4);
        self.write(0x1_0008 + queue * 0x80, 1);
    }

    fn issue(&self, queue: u64, words: [u64; 2]) {
        let at = 0x1_0004 + queue * 0x80;
        let prod = self.read(at);
        self.bench.store(ring(queue).offset(u64::from(prod & 0xf) * 16), &words);
        self.write(at, (prod + 1) & 0x1f);
    }

    fn cons(&self, queue: u64) -> u32 {
        self.read(0x1_0000 + queue * 0x80)
    }

    /// A command of queue 0, alone: the CERROR that it gives.
    fn error_of(&mut self, words: [u64; 2]) -> Option<u32> {
        self.issue(0, words);
        self.bench.pump();
        let active = self.read(0x1_0010) != self.read(0x1_0014);
        let error = active.then(|| self.cons(0) >> 24);
        // Passed over, and acknowledged.
        if active {
            self.write(0x1_0008, 0);
            self.write(0x1_0000, self.read(0x1_0004));
            self.write(0x1_0014, self.read(0x1_0010));
            self.write(0x1_0008, 1);
        }
        error
    }
}

fn space(vmid: u16) -> Space {
    Space { kind: Kind::Nested, vmid, asid: 7 }
}

/// Both VMs use ASID 7 and the same addresses, as guests do.
fn two_guests() -> (Block, [u32; 2]) {
    let mut block = Block::new();
    let streams = [1, 2].map(|vmid| {
        let stage2 = Space { kind: Kind::Stage2, vmid, asid: 0 };
        block.bench.map(stage2, 0x1000, 0x10_0000 * u64::from(vmid), 0x1000, Prot::READ);
        block.bench.map(space(vmid), 0x5000, 0x1000, 0x1000, Prot::READ);
        block.bench.stream_of(space(vmid))
    });
    (block, streams)
}

/// Whether the next look-up of each VM hits.
fn hits(block: &mut Block, streams: [u32; 2]) -> [bool; 2] {
    streams.map(|stream| {
        let granted = block.bench.dma(&read(stream, 0x5000)).expect("mapped");
        matches!(granted.path, smmu_arch::Path::Hit(_))
    })
}

#[test]
fn a_guests_tlbi_bears_the_vmid_of_its_interface() {
    for tlbi in [[0x11 | 7 << 48 | 2 << 32, 0], [0x12 | 7 << 48 | 2 << 32, 0x5000]] {
        let (mut block, streams) = two_guests();
        hits(&mut block, streams);
        assert_eq!(hits(&mut block, streams), [true, true]);
        block.interface(1, 1, 0);
        block.queue(0, 1, 0);
        // The guest says VMID 2. It is VMID 1 that is meant.
        [tlbi, SYNC].into_iter().for_each(|words| block.issue(0, words));
        assert_eq!(block.bench.pump(), Progress::Idle);
        assert_eq!(block.cons(0), 2);
        assert_eq!(hits(&mut block, streams), [false, true]);
    }
}

#[test]
fn a_guest_has_three_commands_and_the_sync_without_a_signal() {
    let mut block = Block::new();
    block.interface(1, 1, 0);
    block.write(0x1140, 1 | 9 << 1);
    block.queue(0, 1, 0);
    let allowed = [0x11, 0x12, 0x40 | 9 << 32, 0x46];
    for words in allowed {
        assert_eq!(block.error_of([words, 0]), None, "{words:#x}");
    }
    for opcode in (0..=0xff).filter(|opcode| !allowed.iter().any(|words| words & 0xff == *opcode)) {
        assert_eq!(block.error_of([opcode, 0]), Some(1), "{opcode:#x}");
    }
    for signal in 1..=3 {
        assert_eq!(block.error_of([0x46 | signal << 12, 0]), Some(1), "CS = {signal}");
    }
    assert_eq!(block.bench.command_error(), None, "the SMMU's own queue has no part in it");
}

#[test]
fn the_hypervisors_own_queue_takes_every_command() {
    let mut block = Block::new();
    block.interface(0, 0, HYP_OWN);
    block.queue(0, 0, 0);
    for opcode in [0x03, 0x04, 0x05, 0x10, 0x11, 0x12, 0x20, 0x28, 0x2a, 0x30, 0x40, 0x46] {
        assert_eq!(block.error_of([opcode, 0]), None, "{opcode:#x}");
    }
    for refused in [0xff, 0x46 | 1 << 12, 0x46 | 2 << 12] {
        assert_eq!(block.error_of([refused, 0]), Some(1), "{refused:#x}");
    }
}

#[test]
fn a_guests_streamid_is_replaced_by_the_real_one() {
    let mut block = Block::new();
    block.interface(1, 1, 0);
    block.queue(0, 1, 0);
    for (slot, (virtual_sid, physical)) in [(9, 0x40), (5, 0x41)].into_iter().enumerate() {
        block.write(0x1140 + 4 * slot as u64, 1 | virtual_sid << 1);
        block.write(0x1180 + 4 * slot as u64, physical);
    }
    assert_eq!(block.error_of([0x40 | 5 << 32, 0x3000]), None);
    let sent = block.bench.pulses.invalidations.pop().expect("an endpoint was told");
    assert_eq!((sent.stream, sent.address), (StreamId(0x41), Iova(0x3000)));
    // A StreamID of nobody, and one whose slot is not valid any more.
    assert_eq!(block.error_of([0x40 | 0x41 << 32, 0]), Some(1));
    block.write(0x1144, 5 << 1);
    assert_eq!(block.error_of([0x40 | 5 << 32, 0]), Some(1));
    assert_eq!(block.bench.pulses.invalidations, []);
}

#[test]
fn slots_are_as_many_as_param_says() {
    let block = Block::new();
    assert_eq!(block.read(0x4), 2 << 12 | 2 << 8 | 3 << 4);
    for (offset, exists) in [(0x114c, true), (0x1150, false), (0x118c, true), (0x1190, false)] {
        block.write(offset, 3);
        assert_eq!(block.read(offset) != 0, exists, "{offset:#x}");
    }
    block.write(0x1400, 1);
    assert_eq!(block.read(0x1400), 0, "four interfaces");
    block.write(0x220, 1);
    assert_eq!(block.read(0x220), 0, "eight queues");
}

#[test]
fn a_queue_runs_when_everything_above_it_is_enabled() {
    let off: [(u64, u32, u32); 4] =
        [(0x0, 0, 1), (0x1100, 0, 1 | 1 << 1), (0x200, 0, 1 | 1 << 15), (0x1_0008, 0, 1)];
    for (offset, off, on) in off {
        let mut block = Block::new();
        block.interface(1, 1, 0);
        block.queue(0, 1, 0);
        block.write(offset, off);
        block.issue(0, SYNC);
        block.bench.pump();
        assert_eq!(block.cons(0), 0, "{offset:#x}");
        block.write(offset, on);
        block.bench.pump();
        assert_eq!(block.cons(0), 1, "{offset:#x}");
    }
}

#[test]
fn enables_are_acknowledged_and_disables_wait_for_the_command_under_way() {
    let (mut block, streams) = two_guests();
    block.interface(1, 1, 0);
    block.queue(0, 1, 0);
    let status = [0x8, 0x1104, 0x1_000c];
    assert_eq!(status.map(|offset| block.read(offset)), [1, 1, 1]);
    let memory = &block.bench.memory;
    block.bench.ports[0].translate(memory, &read(streams[0], 0x5000)).expect("mapped");
    [[0x11, 0], SYNC].into_iter().for_each(|words| block.issue(0, words));
    assert!(matches!(block.bench.pump(), Progress::Pending(_)));
    [0x0, 0x1100, 0x1_0008].into_iter().for_each(|offset| block.write(offset, 0));
    assert_eq!(status.map(|offset| block.read(offset)), [1, 1, 1]);
    block.bench.ports[0].end();
    block.bench.pump();
    assert_eq!(status.map(|offset| block.read(offset)), [0, 0, 0]);
    assert_eq!(block.cons(0), 2);
}

#[test]
fn an_error_shows_in_every_map_and_stops_its_queue_only() {
    let mut block = Block::new();
    block.interface(1, 1, 0);
    block.interface(2, 2, 0);
    block.queue(5, 1, 3);
    block.queue(6, 2, 0);
    block.issue(5, [0x30, 0]);
    block.issue(6, SYNC);
    block.bench.pump();
    assert_eq!((block.cons(5), block.cons(6)), (1 << 24, 1));
    assert_eq!(block.frame.mmio_read(0x14, 8), 1 << 1, "VINTF_ERR_MAP");
    assert_eq!(block.read(0x24), 1 << 5, "CMDQ_ERR_MAP");
    assert_eq!(block.frame.mmio_read(0x11c0, 8), 1 << 3, "LVCMDQ_ERR_MAP");
    assert_eq!(block.read(0x12c0), 0, "of the other interface");
    assert_eq!(block.bench.pulses.lines, [InterruptLine::Cmdqv]);
    assert_eq!(block.bench.read(at::GERROR), 0);
    // A masked interface raises none.
    block.write(0x1c, 1 << 2);
    block.issue(6, [0x30, 0]);
    block.bench.pump();
    assert_eq!(block.cons(6), 1 << 24 | 1);
    assert_eq!(block.bench.pulses.lines.len(), 1);
    // Repaired and acknowledged, the queue goes on.
    block.bench.store(ring(5), &SYNC);
    block.write(0x1_0014 + 5 * 0x80, 1);
    block.bench.pump();
    assert_eq!(block.cons(5) & 0xf_ffff, 1);
    assert_eq!(block.read(0x24), 1 << 6);
}

#[test]
fn an_aperture_shows_the_queues_of_its_interface() {
    let mut block = Block::new();
    block.interface(1, 1, 0);
    block.write(0x200 + 4 * 7, 1 | 2 << 1 | 1 << 15); // queue 7 is the third of interface 1
    let (page0, page1) = (0x5_0000 + 2 * 0x80, 0x6_0000 + 2 * 0x80);
    block.frame.mmio_write(page1, 8, ring(7).0 | 4);
    block.write(page0 + 8, 1);
    block.bench.store(ring(7), &SYNC);
    block.write(page0 + 4, 1);
    block.bench.pump();
    assert_eq!((block.cons(7), block.read(page0)), (1, 1));
    assert_eq!(block.frame.mmio_read(0x2_0000 + 7 * 0x80, 8), ring(7).0 | 4);
    // Nothing else is in it, nor in the aperture of another.
    block.write(0x5_0004, 1);
    assert_eq!((block.read(0x5_0004), block.read(0x3_0000 + 2 * 0x80)), (0, 0));
}

#[test]
fn base_and_index_cannot_be_written_at_work() {
    let block = Block::new();
    block.queue(0, 1, 0);
    block.write(0x2_0000, 0x1234_0000);
    block.write(0x1_0000, 5);
    assert_eq!(block.frame.mmio_read(0x2_0000, 8), ring(0).0 | 4);
    assert_eq!(block.cons(0), 0);
    assert_eq!(block.frame.mmio_read(0x1_0000, 2), 0, "no access of 2 bytes");
}

#[test]
fn no_access_panics() {
    let mut block = Block::new();
    for offset in (0..CMDQV_BYTES + 0x100).step_by(0x1c) {
        block.frame.mmio_write(offset, 8, 0xffff_ffff_ffff_ffff);
        block.frame.mmio_read(offset, 8);
    }
    for offset in [u64::MAX - 3, u64::MAX - 7, CMDQV_BYTES] {
        block.frame.mmio_write(offset, 8, 1);
        assert_eq!(block.frame.mmio_read(offset, 8), 0);
    }
    block.bench.pump();
}

#[test]
fn without_a_block_nothing_answers() {
    let mut bench = Bench::new();
    let frame = CmdqvFrame(Arc::clone(&bench.smmu));
    frame.mmio_write(0, 4, 1);
    assert_eq!(frame.mmio_read(0, 4), 0);
    let space = Space { kind: Kind::Stage1, vmid: 1, asid: 7 };
    bench.map(space, 0x1000, 0x8000, 0x1000, Prot::READ);
    let stream = bench.stream_of(space);
    assert_eq!(output(bench.dma(&read(stream, 0x1000))), Pa(0x8000));
}
