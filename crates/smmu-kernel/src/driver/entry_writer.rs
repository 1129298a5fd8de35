//! Rewriting an entry that the SMMU may read at any moment.
//!
//! Architecture: section "Configuration structure invalidation". A 64-byte entry is seen word by
//! word, in any order, and old words may be cached. The plan below keeps every state that can be
//! seen legal: the old entry, the new one, or one with V = 0. It is *hitless* where the bits in use
//! differ in one word only.

use smmu_arch::{CdWords, FieldInfo, SteWords, StreamConfig};

/// An entry: eight little-endian words.
pub(crate) type Words = [u64; 8];

/// One step of a rewrite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// One word is stored.
    Store {
        /// Word, 0 to 7.
        word: usize,
        /// Value.
        value: u64,
    },
    /// The entry is invalidated in the caches, and that is waited for.
    Sync,
}

/// What kind of entry is rewritten: where V stands and which bits count.
pub(crate) struct EntryKind {
    /// Mask of V in word 0.
    pub(crate) valid: u64,
    /// The bits that the SMMU does not ignore in an entry.
    pub(crate) used: fn(&Words) -> Words,
}

/// The steps from `current` to `target`.
pub(crate) fn plan(kind: &EntryKind, current: &Words, target: &Words) -> Vec<Step> {
    let used_now = (kind.used)(current);
    let used_then = (kind.used)(target);
    // What can be stored at once without changing what the SMMU sees.
    let mut prepared = *current;
    let mut differing = Vec::new();
    for word in 0..8 {
        prepared[word] = current[word] & used_now[word] | target[word] & !used_now[word];
        if (prepared[word] ^ target[word]) & used_then[word] != 0 {
            differing.push(word);
        }
    }
    let mut plan = Plan { words: *current, steps: Vec::new() };
    match *differing {
        [] => plan.store(0..8, target),
        [critical] => {
            prepared[critical] = current[critical];
            plan.store(0..8, &prepared);
            plan.store(critical..critical + 1, target);
            plan.store(0..8, target);
        }
        _ => {
            let mut invalid = *current;
            invalid[0] &= !kind.valid;
            plan.store(0..1, &invalid);
            plan.store(1..8, target);
            plan.store(0..1, target);
        }
    }
    plan.steps
}

/// Whether the way from `current` to `target` passes through V = 0.
pub(crate) fn breaks(kind: &EntryKind, current: &Words, target: &Words) -> bool {
    current[0] & target[0] & kind.valid != 0
        && plan(kind, current, target)
            .iter()
            .any(|step| matches!(step, Step::Store { word: 0, value } if value & kind.valid == 0))
}

/// What a careless driver does (fault `ste-torn`): every word in order, then one invalidation.
pub(crate) fn torn_plan(current: &Words, target: &Words) -> Vec<Step> {
    let mut plan = Plan { words: *current, steps: Vec::new() };
    plan.store(0..8, target);
    plan.steps
}

struct Plan {
    words: Words,
    steps: Vec<Step>,
}

impl Plan {
    /// Stores the words of the range that differ, and syncs if any did.
    fn store(&mut self, range: std::ops::Range<usize>, target: &Words) {
        let before = self.steps.len();
        for word in range {
            if self.words[word] != target[word] {
                self.words[word] = target[word];
                self.steps.push(Step::Store { word, value: target[word] });
            }
        }
        if self.steps.len() != before {
            self.steps.push(Step::Sync);
        }
    }
}

/// Stream table entries.
pub(crate) const STE: EntryKind = EntryKind { valid: 1, used: ste_used };

/// Context descriptors.
pub(crate) const CD: EntryKind = EntryKind { valid: 1 << 31, used: cd_used };

#[rustfmt::skip]
const STAGE1_FIELDS: &[&str] = &[
    "S1Fmt", "S1ContextPtr", "S1CDMax", "S1DSS", "S1CIR", "S1COR", "S1CSH", "S1STALLD", "STRW",
    "EATS", "MEV", "PPAR", "S2VMID",
];
#[rustfmt::skip]
const STAGE2_FIELDS: &[&str] = &[
    "S2FWB", "EATS", "MEV", "PPAR", "S2VMID", "S2T0SZ", "S2SL0", "S2IR0", "S2OR0", "S2SH0", "S2TG",
    "S2PS", "S2AA64", "S2ENDI", "S2AFFD", "S2PTW", "S2HD", "S2HA", "S2S", "S2R", "S2TTB",
];
/// They matter in bypass and as the stage 1 result where stage 1 is bypassed.
const OVERRIDE_FIELDS: &[&str] =
    &["MTCFG", "MemAttr", "ALLOCCFG", "SHCFG", "PRIVCFG", "INSTCFG", "DRE", "DCP", "CONT"];
/// What EPD0 = 1 and EPD1 = 1 switch off.
const TABLE_FIELDS: [&[&str]; 2] = [
    &["T0SZ", "TG0", "IR0", "OR0", "SH0", "TBI0", "HAD0", "E0PD0", "TTB0"],
    &["T1SZ", "TG1", "IR1", "OR1", "SH1", "TBI1", "HAD1", "E0PD1", "TTB1"],
];

/// The bits of an STE that the SMMU does not ignore, by V and Config.
pub(crate) fn ste_used(words: &Words) -> Words {
    let decoded = SteWords::from_words(words);
    let mut used = bits(SteWords::FIELDS, &["V"]);
    if !decoded.v() {
        return used;
    }
    let mut add = |names| {
        for (word, more) in used.iter_mut().zip(bits(SteWords::FIELDS, names)) {
            *word |= more;
        }
    };
    add(&["Config"]);
    let config = StreamConfig::from_bits(decoded.config());
    if config != StreamConfig::Abort {
        add(OVERRIDE_FIELDS);
    }
    if config.has_stage1() {
        add(STAGE1_FIELDS);
    }
    if config.has_stage2() {
        add(STAGE2_FIELDS);
    }
    used
}

