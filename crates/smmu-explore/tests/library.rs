//! The library of litmus tests: each holds in every order of its steps, and each variant that
//! leaves a marked statement out fails in one.

use smmu_explore::{Litmus, Options, explore};
use std::path::{Path, PathBuf};

fn library() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/litmus");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

fn open(path: &Path) -> Litmus {
    let text = std::fs::read_to_string(path).unwrap();
    Litmus::parse(&path.display().to_string(), &text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_test_holds_in_every_order() {
    for path in library() {
        let report = explore(&open(&path), &Options::default(), &mut |_| ());
        assert!(report.complete && report.passed(), "{}\n{report}", path.display());
    }
}

#[test]
fn every_statement_that_is_marked_is_needed() {
    let mut variants = 0;
    for path in library() {
        let litmus = open(&path);
        assert!(!litmus.drops().is_empty(), "{} has no broken variant", path.display());
        for index in 0..litmus.drops().len() {
            let report = explore(&litmus.broken(index).unwrap(), &Options::default(), &mut |_| ());
            assert!(report.finding.is_some(), "{} without {index}\n{report}", path.display());
            variants += 1;
        }
    }
    assert!(variants >= 60, "{variants} variants are less than a library");
}
