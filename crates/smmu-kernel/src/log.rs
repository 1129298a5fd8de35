//! What the driver would print: errors that no caller is told.

use smmu_arch::{SmmuId, Vmid};
use std::cell::RefCell;
use std::fmt;

/// One line of the kernel's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogEntry {
    /// Virtual time in nanoseconds.
    pub at_ns: u64,
    /// Which SMMU it is about.
    pub smmu: SmmuId,
    /// What happened.
    pub notice: Notice,
}

/// What the driver has to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// A CMD_SYNC did not complete in time. The driver goes on as Linux does.
    SyncTimeout,
    /// The Command queue stayed full for too long; the commands were dropped.
    QueueFullTimeout,
    /// The SMMU refused a command; a CMD_SYNC was put in its place.
    CommandSkipped {
        /// CMDQ_CONS.ERR.
        code: u8,
        /// The command.
        words: [u64; 2],
    },
    /// Other global errors became active and were acknowledged: bits of GERROR.
    GlobalError {
        /// Bits that changed.
        bits: u32,
    },
    /// The Event queue overflowed: records were lost.
    EventOverflow,
    /// A record of the Event queue has no known number.
    UnknownEvent {
        /// The record.
        words: [u64; 4],
    },
    /// A domain was freed while a stream table entry still names its tables (bug B2 of the series).
    FreedAttachedDomain {
        /// VMID of the domain.
        vmid: Vmid,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SyncTimeout => f.write_str("CMD_SYNC timeout"),
            Self::QueueFullTimeout => f.write_str("the Command queue stayed full"),
            Self::CommandSkipped { code, words: [low, high] } => {
                write!(f, "command {low:#018x} {high:#018x} skipped, CMDQ_CONS.ERR is {code}")
            }
            Self::GlobalError { bits } => write!(f, "global errors {bits:#x}"),
            Self::EventOverflow => f.write_str("Event queue overflow, records lost"),
            Self::UnknownEvent { words } => write!(f, "unknown event record {words:#018x?}"),
            Self::FreedAttachedDomain { vmid } => {
                write!(f, "the domain of VMID {vmid} was freed while a device uses it")
            }
        }
    }
}

/// The log. Entries are added between two calls of a CPU, so no lock is needed.
#[derive(Debug, Default)]
pub(crate) struct Log(RefCell<Vec<LogEntry>>);

impl Log {
    pub(crate) fn add(&self, at_ns: u64, smmu: SmmuId, notice: Notice) {
        self.0.borrow_mut().push(LogEntry { at_ns, smmu, notice });
    }

    pub(crate) fn entries(&self) -> Vec<LogEntry> {
        self.0.borrow().clone()
    }
}
