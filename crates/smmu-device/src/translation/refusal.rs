//! Faults of a transaction: abort or RAZ/WI, recorded or silent.
//!
//! Architecture: section "Fault models, recording and reporting".

use super::access_of;
use smmu_arch::{
    Access, Fault, FaultClass, Ipa, Regime, Stage, StageFault, StageFaultKind, Transaction,
};
use smmu_bus::Refusal;

/// A transaction that was not let through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Why; `None` for a silent abort (GBPA.ABORT, STE.Config = 0b0xx).
    pub fault: Option<Fault>,
    /// An event is recorded.
    pub record: bool,
    /// CD.A = 0: reads give zero and writes are dropped; otherwise the transaction aborts.
    pub read_zero: bool,
    /// The access that was checked, after overrides.
    pub access: Access,
}

impl Refused {
    /// An abort without a record.
    pub(crate) const fn silent() -> Self {
        let access = Access::data(smmu_arch::Direction::Read);
        Self { fault: None, record: false, read_zero: false, access }
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
        Self { fault: Some(fault), record: true, read_zero: false, access }
    }

    /// A fault of the walk: CD.A and CD.R govern stage 1, STE.S2R stage 2; an external abort is
    /// always recorded. No transaction of this model can stall: where CD.S or STE.S2S asks for it,
    /// the transaction aborts and is recorded (a choice).
    pub(crate) fn by_policy(fault: Fault, regime: &Regime, transaction: &Transaction) -> Self {
        let policy = &regime.policy;
        let (record, read_zero) = match fault {
            Fault::Stage(StageFault { stage: Stage::Stage1, .. }) => {
                let stall = policy.stage1_stall;
                (policy.stage1_record || stall, !(policy.stage1_abort || stall))
            }
            Fault::Stage(StageFault { stage: Stage::Stage2, .. }) => {
                (policy.stage2_record || policy.stage2_stall, false)
            }
            _ => (true, false),
        };
        Self { fault: Some(fault), record, read_zero, access: access_of(transaction, regime) }
    }

    /// What the master sees.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self.fault {
            Some(fault) if self.read_zero => Refusal::ReadZeroWriteIgnored(fault),
            fault => Refusal::Abort(fault),
        }
    }
}
