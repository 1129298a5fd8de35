//! The tables of `spec/`, and what every layout has to keep.

// Each test binary uses a part of this module.
#![allow(dead_code)]

use serde::Deserialize;
use serde::de::DeserializeOwned;
use smmu_arch::FieldInfo;

/// A field row.
#[derive(Deserialize, Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) msb: u16,
    pub(crate) lsb: u16,
    pub(crate) word64: Option<u16>,
    pub(crate) wmsb: Option<u16>,
    pub(crate) wlsb: Option<u16>,
    #[serde(default)]
    pub(crate) meaning: String,
}

/// A legality row.
#[derive(Deserialize, Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
}

/// Loads `spec/NAME`.
pub(crate) fn load<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/../../spec/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the table is in the workspace");
    toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The code's fields are exactly the rows, position by position.
pub(crate) fn assert_same_fields(what: &str, rows: &[Field], fields: &[FieldInfo]) {
    let mut expected: Vec<_> = rows.iter().map(|r| (r.lsb, r.msb, r.name.as_str())).collect();
    expected.sort_unstable();
    let actual: Vec<_> = fields.iter().map(|f| (f.lsb, f.msb, f.name)).collect();
    assert_eq!(actual, expected, "{what}");
    for row in rows {
        let Some(word) = row.word64 else { continue };
        assert_eq!(row.wmsb, Some(row.msb - 64 * word), "{what}.{}", row.name);
        assert_eq!(row.wlsb, Some(row.lsb - 64 * word), "{what}.{}", row.name);
    }
}

/// Every row is a rule of the code or is left out with a reason, and never both.
pub(crate) fn assert_rules_covered(rows: &[Rule], ids: &[&str], left_out: &[(&str, &str)]) {
    let rows: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    for row in &rows {
        let listed = left_out.iter().any(|(id, reason)| id == row && !reason.is_empty());
        assert!(ids.contains(row) != listed, "{row}: either a rule or left out");
    }
    for id in ids.iter().chain(left_out.iter().map(|(id, _)| id)) {
        assert!(rows.contains(id), "{id} is not in the table");
    }
}

/// A structure of eight words with all bits of one field set.
pub(crate) fn only(field: FieldInfo) -> [u64; 8] {
    let mut words = [0; 8];
    words[field.word()] = field.mask();
    words
}

/// Sets each field alone and expects it, and no other, in the values.
pub(crate) fn assert_each_field_alone(
    fields: &[FieldInfo],
    values: impl Fn(&[u64; 8]) -> Vec<u64>,
) {
    for (index, field) in fields.iter().enumerate() {
        let words = only(*field);
        let mut expected = vec![0; fields.len()];
        expected[index] = field.extract(&words);
        assert_eq!(expected[index], u64::MAX >> (64 - field.width()), "{}", field.name);
        assert_eq!(values(&words), expected, "{}", field.name);
        let others = words.map(|word| !word);
        assert_eq!(values(&others)[index], 0, "{}", field.name);
    }
}
