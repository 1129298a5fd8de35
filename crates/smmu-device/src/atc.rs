//! ATS invalidation requests on their way: what a CMD_SYNC waits for besides the SMMU's own.
//!
//! Architecture: chapter "ATS and PRI", section "ATS invalidation", and CERROR_ATC_INV_SYNC.

/// How an endpoint ended an invalidation request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtcOutcome {
    /// It forgot what was named, or answered Unsupported Request: both complete the command.
    Completed,
    /// It did not answer in time.
    TimedOut,
}

/// The invalidation requests of one Command queue.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct AtcInvalidations {
    /// Sent and not ended.
    outstanding: u32,
    timed_out: bool,
}

impl AtcInvalidations {
    pub(crate) fn begun(&mut self) {
        self.outstanding += 1;
    }

    pub(crate) fn ended(&mut self, outcome: AtcOutcome) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.timed_out |= outcome == AtcOutcome::TimedOut;
    }

    /// Nothing is left that a CMD_SYNC waits for.
    pub(crate) const fn is_idle(&self) -> bool {
        self.outstanding == 0
    }

    /// A CMD_SYNC is at its end: whether it has to report a time-out. It does so once; run again
    /// it completes, as no invalidation is repeated.
    pub(crate) fn take_timeout(&mut self) -> bool {
        std::mem::take(&mut self.timed_out)
    }
}
