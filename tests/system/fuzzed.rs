//! The oracles of the fuzz targets, fed by inputs that were kept and by properties.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};
use smmu_machine::presets;
use smmulator_tests::edited::edited;
use smmulator_tests::targets::{self, canary};
use smmulator_tests::{TARGETS, Target};
use std::path::{Path, PathBuf};

/// An input that the canary must fail on: CMD_SYNC with CS = 1.
const CANARY: [u8; 16] = [0x46, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn kept(target: &Target) -> Vec<PathBuf> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus-kept").join(target.name);
    let entries = std::fs::read_dir(&folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

#[test]
fn every_input_that_was_kept_holds() {
    for target in TARGETS {
        let files = kept(target);
        assert!(!files.is_empty(), "{} has no input to start from", target.name);
        for file in files {
            println!("{}", file.display());
            (target.check)(&std::fs::read(&file).expect("the input can be read"));
        }
    }
}

#[test]
#[should_panic(expected = "the canary was found")]
fn the_canary_is_found() {
    canary(&CANARY);
}

#[test]
fn the_canary_sleeps_on_anything_else() {
    canary(&[]);
    canary(&CANARY[1..]);
}

proptest! {
    #[test]
    fn encodings_hold_for_any_words(bytes in vec(any::<u8>(), 0..128), opcode in 0u8..0x48) {
        targets::event_decode(&bytes);
        targets::ste_cd_decode_check(&bytes);
        let mut command = bytes;
        command.insert(0, opcode);
        targets::command_decode(&command);
    }

    #[test]
    fn any_edit_of_a_machine_file_is_read_or_explained(
        which in any::<usize>(),
        edits in vec(any::<u8>(), 0..24),
    ) {
        let presets: Vec<_> = presets::all().iter().map(|preset| preset.text).collect();
        let text = presets.get(which % (presets.len() + 1)).copied().unwrap_or(MACHINE);
        targets::machine_toml(edited(text, &edits).as_bytes());
    }

    #[test]
    fn any_edit_of_a_scenario_file_is_read_or_explained(
        which in any::<usize>(),
        edits in vec(any::<u8>(), 0..24),
    ) {
        let scenarios = scenarios();
        targets::scenario_toml(edited(&scenarios[which % scenarios.len()], &edits).as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn software_may_write_anything_anywhere(bytes in vec(any::<u8>(), 0..1024)) {
        targets::registers_mmio(&bytes);
    }

    #[test]
    fn any_tables_are_walked_as_the_reference_walks_them(bytes in vec(any::<u8>(), 16..512)) {
        targets::walk(&bytes);
    }
}

/// The scenarios of the repository, on a machine that every user has.
fn scenarios() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let entries = std::fs::read_dir(folder).expect("scenarios/ is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let text = |path: &PathBuf| std::fs::read_to_string(path).expect("a scenario can be read");
    files.iter().map(text).collect()
}

/// A machine file that uses every table of the format.
const MACHINE: &str = "
preset = 'mmu-700-like'
[[memory]]
base = 0x8000_0000
bytes = '1GiB'
[[smmu]]
name = 'smmu0'
tlb = { entries = 64, ways = 4 }
[[device]]
name = 'vf{n}'
streams = [256]
count = 4
group = 1
";
