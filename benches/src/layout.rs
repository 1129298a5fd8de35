//! Where everything lies: the same for Smmulator and its peers.

/// First byte of RAM.
pub const RAM: u64 = 0x8000_0000;
/// Bytes of RAM: tables, command queue and stream table; DMA data is never touched.
pub const RAM_BYTES: u64 = 64 << 20;
/// First IOVA of every working set.
pub const IOVA: u64 = 0x10_0000_0000;
/// First IPA of the data, nested.
pub const IPA: u64 = 0x20_0000_0000;
/// First output address of the data.
pub const OUTPUT: u64 = 0x40_0000_0000;
/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// The output page of a page of a working set of `pages` pages, a power of two. Neighbours part,
/// so that no mapping is contiguous.
#[must_use]
pub const fn scattered(page: u64, pages: u64) -> u64 {
    (page * 29 + 11) & (pages - 1)
}

/// The output address of page `page`.
#[must_use]
pub const fn output(page: u64, pages: u64) -> u64 {
    OUTPUT + scattered(page, pages) * PAGE
}

/// The IPA of page `page`, nested.
#[must_use]
pub const fn ipa(page: u64, pages: u64) -> u64 {
    IPA + (pages - 1 - page) * PAGE
}

/// The StreamID of a thread. Its VMID is the same number, and its ASID.
#[must_use]
pub const fn stream(thread: usize) -> u16 {
    thread as u16 + 1
}

/// How a stream is translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stages {
    /// Stage 1 of four levels: 4 descriptors.
    One,
    /// Stage 1 over stage 2, of four levels each: 24 descriptors.
    Nested,
}
