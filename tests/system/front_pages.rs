//! What the front pages show of the main job is what it prints. `UPDATE_EXPECT=1` pastes it anew.

use smmu_lab::run::{RunOptions, render, run};
use smmu_lab::{LoadOptions, Scenario};
use std::path::{Path, PathBuf};

/// What `smmulator run scenarios/shared-vmid.toml` prints.
fn main_job() -> String {
    let scenario = root().join("scenarios/shared-vmid.toml");
    let loaded = Scenario::load(&scenario, &LoadOptions::default()).expect("the scenario is good");
    let results = run(&loaded, &RunOptions::default()).expect("the scenario can be run");
    assert!(results.passed(), "{}", render(&results));
    render(&results)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The one block of the page that begins like the output.
fn pasted<'a>(page: &'a str, beginning: &str) -> &'a str {
    let blocks = page.split("```").skip(1).step_by(2);
    let mut found = blocks.filter_map(|block| {
        let text = block.strip_prefix("text\n")?;
        text.starts_with(beginning).then_some(text)
    });
    match (found.next(), found.next()) {
        (Some(text), None) => text,
        _ => panic!("not one block begins with `{beginning}`"),
    }
}

#[track_caller]
fn shows(name: &str, output: &str) {
    let path = root().join(name);
    let page = std::fs::read_to_string(&path).expect("a page of the project");
    // Of a header the first title: the columns after it may have moved.
    let first_line = output.lines().next().unwrap_or_default();
    let pasted = pasted(&page, first_line.split("  ").next().unwrap_or_default());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, page.replace(pasted, output)).expect("the page can be written");
        return;
    }
    assert!(
        pasted == output,
        "{name} shows\n{pasted}\nand the output is\n{output}\nUPDATE_EXPECT=1 pastes it anew"
    );
}

#[test]
fn the_readme_shows_how_the_main_job_ends() {
    let output = main_job();
    let (_, ending) = output.trim_end().rsplit_once("\n\n").expect("a table at the end");
    shows("README.md", &format!("{ending}\n"));
}

#[test]
fn the_quick_start_shows_all_of_the_main_job() {
    shows("docs/src/quick-start.md", &main_job());
}
