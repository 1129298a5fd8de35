//! The STE of a stream: cache, stream table, legality, and what follows from it.
//!
//! Architecture: sections "Stream table", "STE", "Substreams".

use super::{Next, Phase, Refused, Response, Translation, Treatment, unexpected};
use crate::regime::regime;
use smmu_arch::{
    ConfigEntry, ConfigKey, DefaultSubstream, Fault, L1Std, Pa, Ste, StreamConfig, StreamId,
    SubstreamId, Why,
};
use smmu_bus::{Answer, Request, Step};
use smmu_tables::SteLocation;

/// The look-up of an STE.
#[derive(Clone, Debug)]
pub(super) struct SteFetch {
    phase: StePhase,
    pa: Pa,
    words: [u64; 8],
}

#[derive(Clone, Copy, Debug)]
enum StePhase {
    LookUp,
    L1Std,
    Read,
    Fill,
}

impl SteFetch {
    pub(super) fn begin(stream: StreamId) -> (Self, Request) {
        let fetch = Self { phase: StePhase::LookUp, pa: Pa(0), words: [0; 8] };
        (fetch, Request::LookUpConfig { key: ConfigKey::Ste(stream) })
    }
}

impl Translation {
    pub(super) fn ste_step(&mut self, answer: Answer) -> Next {
        let Phase::Ste(fetch) = &mut self.phase else { unreachable!("only called in Ste") };
        match (fetch.phase, answer) {
            (StePhase::LookUp, Answer::Configuration(Some(words))) => {
                self.ste_found(&Ste::decode(&words))
            }
            (StePhase::LookUp, Answer::Configuration(None)) => self.locate_ste(),
            (StePhase::L1Std, Answer::Word(word)) => self.l1std_read(word),
            (StePhase::Read, Answer::Words(words)) => {
                fetch.phase = StePhase::Fill;
                fetch.words = words;
                let key = ConfigKey::Ste(self.transaction.stream);
                let entry = ConfigEntry { key, words, pa: fetch.pa };
                Ok(Step::Need(Request::FillConfig { entry, begin: self.begin }))
            }
            (StePhase::L1Std | StePhase::Read, Answer::Aborted) => {
                let pa = fetch.pa;
                Err(self.configuration(Fault::SteFetch(pa)))
            }
            (StePhase::Fill, Answer::Filled(kept)) => {
                self.overtaken |= kept.is_none();
                let ste = Ste::decode(&fetch.words);
                self.ste_found(&ste)
            }
            (_, answer) => unexpected(&answer),
        }
    }

    fn locate_ste(&mut self) -> Next {
        let located = self.globals.stream_table.locate(self.transaction.stream);
        match located.map_err(|fault| self.configuration(fault))? {
            SteLocation::Ste(pa) => self.read_ste(pa),
            SteLocation::L1Std(pa) => self.read_structure(pa, StePhase::L1Std, 1, Why::L1Std),
        }
    }

    fn l1std_read(&mut self, word: u64) -> Next {
        let stream = self.transaction.stream;
        let located = self.globals.stream_table.from_l1(L1Std::decode(word), stream);
        let pa = located.map_err(|fault| self.configuration(fault))?;
        self.read_ste(pa)
    }

    fn read_ste(&mut self, pa: Pa) -> Next {
        self.read_structure(pa, StePhase::Read, 8, Why::Ste)
    }

    /// An address beyond the OAS is a failed fetch, like an external abort.
    fn read_structure(&mut self, pa: Pa, next: StePhase, words: u8, why: Why) -> Next {
        if !self.globals.is_physical(pa.0) {
            return Err(self.configuration(Fault::SteFetch(pa)));
        }
        if let Phase::Ste(fetch) = &mut self.phase {
            fetch.phase = next;
            fetch.pa = pa;
        }
        Ok(Step::Need(Request::Read { pa, words, why }))
    }

    fn ste_found(&mut self, ste: &Ste) -> Next {
        ste.check(&self.globals.features).map_err(|_| self.configuration(Fault::BadSte))?;
        if !self.purpose.is_untranslated()
            && let Some(next) = self.judge_ste(ste)
        {
            return next;
        }
        if ste.config == StreamConfig::Abort {
            return Err(Refused::silent());
        }
        let ste = &self.without_overrides(ste.effective(&self.globals.features));
        if !self.purpose.is_untranslated()
            && let Some(next) = self.enter_by_eats(ste).or_else(|| self.enter_stage2(ste))
        {
            return next;
        }
        match self.context_of(ste).map_err(|fault| self.configuration(fault))? {
            Context::Cd(index) => self.begin_cd(*ste, index),
            Context::Stage1Bypassed => {
                let regime = regime(ste, None, &self.globals);
                self.treat(if regime.stage2.is_some() {
                    Treatment::Translate(regime)
                } else {
                    Treatment::Bypass(regime)
                })
            }
        }
    }

    /// Which CD the transaction uses (sections "Substreams" and "STE.S1DSS").
    fn context_of(&self, ste: &Ste) -> Result<Context, Fault> {
        let substreams = u32::from(ste.s1_cd_max);
        let stage1 = ste.config.has_stage1();
        match self.transaction.substream {
            Some(_) if !stage1 || substreams == 0 => Err(Fault::BadSubstreamId),
            Some(SubstreamId(id)) if id >> substreams != 0 => Err(Fault::BadSubstreamId),
            Some(SubstreamId(0)) if ste.s1_dss == DefaultSubstream::Substream0 => {
                Err(Fault::StreamDisabled)
            }
            Some(id) => Ok(Context::Cd(id)),
            None if !stage1 => Ok(Context::Stage1Bypassed),
            None if substreams == 0 => Ok(Context::Cd(SubstreamId(0))),
            None => match ste.s1_dss {
                DefaultSubstream::Terminate => Err(Fault::StreamDisabled),
                DefaultSubstream::Bypass => Ok(Context::Stage1Bypassed),
                DefaultSubstream::Substream0 => Ok(Context::Cd(SubstreamId(0))),
            },
        }
    }

    /// Faults that end the configuration look-up always abort. Of ordinary transactions all but
    /// C_BAD_STREAMID are recorded whatever the registers say.
    pub(super) fn configuration(&self, fault: Fault) -> Refused {
        let (record, access) = (self.records(&fault), self.transaction.access);
        Refused { fault: Some(fault), record, response: Response::Abort, access }
    }
}

/// How stage 1 is configured for one transaction.
enum Context {
    /// By the CD with this index.
    Cd(SubstreamId),
    /// Not at all.
    Stage1Bypassed,
}
