//! Faults of a transaction: abort, RAZ/WI or stall, recorded or silent.
//!
//! Architecture: section "Fault models, recording and reporting".

use super::access_of;
use smmu_arch::{
    Access, Fault, FaultClass, Ipa, Regime, Stage, StageFault, StageFaultKind, StallTicket,
    Transaction,
};
use smmu_bus::Refusal;

/// A transaction that was not let through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Why; `None` for a silent abort (GBPA.ABORT, STE.Config = 0b0xx).
    pub fault: Option<Fault>,
    /// An event is recorded.
    pub record: bool,
    /// What becomes of the transaction.
    pub response: Response,
    /// The access that was checked, after overrides.
    pub access: Access,
}

/// What becomes of a transaction that was not let through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Response {
    /// Bus error.
    Abort,
    /// Reads give zero and writes are dropped (CD.A = 0).
    ReadZeroWriteIgnored,
    /// It stalls, and was not yet handed to the SMMU: see [`Port::finish`](crate::Port::finish).
    Stall,
    /// It is held until [`Smmu::released`](crate::Smmu::released) tells what is to be done.
    Held(StallTicket),
}

impl Refused {
    /// An abort without a record.
    pub(crate) const fn silent() -> Self {
        let access = Access::data(smmu_arch::Direction::Read);
        Self { fault: None, record: false, response: Response::Abort, access }
    }

    /// F_ADDR_SIZE of a bypassed stage 1: no CD exists to govern it, so it aborts and is recorded.
    pub(crate) const fn bypass_address_size(access: Access) -> Self {
        let fault = Fault::Stage(StageFault {
            kind: StageFaultKind::AddressSize,
            stage: Stage::Stage1,
            class: FaultClass::In,
            ipa: Ipa(0),
            descriptor_write: false,
        });
        Self { fault: Some(fault), record: true, response: Response::Abort, access }
    }

    /// A fault of the walk: CD.A, CD.R and CD.S govern stage 1, STE.S2R and STE.S2S stage 2; an
    /// external abort is always an abort and always recorded. A stall is recorded whatever R says.
    pub(crate) fn by_policy(fault: Fault, regime: &Regime, transaction: &Transaction) -> Self {
        let policy = &regime.policy;
        let (stall, record, abort) = match fault {
            Fault::Stage(StageFault { stage: Stage::Stage1, .. }) => {
                (policy.stage1_stall, policy.stage1_record, policy.stage1_abort)
            }
            Fault::Stage(StageFault { stage: Stage::Stage2, .. }) => {
                (policy.stage2_stall, policy.stage2_record, true)
            }
            _ => (false, true, true),
        };
        let response = match (stall, abort) {
            (true, _) => Response::Stall,
            (false, true) => Response::Abort,
            (false, false) => Response::ReadZeroWriteIgnored,
        };
        let access = access_of(transaction, regime);
        Self { fault: Some(fault), record: record || stall, response, access }
    }

    /// What the master sees.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match (self.response, self.fault) {
            (Response::ReadZeroWriteIgnored, Some(fault)) => Refusal::ReadZeroWriteIgnored(fault),
            (Response::Held(ticket), _) => Refusal::Held(ticket),
            (_, fault) => Refusal::Abort(fault),
        }
    }
}
