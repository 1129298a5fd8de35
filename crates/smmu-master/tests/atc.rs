//! What an Address Translation Cache keeps, and what an invalidation request makes it forget.
//! Chapter "ATS and PRI", section "ATS invalidation".

use smmu_arch::{
    Access, AtcInv, AtsTranslation, Direction, Iova, StreamId, SubstreamId, TranslationRequest,
};
use smmu_master::Atc;

const STREAM: StreamId = StreamId(1);
const NONE: Option<u32> = None;

fn request(pasid: Option<u32>, iova: u64) -> TranslationRequest {
    TranslationRequest {
        stream: STREAM,
        substream: pasid.map(SubstreamId),
        iova: Iova(iova),
        no_write: false,
        execute: false,
        privileged: false,
    }
}

fn translation(size_log2: u8, write: bool) -> AtsTranslation {
    AtsTranslation {
        address: 0x4000_0000,
        read: true,
        write,
        ..AtsTranslation::nothing(size_log2, false)
    }
}

fn fill(atc: &mut Atc, pasid: Option<u32>, iova: u64, size_log2: u8) {
    let id = atc.begin_request(request(pasid, iova));
    assert!(atc.end_request(id, Some(translation(size_log2, true))));
}

fn holds(atc: &Atc, pasid: Option<u32>, iova: u64) -> bool {
    atc.look_up(&request(pasid, iova), Access::data(Direction::Read)).is_some()
}

/// `pages_log2` counts pages of 4 KiB, as in CMD_ATC_INV.
fn invalidation(pasid: Option<u32>, address: u64, pages_log2: u8) -> AtcInv {
    let (substream, address) = (pasid.map(SubstreamId), Iova(address));
    AtcInv { stream: STREAM, substream, global: false, size_log2: pages_log2, address }
}

#[test]
fn a_completion_answers_for_its_whole_size() {
    let mut atc = Atc::new(4);
    fill(&mut atc, NONE, 0x20_5000, 21);
    let found = atc.look_up(&request(NONE, 0x20_1234), Access::data(Direction::Write));
    assert_eq!(found, Some(0x4000_1234));
    assert!(!holds(&atc, NONE, 0x40_0000) && !holds(&atc, Some(0), 0x20_5000));
}

#[test]
fn a_right_that_was_not_granted_is_asked_for_again() {
    let mut atc = Atc::new(4);
    let id = atc.begin_request(request(NONE, 0x1000));
    assert!(atc.end_request(id, Some(translation(12, false))));
    assert_eq!(atc.look_up(&request(NONE, 0x1000), Access::data(Direction::Write)), None);
    fill(&mut atc, NONE, 0x1000, 12);
    assert_eq!(atc.len(), 1, "the new translation takes the place of the old one");
    assert!(atc.look_up(&request(NONE, 0x1000), Access::data(Direction::Write)).is_some());
}

#[test]
fn the_oldest_goes_first_and_no_capacity_holds_nothing() {
    let mut atc = Atc::new(2);
    (1..4).for_each(|page| fill(&mut atc, NONE, page << 12, 12));
    assert_eq!([1, 2, 3].map(|page| holds(&atc, NONE, page << 12)), [false, true, true]);
    let mut none = Atc::new(0);
    fill(&mut none, NONE, 0x1000, 12);
    assert!(none.is_empty());
}

#[test]
fn an_invalidation_covers_its_pages_and_any_block_that_touches_them() {
    let mut atc = Atc::new(8);
    [0x1000, 0x2000, 0x4000].into_iter().for_each(|page| fill(&mut atc, NONE, page, 12));
    fill(&mut atc, NONE, 0x20_0000, 21);
    atc.invalidate(&invalidation(NONE, 0x3000, 1)); // 0x2000 to 0x3fff
    let left = [0x1000, 0x2000, 0x4000, 0x20_0000].map(|page| holds(&atc, NONE, page));
    assert_eq!(left, [true, false, true, true]);
    atc.invalidate(&invalidation(NONE, 0x21_0000, 0));
    assert!(!holds(&atc, NONE, 0x20_0000));
    atc.invalidate(&invalidation(NONE, 0, 52));
    assert!(atc.is_empty());
}

#[test]
fn ssv_and_global_say_whose_translations_are_forgotten() {
    let owners = [None, Some(1), Some(2)];
    let left = |invalidation: AtcInv| {
        let mut atc = Atc::new(8);
        owners.into_iter().for_each(|pasid| fill(&mut atc, pasid, 0x1000, 12));
        atc.invalidate(&invalidation);
        owners.map(|pasid| holds(&atc, pasid, 0x1000))
    };
    let everything = |pasid| invalidation(pasid, 0, 52);
    assert_eq!(left(everything(None)), [false, true, true]);
    assert_eq!(left(everything(Some(1))), [true, false, true]);
    assert_eq!(left(AtcInv { global: true, ..everything(Some(1)) }), [true, false, false]);
    assert_eq!(left(AtcInv { global: true, ..everything(None) }), [false, true, true]);
    assert_eq!(left(AtcInv { stream: StreamId(2), ..everything(None) }), [true, true, true]);
}

#[test]
fn a_completion_that_an_invalidation_overtook_is_dropped() {
    let mut atc = Atc::new(4);
    let id = atc.begin_request(request(NONE, 0x1000));
    let other = atc.begin_request(request(Some(1), 0x1000));
    atc.invalidate(&invalidation(NONE, 0x1000, 0));
    assert!(!atc.end_request(id, Some(translation(12, true))));
    assert!(atc.end_request(other, Some(translation(12, true))));
    assert!(!holds(&atc, NONE, 0x1000) && holds(&atc, Some(1), 0x1000));
}

#[test]
fn an_invalidation_waits_for_accesses_that_began_before_it() {
    let mut atc = Atc::new(4);
    let before = atc.begin_use();
    let drain = atc.invalidate(&invalidation(NONE, 0x1000, 0));
    let _after = atc.begin_use();
    assert!(!atc.is_drained(drain));
    atc.end_use(before);
    assert!(atc.is_drained(drain));
}
