//! Cases that QEMU has answered, and cases that nobody would write.

use proptest::prelude::*;
use smmu_lab::replay::{
    Answer, Bytes, Case, CaseStep, Comparison, Counts, Dma, Options, ReadWrite, Verdict, command,
    compare, load, replay_cases, run,
};
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::LazyLock;

const SAMPLE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/replay/qemu-cases-sample.jsonl.gz");

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| load(SAMPLE).expect("the sample is whole"));

fn jobs(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("a literal")
}

fn named(name: &str) -> Case {
    let case = CASES.iter().find(|case| case.name == name);
    case.unwrap_or_else(|| panic!("no case {name}")).clone()
}

/// The numbers and the list are exact: a case that begins or ceases to agree is news.
#[test]
fn every_comparable_case_of_the_sample_agrees() {
    let (answers, report) = replay_cases(&CASES, jobs(2));
    assert_eq!(answers.len(), 286);
    assert_eq!(report.disagreements, [], "{report}");
    assert_eq!(report.all, Counts { cases: 286, agree: 237, disagree: 0, skipped: 49 });
    assert_eq!(report.core, Counts { cases: 181, agree: 151, disagree: 0, skipped: 30 });
    assert!(report.skipped.iter().all(|skipped| !skipped.note.is_empty()));
}

#[test]
fn answers_and_report_do_not_depend_on_the_jobs() {
    assert_eq!(replay_cases(&CASES, jobs(1)), replay_cases(&CASES, jobs(7)));
}

/// The file of answers has the shapes of the cases: read back as answers of others, it agrees.
#[test]
fn answers_are_written_a_line_a_case() {
    let answers = scratch("answers.jsonl");
    let options =
        Options { cases: SAMPLE.into(), answers: Some(answers.clone()), json: true, jobs: jobs(2) };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    assert_eq!(command(&options, &mut out, &mut err), 0);
    assert_eq!(err, b"");
    let report: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(report["all"]["agree"], 237);
    let text = fs::read_to_string(&answers).unwrap();
    assert_eq!(text.lines().count(), CASES.len());
    for (line, case) in text.lines().zip(CASES.iter()) {
        assert_eq!(serde_json::from_str::<smmu_lab::replay::Answers>(line).unwrap(), run(case));
    }
    let refused_read = r#"{"ok":false,"pa":null,"data":null,"nev":1}"#;
    assert!(text.lines().next().unwrap().contains(refused_read));
}

#[test]
fn a_wrong_answer_is_named() {
    let mut case = named("s1/g12/tsz20/ttb0/l2");
    case.results.as_mut().unwrap()[0].pa = Some(0x4000_0000);
    case.events[1][0] = 0x1_0000_0004;
    let Verdict::Disagrees(differences) = compare(&case, &run(&case)) else { panic!("it agrees") };
    let [dma, record] = differences.as_slice() else { panic!("{differences:?}") };
    assert_eq!((dma.what, dma.index), (Answer::Dma, 0));
    assert_eq!((record.what, record.index), (Answer::Record, 1));
    let (dma, record) = (dma.to_string(), record.to_string());
    assert!(dma.starts_with("DMA 0: expected 0x40000000, data 01f2d0a7, got 0x13e879008"), "{dma}");
    assert!(
        record.starts_with("record 1: expected C_BAD_STE stream=0x1, got F_TRANSLATION"),
        "{record}"
    );
}

/// Where a stale translation may be used or not, either answer agrees, and so do the records that
/// come with it; what is not compared agrees with anything.
#[test]
fn allowed_alternatives_agree_with_their_records() {
    let mut case = named("s1/g12/tsz20/ttb0/l2");
    let refused = 4;
    let results = case.results.as_mut().unwrap();
    let (ok, pa) = (results[refused].ok, results[refused].pa);
    (results[refused].ok, results[refused].pa, results[refused].nev) = (true, Some(0x5000), 0);
    results[refused].alternatives = vec![(true, Some(0x5000)), (ok, pa)];
    case.events.remove(0);
    case.event_masks.remove(0);
    let answers = run(&case);
    assert!(matches!(compare(&case, &answers), Verdict::Disagrees(_)));
    case.dma_cmp[refused] = Comparison::StaleOk;
    assert_eq!(compare(&case, &answers), Verdict::Agrees);
    case.results.as_mut().unwrap()[refused].alternatives.pop();
    assert!(matches!(compare(&case, &answers), Verdict::Disagrees(_)));
    case.dma_cmp[refused] = Comparison::No;
    assert_eq!(compare(&case, &answers), Verdict::Agrees);
}

#[test]
fn a_case_without_answers_is_run_and_skipped() {
    let case = Case { results: None, ..named("s1/g12/tsz20/ttb0/l2") };
    assert!(matches!(compare(&case, &run(&case)), Verdict::Skipped(_)));
}

