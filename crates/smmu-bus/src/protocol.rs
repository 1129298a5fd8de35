//! The protocol that every actor of a machine speaks.
//!
//! An actor is a value that asks for what it needs and is handed the answer. Nothing in it reads
//! memory, a clock or a random number by itself, so that one copy of its rules serves the
//! functional runner (answers at once), the interleaver (answers in an order of its choosing) and
//! a timing runner (answers some cycles later).

use smmu_arch::{
    AtcInv, BroadcastTlbi, CommandQueueId, ConfigEntry, ConfigKey, ConfigScope, Epoch, Fault, Hit,
    Pa, PortId, PriResp, Promise, StallTicket, Structure, TlbEntry, TlbKey, TlbScope, Transaction,
    TranslationCompletion, TranslationRequest, WalkEntry, WalkKey, Why,
};

/// Something that takes steps.
pub trait Actor {
    /// What it leaves when it is done.
    type Outcome;

    /// Takes the answer to the last request ([`Answer::Start`] at first, [`Answer::Resumed`] after
    /// a wait) and says what comes next. Not called again after [`Step::Done`].
    fn step(&mut self, answer: Answer) -> Step<Self::Outcome>;
}

/// What an actor says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Step<O> {
    /// It needs an answer.
    Need(Request),
    /// It has nothing to do until a condition holds.
    Wait(Condition),
    /// It is done.
    Done(O),
}

/// Data of a write request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Data {
    /// Four bytes, little-endian: a message-signalled interrupt.
    Half(u32),
    /// Eight bytes.
    Word(u64),
    /// Sixteen bytes: a page request.
    Pair([u64; 2]),
    /// Thirty-two bytes: an event record.
    Record([u64; 4]),
}

/// What an actor may ask for.
///
/// Addresses are aligned to the size of the access. Memory is single-copy atomic in 8 bytes and no
/// more: a runner may answer a longer read from one moment or from several.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Request {
    /// Read `words` words of 8 bytes: 1, 2 or 8.
    Read {
        /// Address.
        pa: Pa,
        /// Words of 8 bytes.
        words: u8,
        /// What for.
        why: Why,
    },
    /// Write.
    Write {
        /// Address.
        pa: Pa,
        /// Data.
        data: Data,
        /// What for.
        why: Why,
    },
    /// Replace one word if it still is `old`.
    CompareAndSwap {
        /// Address.
        pa: Pa,
        /// Expected value.
        old: u64,
        /// New value.
        new: u64,
        /// What for.
        why: Why,
    },
    /// Look a translation up.
    LookUp {
        /// Structure.
        structure: Structure,
        /// Key.
        key: TlbKey,
    },
    /// Look a configuration structure up; the key tells the cache.
    LookUpConfig {
        /// Key.
        key: ConfigKey,
    },
    /// Look up, in all structures that shorten a walk, the descriptor from which it may go on.
    LookUpWalk {
        /// Key.
        key: WalkKey,
    },
    /// Enter a translation, unless an invalidation since `begin` covers it.
    Fill {
        /// Structure.
        structure: Structure,
        /// Entry.
        entry: TlbEntry,
        /// Epoch at which the transaction began.
        begin: Epoch,
    },
    /// Enter a descriptor of a walk, unless an invalidation since `begin` covers it.
    FillWalk {
        /// Descriptor.
        entry: WalkEntry,
        /// Epoch at which the transaction began.
        begin: Epoch,
    },
    /// Copy what the main TLB holds for a key into the µTLB of the port, unless an invalidation
    /// since `begin` covers it.
    Promote {
        /// Key.
        key: TlbKey,
        /// Epoch at which the transaction began.
        begin: Epoch,
    },
    /// Enter a configuration structure, unless an invalidation since `begin` covers it.
    FillConfig {
        /// Entry.
        entry: ConfigEntry,
        /// Epoch at which the transaction began.
        begin: Epoch,
    },
    /// Forget translations.
    Forget {
        /// Structure.
        structure: Structure,
        /// Scope.
        scope: TlbScope,
        /// Whose command says so.
        by: CommandQueueId,
    },
    /// Forget configuration structures.
    ForgetConfig {
        /// Scope.
        scope: ConfigScope,
        /// Whose command says so.
        by: CommandQueueId,
    },
    /// Send something over a wire.
    Send {
        /// Port that it goes through, for what has one.
        port: PortId,
        /// What.
        message: Message,
    },
    /// A CPU reads a device register.
    MmioRead {
        /// Address.
        address: Pa,
        /// Bytes: 4 or 8.
        bytes: u8,
    },
    /// A CPU writes a device register.
    MmioWrite {
        /// Address.
        address: Pa,
        /// Bytes: 4 or 8.
        bytes: u8,
        /// Value.
        value: u64,
    },
    /// A CPU orders its accesses. Also the request of one that merely lets others run.
    Barrier,
    /// A CPU gives a lock back.
    Unlock(LockId),
    /// A CPU asks for the time.
    Now,
    /// A CPU has kept a promise.
    Promise(Promise),
}

