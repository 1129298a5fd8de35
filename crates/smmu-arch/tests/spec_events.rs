//! Holds the event records against `spec/events.toml`: every number, name and field position,
//! and the records of faults.

use proptest::prelude::*;
use serde::Deserialize;
use smmu_arch::{
    Access, Direction, Event, EventKind, Fault, FaultClass, Iova, Ipa, Pa, Stage, StageEvent,
    StageFault, StageFaultKind, StreamId, SubstreamId, Transaction, UnknownEvent, WalkAbortEvent,
};
use smmu_testpoint::testpoint;

#[derive(Deserialize)]
struct Sheet {
    meta: Meta,
    event: Vec<Row>,
}

#[derive(Deserialize)]
struct Meta {
    common_header: Vec<FieldRow>,
    stallable: Vec<u8>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    id: u8,
    id_last: Option<u8>,
    stall: bool,
    header: Vec<String>,
    fields: Vec<FieldRow>,
}

#[derive(Deserialize, Clone)]
struct FieldRow {
    name: String,
    msb: u16,
    lsb: u16,
}

fn sheet() -> Sheet {
    toml::from_str(include_str!("../../../spec/events.toml")).expect("the sheet parses")
}

impl Sheet {
    /// Every field of a record, header included.
    fn fields(&self, row: &Row) -> Vec<FieldRow> {
        let header = self.meta.common_header.iter().filter(|f| row.header.contains(&f.name));
        header.chain(&row.fields).cloned().collect()
    }
}

/// The record with this number and nothing else.
fn empty(row: &Row) -> [u64; 4] {
    [u64::from(row.id), 0, 0, 0]
}

fn with_bit(mut words: [u64; 4], bit: u16) -> [u64; 4] {
    words[usize::from(bit / 64)] |= 1 << (bit % 64);
    words
}

fn decode(words: [u64; 4]) -> Event {
    Event::decode(&words).unwrap_or_else(|error| panic!("{words:#x?}: {error}"))
}

#[test]
fn every_number_has_its_name() {
    for row in &sheet().event {
        for id in row.id..=row.id_last.unwrap_or(row.id) {
            let event = decode([u64::from(id), 0, 0, 0]);
            assert_eq!((event.name(), event.id()), (row.name.as_str(), id));
        }
    }
}

#[test]
fn a_number_that_no_row_has_is_unknown() {
    let sheet = sheet();
    let known = |id| sheet.event.iter().any(|r| (r.id..=r.id_last.unwrap_or(r.id)).contains(&id));
    for id in (0..=255).filter(|&id| !known(id)) {
        assert_eq!(Event::decode(&[u64::from(id), 0, 0, 0]), Err(UnknownEvent::Number(id)));
    }
}

#[test]
fn every_field_is_shown_where_the_sheet_has_it() {
    let sheet = sheet();
    for row in &sheet.event {
        let shown: Vec<_> = decode(empty(row))
            .fields()
            .into_iter()
            .map(|(field, _)| (field.name.to_owned(), field.msb, field.lsb))
            .collect();
        let listed: Vec<_> =
            sheet.fields(row).into_iter().map(|field| (field.name, field.msb, field.lsb)).collect();
        assert_eq!(shown, listed, "{}", row.name);
    }
}

#[test]
fn every_bit_of_every_field_is_decoded_and_encoded_in_its_place() {
    let sheet = sheet();
    for row in &sheet.event {
        for field in sheet.fields(row).into_iter().filter(|field| field.name != "ID") {
            for bit in field.lsb..=field.msb {
                let mut words = empty(row);
                match field.name.as_str() {
                    // A SubstreamID means nothing without SSV, where there is one.
                    "SubstreamID" if row.header.contains(&"SSV".to_owned()) => words[0] |= 1 << 11,
                    "InD" => words = with_bit(words, 99), // InD is 0 when RnW is 0
                    "TTRnW" => words = with_bit(words, 104), // class TT only
                    _ => (),
                }
                let words = with_bit(words, bit);
                assert_eq!(decode(words).encode(), words, "{} {} {bit}", row.name, field.name);
            }
        }
    }
}

