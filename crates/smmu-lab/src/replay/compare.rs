//! Answers, compared.

use super::case::{Bytes, Case, Comparison, DmaResult};
use super::run::Answers;
use serde::Serialize;
use smmu_arch::{Event, EventKind, FaultClass, Stage};
use std::fmt;

/// What the comparison of a case came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// All that can be compared is equal.
    Agrees,
    /// The case cannot be compared, for this reason.
    Skipped(String),
    /// These are not equal.
    Disagrees(Vec<Difference>),
}

/// One answer that is not the expected one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// What was answered.
    pub what: Answer,
    /// Its number, from 0, among the answers of its kind.
    pub index: usize,
    /// What the case expects.
    pub expected: String,
    /// What was found.
    pub got: String,
}

/// A kind of answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The result of a DMA.
    Dma,
    /// A record of the Event queue.
    Record,
    /// A register read.
    MmioRead,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Answer::Dma => "DMA",
            Answer::Record => "record",
            Answer::MmioRead => "register read",
        };
        write!(f, "{what} {}: expected {}, got {}", self.index, self.expected, self.got)
    }
}

/// Compares what was answered to a case with what the case expects.
#[must_use]
pub fn compare(case: &Case, answers: &Answers) -> Verdict {
    if !case.comparable {
        let note = case.note.clone();
        return Verdict::Skipped(note.unwrap_or_else(|| "not comparable".into()));
    }
    let Some(expected) = &case.results else {
        return Verdict::Skipped("nobody has answered it".into());
    };
    let mut differences = Vec::new();
    let judged = compare_dma(case, expected, &answers.results, &mut differences);
    compare_records(case, expected, answers, &judged, &mut differences);
    compare_reads(case, &answers.mmio_reads, &mut differences);
    match differences.is_empty() {
        true => Verdict::Agrees,
        false => Verdict::Disagrees(differences),
    }
}

/// Compares the results; tells of each DMA whether its records count too. They do not where the
/// result is not compared, or is another one than the case has but allowed all the same.
fn compare_dma(
    case: &Case,
    expected: &[DmaResult],
    got: &[DmaResult],
    differences: &mut Vec<Difference>,
) -> Vec<bool> {
    let count = expected.len().max(got.len());
    let judge = |index: usize| {
        let how = case.dma_cmp.get(index).copied().unwrap_or_default();
        if how == Comparison::No {
            return false;
        }
        let (expected, got) = (expected.get(index), got.get(index));
        if let (Some(expected), Some(got)) = (expected, got) {
            let same = (expected.ok, expected.pa) == (got.ok, got.pa);
            if how == Comparison::StaleOk
                && !same
                && expected.alternatives.contains(&(got.ok, got.pa))
            {
                return false;
            }
            if same && data_agrees(expected, got) && expected.nev == got.nev {
                return true;
            }
        }
        let say = |result: Option<&DmaResult>| result.map_or_else(|| "none".into(), tell_result);
        differences.push(Difference {
            what: Answer::Dma,
            index,
            expected: say(expected),
            got: say(got),
        });
        true
    };
    (0..count).map(judge).collect()
}

/// Data count where both sides have some.
fn data_agrees(expected: &DmaResult, got: &DmaResult) -> bool {
    match (&expected.data, &got.data) {
        (Some(Some(expected)), Some(Some(got))) => expected == got,
        _ => true,
    }
}

fn tell_result(result: &DmaResult) -> String {
    let outcome = match (result.ok, result.pa) {
        (true, Some(pa)) => format!("{pa:#x}"),
        (true, None) => "let through".into(),
        (false, _) => "refused".into(),
    };
    let data = match &result.data {
        Some(Some(Bytes(bytes))) => format!(", data {}", Bytes(bytes.clone())),
        _ => String::new(),
    };
    match result.nev {
        0 => outcome + &data,
        1 => outcome + &data + " with 1 record",
        more => format!("{outcome}{data} with {more} records"),
    }
}

/// A drained record, with its place among all of them.
type Drained<'a> = (usize, &'a [u64; 4]);

fn compare_records(
    case: &Case,
    expected: &[DmaResult],
    answers: &Answers,
    judged: &[bool],
    differences: &mut Vec<Difference>,
) {
    let expected = judged_records(&case.events, expected, judged);
    let got = judged_records(&answers.events, &answers.results, judged);
    for at in 0..expected.len().max(got.len()) {
        let (wanted, found) = (expected.get(at), got.get(at));
        if let (Some(&(index, wanted)), Some((_, found))) = (wanted, found) {
            let mask = case.event_masks.get(index).copied().unwrap_or_else(|| usual_mask(wanted));
            if (0..4).all(|word| (wanted[word] ^ found[word]) & mask[word] == 0) {
                continue;
            }
        }
        let say = |drained: Option<&Drained<'_>>| {
            drained.map_or_else(|| "none".into(), |(_, words)| tell_record(words))
        };
        let index = wanted.or(found).map_or(at, |&(index, _)| index);
        differences.push(Difference {
            what: Answer::Record,
            index,
            expected: say(wanted),
            got: say(found),
        });
    }
}

