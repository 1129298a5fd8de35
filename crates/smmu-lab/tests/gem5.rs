//! gem5's counts come out to the last hit.
//!
//! `data/gem5-hits.json` was made by gem5 v24.0.0.1's smmu_v3_caches.cc, compiled alone.

use sha2::{Digest, Sha256};
use smmu_lab::study::gem5::load_rows;
use smmu_lab::study::workload::Stream;
use std::collections::BTreeMap;

const ROWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/gem5-hits.json");

#[test]
fn every_row_is_equal() {
    let rows = load_rows(ROWS.as_ref()).expect("rows");
    assert_eq!(rows.rows.len(), 36);
    let counted = rows.run().expect("known names");
    for (row, counted) in rows.rows.iter().zip(&counted) {
        assert!(row.counts.len() >= 4, "{row:?}");
        assert_eq!(row.differences(counted), [], "{} {} {}", row.stream, row.cache, row.policy);
    }
}

#[test]
fn the_streams_are_those_that_were_counted() {
    let text = std::fs::read_to_string(ROWS).expect("rows");
    let file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let streams: BTreeMap<String, serde_json::Value> =
        serde_json::from_value(file["streams"].clone()).expect("streams");
    assert_eq!(streams.len(), 3);
    for (name, about) in streams {
        let words = Stream::named(&name).expect("known").accesses();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let digest: String =
            Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(about["sha256"], digest.as_str(), "{name}");
    }
}
