//! Presets: named SMMUs under a machine file, as data files with the source of every value.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use smmu_arch::IdRegisters;

use crate::Path;
use crate::file::{
    CacheBlueprint, ConfigCache, HierarchyBlueprint, IdOverrides, MainTlb, Prefetch,
    SetAssociative, Smmu, Tlb, TlbBlueprint, WalkCaches, cache_over, tlb_over, with_overrides,
};

/// The preset under a machine that names none.
pub const DEFAULT: &str = "reference";
/// The preset whose ID registers are taken verbatim.
pub const QEMU: &str = "qemu";

/// The preset that a driver is checked on.
pub const ADVERSARY: &str = "adversary";

/// The data files, in the order in which they are listed.
const FILES: [(&str, &str); 9] = [
    ("reference", include_str!("../presets/reference.toml")),
    ("ideal", include_str!("../presets/ideal.toml")),
    ("adversary", include_str!("../presets/adversary.toml")),
    ("mmu-700-like", include_str!("../presets/mmu-700-like.toml")),
    ("mmu-600-like", include_str!("../presets/mmu-600-like.toml")),
    ("gem5-default", include_str!("../presets/gem5-default.toml")),
    ("hypersio", include_str!("../presets/hypersio.toml")),
    ("intel-like-120", include_str!("../presets/intel-like-120.toml")),
    ("qemu", include_str!("../presets/qemu.toml")),
];

static PRESETS: LazyLock<Vec<Preset>> =
    LazyLock::new(|| FILES.iter().map(|(name, text)| Preset::parse(name, text)).collect());

/// A named SMMU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preset {
    /// Name.
    pub name: &'static str,
    /// What it is, in a line.
    pub title: String,
    /// What it is for and what it is not.
    pub description: String,
    /// ID registers.
    pub ids: IdRegisters,
    /// Main TLB.
    pub tlb: TlbBlueprint,
    /// What is around it.
    pub hierarchy: HierarchyBlueprint,
    /// STE cache.
    pub ste_cache: CacheBlueprint,
    /// CD cache.
    pub cd_cache: CacheBlueprint,
    /// Where each value comes from, or that it is assumed; by dotted key of the machine file.
    pub sources: BTreeMap<String, String>,
    /// The data file, with its comments.
    pub text: &'static str,
}

/// The data file of a preset: the keys of `[[smmu]]`, and a source for each.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PresetFile {
    title: String,
    description: String,
    id: IdOverrides,
    micro_tlb: Option<Tlb>,
    tlb: Tlb,
    main_tlb: Option<MainTlb>,
    prefetch: Option<Prefetch>,
    ipa_tlb: Option<Tlb>,
    #[serde(default)]
    walk_cache: WalkCaches,
    ste_cache: ConfigCache,
    cd_cache: ConfigCache,
    source: BTreeMap<String, String>,
}

/// All presets, in the order in which they are listed.
#[must_use]
pub fn all() -> &'static [Preset] {
    &PRESETS
}

/// The preset of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Preset> {
    all().iter().find(|preset| preset.name == name)
}

/// The preset under a machine that names none.
pub(crate) fn reference() -> &'static Preset {
    &PRESETS[0]
}

/// The preset that a driver is checked on.
pub(crate) fn adversary() -> &'static Preset {
    find(ADVERSARY).unwrap_or(reference())
}

/// The ID registers that are taken verbatim.
pub(crate) fn qemu_ids() -> IdRegisters {
    IdRegisters::QEMU_NESTED
}

/// What a preset lies over: nothing announced, no room in any structure.
const NOTHING: TlbBlueprint = TlbBlueprint::SetAssociative(SetAssociative::new(0, 0));

