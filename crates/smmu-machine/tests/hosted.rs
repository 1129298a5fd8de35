//! A machine that its host calls: the host stores tables and commands in memory of its own, behind the
//! machine's back, and everything that follows from a call is done when it returns.

use smmu_arch::{
    Asid, AtcInv, Cd, CmdSync, Command, Direction, Eats, Fault, Iova, Pa, SmmuId, StageFaultKind,
    Ste, StreamConfig, StreamId, TlbiRange, TlbiVa, Vmid,
};
use smmu_bus::{InterruptLine, Memory, Ram};
use smmu_check::Blame;
use smmu_machine::hosted::{Access, AccessError, Host, Hosted, HostedOptions};
use smmu_machine::{Document, MachineFile};
use std::sync::atomic::{AtomicU32, Ordering};

const MACHINE: &str = "
preset = 'adversary'
[[smmu]]
name = 's'
id.idr0 = 0x094c_761b # with ATS
[[device]]
name = 'nic'
streams = [1]
ats = {}
";
const SMMU: SmmuId = SmmuId(0);
const STREAM: StreamId = StreamId(1);
const ASID: Asid = Asid(7);
const STREAMS: u64 = 0x1000;
const CD: u64 = 0x2000;
const TABLE: u64 = 0x3000;
const COMMANDS: u64 = 0x4000;
const EVENTS: u64 = 0x5000;
/// Where the only block of 2 MiB leads.
const TARGET: u64 = 0x20_0000;
/// nG, Access flag, both may read and write, valid.
const BLOCK: u64 = TARGET | 1 << 11 | 1 << 10 | 1 << 6 | 1;

/// Counts interrupts.
#[derive(Debug, Default)]
struct Ears(AtomicU32);

impl Host for Ears {
    fn interrupt(&self, _: SmmuId, _: InterruptLine) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Bench {
    machine: Hosted<Ram, Ears>,
    registers: u64,
    commands: u32,
}

impl Bench {
    fn new() -> Self {
        let document = Document::parse("machine.toml", MACHINE).unwrap();
        let blueprint = MachineFile::load_document(&document).unwrap();
        let ram = Ram::new([(Pa(0), 4 << 20)]).unwrap();
        let options = HostedOptions::default();
        let machine = Hosted::new(&blueprint, options, ram, Ears::default()).unwrap();
        let bench = Self { machine, registers: blueprint.smmus[0].registers, commands: 0 };
        let ste = Ste {
            valid: true,
            config: StreamConfig::Stage1,
            s1_context_ptr: CD,
            eats: Eats::Full,
            ..Ste::default()
        };
        bench.store(STREAMS + 64, &ste.encode());
        bench.store(CD, &Cd::lower_half(30, TABLE, ASID).encode());
        bench.store(TABLE, &[BLOCK]);
        bench.write(0x80, 8, STREAMS);
        bench.write(0x88, 4, 4); // STRTAB_BASE_CFG: 16 streams
        bench.write(0x90, 8, COMMANDS | 4);
        bench.write(0xa0, 8, EVENTS | 4);
        bench.write(0x50, 4, 0b101); // IRQ_CTRL: events and errors
        bench.write(0x20, 4, 0b1_1101); // CR0: ATSCHK, CMDQEN, EVENTQEN, SMMUEN
        bench
    }

    fn store(&self, at: u64, words: &[u64]) {
        self.machine.memory().write_words(Pa(at), words).unwrap();
    }

    fn write(&self, offset: u64, bytes: u8, value: u64) {
        self.machine.mmio_write(self.registers + offset, bytes, value);
    }

    /// Sends commands; when the call returns they have been consumed.
    fn send(&mut self, commands: &[Command]) {
        for command in commands {
            let slot = u64::from(self.commands % 16);
            self.store(COMMANDS + slot * 16, &command.encode());
            self.commands += 1;
        }
        let producer = u64::from(self.commands % 32);
        self.write(0x98, 4, producer);
        assert_eq!(self.machine.mmio_read(self.registers + 0x9c, 4), producer, "all consumed");
    }

    fn access(&self) -> Access {
        Access::new(SMMU, STREAM, Iova(0x1000), Direction::Write)
    }

