//! Address translation operations: what software asks through GATOS_* and VATOS_*.
//!
//! Architecture: section "Address translation operations". A look-up is a translation like that of
//! a transaction, but for the overrides of the STE, stalls and records, of which it has none. It
//! walks, and neither looks the TLB up nor fills it (a choice).

use crate::globals::Globals;
use crate::registers::RegisterFile;
use crate::translation::{Purpose, Translation, TranslationOutcome};
use smmu_arch::registers::{
    GatosAddr, GatosCtrl, GatosPar, GatosParFault, GatosSid, Register, VatosAddr, VatosCtrl,
    VatosPar, VatosSel, VatosSid,
};
use smmu_arch::{
    Access, Direction, Epoch, Fault, FaultClass, Iova, Pa, Regime, Stage, StageFault, StreamId,
    SubstreamId, Transaction, Vmid,
};
use smmu_bus::{Actor, Answer, Step};
use smmu_tables::Walked;

/// FAULTCODE of a look-up that was given up.
const INTERNAL_ERR: u8 = 0xfd;
/// FAULTCODE of a stage that the stream does not translate with.
const INV_STAGE: u8 = 0xfe;
/// FAULTCODE of a request that cannot be made.
const INV_REQ: u8 = 0xff;

/// The two groups of registers. Each does one look-up at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    /// `SMMU_GATOS_*`.
    Global,
    /// `SMMU_VATOS_*`: stage 1 of one VM.
    Vm,
}

impl Group {
    pub(crate) const ALL: [Self; 2] = [Self::Global, Self::Vm];
}

/// The look-ups of one group.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Lookups {
    requested: bool,
    running: bool,
    /// SMMUEN was cleared under the one that runs.
    dropped: bool,
}

impl Lookups {
    /// RUN was set.
    pub(crate) fn request(&mut self) {
        self.requested = true;
    }

    /// Whether the next one can start; it is then under way.
    pub(crate) fn start(&mut self) -> bool {
        let starts = self.requested && !self.running;
        if starts {
            (self.requested, self.running) = (false, true);
        }
        starts
    }

    /// The one under way is over; whether its result counts.
    pub(crate) fn complete(&mut self) -> bool {
        self.running = false;
        !std::mem::take(&mut self.dropped)
    }

    /// SMMUEN was cleared; whether a look-up was given up.
    pub(crate) fn drop_all(&mut self) -> bool {
        let busy = self.requested || self.running && !self.dropped;
        (self.requested, self.dropped) = (false, self.running);
        busy
    }
}

/// What is looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stages {
    /// TYPE = 1: VA to the output of stage 1.
    First,
    /// TYPE = 2: IPA to PA.
    Second,
    /// TYPE = 3: VA to PA.
    Both,
}

/// A look-up that a translation is made for.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    pub(crate) stages: Stages,
    /// The only VMID whose streams may be looked up: VATOS.
    pub(crate) vmid: Option<Vmid>,
    /// HTTUI: hardware updates count as made, and are not.
    pub(crate) assumes_updates: bool,
    /// The stream does not translate with these stages.
    pub(crate) wrong_stage: bool,
    /// What the walk found.
    pub(crate) found: Option<Walked>,
}

impl Lookup {
    /// Stage 1 alone is asked for, and bypassed.
    pub(crate) fn bypasses(&self, regime: &Regime) -> bool {
        self.stages == Stages::First && regime.stage1.is_none()
    }
}

/// One look-up, from RUN = 1 to its result.
#[derive(Clone, Debug)]
pub struct AtosLookup {
    group: Group,
    /// `None` where the request itself is refused.
    translation: Option<Box<Translation>>,
    smallest_log2: u8,
}

/// The result of a look-up: the group's PAR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AtosOutcome {
    pub(crate) group: Group,
    par: u64,
}

impl AtosLookup {
    /// The look-up that the registers of a group ask for.
    pub(crate) fn new(
        group: Group,
        registers: &RegisterFile,
        globals: &Globals,
        now: Epoch,
    ) -> Self {
        let (sid, addr) = request(group, registers);
        let vm: VatosSel = registers.get();
        let stages = stages(group, &sid, &addr, globals);
        let translation = stages.map(|stages| {
            let lookup = Lookup {
                stages,
                vmid: (group == Group::Vm).then(|| Vmid(vm.vmid())),
                assumes_updates: addr.httui(),
                wrong_stage: false,
                found: None,
            };
            let purpose = Purpose::Lookup(Box::new(lookup));
            Box::new(Translation::new(transaction(&sid, &addr), now, *globals, purpose))
        });
        let smallest_log2 = globals.features.smallest_granule_log2();
        Self { group, translation, smallest_log2 }
    }

    fn done(&self, par: u64) -> Step<AtosOutcome> {
        Step::Done(AtosOutcome { group: self.group, par })
    }
}

impl Actor for AtosLookup {
    type Outcome = AtosOutcome;

