//! A DMA engine: a list of transfers, carried out one transaction at a time.

use crate::atc::{Atc, AtcRequest, AtcUse, grants, output};
use smmu_arch::{
    Access, Direction, Iova, Pa, PortId, StreamId, SubstreamId, Transaction, TranslationCompletion,
    TranslationRequest, Why,
};
use smmu_bus::{Actor, Answer, Data, Message, Refusal, Request, Step};
use std::cell::RefCell;
use std::rc::Rc;

/// log2 of the smallest page: no transaction crosses a boundary of it.
const PAGE_LOG2: u32 = 12;

/// One transfer as a device driver would ask for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dma {
    /// StreamID.
    pub stream: StreamId,
    /// SubstreamID (PASID), where there is one.
    pub substream: Option<SubstreamId>,
    /// First byte.
    pub iova: Iova,
    /// Length in bytes; 0 moves nothing.
    pub bytes: u64,
    /// Read or write, seen from the device.
    pub direction: Direction,
    /// Privileged transactions.
    pub privileged: bool,
}

impl Dma {
    /// The transaction at `offset` of the transfer, and the bytes of it that lie in that page.
    fn piece(&self, offset: u64) -> (Transaction, u64) {
        let iova = self.iova.offset(offset);
        let left_in_page = (1 << PAGE_LOG2) - (iova.0 & ((1 << PAGE_LOG2) - 1));
        let access = Access { privileged: self.privileged, ..Access::data(self.direction) };
        let transaction =
            Transaction { stream: self.stream, substream: self.substream, iova, access };
        (transaction, left_in_page.min(self.bytes - offset))
    }
}

/// How one transaction of an engine ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completion {
    /// Data moved at this address. A read tells the word it found.
    Moved {
        /// Output address of the SMMU.
        pa: Pa,
        /// The word read; `None` for a write.
        data: Option<u64>,
    },
    /// The SMMU refused.
    Refused(Refusal),
    /// The SMMU agreed, but no memory answered.
    BusError(Pa),
}

/// What an engine did.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DmaSummary {
    /// Transactions.
    pub transactions: u64,
    /// Of which moved data.
    pub moved: u64,
    /// Of which the SMMU refused.
    pub refused: u64,
    /// Of which met no memory.
    pub bus_errors: u64,
    /// Bytes of the transactions that moved data.
    pub bytes: u64,
}

impl DmaSummary {
    /// Adds the figures of another engine.
    pub fn add(&mut self, other: &Self) {
        self.transactions += other.transactions;
        self.moved += other.moved;
        self.refused += other.refused;
        self.bus_errors += other.bus_errors;
        self.bytes += other.bytes;
    }
}

/// Carries out transfers through one port, one transaction after the other.
///
/// Of each transaction the first word is really moved; the rest of the burst lies in the same page
/// and would show the SMMU nothing more. A write stores the transaction's own input address, so
/// that whoever looks at memory can tell who wrote where.
#[derive(Clone, Debug)]
pub struct DmaEngine<I> {
    port: PortId,
    transfers: I,
    current: Option<(Dma, u64)>,
    phase: Phase,
    last: Option<Completion>,
    summary: DmaSummary,
    /// The cache of the endpoint, which all its engines share.
    atc: Option<Rc<RefCell<Atc>>>,
    /// The access under way, where its address came from a completed request.
    translated_use: Option<AtcUse>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Next,
    Asking { id: AtcRequest, transaction: Transaction, bytes: u64 },
    Translating { direction: Direction, iova: Iova, bytes: u64 },
    Moving { pa: Pa, bytes: u64 },
    Ending,
}

impl<I: Iterator<Item = Dma>> DmaEngine<I> {
    /// An engine at `port`.
    pub fn new(port: PortId, transfers: I) -> Self {
        let summary = DmaSummary::default();
        let (current, phase, last) = (None, Phase::Next, None);
        let (atc, translated_use) = (None, None);
        Self { port, transfers, current, phase, last, summary, atc, translated_use }
    }

    /// The engine of an endpoint with ATS: it asks for translations, and keeps them in `atc`.
    #[must_use]
    pub fn with_atc(self, atc: Rc<RefCell<Atc>>) -> Self {
        Self { atc: Some(atc), ..self }
    }

    /// How the last transaction ended.
    #[must_use]
    pub const fn last(&self) -> Option<Completion> {
        self.last
    }

