//! What leaves a hosted machine.

use smmu_arch::{AtcInv, Observation, Origin, Pa, PriResp, SmmuId};
use smmu_bus::{Aborted, AtcAnswer, InterruptLine, Memory, Outputs};

/// Whoever the machine belongs to. It is called on the threads that call the machine, while the
/// machine is locked: it must not call back into it.
pub trait Host: Send + Sync {
    /// An interrupt line was pulsed.
    fn interrupt(&self, smmu: SmmuId, line: InterruptLine) {
        let _ = (smmu, line);
    }

    /// An event was sent that wakes waiting CPUs (SEV).
    fn send_event(&self) {}

    /// A message-signalled interrupt was written to where no memory is. `false`: nothing answered.
    fn message(&self, pa: Pa, data: u32) -> bool {
        let _ = (pa, data);
        false
    }

    /// An endpoint of the host's own is asked to forget translations.
    fn invalidate_atc(&self, smmu: SmmuId, invalidation: &AtcInv) -> AtcAnswer {
        let _ = (smmu, invalidation);
        AtcAnswer::Completed
    }

    /// A page request group of an endpoint was answered.
    fn page_response(&self, smmu: SmmuId, response: &PriResp) {
        let _ = (smmu, response);
    }

    /// An SMMU reports. Not called where [`Host::listens`] gives `false`.
    fn observe(&self, origin: &Origin, observation: &Observation) {
        let _ = (origin, observation);
    }

    /// Whether observations are worth making.
    fn listens(&self) -> bool {
        false
    }
}

impl Host for () {}

/// The host as the background work of an SMMU sees it.
pub(super) struct HostOutputs<'a, H> {
    pub(super) host: &'a H,
    /// Endpoints of the machine's own forget, and say what they do with it; `None` for all others.
    pub(super) endpoints: &'a dyn Fn(&AtcInv) -> Option<AtcAnswer>,
}

impl<H: Host> Outputs for HostOutputs<'_, H> {
    fn pulse(&mut self, smmu: SmmuId, line: InterruptLine) {
        self.host.interrupt(smmu, line);
    }

    fn send_event(&mut self) {
        self.host.send_event();
    }

    fn invalidate_atc(&mut self, smmu: SmmuId, invalidation: &AtcInv) -> AtcAnswer {
        let own = (self.endpoints)(invalidation);
        own.unwrap_or_else(|| self.host.invalidate_atc(smmu, invalidation))
    }

    fn page_response(&mut self, smmu: SmmuId, response: &PriResp) {
        self.host.page_response(smmu, response);
    }
}

/// Memory, and the windows of the host that take messages.
pub(super) struct WithMessages<'a, M, H> {
    pub(super) memory: &'a M,
    pub(super) host: &'a H,
}

impl<M: Memory, H: Host> Memory for WithMessages<'_, M, H> {
    fn read_word(&self, pa: Pa) -> Result<u64, Aborted> {
        self.memory.read_word(pa)
    }

    fn write_word(&self, pa: Pa, value: u64) -> Result<(), Aborted> {
        self.memory.write_word(pa, value)
    }

    fn compare_and_swap(&self, pa: Pa, old: u64, new: u64) -> Result<u64, Aborted> {
        self.memory.compare_and_swap(pa, old, new)
    }

    /// The background work of an SMMU writes four bytes for messages alone.
    fn write_bytes(&self, pa: Pa, bytes: &[u8]) -> Result<(), Aborted> {
        match bytes.try_into().map(u32::from_le_bytes) {
            Ok(data) if self.memory.read_word(pa).is_err() => {
                self.host.message(pa, data).then_some(()).ok_or(Aborted(pa))
            }
            _ => self.memory.write_bytes(pa, bytes),
        }
    }
}
