//! Traces: what devices did, and what was forgotten in between. They are read as they come and
//! never held whole.
//!
//! | format | suffix | an access |
//! |---|---|---|
//! | CSV | `.csv` | a line under a header with any of `sid,ssid,vmid,asid,iova,size,rw` |
//! | packed | `.u32` | 32 bits, little end first: context above page |
//! | oracleGeneral | `.oracleGeneral`, `.bin` | 24 bytes, libCacheSim's record |
//! | text | `.txt`, `.log`, `.trace` | a line of QEMU's `smmu_*` or `vtd_*` events, or Linux's `iommu:map` |
//!
//! Each may be packed by gzip or zstd.

mod csv;
mod oracle;
pub mod packed;
mod text;

use crate::input::{InputError, open};
use std::io::BufRead;
use std::path::Path;

/// One access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// StreamID.
    pub sid: u32,
    /// SubstreamID; 0 where there is none.
    pub ssid: u32,
    /// VMID.
    pub vmid: u16,
    /// ASID.
    pub asid: u16,
    /// Address.
    pub iova: u64,
    /// log2 of the bytes of the page that it lies in, 12 to 52.
    pub size_log2: u8,
}

impl Access {
    /// An access of nobody in particular to a page of 4 KiB.
    pub(crate) const fn at(iova: u64) -> Self {
        Self { sid: 0, ssid: 0, vmid: 0, asid: 0, iova, size_log2: 12 }
    }
}

/// What is forgotten: everything that agrees with all that is named.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Forget {
    /// VMID.
    pub vmid: Option<u16>,
    /// ASID.
    pub asid: Option<u16>,
    /// First and last address.
    pub range: Option<(u64, u64)>,
}

/// One thing of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record {
    /// An access.
    Access(Access),
    /// An access of this many bytes, at most [`SPAN_MAX`], which may touch several pages.
    Span(Access, u64),
    /// An invalidation.
    Forget(Forget),
}

/// Bytes of the longest access that a trace may have: 1 TiB. Each of its pages is a reference.
pub const SPAN_MAX: u64 = 1 << 40;

impl Record {
    /// The references that the record is, one a page; none for an invalidation.
    pub fn references(&self) -> impl Iterator<Item = Access> + use<> {
        let (access, pages) = match *self {
            Self::Access(access) => (Some(access), 0..1),
            Self::Span(access, bytes) => {
                let last = access.iova.saturating_add(bytes.max(1) - 1) >> 12;
                (Some(access), 0..last - (access.iova >> 12) + 1)
            }
            Self::Forget(_) => (None, 0..0),
        };
        // The first is at the address itself, the others are at the begin of their pages.
        access.into_iter().flat_map(move |access| {
            pages.clone().map(move |page| match page {
                0 => access,
                _ => Access { iova: ((access.iova >> 12) + page) << 12, ..access },
            })
        })
    }
}

/// A format of traces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Comma-separated values under a header.
    Csv,
    /// Words of 32 bits.
    Packed,
    /// libCacheSim's oracleGeneral.
    OracleGeneral,
    /// Trace events of QEMU or Linux as text.
    Text,
}

impl Format {
    /// The format that the name of a file tells, a suffix of a packer aside.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        let name = [".gz", ".zst", ".zstd"]
            .into_iter()
            .fold(name.as_str(), |name, packer| name.strip_suffix(packer).unwrap_or(name));
        Some(match name.rsplit_once('.')?.1 {
            "csv" => Self::Csv,
            "u32" => Self::Packed,
            "oraclegeneral" | "bin" => Self::OracleGeneral,
            "txt" | "log" | "trace" => Self::Text,
            _ => return None,
        })
    }
}

/// Which VMID and ASID the contexts of a packed trace have.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Ids {
    /// VMID 1 to 4, ASID 1 to 4.
    #[default]
    Small,
    /// VMID 1 to 4, ASID 0x100, 0x240, 0x380, 0x4c0: they meet the index of a set at its upper bits.
    Spread,
}

impl Ids {
    /// The identifiers of a name; caches that are tagged by stream do not care.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "small" | "sid/ssid" => Some(Self::Small),
            "spread" => Some(Self::Spread),
            _ => None,
        }
    }
}

