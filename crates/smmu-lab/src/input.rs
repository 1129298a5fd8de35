//! Files that users hand over: plain, or made by gzip or zstd; `-` is standard input.

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use thiserror::Error;

/// First bytes of a file that gzip made.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// First bytes of a file that zstd made.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Input that cannot be used, or output that cannot be written.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{file}{}: {cause}\n  {remedy}", line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct InputError {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1, where one is to blame.
    pub line: Option<usize>,
    /// What is wrong.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
}

impl InputError {
    pub(crate) fn file(path: &Path, error: &io::Error, remedy: &str) -> Self {
        Self { cause: error.to_string(), remedy: remedy.into(), ..Self::of(path) }
    }

    pub(crate) fn of(path: &Path) -> Self {
        let file = match path.to_str() {
            Some("-") => "standard input".into(),
            _ => path.display().to_string(),
        };
        Self { file, line: None, cause: String::new(), remedy: String::new() }
    }
}

/// Opens a file and unpacks what gzip or zstd made. `remedy` says what should have been named.
pub(crate) fn open(path: &Path, remedy: &str) -> Result<Box<dyn BufRead>, InputError> {
    let unread = |error| InputError::file(path, &error, remedy);
    let mut source: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(path).map_err(unread)?),
    };
    let mut first = Vec::new();
    source.by_ref().take(ZSTD.len() as u64).read_to_end(&mut first).map_err(unread)?;
    let (gzip, zstd) = (first.starts_with(&GZIP), first == ZSTD);
    let source = BufReader::with_capacity(1 << 16, io::Cursor::new(first).chain(source));
    Ok(match (gzip, zstd) {
        (true, _) => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(source))),
        (_, true) => {
            let damaged = |error: ruzstd::decoding::errors::FrameDecoderError| {
                unread(io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
            };
            let decoder = StreamingDecoder::new(source).map_err(damaged)?;
            Box::new(BufReader::with_capacity(1 << 16, decoder))
        }
        _ => Box::new(source),
    })
}
