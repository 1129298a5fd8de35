//! The interleaving runner: every seed is another order of all actors' requests.
//!
//! `SMMULATOR_SEEDS=100000 cargo test -p smmu-lab --release --test interleave` runs more of them.

use smmu_lab::run::{DeviceCounts, RunOptions, RunResult, SmmuCounts, render, run};
use smmu_lab::{LoadOptions, Loaded, Scenario};
use std::path::PathBuf;

fn load(name: &str, set: &[&str]) -> Loaded {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(name);
    let set: Vec<String> = set.iter().map(ToString::to_string).collect();
    let options = LoadOptions { set: &set, faults: None };
    Scenario::load(&path, &options).unwrap_or_else(|error| panic!("{error}"))
}

fn seeds() -> u64 {
    std::env::var("SMMULATOR_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2000)
}

/// The only run of a scenario, in the order of a seed.
fn one(loaded: &Loaded, interleave: Option<u64>) -> RunResult {
    let results = run(loaded, &RunOptions { interleave, ..RunOptions::default() });
    let results = results.unwrap_or_else(|error| panic!("seed {interleave:?}: {error}"));
    results.runs.into_iter().next().expect("a scenario has a run")
}

#[test]
fn with_the_required_invalidations_no_order_is_stale() {
    let loaded = load("race-unmap.toml", &[]);
    for seed in 0..seeds() {
        let result = one(&loaded, Some(seed));
        let texts: Vec<&str> = result.verdicts.iter().map(|one| one.text.as_str()).collect();
        assert!(result.passed(), "seed {seed}: {:?}\n{}", result.failures, texts.join("\n"));
    }
}

/// Where nothing is forgotten but what must be, a walk of one container of a shared VMID may go on from
/// the other's tables: that is no bug of anybody's while neither has been told that it is over.
#[test]
fn nor_is_one_where_everything_is_remembered() {
    let loaded = load("race-unmap.toml", &["machine=adversary"]);
    for seed in 0..seeds() / 10 {
        let result = one(&loaded, Some(seed));
        let texts: Vec<&str> = result.verdicts.iter().map(|one| one.text.as_str()).collect();
        assert!(result.passed(), "seed {seed}: {:?}\n{}", result.failures, texts.join("\n"));
    }
}

#[test]
fn the_races_do_happen() {
    let loaded = load("race-unmap.toml", &[]);
    let results: Vec<RunResult> = (0..200).map(|seed| one(&loaded, Some(seed))).collect();
    let overtaken = results.iter().flat_map(|r| &r.smmus).map(|smmu| smmu.counts.overtaken);
    assert!(overtaken.sum::<u64>() > 0, "no fill was ever overtaken by an invalidation");
    assert!(results.iter().any(|r| r.stale_allowed > 0), "nothing was ever stale within the rules");
    assert!(results.iter().any(|r| r.sum(|d| d.counts.aborts) > 0), "no DMA ever met the unmap");
}

#[test]
fn without_races_every_order_comes_to_the_same() {
    for (name, small) in [
        ("vmid-reuse.toml", &["vm.A.ram.bytes=256KiB", "vm.B.ram.bytes=256KiB"]),
        ("tlbi-scope.toml", &["vm.stage1.ram.bytes=64KiB", "vm.stage2.ram.bytes=64KiB"]),
    ] {
        let loaded = load(name, small);
        let functional = figures(&one(&loaded, None));
        for seed in 0..seeds() {
            assert_eq!(figures(&one(&loaded, Some(seed))), functional, "{name}, seed {seed}");
        }
    }
}

fn figures(result: &RunResult) -> (Vec<DeviceCounts>, Vec<SmmuCounts>) {
    let devices = result.vms.iter().flat_map(|vm| &vm.devices).map(|device| device.counts);
    (devices.collect(), result.smmus.iter().map(|smmu| smmu.counts).collect())
}

#[test]
fn a_forgotten_invalidation_is_found_in_every_order() {
    let set = ["faults=[\"reuse-without-tlbi\"]", "vm.A.ram.bytes=256KiB", "vm.B.ram.bytes=256KiB"];
    let loaded = load("vmid-reuse.toml", &set);
    for seed in 0..seeds() {
        let options = RunOptions { interleave: Some(seed), ..RunOptions::default() };
        let results = run(&loaded, &options).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(render(&results).contains(&format!("seed {seed}")), "the seed is not printed");
        let result = &results.runs[0];
        let missing: Vec<&str> = result.verdicts.iter().map(|v| v.missing.as_str()).collect();
        assert!(!missing.is_empty(), "seed {seed} does not find the leak");
        assert!(missing[0].starts_with("CMD_TLBI_S12_VMALL vmid=0x1"), "seed {seed}: {missing:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_whatever_the_jobs() {
    let loaded = load("shared-vmid.toml", &["step.0.workload.traffic.nic_ring.packets=40"]);
    let text = |jobs| {
        let results = run(&loaded, &RunOptions { interleave: Some(7), jobs, trace: None }).unwrap();
        serde_json::to_string(&results).unwrap()
    };
    assert_eq!(text(1), text(2));
}
