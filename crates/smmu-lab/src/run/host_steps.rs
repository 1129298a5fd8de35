//! Steps of the host's own drivers: the DMA API, the timer, and processes that share ASIDs.

use super::RunError;
use super::engine::Engine;
use crate::scenario::{HostMap, HostUnmap, SeizeAsid, Sleep};
use smmu_arch::{Iova, Pa};
use smmu_kernel::Errno;
use std::collections::VecDeque;
use std::rc::Rc;

/// Transfers that are mapped: IOVA and bytes, oldest first.
pub(super) type Transfers = VecDeque<(Iova, u64)>;

impl Engine {
    pub(super) fn host_map(&mut self, step: &HostMap) -> Result<(), RunError> {
        let device = self.device(&step.device);
        let bytes = step.bytes.0;
        let Some(pages) = self.host.take(u64::from(step.count), bytes.next_power_of_two()) else {
            return Err(RunError::OutOfMemory("the host".to_owned()));
        };
        let (kernel, name) = (Rc::clone(&self.kernel), step.device.clone());
        let (mapped, result) = self.machine.run(move |cpu| {
            let mut mapped = Vec::new();
            let map = |&page: &u64| {
                mapped.push(kernel.dma_map(cpu, &name, Pa(page), bytes, true)?);
                Ok::<(), Errno>(())
            };
            let result = pages.iter().try_for_each(map);
            (mapped, result)
        })?;
        let transfers = self.transfers.entry(device).or_default();
        transfers.extend(mapped.into_iter().map(|iova| (iova, bytes)));
        self.outcome(step.expect, result.err());
        Ok(())
    }

    pub(super) fn host_unmap(&mut self, step: &HostUnmap) -> Result<(), RunError> {
        let device = self.device(&step.device);
        let transfers = self.transfers.entry(device).or_default();
        let count = transfers.len().min(step.count as usize);
        let mut oldest: Vec<_> = transfers.drain(..count).collect();
        // What is not there is unmapped all the same: EINVAL.
        oldest.resize(step.count as usize, (Iova(0), 0));
        let (kernel, name) = (Rc::clone(&self.kernel), step.device.clone());
        let result = self.machine.run(move |cpu| {
            let unmap = |&(iova, bytes): &(Iova, u64)| kernel.dma_unmap(cpu, &name, iova, bytes);
            oldest.iter().try_for_each(unmap)
        })?;
        self.outcome(step.expect, result.err());
        Ok(())
    }

    pub(super) fn sleep(&mut self, step: Sleep) -> Result<(), RunError> {
        let kernel = Rc::clone(&self.kernel);
        self.machine.run(move |cpu| {
            cpu.wait_until(cpu.now_ns() + step.ns);
            kernel.tick(cpu);
        })?;
        Ok(())
    }

    pub(super) fn seize_asid(&mut self, step: &SeizeAsid) -> Result<(), RunError> {
        let (kernel, name) = (Rc::clone(&self.kernel), step.device.clone());
        let result = self.machine.run(move |cpu| kernel.seize_asid(cpu, &name))?;
        self.outcome(step.expect, result.err());
        let vm = self.vm_of(self.device(&step.device));
        self.remember_tags(vm)
    }
}
