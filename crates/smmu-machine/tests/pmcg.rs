//! Software programs the counter group of an SMMU, and finds in it what happened.

use smmu_arch::{Direction, Iova, Observation, Origin, Pa, SmmuId, StreamId, Structure};
use smmu_bus::{Cpu, InterruptLine};
use smmu_machine::{Board, Document, Listener, Machine, MachineFile, Order};
use smmu_master::Dma;

const PMCG: u64 = 0x2b80_0000;
const SMMU: u64 = 0x2b40_0000;
const RAM: u64 = 0x8000_0000;
/// PMCG_EVTYPERn, PMCG_EVCNTRn and PMCG_SMRn of counters of 32 bits.
const EVTYPER: u64 = PMCG + 0x400;
const SMR: u64 = PMCG + 0xa00;
const EVCNTR: u64 = PMCG;

/// Transactions of stream 1, and look-ups in the main TLB that missed, as they were observed.
#[derive(Clone, Copy, Default, Debug)]
struct Statistic {
    of_stream: u64,
    misses: u64,
}

impl Listener for Statistic {
    fn observe(&mut self, _: &Origin, observation: &Observation) {
        match observation {
            Observation::Began(transaction) if transaction.stream == StreamId(1) => {
                self.of_stream += 1;
            }
            Observation::LookedUp { structure: Structure::MainTlb, hit: None, .. } => {
                self.misses += 1;
            }
            _ => {}
        }
    }
}

fn machine(order: Order) -> Machine<Statistic> {
    let text = "[[smmu]]\nname = 's'\n[smmu.tlb]\nentries = 4\nways = 0\n[smmu.pmcg]\n\
        [[device]]\nname = 'a'\nstreams = [1]\n[[device]]\nname = 'b'\nstreams = [2]\n";
    let document = Document::parse("m.toml", text).expect("TOML");
    let blueprint = MachineFile::load_document(&document).expect("a machine");
    Machine::new(Board::build(&blueprint, 0, |_| Statistic::default()).expect("a board"), order)
}

fn write(cpu: &dyn Cpu, at: u64, value: u64) {
    cpu.mmio_write(Pa(at), 4, value);
}

/// Two streams with stage 2 alone: one table of 1 GiB blocks that maps the first 2 GiB.
fn set_up(cpu: &dyn Cpu) {
    use smmu_arch::{Granule, Ste, StreamConfig, Vmid};
    let ste = Ste {
        valid: true,
        config: StreamConfig::Stage2,
        vmid: Vmid(1),
        s2_t0sz: 32,
        s2_sl0: 1,
        s2_tg: Some(Granule::K4),
        s2_ps: 5,
        s2_aa64: true,
        s2_ttb: RAM + 0x1_0000,
        ..Ste::default()
    };
    let store = |at: u64, words: &[u64]| {
        (at..).step_by(8).zip(words).for_each(|(at, word)| cpu.store(Pa(at), *word).expect("RAM"));
    };
    store(RAM + 64, &ste.encode());
    store(RAM + 128, &ste.encode());
    // Level 1 to level 2, whose blocks of 2 MiB may be read and written.
    store(RAM + 0x1_0000, &[(RAM + 0x2_0000) | 3]);
    let blocks: Vec<u64> =
        (0..8).map(|n| (RAM + (n << 21)) | 1 << 10 | 3 << 6 | 0xf << 2 | 1).collect();
    store(RAM + 0x2_0000, &blocks);
    cpu.mmio_write(Pa(SMMU + 0x80), 8, RAM);
    write(cpu, SMMU + 0x88, 4);
    write(cpu, SMMU + 0x20, 1); // SMMUEN
}

/// Counter 0: transactions of stream 1. Counter 1: TLB misses of whatever stream.
fn program(cpu: &dyn Cpu) {
    write(cpu, EVTYPER, 1);
    write(cpu, SMR, 1);
    write(cpu, EVTYPER + 4, 2 | 1 << 29); // FILTER_SID_SPAN
    write(cpu, SMR + 4, 0xffff_ffff);
    write(cpu, PMCG + 0xc00, 0b11); // CNTENSET
    write(cpu, PMCG + 0xe04, 1); // CR.E
}

fn reads(stream: u32, count: u64) -> impl Iterator<Item = Dma> {
    (0..count).map(move |n| Dma {
        stream: StreamId(stream),
        substream: None,
        iova: Iova((n * 7 % 8) << 21),
        bytes: 8,
        direction: Direction::Read,
        privileged: false,
    })
}

#[test]
fn a_counter_that_software_reads_equals_the_exact_statistic() {
    for order in std::iter::once(Order::Direct).chain((0..20).map(Order::Seeded)) {
        let mut machine = machine(order);
        machine.run(set_up).expect("set up");
        machine.run(program).expect("programmed");
        let both = [machine.start_dma(0, reads(1, 30)), machine.start_dma(1, reads(2, 50))];
        for dma in both {
            assert_eq!(machine.wait(dma).expect("an end").refused, 0);
        }
        let counter = |n: u64| move |cpu: &dyn Cpu| cpu.mmio_read(Pa(EVCNTR + 4 * n), 4);
        let counted = [0, 1].map(|n| machine.run(counter(n)).expect("a counter"));
        let seen = machine.listener().with(|statistic| *statistic);
        assert_eq!(counted, [seen.of_stream, seen.misses], "{order:?}");
        assert!(seen.of_stream == 30 && seen.misses > 0, "{seen:?}");
    }
}

#[test]
fn an_overflow_interrupts() {
    for msi in [false, true] {
        let mut machine = machine(Order::Direct);
        machine.run(set_up).expect("set up");
        machine.run(program).expect("programmed");
        let enable = move |cpu: &dyn Cpu| {
            write(cpu, EVCNTR, 0xffff_ffff);
            write(cpu, PMCG + 0xc40, 1); // INTENSET
            if msi {
                cpu.mmio_write(Pa(PMCG + 0xe58), 8, RAM + 0x3000); // IRQ_CFG0
                write(cpu, PMCG + 0xe60, 0x77); // IRQ_CFG1
            }
            write(cpu, PMCG + 0xe50, 1); // IRQ_CTRL
        };
        machine.run(enable).expect("enabled");
        let dma = machine.start_dma(0, reads(1, 3));
        machine.wait(dma).expect("an end");
        let word = machine.run(|cpu| cpu.load(Pa(RAM + 0x3000)).expect("RAM")).expect("a word");
        let pulses = machine.interrupts().count(SmmuId(0), InterruptLine::CounterGroup);
        assert_eq!((word, pulses), if msi { (0x77, 0) } else { (0, 1) });
    }
}

#[test]
fn a_group_that_cannot_be_is_refused() {
    let refuse = |keys: &str| {
        let text = format!("[[smmu]]\nname = 's'\n[smmu.pmcg]\n{keys}\n");
        let document = Document::parse("m.toml", &text).expect("TOML");
        MachineFile::load_document(&document).expect_err("it is refused").to_string()
    };
    assert!(refuse("counters = 65").contains("m.toml:4:12: a PMCG cannot have 65 counters"));
    assert!(refuse("counter_bits = 31").contains("cannot have 31 bits"));
    assert!(refuse("registers = 0x2b40_0000").contains("overlap"));
}
