//! The published pages are those of the schemas. `UPDATE_EXPECT=1` writes them anew.

use std::path::PathBuf;

use smmu_lab::reference;

fn check(name: &str, page: &str) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/reference");
    let path = root.join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(&path, page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "{name} is out of date: run this test with UPDATE_EXPECT=1");
}

#[test]
fn the_machine_page_is_up_to_date() {
    check("machine-file.md", &reference::machine_page());
}

#[test]
fn the_scenario_page_is_up_to_date() {
    check("scenario-file.md", &reference::scenario_page());
}

#[test]
fn every_key_of_both_formats_is_described() {
    for page in [reference::machine_page(), reference::scenario_page()] {
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            assert!(!line.ends_with("|  |"), "{line}");
        }
    }
}