#[test]
fn bits_outside_the_fields_are_ignored_and_written_as_zero() {
    let sheet = sheet();
    for row in &sheet.event {
        let fields = sheet.fields(row);
        let covered = |bit: u16| fields.iter().any(|f| (f.lsb..=f.msb).contains(&bit));
        for bit in (8..256).filter(|&bit| !covered(bit)) {
            let event = decode(with_bit(empty(row), bit));
            assert_eq!(event.encode(), empty(row), "{} {bit}", row.name);
        }
    }
    testpoint!(200);
}

#[test]
fn the_stallable_events_are_those_of_the_sheet() {
    let sheet = sheet();
    for row in &sheet.event {
        assert_eq!(row.stall, sheet.meta.stallable.contains(&row.id), "{}", row.name);
        let stalled = decode(with_bit(empty(row), 95));
        assert_eq!(stalled.is_stall(), row.stall, "{}", row.name);
    }
}

#[test]
fn class_3_is_reserved() {
    let words = [0x10, 3 << 40, 0, 0];
    assert_eq!(Event::decode(&words), Err(UnknownEvent::ReservedClass));
}

/// The transaction of the sheet's reporting examples: StreamID 0x23, a write to 0x1234567.
fn transaction() -> Transaction {
    Transaction {
        stream: StreamId(0x23),
        substream: None,
        iova: Iova(0x123_4567),
        access: Access::data(Direction::Write),
    }
}

fn record(fault: Fault) -> Event {
    let transaction = transaction();
    Event::from_fault(&fault, &transaction, transaction.access, 48)
}

fn stage2_fault(kind: StageFaultKind, class: FaultClass, ipa: u64, write: bool) -> Fault {
    let (stage, ipa) = (Stage::Stage2, Ipa(ipa));
    Fault::Stage(StageFault { kind, stage, class, ipa, descriptor_write: write })
}

/// One row of the reporting examples: words written out by hand from the field tables.
fn check(fault: Fault, words: [u64; 4], text: &str) {
    let event = record(fault);
    assert_eq!(event.encode(), words, "{text}");
    assert_eq!(event.to_string(), text);
    assert_eq!(event.name(), fault.name());
}

const WHO: u64 = 0x23 << 32;
const IOVA: u64 = 0x123_4567;

#[test]
fn stage_2_does_not_map_the_cd() {
    check(
        stage2_fault(StageFaultKind::Translation, FaultClass::Cd, 0x8000_0000, false),
        [WHO | 0x10, 1 << 39, IOVA, 0x8000_0000],
        "F_TRANSLATION stream=0x23 write input=0x1234567 stage 2 class=CD ipa=0x80000000",
    );
}

#[test]
fn the_bus_aborts_the_read_of_the_cd() {
    check(
        Fault::CdFetch(Pa(0x9000_0040)),
        [WHO | 0x09, 0, 0, 0x9000_0040],
        "F_CD_FETCH stream=0x23 fetch=0x90000040",
    );
}

#[test]
fn stage_2_refuses_the_read_of_a_stage_1_table() {
    // S2 = bit 39, CLASS = 1 in bits 41:40, TTRnW = bit 44 of the second word.
    check(
        stage2_fault(StageFaultKind::Permission, FaultClass::Tt, 0xa000_0008, false),
        [WHO | 0x13, 1 << 44 | 1 << 40 | 1 << 39, IOVA, 0xa000_0000],
        "F_PERMISSION stream=0x23 write input=0x1234567 stage 2 class=TT ipa=0xa0000000",
    );
}

#[test]
fn stage_2_refuses_the_update_of_a_stage_1_descriptor() {
    check(
        stage2_fault(StageFaultKind::Permission, FaultClass::Tt, 0xa000_0008, true),
        [WHO | 0x13, 1 << 40 | 1 << 39, IOVA, 0xa000_0000],
        "F_PERMISSION stream=0x23 write input=0x1234567 stage 2 class=TT ipa=0xa0000000 \
         descriptor-write",
    );
}

