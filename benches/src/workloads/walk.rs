//! The walk alone: tables in memory, no structures, no device.

use super::{InTurn, Order, output_of};
use crate::draw::Hash;
use crate::machine::{Machine, Plan};
use crate::measure::{Measured, Workload, timed};
use smmu_arch::{Access, Direction, Regime};
use smmu_tables::{Walk, run};

/// Walks over every page of a working set in turn.
pub struct WalkOnly {
    machine: Machine,
    regime: Regime,
    pages: u64,
}

impl WalkOnly {
    /// Walks of the first stream of `plan`.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let machine = Machine::new(plan);
        let regime = machine.regime(0);
        Self { machine, regime, pages: plan.pages }
    }
}

impl Workload for WalkOnly {
    fn run(&mut self, operations: u64) -> Measured {
        let (regime, ram) = (&self.regime, &self.machine.ram);
        let mut order = InTurn::new(0, self.pages);
        timed(operations, |operations| {
            let mut hash = Hash::default();
            for _ in 0..operations {
                let walk = Walk::new(regime, order.iova(), Access::data(Direction::Read));
                hash.add(run(walk, regime, ram).expect("a mapped page").output.0);
            }
            hash
        })
    }

    fn expected(&self, operations: u64) -> u64 {
        let (mut order, mut hash) = (InTurn::new(0, self.pages), Hash::default());
        (0..operations).for_each(|_| hash.add(output_of(order.next(), self.pages)));
        hash.0
    }
}
