//! The structures against a model so plain that it can be read: a list of entries, and what the
//! scopes say of each.

mod common;

use common::{Step, log_scope, spaces, steps};
use proptest::prelude::*;
use smmu_arch::{ConfigEntry, ConfigKey, ConfigScope, Pa, StreamId, SubstreamId, TlbEntry, TlbKey};
use smmu_cache::policy::PolicyKind;
use smmu_cache::{
    ConfigCache, ConfigFill, Context, Division, Fill, IndexFunction, InvalidationLog, Split, Tlb,
    TlbGeometry, TlbShape,
};

/// Same tags, same page: a fill of one replaces the other.
fn same_place(a: &TlbEntry, b: &TlbEntry) -> bool {
    let (s, t) = (&a.space, &b.space);
    let same_asid = if a.global { s.aset == t.aset } else { s.asid == t.asid };
    a.global == b.global
        && same_asid
        && (s.world, s.kind, s.vmid) == (t.world, t.kind, t.vmid)
        && (a.input, a.size_log2) == (b.input, b.size_log2)
}

/// Every entry ever filled that no scope has covered since.
#[derive(Default)]
struct Model {
    held: Vec<(u64, TlbEntry)>,
}

impl Model {
    fn fill(&mut self, number: u64, entry: &TlbEntry) {
        self.held.retain(|(_, old)| !same_place(old, entry));
        self.held.push((number, *entry));
    }

    fn find(&self, number: u64) -> Option<&TlbEntry> {
        self.held.iter().find(|(n, _)| *n == number).map(|(_, entry)| entry)
    }
}

/// Runs `steps` on a TLB and on the model; `complete` says that the TLB must hold all that the
/// model holds.
fn check(shape: TlbShape, steps: &[Step], complete: bool) -> Result<(), TestCaseError> {
    let tlb = Tlb::new(shape).unwrap();
    let log = InvalidationLog::new();
    let mut model = Model::default();
    let mut contexts: Vec<Context> = spaces().into_iter().map(Context::new).collect();
    for step in steps {
        match step {
            Step::Fill(entry) => match tlb.fill(entry, log.now(), &log) {
                Fill::Filled { number, evicted } => {
                    model.fill(number, entry);
                    if let Some(gone) = evicted {
                        prop_assert!(!complete);
                        let entry = model.find(gone.number);
                        prop_assert!(entry.is_some_and(|e| e.space == gone.space
                            && (e.input, e.size_log2) == (gone.input, gone.size_log2)));
                        model.held.retain(|(number, _)| *number != gone.number);
                    }
                }
                other => prop_assert!(false, "{other:?}"),
            },
            Step::LookUp { space, input } => {
                let key = TlbKey { space: *contexts[*space].space(), input: *input };
                let allowed = model.held.iter().any(|(_, entry)| entry.matches(&key));
                let hit = tlb.look_up(&mut contexts[*space], *input);
                prop_assert_eq!(hit.is_some(), allowed);
                if let Some(hit) = hit {
                    let entry = model.find(hit.fill).expect("a hit on what is held");
                    prop_assert!(entry.matches(&key));
                    prop_assert_eq!(hit.output, entry.translate(*input));
                    prop_assert_eq!(hit.permissions, entry.permissions);
                    prop_assert_eq!(hit.attributes, entry.attributes);
                }
            }
            Step::Invalidate(scope) => {
                let before = model.held.len();
                model.held.retain(|(_, entry)| !scope.covers(entry));
                prop_assert_eq!(tlb.invalidate(scope) as usize, before - model.held.len());
            }
        }
        prop_assert_eq!(tlb.len() as usize, model.held.len());
    }
    let entries: Vec<TlbEntry> = model.held.iter().map(|(_, entry)| *entry).collect();
    prop_assert_eq!(tlb.entries(), entries);
    let resident: u32 = tlb.resident().iter().map(|resident| resident.count).sum();
    prop_assert_eq!(resident, tlb.len());
    Ok(())
}

