//! The CD of a transaction: cache, CD table (through stage 2 where that is on), legality.
//!
//! Architecture: sections "Context descriptor table lookup" and "CD".

use super::{Next, Phase, Translation, Treatment, unexpected, updating_answer};
use crate::regime::regime;
use smmu_arch::{
    Access, Cd, ConfigEntry, ConfigKey, Direction, Fault, FaultClass, Ipa, L1Cd, Pa, Regime, Ste,
    StreamConfig, SubstreamId, Why,
};
use smmu_bus::{Answer, Request, Step};
use smmu_tables::{CdLocation, ContextTable, UpdatingAnswer, UpdatingStep, UpdatingWalk, Walk};

/// The look-up of a CD.
#[derive(Clone, Debug)]
pub(super) struct CdFetch {
    ste: Ste,
    index: SubstreamId,
    /// Stage 2 alone, for the addresses of the CD table under Config = 0b111.
    stage2: Regime,
    phase: CdPhase,
    /// What the walk in progress is for, or what is read now.
    wanted: Wanted,
    pa: Pa,
    words: [u64; 8],
}

#[derive(Clone, Debug)]
enum CdPhase {
    LookUp,
    Walk(Box<UpdatingWalk>),
    Read,
    Fill,
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    L1Cd,
    Cd,
}

impl Translation {
    pub(super) fn begin_cd(&mut self, ste: Ste, index: SubstreamId) -> Next {
        self.phase = Phase::Cd(Box::new(CdFetch {
            ste,
            index,
            stage2: regime(&ste, None, &self.globals),
            phase: CdPhase::LookUp,
            wanted: Wanted::Cd,
            pa: Pa(0),
            words: [0; 8],
        }));
        let key = ConfigKey::Cd(self.transaction.stream, index);
        Ok(Step::Need(Request::LookUpConfig { key }))
    }

    fn cd_fetch(&mut self) -> &mut CdFetch {
        match &mut self.phase {
            Phase::Cd(fetch) => fetch,
            _ => unreachable!("only called in Cd"),
        }
    }

    pub(super) fn cd_step(&mut self, answer: Answer) -> Next {
        let stream = self.transaction.stream;
        let begin = self.begin;
        let fetch = self.cd_fetch();
        match (&fetch.phase, answer) {
            (CdPhase::LookUp, Answer::Configuration(Some(words))) => self.cd_found(&words),
            (CdPhase::LookUp, Answer::Configuration(None)) => self.locate_cd(),
            (CdPhase::Walk(_), answer) => self.cd_walk(updating_answer(answer)),
            (CdPhase::Read, Answer::Word(word)) => self.l1cd_read(word),
            (CdPhase::Read, Answer::Words(words)) => {
                fetch.phase = CdPhase::Fill;
                fetch.words = words;
                let key = ConfigKey::Cd(stream, fetch.index);
                let entry = ConfigEntry { key, words, pa: fetch.pa };
                Ok(Step::Need(Request::FillConfig { entry, begin }))
            }
            (CdPhase::Read, Answer::Aborted) => {
                let pa = fetch.pa;
                Err(self.configuration(Fault::CdFetch(pa)))
            }
            (CdPhase::Fill, Answer::Filled(kept)) => {
                let words = fetch.words;
                self.overtaken |= kept.is_none();
                self.cd_found(&words)
            }
            (_, answer) => unexpected(&answer),
        }
    }

    fn locate_cd(&mut self) -> Next {
        let features = self.globals.features;
        let fetch = self.cd_fetch();
        match ContextTable::new(&fetch.ste, &features).locate(fetch.index) {
            CdLocation::Cd(address) => self.fetch_from(address, Wanted::Cd),
            CdLocation::L1Cd(address) => self.fetch_from(address, Wanted::L1Cd),
        }
    }

    fn l1cd_read(&mut self, word: u64) -> Next {
        let features = self.globals.features;
        let fetch = self.cd_fetch();
        let table = ContextTable::new(&fetch.ste, &features);
        let located = table.from_l1(L1Cd::decode(word), fetch.index);
        let address = located.map_err(|fault| self.configuration(fault))?;
        self.fetch_from(address, Wanted::Cd)
    }

    /// Reads a structure of the CD table: at once, or through stage 2 as a data read, class CD.
    fn fetch_from(&mut self, address: u64, wanted: Wanted) -> Next {
        let fetch = self.cd_fetch();
        fetch.wanted = wanted;
        if fetch.ste.config != StreamConfig::Nested {
            return self.read_cd(Pa(address));
        }
        let access = Access::data(Direction::Read);
        let walk = Walk::stage2_only(&fetch.stage2, Ipa(address), FaultClass::Cd, access);
        fetch.phase = CdPhase::Walk(Box::new(UpdatingWalk::new(walk)));
        self.cd_walk(UpdatingAnswer::Start)
    }

    fn cd_walk(&mut self, answer: UpdatingAnswer) -> Next {
        let fetch = self.cd_fetch();
        let CdPhase::Walk(walk) = &mut fetch.phase else { unreachable!("only called in a walk") };
        let request = match walk.step(&fetch.stage2, answer) {
            UpdatingStep::Read { pa, why } => Request::Read { pa, words: 1, why },
            // The Access flags of stage 2 on the way to the CD are set before it is read.
            UpdatingStep::Swap { pa, old, new, why } => {
                Request::CompareAndSwap { pa, old, new, why }
            }
            UpdatingStep::Done(Ok(walked)) => return self.read_cd(walked.output),
            UpdatingStep::Done(Err(fault)) => {
                let stage2 = fetch.stage2;
                return Err(self.walk_fault(fault, &stage2));
            }
        };
        Ok(Step::Need(request))
    }

    fn read_cd(&mut self, pa: Pa) -> Next {
        let fetch = self.cd_fetch();
        fetch.phase = CdPhase::Read;
        fetch.pa = pa;
        let (words, why) = match fetch.wanted {
            Wanted::L1Cd => (1, Why::L1Cd),
            Wanted::Cd => (8, Why::Cd),
        };
        Ok(Step::Need(Request::Read { pa, words, why }))
    }

    fn cd_found(&mut self, words: &[u64; 8]) -> Next {
        let globals = self.globals;
        let ste = self.cd_fetch().ste;
        let cd = Cd::decode(words);
        let world = ste.stream_world(&globals.features, globals.e2h);
        cd.check(&ste, &globals.features, world).map_err(|_| self.configuration(Fault::BadCd))?;
        let cd = cd.effective(&globals.features, world);
        self.treat(Treatment::Translate(regime(&ste, Some(&cd), &globals)))
    }
}
