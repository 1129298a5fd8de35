//! `smmulator run` prints what other tools print, and `smmulator tlb` reads it back.

use assert_cmd::Command;
use serde_json::Value;

/// One stream over a window twice as large as the TLB, all in pages of 4 KiB.
const SCENARIO: &str = r#"
title = "a window"
personality = "upstream"
[machine]
preset = "ideal"
[[machine.memory]]
base = 0x8000_0000
bytes = "1GiB"
[[machine.smmu]]
name = "smmu0"
tlb = { entries = 64, ways = 4 }
micro_tlb = { entries = 4 }
[[machine.device]]
name = "nic0"
streams = [3]
[[vm]]
name = "host"
devices = ["nic0"]
iommu = "type1"
[[step]]
workload = { devices = ["nic0"], traffic = { window = { window = "512KiB", transfers = 3000 } } }
[[step]]
unmap = { vm = "host", iova = 0x4000_0000, bytes = "256KiB" }
"#;

fn smmulator(args: &[&str], input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut command = Command::cargo_bin("smmulator").unwrap();
    let out = command.args(args).write_stdin(input).output().unwrap();
    (out.status.code(), out.stdout, String::from_utf8(out.stderr).unwrap())
}

fn text(args: &[&str]) -> Vec<u8> {
    let (status, out, errors) = smmulator(args, b"");
    assert_eq!(status, Some(0), "{errors}");
    out
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

fn scenario(name: &str, set: &str) -> String {
    let path = std::env::temp_dir().join(format!("smmulator-{name}-{}.toml", std::process::id()));
    std::fs::write(&path, SCENARIO.replace("micro_tlb = { entries = 4 }", set)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The trace of a run, through a TLB of the same geometry, hits as often.
#[test]
fn the_trace_of_a_run_is_one_of_a_study() {
    let path = scenario("trace", "");
    let ran = json(&text(&["run", &path, "--json"]));
    let device = &ran["runs"][0]["vms"][0]["devices"][0];
    for (form, format) in [("csv", "csv"), ("qemu", "text")] {
        let trace = text(&["run", &path, "--trace-text", form]);
        let args = ["tlb", "-", "--format", format, "--entries", "64", "--ways", "4", "--json"];
        let (status, out, errors) = smmulator(&args, &trace);
        assert_eq!(status, Some(0), "{errors}");
        let study = json(&out);
        assert_eq!((&study["hits"], &study["misses"]), (&device["hits"], &device["misses"]));
        assert!(study["hits"].as_u64() > Some(100));
        let dropped = &ran["runs"][0]["smmus"][0]["dropped"];
        // A CSV has no invalidations.
        let expected = if form == "qemu" { dropped.as_u64() } else { Some(0) };
        assert_eq!(study["dropped"].as_u64().or(Some(0)), expected, "{form}");
        assert!(form == "csv" || expected > Some(0));
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn the_rows_of_perf_are_the_counters() {
    let path = scenario("perf", "micro_tlb = { entries = 4 }");
    let ran = json(&text(&["run", &path, "--json"]));
    let smmu = &ran["runs"][0]["smmus"][0];
    let rows = String::from_utf8(text(&["run", &path, "--stats", "perf"])).unwrap();
    let value = |event: &str| {
        let row = rows.lines().find(|row| row.contains(&format!("/{event}/"))).expect("a row");
        row.split(',').next().and_then(|value| value.parse::<u64>().ok())
    };
    for (event, counter) in [
        ("transaction", "transactions"),
        ("tlb_miss", "tlb_misses"),
        ("config_cache_miss", "config_misses"),
        ("trans_table_walk_access", "fetches"),
        ("config_struct_access", "config_fetches"),
        ("pcie_ats_trans_rq", "ats_requests"),
    ] {
        assert_eq!(value(event), smmu[counter].as_u64(), "{event}");
    }
    assert_eq!(value("transaction"), Some(3000));
    assert!(rows.starts_with("3000,,smmuv3_pmcg_2b800/transaction/,"), "{rows}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn gem5_has_a_block_for_each_structure() {
    let path = scenario("gem5", "micro_tlb = { entries = 4 }");
    let stats = String::from_utf8(text(&["run", &path, "--stats", "gem5"])).unwrap();
    let value = |name: &str| -> u64 {
        let line = stats.lines().find(|line| line.starts_with(&format!("system.smmu0.{name} ")));
        line.unwrap_or_else(|| panic!("{name}")).split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert_eq!(value("uTLB.totalLookups"), 3000);
    assert_eq!(value("uTLB.totalMisses"), value("tlb.totalLookups"));
    assert_eq!(value("tlb.totalMisses"), value("tlb.totalUpdates"));
    assert_eq!(value("tlb.insertions"), 64);
    assert_eq!(value("uTLB.insertions"), 4);
    assert!(stats.contains("---------- Begin Simulation Statistics ----------"));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_trace_is_that_of_one_run() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/shared-vmid.toml");
    let (status, _, errors) = smmulator(&["run", path, "--trace-text", "csv"], b"");
    assert_eq!(status, Some(2));
    assert!(errors.contains("the scenario has variants"), "{errors}");
    let both = String::from_utf8(text(&["run", path, "--trace-text", "qemu"])).unwrap();
    assert!(both.starts_with("# private\n") && both.contains("\n# shared\n"));
}
