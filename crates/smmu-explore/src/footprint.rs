//! What a step touched, so that steps which commute are told from those that do not.
//!
//! Two steps are dependent when both touch an object and do not agree on how. Where it cannot be
//! told exactly, more is named: that costs schedules and never hides one.

use rustc_hash::FxHasher;
use smmu_arch::registers::{CmdqCons, CmdqProd, Register};
use smmu_arch::{ConfigKey, Epoch, SmmuId};
use smmu_bus::{Condition, Data, Message, Request};
use smmu_machine::{Did, End, Family, Turn};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// What can be touched. Ranges are inclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Object {
    /// Bytes of memory.
    Bytes(u64, u64),
    /// An STE or CD in the caches of an SMMU.
    Config(SmmuId, ConfigKey),
    /// All of them.
    AllConfig(SmmuId),
    /// Input addresses in the TLBs and walk caches of an SMMU.
    Translations(SmmuId, Cache, u64, u64),
    /// Where a transaction stands between the invalidations of an SMMU.
    Epoch(SmmuId),
    /// Transactions of an SMMU in flight that began at these epochs.
    InFlight(SmmuId, u64, u64),
    /// Records of an SMMU on their way, and endpoints that have not answered.
    Pending(SmmuId),
    /// What software was told.
    Promises,
    /// The stores of a CPU that memory has not seen.
    Stores(u32),
    /// A lock.
    Lock(u32),
    /// Entries of a Command queue that software has handed over.
    Published(SmmuId, u32, u32),
    /// Entries of a Command queue that the SMMU has consumed.
    Consumed(SmmuId, u32, u32),
    /// Another register.
    Register(u64),
    /// Caches of the endpoints of an SMMU.
    Atc(SmmuId),
}

/// Structures that hold translations of different kinds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cache {
    Tlb,
    Walks,
    All,
}

/// How it was touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    /// Others may do the same.
    Shared,
    /// Nobody else may touch it.
    Alone,
    /// Others may do the same with the same content.
    Put(u64),
}

/// What a step touched.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Footprint(Vec<(Object, How)>);

/// Makes footprints of the steps of one run.
#[derive(Clone, Debug)]
pub(crate) struct Tracer {
    /// Registers of the SMMUs.
    registers: Vec<u64>,
    /// PROD of each Command queue.
    published: Vec<u32>,
    /// Epoch of each SMMU, before the step.
    pub(crate) epochs: Vec<u64>,
    /// Epoch at which the last transaction of each device began.
    begun: BTreeMap<u32, u64>,
    /// Somebody else than the one queue of an SMMU invalidates.
    many_scopes: bool,
    /// An endpoint has a cache.
    ats: bool,
    /// Memory sees the store of a CPU later, by a step of its own.
    buffered: bool,
}

/// What two steps have to do with each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Relation {
    /// They commute.
    Independent,
    /// The later one could not have come first: it waited for the other.
    Ordered,
    /// They could have come in the other order, with another result.
    Race,
}

impl Footprint {
    /// How two steps are related, for all that is known.
    pub(crate) fn relation(&self, other: &Self) -> Relation {
        let mut relation = Relation::Independent;
        for (mine, how) in &self.0 {
            for (theirs, other) in &other.0 {
                if !agree(*how, *other) && overlap(mine, theirs) {
                    relation = relation.max(nature(mine, theirs));
                }
            }
        }
        relation
    }

    fn add(&mut self, object: Object, how: How) {
        self.0.push((object, how));
    }
}

/// Whether who touches an object must have waited for the other.
fn nature(a: &Object, b: &Object) -> Relation {
    match (a, b) {
        (Object::Stores(_) | Object::InFlight(..) | Object::Published(..), _) => Relation::Ordered,
        (Object::Consumed(_, a, b), Object::Consumed(_, c, d)) if a == b && c == d => {
            Relation::Ordered
        }
        _ => Relation::Race,
    }
}

fn agree(a: How, b: How) -> bool {
    match (a, b) {
        (How::Shared, How::Shared) => true,
        (How::Put(a), How::Put(b)) => a == b,
        _ => false,
    }
}

fn overlap(a: &Object, b: &Object) -> bool {
    use Object::{AllConfig, Bytes, Config, Consumed, InFlight, Published, Translations};
    let meet = |a: (u64, u64), b: (u64, u64)| a.0 <= b.1 && b.0 <= a.1;
    match (*a, *b) {
        (Bytes(a, b), Bytes(c, d)) => meet((a, b), (c, d)),
        (InFlight(s, a, b), InFlight(t, c, d)) => s == t && meet((a, b), (c, d)),
        (AllConfig(a), Config(b, _)) | (Config(a, _), AllConfig(b)) => a == b,
        (Translations(s, x, a, b), Translations(t, y, c, d)) => {
            s == t && (x == y || x == Cache::All || y == Cache::All) && meet((a, b), (c, d))
        }
        (Published(s, a, b), Published(t, c, d)) | (Consumed(s, a, b), Consumed(t, c, d)) => {
            s == t && a <= d && c <= b
        }
        (a, b) => a == b,
    }
}

