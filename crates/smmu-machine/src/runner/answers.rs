//! What requests of actors come to: the answers of memory, SMMUs and registers.

use super::board::Board;
use super::endpoint::Traffic;
use super::listener::Listener;
use super::schedule::{CpuId, DmaId, Machine, Running, State};
use super::turn::{Did, End};
use smmu_arch::Transaction;
use smmu_bus::{Answer, Condition, Message, Outputs, Request, serve_memory};
use smmu_device::{Refused, Release, Response, Translation, TranslationOutcome};

impl<L: Listener> Machine<L> {
    pub(super) fn answer_work(&mut self, smmu: usize, request: &Request) -> Answer {
        if let Request::Send { message: Message::InvalidateAtc(invalidation), .. } = request {
            self.invalidate_atc(smmu, invalidation);
            return Answer::Done;
        }
        let Board { smmus, memory, listener, interrupts, .. } = &mut self.board;
        let smmu = &smmus[smmu].smmu;
        if let Request::Send { message, .. } = *request {
            match message {
                Message::Interrupt(line) => interrupts.pulse(smmu.id(), line),
                Message::SendEvent => interrupts.send_event(),
                // No device of a machine makes page requests.
                Message::InvalidateAtc(_)
                | Message::PageResponse(_)
                | Message::Transaction(_)
                | Message::TranslationRequest(_)
                | Message::Translated(_)
                | Message::End
                | Message::Tlbi(_)
                | Message::BroadcastSync => {}
            }
            return Answer::Done;
        }
        smmu.answer(&smmu.background_origin(), request, listener)
            .or_else(|| serve_memory(&**memory, request))
            .unwrap_or(Answer::Aborted)
    }

    pub(super) fn answer_translation(&mut self, index: usize, device: usize, request: &Request) {
        let answer = self.board.ports[device].answer(request);
        if let (None, Request::Read { pa, words: 8, .. }) = (answer, *request)
            && self.is_torn(pa)
        {
            return self.gather(index, pa);
        }
        let answer = answer.or_else(|| serve_memory(&*self.board.memory, request));
        let answer = answer.unwrap_or(Answer::Aborted);
        self.actors[index].state = State::Ready(answer);
    }

    /// `None` where other actors make the answer.
    pub(super) fn answer_cpu(&mut self, cpu: CpuId, request: &Request) -> Option<Answer> {
        if let Some(answer) = self.answer_from_buffer(cpu, request) {
            return Some(answer);
        }
        Some(match *request {
            Request::Send { message: Message::Tlbi(tlbi), .. } => {
                self.broadcast(&tlbi);
                Answer::Done
            }
            Request::Send { message: Message::BroadcastSync, .. } => return self.begin_sync(cpu),
            Request::MmioRead { address, bytes } => {
                Answer::Register(self.board.mmio_read(address, bytes))
            }
            Request::MmioWrite { address, bytes, value } => {
                self.board.mmio_write(address, bytes, value);
                Answer::Done
            }
            Request::Unlock(lock) => {
                self.held.remove(&lock);
                Answer::Done
            }
            Request::Now => Answer::Time(self.time_ns),
            Request::Promise(promise) => {
                self.board.listener.with(|listener| listener.promised(&promise));
                Answer::Done
            }
            Request::Barrier => Answer::Done,
            ref other => serve_memory(&*self.board.memory, other).unwrap_or(Answer::Aborted),
        })
    }

    pub(super) fn answer_master(
        &mut self,
        index: usize,
        id: DmaId,
        device: usize,
        request: &Request,
    ) {
        let answer = match *request {
            // The master stays in State::Asked until the answer comes.
            Request::Send { message: Message::Transaction(transaction), .. } => {
                return self.translate(id, device, transaction);
            }
            Request::Send { message: Message::TranslationRequest(ref request), .. } => {
                return self.request_translation(id, device, request);
            }
            Request::Send { message: Message::Translated(transaction), .. } => {
                return self.pass_translated(id, device, transaction);
            }
            Request::Send { message: Message::End, .. } => {
                self.board.ports[device].end();
                Answer::Done
            }
            ref other => serve_memory(&*self.board.memory, other).unwrap_or(Answer::Aborted),
        };
        self.actors[index].state = State::Ready(answer);
    }

