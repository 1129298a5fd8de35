//! Interrupts.

use crate::InterruptLine;
use smmu_arch::SmmuId;

/// Whoever takes wired interrupts and wake-up events: an interrupt controller.
pub trait InterruptSink {
    /// A line was pulsed.
    fn pulse(&mut self, smmu: SmmuId, line: InterruptLine);

    /// An event was sent that wakes waiting CPUs.
    fn send_event(&mut self);
}