/// What goes over a wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message {
    /// A master hands a transaction to the SMMU; answered by [`Answer::Translated`].
    Transaction(Transaction),
    /// An endpoint asks for a translation (ATS); answered by [`Answer::Completed`]. The request is
    /// over then: no [`Message::End`] follows.
    TranslationRequest(TranslationRequest),
    /// An endpoint hands over a transaction whose address is a translated one (ATS); answered by
    /// [`Answer::Translated`].
    Translated(Transaction),
    /// A master has made the data access of its transaction, or given it up.
    End,
    /// An SMMU asks an endpoint to forget translations (CMD_ATC_INV). It tells the SMMU when it has
    /// done so, or could not.
    InvalidateAtc(AtcInv),
    /// An SMMU answers a page request group of an endpoint.
    PageResponse(PriResp),
    /// A wired interrupt is pulsed.
    Interrupt(InterruptLine),
    /// An event is sent that wakes CPUs that wait for one (SEV).
    SendEvent,
    /// A CPU broadcasts a TLBI instruction to every SMMU that takes part.
    Tlbi(BroadcastTlbi),
    /// A CPU synchronises (DSB); answered when what it broadcast before is complete everywhere.
    BroadcastSync,
}

/// Wired interrupts of an SMMU (section "Interrupts and notifications").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum InterruptLine {
    /// The Event queue became non-empty.
    EventQueue,
    /// The PRI queue became non-empty, or got the last request of a group.
    PriQueue,
    /// A CMD_SYNC with SIG_IRQ completed.
    CommandSync,
    /// A global error became active.
    GlobalError,
    /// A counter of its PMCG overflowed.
    CounterGroup,
    /// An error of a virtual Command queue became active: the one interrupt of a CMDQV.
    Cmdqv,
}

/// A lock of the driver model.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LockId(pub u32);

/// What an actor may wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// Virtual time has come to this many nanoseconds.
    Time(u64),
    /// The lock is free; it is then held by the actor that waited.
    Lock(LockId),
    /// What a CMD_SYNC waits for: every transaction of the SMMU that began before the epoch has
    /// ended, their records are written, and endpoints have answered.
    Drained(Epoch),
    /// Every transaction of the SMMU that began before the epoch has ended, whatever records and
    /// endpoints still have to do.
    Ended(Epoch),
    /// Software has decided about a stalled transaction.
    Released(StallTicket),
    /// A device register of 4 bytes has come to a value: what a CPU polls for, without the polls.
    Register {
        /// Address.
        address: Pa,
        /// Bits of it that count.
        mask: u32,
        /// Those bits as a number are at least this.
        least: u32,
    },
}

/// Why a transaction was not let through, as the master sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Bus error. The fault is told for humans only.
    Abort(Option<Fault>),
    /// Reads return zero, writes are dropped, and no error is reported.
    ReadZeroWriteIgnored(Fault),
    /// Not refused: the SMMU holds the transaction. A runner keeps this from the master, and tells
    /// it what software decides.
    Held(StallTicket),
}

/// What an actor is handed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Answer {
    /// The first step.
    Start,
    /// One word was read.
    Word(u64),
    /// Two or eight words were read; those not asked for are zero.
    Words([u64; 8]),
    /// A write, a send, a barrier or a promise was made.
    Done,
    /// The value found by a compare-and-swap.
    Swapped(u64),
    /// The access met an external abort.
    Aborted,
    /// What a look-up found.
    Hit(Option<Hit>),
    /// The descriptor that a look-up for a walk found.
    Walk(Option<WalkEntry>),
    /// What a look-up of configuration found.
    Configuration(Option<[u64; 8]>),
    /// An entry was made with this number, or an invalidation overtook it (`None`).
    Filled(Option<u64>),
    /// This many entries were forgotten.
    Forgotten(u32),
    /// What a device register reads as.
    Register(u64),
    /// Virtual time in nanoseconds.
    Time(u64),
    /// What became of a transaction.
    Translated(Result<Pa, Refusal>),
    /// How a Translation Request was completed.
    Completed(TranslationCompletion),
    /// The condition waited for holds.
    Resumed,
}
