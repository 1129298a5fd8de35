//! Studies over traces, held against closed forms and against each other.

use smmu_cache::policy::{Draw, SplitMix64};
use smmu_lab::study::trace::{Access, Forget, Ids, Record};
use smmu_lab::study::{Geometry, Index, Options, Outcome, PolicyKind, Study, Subject, study};
use std::path::PathBuf;

const POLICIES: [PolicyKind; 8] = [
    PolicyKind::RoundRobin,
    PolicyKind::RoundRobinPerCache,
    PolicyKind::Lru,
    PolicyKind::Gem5Lru,
    PolicyKind::TreePlru,
    PolicyKind::Random { seed: 5 },
    PolicyKind::Gem5Random { seed: 5 },
    PolicyKind::Rrip,
];

fn page(vmid: u16, page: u64) -> Access {
    Access { sid: 1, ssid: 0, vmid, asid: 7, iova: page << 12, size_log2: 12 }
}

fn run(geometry: Geometry, records: impl Iterator<Item = Record>) -> Outcome {
    let mut study = Study::new(geometry, true).expect("a geometry that exists");
    records.for_each(|record| study.take(&record, |_| {}));
    study.outcome()
}

fn fully_associative(entries: u32, policy: PolicyKind) -> Geometry {
    Geometry { entries, ways: 0, policy, ..Geometry::default() }
}

/// Any policy that asks for nothing in advance misses 1 - N/W of accesses drawn evenly from W pages
/// (pcie-bench, Neugebauer et al., SIGCOMM 2018, with N = 120 lies on it).
#[test]
fn uniform_accesses_miss_by_the_closed_form() {
    for (policy, entries) in POLICIES.into_iter().map(|policy| (policy, 64)).chain([
        (PolicyKind::Lru, 120),
        (PolicyKind::RoundRobin, 120),
        (PolicyKind::Random { seed: 1 }, 120),
    ]) {
        for window in [256, 384, 512, 768, 1024] {
            let mut draw = SplitMix64(window);
            let accesses = (0..60_000).map(|_| Record::Access(page(1, draw.draw() % window)));
            let outcome = run(fully_associative(entries, policy), accesses);
            let ratio = outcome.total.misses as f64 / 60_000.0;
            let expected = 1.0 - f64::from(entries) / window as f64;
            assert!((ratio - expected).abs() < 0.02, "{policy:?} {window}: {ratio} {expected}");
        }
    }
}

#[test]
fn a_ring_under_lru_is_all_or_nothing() {
    let ring = |pages: u64| (0..10 * pages).map(move |at| Record::Access(page(1, at % pages)));
    let fits = run(fully_associative(100, PolicyKind::Lru), ring(100)).total;
    assert_eq!((fits.hits, fits.causes), (900, [100, 0, 0, 0]));
    let one_more = run(fully_associative(100, PolicyKind::Lru), ring(101)).total;
    assert_eq!((one_more.hits, one_more.causes), (0, [101, 0, 909, 0]));
}

/// What conflicts in sets does not conflict in one set of the same entries.
#[test]
fn misses_of_one_set_are_conflicts() {
    let geometry =
        Geometry { entries: 64, ways: 4, policy: PolicyKind::Lru, ..Geometry::default() };
    let accesses = (0..60).map(|at| Record::Access(page(1, at % 6 * 16)));
    let total = run(geometry, accesses).total;
    assert_eq!((total.hits, total.causes), (0, [6, 0, 0, 54]));
}

/// A contiguous group of 16 pages held as one entry: 16 times the reach.
#[test]
fn a_larger_page_is_one_entry() {
    let scan = |size_log2: u8| {
        let accesses = (0..4096).map(move |at| Record::Access(Access { size_log2, ..page(1, at) }));
        run(fully_associative(64, PolicyKind::Lru), accesses)
    };
    assert_eq!((scan(12).total.misses, scan(16).total.misses), (4096, 256));
    assert_eq!(scan(16).by_size.keys().collect::<Vec<_>>(), [&16]);
}

#[test]
fn an_access_that_crosses_pages_is_one_reference_each() {
    let total = run(Geometry::default(), [Record::Span(page(1, 0), 0x2001)].into_iter()).total;
    assert_eq!(total.misses, 3);
}

/// A storm of invalidations of one VM takes nothing from another.
#[test]
fn invalidations_of_one_vm_leave_the_hits_of_another() {
    let records = |storm: bool| {
        (0..2000u64).flat_map(move |at| {
            let forget = Forget { vmid: Some(2), ..Forget::default() };
            let storm = storm.then_some(Record::Forget(forget));
            let both = [page(1, at % 50), page(2, at % 50)].map(Record::Access);
            both.into_iter().chain(storm)
        })
    };
    for index in [Index::Page, Index::PageXorTags, Index::Hash] {
        let geometry = Geometry { index, policy: PolicyKind::Lru, ..Geometry::default() };
        let (calm, storm) = (run(geometry, records(false)), run(geometry, records(true)));
        let of = |outcome: &Outcome, vmid| outcome.by_first()[&vmid];
        assert_eq!(of(&calm, 1), of(&storm, 1));
        assert_eq!(of(&storm, 2).hits, 0);
        assert_eq!(of(&storm, 2).causes, [50, 1950, 0, 0]);
        assert_eq!((storm.invalidations, storm.dropped), (2000, 2000));
    }
}

#[test]
fn an_invalidated_way_is_filled_before_another_goes() {
    let geometry =
        Geometry { entries: 4, ways: 4, policy: PolicyKind::RoundRobin, ..Geometry::default() };
    let range = Some((0x2000, 0x2fff));
    let forget = Record::Forget(Forget { range, ..Forget::default() });
    let first = (0..4).map(|at| Record::Access(page(1, at)));
    let after = [4, 0, 1, 3, 4].map(|at| Record::Access(page(1, at)));
    let total = run(geometry, first.chain([forget]).chain(after)).total;
    assert_eq!(total.hits, 4, "page 4 took the place of page 2");
}

fn options(trace: PathBuf, geometry: Geometry, count: bool) -> Options {
    let subject = Subject::Tlb(geometry);
    Options { trace, format: None, ids: Ids::Spread, subject, count, curve: None }
}

/// The fast way through a packed trace counts what the other one counts.
#[test]
fn counting_alone_gives_the_same_hits() {
    let stream = smmu_lab::study::workload::Stream::named("zipf64k.c16b64").expect("known");
    let bytes: Vec<u8> =
        stream.accesses()[..100_000].iter().flat_map(|word| word.to_le_bytes()).collect();
    let trace = std::env::temp_dir().join(format!("smmulator-count-{}.u32", std::process::id()));
    std::fs::write(&trace, bytes).expect("a temporary file");
    for policy in POLICIES {
        for index in [Index::Page, Index::PageXorTags, Index::Hash] {
            for ways in [1, 4, 8, 16, 32] {
                let geometry =
                    Geometry { entries: 1024, ways, index, policy, ..Geometry::default() };
                let report =
                    |count| study(&options(trace.clone(), geometry, count)).expect("a report");
                let (fast, slow) = (report(true).to_json(), report(false).to_json());
                for key in ["references", "hits", "misses", "hit_index_fnv64"] {
                    assert_eq!(fast[key], slow[key], "{key} {geometry:?}");
                }
                assert_eq!(fast["by_context"].as_array().map(Vec::len), Some(16));
            }
        }
    }
    std::fs::remove_file(&trace).expect("it was there");
}
