//! The scenarios of the kernel layer, `scenarios/kernel/`: VMIDs and translations under VFIO and
//! iommufd, in the kernels that have them. Each file says what must come out.

use smmu_lab::run::{RunOptions, render, run};
use smmu_lab::{LoadOptions, Scenario};
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/kernel")
}

#[test]
fn every_scenario_of_the_kernel_comes_out_as_it_says() {
    let mut files: Vec<_> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut failed = Vec::new();
    for file in &files {
        let loaded = Scenario::load(file, &LoadOptions::default());
        let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
        let results = run(&loaded, &RunOptions::default())
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if !results.passed() {
            failed.push(format!("{}\n{}", file.display(), render(&results)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
