//! What is different about ATS traffic: Translation Requests and Translated transactions.
//!
//! Architecture: chapter "ATS and PRI", with its table of responses to Translation Requests, and
//! section "Translated transactions". A request never stalls, and CD.A and CD.R do not govern it.

use super::{Next, Refused, Response, Translation, Treatment, bypass, overridden_by};
use super::{access_of, translating};
use crate::atos::Lookup;
use crate::regime::regime;
use smmu_arch::{
    Access, AtsTranslation, Direction, Eats, Fault, FaultClass, Regime, StageFault, StageFaultKind,
    Ste, Transaction, TranslationCompletion, TranslationRequest,
};
use smmu_bus::Step;
use smmu_tables::{Walk, Walked};

/// What a translation is made for.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// An ordinary transaction.
    Untranslated,
    /// The page behind one that an ordinary transaction had to be walked for; nobody waits for it.
    Prefetch,
    /// An ATS Translated transaction.
    Translated,
    /// An ATS Translation Request.
    Request(Box<Request>),
    /// A look-up of GATOS or VATOS.
    Lookup(Box<Lookup>),
    /// Nothing but the STE is wanted, for the response to a page request.
    PageResponse {
        /// STE.PPAR, once it is known.
        ppar: Option<bool>,
    },
}

/// A Translation Request in progress.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    request: TranslationRequest,
    /// STE.EATS = 0b10: the endpoint gets the output of stage 1.
    split: bool,
    /// The access that is tried next.
    next: Option<Attempt>,
    found: Option<Walked>,
}

/// A request is looked up as the first of these that the tables permit: a write first, as that
/// makes a writable-clean page dirty, and grants all else that they allow.
#[derive(Clone, Copy, Debug)]
enum Attempt {
    Write,
    Read,
}

impl Purpose {
    pub(crate) fn request(request: &TranslationRequest) -> Self {
        let next = Some(if request.no_write { Attempt::Read } else { Attempt::Write });
        Self::Request(Box::new(Request { request: *request, split: false, next, found: None }))
    }

    /// GATOS_ADDR.HTTUI.
    pub(crate) fn inhibits_updates(&self) -> bool {
        matches!(self, Self::Lookup(lookup) if lookup.assumes_updates)
    }

    pub(crate) const fn is_untranslated(&self) -> bool {
        matches!(self, Self::Untranslated)
    }

    /// What is found is for the port that asks.
    pub(crate) const fn is_for_port(&self) -> bool {
        matches!(self, Self::Untranslated | Self::Prefetch)
    }
}

impl Translation {
    /// What is decided before any look-up: by SMMUEN and ATSCHK.
    #[cold]
    pub(super) fn start_ats(&mut self) -> Option<Next> {
        let globals = &self.globals;
        match self.purpose {
            Purpose::Untranslated => None,
            Purpose::Prefetch => Some(self.walk_ahead()),
            Purpose::PageResponse { .. } | Purpose::Lookup(_) if !globals.enabled => {
                Some(Err(Refused::silent()))
            }
            _ if !globals.enabled => Some(Err(self.forbidden())),
            Purpose::Translated if !globals.check_ats => Some(self.pass()),
            _ => None,
        }
    }

    /// What the translation is made for, and what became of that.
    pub(crate) const fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// What STE.EATS decides. `None` goes on with the look-up of the context.
    #[cold]
    pub(super) fn enter_by_eats(&mut self, ste: &Ste) -> Option<Next> {
        // Split-stage ATS rests on the check of what comes back.
        let disabled = match ste.eats {
            Eats::Disabled | Eats::Dpt => true,
            Eats::Split => !self.globals.check_ats,
            Eats::Full => false,
        };
        let split = ste.eats == Eats::Split;
        match &mut self.purpose {
            Purpose::Untranslated
            | Purpose::Prefetch
            | Purpose::PageResponse { .. }
            | Purpose::Lookup(_) => None,
            _ if disabled => Some(Err(self.forbidden())),
            Purpose::Request(request) => {
                request.split = split;
                None
            }
            // The address is an IPA; stage 2 is all that is left.
            Purpose::Translated if split => {
                Some(self.treat(Treatment::Translate(regime(ste, None, &self.globals))))
            }
            Purpose::Translated => Some(self.pass()),
        }
    }

    /// A Translated transaction is let through with the address that it has.
    fn pass(&self) -> Next {
        let input = self.transaction.iova.0;
        if !self.globals.is_physical(input) {
            return Err(Refused::silent());
        }
        Ok(Step::Done(Ok(bypass(input, smmu_arch::Attributes::DEFAULT))))
    }

    /// ATS is not to be used: F_BAD_ATS_TREQ or F_TRANSL_FORBIDDEN, always recorded.
    fn forbidden(&self) -> Refused {
        let fault = match &self.purpose {
            Purpose::Request(state) => {
                let TranslationRequest { no_write, execute, privileged, .. } = state.request;
                Fault::BadAtsRequest { write: !no_write, execute, privileged }
            }
            _ => Fault::TranslationForbidden,
        };
        let access = self.transaction.access;
        Refused { fault: Some(fault), record: true, response: Response::Abort, access }
    }

    /// Whether an error of the configuration is recorded.
    pub(super) fn records(&self, fault: &Fault) -> bool {
        let globals = &self.globals;
        let known = *fault != Fault::BadStreamId || globals.record_bad_stream_id;
        match self.purpose {
            Purpose::Untranslated => known,
            Purpose::Translated => globals.record_ats,
            Purpose::Prefetch | Purpose::PageResponse { .. } | Purpose::Lookup(_) => false,
            Purpose::Request(_) => known && globals.record_ats,
        }
    }

