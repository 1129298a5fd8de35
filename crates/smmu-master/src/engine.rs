//! A DMA engine: a list of transfers, carried out one transaction at a time.

use smmu_arch::{Access, Direction, Iova, Pa, PortId, StreamId, SubstreamId, Transaction, Why};
use smmu_bus::{Actor, Answer, Data, Message, Refusal, Request, Step};

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
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Next,
    Translating { direction: Direction, iova: Iova, bytes: u64 },
    Moving { pa: Pa, bytes: u64 },
    Ending,
}

impl<I: Iterator<Item = Dma>> DmaEngine<I> {
    /// An engine at `port`.
    pub fn new(port: PortId, transfers: I) -> Self {
        let summary = DmaSummary::default();
        Self { port, transfers, current: None, phase: Phase::Next, last: None, summary }
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
        let (direction, iova) = (dma.direction, transaction.iova);
        self.phase = Phase::Translating { direction, iova, bytes };
        self.summary.transactions += 1;
        self.send(Message::Transaction(transaction))
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
            (Phase::Next | Phase::Ending, _) => self.next(),
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
