//! Every scenario of the project, run as a user runs it.

use smmu_lab::run::{Results, RunOptions, RunResult, render, run};
use smmu_lab::{LoadOptions, Scenario};
use std::path::PathBuf;

fn results(name: &str, set: &[&str]) -> Results {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(name);
    let set: Vec<String> = set.iter().map(ToString::to_string).collect();
    let options = LoadOptions { set: &set, faults: None };
    let loaded = Scenario::load(&path, &options).unwrap_or_else(|error| panic!("{error}"));
    run(&loaded, &RunOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[track_caller]
fn passes(name: &str) -> Results {
    let results = results(name, &[]);
    assert!(results.passed(), "{}", render(&results));
    results
}

fn variant<'r>(results: &'r Results, name: &str) -> &'r RunResult {
    results.runs.iter().find(|run| run.variant.as_deref() == Some(name)).unwrap()
}

#[test]
fn a_shared_vmid_holds_translations_once() {
    let results = passes("shared-vmid.toml");
    let (private, shared) = (variant(&results, "private"), variant(&results, "shared"));
    let dma = |run: &RunResult| run.sum(|device| device.counts.dma);
    assert_eq!(dma(private), dma(shared), "both do the same work");
    let walks = |run: &RunResult| run.sum(|device| device.counts.misses);
    assert!(walks(shared) * 2 < walks(private), "{} of {}", walks(shared), walks(private));
    let tags = |run: &RunResult| run.smmus[0].resident.len();
    assert_eq!((tags(private), tags(shared)), (3, 2));
    assert!(shared.vms[0].counts.tlbi < private.vms[0].counts.tlbi);
    // Every entry that had to go was somebody's, and went for somebody.
    for run in [private, shared] {
        let lost: u64 = run.evictions.iter().map(|eviction| eviction.entries).sum();
        assert_eq!(lost, run.smmus[0].counts.evicted);
    }
    let lost = |of: &str, by: &str| {
        let mut evictions = private.evictions.iter();
        evictions.find(|one| (one.of.as_str(), one.by.as_str()) == (of, by)).map(|one| one.entries)
    };
    assert!(lost("A", "B") > Some(0) && lost("B", "A") > Some(0));
    assert!(shared.sum(|device| device.counts.shared_hits) > 0);
    assert_eq!(private.sum(|device| device.counts.shared_hits), 0);
}

#[test]
fn a_vmid_that_goes_to_another_vm_is_clean() {
    passes("vmid-reuse.toml");
}

#[test]
fn a_vmid_that_goes_to_another_vm_without_tlbi_leaks() {
    let results = results("vmid-reuse.toml", &["faults=[\"reuse-without-tlbi\"]"]);
    let run = &results.runs[0];
    assert!(!results.passed());
    let verdict = &run.verdicts[0];
    assert_eq!((verdict.blame.as_str(), verdict.device.as_deref()), ("driver", Some("nic1")));
    assert_eq!(verdict.missing, "CMD_TLBI_S12_VMALL vmid=0x1; CMD_SYNC");
    assert_eq!(run.sum(|device| device.counts.cross_vm_hits), 64);
    assert!(render(&results).contains("VMID 0x1 was freed"), "{}", render(&results));
}

#[test]
fn invalidations_drop_exactly_what_they_name() {
    passes("tlbi-scope.toml");
}

#[test]
fn an_endpoint_with_ats_asks_anew_after_an_unmap() {
    passes("ats.toml");
    assert!(!results("ats.toml", &["faults=['no-atc-invalidation']"]).passed());
}

#[test]
fn eight_bit_vmids_run_out_at_the_256th() {
    let results = passes("exhaust-8bit.toml");
    assert_eq!(results.runs[0].vms.len(), 256);
}

#[test]
fn split_tables_under_one_vmid_break_a_promise_as_posted() {
    let results = passes("rfc-split-tables.toml");
    assert_eq!(variant(&results, "as posted").verdicts.len(), 16);
    assert_eq!(variant(&results, "repaired").verdicts.len(), 0);
}

#[test]
fn get_vmid_first_fails_as_posted() {
    passes("rfc-get-first.toml");
}

#[test]
fn an_unmap_in_direct_order_races_with_nobody() {
    passes("race-unmap.toml");
}

/// Published numbers, each with its source and what was fitted in the file.
#[test]
fn published_experiments_come_out() {
    for name in [
        "e1-window-random",
        "e2-walk-accesses",
        "e5-lazy",
        "e6-tlbi-limit",
        "e7-range-tlbi",
        "e13-window-superpages",
        "e17-contiguous",
    ] {
        passes(&format!("experiments/{name}.toml"));
    }
    for name in ["s1-shared-vmid", "s1-iommufd"] {
        sharing_is_better(&passes(&format!("experiments/{name}.toml")));
    }
}

fn sharing_is_better(results: &Results) {
    let hits = |name: &str| variant(results, name).sum(|device| device.counts.hits);
    for entries in [256, 320, 384, 448, 512] {
        let [private, shared] =
            ["private", "shared"].map(|vmid| hits(&format!("{vmid}, {entries} entries")));
        assert!(shared > private, "{entries} entries: {shared} and {private} hits");
    }
}
