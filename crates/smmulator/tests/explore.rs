//! `smmulator explore`, as a user meets it.

use assert_cmd::Command;
use std::path::{Path, PathBuf};

fn smmulator(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("smmulator").unwrap();
    let output = command.args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn litmus(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/litmus");
    folder.join(name).display().to_string()
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn a_test_that_holds_says_how_many_schedules_that_took() {
    let (status, out, _) = smmulator(&["explore", &litmus("unmap-va.litmus")]);
    assert_eq!(status, 0, "{out}");
    assert!(out.contains("before reduction") && out.contains("that is all"), "{out}");
}

#[test]
fn a_missing_command_is_named_and_the_schedule_drawn() {
    let file = litmus("unmap-va.litmus");
    let (status, out, _) = smmulator(&["explore", &file, "--broken", "0", "--memory", "tso"]);
    assert_eq!(status, 1, "{out}");
    assert!(out.contains("missing      CMD_TLBI_NH_VA"), "{out}");
    assert!(out.contains("│ SMMU") && out.contains("d: write of 0x1000 begins"), "{out}");
}

#[test]
fn pairs_run_the_test_and_all_that_it_marks() {
    let (status, out, _) = smmulator(&["explore", &litmus("unmap-va.litmus"), "--pairs"]);
    assert_eq!((status, out.matches("without ").count()), (0, 2), "{out}");
}

#[test]
fn a_schedule_that_was_saved_fails_again() {
    let saved = scratch("saved-schedule.toml");
    let path = saved.display().to_string();
    let file = litmus("sync-completes.litmus");
    let (status, found, _) = smmulator(&["explore", &file, "--broken", "0", "--save", &path]);
    assert_eq!(status, 1, "{found}");
    let (status, again, _) = smmulator(&["explore", "--replay", &path]);
    assert_eq!(status, 1, "{again}");
    let timeline = &again[again.find("  CPU").unwrap()..];
    assert!(found.contains(timeline.trim_end()), "{again}");
}

#[test]
fn a_schedule_that_cannot_be_is_refused() {
    let saved = scratch("impossible-schedule.toml");
    let path = saved.display().to_string();
    let file = litmus("sync-completes.litmus");
    smmulator(&["explore", &file, "--broken", "0", "--save", &path]);
    let text = std::fs::read_to_string(&saved).unwrap().replacen("\"cpu0\"", "\"cpu7\"", 1);
    std::fs::write(&saved, text).unwrap();
    let (status, _, error) = smmulator(&["explore", "--replay", &path]);
    assert_eq!(status, 2);
    assert!(error.contains("`cpu7`, which cannot take a step"), "{error}");
}

#[test]
fn a_file_that_does_not_parse_is_refused_with_its_line() {
    let file = scratch("wrong.litmus");
    std::fs::write(&file, "page A\ncpu { stroe }\n").unwrap();
    let (status, _, error) = smmulator(&["explore", &file.display().to_string()]);
    assert_eq!(status, 2);
    assert!(error.contains("no statement is named `stroe`") && error.contains("store"), "{error}");
    assert!(error.contains("wrong.litmus:2:7"), "{error}");
}
