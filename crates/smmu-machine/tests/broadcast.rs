//! A process on a CPU and devices share a table. The kernel takes a page away with TLBI and DSB,
//! as it does for CPUs, and not with commands. The checker looks on.

use smmu_arch::{
    Asid, BroadcastTlbi, Cd, Direction, Features, Iova, Pa, PeContext, Promise, SmmuId, Stage, Ste,
    StreamConfig, StreamId, TlbiInstruction, Vmid,
};
use smmu_bus::{Cpu, Ram};
use smmu_check::{Blame, Cause, Checker};
use smmu_machine::{Board, Document, Machine, MachineFile, Order};
use smmu_master::Dma;
use std::rc::Rc;

/// Two SMMUs that take part in broadcast maintenance (IDR0.BTM), each with a device.
const FILE: &str = "
    preset = 'ideal'
    [[memory]]
    base = 0x4000_0000
    bytes = '4MiB'
    [[smmu]]
    name = 'a'
    registers = 0x0900_0000
    id.idr0 = 0x094c_723b
    [[smmu]]
    name = 'b'
    registers = 0x0910_0000
    id.idr0 = 0x094c_723b
    [[device]]
    name = 'nic-a'
    smmu = 'a'
    streams = [1]
    [[device]]
    name = 'nic-b'
    smmu = 'b'
    streams = [1]
";
const SMMUS: [u64; 2] = [0x0900_0000, 0x0910_0000];
const STREAMS: u64 = 0x4000_0000;
const CD: u64 = STREAMS + 0x1000;
const TABLE: u64 = STREAMS + 0x2000;
/// The page that the devices reach, a block of 2 MiB.
const TARGET: u64 = STREAMS + 0x20_0000;
const STREAM: StreamId = StreamId(1);
const ASID: Asid = Asid(7);
const PTM: u64 = 1 << 2;
/// What the next owner of the page writes.
const NEW: u64 = 0xfeed;

type Judge = Checker<Rc<Ram>>;

fn machine(order: Order, cr2: u64) -> Machine<Judge> {
    let document = Document::parse("machine.toml", FILE).expect("TOML");
    let blueprint = MachineFile::load_document(&document).expect("a machine");
    let board = Board::build(&blueprint, 0, |ram| {
        let mut checker = Checker::new(Rc::clone(ram));
        for (index, smmu) in blueprint.smmus.iter().enumerate() {
            checker.add_smmu(SmmuId(index as u8), Features::decode(&smmu.ids));
        }
        checker
    });
    let mut machine = Machine::new(board.expect("a board"), order);
    machine.run(move |cpu| set_up(cpu, cr2)).expect("set up");
    machine
}

fn store(cpu: &dyn Cpu, pa: u64, words: &[u64]) {
    for (index, word) in words.iter().enumerate() {
        cpu.store(Pa(pa + index as u64 * 8), *word).expect("RAM");
    }
}

/// A stream whose ASID is that of a process on the CPUs (CD.ASET = 0), with one block mapped.
fn set_up(cpu: &dyn Cpu, cr2: u64) {
    let ste =
        Ste { valid: true, config: StreamConfig::Stage1, s1_context_ptr: CD, ..Ste::default() };
    let cd = Cd::lower_half(30, TABLE, ASID);
    store(cpu, STREAMS + u64::from(STREAM.0) * 64, &ste.encode());
    store(cpu, CD, &cd.encode());
    // A valid block: nG, Access flag, both may read and write.
    store(cpu, TABLE, &[TARGET | 1 << 11 | 1 << 10 | 1 << 6 | 1]);
    for registers in SMMUS {
        let write = |offset, bytes, value| cpu.mmio_write(Pa(registers + offset), bytes, value);
        write(0x80, 8, STREAMS);
        write(0x88, 4, 4); // STRTAB_BASE_CFG: 16 streams
        write(0x2c, 4, cr2);
        write(0x20, 4, 1); // CR0: SMMUEN
    }
}

