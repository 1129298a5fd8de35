//! Which commands a queue may give, and what becomes of the identifiers in them.
//!
//! Source: Linux, tegra241-cmdqv.c: a queue whose interface belongs to a guest takes the commands
//! that [`Admission::Guest`] names, and every virtual queue takes CMD_SYNC without a signal only.

use smmu_arch::{
    Command, CommandError, IllegalCommand, StreamId, SyncSignal, TlbiVa, TlbiVmidAsid, Vmid,
};
use std::sync::Arc;

/// The rule of a queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// Every command, as it stands.
    All,
    /// A virtual queue of the hypervisor: every command, but no signal of CMD_SYNC.
    Hypervisor,
    /// A virtual queue of a guest.
    Guest(Arc<Guest>),
}

/// Whose commands a guest's are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Guest {
    /// VMID that takes the place of the guest's.
    pub(crate) vmid: Vmid,
    /// StreamIDs as the guest says them, and as they are.
    pub(crate) streams: Vec<(StreamId, StreamId)>,
}

impl Admission {
    /// The command as it is to be executed.
    ///
    /// # Errors
    /// The queue may not give it.
    pub(crate) fn admit(&self, command: Command) -> Result<Command, CommandError> {
        match (self, command) {
            (Self::All, _) => Ok(command),
            (_, Command::Sync(sync)) if sync.signal != SyncSignal::None => {
                Err(IllegalCommand::NotOfVirtualQueue(command.opcode()).into())
            }
            (Self::Hypervisor, _) | (_, Command::Sync(_)) => Ok(command),
            (Self::Guest(guest), _) => guest.admit(command),
        }
    }
}

impl Guest {
    fn admit(&self, command: Command) -> Result<Command, CommandError> {
        let vmid = self.vmid;
        match command {
            Command::TlbiNhAsid(tlbi) => Ok(Command::TlbiNhAsid(TlbiVmidAsid { vmid, ..tlbi })),
            Command::TlbiNhVa(tlbi) => Ok(Command::TlbiNhVa(TlbiVa { vmid, ..tlbi })),
            Command::AtcInv(mut invalidation) => {
                invalidation.stream = self.physical(invalidation.stream)?;
                Ok(Command::AtcInv(invalidation))
            }
            _ => Err(IllegalCommand::NotOfVirtualQueue(command.opcode()).into()),
        }
    }

    /// The lowest slot that matches gives the StreamID; without one the command is illegal.
    fn physical(&self, stream: StreamId) -> Result<StreamId, CommandError> {
        let slot = self.streams.iter().find(|(virtual_sid, _)| *virtual_sid == stream);
        slot.map(|&(_, physical)| physical).ok_or(IllegalCommand::UnmatchedStream(stream).into())
    }
}