/// The records without those of the DMAs that are not judged. Records are drained in the order in
/// which the DMAs added them.
fn judged_records<'a>(
    events: &'a [[u64; 4]],
    results: &[DmaResult],
    judged: &[bool],
) -> Vec<Drained<'a>> {
    let owners = results
        .iter()
        .zip(judged)
        .flat_map(|(result, &judged)| std::iter::repeat_n(judged, result.nev as usize))
        .chain(std::iter::repeat(true));
    let owned = events.iter().enumerate().zip(owners);
    owned.filter_map(|(drained, judged)| judged.then_some(drained)).collect()
}

/// The bits of a record that count by default: not STAG, PnU, InD; not RnW of an access that the
/// SMMU made itself; not the page offset of an IPA; and no words that the event does not have.
fn usual_mask(words: &[u64; 4]) -> [u64; 4] {
    const STALL: u64 = 1 << 31;
    const RNW: u64 = 1 << 35;
    const S2: u64 = 1 << 39;
    const CLASS: u64 = 3 << 40;
    const PAGE: u64 = 0x000f_ffff_ffff_f000;
    const FETCH: u64 = 0x000f_ffff_ffff_fff8;
    let all = u64::MAX;
    let Ok(event) = Event::decode(words) else { return [all; 4] };
    match event.kind {
        EventKind::WalkExternalAbort(_) => [all, STALL | S2 | CLASS, all, FETCH],
        EventKind::SteFetch(_) | EventKind::CdFetch(_) => [all, 0, 0, FETCH],
        kind => match kind.stage_event() {
            Some(stage) => {
                let access = if stage.class == FaultClass::In { RNW } else { 0 };
                let ipa = if stage.stage == Stage::Stage2 { PAGE } else { 0 };
                [all, STALL | access | S2 | CLASS, all, ipa]
            }
            None => [all, 0, 0, 0],
        },
    }
}

fn tell_record(words: &[u64; 4]) -> String {
    match Event::decode(words) {
        Ok(event) => event.to_string(),
        Err(_) => format!("{words:#018x?}"),
    }
}

fn compare_reads(case: &Case, got: &[u64], differences: &mut Vec<Difference>) {
    let count = case.mmio_reads.len().max(case.arch_reads.len());
    for index in 0..count {
        let expected = match (case.arch_reads.get(index), case.mmio_reads.get(index)) {
            (Some(None), _) | (None, None) => continue,
            (Some(&Some(masked)), _) => masked,
            (None, Some(&value)) => (value, u64::MAX),
        };
        let (value, mask) = expected;
        let found = got.get(index);
        if found.is_some_and(|found| (found ^ value) & mask == 0) {
            continue;
        }
        differences.push(Difference {
            what: Answer::MmioRead,
            index,
            expected: format!("{value:#x} under mask {mask:#x}"),
            got: found.map_or_else(|| "none".into(), |found| format!("{found:#x}")),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words as QEMU recorded them, and the bits of them that its cases compare.
    #[test]
    fn the_usual_mask_leaves_what_an_event_says() {
        let all = u64::MAX;
        for (words, mask) in [
            // F_TRANSLATION of stage 1, CLASS IN.
            ([0x19_0000_0010, 0x208_0000_0000, 8, 0], [all, 0x388_8000_0000, all, 0]),
            // F_TRANSLATION of stage 2, CLASS IN.
            (
                [0x19_0000_0010, 0x288_0000_0000, 8, 0x1000],
                [all, 0x388_8000_0000, all, 0xf_ffff_ffff_f000],
            ),
            // F_ACCESS of stage 2, CLASS TT.
            (
                [0x19_0000_0012, 0x180_0000_0000, 8, 0x1000],
                [all, 0x380_8000_0000, all, 0xf_ffff_ffff_f000],
            ),
            // F_WALK_EABT.
            (
                [0x19_0000_000b, 0x100_0000_0000, 8, 0x1000],
                [all, 0x380_8000_0000, all, 0xf_ffff_ffff_fff8],
            ),
            // F_STE_FETCH, C_BAD_STE.
            ([0x19_0000_0003, 0, 0, 0x1000], [all, 0, 0, 0xf_ffff_ffff_fff8]),
            ([0x19_0000_0004, 0, 0, 0], [all, 0, 0, 0]),
        ] {
            assert_eq!(usual_mask(&words), mask, "{words:x?}");
        }
    }
}
