//! A litmus test that cannot be read is refused with line, column and remedy.

use smmu_explore::Litmus;

/// The message and the remedy for a text.
fn refused(text: &str) -> (String, String) {
    let error = Litmus::parse("bad.litmus", text).unwrap_err();
    (error.to_string(), error.remedy().unwrap_or_default().to_owned())
}

const WORLD: &str = "page A\nspace S asid 1 { map 0x1000 -> A }\ndevice nic uses S\n";

#[test]
fn a_misspelt_name_gets_a_suggestion() {
    let (what, remedy) = refused(&format!("{WORLD}cpu {{ store pte[T, 0x1000] = invalid }}\n"));
    assert_eq!(what, "bad.litmus:4:17: no space is named `T`");
    assert!(remedy.contains('S'), "{remedy}");
    let (what, remedy) = refused("pages A\n");
    assert_eq!(what, "bad.litmus:1:1: no declaration is named `pages`");
    assert!(remedy.contains("page"), "{remedy}");
}

#[test]
fn what_is_missing_is_named_where_it_should_stand() {
    assert_eq!(refused("space S asid { }\n").0, "bad.litmus:1:14: a number is missing");
    assert_eq!(refused("page A extra\n").0, "bad.litmus:1:8: the line goes on where it should end");
    assert_eq!(refused("title \"no end\n").0, "bad.litmus:1:7: this text does not end");
    assert_eq!(refused(WORLD).0, "bad.litmus:4:1: the test is not complete");
    assert_eq!(refused("cpu {\n sync\n").0, "bad.litmus:3:1: `}` is missing");
}

#[test]
fn numbers_have_a_range_and_pages_a_size() {
    assert_eq!(
        refused("space S asid 65536 { }\n").0,
        "bad.litmus:1:14: this number is out of range"
    );
    assert_eq!(refused("page A 64K\n").0, "bad.litmus:1:8: no leaf has this size");
    assert_eq!(refused("page A 0xg\n").0, "bad.litmus:1:8: `0xg` is no number of 64 bits");
    let misaligned = refused("page A 2M\nspace S asid 1 { map 0x1000 -> A }\n").0;
    assert!(misaligned.contains("0x1000 is not aligned to the page"), "{misaligned}");
}

#[test]
fn a_cd_is_stored_only_where_there_is_one() {
    let text = "page A\nspace G vmid 3 { map 0x1000 -> A }\ndevice nic uses G\n\
                cpu { store cd[nic] = invalid }\n";
    assert_eq!(refused(text).0, "bad.litmus:4:16: wanted: a device with a CD");
}

#[test]
fn a_broadcast_is_of_translations() {
    let (what, _) = refused(&format!("{WORLD}cpu {{ broadcast ste nic }}\n"));
    assert_eq!(what, "bad.litmus:4:17: no scope is named `ste`");
}