    /// Translates a transaction of a master: at once in direct order, else by an actor.
    fn translate(&mut self, master: DmaId, device: usize, transaction: Transaction) {
        let direct = self.is_direct();
        let Board { ports, memory, .. } = &mut self.board;
        let port = &mut ports[device];
        if direct {
            let outcome = port.translate(&**memory, &transaction);
            self.answer_transaction(master, device, transaction, outcome);
        } else {
            let translation = port.start(&transaction);
            self.start_translation(master, device, translation, Traffic::Untranslated);
        }
    }

    pub(super) fn start_translation(
        &mut self,
        master: DmaId,
        device: usize,
        translation: Translation,
        traffic: Traffic,
    ) {
        let translation = Box::new(translation);
        self.start(Running::Translation { master, device, translation, traffic });
    }

    /// Nothing happens beside what is being done.
    pub(super) const fn is_direct(&self) -> bool {
        self.chooser.is_direct()
    }

    /// A translation is done: its record is left, and its master goes on.
    pub(super) fn translated(&mut self, index: usize, mut outcome: TranslationOutcome) {
        let Running::Translation { master, device, translation, traffic } =
            self.actors.remove(index).actor
        else {
            return;
        };
        self.did = Did::Ended(End::Translation { refused: outcome.is_err() });
        let port = &mut self.board.ports[device];
        match traffic {
            Traffic::Untranslated => port.finish(&translation, &mut outcome),
            Traffic::Prefetch { behind, granted } => {
                return self.answer_transaction(master, device, behind, Ok(granted));
            }
            Traffic::Translated => port.finish_translated(&translation, &mut outcome),
            Traffic::Request => return self.requested(master, device, &translation, outcome),
        }
        let transaction = *translation.transaction();
        match (port.prefetch(&translation), outcome) {
            (Some(ahead), Ok(granted)) => {
                let traffic = Traffic::Prefetch { behind: transaction, granted };
                self.start_translation(master, device, ahead, traffic);
            }
            _ => self.answer_transaction(master, device, transaction, outcome),
        }
    }

    /// A master learns what became of its transaction, unless that is still to be decided.
    pub(super) fn answer_transaction(
        &mut self,
        master: DmaId,
        device: usize,
        transaction: Transaction,
        outcome: TranslationOutcome,
    ) {
        if let Err(refused @ Refused { response: Response::Held(ticket), .. }) = outcome {
            self.board.ports[device].end();
            self.start(Running::Stalled { master, device, transaction, refused });
            if let Some(slot) = self.actors.last_mut() {
                slot.state = State::Waiting(Condition::Released(ticket));
            }
            return;
        }
        let answer = outcome.map(|granted| granted.output).map_err(|refused| refused.refusal());
        self.answer_engine(master, Answer::Translated(answer));
    }

    /// A master that has asked goes on.
    pub(super) fn answer_engine(&mut self, master: DmaId, answer: Answer) {
        let mut slots = self.actors.iter_mut();
        let waiting =
            slots.find(|slot| matches!(slot.actor, Running::Master { id, .. } if id == master));
        if let Some(slot) = waiting {
            slot.state = State::Ready(answer);
        }
    }

    /// Software has decided about a stalled transaction.
    pub(super) fn released(
        &mut self,
        master: DmaId,
        device: usize,
        transaction: Transaction,
        refused: Refused,
    ) {
        let Response::Held(ticket) = refused.response else { return };
        let response = match self.board.ports[device].smmu().released(ticket) {
            Some(Release::Retry) => return self.translate(master, device, transaction),
            Some(Release::ReadZeroWriteIgnored) => Response::ReadZeroWriteIgnored,
            Some(Release::Abort) | None => Response::Abort,
        };
        let outcome = Err(Refused { response, ..refused });
        self.answer_transaction(master, device, transaction, outcome);
    }
}
