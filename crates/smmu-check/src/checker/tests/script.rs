//! A machine of words in memory, stepped by a script. The SMMU is played by the script: it says
//! what each transaction was given, right or wrong.
//!
//! ```text
//! domain a s2 vmid=1                   tables: s1, s2 or nested; tags vmid= and asid=
//! attach 5 a                           STE of stream 5
//! detach 5                             STE: abort
//! map a 0x1000 0x80001000              leaf of the first stage
//! map2 n 0x1000 0x80001000             leaf of stage 2 of a nested domain
//! dma 5 0x1000 walk 1                  walked, and entry 1 filled
//! dma 5 0x1000 hit 1                   by entry 1
//! dma 5 0x1000 reaches 0x9000 as a     walked to an address under the tags of a
//! dma 5 0x1000 passes 0x1000           untranslated
//! dma 5 0x1000 refused ste             refused: ste, translation, permission
//! t1: begin 5 0x1000                   the same in steps: then `t1: hit 1`, `t1: end`
//! cmd S12_VMALL vmid=1                 an invalidation takes effect
//! sync                                 a CMD_SYNC completes
//! promise unmapped a 0x1000            see `promise`
//! dma 5 0x1000 auto                    whatever the adversary makes of it
//! t1: latch                            the adversary looks up now, and
//! t1: deliver                          the outcome is observed now
//! ```

use super::adversary::Adversary;
use crate::{Checker, Counters, Globals, StoreWire};
use smmu_arch::{Access, BroadcastTlbi, Direction, Maintenance};
use smmu_arch::{
    AddressSpace, Asid, CfgiCd, CfgiSte, Command, CommandFeatures, CommandQueueId, EntryKind,
    Epoch, Fault, FaultClass, Features, IdRegisters, Iova, Ipa, Observation, Origin, Pa, Path,
    PortId, Promise, SmmuId, Stage, StageFault, StageFaultKind, StreamId, Structure, SubstreamId,
    TlbEntry, TlbiIpa, TlbiRange, TlbiVa, TlbiVmid, Transaction, TransactionId, Vmid,
};
use smmu_bus::{Memory, Observer, Ram, Recording};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

const SMMU: SmmuId = SmmuId(0);
const STRTAB: u64 = 0x4000_0000;
const DOMAINS: u64 = 0x4100_0000;

type Shared = Rc<RefCell<Checker<Rc<Ram>>>>;

#[derive(Clone, Copy)]
struct Domain {
    /// Stage 1 tables here, stage 2 tables at +0x4000, the CD at +0x8000.
    base: u64,
    kind: EntryKind,
    vmid: u16,
    asid: u16,
    aset: bool,
}

impl Domain {
    fn space(&self) -> AddressSpace {
        let asid = if self.kind == EntryKind::Stage2 { 0 } else { self.asid };
        AddressSpace {
            world: smmu_arch::StreamWorld::NsEl1,
            kind: self.kind,
            vmid: Vmid(self.vmid),
            asid: Asid(asid),
            aset: self.aset,
        }
    }

    /// Address of the page descriptor of a stage.
    fn leaf(&self, stage2: bool, page: u64) -> Pa {
        let table = if stage2 { 0x6000 } else { 0x2000 };
        Pa(self.base + table + (page >> 12 & 511) * 8)
    }

    fn ste(&self) -> [u64; 8] {
        let config = match self.kind {
            EntryKind::Stage1 => 5,
            EntryKind::Stage2 => 6,
            EntryKind::Combined => 7,
        };
        // S2VMID, S2T0SZ 25, S2SL0 1, S2PS 48 bits, S2AA64.
        let word2 = u64::from(self.vmid) | 25 << 32 | 1 << 38 | 5 << 48 | 1 << 51;
        [(self.base + 0x8000) | config << 1 | 1, 0, word2, self.base + 0x4000, 0, 0, 0, 0]
    }

