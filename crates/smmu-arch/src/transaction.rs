//! A transaction: what a device asks of the SMMU.

use crate::{Iova, StreamId, SubstreamId};

/// Read or write. An atomic access needs both and is a write here (section "Permissions").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// A read.
    Read,
    /// A write.
    Write,
}

/// What the access wants to do and with which rights, as checked against permissions.
///
/// Attributes are those *after* the overrides of the STE (INSTCFG, PRIVCFG) once a configuration
/// has been found, and the incoming ones before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Access {
    /// Read or write.
    pub direction: Direction,
    /// PnU: privileged.
    pub privileged: bool,
    /// InD: instruction fetch. A write is always data.
    pub instruction: bool,
}

impl Access {
    /// An unprivileged data access.
    #[must_use]
    pub const fn data(direction: Direction) -> Self {
        Self { direction, privileged: false, instruction: false }
    }

    /// Whether this is a write.
    #[must_use]
    pub const fn is_write(self) -> bool {
        matches!(self.direction, Direction::Write)
    }

    /// Whether this is an instruction fetch: InD counts for reads only.
    #[must_use]
    pub const fn is_fetch(self) -> bool {
        self.instruction && !self.is_write()
    }
}

/// One transaction inside one page. A client splits what crosses a page.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Transaction {
    /// StreamID.
    pub stream: StreamId,
    /// SubstreamID, where the transaction bears one (SSV = 1).
    pub substream: Option<SubstreamId>,
    /// Input address, all 64 bits as presented.
    pub iova: Iova,
    /// Direction and incoming attributes.
    pub access: Access,
}
