//! ATS traffic at a port: what an endpoint with an address translation cache sends.

use super::Port;
use crate::translation::{Purpose, Translation, TranslationOutcome};
use smmu_arch::{
    Access, Observation, StreamId, Transaction, TranslationCompletion, TranslationRequest,
};
use smmu_bus::{Memory, Observer};

impl<O: Observer> Port<O> {
    /// Completes an ATS Translation Request at once. Its record, if it leaves one, waits in the
    /// Event queue's background work.
    ///
    /// A request is answered from the tables; the TLB is filled, and not looked up (a choice).
    pub fn request_translation<M: Memory>(
        &mut self,
        memory: &M,
        request: &TranslationRequest,
    ) -> TranslationCompletion {
        let mut translation = self.start_request(request);
        let outcome = self.run(memory, &mut translation);
        let completion = self.finish_request(&translation, outcome);
        self.end();
        completion
    }

    /// Begins a Translation Request for a runner that answers its requests one by one. It is in
    /// flight until [`Port::end`], after [`Port::finish_request`].
    pub fn start_request(&mut self, request: &TranslationRequest) -> Translation {
        self.enter_ats(request.stream);
        let purpose = Purpose::request(request);
        Translation::new(request.transaction(), self.begin, self.globals, purpose)
    }

    /// Takes the outcome of the Translation Request in flight; gives its completion.
    ///
    /// # Panics
    /// If the translation is none of [`Port::start_request`].
    pub fn finish_request(
        &mut self,
        translation: &Translation,
        mut outcome: TranslationOutcome,
    ) -> TranslationCompletion {
        if let Err(refused) = &mut outcome {
            self.smmu.record(translation.transaction(), refused);
        }
        let fault = outcome.err().and_then(|refused| refused.fault);
        let (request, completion) =
            translation.completion(&outcome).expect("a Translation Request was started");
        let completed = Observation::AtsCompleted { request, completion, fault };
        let origin = self.origin();
        self.observer.observe(&origin, &completed);
        completion
    }

    /// Lets an ATS Translated transaction through, or refuses it, at once. It is in flight until
    /// [`Port::end`], which follows its data access or its refusal.
    ///
    /// The PASID and the attributes of the transaction do not count (IDR3.PASIDTT = 0).
    ///
    /// # Errors
    /// The refusal, as for [`Port::translate`].
    pub fn translated<M: Memory>(
        &mut self,
        memory: &M,
        transaction: &Transaction,
    ) -> TranslationOutcome {
        let mut translation = self.start_translated(transaction);
        let mut outcome = self.run(memory, &mut translation);
        self.finish_translated(&translation, &mut outcome);
        outcome
    }

    /// Begins a Translated transaction for a runner that answers its requests one by one.
    pub fn start_translated(&mut self, transaction: &Transaction) -> Translation {
        self.enter_ats(transaction.stream);
        let access = Access::data(transaction.access.direction);
        let plain = Transaction { substream: None, access, ..*transaction };
        Translation::new(plain, self.begin, self.globals, Purpose::Translated)
    }

    /// Takes the outcome of the Translated transaction in flight.
    pub fn finish_translated(
        &mut self,
        translation: &Translation,
        outcome: &mut TranslationOutcome,
    ) {
        let transaction = *translation.transaction();
        if let Err(refused) = outcome {
            self.smmu.record(&transaction, refused);
        }
        let output = outcome.ok().map(|granted| granted.output);
        let fault = outcome.err().and_then(|refused| refused.fault);
        let observed = Observation::AtsTranslated { transaction, output, fault };
        let origin = self.origin();
        self.observer.observe(&origin, &observed);
    }

    fn enter_ats(&mut self, stream: StreamId) {
        self.enter();
        self.refresh();
        let origin = self.origin();
        self.observer.observe(&origin, &Observation::AtsBegan(stream));
    }
}
