//! Whom the checker blames for the driver's faults, and that it blames nobody without one. That each is
//! found, `smmu-lab`'s test `faults` holds.

use smmu_arch::{EventKind, SmmuId};
use smmu_kernel::client::{Container, Group, IommuType};
use smmu_kernel::{Errno, FaultSwitch, Faults, Options, Personality};
use smmu_lab::run::{RunOptions, RunResult, run};
use smmu_lab::{LoadOptions, Scenario};
use smmu_machine::Order;
use smmulator_tests::testbed::{Testbed, USER};
use std::path::Path;

/// Orders that a fault has to show itself in: the direct one, and these seeds.
const SEEDS: u64 = 200;
/// Seeds in which the driver without faults is held to be silent.
const SILENT_SEEDS: u64 = 40;

/// The run of a scenario without mistakes of the kernel's own, with this fault.
fn result(scenario: &str, fault: Option<&str>, interleave: Option<u64>) -> RunResult {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let loaded =
        Scenario::load(&path.join(scenario).with_extension("toml"), &LoadOptions::default());
    let mut loaded = loaded.unwrap_or_else(|error| panic!("{scenario}: {error}"));
    loaded.runs.retain(|run| matches!(run.variant.as_deref(), None | Some("repaired")));
    for run in &mut loaded.runs {
        run.scenario.faults.extend(fault.map(str::to_owned));
    }
    let results = run(&loaded, &RunOptions { interleave, ..RunOptions::default() });
    results.expect("a run that ends").runs.swap_remove(0)
}

fn orders(seeds: u64) -> impl Iterator<Item = Option<u64>> {
    std::iter::once(None).chain((0..seeds).map(Some))
}

#[test]
fn the_checker_blames_the_driver_for_its_faults() {
    let mut judged = 0;
    for fault in FaultSwitch::ALL {
        let info = fault.info();
        let Some(scenario) = info.scenario else { continue };
        // Some show as expectations that fail: then nothing that was over was used.
        let shown = orders(SEEDS).find_map(|order| {
            let result = result(scenario, Some(info.name), order);
            (!result.passed()).then_some((order, result.verdicts))
        });
        let (order, verdicts) = shown.unwrap_or_else(|| panic!("{fault} is not in {scenario}"));
        judged += usize::from(!verdicts.is_empty());
        for verdict in verdicts {
            assert_eq!(verdict.blame, "driver", "{fault}, order {order:?}: {}", verdict.text);
        }
    }
    assert!(judged >= 19, "{judged} faults lead to verdicts");
}

#[test]
fn without_a_fault_no_order_of_those_scenarios_shows_anything() {
    let mut scenarios: Vec<_> =
        FaultSwitch::ALL.iter().filter_map(|fault| fault.info().scenario).collect();
    scenarios.sort_unstable();
    scenarios.dedup();
    for scenario in scenarios {
        for order in orders(SILENT_SEEDS) {
            let result = result(scenario, None, order);
            let texts: Vec<_> = result.verdicts.iter().map(|one| one.text.as_str()).collect();
            let text = texts.join("\n");
            assert!(result.passed(), "{scenario}, order {order:?}: {:?}\n{text}", result.failures);
        }
    }
}

/// Without a cache of STEs every transaction reads what stands in memory at that moment.
const MACHINE: &str = "
preset = 'reference'
[[smmu]]
name = 'smmu0'
ste_cache = { entries = 0 }
[[device]]
name = 'nic0'
streams = [1]
";

/// Whether a blocked device that is attached under DMA meets an STE that says neither.
fn meets_a_torn_ste(faults: Faults, seed: u64) -> bool {
    let options = Options { faults, ..Options::new(Personality::RfcFixed) };
    let mut bed = Testbed::new(MACHINE, options, Order::Seeded(seed));
    let dma = bed.start_dma("nic0", 0x4000_0000, 8, 400);
    bed.call(|process| {
        let container = Container::open(process)?;
        Group::open(process, 0)?.set_container(&container)?;
        container.set_iommu(IommuType::Nesting)?;
        container.map_dma(0x4000_0000, USER, 0x1000)?;
        Ok::<_, Errno>(())
    })
    .unwrap();
    bed.machine.wait(dma).unwrap();
    let kernel = std::rc::Rc::clone(&bed.kernel);
    let events = bed.machine.run(move |cpu| kernel.service_events(cpu, SmmuId(0))).unwrap();
    assert_eq!(bed.verdicts(), [], "seed {seed}");
    events
        .iter()
        .any(|event| matches!(event.kind, EventKind::BadSte | EventKind::WalkExternalAbort(_)))
}

#[test]
fn a_torn_ste_is_met_in_some_order_and_a_whole_one_in_none() {
    let torn = Faults::NONE.with(FaultSwitch::SteTorn);
    assert!((0..SEEDS).any(|seed| meets_a_torn_ste(torn, seed)));
    let met = (0..SILENT_SEEDS).find(|&seed| meets_a_torn_ste(Faults::NONE, seed));
    assert_eq!(met, None);
}
