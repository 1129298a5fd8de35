//! Probing and bringing up.

use super::platform::{Bench, Desk};
use crate::{Options, Personality, ProbeError, Refusal};
use smmu_arch::{IdRegisters, SmmuId, StreamId};

fn upstream() -> Options {
    Options::new(Personality::Upstream)
}

#[test]
fn an_smmu_is_brought_up_in_the_order_of_the_architecture() {
    let bench = Bench::new(&[IdRegisters::REFERENCE], &[0], upstream());
    let desk: Desk<'_> = bench.desk();
    bench.kernel.boot(&desk.cpu).unwrap();
    for line in desk.trace() { println!("{line}"); }
    panic!();
}
