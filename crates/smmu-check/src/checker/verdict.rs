//! What the checker has to say.

use super::commands::ScopeText;
use super::{Miss, Moment, Store};
use crate::reference::Allowed;
use smmu_arch::{
    Asid, Command, CommandQueueId, Fault, Invalidation, Iova, Maintenance, Pa, Path, Promise,
    SmmuId, StreamId, SubstreamId, Transaction, TransactionId, Vmid, Why,
};
use std::fmt;

/// Who has to be mended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Blame {
    /// Software promised too early, or without the commands that it takes.
    Driver,
    /// The SMMU used what it had been told to forget, or what never was.
    Hardware,
}

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cause {
    /// A translation was used that was over.
    StaleTranslation,
    /// An STE or CD was used that was over.
    StaleConfiguration,
    /// An entry of a former owner of the VMID or ASID was used.
    TagReused,
    /// Two address spaces bear one tag at the same time.
    TagShared,
    /// What was used is right in no state of an STE or CD that was changed by several stores.
    TornConfiguration,
    /// The tables still map a page that went back to its owner.
    StillMapped,
    /// The tables allow what was refused, and did so when the transaction began.
    WrongRefusal,
    /// No state of the tables that is known allows what was done.
    NeverAllowed,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StaleTranslation => "a translation was used that was over",
            Self::StaleConfiguration => "an STE or CD was used that was over",
            Self::TagReused => "an entry of the tag's former owner was used",
            Self::TagShared => "two address spaces bear one tag",
            Self::TornConfiguration => "a half-written STE or CD was used",
            Self::StillMapped => "the tables map a page that went back to its owner",
            Self::WrongRefusal => "a transaction was refused that the tables allow",
            Self::NeverAllowed => "the tables never allowed this",
        })
    }
}

/// The change that made what was used stale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Changed {
    /// The store.
    pub store: Store,
    /// What the word is.
    pub why: Why,
}

/// The entry that a hit used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Number of its fill.
    pub number: u64,
    /// When it was filled.
    pub filled: Moment,
    /// The stream that it was filled for; `None` for a prefetch.
    pub stream: Option<StreamId>,
}

/// An invalidation seen since the change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// When it took effect.
    pub at: Moment,
    /// What it covered.
    pub scope: Invalidation,
    /// Entries that it dropped.
    pub dropped: u32,
    /// By which way the SMMU was told.
    pub by: Maintenance,
    /// When a CMD_SYNC behind it completed, or a DSB behind a broadcast.
    pub completed: Option<Moment>,
    /// Why it did not cover what was used; empty if it did.
    pub missed: Vec<Miss>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.at, ScopeText(&self.scope, self.by))?;
        if self.missed.is_empty() {
            f.write_str("covers it")?;
        } else {
            f.write_str("misses it (")?;
            for (at, miss) in self.missed.iter().enumerate() {
                write!(f, "{}{miss}", if at == 0 { "" } else { "; " })?;
            }
            f.write_str(")")?;
        }
        let sync = match self.by {
            Maintenance::Command(CommandQueueId::Main) => "CMD_SYNC".to_owned(),
            Maintenance::Command(queue) => format!("CMD_SYNC of {queue}"),
            Maintenance::Broadcast => "DSB".to_owned(),
        };
        match self.completed {
            Some(at) => write!(f, ", {sync} complete at {at}"),
            None => write!(f, ", no {sync} completed behind it"),
        }
    }
}

/// What was done for a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Done {
    /// It reached an address.
    Reached(Pa, Path),
    /// It was refused.
    Refused(Option<Fault>),
}

/// A bug, and all that one wants to know about it.
#[derive(Clone, PartialEq, Debug)]
pub struct Verdict {
    /// Who has to be mended.
    pub blame: Blame,
    /// What is wrong.
    pub cause: Cause,
    /// SMMU.
    pub smmu: SmmuId,
    /// The transaction; stream, substream and IOVA are in it.
    pub transaction: Transaction,
    /// Its number.
    pub id: Option<TransactionId>,
    /// When it began.
    pub began: Moment,
    /// When it was translated or refused.
    pub at: Moment,
    /// VMID that it was served under; `None` where the StreamWorld or a bypass has none.
    pub vmid: Option<Vmid>,
    /// ASID that it was served under; `None` where there is none.
    pub asid: Option<Asid>,
    /// What was done.
    pub done: Done,
    /// What the tables say now.
    pub now: Allowed,
    /// The entry that was used, for a hit.
    pub entry: Option<Entry>,
    /// The store that made it stale.
    pub changed: Option<Changed>,
    /// The promise that was broken.
    pub promise: Option<(Moment, Promise)>,
    /// Invalidations since the change, the last [`Verdict::COMMANDS`] of them.
    pub commands: Vec<Seen>,
    /// Earlier invalidations since the change, which are not listed.
    pub commands_before: usize,
    /// The smallest commands that would have prevented it, CMD_SYNC last. Empty where no command
    /// would have.
    pub missing: Vec<Command>,
    /// Uses alike: same cause, stream and page.
    pub count: u64,
}

