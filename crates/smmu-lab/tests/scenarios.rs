//! Every scenario of the project, run as a user runs it.

use smmu_lab::run::{Results, RunOptions, render, run};
use smmu_lab::{LoadOptions, Scenario};
use std::path::PathBuf;

fn results(name: &str, set: &[String]) -> Results {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(name);
    let options = LoadOptions { set, faults: None };
    let loaded = Scenario::load(&path, &options).unwrap_or_else(|error| panic!("{error}"));
    run(&loaded, &RunOptions::default()).unwrap()
}

#[test]
fn shared_vmid() {
    let results = results("shared-vmid.toml", &[]);
    println!("{}", render(&results));
    assert!(results.passed());
}
#[test]
fn vmid_reuse() {
    let results = results("vmid-reuse.toml", &[]);
    println!("{}", render(&results));
    assert!(results.passed());
}
#[test]
fn vmid_reuse_fault() {
    let results = results("vmid-reuse.toml", &["faults=[\"reuse-without-tlbi\"]".to_owned()]);
    println!("{}", render(&results));
    assert!(!results.passed());
}
#[test]
fn tlbi_scope() {
    let results = results("tlbi-scope.toml", &[]);
    println!("{}", render(&results));
    assert!(results.passed());
}
#[test]
fn exhaust() {
    let results = results("exhaust-8bit.toml", &[]);
    println!("{}", render(&results).len());
    assert!(results.passed());
}
#[test]
fn split() {
    let results = results("rfc-split-tables.toml", &[]);
    println!("{}", render(&results));
    assert!(results.passed());
}
#[test]
fn get_first() {
    let results = results("rfc-get-first.toml", &[]);
    println!("{}", render(&results));
    assert!(results.passed());
}