    /// A fault of a walk. Of a request only an external abort can be recorded.
    #[cold]
    pub(super) fn walk_fault(&self, fault: Fault, regime: &Regime) -> Refused {
        match self.purpose {
            Purpose::Request(_) | Purpose::Lookup(_) => {}
            Purpose::Prefetch => return Refused::silent(),
            _ => return Refused::by_policy(fault, regime, &self.transaction),
        }
        let record = !matches!(fault, Fault::Stage(_)) && self.records(&fault);
        let access = access_of(&self.transaction, regime);
        Refused { fault: Some(fault), record, response: Response::Abort, access }
    }

    /// Walks for the next access that a request asks for; it asks the tables, never the TLB (a
    /// choice). `None` when nothing is left to try.
    #[cold]
    pub(super) fn attempt(&mut self) -> Option<Walk> {
        let regime = translating(&self.treatment);
        let Purpose::Request(state) = &mut self.purpose else { return None };
        let direction = match state.next? {
            Attempt::Write => Direction::Write,
            Attempt::Read => Direction::Read,
        };
        state.next = matches!(state.next, Some(Attempt::Write)).then_some(Attempt::Read);
        let asked = Access { direction, ..self.transaction.access };
        Some(Walk::new(regime, self.transaction.iova.0, overridden_by(asked, regime)))
    }

    /// After a walk of a request that failed: the walk for its next access, if the page itself
    /// refused this one.
    pub(super) fn attempt_after(&mut self, fault: &Fault) -> Option<Walk> {
        let by_page = matches!(
            fault,
            Fault::Stage(StageFault {
                kind: StageFaultKind::Permission,
                class: FaultClass::In,
                ..
            })
        );
        if by_page { self.attempt() } else { None }
    }

    /// Requests and look-ups keep what their walk found.
    #[cold]
    pub(super) fn keep_found(&mut self, walked: &Walked) {
        match &mut self.purpose {
            Purpose::Request(state) => state.found = Some(*walked),
            Purpose::Lookup(lookup) => lookup.found = Some(*walked),
            _ => {}
        }
    }

    /// The request, and its completion if it came to `outcome`; `None` for other translations.
    pub(crate) fn completion(
        &self,
        outcome: &Result<super::Granted, Refused>,
    ) -> Option<(TranslationRequest, TranslationCompletion)> {
        let Purpose::Request(state) = &self.purpose else { return None };
        let unit = self.globals.features.smallest_granule_log2();
        let privileged = self.transaction.access.privileged;
        let nothing = AtsTranslation::nothing(unit, privileged);
        let completion = match outcome {
            Ok(_) => TranslationCompletion::Success(match state.found {
                Some(walked) => {
                    state.translation(&walked, translating(&self.treatment), &self.transaction)
                }
                // Stage 1 is bypassed and there is no stage 2: the address is what it was.
                None => AtsTranslation {
                    address: self.transaction.iova.0 >> unit << unit,
                    read: true,
                    write: true,
                    ..nothing
                },
            }),
            Err(Refused { fault: None | Some(Fault::BadAtsRequest { .. }), .. }) => {
                TranslationCompletion::UnsupportedRequest
            }
            Err(Refused { fault: Some(Fault::Stage(_)), .. }) => {
                TranslationCompletion::Success(nothing)
            }
            Err(_) => TranslationCompletion::CompleterAbort,
        };
        Some((state.request, completion))
    }
}

impl Request {
    /// What the endpoint may cache of a walk: rights of both stages at its privilege.
    fn translation(
        &self,
        walked: &Walked,
        regime: &Regime,
        transaction: &Transaction,
    ) -> AtsTranslation {
        let privileged = regime.privilege_override.unwrap_or(transaction.access.privileged);
        let permits = |direction, instruction| {
            walked.entry.permissions.allows(Access { direction, instruction, privileged })
        };
        let readable = permits(Direction::Read, false);
        let executable = permits(Direction::Read, true);
        let (read, execute) = match regime.instruction_override {
            None => (readable, readable && executable),
            Some(false) => (readable, readable),
            Some(true) => (executable, executable),
        };
        let address = if self.split { walked.ipa.0 } else { walked.output.0 };
        let size_log2 = walked.entry.size_log2;
        AtsTranslation {
            address: address >> size_log2 << size_log2,
            size_log2,
            read,
            write: permits(Direction::Write, false),
            execute: execute && self.request.execute && self.request.substream.is_some(),
            privileged: transaction.access.privileged,
        }
    }
}

impl Translation {
    /// Where a request or look-up goes on once its configuration is known: it walks.
    #[cold]
    pub(super) fn walk_at_once(&mut self) -> Next {
        let walk = match &self.purpose {
            // S1DSS: the output of stage 1 is its input.
            Purpose::Lookup(lookup) if lookup.bypasses(translating(&self.treatment)) => {
                let attributes = translating(&self.treatment).input_attributes;
                return Ok(Step::Done(Ok(bypass(self.transaction.iova.0, attributes))));
            }
            Purpose::Lookup(lookup) => Some(self.lookup_walk(lookup)),
            _ => self.attempt(),
        };
        let Some(walk) = walk else { return Err(Refused::silent()) };
        self.begin_walk(walk)
    }
}
