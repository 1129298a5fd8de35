//! Endpoints with an address translation cache: their requests, and what they are asked to forget.
//!
//! Architecture: chapter "ATS and PRI". An endpoint answers an invalidation request when no access
//! is under way any more whose address it had from what it forgot; until then a CMD_SYNC waits.

use super::listener::Listener;
use super::schedule::{DmaId, Machine, Running, Slot, State};
use super::turn::{Did, End};
use crate::file::Blueprint;
use smmu_arch::{AtcInv, StreamId, Transaction, TranslationCompletion, TranslationRequest};
use smmu_bus::Answer;
use smmu_device::{AtcOutcome, Granted, Translation, TranslationOutcome};
use smmu_master::{Atc, AtcDrain};
use std::cell::RefCell;
use std::rc::Rc;

/// The address translation cache of a device, and how it behaves.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) atc: Rc<RefCell<Atc>>,
    smmu: usize,
    streams: Vec<StreamId>,
    /// It answers invalidation requests; otherwise each times out.
    answers: bool,
}

/// The endpoint of each device, for those that have a cache.
pub(super) fn endpoints(blueprint: &Blueprint) -> Vec<Option<Endpoint>> {
    let devices = blueprint.devices.iter();
    devices
        .map(|device| {
            device.ats.map(|ats| Endpoint {
                atc: Rc::new(RefCell::new(Atc::new(ats.entries as usize))),
                smmu: device.smmu,
                streams: device.streams.iter().copied().map(StreamId).collect(),
                answers: ats.answers,
            })
        })
        .collect()
}

/// What a translation on the way is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Traffic {
    /// A transaction that the SMMU translates.
    Untranslated,
    /// The page behind that of a transaction, which its master is told of afterwards: until then the
    /// transaction is in flight, so that what is observed is told apart from that of the next one.
    Prefetch {
        /// The transaction.
        behind: Transaction,
        /// What its master will be told.
        granted: Granted,
    },
    /// An ATS Translation Request.
    Request,
    /// A transaction with an address that a request has given.
    Translated,
}

/// An invalidation request that an endpoint has been sent.
#[derive(Clone, Debug)]
pub(super) struct Forgetting {
    smmu: usize,
    device: usize,
    invalidation: AtcInv,
    /// It has forgotten, and accesses from before drain.
    drain: Option<AtcDrain>,
}

impl Forgetting {
    /// SMMU that asks.
    pub(super) const fn smmu(&self) -> usize {
        self.smmu
    }
}

impl<L: Listener> Machine<L> {
    /// Completes a Translation Request: at once in direct order, else by an actor.
    pub(super) fn request_translation(
        &mut self,
        master: DmaId,
        device: usize,
        request: &TranslationRequest,
    ) {
        let direct = self.is_direct();
        let port = &mut self.board.ports[device];
        if direct {
            let completion = port.request_translation(&*self.board.memory, request);
            self.answer_request(master, completion);
        } else {
            let translation = port.start_request(request);
            self.start_translation(master, device, translation, Traffic::Request);
        }
    }

    /// Lets a Translated transaction through, or refuses it: at once in direct order, else by an
    /// actor.
    pub(super) fn pass_translated(
        &mut self,
        master: DmaId,
        device: usize,
        transaction: Transaction,
    ) {
        let direct = self.is_direct();
        let port = &mut self.board.ports[device];
        if direct {
            let outcome = port.translated(&*self.board.memory, &transaction);
            self.answer_transaction(master, device, transaction, outcome);
        } else {
            let translation = port.start_translated(&transaction);
            self.start_translation(master, device, translation, Traffic::Translated);
        }
    }

    /// The translation of a Translation Request is done. The request is over with it.
    pub(super) fn requested(
        &mut self,
        master: DmaId,
        device: usize,
        translation: &Translation,
        outcome: TranslationOutcome,
    ) {
        let port = &mut self.board.ports[device];
        let completion = port.finish_request(translation, outcome);
        port.end();
        self.answer_request(master, completion);
    }

    fn answer_request(&mut self, master: DmaId, completion: TranslationCompletion) {
        self.answer_engine(master, Answer::Completed(completion));
    }

    /// CMD_ATC_INV has reached the wire. Who has no cache answers Unsupported Request, which
    /// completes it at once.
    pub(super) fn invalidate_atc(&mut self, smmu: usize, invalidation: &AtcInv) {
        let owns = |endpoint: &Endpoint| {
            endpoint.smmu == smmu && endpoint.streams.contains(&invalidation.stream)
        };
        let mut endpoints = self.board.endpoints.iter();
        let owner = endpoints.position(|endpoint| endpoint.as_ref().is_some_and(owns));
        let Some(device) = owner else { return };
        self.board.smmus[smmu].smmu.atc_invalidation_begun();
        let invalidation = *invalidation;
        let actor = Running::Forgetting(Forgetting { smmu, device, invalidation, drain: None });
        self.start(actor);
    }

    /// Whether an endpoint that has forgotten may say so.
    pub(super) fn has_drained(&self, forgetting: &Forgetting) -> bool {
        let endpoint = self.board.endpoints[forgetting.device].as_ref();
        let drained = |drain| endpoint.is_some_and(|e| e.atc.borrow().is_drained(drain));
        forgetting.drain.is_some_and(drained)
    }

    /// The endpoint forgets, and in a later step, when accesses have drained, it answers.
    pub(super) fn step_forgetting(&mut self, index: usize) {
        self.did = Did::Ended(End::Other);
        let Slot { actor: Running::Forgetting(forgetting), state, .. } = &mut self.actors[index]
        else {
            return;
        };
        let (smmu, device) = (forgetting.smmu, forgetting.device);
        let Some(endpoint) = &self.board.endpoints[device] else { return };
        let outcome = match (forgetting.drain, endpoint.answers) {
            (_, false) => AtcOutcome::TimedOut,
            (Some(_), true) => AtcOutcome::Completed,
            (None, true) => {
                forgetting.drain =
                    Some(endpoint.atc.borrow_mut().invalidate(&forgetting.invalidation));
                *state = State::Asked;
                self.did = Did::Waits;
                return;
            }
        };
        self.actors.remove(index);
        self.board.smmus[smmu].smmu.atc_invalidation_ended(outcome);
    }
}
