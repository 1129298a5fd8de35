//! What leaves an SMMU beside memory accesses.

use crate::InterruptLine;
use smmu_arch::{AtcInv, PriResp, SmmuId};

/// What an endpoint does with an ATS invalidation request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtcAnswer {
    /// It has completed it, or answered Unsupported Request: nothing is cached.
    Completed,
    /// It will tell the SMMU.
    Later,
}

/// Whoever takes wired interrupts, wake-up events and messages to endpoints.
pub trait Outputs {
    /// A line was pulsed.
    fn pulse(&mut self, smmu: SmmuId, line: InterruptLine);

    /// An event was sent that wakes waiting CPUs.
    fn send_event(&mut self);

    /// An endpoint is asked to forget translations. One that is not there has none.
    fn invalidate_atc(&mut self, smmu: SmmuId, invalidation: &AtcInv) -> AtcAnswer {
        let _ = (smmu, invalidation);
        AtcAnswer::Completed
    }

    /// A page request group of an endpoint is answered.
    fn page_response(&mut self, smmu: SmmuId, response: &PriResp) {
        let _ = (smmu, response);
    }
}
