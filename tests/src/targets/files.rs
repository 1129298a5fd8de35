//! Files that people write: anything is read, or refused with place and remedy.

use smmu_lab::replay::{Case, run};
use smmu_lab::{LoadOptions, Scenario};
use smmu_machine::{Diagnostic, Document, MachineFile};
use std::path::Path;

/// Where a scenario's machine file would lie: nowhere.
const FOLDER: &str = "no-such-folder";

/// Any text as a machine file.
///
/// # Panics
///
/// Where it is neither read nor properly refused.
pub fn machine_toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = Document::parse("machine.toml", text);
    if let Err(refused) = read.and_then(|document| MachineFile::load_document(&document)) {
        is_helpful(&refused, text);
    }
}

/// Any text as a scenario file, with its variants.
///
/// # Panics
///
/// Where it is neither read nor properly refused.
pub fn scenario_toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let options = LoadOptions::default();
    let read = Document::parse("scenario.toml", text);
    let loaded =
        read.and_then(|document| Scenario::load_document(document, Path::new(FOLDER), &options));
    match loaded {
        Ok(loaded) => assert!(!loaded.runs.is_empty(), "a scenario that is read can be run"),
        Err(refused) => is_helpful(&refused, text),
    }
}

/// Any text as a case of replay: what can be read is run, and answers the same when run again.
///
/// # Panics
///
/// Where a case is not run to its end, or answers differently.
pub fn replay_case(bytes: &[u8]) {
    let Ok(case) = serde_json::from_slice::<Case>(bytes) else { return };
    let answers = run(&case);
    assert_eq!(run(&case), answers, "{} has two answers", case.name);
}

/// A message with a place inside the text, what is wrong, and what would be right.
fn is_helpful(refused: &Diagnostic, text: &str) {
    assert!(!refused.what().is_empty(), "{refused}");
    assert!(refused.remedy().is_some_and(|remedy| !remedy.is_empty()), "{refused}: no remedy");
    assert!(refused.to_json().is_object());
    // A file that the text names is another file, and may not be there at all.
    if !refused.file().starts_with(FOLDER) {
        let line = refused.line().expect("what was read has lines");
        assert!((1..=text.lines().count() + 1).contains(&line), "{refused}: line {line}");
    }
    for other in refused.others() {
        is_helpful(other, text);
    }
}
