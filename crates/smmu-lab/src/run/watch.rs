//! Who watches a run: the counters, and the checker.

use super::occupancy::Occupancy;
use super::statistics::Statistics;
use super::trace_text::TraceWriter;
use smmu_arch::{Observation, Origin, Pa, Promise, SmmuId, StreamId};
use smmu_bus::Ram;
use smmu_check::{Checker, Globals};
use smmu_machine::{Blueprint, Listener};
use std::rc::Rc;

/// Counters and checker side by side.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) statistics: Statistics,
    pub(super) occupancy: Occupancy,
    pub(super) checker: Checker<Rc<Ram>>,
    /// Observations as they come, while somebody wants to see them.
    pub(super) tape: Option<Vec<(Origin, Observation)>>,
    /// Text of another tool, where it is asked for.
    pub(super) writer: Option<TraceWriter>,
}

impl Watch {
    /// A watch over a machine whose devices belong to these VMs.
    pub(super) fn new(
        ram: &Rc<Ram>,
        blueprint: &Blueprint,
        vm_of: Vec<Option<usize>>,
        vms: usize,
    ) -> Self {
        let mut checker = Checker::new(Rc::clone(ram));
        for (index, smmu) in blueprint.smmus.iter().enumerate() {
            checker.add_smmu(SmmuId(index as u8), smmu_arch::Features::decode(&smmu.ids));
        }
        for (device, vm) in blueprint.devices.iter().zip(&vm_of) {
            let Some(vm) = vm else { continue };
            for &stream in &device.streams {
                checker.set_owner(SmmuId(device.smmu as u8), StreamId(stream), *vm as u32);
            }
        }
        Self {
            statistics: Statistics::new(blueprint, vm_of, vms),
            occupancy: Occupancy::default(),
            checker,
            tape: None,
            writer: None,
        }
    }
}

impl Watch {
    /// The text so far.
    pub(super) fn take_trace(&mut self) -> String {
        self.writer.as_mut().map(TraceWriter::take).unwrap_or_default()
    }
}

impl Listener for Watch {
    fn observe(&mut self, origin: &Origin, observation: &Observation) {
        self.statistics.observe(origin, observation);
        self.occupancy.observe(origin, observation);
        self.checker.observe(origin, observation);
        if let Some(tape) = &mut self.tape {
            tape.push((*origin, *observation));
        }
        if let Some(writer) = &mut self.writer {
            writer.observe(observation);
        }
    }

    fn stored(&mut self, pa: Pa, old: u64, new: u64) {
        self.checker.stored(pa, old, new);
    }

    fn promised(&mut self, promise: &Promise) {
        self.checker.promised(*promise);
    }

    fn globals(&mut self, smmu: SmmuId, globals: &Globals) {
        self.checker.globals(smmu, *globals);
    }
}