    fn next(&mut self) -> Step<DmaSummary> {
        let Some((dma, offset)) = self.take_piece() else { return Step::Done(self.summary) };
        let (transaction, bytes) = dma.piece(offset);
        self.current = Some((dma, offset + bytes));
        self.summary.transactions += 1;
        self.ask(transaction, bytes)
    }

    /// Finds the translated address in the cache, or asks for it. Without a cache the SMMU
    /// translates.
    fn ask(&mut self, transaction: Transaction, bytes: u64) -> Step<DmaSummary> {
        let Some(atc) = &self.atc else { return self.untranslated(transaction, bytes) };
        let wanted = request_of(&transaction);
        let found = atc.borrow().look_up(&wanted, transaction.access);
        if let Some(address) = found {
            return self.access(transaction, address, bytes);
        }
        let id = atc.borrow_mut().begin_request(wanted);
        self.phase = Phase::Asking { id, transaction, bytes };
        self.send(Message::TranslationRequest(wanted))
    }

    /// A request was completed. One that an invalidation overtook is made again; Unsupported
    /// Request means that ATS is off for the endpoint, which then goes untranslated (a choice).
    fn completed(
        &mut self,
        (id, transaction, bytes): (AtcRequest, Transaction, u64),
        completion: TranslationCompletion,
    ) -> Step<DmaSummary> {
        let granted = match completion {
            TranslationCompletion::Success(translation) => Some(translation),
            _ => None,
        };
        let atc = self.atc.as_ref().expect("only an endpoint with a cache asks");
        if !atc.borrow_mut().end_request(id, granted) {
            return self.ask(transaction, bytes);
        }
        match (completion, granted.filter(|granted| grants(granted, transaction.access))) {
            (TranslationCompletion::UnsupportedRequest, _) => self.untranslated(transaction, bytes),
            (_, Some(granted)) => {
                self.access(transaction, output(&granted, transaction.iova), bytes)
            }
            (_, None) => self.give_up(),
        }
    }

    fn untranslated(&mut self, transaction: Transaction, bytes: u64) -> Step<DmaSummary> {
        let (direction, iova) = (transaction.access.direction, transaction.iova);
        self.phase = Phase::Translating { direction, iova, bytes };
        self.send(Message::Transaction(transaction))
    }

    /// Makes the access at a translated address; an invalidation waits for it.
    fn access(&mut self, transaction: Transaction, address: u64, bytes: u64) -> Step<DmaSummary> {
        self.translated_use = self.atc.as_ref().map(|atc| atc.borrow_mut().begin_use());
        let (direction, iova) = (transaction.access.direction, transaction.iova);
        self.phase = Phase::Translating { direction, iova, bytes };
        self.send(Message::Translated(Transaction { iova: Iova(address), ..transaction }))
    }

    /// The endpoint was not granted the access, and makes none.
    fn give_up(&mut self) -> Step<DmaSummary> {
        self.summary.refused += 1;
        self.last = Some(Completion::Refused(Refusal::Abort(None)));
        self.next()
    }

    fn end_use(&mut self) {
        if let (Some(atc), Some(id)) = (&self.atc, self.translated_use.take()) {
            atc.borrow_mut().end_use(id);
        }
    }

    fn take_piece(&mut self) -> Option<(Dma, u64)> {
        loop {
            match self.current.take() {
                Some((dma, offset)) if offset < dma.bytes => return Some((dma, offset)),
                _ => self.current = Some((self.transfers.next()?, 0)),
            }
        }
    }

    fn send(&self, message: Message) -> Step<DmaSummary> {
        Step::Need(Request::Send { port: self.port, message })
    }

    fn end(&mut self, completion: Completion, bytes: u64) -> Step<DmaSummary> {
        match completion {
            Completion::Moved { .. } => {
                self.summary.moved += 1;
                self.summary.bytes += bytes;
            }
            Completion::Refused(_) => self.summary.refused += 1,
            Completion::BusError(_) => self.summary.bus_errors += 1,
        }
        self.last = Some(completion);
        self.phase = Phase::Ending;
        self.send(Message::End)
    }

    fn translated(&mut self, direction: Direction, iova: Iova, pa: Pa, bytes: u64) -> Request {
        self.phase = Phase::Moving { pa, bytes };
        let pa = pa.align_down(3);
        match direction {
            Direction::Read => Request::Read { pa, words: 1, why: Why::Data },
            Direction::Write => Request::Write { pa, data: Data::Word(iova.0), why: Why::Data },
        }
    }
}

