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
        (&["decode", "command", "-1", "0"], "write hexadecimal digits"),
        (&["decode", "event"], "WORDS"),
    ] {
        let ended = smmulator(args);
        assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{args:?}");
        assert!(ended.stderr.contains(remedy), "{}", ended.stderr);
    }
}

/// A scenario of the project.
fn scenario(name: &str) -> String {
    format!("{}/../../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_scenario_runs_and_ends_with_what_came_out() {
    let reuse = scenario("vmid-reuse");
    let ended = smmulator(&["run", &reuse]);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    assert!(ended.stdout.contains("nic1"), "{}", ended.stdout);
    for command in ["run", "check"] {
        let ended = smmulator(&[command, &reuse, "--fault", "reuse-without-tlbi"]);
        assert_eq!(ended.status, 1, "{}", ended.stdout);
        assert!(ended.stdout.contains("FOUND"), "{}", ended.stdout);
    }
    assert_eq!(json(&["run", &reuse, "--json"])["schema_version"], 1);
}

#[test]
fn drivers_without_faults_are_clean_on_the_adversary() {
    for name in ["shared-vmid", "vmid-reuse", "tlbi-scope", "rfc-get-first"] {
        let ended = smmulator(&["check", &scenario(name)]);
        assert_eq!(ended.status, 0, "{name}: {}", ended.stdout);
    }
}

#[test]
fn one_dma_is_drawn_as_a_tree() {
    let shared = scenario("shared-vmid");
    let asked = ["explain", &shared, "--device", "nic0", "--iova", "0x4000_0000"];
    let ended = smmulator(&asked);
    assert_eq!(ended.status, 0);
    assert!(ended.stdout.contains("stage 2 level 3 descriptor"), "{}", ended.stdout);
    assert_eq!(smmulator(&[&asked[..], &["--variant", "sharde"]].concat()).status, 2);
}

#[test]
fn bad_scenarios_end_with_2_the_line_and_a_remedy() {
    let shared = scenario("shared-vmid");
    for (args, place, remedy) in [
        (&["run", "nowhere.toml"][..], "nowhere.toml", "readable"),
        (&["run", &shared, "--set", "vm.A.vmdi=x"], "--set:1:11", "did you mean `vmid`?"),
        (&["run", &shared, "--fault", "reuse"], "no fault", "did you mean `reuse-"),
        (&["check", &shared, "--set", "vm.B.devices=[]"], "no devices", "nic0"),
    ] {
        let ended = smmulator(args);
        assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{args:?}");
        assert!(ended.stderr.contains(place), "{}", ended.stderr);
        assert!(ended.stderr.contains(remedy), "{}", ended.stderr);
    }
}

#[test]
fn what_cannot_be_asked_is_refused_before_anything_runs() {
    let shared = scenario("shared-vmid");
    for (args, remedy) in [
        (&["run", &shared, "--jobs", "0"][..], "--jobs"),
        (&["run", &shared, "--interleave", "-1"], "invalid digit"),
        (&["explain", &shared, "--device", "nic0", "--iova", "-1"], "0x and hexadecimal"),
        (&["explain", &shared, "--device", "nic0", "--iova", "0", "--after", "99"], "0 to 10"),
        (&["run", &shared, "--set", "variant.0.name=a.b"], "no `.` and no `=`"),
    ] {
        let ended = smmulator(args);
        assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{args:?}");
        assert!(ended.stderr.contains(remedy), "{}", ended.stderr);
    }
}

#[test]
fn what_is_no_text_is_refused_without_being_shown() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("garbage.toml");
    std::fs::write(&file, b"title = 'a'\n\x1b[31m\xff").unwrap();
    let ended = smmulator(&["run", file.to_str().unwrap()]);
    assert_eq!(ended.status, 2);
    assert!(ended.stderr.contains("line 2, column 6: this is not UTF-8 text"), "{}", ended.stderr);
    assert!(!ended.stderr.contains('\u{1b}'));
}

#[test]
fn a_table_fits_a_terminal() {
    for name in ["shared-vmid", "tlbi-scope", "exhaust-8bit", "vmid-reuse"] {
        let text = smmulator(&["run", &scenario(name)]).stdout;
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(120), "{name}: {widest:?} columns");
        assert!(text.lines().all(|line| line.trim_end() == line), "{name}: spaces at the end");
    }
    let ste = ["decode", "ste", "d", "0", "0024359500000001", "80011000", "0", "0", "0", "0"];
    let text = smmulator(&ste).stdout;
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn a_walk_says_what_each_fetched_word_is() {
    let scopes = scenario("tlbi-scope");
    let ended = smmulator(&["explain", &scopes, "--device", "nic2", "--iova", "0x40000fff"]);
    for text in [
        "nic2 reads IOVA 0x40000fff",
        "stage 1, CDs at 0x",
        "ASID 0x1, stage 1 tables of 4K at 0x",
        ", table at 0x",
        ", page at 0x",
        "kept as fill 1: 0x40000000 to 0x40000fff",
        "once more",
        "hit on fill 1",
    ] {
        assert!(ended.stdout.contains(text), "{text}\n{}", ended.stdout);
    }
    assert_eq!(ended.stdout.matches("\nStreamID").count(), 2, "one transaction each time");
}

#[test]
fn verdicts_alike_are_told_once_with_what_mends_them() {
    let ended = smmulator(&["check", &scenario("vmid-reuse"), "--fault", "reuse-without-tlbi"]);
    assert_eq!(ended.stdout.matches("FOUND").count(), 1, "{}", ended.stdout);
    for text in ["nic1 of VM B", "CMD_TLBI_S12_VMALL vmid=0x1; CMD_SYNC, after #", "64 uses in all"]
    {
        assert!(ended.stdout.contains(text), "{text}\n{}", ended.stdout);
    }
}

#[test]
fn faults_are_listed() {
    assert!(smmulator(&["faults"]).stdout.contains("reuse-without-tlbi"));
    assert!(json(&["faults", "--json"])["faults"][0]["name"].is_string());
}

#[test]
fn shells_and_man_pages_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(smmulator(&["completions", shell]).stdout.contains("decode"));
    }
    assert!(smmulator(&["man"]).stdout.contains(".TH smmulator 1"));
    assert!(smmulator(&["man", "decode"]).stdout.contains("WORDS"));
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("man");
    assert_eq!(smmulator(&["man", "--out", folder.to_str().unwrap()]).status, 0);
    assert!(folder.join("smmulator-decode.1").exists());
    assert!(!folder.join("smmulator-help-decode.1").exists(), "says what decode's own page says");
    assert_eq!(smmulator(&["man", "--out", "/dev/null/man"]).status, 2);
}
