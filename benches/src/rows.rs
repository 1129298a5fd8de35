//! All rows, in the order in which they are printed.

use crate::counting::Counting;
use crate::layout::Stages;
use crate::machine::Plan;
use crate::measure::Workload;
use crate::peer::TLB_ENTRIES_MIN;
use crate::workloads::{
    AtRandom, Commands, InTurn, PeerCommands, PeerTranslate, Scope, TlbFill, TlbHit, TlbMiss, Tlbi,
    Translate, WalkOnly,
};
use smmu_cache::TlbGeometry;

/// How a workload is built.
pub type Build = Box<dyn Fn() -> Box<dyn Workload>>;

/// One row of the table.
pub struct Row {
    /// Name and parameters.
    pub name: String,
    /// By Smmulator.
    pub ours: Build,
    /// By the peer, where it does the same work.
    pub peer: Option<Build>,
    /// What the row is held to; may be empty.
    pub aims: Vec<Aim>,
}

/// What a row is held to.
#[derive(Clone, PartialEq, Debug)]
pub enum Aim {
    /// At most this many nanoseconds an operation.
    Ns(f64),
    /// At least this many times the peer's rate.
    Peer(f64),
    /// At least this many times the rate of another row.
    TimesRow(f64, String),
}

/// Entries of the main TLB where everything hits.
const TLB_ENTRIES: usize = 2048;
/// Pages of a working set that misses.
const MISSING: u64 = 1024;

/// The TLB where everything hits: 2048 entries of 4 ways.
fn large() -> TlbGeometry {
    TlbGeometry { entries: TLB_ENTRIES as u32, ..TlbGeometry::default() }
}

/// One set of four ways: a working set that goes round misses always.
fn small() -> TlbGeometry {
    TlbGeometry { entries: 4, ways: 4, ..TlbGeometry::default() }
}

fn row<W: Workload + 'static>(name: String, ours: impl Fn() -> W + 'static) -> Row {
    let ours: Build = Box::new(move || Box::new(ours()));
    Row { name, ours, peer: None, aims: Vec::new() }
}

impl Row {
    fn beside<W: Workload + 'static>(mut self, peer: impl Fn() -> W + 'static) -> Self {
        self.peer = Some(Box::new(move || Box::new(peer())));
        self
    }

    fn held_to(mut self, aims: impl IntoIterator<Item = Aim>) -> Self {
        self.aims.extend(aims);
        self
    }
}

/// All rows.
#[must_use]
pub fn rows() -> Vec<Row> {
    [hits(), misses(), tlb(), tlbi(), walks(), commands()].into_iter().flatten().collect()
}

fn hits() -> Vec<Row> {
    let mut rows = Vec::new();
    for pages in [64, 1024] {
        for threads in [1, 2] {
            let plan = Plan { tlb: large(), streams: threads, stages: Stages::One, pages };
            // Both threads' pages must fit.
            let plan = Plan { tlb: TlbGeometry { entries: 4096, ..plan.tlb }, ..plan };
            let entries = 2 * TLB_ENTRIES;
            let peer = move || PeerTranslate::<AtRandom>::new(entries, threads, Stages::One, pages);
            let name = |observer: &str, threads| {
                format!("translate/hit observer={observer} pages={pages} threads={threads}")
            };
            let aims = |observer: &str| match threads {
                1 => vec![Aim::Ns(12.0), Aim::Peer(8.0)],
                _ => vec![Aim::TimesRow(1.9, name(observer, 1)), Aim::Peer(8.0)],
            };
            rows.push(
                row(name("none", threads), move || Translate::<AtRandom, ()>::new(&plan))
                    .beside(peer)
                    .held_to(aims("none")),
            );
            rows.push(
                row(name("counting", threads), move || Translate::<AtRandom, Counting>::new(&plan))
                    .beside(peer)
                    .held_to(aims("counting")),
            );
        }
    }
    rows
}

fn misses() -> Vec<Row> {
    let plan = |stages| Plan { tlb: small(), streams: 1, stages, pages: MISSING };
    let peer = |stages| move || PeerTranslate::<InTurn>::new(TLB_ENTRIES_MIN, 1, stages, MISSING);
    let mut rows = Vec::new();
    for (name, stages, ns) in
        [("miss-s1", Stages::One, 60.0), ("miss-nested-24", Stages::Nested, 200.0)]
    {
        let plan = plan(stages);
        let aims = [Aim::Ns(ns), Aim::Peer(1.0)];
        rows.push(
            row(format!("translate/{name} observer=none"), move || {
                Translate::<InTurn, ()>::new(&plan)
            })
            .beside(peer(stages))
            .held_to(aims.clone()),
        );
        rows.push(
            row(format!("translate/{name} observer=counting"), move || {
                Translate::<InTurn, Counting>::new(&plan)
            })
            .beside(peer(stages))
            .held_to(aims),
        );
    }
    rows
}

fn tlb() -> Vec<Row> {
    let resident = TLB_ENTRIES as u64;
    vec![
        row(format!("tlb/hit entries={TLB_ENTRIES}"), move || TlbHit::new(large(), resident))
            .held_to([Aim::Ns(4.0)]),
        row(format!("tlb/miss entries={TLB_ENTRIES}"), move || TlbMiss::new(large(), resident))
            .held_to([Aim::Ns(5.0)]),
        row(format!("tlb/fill entries={TLB_ENTRIES}"), move || TlbFill::new(large(), 4 * resident))
            .held_to([Aim::Ns(12.0)]),
    ]
}

fn tlbi() -> Vec<Row> {
    let mut rows = Vec::new();
    for (kind, scope) in [("vmid", Scope::Vmid), ("asid", Scope::Asid), ("va", Scope::Va)] {
        let name = |entries: u32| format!("tlbi/{kind} entries={entries} matching=32");
        for entries in [64, 4096, 65_536, 1 << 20] {
            let row = row(name(entries), move || Tlbi::new(scope, entries));
            // The cost must not grow with the capacity; half the rate is left to host caches.
            let aims = (entries > 64).then(|| Aim::TimesRow(0.5, name(64)));
            rows.push(row.held_to(aims));
        }
    }
    rows
}

fn walks() -> Vec<Row> {
    let plan = |stages| Plan { tlb: small(), streams: 1, stages, pages: MISSING };
    let rows = [("s1", Stages::One, 20.0), ("nested", Stages::Nested, 120.0)];
    rows.map(|(name, stages, ns)| {
        let plan = plan(stages);
        row(format!("walk/{name}"), move || WalkOnly::new(&plan)).held_to([Aim::Ns(ns)])
    })
    .into()
}

fn commands() -> Vec<Row> {
    let pages = 1024;
    let plan = Plan { tlb: large(), streams: 1, stages: Stages::One, pages };
    vec![
        row(format!("command/tlbi+sync resident={pages}"), move || Commands::new(&plan))
            .beside(move || PeerCommands::new(TLB_ENTRIES, pages))
            .held_to([Aim::Peer(1.0)]),
    ]
}
