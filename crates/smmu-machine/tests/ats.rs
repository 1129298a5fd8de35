//! An endpoint with an address translation cache, and software that takes a page from it.

mod common;

use common::{BLOCK, COMMANDS, RAM, REGISTERS, STREAM, TABLE, TARGET, set_up, store, write};
use smmu_arch::{
    AtcInv, Cd, CmdSync, Command, Direction, Eats, Iova, Observation, Origin, Pa, Ste, TlbiVmidAsid,
};
use smmu_bus::Cpu;
use smmu_machine::{Board, Document, Listener, Machine, MachineFile, Order};
use smmu_master::{Dma, DmaSummary};

const IOVA: u64 = 0x1000;
/// What the next owner of the page writes.
const NEW: u64 = 0xfeed;

/// What an SMMU was asked for over ATS and not, counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Traffic {
    untranslated: u64,
    requests: u64,
    translated: u64,
}

impl Listener for Traffic {
    fn observe(&mut self, _: &Origin, observation: &Observation) {
        match observation {
            Observation::Began(_) => self.untranslated += 1,
            Observation::AtsCompleted { .. } => self.requests += 1,
            Observation::AtsTranslated { .. } => self.translated += 1,
            _ => {}
        }
    }
}

fn machine(order: Order, ats: &str) -> Machine<Traffic> {
    let file = format!(
        "preset = 'ideal'
        [[memory]]
        base = {RAM:#x}
        bytes = '4MiB'
        [[smmu]]
        name = 'smmu'
        registers = {REGISTERS:#x}
        id.idr0 = 0x094c_761b
        [[device]]
        name = 'nic'
        streams = [1]
        {ats}"
    );
    let document = Document::parse("machine.toml", &file).expect("TOML");
    let blueprint = MachineFile::load_document(&document).expect("a machine");
    let board = Board::build(&blueprint, 0, |_| Traffic::default()).expect("a board");
    let mut machine = Machine::new(board, order);
    machine.run(boot).expect("set up");
    machine
}

/// Full ATS, and a table of one block.
fn boot(cpu: &dyn Cpu) {
    store(cpu, TABLE, &[BLOCK]);
    set_up(cpu, Ste { eats: Eats::Full, ..Ste::default() }, Cd::default());
}

/// Lets others run. In direct order nobody does before the CPU waits for a later moment; in any
/// other order, time passes only when nobody else can go on.
fn pause(cpu: &dyn Cpu, order: Order) {
    match order {
        Order::Direct => cpu.wait_until(cpu.now_ns() + 100),
        _ => cpu.barrier(),
    }
}

/// Issues commands and waits until the queue is empty or in error. Gives CMDQ_CONS.ERR.
fn issue(cpu: &dyn Cpu, order: Order, commands: &[Command]) -> u64 {
    let mut producer = cpu.mmio_read(Pa(REGISTERS + 0x98), 4);
    for command in commands {
        store(cpu, COMMANDS + producer % 16 * 16, &command.encode());
        producer = (producer + 1) % 32;
    }
    write(cpu, 0x98, 4, producer);
    loop {
        let consumer = cpu.mmio_read(Pa(REGISTERS + 0x9c), 4);
        let in_error = cpu.mmio_read(Pa(REGISTERS + 0x60), 4) & 1 != 0; // GERROR.CMDQ_ERR
        if in_error {
            return cpu.mmio_read(Pa(REGISTERS + 0x9c), 4) >> 24 & 0x7f;
        }
        if consumer & 0x1f == producer {
            return 0;
        }
        pause(cpu, order);
    }
}

fn atc_inv() -> Command {
    let address = Iova(IOVA);
    Command::AtcInv(AtcInv {
        stream: STREAM,
        substream: None,
        global: false,
        size_log2: 0,
        address,
    })
}

const SYNC: Command = Command::Sync(CmdSync::POLLED);

fn tlbi() -> Command {
    let (vmid, asid) = (smmu_arch::Vmid(0), smmu_arch::Asid(0));
    Command::TlbiNhAsid(TlbiVmidAsid { vmid, asid })
}

/// Once the device has written, unmaps the block, invalidates what `commands` say, and gives the page to somebody else.
fn take_away(cpu: &dyn Cpu, order: Order, commands: &[Command]) {
    while cpu.load(Pa(TARGET + IOVA)).expect("RAM") == 0 {
        pause(cpu, order);
    }
    store(cpu, TABLE, &[0]);
    assert_eq!(issue(cpu, order, commands), 0);
    store(cpu, TARGET + IOVA, &[NEW]);
}

fn writes(count: usize) -> impl Iterator<Item = Dma> {
    let dma = Dma {
        stream: STREAM,
        substream: None,
        iova: Iova(IOVA),
        bytes: 64,
        direction: Direction::Write,
        privileged: false,
    };
    std::iter::repeat_n(dma, count)
}

fn word(machine: &mut Machine<Traffic>) -> u64 {
    machine.run(|cpu| cpu.load(Pa(TARGET + IOVA)).expect("RAM")).expect("a word")
}

/// A page is taken from a device that writes all the time; gives what is in it at the end.
fn race(order: Order, commands: &'static [fn() -> Command]) -> (u64, DmaSummary) {
    let mut machine = machine(order, "ats = {}");
    let dma = machine.start_dma(0, writes(24));
    let commands: Vec<Command> = commands.iter().map(|command| command()).collect();
    machine.run(move |cpu| take_away(cpu, order, &commands)).expect("it is taken");
    let summary = machine.wait(dma).expect("an end");
    (word(&mut machine), summary)
}

fn orders() -> impl Iterator<Item = Order> {
    std::iter::once(Order::Direct).chain((0..100).map(Order::Seeded))
}

#[test]
fn one_request_serves_every_access_to_the_page() {
    for order in orders() {
        let mut machine = machine(order, "ats = {}");
        let dma = machine.start_dma(0, writes(5));
        let summary = machine.wait(dma).expect("an end");
        assert_eq!((summary.moved, word(&mut machine)), (5, IOVA), "{order:?}");
        let seen = machine.listener().with(|traffic| *traffic);
        let expected = Traffic { untranslated: 0, requests: 1, translated: 5 };
        assert_eq!(seen, expected, "{order:?}");
    }
}

#[test]
fn a_device_without_a_cache_goes_untranslated() {
    let mut machine = machine(Order::Direct, "");
    let dma = machine.start_dma(0, writes(5));
    machine.wait(dma).expect("an end");
    let seen = machine.listener().with(|traffic| *traffic);
    assert_eq!(seen, Traffic { untranslated: 5, requests: 0, translated: 0 });
}

/// CMD_SYNC waits for the endpoint, and the endpoint for the accesses that it has begun.
#[test]
fn nothing_is_written_after_the_sync_behind_an_atc_inv() {
    let mut both = 0;
    for order in orders() {
        let (word, summary) = race(order, &[tlbi, || SYNC, atc_inv, || SYNC]);
        assert_eq!(word, NEW, "{order:?}");
        both += u32::from(summary.moved > 0 && summary.refused > 0);
    }
    assert!(both > 20, "the page is taken in the middle of the transfers");
}

#[test]
fn without_an_atc_inv_the_cache_is_used_on() {
    let late = orders().filter(|&order| race(order, &[tlbi, || SYNC]).0 == IOVA).count();
    assert!(late > 20, "{late}");
}

#[test]
fn an_endpoint_that_does_not_answer_times_out() {
    for order in orders() {
        let mut machine = machine(order, "ats = { answers = false }");
        let error =
            machine.run(move |cpu| issue(cpu, order, &[atc_inv(), SYNC])).expect("an error");
        assert_eq!(error, 3, "CERROR_ATC_INV_SYNC");
    }
}

#[test]
fn ats_needs_an_smmu_that_has_it() {
    let refuse = |file: &str| {
        let document = Document::parse("m.toml", file).expect("TOML");
        let error = MachineFile::load_document(&document).expect_err("it is refused");
        (error.to_string(), error.remedy().unwrap_or_default().to_owned())
    };
    let device = "[[device]]\nname = 'nic'\nstreams = [1]\n";
    let (what, help) = refuse(&format!("{device}ats = {{}}\n"));
    assert!(what.starts_with("m.toml:4:7: `smmu0` has no ATS (IDR0.ATS = 0) for `nic`"), "{what}");
    assert!(help.contains("idr0 = 0x94c761b"), "{help}");
    let smmu = "[[smmu]]\nname = 's'\nid.idr0 = 0x094c_761b\n";
    let (what, _) = refuse(&format!("{smmu}{device}ats = {{ entries = 0 }}\n"));
    assert!(what.contains("cannot have 0 entries"), "{what}");
}
