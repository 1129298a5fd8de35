//! Packed traces: a word of 32 bits an access, little end first; the context above the page.

use super::{Access, Ids, PassedOver, Reading, Record};
use crate::input::InputError;
use std::io::BufRead;

/// First address of the pages.
const BASE: u64 = 0x10_0000_0000;

/// The access of a word.
#[inline]
#[must_use]
pub const fn access(word: u32, ids: Ids) -> Access {
    let (context, page) = (word >> 16, word & 0xffff);
    let asid = match ids {
        Ids::Small => 1 + context % 4,
        Ids::Spread => 0x100 + 0x140 * (context % 4),
    };
    Access {
        sid: context / 4,
        ssid: context % 4,
        vmid: 1 + (context / 4) as u16,
        asid: asid as u16,
        iova: BASE + (page as u64) * 0x1000,
        size_log2: 12,
    }
}

pub(super) fn read(
    reading: &Reading<'_>,
    source: impl BufRead,
    ids: Ids,
    mut each: impl FnMut(Record),
) -> Result<PassedOver, InputError> {
    words(reading, source, |word| each(Record::Access(access(word, ids))))?;
    Ok(PassedOver(0))
}

/// The words themselves.
fn words(
    reading: &Reading<'_>,
    source: impl BufRead,
    mut each: impl FnMut(u32),
) -> Result<(), InputError> {
    reading.records(source, |bytes| each(u32::from_le_bytes(*bytes)))
}

/// The words themselves, many at a time.
pub(crate) fn blocks(
    reading: &Reading<'_>,
    source: impl BufRead,
    each: &mut dyn FnMut(&[u32]),
) -> Result<(), InputError> {
    let mut block = Vec::with_capacity(1 << 14);
    words(reading, source, |word| {
        block.push(word);
        if block.len() == block.capacity() {
            each(&block);
            block.clear();
        }
    })?;
    each(&block);
    Ok(())
}