#[test]
fn bad_input_is_status_2_with_line_and_remedy() {
    let path = scratch("bad.jsonl");
    fs::write(&path, "\n{\"name\": \"a\"}\n").unwrap();
    for (cases, answers, says) in [
        (path.clone(), None, "bad.jsonl:2: missing field `smmu`"),
        (path.with_extension("none"), None, "name a case file"),
        (SAMPLE.into(), Some(path.join("answers")), "name a file that can be written"),
    ] {
        let options = Options { cases, answers, json: false, jobs: jobs(1) };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(command(&options, &mut out, &mut err), 2);
        let err = String::from_utf8(err).unwrap();
        assert!(out.is_empty() && err.contains(says), "{err}");
    }
}

#[test]
fn a_disagreement_is_status_1() {
    let mut case = named("s1/g12/tsz20/ttb0/l2");
    case.results.as_mut().unwrap()[0].ok = false;
    let path = scratch("wrong.jsonl");
    fs::write(&path, serde_json::to_string(&case).unwrap()).unwrap();
    let options = Options { cases: path, answers: None, json: false, jobs: jobs(3) };
    let mut out = Vec::new();
    assert_eq!(command(&options, &mut out, &mut Vec::new()), 1);
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with("s1/g12/tsz20/ttb0/l2\n  DMA 0: expected refused"), "{out}");
    assert!(out.contains("0 of 1 comparable cases agree"), "{out}");
}

fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("replay");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// A number that is likely to matter: small, an address of the platform, a bit, or anything.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..0x100u64,
        (0..0x100u64).prop_map(|word| 0x4000_0000 + 8 * word),
        (0..64u32).prop_map(|bit| 1 << bit),
        any::<u64>(),
    ]
}

fn register() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0..0x60u64).prop_map(|word| 4 * word),
        prop::sample::select(vec![0x1_00a8, 0x1_00ac, 0x1_00a9, 0xfd0, 0x2_0000]),
        number(),
    ]
}

fn width() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(4u8), 4 => Just(8u8), 1 => any::<u8>()]
}

fn step() -> impl Strategy<Value = CaseStep> {
    let bytes = prop::collection::vec(any::<u8>(), 0..80).prop_map(Bytes);
    let rw = prop_oneof![Just(ReadWrite::Read), Just(ReadWrite::Write)];
    let dma = (any::<u32>(), prop::option::weighted(0.2, any::<u32>()), number(), rw, any::<u32>());
    prop_oneof![
        (register(), width(), number()).prop_map(|(at, width, to)| CaseStep::Mmio(at, width, to)),
        (register(), width()).prop_map(|(at, width)| CaseStep::MmioRead(at, width)),
        (number(), bytes).prop_map(|(pa, bytes)| CaseStep::Mem(pa, bytes)),
        (number(), number()).prop_map(|(low, high)| CaseStep::Cmd([low, high])),
        dma.prop_map(|(sid, ssid, iova, rw, len)| {
            // Half of them in streams that the sample uses, and of its length.
            let (sid, len) = if len & 1 == 0 { (sid & 0x1f, 4) } else { (sid, len) };
            CaseStep::Dma(Dma { sid, ssid, iova, rw, len })
        }),
        Just(CaseStep::ExpectEvents(true)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Steps that no software would make, before and among those of a case.
    #[test]
    fn no_step_makes_a_replay_panic(
        case in 0..286usize,
        new in prop::collection::vec((any::<prop::sample::Index>(), step()), 1..12),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..64u32), 0..8),
    ) {
        let mut case = CASES[case].clone();
        for (at, step) in new {
            let at = at.index(case.steps.len() + 1);
            case.steps.insert(at, step);
        }
        for (at, bit) in flips {
            let at = at.index(case.mmio_writes.len());
            case.mmio_writes[at].2 ^= 1 << bit;
        }
        let answers = run(&case);
        prop_assert_eq!(&run(&case), &answers);
        let _ = compare(&case, &answers);
    }

    /// A bit that flipped in a structure or a table.
    #[test]
    fn no_content_of_memory_makes_a_replay_panic(
        case in 0..286usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..512usize), 1..6),
    ) {
        let mut case = CASES[case].clone();
        let regions = case.memory.len();
        for (at, bit) in flips.into_iter().filter(|_| regions != 0) {
            let at = at.index(regions);
            let bytes = &mut case.memory[at].1.0;
            let bit = bit % (8 * bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let _ = compare(&case, &run(&case));
    }

    /// A line in which bytes are lost, doubled or changed is refused, or is another case.
    #[test]
    fn no_line_makes_a_replay_panic(
        case in 0..286usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, any::<u8>()), 1..4),
    ) {
        let mut line = serde_json::to_vec(&CASES[case]).unwrap();
        for (at, edit, byte) in edits {
            let at = at.index(line.len());
            match edit {
                0 => drop(line.remove(at)),
                1 => line.insert(at, if byte & 1 == 0 { byte } else { b'0' + byte % 10 }),
                _ => line[at] = byte,
            }
        }
        if let Ok(case) = serde_json::from_slice::<Case>(&line) {
            let _ = compare(&case, &run(&case));
        }
    }
}