fn content(value: impl Hash) -> How {
    let mut hasher = FxHasher::default();
    value.hash(&mut hasher);
    How::Put(hasher.finish())
}

impl Tracer {
    pub(crate) fn new(registers: Vec<u64>, many_scopes: bool, ats: bool, buffered: bool) -> Self {
        let (published, epochs) = (vec![0; registers.len()], vec![0; registers.len()]);
        let begun = BTreeMap::new();
        Self { registers, published, epochs, begun, many_scopes, ats, buffered }
    }

    /// What a step touched. Steps are told in their order.
    pub(crate) fn trace(&mut self, turn: &Turn) -> Footprint {
        let mut print = Footprint::default();
        let smmu = SmmuId(turn.smmu.unwrap_or(0) as u8);
        if let Some(condition) = &turn.resumed {
            self.resumed(&mut print, smmu, condition);
        }
        match &turn.did {
            Did::Asked(request) => self.asked(&mut print, smmu, turn, request),
            Did::Ended(end) => self.ended(&mut print, smmu, turn, end),
            Did::Waits => {}
        }
        match turn.actor.family {
            Family::Store { cpu } => print.add(Object::Stores(cpu), How::Shared),
            Family::Atc { smmu } => {
                print.add(Object::Atc(SmmuId(smmu)), How::Alone);
                print.add(Object::Pending(SmmuId(smmu)), How::Shared);
            }
            Family::Dma if self.ats => print.add(Object::Atc(smmu), How::Shared),
            _ => {}
        }
        print
    }

    fn resumed(&self, print: &mut Footprint, smmu: SmmuId, condition: &Condition) {
        match *condition {
            Condition::Lock(lock) => print.add(Object::Lock(lock.0), How::Alone),
            Condition::Drained(epoch) => {
                ended_before(print, smmu, epoch);
                print.add(Object::Pending(smmu), How::Alone);
            }
            Condition::Ended(epoch) => ended_before(print, smmu, epoch),
            Condition::Released(_) => print.add(Object::Pending(smmu), How::Alone),
            Condition::Register { address, least, .. } => {
                match self.register(address.0, u64::from(CmdqCons::OFFSET)) {
                    Some(smmu) => {
                        let last = least.saturating_sub(1);
                        print.add(Object::Consumed(smmu, last, last), How::Shared);
                    }
                    None => print.add(Object::Register(address.0), How::Shared),
                }
            }
            Condition::Time(_) => {}
        }
    }

    /// The SMMU whose register at `offset` this is.
    fn register(&self, address: u64, offset: u64) -> Option<SmmuId> {
        let found = self.registers.iter().position(|base| base + offset == address);
        found.map(|index| SmmuId(index as u8))
    }

    fn asked(&mut self, print: &mut Footprint, smmu: SmmuId, turn: &Turn, request: &Request) {
        match *request {
            Request::Read { pa, words, why } => {
                print.add(Object::Bytes(pa.0, pa.0 + 8 * u64::from(words) - 1), How::Shared);
                self.data(print, why);
                if let Family::Command { .. } = turn.actor.family {
                    let entry = turn.actor.number;
                    print.add(Object::Published(smmu, entry, entry), How::Shared);
                }
            }
            Request::Write { pa, data, why } => {
                let is_buffered = turn.actor.family == Family::Cpu && self.buffered;
                if !is_buffered {
                    print.add(Object::Bytes(pa.0, pa.0 + bytes(&data) - 1), How::Alone);
                }
                self.data(print, why);
            }
            Request::CompareAndSwap { pa, .. } => {
                print.add(Object::Bytes(pa.0, pa.0 + 7), How::Alone);
            }
            Request::LookUp { key, .. } => {
                print
                    .add(Object::Translations(smmu, Cache::Tlb, key.input, key.input), How::Shared);
            }
            Request::LookUpWalk { key } => {
                let object = Object::Translations(smmu, Cache::Walks, key.input, key.input);
                print.add(object, How::Shared);
            }
            Request::Fill { structure, entry, .. } => {
                let (first, last) = (entry.input, entry.last_input());
                let how = content((structure, entry));
                print.add(Object::Translations(smmu, Cache::Tlb, first, last), how);
            }
            Request::FillWalk { entry, .. } => {
                let (first, last) = (entry.reach.base, entry.reach.last());
                print.add(Object::Translations(smmu, Cache::Walks, first, last), content(entry));
            }
            Request::Promote { key, .. } => {
                print.add(Object::Translations(smmu, Cache::All, key.input, key.input), How::Alone);
            }
            Request::LookUpConfig { key } => print.add(Object::Config(smmu, key), How::Shared),
            Request::FillConfig { entry, .. } => {
                print.add(Object::Config(smmu, entry.key), content(entry));
            }
            Request::Forget { .. } => forget(print, smmu),
            Request::ForgetConfig { .. } => {
                print.add(Object::AllConfig(smmu), How::Alone);
                print.add(Object::Epoch(smmu), How::Alone);
            }
            Request::Send { ref message, .. } => self.sent(print, smmu, turn, message),
            Request::MmioRead { address, .. } => {
                match self.register(address.0, u64::from(CmdqCons::OFFSET)) {
                    Some(smmu) => print.add(Object::Consumed(smmu, 0, u32::MAX), How::Shared),
                    None => print.add(Object::Register(address.0), How::Shared),
                }
            }
            Request::MmioWrite { address, value, .. } => self.written(print, address.0, value),
            Request::Barrier => self.ordered(print, turn),
            Request::Unlock(lock) => {
                print.add(Object::Lock(lock.0), How::Alone);
                self.ordered(print, turn);
            }
            Request::Promise(_) => print.add(Object::Promises, How::Alone),
            Request::Now => {}
        }
    }