impl<I: Iterator<Item = Dma>> Actor for DmaEngine<I> {
    type Outcome = DmaSummary;

    fn step(&mut self, answer: Answer) -> Step<DmaSummary> {
        match (self.phase, answer) {
            (Phase::Next, _) => self.next(),
            (Phase::Ending, _) => {
                self.end_use();
                self.next()
            }
            (Phase::Asking { id, transaction, bytes }, Answer::Completed(completion)) => {
                self.completed((id, transaction, bytes), completion)
            }
            (Phase::Translating { direction, iova, bytes }, Answer::Translated(Ok(pa))) => {
                Step::Need(self.translated(direction, iova, pa, bytes))
            }
            (Phase::Translating { bytes, .. }, Answer::Translated(Err(refusal))) => {
                self.end(Completion::Refused(refusal), bytes)
            }
            (Phase::Moving { pa, bytes }, Answer::Word(word)) => {
                self.end(Completion::Moved { pa, data: Some(word) }, bytes)
            }
            (Phase::Moving { pa, bytes }, Answer::Done) => {
                self.end(Completion::Moved { pa, data: None }, bytes)
            }
            (Phase::Moving { pa, bytes }, Answer::Aborted) => {
                self.end(Completion::BusError(pa), bytes)
            }
            (phase, answer) => unreachable!("the runner answered {answer:?} in {phase:?}"),
        }
    }
}

/// The request for the page of a transaction. A read leaves a clean page clean (NW).
fn request_of(transaction: &Transaction) -> TranslationRequest {
    TranslationRequest {
        stream: transaction.stream,
        substream: transaction.substream,
        iova: transaction.iova,
        no_write: transaction.access.direction == Direction::Read,
        execute: false,
        privileged: transaction.access.privileged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(iova: u64, bytes: u64, direction: Direction) -> Dma {
        Dma {
            stream: StreamId(3),
            substream: None,
            iova: Iova(iova),
            bytes,
            direction,
            privileged: false,
        }
    }

    /// Answers every transaction with its own address, and memory with `answer`.
    fn run(transfers: Vec<Dma>, answer: Answer) -> (DmaSummary, Vec<Request>) {
        let mut engine = DmaEngine::new(PortId(2), transfers.into_iter());
        let (mut next, mut requests) = (Answer::Start, Vec::new());
        loop {
            match engine.step(next) {
                Step::Need(request) => {
                    requests.push(request);
                    next = match request {
                        Request::Send { message: Message::Transaction(t), .. } => {
                            Answer::Translated(Ok(Pa(t.iova.0)))
                        }
                        Request::Send { .. } => Answer::Done,
                        _ => answer,
                    };
                }
                Step::Done(summary) => return (summary, requests),
                Step::Wait(_) => unreachable!("an engine waits for nothing"),
            }
        }
    }

    #[test]
    fn a_transfer_is_cut_at_pages() {
        let (summary, requests) =
            run(vec![transfer(0x1ff0, 0x1020, Direction::Read)], Answer::Word(7));
        let inputs: Vec<u64> = requests
            .iter()
            .filter_map(|request| match request {
                Request::Send { message: Message::Transaction(t), .. } => Some(t.iova.0),
                _ => None,
            })
            .collect();
        assert_eq!(inputs, [0x1ff0, 0x2000, 0x3000]);
        assert_eq!((summary.transactions, summary.moved, summary.bytes), (3, 3, 0x1020));
    }

    #[test]
    fn a_write_leaves_its_input_address() {
        let (_, requests) = run(vec![transfer(0x1008, 8, Direction::Write)], Answer::Done);
        assert_eq!(
            requests[1],
            Request::Write { pa: Pa(0x1008), data: Data::Word(0x1008), why: Why::Data }
        );
        assert!(matches!(requests[2], Request::Send { message: Message::End, .. }));
    }

    #[test]
    fn memory_that_does_not_answer_is_counted_and_the_engine_goes_on() {
        let two = vec![transfer(0x1000, 8, Direction::Read), transfer(0x2000, 8, Direction::Read)];
        let (summary, _) = run(two, Answer::Aborted);
        assert_eq!((summary.transactions, summary.bus_errors), (2, 2));
    }

    #[test]
    fn an_empty_transfer_moves_nothing() {
        let (summary, requests) = run(vec![transfer(0x1000, 0, Direction::Read)], Answer::Done);
        assert_eq!((summary, requests.len()), (DmaSummary::default(), 0));
    }
}
