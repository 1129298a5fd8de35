//! Logs of a real driver.

use proptest::prelude::*;
use smmu_arch::{Asid, Cd, Command, Resume, ResumeAction, Ste, StreamConfig, StreamId};
use smmu_lab::log::{Kind, Line, LogReplay, LogReport, Place};
use smmu_lab::replay::{Options, command, replay_log};
use std::num::NonZeroUsize;
use std::path::PathBuf;

const SAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/data/replay/linux-driver-log-sample.jsonl.gz"
);

const INIT: &str = r#"{"n":0,"k":"init","ram_size":"0x10000","idr0":"0x84d749b","idr1":"0x1084410","idr3":"0x1500","idr5":"0x100075","aidr":"0x3"}"#;

#[test]
fn the_log_of_linux_agrees() {
    let report = replay_log(SAMPLE).expect("a log");
    assert!(report.agrees(), "{report}");
    let compared = |kind| report.compared.get(&kind).map(|tally| tally.compared);
    assert_eq!(compared(Kind::Register), Some(48));
    assert_eq!(compared(Kind::Command), Some(2982));
    assert_eq!(compared(Kind::SyncMessage), Some(1363));
    assert_eq!(compared(Kind::Event), Some(23));
    assert_eq!(compared(Kind::Access), Some(381));
}

/// Replays lines that follow `INIT`.
fn replay(lines: &[&str]) -> LogReport {
    let mut replay = LogReplay::default();
    for (index, text) in [&[INIT], lines].concat().iter().enumerate() {
        let line: Line = serde_json::from_str(text).expect("a record");
        replay.record(Place { n: line.n, line: index + 1 }, line.record).expect("a possible one");
    }
    replay.finish().expect("a log")
}

/// A queue of 256 commands at 0x1000, enabled, with one CMD_SYNC by MSI.
const SYNC: [&str; 4] = [
    r#"{"n":1,"k":"w","off":"0x90","sz":8,"v":"0x1008"}"#,
    r#"{"n":2,"k":"w","off":"0x20","sz":4,"v":"0x8"}"#,
    r#"{"n":3,"k":"mw","pa":"0x1000","v":["0x1046","0x2000"]}"#,
    r#"{"n":4,"k":"w","off":"0x98","sz":4,"v":1}"#,
];

#[test]
fn what_differs_is_told_with_its_record_and_line() {
    let command = r#"{"n":5,"k":"cmd","pa":"0x1000","d":["0x1046","0x2008"]}"#;
    let message = r#"{"n":6,"k":"dw","pa":"0x2000","what":"sync-msi","v":["0x0"]}"#;
    let read = r#"{"n":7,"k":"r","off":"0x24","sz":4,"v":"0x9"}"#;
    let report = replay(&[&SYNC[..], &[command, message, read]].concat());
    let text = report.to_string();
    assert!(text.contains("record 5 (line 6), commands:"), "{text}");
    assert!(text.contains("expected CMD_SYNC 0x1046 0x2008 at 0x1000"), "{text}");
    assert!(text.contains("got      CMD_SYNC 0x1046 0x2000 at 0x1000"), "{text}");
    assert!(text.contains("expected 0x9 at offset 0x24"), "{text}");
    assert!(text.contains("CMD_SYNC messages  1 of 1 agree"), "{text}");
    assert!(!report.agrees());
}

#[test]
fn what_one_side_alone_has_is_a_mismatch() {
    let text = replay(&SYNC).to_string();
    assert!(text.contains("end of the log, commands:\n  expected nothing"), "{text}");
    let alone = r#"{"n":1,"k":"cmd","pa":"0x1000","d":["0x46","0x0"]}"#;
    let text = replay(&[alone]).to_string();
    assert!(text.contains("record 1 (line 2), commands:"), "{text}");
    assert!(text.contains("got      nothing"), "{text}");
}