#[test]
fn the_stage_1_leaf_is_invalid() {
    let fault = Fault::Stage(StageFault {
        kind: StageFaultKind::Translation,
        stage: Stage::Stage1,
        class: FaultClass::In,
        ipa: Ipa(0),
        descriptor_write: false,
    });
    check(
        fault,
        [WHO | 0x10, 2 << 40, IOVA, 0],
        "F_TRANSLATION stream=0x23 write input=0x1234567 stage 1 class=IN",
    );
}

#[test]
fn the_bus_aborts_the_read_of_a_descriptor() {
    let abort = |stage, class| Fault::WalkExternalAbort { stage, class, address: Pa(0xb000_0018) };
    check(
        abort(Stage::Stage1, FaultClass::Tt),
        [WHO | 0x0b, 1 << 40, IOVA, 0xb000_0018],
        "F_WALK_EABT stream=0x23 write input=0x1234567 stage 1 class=TT fetch=0xb0000018",
    );
    check(
        abort(Stage::Stage2, FaultClass::In),
        [WHO | 0x0b, 2 << 40 | 1 << 39, IOVA, 0xb000_0018],
        "F_WALK_EABT stream=0x23 write input=0x1234567 stage 2 class=IN fetch=0xb0000018",
    );
}

#[test]
fn stage_2_maps_the_page_read_only() {
    check(
        stage2_fault(StageFaultKind::Permission, FaultClass::In, 0x9000_1000, false),
        [WHO | 0x13, 2 << 40 | 1 << 39, IOVA, 0x9000_1000],
        "F_PERMISSION stream=0x23 write input=0x1234567 stage 2 class=IN ipa=0x90001000",
    );
}

#[test]
fn configuration_faults_have_a_header_alone() {
    let with_substream = Transaction { substream: Some(SubstreamId(5)), ..transaction() };
    let header = |ssv: u64, substream: u64, id: u64| WHO | substream << 12 | ssv << 11 | id;
    for (fault, first) in [
        (Fault::BadStreamId, header(1, 5, 0x02)),
        (Fault::BadSte, header(1, 5, 0x04)),
        (Fault::StreamDisabled, header(0, 0, 0x06)),
        (Fault::BadSubstreamId, header(0, 5, 0x08)),
        (Fault::BadCd, header(1, 5, 0x0a)),
    ] {
        let event = Event::from_fault(&fault, &with_substream, with_substream.access, 48);
        assert_eq!(event.encode(), [first, 0, 0, 0], "{fault}");
        assert_eq!(Event::decode(&event.encode()), Ok(event), "{fault}");
    }
}

#[test]
fn address_bits_above_the_output_size_are_zero() {
    let event = |fault| {
        let transaction = transaction();
        Event::from_fault(&fault, &transaction, transaction.access, 40).encode()[3]
    };
    assert_eq!(event(Fault::SteFetch(Pa(0xffff_ffff_ffff_ffff))), 0xff_ffff_fff8);
    let ipa = stage2_fault(StageFaultKind::AddressSize, FaultClass::In, u64::MAX, false);
    assert_eq!(event(ipa), 0xff_ffff_f000);
}

#[test]
fn attributes_are_those_after_the_overrides_and_a_write_is_data() {
    let access = |direction| Access { direction, privileged: true, instruction: true };
    let attributes = |direction| {
        let fault = stage2_fault(StageFaultKind::AccessFlag, FaultClass::In, 0, false);
        let words = Event::from_fault(&fault, &transaction(), access(direction), 48).encode();
        words[1] >> 33 & 7 // RnW, InD, PnU
    };
    assert_eq!(attributes(Direction::Read), 0b111);
    assert_eq!(attributes(Direction::Write), 0b001);
    testpoint!(199);
}