fn geometry() -> impl Strategy<Value = TlbGeometry> {
    let shapes = prop::sample::select(vec![
        (1, 1),
        (8, 1),
        (8, 2),
        (16, 4),
        (64, 4),
        (32, 8),
        (16, 16),
        (12, 3),
        (20, 0),
        (28, 4),
        (2048, 4),
    ]);
    let index = prop_oneof![
        Just(IndexFunction::Page),
        Just(IndexFunction::PageXorTags),
        Just(IndexFunction::Hash),
    ];
    let replacement = prop_oneof![
        prop::sample::select(vec![
            PolicyKind::RoundRobin,
            PolicyKind::RoundRobinPerCache,
            PolicyKind::Lru,
            PolicyKind::Gem5Lru,
            PolicyKind::TreePlru,
            PolicyKind::Rrip,
        ]),
        any::<u64>().prop_map(|seed| PolicyKind::Random { seed }),
    ];
    let parts = prop::sample::select(vec![1, 1, 2, 4]);
    let by = prop::sample::select(vec![Division::Ways, Division::Sets]);
    let region_log2 = prop::sample::select(vec![0, 0, 14, 21, 31]);
    let split = prop::sample::select(vec![None, Some(14), Some(16), Some(21)]);
    (shapes, index, replacement, (parts, by), (region_log2, split))
        .prop_map(
            |(
                (entries, ways),
                index,
                replacement,
                (partitions, partition_by),
                (region_log2, from),
            )| {
                let split = from.map(|from_log2| Split { from_log2, entries });
                TlbGeometry {
                    entries,
                    ways,
                    index,
                    replacement,
                    partitions,
                    partition_by,
                    region_log2,
                    split: [split, None],
                }
            },
        )
        .prop_filter("partitions and tree fit", |geometry| geometry.check().is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_unbounded_tlb_is_the_model(steps in steps()) {
        check(TlbShape::Unbounded, &steps, true)?;
    }

    /// It may hit and hold less than the model of shared global entries, never more: what names a
    /// page drops the global entries of all ASIDs, though each is used in its own only.
    #[test]
    fn a_tlb_by_asid_is_the_model_without_global_hits_in_other_asids(steps in steps()) {
        let tlb = Tlb::new(TlbShape::UnboundedByAsid).unwrap();
        let log = InvalidationLog::new();
        let mut contexts: Vec<Context> = spaces().into_iter().map(Context::new).collect();
        for step in &steps {
            match step {
                Step::Fill(entry) => {
                    let filled = tlb.fill(entry, log.now(), &log);
                    let held = matches!(filled, Fill::Filled { evicted: None, .. });
                    prop_assert!(held);
                }
                Step::LookUp { space, input } => {
                    let key = TlbKey { space: *contexts[*space].space(), input: *input };
                    let usable = |entry: &&TlbEntry| {
                        entry.matches(&key) && entry.space.asid == key.space.asid
                    };
                    let hit = tlb.look_up(&mut contexts[*space], *input);
                    let outputs: Vec<Pa> = tlb
                        .entries()
                        .iter()
                        .filter(usable)
                        .map(|entry| entry.translate(*input))
                        .collect();
                    prop_assert_eq!(hit.is_some(), !outputs.is_empty());
                    prop_assert!(hit.is_none_or(|hit| outputs.contains(&hit.output)));
                }
                Step::Invalidate(scope) => {
                    let before = tlb.entries();
                    tlb.invalidate(scope);
                    let after = tlb.entries();
                    prop_assert!(!after.iter().any(|entry| scope.covers(entry)));
                    let own = |entry: &TlbEntry| TlbEntry { global: false, ..*entry };
                    let exact = scope.address.is_some() || scope.shared_only;
                    let spared = |entry: &&TlbEntry| {
                        !scope.covers(entry) && (exact || !scope.covers(&own(entry)))
                    };
                    let expected: Vec<TlbEntry> = before.iter().filter(spared).copied().collect();
                    prop_assert_eq!(after, expected);
                }
            }
        }
    }

    #[test]
    fn a_set_associative_tlb_is_the_model_less_what_it_evicts(
        geometry in geometry(), steps in steps()
    ) {
        check(geometry.into(), &steps, false)?;
    }

    /// What was fetched before a scope took effect is kept exactly if no scope since covers it.
    #[test]
    fn a_fill_is_dropped_if_and_only_if_a_later_scope_covers_it(
        steps in steps(), begin in 0..8u64
    ) {
        let log = InvalidationLog::new();
        let mut scopes = Vec::new();
        for step in &steps {
            if let Step::Invalidate(scope) = step
                && scopes.len() < 40
            {
                scopes.push(*scope);
                log_scope(&log, scope);
            }
        }
        let begin = begin.min(scopes.len() as u64);
        for step in &steps {
            if let Step::Fill(entry) = step {
                let tlb = Tlb::new(TlbShape::Unbounded).unwrap();
                let covered = scopes[begin as usize..].iter().any(|scope| scope.covers(entry));
                let fill = tlb.fill(entry, smmu_arch::Epoch(begin), &log);
                prop_assert_eq!(fill == Fill::Overtaken, covered);
                prop_assert_eq!(tlb.is_empty(), covered);
            }
        }
    }

    /// A copy goes on as the original would have.
    #[test]
    fn a_copy_behaves_like_the_original(
        geometry in geometry(), before in steps(), after in steps()
    ) {
        let log = InvalidationLog::new();
        let original = Tlb::new(geometry.into()).unwrap();
        let mut contexts: Vec<Context> = spaces().into_iter().map(Context::new).collect();
        for step in &before {
            apply(&original, &mut contexts, &log, step);
        }
        let copy = original.clone();
        let answers = after.iter().map(|step| apply(&original, &mut contexts, &log, step));
        let answers: Vec<String> = answers.collect();
        for (step, answer) in after.iter().zip(answers) {
            prop_assert_eq!(apply(&copy, &mut contexts, &log, step), answer);
        }
    }

    #[test]
    fn a_configuration_cache_is_a_queue_of_keys(
        capacity in prop_oneof![Just(None), (1..6u32).prop_map(Some)],
        steps in prop::collection::vec(config_step(), 1..80),
    ) {
        let cache = capacity.map_or_else(ConfigCache::unbounded, ConfigCache::new);
        let log = InvalidationLog::new();
        let mut queue: Vec<ConfigEntry> = Vec::new();
        for step in steps {
            let generation = cache.generation();
            let before = queue.clone();
            match step {
                ConfigStep::Fill(entry) => {
                    let evicted = fill_queue(&mut queue, capacity, &entry);
                    prop_assert_eq!(
                        cache.fill(&entry, log.now(), &log),
                        ConfigFill::Filled { evicted }
                    );
                }
                ConfigStep::Invalidate(scope) => {
                    queue.retain(|entry| !scope.covers(&entry.key));
                    prop_assert_eq!(cache.invalidate(&scope) as usize, before.len() - queue.len());
                }
            }
            prop_assert_eq!(cache.len() as usize, queue.len());
            for entry in &before {
                let held = cache.look_up(&entry.key);
                prop_assert_eq!(held, queue.iter().find(|e| e.key == entry.key).copied());
                // A private copy is only used while the generation stands still.
                prop_assert!(held == Some(*entry) || cache.generation() != generation);
            }
        }
    }
}

fn apply(tlb: &Tlb, contexts: &mut [Context], log: &InvalidationLog, step: &Step) -> String {
    match step {
        Step::Fill(entry) => format!("{:?}", tlb.fill(entry, log.now(), log)),
        Step::LookUp { space, input } => {
            format!("{:?}", tlb.look_up(&mut contexts[*space], *input))
        }
        Step::Invalidate(scope) => format!("{:?}", tlb.invalidate(scope)),
    }
}

#[derive(Clone, Debug)]
enum ConfigStep {
    Fill(ConfigEntry),
    Invalidate(ConfigScope),
}

fn fill_queue(
    queue: &mut Vec<ConfigEntry>,
    capacity: Option<u32>,
    entry: &ConfigEntry,
) -> Option<ConfigKey> {
    if let Some(old) = queue.iter_mut().find(|old| old.key == entry.key) {
        *old = *entry;
        return None;
    }
    let full = capacity.is_some_and(|capacity| queue.len() == capacity as usize);
    let evicted = full.then(|| queue.remove(0).key);
    queue.push(*entry);
    evicted
}

fn config_step() -> impl Strategy<Value = ConfigStep> {
    let stream = prop_oneof![4 => 0..6u32, 1 => any::<u32>()].prop_map(StreamId);
    let substream = prop_oneof![4 => 0..3u32, 1 => 0..1u32 << 20].prop_map(SubstreamId);
    let key = prop_oneof![
        stream.clone().prop_map(ConfigKey::Ste),
        (stream.clone(), substream.clone()).prop_map(|(sid, ssid)| ConfigKey::Cd(sid, ssid)),
    ];
    let entry = (key, 0..3u64).prop_map(|(key, word)| ConfigEntry {
        key,
        words: [word; 8],
        pa: Pa(0x1000 + word * 64),
    });
    let scope = prop_oneof![
        Just(ConfigScope::All),
        (stream.clone(), any::<bool>())
            .prop_map(|(stream, leaf)| ConfigScope::Ste { stream, leaf }),
        (stream.clone(), 1..=31u8).prop_map(|(first, log2)| ConfigScope::SteRange { first, log2 }),
        (stream.clone(), substream, any::<bool>())
            .prop_map(|(stream, substream, leaf)| ConfigScope::Cd { stream, substream, leaf }),
        stream.prop_map(|stream| ConfigScope::CdAll { stream }),
    ];
    prop_oneof![4 => entry.prop_map(ConfigStep::Fill), 1 => scope.prop_map(ConfigStep::Invalidate)]
}
