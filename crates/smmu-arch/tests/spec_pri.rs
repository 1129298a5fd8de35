//! Holds the PRI queue record against `spec/pri.toml`.

use proptest::prelude::*;
use serde::Deserialize;
use smmu_arch::{Iova, PageRequest, PriResponse, StreamId, SubstreamId};

#[derive(Deserialize)]
struct Sheet {
    field: Vec<FieldRow>,
    prg_response: Vec<Response>,
}

#[derive(Deserialize)]
struct FieldRow {
    name: String,
    msb: u16,
    lsb: u16,
}

#[derive(Deserialize)]
struct Response {
    code: u8,
    name: String,
}

fn sheet() -> Sheet {
    toml::from_str(include_str!("../../../spec/pri.toml")).expect("the sheet parses")
}

#[test]
fn every_field_is_shown_where_the_sheet_has_it() {
    let shown: Vec<_> = PageRequest::decode(&[0; 2])
        .fields()
        .into_iter()
        .map(|(field, _)| (field.name.to_owned(), field.msb, field.lsb))
        .collect();
    let mut listed: Vec<_> =
        sheet().field.into_iter().map(|field| (field.name, field.msb, field.lsb)).collect();
    listed.sort_by_key(|&(_, _, lsb)| lsb);
    assert_eq!(shown, listed);
}

#[test]
fn a_record_as_written_by_hand() {
    let request = PageRequest {
        stream: StreamId(0x89ab_cdef),
        substream: Some(SubstreamId(0x1_2345)),
        privileged: true,
        execute: false,
        read: true,
        write: false,
        last: true,
        group: 0x123,
        address: Iova(0xffff_8000_0000_1000),
    };
    // SSV 63, Last 62, R 60, Priv 58.
    let words = [0xd401_2345_89ab_cdef, 0xffff_8000_0000_1123];
    assert_eq!(request.encode(), words);
    assert_eq!(PageRequest::decode(&words), request);
    assert_eq!(
        request.to_string(),
        "page request stream=0x89abcdef substream=0x12345 r-- address=0xffff800000001000 \
         group=0x123 last"
    );
}

#[test]
fn a_stop_marker_has_a_pasid_and_wants_nothing() {
    let stop = PageRequest::decode(&[1 << 63 | 1 << 62, 0]);
    assert!(stop.is_stop_marker());
    assert!(!PageRequest { read: true, ..stop }.is_stop_marker());
    assert!(!PageRequest { substream: None, ..stop }.is_stop_marker());
    assert!(!PageRequest { last: false, ..stop }.is_stop_marker());
}

#[test]
fn response_codes_are_those_of_the_sheet() {
    for row in sheet().prg_response {
        let response = match row.name.as_str() {
            "Success" => PriResponse::Success,
            "Invalid Request" => PriResponse::InvalidRequest,
            "Response Failure" => PriResponse::ResponseFailure,
            other => panic!("response '{other}'"),
        };
        assert_eq!(response.code(), row.code);
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_again(words in any::<[u64; 2]>()) {
        let request = PageRequest::decode(&words);
        prop_assert_eq!(PageRequest::decode(&request.encode()), request);
    }
}