    fn step(&mut self, answer: Answer) -> Step<AtosOutcome> {
        let Some(translation) = &mut self.translation else {
            return self.done(failed(INV_REQ, 0, 0));
        };
        match translation.step(answer) {
            Step::Need(request) => Step::Need(request),
            Step::Wait(condition) => Step::Wait(condition),
            Step::Done(outcome) => {
                let Purpose::Lookup(lookup) = translation.purpose() else {
                    unreachable!("the translation is made for a look-up");
                };
                let par = par(lookup, &outcome, self.smallest_log2);
                self.done(par)
            }
        }
    }
}

/// The operands of a group, as those of GATOS.
fn request(group: Group, registers: &RegisterFile) -> (GatosSid, GatosAddr) {
    match group {
        Group::Global => (registers.get(), registers.get()),
        Group::Vm => {
            let (sid, addr): (VatosSid, VatosAddr) = (registers.get(), registers.get());
            (GatosSid::from_word(sid.to_word()), GatosAddr::from_word(addr.to_word()))
        }
    }
}

/// What TYPE asks for; `None` is INV_REQ.
fn stages(group: Group, sid: &GatosSid, addr: &GatosAddr, globals: &Globals) -> Option<Stages> {
    let features = &globals.features;
    match (addr.lookup(), group) {
        (1, _) => features.s1p.then_some(Stages::First),
        (2, Group::Global) => (features.s2p && !sid.ssid_valid()).then_some(Stages::Second),
        (3, Group::Global) => (features.s1p && features.s2p).then_some(Stages::Both),
        _ => None,
    }
}

fn transaction(sid: &GatosSid, addr: &GatosAddr) -> Transaction {
    Transaction {
        stream: StreamId(sid.streamid()),
        substream: sid.ssid_valid().then(|| SubstreamId(sid.substreamid())),
        iova: Iova(addr.addr() << 12),
        access: Access {
            direction: if addr.rnw() { Direction::Read } else { Direction::Write },
            instruction: addr.ind() && addr.rnw(),
            privileged: addr.pnu(),
        },
    }
}

fn par(lookup: &Lookup, outcome: &TranslationOutcome, smallest_log2: u8) -> u64 {
    match outcome {
        Ok(granted) => {
            let size = lookup.found.map_or(smallest_log2, |walked| walked.entry.size_log2);
            let larger = size > smallest_log2;
            // The lowest set bit of the address field codes the size.
            let mark = if larger { 1 << (size - 1) } else { 0 };
            let address = granted.output.0 >> size << size | mark;
            GatosPar::new()
                .with_sh(granted.attributes.shareability.to_sh())
                .with_size(larger)
                .with_addr(address >> 12 & ((1 << 44) - 1))
                .with_attr(granted.attributes.memory.0)
                .to_word()
        }
        Err(_) if lookup.wrong_stage => failed(INV_STAGE, 0, 0),
        Err(refused) => match refused.fault {
            Some(fault) => of_fault(lookup.stages, &fault),
            None => failed(INTERNAL_ERR, 0, 0),
        },
    }
}

/// REASON and FADDR tell of a fault of stage 2, unless stage 1 alone was asked for.
fn of_fault(stages: Stages, fault: &Fault) -> u64 {
    let (class, ipa) = match *fault {
        Fault::Stage(StageFault { stage: Stage::Stage2, class, ipa, .. }) => (class, ipa.0),
        Fault::WalkExternalAbort { stage: Stage::Stage2, class, .. } => (class, 0),
        _ => return failed(fault.number(), 0, 0),
    };
    match stages {
        Stages::First => {
            let hidden = match class {
                FaultClass::Cd => Fault::CdFetch(Pa(0)),
                FaultClass::Tt | FaultClass::In => {
                    Fault::WalkExternalAbort { stage: Stage::Stage1, class, address: Pa(0) }
                }
            };
            failed(hidden.number(), 0, 0)
        }
        Stages::Second => failed(fault.number(), 3, 0),
        Stages::Both => failed(fault.number(), class as u8 + 1, ipa),
    }
}

fn failed(code: u8, reason: u8, address: u64) -> u64 {
    GatosParFault::new()
        .with_fault(true)
        .with_reason(reason)
        .with_faultcode(code)
        .with_faddr(address >> 12 & ((1 << 44) - 1))
        .into()
}

impl RegisterFile {
    /// Whether the group is asked to run.
    pub(crate) fn runs(&self, group: Group) -> bool {
        match group {
            Group::Global => self.get::<GatosCtrl>().run(),
            Group::Vm => self.get::<VatosCtrl>().run(),
        }
    }

    /// A look-up is over: its result, and RUN = 0.
    pub(crate) fn finish_lookup(&mut self, outcome: AtosOutcome) {
        match outcome.group {
            Group::Global => {
                self.set(GatosPar::from_word(outcome.par));
                self.set(GatosCtrl::new());
            }
            Group::Vm => {
                self.set(VatosPar::from_word(outcome.par));
                self.set(VatosCtrl::new());
            }
        }
    }

    /// SMMUEN was cleared under a look-up.
    pub(crate) fn give_up_lookup(&mut self, group: Group) {
        self.finish_lookup(AtosOutcome { group, par: failed(INTERNAL_ERR, 0, 0) });
    }
}
