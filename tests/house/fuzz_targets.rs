//! `fuzz/` stands outside the workspace and is built with another compiler: what it says about
//! itself is held against the oracles here.

use crate::repository::{none, read, root};
use smmulator_tests::TARGETS;
use toml::{Table, Value};

/// The target that is built to fail.
const CANARY: &str = "canary";
/// Lines of a target, beyond which it holds something that belongs in the library.
const TARGET_LINES_MAX: usize = 8;

fn binaries() -> Vec<String> {
    let manifest: Table = read("fuzz/Cargo.toml").parse().expect("fuzz/Cargo.toml is TOML");
    let binaries = manifest["bin"].as_array().expect("fuzz targets are binaries");
    binaries.iter().filter_map(|binary| binary.get("name")?.as_str().map(str::to_owned)).collect()
}

#[test]
fn every_oracle_is_fuzzed_and_every_fuzz_target_has_an_oracle() {
    let mut expected: Vec<_> = TARGETS.iter().map(|target| target.name).chain([CANARY]).collect();
    let mut found = binaries();
    expected.sort_unstable();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_fuzz_target_is_a_call() {
    let long = binaries().into_iter().filter_map(|name| {
        let text = read(&format!("fuzz/fuzz_targets/{name}.rs"));
        let calls = text.contains(&format!("targets::{name}"));
        (!calls || text.lines().count() > TARGET_LINES_MAX).then_some(name)
    });
    none("a fuzz target calls its oracle and does nothing else:", long);
}

#[test]
fn inputs_are_kept_for_targets_that_exist() {
    let folder = root().join("fuzz/corpus-kept");
    let entries = std::fs::read_dir(folder).expect("inputs are kept in fuzz/corpus-kept");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let unknown = names.filter(|name| !TARGETS.iter().any(|target| target.name == name));
    none("inputs of a target that is gone:", unknown);
}

#[test]
fn fuzzing_has_its_own_workspace() {
    let manifest: Table = read("fuzz/Cargo.toml").parse().expect("fuzz/Cargo.toml is TOML");
    assert!(manifest.get("workspace").is_some_and(Value::is_table), "stable cargo would build it");
}
