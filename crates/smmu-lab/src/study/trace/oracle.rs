//! libCacheSim's oracleGeneral: 24 bytes a request. Of these the identifier alone counts: each is a
//! page of its own.

use super::{Access, PassedOver, Reading, Record};
use crate::input::InputError;
use std::io::BufRead;

/// Bits of a page number that an address has room for.
const PAGE_BITS: u32 = 44;

/// An identifier is a hash as a rule: it is folded to the bits of a page number.
const fn page_of(identifier: u64) -> u64 {
    (identifier ^ identifier >> PAGE_BITS) & ((1 << PAGE_BITS) - 1)
}

/// Time (32 bits), identifier (64), size (32), next access (64), without gaps.
pub(super) fn read(
    reading: &Reading<'_>,
    source: impl BufRead,
    mut each: impl FnMut(Record),
) -> Result<PassedOver, InputError> {
    reading.records::<24>(source, &mut |requests| {
        for request in requests {
            let [_, _, _, _, identifier @ .., _, _, _, _, _, _, _, _, _, _, _, _] = *request;
            each(Record::Access(Access::at(page_of(u64::from_le_bytes(identifier)) << 12)));
        }
    })?;
    Ok(PassedOver(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_identifier_is_the_page() {
        let mut bytes = [9; 48];
        bytes[4..12].copy_from_slice(&0x123_u64.to_le_bytes());
        bytes[28..36].copy_from_slice(&(1_u64 << 44 | 2).to_le_bytes());
        let mut pages = Vec::new();
        let reading = Reading { path: Path::new("t") };
        let passed = read(&reading, &bytes[..], |record| match record {
            Record::Access(access) => pages.push(access.iova >> 12),
            other => panic!("{other:?}"),
        });
        assert_eq!(passed, Ok(PassedOver(0)));
        assert_eq!(pages, [0x123, 3]);
    }
}