    fn unmapped(&self) {
        assert!(self.machine.unmapped(SMMU, STREAM, None, 0, (2 << 20) - 1));
    }
}

fn invalidation() -> [Command; 2] {
    let range = TlbiRange::single(0, true);
    let by_address = Command::TlbiNhVa(TlbiVa { vmid: Vmid(0), asid: ASID, range });
    [by_address, Command::Sync(CmdSync::POLLED)]
}

#[test]
fn a_master_reaches_what_the_tables_of_its_host_say() {
    let bench = Bench::new();
    let bytes: Vec<u8> = (0..=255).collect();
    let access = Access { iova: Iova(0x1f80), ..bench.access() };
    bench.machine.write(&access, &bytes).unwrap();
    let mut read = vec![0; 256];
    bench.machine.memory().read_bytes(Pa(TARGET + 0x1f80), &mut read).unwrap();
    assert_eq!(read, bytes, "over the end of a page");
    read.fill(0);
    bench.machine.read(&access, &mut read).unwrap();
    assert_eq!((read, bench.machine.verdict_count()), (bytes, 0));
}

/// The store is not seen as it is made: the next call finds it out.
#[test]
fn an_unmap_without_tlbi_is_a_bug_of_the_driver_and_one_with_it_is_none() {
    for invalidates in [false, true] {
        let mut bench = Bench::new();
        bench.machine.write(&bench.access(), &[1]).unwrap();
        bench.store(TABLE, &[0]);
        if invalidates {
            bench.send(&invalidation());
        }
        bench.unmapped();
        let outcome = bench.machine.translate(&bench.access());
        let verdicts = bench.machine.verdicts();
        if invalidates {
            let Err(AccessError::Aborted { fault: Some(Fault::Stage(fault)), recorded: true }) =
                outcome
            else {
                panic!("{outcome:?}");
            };
            assert_eq!((fault.kind, verdicts), (StageFaultKind::Translation, vec![]));
            assert_eq!(bench.machine.host().0.load(Ordering::Relaxed), 1, "for the event");
        } else {
            assert_eq!(outcome, Ok(Pa(TARGET + 0x1000)));
            assert_eq!(verdicts[0].blame, Blame::Driver);
            assert!(verdicts[0].missing_text().starts_with("CMD_TLBI_NH_VA"));
        }
    }
}

#[test]
fn an_endpoint_keeps_what_it_was_told_until_it_is_told_to_forget() {
    let mut bench = Bench::new();
    let access = Access { by_ats: true, ..bench.access() };
    assert_eq!(bench.machine.translate(&access), Ok(Pa(TARGET + 0x1000)));
    bench.store(TABLE, &[0]);
    bench.send(&invalidation());
    assert_eq!(bench.machine.translate(&access), Ok(Pa(TARGET + 0x1000)), "from its own cache");
    let everything =
        AtcInv { stream: STREAM, substream: None, global: false, address: Iova(0), size_log2: 52 };
    bench.send(&[Command::AtcInv(everything), Command::Sync(CmdSync::POLLED)]);
    assert!(matches!(bench.machine.translate(&access), Err(AccessError::NotTranslated(_))));
}

#[test]
fn several_threads_call_at_once_and_nothing_is_lost() {
    let bench = Bench::new();
    std::thread::scope(|threads| {
        for thread in 0..4u64 {
            let bench = &bench;
            threads.spawn(move || {
                for turn in 0..200u64 {
                    let iova = Iova(0x1_0000 * thread + 8 * turn);
                    let value = (thread << 32 | turn).to_le_bytes();
                    bench.machine.write(&Access { iova, ..bench.access() }, &value).unwrap();
                }
            });
        }
    });
    for thread in 0..4u64 {
        for turn in 0..200u64 {
            let at = Pa(TARGET + 0x1_0000 * thread + 8 * turn);
            assert_eq!(bench.machine.memory().read_word(at), Ok(thread << 32 | turn));
        }
    }
    assert_eq!(bench.machine.verdict_count(), 0);
}

#[test]
fn what_is_not_there_is_said() {
    let bench = Bench::new();
    assert_eq!(bench.machine.mmio_read(0x1234, 4), 0xffff_ffff);
    let elsewhere = Access { smmu: SmmuId(9), ..bench.access() };
    assert_eq!(bench.machine.translate(&elsewhere), Err(AccessError::NoSuchSmmu));
    bench.store(TABLE, &[BLOCK - TARGET + (1 << 40)]);
    let gone = bench.machine.write(&bench.access(), &[1]);
    assert_eq!(gone, Err((0, AccessError::NoMemory(Pa((1 << 40) + 0x1000)))));
}
