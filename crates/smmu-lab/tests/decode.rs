//! Words and what they mean.

use proptest::prelude::*;
use smmu_lab::decode::{BadWords, Decoded, Structure, decode, words};

fn of(structure: Structure, texts: &[&str]) -> Decoded {
    let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
    decode(structure, &words(structure, &texts).unwrap())
}

fn field<'a>(decoded: &'a Decoded, name: &str) -> (u64, &'a str) {
    let found = decoded.fields.iter().find(|field| field.name == name);
    found.map(|field| (field.value, field.meaning.as_str())).unwrap()
}

/// F_TRANSLATION of stream 3: a read of 0x4000_1000 that stage 2 refused.
const TRANSLATION: [&str; 4] = ["0x0000000300000010", "28800000000", "40001000", "0x40001000"];

#[test]
fn an_event_is_named_and_its_fields_explained() {
    let event = of(Structure::Event, &TRANSLATION);
    assert_eq!(event.name, "F_TRANSLATION");
    assert_eq!(field(&event, "StreamID"), (3, "StreamID"));
    assert_eq!(field(&event, "CLASS").1, "IN: the input address of the stage itself");
    assert_eq!(field(&event, "RnW"), (1, "read"));
    assert_eq!(field(&event, "S2"), (1, "stage 2"));
    assert_eq!(field(&event, "InputAddr").1, "address 0x40001000");
    assert_eq!(field(&event, "IPA").1, "address 0x40001000");
    assert!(event.problems.is_empty());
}

#[test]
fn words_may_be_32_bits_wide_and_written_as_in_a_log() {
    let halves = ["0x10,0x3,", "0x00000000 0x288", "40001000", "0", "[40001000, 0]"];
    assert_eq!(of(Structure::Event, &halves), of(Structure::Event, &TRANSLATION));
}

#[test]
fn a_command_is_named_also_where_it_is_illegal() {
    let command = of(Structure::Command, &["0x0007000500000011", "0"]);
    assert_eq!(command.summary.as_deref(), Some("CMD_TLBI_NH_ASID vmid=0x5 asid=0x7"));
    assert_eq!(field(&command, "ASID").0, 7);
    let illegal = of(Structure::Command, &["ff", "0"]);
    assert_eq!((illegal.name.as_str(), illegal.fields.len()), ("command 0xff", 0));
    assert!(illegal.problems[0].starts_with("CERROR_ILL"), "{:?}", illegal.problems);
}

#[test]
fn an_ste_is_held_against_the_reference() {
    let ste = of(Structure::Ste, &["d", "0", "0", "0", "0", "0", "0", "0"]);
    assert_eq!(field(&ste, "Config"), (6, "stage 1 bypass, stage 2 translate"));
    assert!(!ste.problems.is_empty());
    let bypass = of(Structure::Ste, &["9", "0", "0", "0", "0", "0", "0", "0"]);
    assert_eq!(bypass.problems, [""; 0]);
}

#[test]
fn a_cd_shows_its_asid() {
    let cd = of(Structure::Cd, &["002a000080000000", "0", "0", "0", "0", "0", "0", "0"]);
    assert_eq!(field(&cd, "ASID").0, 0x2a);
    assert_eq!(field(&cd, "V").0, 1);
}

#[test]
fn bad_words_are_refused_with_a_remedy() {
    let read = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        words(Structure::Command, &texts).unwrap_err()
    };
    assert_eq!(read(&["zz", "0"]), BadWords::NoNumber("zz".to_owned()));
    assert_eq!(read(&["+1", "0"]), BadWords::NoNumber("+1".to_owned()));
    assert!(read(&["1"]).remedy().contains("2 words of 64 bits or 4 of 32 bits"));
    assert_eq!(read(&["1", "1", "100000000", "1"]), BadWords::TooWide("100000000".to_owned()));
}

#[test]
fn every_field_has_a_meaning() {
    let structures = [
        decode(Structure::Ste, &[0; 8]),
        decode(Structure::Cd, &[0; 8]),
        of(Structure::Event, &TRANSLATION),
        of(Structure::Command, &["0x0007000500000012", "0"]),
    ];
    for decoded in structures {
        for field in &decoded.fields {
            assert!(!field.meaning.is_empty(), "{} {}", decoded.name, field.name);
        }
    }
}

proptest! {
    #[test]
    fn any_words_are_explained(given in prop::collection::vec(any::<u64>(), 8), id in any::<u8>()) {
        for structure in [Structure::Event, Structure::Command, Structure::Ste, Structure::Cd] {
            let mut given = given.clone();
            given[0] = (given[0] & !0xff) | u64::from(id);
            let decoded = decode(structure, &given);
            prop_assert!(!decoded.name.is_empty());
            prop_assert!(decoded.fields.iter().all(|field| field.msb >= field.lsb));
            prop_assert!(decoded.to_json()["fields"].is_array());
        }
    }
}