/// How many things of a trace were passed over, because they are no access and no invalidation.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PassedOver(pub u64);

/// Reads a trace from its begin to its end.
///
/// # Errors
/// The file cannot be read, its format is not told, or something in it is no access.
pub fn read(
    path: &Path,
    format: Option<Format>,
    ids: Ids,
    each: impl FnMut(Record),
) -> Result<PassedOver, InputError> {
    let (format, source) = open_as(path, format)?;
    let context = Reading { path };
    match format {
        Format::Csv => csv::read(&context, source, each),
        Format::Packed => packed::read(&context, source, ids, each),
        Format::OracleGeneral => oracle::read(&context, source, each),
        Format::Text => text::read(&context, source, each),
    }
}

/// Opens a trace; its format is the one that is named, or the one of its name.
pub(crate) fn open_as(
    path: &Path,
    format: Option<Format>,
) -> Result<(Format, Box<dyn BufRead>), InputError> {
    let format = format.or_else(|| Format::of(path)).ok_or_else(|| InputError {
        cause: "its name does not tell which format it has".into(),
        remedy: "say --format csv, packed, oracle-general or text".into(),
        ..InputError::of(path)
    })?;
    Ok((format, open(path, "name a trace that can be read")?))
}

/// The file that is being read, for what is wrong with it.
pub(crate) struct Reading<'a> {
    pub(crate) path: &'a Path,
}

impl Reading<'_> {
    fn damaged(&self, error: &std::io::Error) -> InputError {
        InputError::file(self.path, error, "the file may be cut off or damaged: make it anew")
    }

    fn wrong(&self, line: Option<usize>, cause: String, remedy: &str) -> InputError {
        InputError { line, cause, remedy: remedy.into(), ..InputError::of(self.path) }
    }

    /// Takes records of `N` bytes until the source ends, as many at a time as there are.
    pub(crate) fn records<const N: usize>(
        &self,
        mut source: impl BufRead,
        each: &mut dyn FnMut(&[[u8; N]]),
    ) -> Result<(), InputError> {
        let mut rest: Vec<u8> = Vec::with_capacity(N);
        loop {
            let block = source.fill_buf().map_err(|error| self.damaged(&error))?;
            let length = block.len();
            if length == 0 {
                break;
            }
            let missing = if rest.is_empty() { 0 } else { (N - rest.len()).min(length) };
            let (head, body) = block.split_at(missing);
            rest.extend_from_slice(head);
            if rest.len() == N {
                each(rest.as_chunks().0);
                rest.clear();
            }
            let (whole, tail) = body.as_chunks();
            each(whole);
            rest.extend_from_slice(tail);
            source.consume(length);
        }
        if rest.is_empty() {
            return Ok(());
        }
        let cause = format!("it ends in the middle of a record of {N} bytes");
        Err(self.wrong(None, cause, "the file may be cut off, or have another format"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_format() {
        let of = |name: &str| Format::of(Path::new(name));
        assert_eq!(of("a.csv"), Some(Format::Csv));
        assert_eq!(of("dir.csv/a.u32.gz"), Some(Format::Packed));
        assert_eq!(of("a.oracleGeneral.zst"), Some(Format::OracleGeneral));
        assert_eq!(of("a.trace"), Some(Format::Text));
        assert_eq!((of("a.gz"), of("-"), of("a")), (None, None, None));
    }

    /// A reader that gives one byte, then two, and so on.
    struct Dribble<'a>(&'a [u8], usize);

    impl std::io::Read for Dribble<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.1 += 1;
            let length = self.1.min(self.0.len()).min(into.len());
            into[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    #[test]
    fn records_are_whole_however_the_bytes_come() {
        let bytes: Vec<u8> = (0..40).collect();
        let mut seen = Vec::new();
        let reading = Reading { path: Path::new("t") };
        let source = std::io::BufReader::new(Dribble(&bytes, 0));
        let mut take = |records: &[[u8; 4]]| seen.extend_from_slice(records.as_flattened());
        reading.records(source, &mut take).expect("whole");
        assert_eq!(seen, bytes);
        let cut = reading.records::<4>(&bytes[..39], &mut |_| {}).expect_err("cut off");
        assert!(cut.to_string().contains("middle of a record of 4 bytes"), "{cut}");
    }
}
