//! Counts that gem5's own code gave, and whether they come out here.

use super::{
    Class, Counts, Gem5Policy, Hierarchy, HierarchyCounts, INTERFACE_TLB, IPA_CACHE, SMMU_TLB,
    UTLB, run_cache,
};
use crate::study::trace::{Ids, packed};
use crate::study::workload::Stream;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use thiserror::Error;

/// A file of rows that cannot be used.
#[derive(Debug, Error)]
pub enum RowError {
    /// It cannot be read.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// It is no JSON of rows.
    #[error("{0}: {1}")]
    Json(String, serde_json::Error),
    /// A row names what is not known.
    #[error("row {index}: there is no {what} `{name}`")]
    Unknown {
        /// Number of the row, from 1.
        index: usize,
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
}

/// A file of rows.
#[derive(Deserialize, Debug)]
pub struct Rows {
    /// The rows.
    pub rows: Vec<Row>,
}

/// One cache or hierarchy over one stream, and what gem5 counted.
#[derive(Deserialize, Debug)]
pub struct Row {
    /// Name of the stream.
    pub stream: String,
    /// Name of the cache or hierarchy.
    pub cache: String,
    /// Name of the policy.
    pub policy: String,
    /// Which VMIDs and ASIDs the contexts have.
    pub ids: String,
    /// Everything that was counted.
    #[serde(flatten)]
    pub counts: Map<String, Value>,
}

/// Reads a file of rows.
///
/// # Errors
/// The file cannot be read, or is no JSON of rows.
pub fn load_rows(path: &Path) -> Result<Rows, RowError> {
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|error| RowError::File(name.clone(), error))?;
    serde_json::from_str(&text).map_err(|error| RowError::Json(name, error))
}

/// What a row names.
enum Subject {
    Cache(Class),
    Hierarchy { smmu_tlb: bool },
}

fn subject(name: &str) -> Option<Subject> {
    Some(match name {
        "uTLB_32_full" => Subject::Cache(UTLB),
        "ifcTLB_2048_4w" => Subject::Cache(INTERFACE_TLB),
        "smmuTLB_2048_4w" => Subject::Cache(SMMU_TLB),
        "ipaCache_128_4w" => Subject::Cache(IPA_CACHE),
        "hier_s1_4k_default" => Subject::Hierarchy { smmu_tlb: false },
        "hier_s1_4k_smmuTLB_on" => Subject::Hierarchy { smmu_tlb: true },
        _ => return None,
    })
}

impl Rows {
    /// Runs every row; gives for each what was counted here, under the names of its counts.
    ///
    /// # Errors
    /// A row names a stream, cache, policy or identifiers that are not known.
    pub fn run(&self) -> Result<Vec<Map<String, Value>>, RowError> {
        let mut streams = BTreeMap::new();
        let rows = self.rows.iter().enumerate();
        rows.map(|(index, row)| row.run(index + 1, &mut streams)).collect()
    }
}

impl Row {
    /// Accesses are made once for all rows of a stream.
    fn run<'a>(
        &'a self,
        index: usize,
        streams: &mut BTreeMap<&'a str, Vec<u32>>,
    ) -> Result<Map<String, Value>, RowError> {
        let unknown = |what, name: &str| RowError::Unknown { index, what, name: name.to_owned() };
        let policy =
            Gem5Policy::named(&self.policy).ok_or_else(|| unknown("policy", &self.policy))?;
        let subject = subject(&self.cache).ok_or_else(|| unknown("cache", &self.cache))?;
        let ids = Ids::named(&self.ids).ok_or_else(|| unknown("set of ids", &self.ids))?;
        let stream = Stream::named(&self.stream).ok_or_else(|| unknown("stream", &self.stream))?;
        let words = streams.entry(&self.stream).or_insert_with(|| stream.accesses());
        let accesses = words.iter().map(|&word| packed::access(word, ids));
        let mut counted = match subject {
            Subject::Cache(class) => json_of(&run_cache(class, policy, accesses)),
            Subject::Hierarchy { smmu_tlb } => {
                let mut hierarchy = Hierarchy::new(policy, smmu_tlb);
                accesses.for_each(|access| hierarchy.refer(&access));
                hierarchy.counts.to_json()
            }
        };
        counted.insert("accesses".to_owned(), words.len().into());
        Ok(counted)
    }

    /// Counts that are not as gem5 has them: name, gem5's, ours.
    #[must_use]
    pub fn differences(&self, counted: &Map<String, Value>) -> Vec<(String, Value, Value)> {
        let differ = self.counts.iter().filter(|(name, value)| counted.get(*name) != Some(value));
        let ours = |name: &str| counted.get(name).cloned().unwrap_or(Value::Null);
        differ.map(|(name, value)| (name.clone(), value.clone(), ours(name))).collect()
    }
}

fn json_of(counts: &Counts) -> Map<String, Value> {
    object(json!({
        "hits": counts.hits,
        "misses": counts.misses,
        "insertions": counts.insertions,
        "hit_index_fnv64": counts.hit_index_fnv64.0,
    }))
}

impl HierarchyCounts {
    /// The counts by the names that the rows have.
    pub(crate) fn to_json(self) -> Map<String, Value> {
        object(json!({
            "utlb_hits": self.utlb_hits,
            "ifctlb_hits": self.ifctlb_hits,
            "cfg_hits": self.cfg_hits,
            "smmutlb_hits": self.smmutlb_hits,
            "walk_l2_lookups": self.walk_lookups[2],
            "walk_l2_hits": self.walk_hits[2],
            "walk_l1_lookups": self.walk_lookups[1],
            "walk_l1_hits": self.walk_hits[1],
            "walk_l0_lookups": self.walk_lookups[0],
            "walk_l0_hits": self.walk_hits[0],
            "pte_fetches": self.pte_fetches,
        }))
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
