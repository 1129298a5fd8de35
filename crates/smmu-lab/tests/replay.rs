//! Cases that QEMU has answered.

use smmu_lab::replay::{load, replay_cases};
use std::num::NonZeroUsize;

const SAMPLE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/replay/qemu-cases-sample.jsonl.gz");

#[test]
fn the_sample_agrees() {
    let cases = load(SAMPLE).unwrap();
    let (_, report) = replay_cases(&cases, NonZeroUsize::MIN);
    println!("{report}");
    assert!(report.agrees());
}
