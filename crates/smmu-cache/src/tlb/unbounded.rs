//! Lines of a TLB that forgets nothing by itself: a map for each address space.

use smmu_arch::{TlbEntry, TlbScope};

use super::Numbered;
use super::directory::Record;
use super::space::{Line, Space};
use super::words::{self, Found};

/// What `space` holds at a canonical `input`.
pub(super) fn find(space: &Space, input: u64) -> Found {
    let mut sizes = space.sizes(input);
    if sizes == 0 {
        return Found::NOTHING;
    }
    let lines = space.lines.read();
    while sizes != 0 {
        let bit = sizes & sizes.wrapping_neg();
        if let Some(line) = lines.get(&words::page_by_bit(input, bit)) {
            return Found { data: line.data, number: line.number }.narrow(input, bit);
        }
        sizes ^= bit;
    }
    Found::NOTHING
}

/// Holds an entry; an older one of the same page goes.
pub(super) fn place(record: &mut Record, number: u64, entry: &TlbEntry) {
    let page = words::page(entry.input, entry.size_log2.into());
    let line = Line { data: words::data(entry), number, entry: *entry };
    if record.space.lines.write().insert(page, line).is_none() {
        record.residents += 1;
    }
}

/// Drops the entries that `scope` covers, one by one.
pub(super) fn invalidate(record: &mut Record, scope: &TlbScope) -> u32 {
    let mut lines = record.space.lines.write();
    let before = lines.len();
    match scope.address.as_ref().and_then(|range| record.windows(range)) {
        None => lines.retain(|_, line| !scope.covers(&line.entry)),
        Some(windows) => {
            for window in windows {
                for page in window.inputs().map(|input| words::page(input, window.size)) {
                    if lines.get(&page).is_some_and(|line| scope.covers(&line.entry)) {
                        lines.remove(&page);
                    }
                }
            }
        }
    }
    let dropped = (before - lines.len()) as u32;
    drop(lines);
    record.residents -= dropped;
    dropped
}

/// Drops everything; the caller counts.
pub(super) fn clear(record: &Record) {
    *record.space.lines.write() = Default::default();
}

/// The smallest entry around `input`.
pub(super) fn held_at(record: &Record, input: u64) -> Option<Numbered> {
    let lines = record.space.lines.read();
    let mut pages = record.sizes().map(|size| words::page(input, size));
    pages.find_map(|page| lines.get(&page).map(numbered))
}

fn numbered(line: &Line) -> Numbered {
    Numbered { number: line.number, entry: line.entry }
}

/// All entries.
pub(super) fn held_by(record: &Record) -> Vec<Numbered> {
    let lines = record.space.lines.read();
    lines.values().map(numbered).collect()
}
