//! Files that people write: anything is read, or refused with place and remedy.

use smmu_machine::{Diagnostic, Document, MachineFile};

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

/// A message with a place inside the text, what is wrong, and what would be right.
fn is_helpful(refused: &Diagnostic, text: &str) {
    let line = refused.line().expect("what was read has lines");
    assert!((1..=text.lines().count() + 1).contains(&line), "{refused}: line {line}");
    assert!(!refused.what().is_empty(), "{refused}");
    assert!(refused.remedy().is_some_and(|remedy| !remedy.is_empty()), "{refused}");
    assert!(refused.to_json().is_object());
    for other in refused.others() {
        is_helpful(other, text);
    }
}
