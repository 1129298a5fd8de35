//! The record of a fault.
//!
//! Architecture: section "Event records", with the examples of which stage and class are
//! reported for nested translation.

use super::{
    AtsRequestEvent, Event, EventKind, FetchEvent, ForbiddenEvent, StageEvent, WalkAbortEvent,
};
use crate::{Access, Fault, Ipa, Pa, StageFault, StageFaultKind, Transaction};

impl Event {
    /// The record of a fault, as of a transaction that does not stall.
    ///
    /// `access` is the transaction's after the overrides of the STE. `oas_bits` is the output
    /// address size: bits of FetchAddr and IPA at and above it are 0.
    #[must_use]
    pub fn from_fault(
        fault: &Fault,
        transaction: &Transaction,
        access: Access,
        oas_bits: u8,
    ) -> Self {
        let about = About { transaction, access, oas_bits };
        let kind = match *fault {
            Fault::BadStreamId => EventKind::BadStreamId,
            Fault::SteFetch(address) => EventKind::SteFetch(about.fetch(address)),
            Fault::BadSte => EventKind::BadSte,
            Fault::BadAtsRequest { write, execute, privileged } => {
                EventKind::BadAtsRequest(AtsRequestEvent {
                    span: 1,
                    privileged,
                    execute,
                    write,
                    read: true,
                    input: transaction.iova,
                })
            }
            Fault::TranslationForbidden => EventKind::TranslationForbidden(ForbiddenEvent {
                direction: transaction.access.direction,
                input: transaction.iova,
            }),
            Fault::StreamDisabled => EventKind::StreamDisabled,
            Fault::BadSubstreamId => EventKind::BadSubstreamId,
            Fault::CdFetch(address) => EventKind::CdFetch(about.fetch(address)),
            Fault::BadCd => EventKind::BadCd,
            Fault::WalkExternalAbort { stage, class, address } => {
                EventKind::WalkExternalAbort(WalkAbortEvent {
                    reason: 0,
                    gpcf: false,
                    access: about.reported_access(),
                    ns_ipa: false,
                    stage,
                    class,
                    input: transaction.iova,
                    address: about.fetch(address).address,
                })
            }
            Fault::Stage(fault) => about.stage(&fault),
        };
        let substream = match kind {
            EventKind::StreamDisabled | EventKind::TranslationForbidden(_) => None,
            EventKind::BadSubstreamId => Some(transaction.substream.unwrap_or_default()),
            _ => transaction.substream,
        };
        Self { stream: transaction.stream, substream, kind }
    }
}

/// What a record says whatever the fault.
struct About<'a> {
    transaction: &'a Transaction,
    access: Access,
    oas_bits: u8,
}

impl About<'_> {
    fn stage(&self, fault: &StageFault) -> EventKind {
        let event = StageEvent {
            stag: 0,
            stall: false,
            access: self.reported_access(),
            ns_ipa: false,
            stage: fault.stage,
            class: fault.class,
            descriptor_write: fault.descriptor_write,
            input: self.transaction.iova,
            ipa: Ipa(self.inside(fault.ipa.0)).align_down(12),
        };
        match fault.kind {
            StageFaultKind::Translation => EventKind::Translation(event),
            StageFaultKind::AddressSize => EventKind::AddressSize(event),
            StageFaultKind::AccessFlag => EventKind::AccessFlag(event),
            StageFaultKind::Permission => EventKind::Permission(event),
        }
    }

    fn fetch(&self, address: Pa) -> FetchEvent {
        FetchEvent { reason: 0, gpcf: false, address: Pa(self.inside(address.0)).align_down(3) }
    }

    /// InD is 0 when RnW is 0.
    fn reported_access(&self) -> Access {
        Access { instruction: self.access.is_fetch(), ..self.access }
    }

    fn inside(&self, address: u64) -> u64 {
        address & 1u64.checked_shl(u32::from(self.oas_bits)).map_or(u64::MAX, |size| size - 1)
    }
}
