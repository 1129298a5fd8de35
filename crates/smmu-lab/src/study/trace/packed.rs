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
    reading.records(source, &mut |words| {
        for &word in words {
            each(Record::Access(access(u32::from_le_bytes(word), ids)));
        }
    })?;
    Ok(PassedOver(0))
}