    fn ordered(&self, print: &mut Footprint, turn: &Turn) {
        if let Family::Cpu = turn.actor.family {
            print.add(Object::Stores(turn.actor.number), How::Alone);
        }
    }

    /// Whether a page was free when a device accessed it is part of what happened.
    fn data(&self, print: &mut Footprint, why: smmu_arch::Why) {
        if why == smmu_arch::Why::Data {
            print.add(Object::Promises, How::Shared);
        }
    }

    fn sent(&mut self, print: &mut Footprint, smmu: SmmuId, turn: &Turn, message: &Message) {
        match message {
            Message::Transaction(_) | Message::TranslationRequest(_) | Message::Translated(_) => {
                print.add(Object::Epoch(smmu), How::Shared);
                print.add(Object::Promises, How::Shared);
                self.begun.insert(turn.actor.number, self.epochs[usize::from(smmu.0)]);
            }
            Message::End => self.left(print, smmu, turn.actor.number),
            Message::InvalidateAtc(_) => {
                print.add(Object::Atc(smmu), How::Alone);
                print.add(Object::Pending(smmu), How::Shared);
            }
            Message::Tlbi(_) => self.all().for_each(|smmu| forget(print, smmu)),
            Message::BroadcastSync => {
                self.all().for_each(|smmu| print.add(Object::Epoch(smmu), How::Shared));
            }
            Message::PageResponse(_) | Message::Interrupt(_) | Message::SendEvent => {}
        }
    }

    /// The transaction of a device is no longer in flight.
    fn left(&self, print: &mut Footprint, smmu: SmmuId, dma: u32) {
        let begin = self.begun.get(&dma).copied().unwrap_or(0);
        print.add(Object::InFlight(smmu, begin, begin), How::Shared);
    }

    fn all(&self) -> impl Iterator<Item = SmmuId> {
        (0..self.registers.len()).map(|index| SmmuId(index as u8))
    }

    fn written(&mut self, print: &mut Footprint, address: u64, value: u64) {
        let Some(smmu) = self.register(address, u64::from(CmdqProd::OFFSET)) else {
            return print.add(Object::Register(address), How::Alone);
        };
        let published = &mut self.published[usize::from(smmu.0)];
        let first = std::mem::replace(published, value as u32);
        print.add(Object::Published(smmu, first, value as u32 - 1), How::Alone);
        self.taken_up(print, smmu);
    }

    /// The next command is taken up, which notes the epoch for a CMD_SYNC.
    fn taken_up(&self, print: &mut Footprint, smmu: SmmuId) {
        if self.many_scopes {
            print.add(Object::Epoch(smmu), How::Shared);
        }
    }

    fn ended(&self, print: &mut Footprint, smmu: SmmuId, turn: &Turn, end: &End) {
        match end {
            End::Command(_) => {
                let entry = turn.actor.number;
                print.add(Object::Consumed(smmu, entry, entry), How::Alone);
                self.taken_up(print, smmu);
            }
            End::Translation { refused } => {
                if *refused {
                    print.add(Object::Pending(smmu), How::Shared);
                }
                // A Translation Request is over when it is completed.
                if let (true, Family::Walk { dma }) = (self.ats, turn.actor.family) {
                    self.left(print, smmu, dma);
                }
            }
            End::Other => {
                if let Family::Event { smmu } = turn.actor.family {
                    print.add(Object::Pending(SmmuId(smmu)), How::Shared);
                }
            }
        }
    }
}

/// Every transaction that began before an epoch has ended.
fn ended_before(print: &mut Footprint, smmu: SmmuId, epoch: Epoch) {
    if let Some(last) = epoch.0.checked_sub(1) {
        print.add(Object::InFlight(smmu, 0, last), How::Alone);
    }
}

fn forget(print: &mut Footprint, smmu: SmmuId) {
    print.add(Object::Translations(smmu, Cache::All, 0, u64::MAX), How::Alone);
    print.add(Object::Epoch(smmu), How::Alone);
}

const fn bytes(data: &Data) -> u64 {
    match data {
        Data::Half(_) => 4,
        Data::Word(_) => 8,
        Data::Pair(_) => 16,
        Data::Record(_) => 32,
    }
}