    fn cd(&self) -> [u64; 8] {
        // T0SZ 25, EPD1, V, IPS 48 bits, AA64, A, R, ASET, ASID.
        let word0 =
            25 | 1 << 30 | 1 << 31 | 5 << 32 | 1 << 41 | 3 << 45 | u64::from(self.asid) << 48;
        let word0 = word0 | u64::from(self.aset) << 47;
        [word0, self.base, 0, 0xff, 0, 0, 0, 0]
    }
}

/// The machine that a script runs on.
pub(super) struct World {
    memory: Recording<Rc<Ram>, StoreWire<Rc<Ram>>>,
    pub(super) checker: Shared,
    domains: BTreeMap<String, Domain>,
    entries: BTreeMap<u64, TlbEntry>,
    open: BTreeMap<u64, Transaction>,
    dmas: u64,
    adversary: Adversary,
    /// Epoch of the last broadcast.
    broadcasts: Epoch,
    latched: BTreeMap<u64, Observation>,
}

impl World {
    #[track_caller]
    pub(super) fn run(script: &str) -> Self {
        let ram = Rc::new(Ram::new([(Pa(STRTAB), 32 << 20)]).unwrap());
        let mut checker = Checker::new(Rc::clone(&ram));
        checker.add_smmu(SMMU, Features::decode(&IdRegisters::REFERENCE));
        let globals = Globals {
            smmuen: true,
            strtab_base: Pa(STRTAB),
            strtab_log2size: 8,
            ..Globals::default()
        };
        checker.globals(SMMU, globals);
        let checker = Rc::new(RefCell::new(checker));
        let mut world = Self {
            memory: Recording::new(ram, StoreWire(Rc::clone(&checker))),
            checker,
            domains: BTreeMap::new(),
            entries: BTreeMap::new(),
            open: BTreeMap::new(),
            dmas: 1000,
            adversary: Adversary::default(),
            broadcasts: Epoch(0),
            latched: BTreeMap::new(),
        };
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            world.line(&words);
        }
        world
    }

    pub(super) fn counters(&self) -> Counters {
        *self.checker.borrow().counters()
    }

    pub(super) fn summaries(&self) -> Vec<String> {
        let checker = self.checker.borrow();
        let summary = |v: &crate::Verdict| {
            let (stream, iova) = (v.stream(), v.iova());
            let head = format!("{:?} {:?} {stream} {iova}", v.blame, v.cause);
            let missing = v.missing_text();
            if missing.is_empty() { head } else { format!("{head}: {missing}") }
        };
        checker.verdicts().iter().map(summary).collect()
    }

    fn line(&mut self, words: &[&str]) {
        match *words {
            ["domain", name, kind, ref tags @ ..] => self.domain(name, kind, tags),
            ["attach", stream, name] => {
                let ste = self.domains[name].ste();
                for at in (0..8).rev() {
                    self.store(STRTAB + number(stream) * 64 + at * 8, ste[at as usize]);
                }
            }
            ["detach", stream] => self.store(STRTAB + number(stream) * 64, 1),
            ["bypass", stream] => self.store(STRTAB + number(stream) * 64, 4 << 1 | 1),
            ["map", name, page, to] => self.map(name, false, page, number(to)),
            ["map2", name, page, to] => self.map(name, true, page, number(to)),
            ["readonly", name, page] => self.read_only(name, page),
            ["unmap", name, page] => self.unmap(name, false, page),
            ["unmap2", name, page] => self.unmap(name, true, page),
            ["retag", name, asid] => {
                let domain = self.domains.get_mut(name).unwrap();
                domain.asid = number(asid) as u16;
                let (pa, word) = (domain.base + 0x8000, domain.cd()[0]);
                self.store(pa, word);
            }
            ["dma", stream, iova, ref outcome @ ..] => {
                self.dmas += 1;
                let id = self.dmas;
                self.begin(id, stream, iova, outcome.contains(&"write"));
                self.outcome(id, outcome);
                self.observe(Some(id), Observation::Ended);
            }
            [id, ref step @ ..] if id.starts_with('t') && id.ends_with(':') => {
                let id = number(&id[1..id.len() - 1]);
                match *step {
                    ["begin", stream, iova] => self.begin(id, stream, iova, false),
                    ["end"] => self.observe(Some(id), Observation::Ended),
                    ref outcome => self.outcome(id, outcome),
                }
            }
            ["cmd", name, ref operands @ ..] => self.command(name, operands),
            ["deaf"] => self.adversary.deaf = true,
            ["lazy"] => self.adversary.lazy = true,
            ["sync"] => {
                self.adversary.synchronise();
                self.observe(None, Observation::Synchronised(CommandQueueId::Main));
            }
            ["broadcast", name, ref operands @ ..] => self.broadcast(name, operands),
            ["dsb"] => {
                self.adversary.synchronise();
                self.observe_at(self.broadcasts, None, Observation::BroadcastSynchronised);
            }
            ["promise", ref words @ ..] => {
                let promise = self.promise(words);
                self.checker.borrow_mut().promised(promise);
            }
            ["owner", stream, owner] => {
                let (stream, owner) = (StreamId(number(stream) as u32), number(owner) as u32);
                self.checker.borrow_mut().set_owner(SMMU, stream, owner);
            }
            _ => panic!("{words:?}"),
        }
    }

    fn store(&self, pa: u64, word: u64) {
        self.memory.write_word(Pa(pa), word).unwrap();
    }

    fn domain(&mut self, name: &str, kind: &str, tags: &[&str]) {
        let base = DOMAINS + self.domains.len() as u64 * 0x1_0000;
        let kind = match kind {
            "s1" => EntryKind::Stage1,
            "s2" => EntryKind::Stage2,
            _ => EntryKind::Combined,
        };
        let (vmid, asid) = (tag(tags, "vmid") as u16, tag(tags, "asid") as u16);
        let aset = tag(tags, "aset") != 0;
        let domain = Domain { base, kind, vmid, asid, aset };
        for stage in [0, 0x4000] {
            for level in [0, 0x1000] {
                self.store(base + stage + level, (base + stage + level + 0x1000) | 3);
            }
        }
        // The GiB of the tables lies at the same IPAs.
        self.store(base + 0x4008, STRTAB | 1 << 10 | 3 << 6 | 0xf << 2 | 1);
        for (at, word) in (0..).step_by(8).zip(domain.cd()) {
            self.store(base + 0x8000 + at, word);
        }
        self.domains.insert(name.to_owned(), domain);
    }

    fn map(&self, name: &str, second: bool, page: &str, to: u64) {
        let domain = &self.domains[name];
        let stage2 = second || domain.kind == EntryKind::Stage2;
        // AF and read-write; nG at stage 1, MemAttr at stage 2.
        let bits = if stage2 { 3 << 6 | 0xf << 2 } else { 1 << 11 | 1 << 6 };
        self.store(domain.leaf(stage2, number(page)).0, to | 1 << 10 | bits | 3);
    }

    fn read_only(&self, name: &str, page: &str) {
        let pa = self.domains[name].leaf(false, number(page));
        let word = self.memory.read_word(pa).unwrap();
        self.store(pa.0, word ^ 1 << 7);
    }

    fn unmap(&self, name: &str, second: bool, page: &str) {
        let domain = &self.domains[name];
        let stage2 = second || domain.kind == EntryKind::Stage2;
        self.store(domain.leaf(stage2, number(page)).0, 0);
    }

    fn observe(&self, id: Option<u64>, observation: Observation) {
        self.observe_at(Epoch(0), id, observation);
    }

    fn observe_at(&self, begin: Epoch, id: Option<u64>, observation: Observation) {
        let transaction = id.map(|number| TransactionId { port: PortId(0), number });
        let origin = Origin { smmu: SMMU, transaction, begin };
        self.checker.borrow_mut().observe(&origin, &observation);
    }

    fn begin(&mut self, id: u64, stream: &str, iova: &str, write: bool) {
        let access = Access::data(if write { Direction::Write } else { Direction::Read });
        let stream = StreamId(number(stream) as u32);
        let transaction = Transaction { stream, substream: None, iova: Iova(number(iova)), access };
        self.open.insert(id, transaction);
        self.observe(Some(id), Observation::Began(transaction));
    }

    fn outcome(&mut self, id: u64, words: &[&str]) {
        let transaction = self.open[&id];
        let passed = |space, output, path| Observation::Translated {
            transaction,
            space,
            output: Pa(output),
            path,
        };
        let observation = match *words {
            ["walk", fill] => {
                let entry = self.fill(id, number(fill));
                let output = entry.translate(transaction.iova.0).0;
                passed(Some(entry.space), output, Path::Walk)
            }
            ["fill", fill] => {
                self.fill(id, number(fill));
                return;
            }
            ["hit", fill] => {
                let entry = self.entries[&number(fill)];
                let output = entry.translate(transaction.iova.0).0;
                passed(Some(entry.space), output, Path::Hit(number(fill)))
            }
            ["auto"] => self.auto(id, true),
            ["latch"] => {
                let outcome = self.auto(id, false);
                self.latched.insert(id, outcome);
                return;
            }
            ["deliver"] => self.latched.remove(&id).unwrap(),
            ["reaches", output, "as", name] => {
                passed(Some(self.domains[name].space()), number(output), Path::Walk)
            }
            ["passes", output] => passed(None, number(output), Path::Bypass),
            ["refused", why, ..] => Observation::Refused { transaction, fault: Some(fault(why)) },
            _ => panic!("{words:?}"),
        };
        self.observe(Some(id), observation);
    }

    /// Fills an entry with what the tables say now.
    fn fill(&mut self, id: u64, number: u64) -> TlbEntry {
        let reference = self.checker.borrow().reference(SMMU).unwrap();
        let ruling = reference.rule(self.memory.memory(), &self.open[&id]);
        let crate::Allowed::Translates(translation) = ruling.allowed else { panic!("{ruling:x?}") };
        let entry = translation.entry();
        let structure = Structure::MainTlb;
        self.observe(Some(id), Observation::Filled { structure, number, entry, evicted: None });
        self.entries.insert(number, entry);
        entry
    }

    /// The adversary's outcome; a walk fills an entry, or is overtaken.
    fn auto(&mut self, id: u64, fills: bool) -> Observation {
        let reference = self.checker.borrow().reference(SMMU).unwrap();
        let transaction = self.open[&id];
        let memory = self.memory.memory().as_ref();
        let (outcome, filled) = self.adversary.translate(&reference, memory, &transaction);
        if let Some((number, entry)) = filled.filter(|_| fills) {
            let structure = Structure::MainTlb;
            self.observe(Some(id), Observation::Filled { structure, number, entry, evicted: None });
            self.adversary.fill(number, entry);
        }
        outcome
    }

    fn command(&mut self, name: &str, operands: &[&str]) {
        let vmid = Vmid(tag(operands, "vmid") as u16);
        let asid = Asid(tag(operands, "asid") as u16);
        let stream = StreamId(tag(operands, "stream") as u32);
        let range = TlbiRange::single(tag(operands, "address"), true);
        let command = match name {
            "S12_VMALL" => Command::TlbiS12Vmall(TlbiVmid { vmid }),
            "NH_ALL" => Command::TlbiNhAll(TlbiVmid { vmid }),
            "NH_VA" => Command::TlbiNhVa(TlbiVa { vmid, asid, range }),
            "S2_IPA" => Command::TlbiS2Ipa(TlbiIpa { vmid, range }),
            "CFGI_STE" => Command::CfgiSte(CfgiSte { stream, leaf: true }),
            "CFGI_CD" => Command::CfgiCd(CfgiCd { stream, substream: SubstreamId(0), leaf: true }),
            _ => panic!("{name}"),
        };
        let scope = command.scope(&CommandFeatures::ALL, false, 0).unwrap();
        let dropped = tag(operands, "dropped") as u32;
        self.adversary.invalidate(scope);
        let by = Maintenance::Command(CommandQueueId::Main);
        self.observe(None, Observation::Invalidated { scope, dropped, by });
    }

    fn broadcast(&mut self, name: &str, operands: &[&str]) {
        let vmid = Vmid(tag(operands, "vmid") as u16);
        let asid = Asid(tag(operands, "asid") as u16);
        let range = TlbiRange::single(tag(operands, "address"), true);
        let tlbi = match name {
            "VALE1IS" => BroadcastTlbi::Vae1(TlbiVa { vmid, asid, range }),
            "VMALLE1IS" => BroadcastTlbi::Vmalle1(TlbiVmid { vmid }),
            _ => panic!("{name}"),
        };
        let scope = tlbi.scope(&CommandFeatures::ALL, false, 0);
        let dropped = tag(operands, "dropped") as u32;
        self.adversary.invalidate(scope);
        self.broadcasts.0 += 1;
        let by = Maintenance::Broadcast;
        self.observe_at(self.broadcasts, None, Observation::Invalidated { scope, dropped, by });
    }

    fn promise(&self, words: &[&str]) -> Promise {
        match *words {
            ["unmapped", name, page] => {
                let domain = &self.domains[name];
                let (stage, asid) = match domain.kind {
                    EntryKind::Stage2 => (Stage::Stage2, None),
                    _ => (Stage::Stage1, Some(Asid(domain.asid))),
                };
                unmapped(stage, domain.vmid, asid, page)
            }
            ["unmapped2", name, page] => {
                unmapped(Stage::Stage2, self.domains[name].vmid, None, page)
            }
            ["detached", stream] => {
                Promise::Detached { smmu: SMMU, stream: StreamId(number(stream) as u32) }
            }
            ["freed", vmid] => Promise::VmidFreed { smmu: SMMU, vmid: Vmid(number(vmid) as u16) },
            ["assigned", vmid] => {
                Promise::VmidAssigned { smmu: SMMU, vmid: Vmid(number(vmid) as u16) }
            }
            ["asid-freed", asid] => {
                Promise::AsidFreed { smmu: SMMU, asid: Asid(number(asid) as u16) }
            }
            ["returned", page] => Promise::PagesReturned { first: Pa(number(page)), bytes: 0x1000 },
            ["lent", page] => Promise::PagesLent { first: Pa(number(page)), bytes: 0x1000 },
            _ => panic!("{words:?}"),
        }
    }
}

fn unmapped(stage: Stage, vmid: u16, asid: Option<Asid>, page: &str) -> Promise {
    let (first, vmid) = (number(page), Vmid(vmid));
    Promise::Unmapped { smmu: SMMU, stage, vmid, asid, first, last: first + 0xfff }
}

fn fault(why: &str) -> Fault {
    let stage = |kind| {
        let (stage, class, ipa) = (Stage::Stage1, FaultClass::In, Ipa(0));
        Fault::Stage(StageFault { kind, stage, class, ipa, descriptor_write: false })
    };
    match why {
        "ste" => Fault::BadSte,
        "cd" => Fault::BadCd,
        "translation" => stage(StageFaultKind::Translation),
        "access" => stage(StageFaultKind::AccessFlag),
        "permission" => stage(StageFaultKind::Permission),
        _ => panic!("{why}"),
    }
}

fn tag(operands: &[&str], name: &str) -> u64 {
    let value = |operand: &&str| Some(number(operand.strip_prefix(name)?.strip_prefix('=')?));
    operands.iter().find_map(value).unwrap_or(0)
}

fn number(text: &str) -> u64 {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
        None => text.parse().unwrap(),
    }
}
