//! Case files.

use super::case::Case;
use crate::input::{InputError, open};
use std::io::BufRead;
use std::path::Path;

/// What `replay` reads.
pub(super) const READABLE: &str = "name a case file or a driver log that can be read";

/// Reads a case file: one JSON object a line, plain or made by gzip. `-` is standard input. Empty
/// lines are passed over.
///
/// # Errors
/// A file that cannot be read or has no case, a line that is no case, a DMA that has no single
/// translation.
pub fn load(path: impl AsRef<Path>) -> Result<Vec<Case>, InputError> {
    let path = path.as_ref();
    load_from(path, open(path, READABLE)?)
}

/// The cases of a file that is open.
pub(super) fn load_from(path: &Path, source: impl BufRead) -> Result<Vec<Case>, InputError> {
    let cases = parse(source).map_err(|Wrong { line, cause, remedy }| InputError {
        line: Some(line),
        cause,
        remedy,
        ..InputError::of(path)
    })?;
    if cases.is_empty() {
        // Nothing that agrees with nothing would look like success.
        let (cause, remedy) = ("there is no case in it".into(), "write one case a line".into());
        return Err(InputError { cause, remedy, ..InputError::of(path) });
    }
    Ok(cases)
}

/// What is wrong with a line.
struct Wrong {
    line: usize,
    cause: String,
    remedy: String,
}

fn parse(mut source: impl BufRead) -> Result<Vec<Case>, Wrong> {
    let mut cases = Vec::new();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let read = source.read_until(b'\n', &mut text).map_err(|error| Wrong {
            line,
            cause: error.to_string(),
            remedy: "the file may be cut off or damaged: make it anew".into(),
        })?;
        if read == 0 {
            break;
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        cases.push(serde_json::from_slice(&text).map_err(|error| no_case(line, &error))?);
    }
    Ok(cases)
}

fn no_case(line: usize, error: &serde_json::Error) -> Wrong {
    use serde_json::error::Category;
    let remedy = match error.classify() {
        Category::Syntax => "write one JSON object on the line, and nothing else",
        Category::Eof => "the object does not end: write it on one line, or make the file anew",
        Category::Data | Category::Io => "see \"Replay cases\" in docs/ for what a case holds",
    };
    // Each line is a text of its own to the parser, so that its line number is always 1.
    let cause = error.to_string().replace(" at line 1 column ", " at column ");
    Wrong { line, cause, remedy: remedy.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (usize, String) {
        let wrong = parse(text.as_bytes()).expect_err("refused");
        assert!(!wrong.remedy.is_empty());
        (wrong.line, wrong.cause)
    }

    #[test]
    fn a_line_that_is_no_case_is_named_with_its_column() {
        let good = r#"{"name": "a", "smmu": {"stage": "1"}}"#;
        let (line, cause) = refused(&format!("{good}\n\n{{\"name\": 7}}\n"));
        assert_eq!((line, cause.contains("column 10")), (3, true), "{cause}");
        assert_eq!(refused("{\"name\"").0, 1);
        assert_eq!(refused("no case").0, 1);
    }

    #[test]
    fn odd_digits_and_unknown_steps_are_refused() {
        let case = |steps: &str| {
            format!(r#"{{"name": "a", "smmu": {{"stage": "nested"}}, "steps": [{steps}]}}"#)
        };
        assert!(refused(&case(r#"{"mem": [0, "012"]}"#)).1.contains("even number"));
        assert!(refused(&case(r#"{"mem": [0, "+1"]}"#)).1.contains("hexadecimal"));
        assert!(refused(&case(r#"{"fly": 1}"#)).1.contains("unknown variant `fly`"));
    }

    #[test]
    fn a_dma_with_two_translations_is_refused() {
        let case = |iova: u64, len: u64| {
            let dma = format!(r#"{{"sid": 0, "iova": {iova}, "rw": "r", "len": {len}}}"#);
            format!(r#"{{"name": "a", "smmu": {{"stage": "2"}}, "steps": [{{"dma": {dma}}}]}}"#)
        };
        for (iova, len) in [(0, 0), (0, 4097), (0xffc, 5), (u64::MAX, 2)] {
            assert!(refused(&case(iova, len)).1.contains("page of 4 KiB"), "{iova:#x} {len}");
        }
        assert!(parse(case(u64::MAX, 1).as_bytes()).is_ok());
        assert!(parse(case(0xffc, 4).as_bytes()).is_ok());
    }
}
