//! The engine of an endpoint with ATS: when it asks, and with which address it goes.

use smmu_arch::{
    AtcInv, AtsTranslation, Direction, Iova, Pa, PortId, StreamId, TranslationCompletion,
};
use smmu_bus::{Actor, Answer, Message, Request, Step};
use smmu_master::{Atc, Dma, DmaEngine, DmaSummary};
use std::cell::RefCell;
use std::rc::Rc;

const PORT: PortId = PortId(0);

fn engine(atc: &Rc<RefCell<Atc>>, count: usize) -> DmaEngine<impl Iterator<Item = Dma>> {
    let dma = Dma {
        stream: StreamId(1),
        substream: None,
        iova: Iova(0x1008),
        bytes: 8,
        direction: Direction::Write,
        privileged: false,
    };
    DmaEngine::new(PORT, std::iter::repeat_n(dma, count)).with_atc(Rc::clone(atc))
}

fn granted(write: bool) -> TranslationCompletion {
    let nothing = AtsTranslation::nothing(12, false);
    let read = true;
    TranslationCompletion::Success(AtsTranslation { address: 0x8000, read, write, ..nothing })
}

/// Everything that was sent, by its first letter: R a request, T translated, U untranslated.
fn run(
    atc: &Rc<RefCell<Atc>>,
    count: usize,
    answer: TranslationCompletion,
) -> (DmaSummary, String) {
    let (mut engine, mut next, mut sent) = (engine(atc, count), Answer::Start, String::new());
    loop {
        next = match engine.step(next) {
            Step::Need(Request::Send { message, .. }) => match message {
                Message::TranslationRequest(_) => {
                    sent.push('R');
                    Answer::Completed(answer)
                }
                Message::Translated(transaction) => {
                    sent.push('T');
                    Answer::Translated(Ok(Pa(transaction.iova.0)))
                }
                Message::Transaction(_) => {
                    sent.push('U');
                    Answer::Translated(Ok(Pa(0x9008)))
                }
                _ => Answer::Done,
            },
            Step::Done(summary) => return (summary, sent),
            _ => Answer::Done,
        };
    }
}

fn cache(capacity: usize) -> Rc<RefCell<Atc>> {
    Rc::new(RefCell::new(Atc::new(capacity)))
}

#[test]
fn a_page_is_asked_for_once_and_then_known() {
    assert_eq!(run(&cache(4), 3, granted(true)).1, "RTTT");
    assert_eq!(run(&cache(0), 2, granted(true)).1, "RTRT");
}

#[test]
fn what_is_not_granted_is_not_accessed() {
    for completion in [granted(false), TranslationCompletion::CompleterAbort] {
        let (summary, sent) = run(&cache(4), 2, completion);
        assert_eq!((summary.refused, summary.moved, sent.as_str()), (2, 0, "RR"));
    }
}

#[test]
fn an_unsupported_request_goes_untranslated() {
    let (summary, sent) = run(&cache(4), 1, TranslationCompletion::UnsupportedRequest);
    assert_eq!((summary.moved, sent.as_str()), (1, "RU"));
}

fn invalidate(atc: &Rc<RefCell<Atc>>) -> smmu_master::AtcDrain {
    let address = Iova(0);
    let (stream, substream, global) = (StreamId(1), None, false);
    atc.borrow_mut().invalidate(&AtcInv { stream, substream, global, size_log2: 52, address })
}

fn sent(step: Step<DmaSummary>) -> Message {
    let Step::Need(Request::Send { message, .. }) = step else { panic!("{step:?}") };
    message
}

#[test]
fn a_request_that_an_invalidation_overtook_is_made_again() {
    let atc = cache(4);
    let mut engine = engine(&atc, 1);
    engine.step(Answer::Start);
    invalidate(&atc);
    let again = sent(engine.step(Answer::Completed(granted(true))));
    assert!(matches!(again, Message::TranslationRequest(_)), "{again:?}");
    let now = sent(engine.step(Answer::Completed(granted(true))));
    assert!(matches!(now, Message::Translated(t) if t.iova == Iova(0x8008)), "{now:?}");
}

#[test]
fn an_invalidation_is_complete_when_the_access_has_ended() {
    let atc = cache(4);
    let mut engine = engine(&atc, 1);
    engine.step(Answer::Start);
    engine.step(Answer::Completed(granted(true)));
    let drain = invalidate(&atc);
    engine.step(Answer::Translated(Ok(Pa(0x8008)))); // the write
    assert_eq!(sent(engine.step(Answer::Done)), Message::End);
    assert!(!atc.borrow().is_drained(drain));
    engine.step(Answer::Done);
    assert!(atc.borrow().is_drained(drain));
}