/// With SMMUEN = 0 everything passes, and reaches memory or not.
#[test]
fn an_access_is_compared_piece_by_piece() {
    let access = |len: u32, fault: &str, pas: &str| {
        format!(
            r#"{{"n":1,"k":"dma","rw":"r","sid":1,"iova":"0x1ff0","len":{len},"fault":"{fault}","pas":[{pas}]}}"#
        )
    };
    let agrees = |line: String| replay(&[&line]).agrees();
    assert!(agrees(access(32, "0x0", r#""0x1ff0","0x2000""#)));
    assert!(!agrees(access(32, "0x0", r#""0x1ff0""#)), "a piece is missing");
    assert!(!agrees(access(16, "0x0", r#""0x1ff8""#)), "elsewhere");
    assert!(agrees(access(0x10000, "0xfe", "")), "it ends outside of RAM");
    assert!(!agrees(access(0x10000, "0xff", "")));
}

#[test]
fn records_that_cannot_be_are_refused() {
    let refused = |lines: &[&str]| {
        let mut replay = LogReplay::default();
        lines.iter().enumerate().find_map(|(index, text)| {
            let line: Line = serde_json::from_str(text).expect("a record");
            replay.record(Place { n: 0, line: index + 1 }, line.record).err()
        })
    };
    let cause = |lines: &[&str]| refused(lines).expect("refused").cause;
    assert!(cause(&[SYNC[0]]).contains("before `init`"));
    assert!(cause(&[INIT, INIT]).contains("second `init`"));
    assert!(cause(&[INIT, r#"{"k":"mw","pa":"0x10000","v":[1]}"#]).contains("0x10000"));
    assert!(cause(&[INIT, r#"{"k":"mw","pa":4,"v":[1]}"#]).contains("0x4"));
    assert!(cause(&[INIT, r#"{"k":"dw","pa":0,"what":"evt","v":[1]}"#]).contains("eight words"));
    let long = r#"{"k":"dma","rw":"r","sid":1,"iova":0,"len":"0x100000000"}"#;
    assert!(cause(&[INIT, long]).contains("4294967296 bytes"));
    assert!(cause(&[&INIT.replace("0x10000\"", "0x10\"")]).len() > 10);
}

/// A line that stores words.
fn stored(pa: u64, words: &[u64]) -> String {
    format!(r#"{{"k":"mw","pa":{pa},"v":{words:?}}}"#)
}

fn written(offset: u64, bytes: u8, value: u64) -> String {
    format!(r#"{{"k":"w","off":{offset},"sz":{bytes},"v":{value}}}"#)
}

/// A stream whose stage 1 faults stall, with one level of tables at 0x3000 that maps nothing; a
/// Command queue at 0x4000 and an Event queue at 0x5000, both of 16 entries.
fn stalling_stream() -> Vec<String> {
    let ste =
        Ste { valid: true, config: StreamConfig::Stage1, s1_context_ptr: 0x2000, ..Ste::default() };
    let cd = Cd { s: true, ..Cd::lower_half(25, 0x3000, Asid(0)) };
    vec![
        stored(0x1000, &ste.encode()),
        stored(0x2000, &cd.encode()),
        written(0x80, 8, 0x1000),
        written(0x88, 4, 0),
        written(0x90, 8, 0x4004),
        written(0xa0, 8, 0x5004),
        written(0x20, 4, 0xd),
    ]
}

/// The record of a stalled read of stream 0 by another SMMU, which gave the STAG.
fn stall_record(iova: u64, stag: u64) -> String {
    let words = [0x10, 0, stag | 1 << 31, 0x208, iova, 0, 0, 0];
    format!(r#"{{"k":"dw","pa":"0x5000","what":"evt","v":{words:?}}}"#)
}

/// CMD_RESUME with a retry, in the entry of the Command queue with this index.
fn resumed(index: u64, stag: u16) -> [String; 3] {
    let action = ResumeAction::Retry;
    let resume = Command::Resume(Resume { stream: StreamId(0), stag, action }).encode();
    let pa = 0x4000 + index * 16;
    let command = format!(r#"{{"k":"cmd","pa":{pa},"d":{resume:?}}}"#);
    [stored(pa, &resume), written(0x98, 4, index + 1), command]
}

/// Two pages stall one after the other, are mapped, and the access ends.
#[test]
fn a_stalled_access_is_begun_by_its_record_and_resumed_by_the_stag_of_the_log() {
    let init = INIT.replace("0x84d749b", "0x04d749b").replace("0x10000\"", "0x400000\"");
    let mut lines = vec![init];
    lines.extend(stalling_stream());
    for (index, iova, stag) in [(0, 0x20_0000, 0x77), (1, 0x40_0000, 0x55)] {
        lines.push(stall_record(iova, stag));
        // The block of 2 MiB, at the same address.
        lines.push(stored(0x3000 + (iova >> 21) * 8, &[(iova & 0x20_0000) | 0x441]));
        lines.extend(resumed(index, stag as u16));
        let fault = r#""fault":0,"stalled":1"#;
        let pa = iova & 0x20_0000;
        lines.push(format!(
            r#"{{"n":9,"k":"dma","rw":"r","sid":0,"iova":{iova},"len":4,{fault},"pas":[{pa}]}}"#
        ));
    }
    let mut replay = LogReplay::default();
    for (index, text) in lines.iter().enumerate() {
        let line: Line = serde_json::from_str(text).expect("a record");
        let place = Place { n: line.n, line: index + 1 };
        replay.record(place, line.record).expect("a possible one");
    }
    let report = replay.finish().expect("a log");
    assert!(report.agrees(), "{report}");
    let compared = |kind| report.compared.get(&kind).map(|tally| tally.compared);
    assert_eq!((compared(Kind::Event), compared(Kind::Access)), (Some(2), Some(2)), "{report}");
}

fn run_command(name: &str, content: &[u8], json: bool) -> (u8, String, String) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("driver-log");
    std::fs::create_dir_all(&folder).unwrap();
    let cases = folder.join(name);
    std::fs::write(&cases, content).unwrap();
    let options = Options { cases, answers: None, json, jobs: NonZeroUsize::MIN };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = command(&options, &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status, text(out), text(err))
}

#[test]
fn the_command_knows_a_log_by_its_first_record() {
    let log = std::fs::read(SAMPLE).unwrap();
    let (status, out, err) = run_command("log.gz", &log, false);
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("accesses           381 of 381 agree"), "{out}");
    let (status, out, _) = run_command("log.gz", &log, true);
    assert_eq!(status, 0);
    assert!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["compared"].is_object());
}

#[test]
fn damaged_logs_are_told_with_their_line() {
    let log = std::fs::read(SAMPLE).unwrap();
    let (status, _, err) = run_command("cut.gz", &log[..log.len() / 2], false);
    assert_eq!(status, 2);
    assert!(err.contains("cut.gz:") && err.contains("cut off or damaged"), "{err}");
    let text = format!("\n{INIT}\n{{\"n\":1,\"k\":\"w\",\"off\":\"x\"}}\n");
    let (status, _, err) = run_command("bad.jsonl", text.as_bytes(), false);
    assert_eq!(status, 2);
    assert!(err.contains("bad.jsonl:3:") && err.contains("Driver logs"), "{err}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is written to registers and memory, and whatever a master does.
    #[test]
    fn no_log_makes_a_replay_panic(
        steps in prop::collection::vec((0..4u8, any::<u16>(), any::<u64>()), 0..60),
    ) {
        let mut replay = LogReplay::default();
        let mut feed = |text: String| {
            let line: Line = serde_json::from_str(&text).expect("a record");
            let _ = replay.record(Place { n: 0, line: 1 }, line.record);
        };
        feed(INIT.to_owned());
        for (kind, small, value) in steps {
            let at = u64::from(small) & !7;
            feed(match kind {
                0 => format!(r#"{{"k":"w","off":{},"sz":8,"v":{value}}}"#, at % 0x200),
                1 => format!(r#"{{"k":"mw","pa":{at},"v":[{value}]}}"#),
                2 => format!(
                    r#"{{"k":"dma","rw":"w","sid":{},"iova":{value},"len":{small},"ats":{}}}"#,
                    small % 8, small & 1
                ),
                _ => format!(r#"{{"k":"w","off":{},"sz":4,"v":{}}}"#, at % 0x200, value as u32),
            });
        }
        let _ = replay.finish();
    }
}