#[test]
fn a_stalled_fault_as_written_by_hand() {
    let event = Event {
        stream: StreamId(0x89ab_cdef),
        substream: Some(SubstreamId(0x1_2345)),
        kind: EventKind::AccessFlag(StageEvent {
            stag: 0xbeef,
            stall: true,
            access: Access { direction: Direction::Read, privileged: true, instruction: true },
            ns_ipa: false,
            stage: Stage::Stage2,
            class: FaultClass::In,
            descriptor_write: false,
            input: Iova(0xfedc_ba98_7654_3210),
            ipa: Ipa(0x00ab_cdef_0123_4000),
        }),
    };
    let words = [
        0x89ab_cdef_1234_5812,
        0x0000_028e_8000_beef,
        0xfedc_ba98_7654_3210,
        0x00ab_cdef_0123_4000,
    ];
    assert_eq!(event.encode(), words);
    assert_eq!(Event::decode(&words), Ok(event));
}

#[test]
fn other_layouts_as_written_by_hand() {
    use smmu_arch::{
        AtsRequestEvent, FetchEvent, ForbiddenEvent, PageRequestEvent, TlbConflictEvent,
        UnsupportedEvent,
    };
    let read = Access::data(Direction::Read);
    let input = Iova(0xfedc_ba98_7654_3000);
    let cases = [
        (
            EventKind::Unsupported(UnsupportedEvent { reason: 0x1234, access: read, input }),
            [WHO | 0x01, 0x8_0000_1234, input.0, 0],
        ),
        (
            EventKind::VmsFetch(FetchEvent { reason: 0x12, gpcf: true, address: Pa(0x4008) }),
            [WHO | 0x25, 0x1_0012, 0, 0x4008],
        ),
        (
            EventKind::BadAtsRequest(AtsRequestEvent {
                span: 5,
                privileged: true,
                execute: false,
                write: true,
                read: true,
                input,
            }),
            [WHO | 0x05, 0xd000_0005, input.0, 0],
        ),
        (
            EventKind::TranslationForbidden(ForbiddenEvent { direction: Direction::Read, input }),
            [WHO | 0x07, 0x8_0000_0000, input.0, 0],
        ),
        (
            EventKind::WalkExternalAbort(WalkAbortEvent {
                reason: 7,
                gpcf: false,
                access: read,
                ns_ipa: true,
                stage: Stage::Stage1,
                class: FaultClass::Tt,
                input,
                address: Pa(0x00ff_0000_0000_0008),
            }),
            [WHO | 0x0b, 0x0000_0148_0000_0007, input.0, 0x00ff_0000_0000_0008],
        ),
        (
            EventKind::TlbConflict(TlbConflictEvent {
                reason: 3,
                access: read,
                ns_ipa: false,
                stage: Stage::Stage2,
                input,
                ipa: Ipa(0x5000),
            }),
            [WHO | 0x20, 0x0000_0088_0000_0003, input.0, 0x5000],
        ),
        (EventKind::ConfigConflict { reason: 9 }, [WHO | 0x21, 9, 0, 0]),
        (
            EventKind::PageRequest(PageRequestEvent {
                unprivileged: [true, false, false],
                privileged: [true, true, false],
                span: 2,
                input,
            }),
            [WHO | 0x24, 0x0000_20c8_0000_0000, input.0, 0],
        ),
        (EventKind::ImplementationDefined { number: 15 }, [WHO | 0xef, 0, 0, 0]),
    ];
    for (kind, words) in cases {
        let event = Event { stream: StreamId(0x23), substream: None, kind };
        assert_eq!(event.encode(), words, "{}", event.name());
        assert_eq!(Event::decode(&words), Ok(event), "{}", event.name());
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let ids: Vec<u8> = sheet().event.iter().map(|row| row.id).collect();
    (prop::sample::select(ids), any::<[u64; 4]>()).prop_filter_map("unknown", |(id, mut words)| {
        words[0] = words[0] & !0xff | u64::from(id);
        Event::decode(&words).ok()
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_again(event in any_event()) {
        prop_assert_eq!(Event::decode(&event.encode()), Ok(event));
    }

    #[test]
    fn no_record_makes_the_decoder_panic(words in any::<[u64; 4]>()) {
        if let Ok(event) = Event::decode(&words) {
            let _ = event.fields();
            prop_assert!(event.to_string().starts_with(event.name()));
        }
    }
}
