//! Why a command is not executed: CMDQ_CONS.ERR.

use crate::StreamId;
use thiserror::Error;

/// An error that stops a command queue at a command. Section "Command queue errors".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum CommandError {
    /// CERROR_ILL: unknown or illegal command.
    #[error("CERROR_ILL: {0}")]
    Illegal(#[from] IllegalCommand),
    /// CERROR_ABT: external abort on the read of the command.
    #[error("CERROR_ABT: the command could not be read")]
    Abort,
    /// CERROR_ATC_INV_SYNC: a CMD_SYNC could not confirm earlier CMD_ATC_INV.
    #[error("CERROR_ATC_INV_SYNC: an endpoint did not confirm an earlier CMD_ATC_INV")]
    AtcInvSync,
}

impl CommandError {
    /// The number that CMDQ_CONS.ERR shows.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Illegal(_) => 1,
            Self::Abort => 2,
            Self::AtcInvSync => 3,
        }
    }
}

/// Why a command is illegal. The guest sees CERROR_ILL for all of them; a person wants to know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum IllegalCommand {
    /// No command has this opcode.
    #[error("no command has opcode {0:#04x}")]
    UnknownOpcode(u8),
    /// The command belongs to the Secure Command queue.
    #[error("{0} is a command of the Secure Command queue")]
    SecureOnly(&'static str),
    /// SSec = 1 on the Non-secure Command queue.
    #[error("SSec is 1 on the Non-secure Command queue")]
    Ssec,
    /// A feature is not implemented: the field of an ID register that would say so.
    #[error("{0} says that this is not implemented")]
    Feature(&'static str),
    /// TG names a granule, but NUM, SCALE and TTL are all zero.
    #[error("TG is not 0, but NUM, SCALE and TTL are")]
    RangeRule,
    /// CMD_SYNC.CS = 3.
    #[error("CMD_SYNC with the reserved CS = 3")]
    SyncSignal,
    /// CMD_PRI_RESP.Resp = 3.
    #[error("CMD_PRI_RESP with the reserved Resp = 3")]
    PriResponse,
    /// CMD_ATC_INV.Size above 52, more than the whole address space.
    #[error("CMD_ATC_INV of 2^{0} pages is more than the address space")]
    AtcSize(u8),
    /// A virtual Command queue does not take the command with this opcode, or not in this form.
    #[error("a virtual Command queue does not take opcode {0:#04x} in this form")]
    NotOfVirtualQueue(u8),
    /// No slot of the virtual interface has the StreamID that a guest names.
    #[error("no slot of the virtual interface has StreamID {0}")]
    UnmatchedStream(StreamId),
}