impl Verdict {
    /// Invalidations that a verdict lists.
    pub const COMMANDS: usize = 16;

    /// StreamID of the device.
    #[must_use]
    pub const fn stream(&self) -> StreamId {
        self.transaction.stream
    }

    /// SubstreamID, where the transaction bore one.
    #[must_use]
    pub const fn substream(&self) -> Option<SubstreamId> {
        self.transaction.substream
    }

    /// Input address.
    #[must_use]
    pub const fn iova(&self) -> Iova {
        self.transaction.iova
    }

    /// Something was used that was over: software had promised so, or the SMMU had been told to
    /// forget it. The other verdicts are of uses that never were right, and of refusals.
    #[must_use]
    pub const fn is_stale_use(&self) -> bool {
        self.promise.is_some()
            || matches!(self.cause, Cause::StaleTranslation | Cause::StaleConfiguration)
    }

    /// The commands that would have prevented it, as one line; empty where no command would have.
    #[must_use]
    pub fn missing_text(&self) -> String {
        let names = self.missing.iter().map(|command| match command {
            Command::Sync(_) => "CMD_SYNC".to_owned(),
            other => other.to_string(),
        });
        names.collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.blame {
            Blame::Driver => "driver",
            Blame::Hardware => "hardware",
        };
        writeln!(f, "{who} bug: {}", self.cause)?;
        self.write_use(f)?;
        write!(f, "  tables now   ")?;
        match self.now {
            Allowed::Translates(t) => writeln!(f, "PA {}", t.output)?,
            Allowed::Bypass(output) => writeln!(f, "PA {output}, untranslated")?,
            Allowed::Refuses(Some(fault)) => writeln!(f, "refuse: {fault}")?,
            Allowed::Refuses(None) => writeln!(f, "abort")?,
        }
        if let Some(Changed { store, why }) = self.changed {
            let Store { at, pa, old, new } = store;
            writeln!(f, "  changed by   {at} store to the {why} at {pa}: {old:#x} -> {new:#x}")?;
        }
        if let Some((at, promise)) = self.promise {
            writeln!(f, "  promised     {at} {promise}")?;
        }
        if self.commands_before != 0 {
            writeln!(f, "  commands     {} earlier ones", self.commands_before)?;
        }
        for seen in &self.commands {
            writeln!(f, "  command      {seen}")?;
        }
        if !self.missing.is_empty() {
            write!(f, "  missing      {}", self.missing_text())?;
            if let Some(Changed { store, .. }) = self.changed {
                write!(f, ", after {}", store.at)?;
            }
            if let Some((at, _)) = self.promise {
                write!(f, ", before {at}")?;
            }
            writeln!(f)?;
        }
        write!(f, "  seen         {} time{}", self.count, if self.count == 1 { "" } else { "s" })
    }
}

impl Verdict {
    fn write_use(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.transaction.access.is_write() { "write" } else { "read" };
        write!(
            f,
            "  transaction  {direction} of IOVA {} by stream {}",
            self.iova(),
            self.stream()
        )?;
        if let Some(substream) = self.substream() {
            write!(f, " substream {substream}")?;
        }
        if let Some(vmid) = self.vmid {
            write!(f, ", VMID {vmid}")?;
        }
        if let Some(asid) = self.asid {
            write!(f, ", ASID {asid}")?;
        }
        writeln!(f, ", SMMU {}, began {}", self.smmu.0, self.began)?;
        match self.done {
            Done::Reached(pa, path) => {
                let how = match path {
                    Path::Bypass => "untranslated",
                    Path::Hit(_) => "by a TLB hit",
                    Path::Walk => "by a walk",
                };
                writeln!(f, "  reached      PA {pa} {how} at {}", self.at)?;
            }
            Done::Refused(Some(fault)) => writeln!(f, "  refused      {fault} at {}", self.at)?,
            Done::Refused(None) => writeln!(f, "  refused      in silence at {}", self.at)?,
        }
        if let Some(Entry { number, filled, stream }) = self.entry {
            write!(f, "  entry        fill {number}, made at {filled}")?;
            match stream {
                Some(stream) => writeln!(f, " for stream {stream}")?,
                None => writeln!(f, " by a prefetch")?,
            }
        }
        Ok(())
    }
}
