//! Event queues of a guest's SMMU: the events of its devices, under the guest's names, read from a
//! descriptor.

use super::context::State;
use super::objects::Object;
use super::uapi::{
    VEVENTQ_FLAG_LOST_EVENTS, VEVENTQ_TYPE_ARM_SMMUV3, VeventArmSmmuv3, VeventHeader, VeventqAlloc,
};
use crate::Errno;
use crate::vfio::Call;
use iommufd_bindings::iommufd as abi;
use smmu_arch::{Event, EventKind, Stage};
use std::collections::VecDeque;
use std::mem::size_of;
use zerocopy::IntoBytes;

/// Records of one queue at most.
const DEPTH_MAX: u32 = 1 << 19;
/// Sequence numbers are non-negative numbers of 32 bits.
const SEQUENCE_MASK: u32 = i32::MAX as u32;

/// An event queue.
#[derive(Debug)]
pub(super) struct Veventq {
    pub(super) viommu: u32,
    pub(super) kind: u32,
    depth: u32,
    /// Number of the next event, lost ones included.
    sequence: u32,
    records: VecDeque<(u32, VeventArmSmmuv3)>,
    /// Number of the last event that was lost, as long as nothing came behind it.
    lost: Option<u32>,
}

/// `IOMMU_VEVENTQ_ALLOC`, without the descriptor.
///
/// # Errors
/// EOPNOTSUPP: flags, a reserved field, the default type. EINVAL: depth. ENOENT. EEXIST: the vIOMMU
/// has one of this type.
pub(super) fn alloc(state: &mut State, cmd: &mut VeventqAlloc) -> Result<u32, Errno> {
    let default = abi::iommu_veventq_type_IOMMU_VEVENTQ_TYPE_DEFAULT;
    if cmd.flags != 0 || cmd.__reserved != 0 || cmd.type_ == default {
        return Err(Errno::EOPNOTSUPP);
    }
    if !(1..=DEPTH_MAX).contains(&cmd.veventq_depth) {
        return Err(Errno::EINVAL);
    }
    if state.objects.viommu(cmd.viommu_id)?.queues.contains_key(&cmd.type_) {
        return Err(Errno::EEXIST);
    }
    let id = state.objects.insert(Object::Veventq(Veventq {
        viommu: cmd.viommu_id,
        kind: cmd.type_,
        depth: cmd.veventq_depth,
        sequence: 0,
        records: VecDeque::new(),
        lost: None,
    }));
    state.objects.hold(cmd.viommu_id);
    state.objects.viommu_mut(cmd.viommu_id)?.queues.insert(cmd.type_, id);
    cmd.out_veventq_id = id;
    Ok(id)
}

/// What goes with a queue that is destroyed.
pub(super) fn destroyed(state: &mut State, queue: &Veventq) {
    if let Ok(viommu) = state.objects.viommu_mut(queue.viommu) {
        viommu.queues.remove(&queue.kind);
    }
    state.objects.release(queue.viommu);
}

impl Veventq {
    /// Puts an event behind the others, or notes that it was lost.
    fn push(&mut self, event: VeventArmSmmuv3) {
        let sequence = self.sequence;
        self.sequence = (sequence + 1) & SEQUENCE_MASK;
        if self.records.len() == self.depth as usize {
            self.lost = Some(sequence);
        } else {
            self.lost = None;
            self.records.push_back((sequence, event));
        }
    }

    /// Copies whole records to user memory, as many as there are and fit; gives the bytes.
    ///
    /// # Errors
    /// EFAULT: nothing was copied.
    pub(super) fn read(&mut self, call: Call<'_>, buffer: u64, bytes: u64) -> Result<u64, Errno> {
        let mut done = 0;
        while let Some(record) = self.next_record() {
            let length = record.len() as u64;
            if length > bytes - done {
                break;
            }
            let place = buffer.checked_add(done).ok_or(Errno::EFAULT);
            let copied = place.and_then(|place| Ok(call.process.write(place, &record)?));
            match copied {
                Ok(()) => {}
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
            done += length;
            if self.records.pop_front().is_none() {
                self.lost = None;
            }
        }
        Ok(done)
    }

    /// A header and its event; for lost events a header alone, behind all events.
    fn next_record(&self) -> Option<Vec<u8>> {
        let mut record = Vec::with_capacity(size_of::<VeventHeader>() + 32);
        if let Some((sequence, event)) = self.records.front() {
            let header = VeventHeader { flags: 0, sequence: *sequence };
            record.extend_from_slice(header.as_bytes());
            record.extend_from_slice(event.as_bytes());
        } else {
            let header = VeventHeader { flags: VEVENTQ_FLAG_LOST_EVENTS, sequence: self.lost? };
            record.extend_from_slice(header.as_bytes());
        }
        Some(record)
    }
}

impl State {
    /// Hands an event of a device to its guest; `false` where the host has to look after it.
    pub(super) fn report(&mut self, device: u32, event: &Event) -> bool {
        let told = self.objects.device(device).ok().and_then(|device| device.reports_to);
        let Some((viommu, stream)) = told.filter(|_| is_the_guests(&event.kind)) else {
            return false;
        };
        let queue = self.objects.viommu(viommu).ok();
        let queue = queue.and_then(|viommu| viommu.queues.get(&VEVENTQ_TYPE_ARM_SMMUV3).copied());
        let Some(queue) = queue.and_then(|id| self.objects.veventq_mut(id).ok()) else {
            return false;
        };
        queue.push(VeventArmSmmuv3 { evt: Event { stream, ..*event }.encode() });
        true
    }

    /// Whether a queue has something to read.
    pub(super) fn has_events(&self, queue: u32) -> bool {
        let queue = self.objects.veventq(queue);
        queue.is_ok_and(|queue| !queue.records.is_empty() || queue.lost.is_some())
    }
}

/// Events of the guest's stage 1 and its configuration. A fault of stage 2 is the host's, and a
/// stalled transaction waits for the host's answer.
const fn is_the_guests(kind: &EventKind) -> bool {
    match kind {
        EventKind::BadSte
        | EventKind::StreamDisabled
        | EventKind::BadSubstreamId
        | EventKind::BadCd => true,
        EventKind::Translation(fault)
        | EventKind::AddressSize(fault)
        | EventKind::AccessFlag(fault)
        | EventKind::Permission(fault) => matches!(fault.stage, Stage::Stage1) && !fault.stall,
        _ => false,
    }
}

/// Reads from a queue of an iommufd.
///
/// # Errors
/// EFAULT; ENOENT.
pub(super) fn read(
    call: Call<'_>,
    state: &mut State,
    queue: u32,
    (buffer, bytes): (u64, u64),
) -> Result<u64, Errno> {
    state.objects.veventq_mut(queue)?.read(call, buffer, bytes)
}