/// The bits of a CD that the SMMU does not ignore, by V and EPD.
pub(crate) fn cd_used(words: &Words) -> Words {
    let decoded = CdWords::from_words(words);
    if !decoded.v() {
        return bits(CdWords::FIELDS, &["V"]);
    }
    let mut used = [u64::MAX; 8];
    for (disabled, names) in [decoded.epd0(), decoded.epd1()].into_iter().zip(TABLE_FIELDS) {
        let ignored = bits(CdWords::FIELDS, names);
        if disabled {
            used.iter_mut().zip(ignored).for_each(|(word, mask)| *word &= !mask);
        }
    }
    used
}

/// The bits of named fields.
pub(super) fn bits(fields: &[FieldInfo], names: &[&str]) -> Words {
    let mut bits = [0; 8];
    for field in fields.iter().filter(|field| names.contains(&field.name)) {
        bits[field.word()] |= field.mask();
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smmu_arch::{Pa, Ste, Vmid};

    /// What the SMMU sees of an entry: its bits in use.
    fn seen(kind: &EntryKind, words: &Words) -> Words {
        let used = (kind.used)(words);
        std::array::from_fn(|word| words[word] & used[word])
    }

    /// Plays a plan and holds every state between two stores against the rule.
    fn check(kind: &EntryKind, old: &Words, new: &Words) -> usize {
        let mut words = *old;
        let (before, after) = (seen(kind, old), seen(kind, new));
        let mut syncs = 0;
        let mut settled = *old; // what a cache may still hold
        for step in plan(kind, old, new) {
            match step {
                Step::Store { word, value } => words[word] = value,
                Step::Sync => {
                    syncs += 1;
                    settled = words;
                }
            }
            // Any mixture of settled and new words may be read: the fetch is not atomic.
            for mask in 0..256u32 {
                let mixture: Words = std::array::from_fn(|word| {
                    if mask >> word & 1 != 0 { words[word] } else { settled[word] }
                });
                let now = seen(kind, &mixture);
                let invalid = mixture[0] & kind.valid == 0;
                assert!(now == before || now == after || invalid, "{mixture:x?} is neither");
            }
        }
        assert_eq!(words, *new);
        syncs
    }

    fn stage2(vmid: u16, ttb: u64, t0sz: u8) -> Words {
        let ste = Ste {
            valid: true,
            config: StreamConfig::Stage2,
            vmid: Vmid(vmid),
            s2_t0sz: t0sz,
            s2_aa64: true,
            s2_ttb: Pa(ttb).0,
            ..Ste::default()
        };
        ste.encode()
    }

    fn with_config(config: StreamConfig) -> Words {
        Ste { valid: true, config, ..Ste::default() }.encode()
    }

    #[test]
    fn abort_to_stage_2_is_hitless() {
        let (old, new) = (with_config(StreamConfig::Abort), stage2(5, 0x4000_0000, 16));
        assert!(!breaks(&STE, &old, &new));
        // Fields that are ignored first, then the word with Config.
        assert_eq!(check(&STE, &old, &new), 2);
        assert!(!breaks(&STE, &new, &old));
        check(&STE, &new, &old);
    }

    #[test]
    fn bypass_to_stage_1_is_hitless() {
        let old = with_config(StreamConfig::Bypass);
        let new = Ste {
            valid: true,
            config: StreamConfig::Stage1,
            s1_context_ptr: 0x8000_0000,
            s1_cir: 1,
            ..Ste::default()
        };
        assert!(!breaks(&STE, &old, &new.encode()));
    }

    #[test]
    fn a_new_table_under_the_same_size_is_hitless_and_with_another_size_breaks() {
        let old = stage2(5, 0x4000_0000, 16);
        assert!(!breaks(&STE, &old, &stage2(5, 0x5000_0000, 16)));
        assert!(!breaks(&STE, &old, &stage2(6, 0x4000_0000, 16)));
        let new = stage2(6, 0x5000_0000, 24);
        assert!(breaks(&STE, &old, &new));
        assert_eq!(check(&STE, &old, &new), 3);
    }

    #[test]
    fn a_torn_rewrite_shows_a_mixture() {
        let (old, new) = (stage2(5, 0x4000_0000, 16), stage2(6, 0x5000_0000, 24));
        let steps = torn_plan(&old, &new);
        let Some(Step::Store { word: 2, value }) = steps.first() else { panic!("{steps:?}") };
        let mut mixture = old;
        mixture[2] = *value;
        assert!(mixture[0] & 1 == 1 && mixture != old && mixture != new);
    }

    prop_compose! {
        /// An STE as this driver writes them: bits that its Config ignores are zero.
        fn any_ste()(
            config in prop::sample::select(vec![
                StreamConfig::Abort, StreamConfig::Bypass, StreamConfig::Stage1,
                StreamConfig::Stage2, StreamConfig::Nested,
            ]),
            valid: bool, vmid in 0u16..3, t0sz in 16u8..19, ttb in 0u64..3, context in 0u64..3,
        ) -> Words {
            let words = Ste {
                valid, config, vmid: Vmid(vmid), s2_t0sz: t0sz, s2_ttb: ttb << 12,
                s1_context_ptr: context << 6, s2_aa64: true, ..Ste::default()
            }.encode();
            seen(&STE, &words)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_state_of_a_rewrite_is_old_new_or_invalid(old in any_ste(), new in any_ste()) {
            check(&STE, &old, &new);
        }
    }
}
