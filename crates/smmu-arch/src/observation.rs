//! What happened: the one typed stream that comes out of an SMMU.
//!
//! Statistics, the checker and traces are readers of observations and never hook into the core.

use crate::{
    AddressSpace, Command, CommandError, CommandQueueId, ConfigKey, Epoch, Event, Fault,
    Invalidation, Pa, PageRequest, PortId, SmmuId, StreamId, Structure, TlbEntry, Transaction,
    TranslationCompletion, TranslationRequest, WalkEntry, Why,
};

/// Which transaction an observation belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TransactionId {
    /// Port that it came through.
    pub port: PortId,
    /// Number of the transaction on that port, from 0.
    pub number: u64,
}

/// Where an observation comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    /// SMMU.
    pub smmu: SmmuId,
    /// Transaction; `None` for commands, event records and register effects.
    pub transaction: Option<TransactionId>,
    /// Epoch at which the transaction or the synchronisation of a DSB began; for others the epoch
    /// now.
    pub begin: Epoch,
}

/// How a transaction was let through.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Path {
    /// SMMUEN = 0, or STE.Config = 0b100, or stage 1 bypassed without stage 2: no translation.
    Bypass,
    /// By an entry, with the number of its fill.
    Hit(u64),
    /// By a walk.
    Walk,
}

/// By which way an SMMU is told what to forget.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Maintenance {
    /// By a command; a CMD_SYNC behind it in the same queue completes it.
    Command(CommandQueueId),
    /// By a broadcast TLBI of a PE; a DSB of that PE completes it.
    Broadcast,
}

/// One thing that happened.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Observation {
    /// A transaction entered.
    Began(Transaction),
    /// A configuration structure was looked up.
    ConfigLookedUp {
        /// Which.
        key: ConfigKey,
        /// It was there.
        hit: bool,
    },
    /// A translation structure was looked up.
    LookedUp {
        /// Structure.
        structure: Structure,
        /// Address space.
        space: AddressSpace,
        /// Input address.
        input: u64,
        /// Number of the fill that made the entry found.
        hit: Option<u64>,
    },
    /// Memory was read for the SMMU.
    Fetched {
        /// Address.
        pa: Pa,
        /// What for.
        why: Why,
    },
    /// A translation was entered. This says once what an entry was made from.
    Filled {
        /// Structure.
        structure: Structure,
        /// Number of the fill, unique among all TLBs of the SMMU.
        number: u64,
        /// The entry.
        entry: TlbEntry,
        /// Number of the fill whose entry, still valid, had to leave for it.
        evicted: Option<u64>,
    },
    /// A copy of an entry went from the main TLB into a µTLB.
    Promoted {
        /// Number of the fill that made the original: a hit on the copy bears it too.
        number: u64,
        /// Something valid had to leave for it.
        evicted: bool,
    },
    /// A descriptor of a walk was entered.
    WalkFilled {
        /// Structure.
        structure: Structure,
        /// Number of the fill, unique in the structure.
        number: u64,
        /// The descriptor.
        entry: WalkEntry,
        /// Something valid had to leave for it.
        evicted: bool,
    },
    /// A configuration structure was entered.
    ConfigFilled {
        /// Which.
        key: ConfigKey,
    },
    /// A fill was dropped, because an invalidation overtook it.
    FillOvertaken {
        /// Structure.
        structure: Structure,
    },
    /// A transaction was translated.
    Translated {
        /// The transaction.
        transaction: Transaction,
        /// Address space that served it; `None` for a bypass.
        space: Option<AddressSpace>,
        /// Output address.
        output: Pa,
        /// How.
        path: Path,
    },
    /// A transaction was refused.
    Refused {
        /// The transaction.
        transaction: Transaction,
        /// Why; `None` for a silent abort (STE.Config = 0b0xx, GBPA.ABORT).
        fault: Option<Fault>,
    },
    /// A transaction met a fault and is held until software decides about it. When it is tried
    /// again it begins anew.
    Stalled {
        /// The transaction.
        transaction: Transaction,
        /// Why.
        fault: Fault,
    },
    /// An ATS Translation Request or Translated transaction of the stream entered.
    AtsBegan(StreamId),
    /// An ATS Translation Request was completed.
    AtsCompleted {
        /// The request.
        request: TranslationRequest,
        /// The completion.
        completion: TranslationCompletion,
        /// Why nothing was granted, which the endpoint is not told.
        fault: Option<Fault>,
    },
    /// An ATS Translated transaction was let through, or refused.
    AtsTranslated {
        /// The transaction, whose address is a translated one.
        transaction: Transaction,
        /// Output address; `None` where it was refused.
        output: Option<Pa>,
        /// Why it was refused; `None` also for a silent abort.
        fault: Option<Fault>,
    },
    /// The transaction's own data access was made, or it was refused: it is no longer in flight.
    Ended,
    /// A record was put into the Event queue.
    EventRecorded(Event),
    /// A record was lost, because the queue was full or disabled.
    EventLost(Event),
    /// A page request was put into the PRI queue.
    PageRequested(PageRequest),
    /// A page request was dropped: the queue was disabled, full or in error.
    PageRequestLost(PageRequest),
    /// A command was consumed.
    CommandConsumed(Command),
    /// A command stopped its queue.
    CommandFailed(CommandError),
    /// A scope took effect on every structure.
    Invalidated {
        /// Scope.
        scope: Invalidation,
        /// Entries that it dropped.
        dropped: u32,
        /// Who said so.
        by: Maintenance,
    },
    /// A CMD_SYNC completed: all that came before it in this queue is done.
    Synchronised(CommandQueueId),
    /// A DSB learnt that broadcasts are complete: all that took effect up to the epoch of the origin.
    BroadcastSynchronised,
}
