//! Every fault of the driver that the model can show is found, and nothing is found without it.

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

fn results(scenario: &str, faults: &[&str], interleave: Option<u64>) -> Vec<RunResult> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let set = format!("faults={faults:?}");
    let options = LoadOptions { set: &[set], faults: None };
    let loaded = Scenario::load(&path.join(scenario).with_extension("toml"), &options);
    let loaded = loaded.unwrap_or_else(|error| panic!("{scenario}: {error}"));
    run(&loaded, &RunOptions { interleave, ..RunOptions::default() }).expect("a run that ends").runs
}

fn orders(seeds: u64) -> impl Iterator<Item = Option<u64>> {
    std::iter::once(None).chain((0..seeds).map(Some))
}

#[test]
fn each_fault_is_found_in_its_scenario_and_the_driver_is_blamed() {
    for fault in FaultSwitch::ALL {
        let info = fault.info();
        let Some(scenario) = info.scenario else { continue };
        let found = orders(SEEDS).find_map(|order| {
            let runs = results(scenario, &[info.name], order);
            let verdicts: Vec<_> = runs.into_iter().flat_map(|run| run.verdicts).collect();
            (!verdicts.is_empty()).then_some((order, verdicts))
        });
        let (order, verdicts) =
            found.unwrap_or_else(|| panic!("{fault} is not found in {scenario}"));
        for verdict in verdicts {
            assert_eq!(verdict.blame, "driver", "{fault}, order {order:?}: {}", verdict.text);
        }
    }
}

#[test]
fn without_a_fault_no_order_of_those_scenarios_shows_anything() {
    let mut scenarios: Vec<_> =
        FaultSwitch::ALL.iter().filter_map(|fault| fault.info().scenario).collect();
    scenarios.sort_unstable();
    scenarios.dedup();
    for scenario in scenarios {
        for order in orders(SILENT_SEEDS) {
            for run in results(scenario, &[], order) {
                let texts: Vec<_> = run.verdicts.iter().map(|one| one.text.as_str()).collect();
                let text = texts.join("\n");
                assert!(run.passed(), "{scenario}, order {order:?}: {:?}\n{text}", run.failures);
            }
        }
    }
}

/// What is wrong in each of them is no promise that the checker could hold: a fault without a
/// scenario is named here with the reason, or with the test that shows it.
#[test]
fn a_fault_without_scenario_is_known_by_name() {
    let without: Vec<_> =
        FaultSwitch::ALL.iter().filter(|one| one.info().scenario.is_none()).collect();
    let known = [
        // B's attach ends with a CMD_SYNC behind A's TLBI: only a second queue or a clock shows it.
        &FaultSwitch::ReuseOrder,
        // There is no walk cache that Leaf = 1 could spare.
        &FaultSwitch::TlbiLeafOnly,
        // A scenario has no guest with a stage 1 of its own: `iommufd.rs` shows it.
        &FaultSwitch::SkipS1Clear,
        // The checker does not judge what goes by translated addresses: steps of `ats.toml` fail.
        &FaultSwitch::NoAtcInvalidation,
        // See below: it shows as events.
        &FaultSwitch::SteTorn,
    ];
    assert_eq!(without, known);
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
