//! Driver logs as files.

use super::load::READABLE;
use crate::input::{InputError, open};
use crate::log::{Line, LogError, LogReplay, LogReport, Place};
use std::io::{self, BufRead, Cursor, Read};
use std::path::Path;

/// Replays a driver log: one JSON object a line, plain or made by gzip. `-` is standard input.
/// Records are taken one by one, so that the log may be longer than memory.
///
/// # Errors
/// A file that cannot be read, a line that is no record, or one that cannot be.
pub fn replay_log(path: impl AsRef<Path>) -> Result<LogReport, InputError> {
    let path = path.as_ref();
    log_from(path, open(path, READABLE)?)
}

/// The first line that is not empty, and the source from that line on.
pub(super) fn first_line(path: &Path) -> Result<(Vec<u8>, impl BufRead + use<>), InputError> {
    let mut source = open(path, READABLE)?;
    let mut first = Vec::new();
    let mut read = Ok(1);
    while matches!(read, Ok(1..)) && first.trim_ascii().is_empty() {
        read = source.read_until(b'\n', &mut first);
    }
    // What is damaged is told with its line by whoever reads it as cases or records.
    let again = Failed(read.err());
    Ok((
        first.trim_ascii().to_vec(),
        Cursor::new(first).chain(io::BufReader::new(again)).chain(source),
    ))
}

/// A source that fails once, where the one before it had failed.
struct Failed(Option<io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// Replays the log of a file that is open.
pub(super) fn log_from(path: &Path, mut source: impl BufRead) -> Result<LogReport, InputError> {
    let wrong = |line, cause: String, remedy: &str| InputError {
        line,
        cause,
        remedy: remedy.into(),
        ..InputError::of(path)
    };
    let mut replay = LogReplay::default();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let read = source.read_until(b'\n', &mut text).map_err(|error| {
            let remedy = "the file may be cut off or damaged: make it anew";
            wrong(Some(line), error.to_string(), remedy)
        })?;
        if read == 0 {
            break;
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let Line { n, record } = serde_json::from_slice(&text).map_err(|error| {
            let cause = error.to_string().replace(" at line 1 column ", " at column ");
            wrong(Some(line), cause, "see \"Driver logs\" in docs/ for what a record holds")
        })?;
        let taken = replay.record(Place { n, line }, record);
        taken.map_err(|LogError { cause, remedy }| wrong(Some(line), cause, remedy))?;
    }
    replay.finish().map_err(|LogError { cause, remedy }| wrong(None, cause, remedy))
}
