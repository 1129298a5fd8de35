//! The command line from outside: what is printed where, and how it ends.

use assert_cmd::Command;

struct Ended {
    status: i32,
    stdout: String,
    stderr: String,
}

fn smmulator(args: &[&str]) -> Ended {
    let mut command = Command::cargo_bin("smmulator").unwrap();
    let output = command.args(args).env_remove("NO_COLOR").output().unwrap();
    Ended {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn json(args: &[&str]) -> serde_json::Value {
    let ended = smmulator(args);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn data_goes_to_stdout_without_colour_when_piped() {
    let ended = smmulator(&["presets"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    assert!(ended.stdout.contains("mmu-700-like"));
    assert!(!ended.stdout.contains('\u{1b}'));
}

#[test]
fn colour_is_there_when_it_is_asked_for() {
    let event = ["decode", "event", "0x10", "0", "0", "0"];
    assert!(smmulator(&[&event[..], &["--color", "always"]].concat()).stdout.contains('\u{1b}'));
    assert!(!smmulator(&[&event[..], &["--color", "never"]].concat()).stdout.contains('\u{1b}'));
}

#[test]
fn presets_print_as_the_file_they_are_and_as_json() {
    let text = smmulator(&["presets", "mmu-600-like"]).stdout;
    assert!(text.contains("\"tlb.replacement\" = \"documented: random\""));
    let one = json(&["presets", "mmu-600-like", "--json"]);
    assert_eq!(one["schema_version"], 1);
    assert_eq!(one["values"]["tlb.entries"]["source"], "assumed");
    assert!(json(&["presets", "--json"])["presets"].as_array().unwrap().len() >= 6);
}

#[test]
fn schemas_are_json_schemas() {
    for (format, key) in [("machine", "smmu"), ("scenario", "step")] {
        let schema = json(&["schema", format]);
        assert!(schema["$schema"].is_string());
        assert!(schema["properties"][key].is_object());
    }
}

#[test]
fn an_event_is_explained() {
    let ended = smmulator(&["decode", "event", "0000000300000010", "28800000000", "40001000", "0"]);
    assert_eq!(ended.status, 0);
    for text in ["F_TRANSLATION", "StreamID", "0x3", "stage 2", "address 0x40001000"] {
        assert!(ended.stdout.contains(text), "{}", ended.stdout);
    }
    let data = json(&["decode", "command", "0x0007000500000011", "0", "--json"]);
    assert_eq!((&data["name"], &data["schema_version"]), (&"CMD_TLBI_NH_ASID".into(), &1.into()));
}

#[test]
fn bad_input_ends_with_2_and_says_what_would_be_right() {
    for (args, remedy) in [
        (&["decode", "event", "1"][..], "give 4 words of 64 bits or 8 of 32 bits"),
        (&["decode", "ste", "xyz"], "write hexadecimal digits"),
        (&["presets", "mmu-700"], "did you mean `mmu-700-like`?"),
        (&["man", "decod"], "did you mean `decode`?"),
        (&["schema", "machin"], "machine"),
        (&["dance"], "--help"),
        (&["decode", "event"], "WORDS"),
    ] {
        let ended = smmulator(args);
        assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{args:?}");
        assert!(ended.stderr.contains(remedy), "{}", ended.stderr);
    }
}

#[test]
fn shells_and_man_pages_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(smmulator(&["completions", shell]).stdout.contains("decode"));
    }
    assert!(smmulator(&["man"]).stdout.contains(".TH smmulator 1"));
    assert!(smmulator(&["man", "decode"]).stdout.contains("WORDS"));
}