/// Takes the block away: store, TLBI VALE1IS, DSB; then whoever asked may rely on it.
fn unmap(cpu: &dyn Cpu) {
    store(cpu, TABLE, &[0]);
    let xt = u64::from(ASID.0) << 48;
    let tlbi = BroadcastTlbi::of(TlbiInstruction::Vale1Is, xt, &PeContext::default());
    cpu.tlbi(tlbi.expect("an address"));
    cpu.dsb();
    for smmu in [SmmuId(0), SmmuId(1)] {
        let (vmid, asid, last) = (Vmid(0), Some(ASID), (2 << 20) - 1);
        let stage = Stage::Stage1;
        cpu.promise(Promise::Unmapped { smmu, stage, vmid, asid, first: 0, last });
    }
}

/// Writes to the block, one transaction after the other.
fn transfers(count: usize) -> impl Iterator<Item = Dma> {
    let dma = Dma {
        stream: STREAM,
        substream: None,
        iova: Iova(0x1000),
        bytes: 8,
        direction: Direction::Write,
        privileged: false,
    };
    std::iter::repeat_n(dma, count)
}

/// Both devices make `count` transactions; gives how many moved data.
fn dma(machine: &mut Machine<Judge>, count: usize) -> u64 {
    let ids = [0, 1].map(|device| machine.start_dma(device, transfers(count)));
    ids.map(|id| machine.wait(id).expect("an end").moved).iter().sum()
}

fn verdicts(machine: &Machine<Judge>) -> Vec<(Blame, Cause)> {
    let of = |judge: &mut Judge| {
        judge.verdicts().iter().map(|verdict| (verdict.blame, verdict.cause)).collect()
    };
    machine.listener().with(of)
}

fn orders() -> impl Iterator<Item = Order> {
    std::iter::once(Order::Direct).chain((0..100).map(Order::Seeded))
}

#[test]
fn a_broadcast_and_a_dsb_end_the_use_of_a_page_in_every_smmu() {
    for order in orders() {
        let mut machine = machine(order, 0);
        assert_eq!(dma(&mut machine, 2), 4, "{order:?}");
        machine.run(unmap).expect("a DSB that returns");
        assert_eq!(dma(&mut machine, 2), 0, "{order:?}");
        assert_eq!(verdicts(&machine), [], "{order:?}");
    }
}

/// What devices do meanwhile is stale at times, and legal until the DSB has returned. Then the page
/// is another's, and no write that was under way reaches it any more.
#[test]
fn devices_that_go_on_meanwhile_use_nothing_stale_after_the_dsb() {
    let mut stale = 0;
    for order in orders() {
        let mut machine = machine(order, 0);
        dma(&mut machine, 1);
        let ids = [0, 1].map(|device| machine.start_dma(device, transfers(20)));
        let new_owner = |cpu: &dyn Cpu| {
            unmap(cpu);
            store(cpu, TARGET + 0x1000, &[NEW]);
        };
        machine.run(new_owner).expect("a DSB that returns");
        for id in ids {
            machine.wait(id).expect("an end");
        }
        let word = machine.run(|cpu| cpu.load(Pa(TARGET + 0x1000)).expect("RAM"));
        assert_eq!(word, Ok(NEW), "{order:?}");
        assert_eq!(verdicts(&machine), [], "{order:?}");
        stale += machine.listener().with(|judge| judge.counters().stale_legal);
    }
    assert!(stale > 0, "no order had a use between the store and the DSB");
}

#[test]
fn with_ptm_the_page_stays_reachable_and_the_checker_says_so() {
    for order in orders() {
        let mut machine = machine(order, PTM);
        assert_eq!(dma(&mut machine, 2), 4, "{order:?}");
        machine.run(unmap).expect("a DSB that returns");
        assert_eq!(dma(&mut machine, 2), 4, "{order:?}");
        assert_eq!(verdicts(&machine), [(Blame::Driver, Cause::StaleTranslation); 2], "{order:?}");
    }
}

/// DSBs of two CPUs are answered each for itself.
#[test]
fn cpus_synchronise_beside_each_other() {
    for order in orders() {
        let mut machine = machine(order, 0);
        let id = machine.start_dma(0, transfers(20));
        let other = machine.start_program(|cpu| (0..5).for_each(|_| cpu.dsb()));
        machine.run(unmap).expect("a DSB that returns");
        machine.join(&other).expect("five DSBs");
        machine.wait(id).expect("an end");
        assert_eq!(verdicts(&machine), [], "{order:?}");
    }
}