impl Preset {
    /// The values of the data file by dotted key, as they stand there.
    #[must_use]
    pub fn values(&self) -> BTreeMap<String, toml::Value> {
        let table: toml::Table = self.text.parse().unwrap_or_default();
        let mut values = BTreeMap::new();
        let about = ["title", "description", "source"];
        for (part, keys) in table.iter().filter(|(part, _)| !about.contains(&part.as_str())) {
            if !keys.is_table() {
                values.insert(part.clone(), keys.clone());
            }
            collect(part, keys, &mut values);
        }
        values
    }

    /// The preset as data: name, title, description, and every value with its source.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let values: serde_json::Map<String, serde_json::Value> = self
            .values()
            .into_iter()
            .map(|(key, value)| {
                let source = self.sources.get(&key);
                let value = serde_json::json!({ "value": value, "source": source });
                (key, value)
            })
            .collect();
        serde_json::json!({
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "values": values,
        })
    }

    /// The files are compiled in and tested: one that cannot be read is our mistake.
    fn parse(name: &'static str, text: &'static str) -> Self {
        let file: PresetFile = toml::from_str(text).expect("a preset is a valid file");
        let mut problems = Vec::new();
        let ids = with_overrides(IdRegisters::default(), &file.id, &Path::root(), &mut problems);
        Self {
            name,
            title: file.title,
            description: file.description,
            ids,
            tlb: tlb_over(NOTHING, &file.tlb),
            hierarchy: HierarchyBlueprint::default().with(&Smmu {
                micro_tlb: file.micro_tlb,
                tlb: file.tlb,
                main_tlb: file.main_tlb,
                prefetch: file.prefetch,
                ipa_tlb: file.ipa_tlb,
                walk_cache: file.walk_cache,
                ..Smmu::default()
            }),
            ste_cache: cache_over(CacheBlueprint::Entries(0), file.ste_cache),
            cd_cache: cache_over(CacheBlueprint::Entries(0), file.cd_cache),
            sources: file.source,
            text,
        }
    }
}

/// Every value of a table, its key dotted.
fn collect(path: &str, table: &toml::Value, values: &mut BTreeMap<String, toml::Value>) {
    for (key, value) in table.as_table().into_iter().flatten() {
        let path = format!("{path}.{key}");
        match value {
            toml::Value::Table(_) => collect(&path, value, values),
            _ => drop(values.insert(path, value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MachineFile;

    #[test]
    fn every_preset_makes_a_machine_that_is_valid() {
        for preset in all() {
            let blueprint = MachineFile::of_preset(preset.name).blueprint();
            assert_eq!(blueprint.map(|b| b.smmus[0].ids), Ok(preset.ids), "{}", preset.name);
        }
    }

    #[test]
    fn every_value_has_a_source_and_every_source_a_value() {
        for preset in all() {
            let values: Vec<_> = preset.values().into_keys().collect();
            let sources: Vec<_> = preset.sources.keys().cloned().collect();
            assert_eq!(values, sources, "{}", preset.name);
        }
    }

    #[test]
    fn the_words_are_those_of_the_architecture_crate() {
        assert_eq!(find("reference").unwrap().ids, IdRegisters::REFERENCE);
        assert_eq!(find(QEMU).unwrap().ids, IdRegisters::QEMU_NESTED);
        assert_eq!(reference().name, DEFAULT);
    }

    #[test]
    fn the_machine_of_the_replayed_cases_forgets_nothing_by_itself() {
        let machine = MachineFile::of_preset(QEMU).blueprint().unwrap();
        let smmu = &machine.smmus[0];
        assert_eq!(smmu.tlb, TlbBlueprint::UnboundedByAsid);
        assert_eq!([smmu.ste_cache, smmu.cd_cache], [CacheBlueprint::Unbounded; 2]);
    }

    #[test]
    fn any_machine_can_be_moved_onto_the_adversary() {
        let adversary = MachineFile::of_preset(ADVERSARY).blueprint().unwrap();
        let moved = MachineFile::of_preset("ideal").blueprint().unwrap().on_adversary();
        assert_eq!(moved, adversary);
    }
}
