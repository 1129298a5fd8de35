//! The plain reference: what the tables in memory allow for one transaction, right now.
//!
//! Architecture: section "Translation procedure". Non-secure streams, VMSAv8-64 tables with
//! 48-bit descriptors (and 52-bit output with the 64K granule). This walk never writes: hardware
//! updates of the Access flag and of dirty state are taken as made, and told.

mod bits;
mod context;
mod globals;
mod illegal_cd;
mod illegal_ste;
mod stage1;
mod stage2;
mod stream;
mod table;

pub use globals::Globals;

use bits::bits;
use context::Contexts;
use smmu_arch::{
    Access, AddressSpace, EntryKind, Fault, FaultClass, Features, Ipa, Leaf, Pa, Permissions,
    Stage, StageFault, StageFaultKind, StageRights, TlbEntry, Transaction, Why,
};
use smmu_arch::{Asid, Attributes, StreamWorld, Vmid};
use smmu_bus::Memory;
use stage1::Stage1;
use stage2::Stage2;

/// The rules of one SMMU: what it implements and how it is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reference {
    /// What the ID registers say.
    pub features: Features,
    /// What the control registers say.
    pub globals: Globals,
}

/// One word that a ruling was made from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Source {
    /// Address of the word.
    pub pa: Pa,
    /// The word.
    pub word: u64,
    /// What it is.
    pub why: Why,
}

/// One hardware update of a descriptor (HTTU).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Update {
    /// Address of the descriptor.
    pub pa: Pa,
    /// Bits that are set, of the word as memory holds it.
    pub set: u64,
    /// Bits that are cleared.
    pub clear: u64,
}

impl Update {
    /// The descriptor after the update.
    #[must_use]
    pub const fn applied_to(&self, word: u64) -> u64 {
        word & !self.clear | self.set
    }
}

/// What is allowed, and the words in memory that say so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ruling {
    /// The outcome.
    pub allowed: Allowed,
    /// The address space, once the configuration chose one: also of a fault of the tables.
    pub space: Option<AddressSpace>,
    /// Every word that was read, in order.
    pub made_from: Vec<Source>,
    /// Descriptors that the SMMU has updated when the transaction is translated, in order.
    pub updates: Vec<Update>,
}

/// What the tables allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allowed {
    /// The transaction is translated.
    Translates(Translation),
    /// It passes untranslated, with this address.
    Bypass(Pa),
    /// It is refused; `None` is a silent abort (GBPA.ABORT, STE.Config = 0b0xx).
    Refuses(Option<Fault>),
}

impl Allowed {
    /// The output address, where there is one.
    #[must_use]
    pub const fn output(&self) -> Option<Pa> {
        match self {
            Self::Translates(translation) => Some(translation.output),
            Self::Bypass(output) => Some(*output),
            Self::Refuses(_) => None,
        }
    }
}

/// A translation that the tables allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// Output for the transaction's address.
    pub output: Pa,
    /// Tags of the address space.
    pub space: AddressSpace,
    /// Rights of both stages.
    pub permissions: Permissions,
    /// Global at stage 1: nG = 0, or a StreamWorld without ASIDs.
    pub global: bool,
    /// Input address of the first enabled stage, as a look-up sees it.
    pub input: u64,
    /// Input address of stage 2, where stage 2 took part.
    pub ipa: Option<Ipa>,
    /// Leaf of stage 1, where stage 1 took part.
    pub stage1: Option<Leaf>,
    /// Leaf of stage 2, where stage 2 took part.
    pub stage2: Option<Leaf>,
}

impl Translation {
    /// The entry that a TLB may hold of this translation.
    #[must_use]
    pub fn entry(&self) -> TlbEntry {
        let spans = [self.stage1, self.stage2].into_iter().flatten().map(|leaf| leaf.span_log2);
        let size_log2 = spans.min().unwrap_or(12);
        let offset = (1u64 << size_log2) - 1;
        TlbEntry {
            space: self.space,
            global: self.global,
            input: self.input & !offset,
            size_log2,
            output: Pa(self.output.0 & !offset),
            permissions: self.permissions,
            attributes: Attributes::DEFAULT,
            stage1: self.stage1,
            stage2: self.stage2,
        }
    }

    /// The stage 2 entry that a TLB may hold of the IPA of a nested translation.
    #[must_use]
    pub fn ipa_entry(&self) -> Option<TlbEntry> {
        let (ipa, leaf) = (self.ipa?, self.stage2?);
        let space =
            AddressSpace { kind: EntryKind::Stage2, asid: Asid(0), aset: false, ..self.space };
        let of_ipa = Self { space, input: ipa.0, stage1: None, stage2: Some(leaf), ..*self };
        Some(of_ipa.entry())
    }
}

/// Where the words of a ruling come from: memory as it is, or as it was.
pub(crate) trait Words {
    /// The word at `pa`, `None` for an external abort.
    fn word(&self, pa: Pa, why: Why) -> Option<u64>;
}

/// Memory as it is now.
struct Now<'a, M: ?Sized>(&'a M);

impl<M: Memory + ?Sized> Words for Now<'_, M> {
    fn word(&self, pa: Pa, _: Why) -> Option<u64> {
        self.0.read_word(pa).ok()
    }
}

impl Reference {
    /// What the tables in `memory` allow for `transaction`.
    #[must_use]
    pub fn rule<M: Memory + ?Sized>(&self, memory: &M, transaction: &Transaction) -> Ruling {
        self.rule_from(&Now(memory), transaction)
    }

    /// The same with words from anywhere.
    pub(crate) fn rule_from(&self, words: &dyn Words, transaction: &Transaction) -> Ruling {
        let access = transaction.access;
        let mut walk = Walk {
            on: self,
            words,
            access,
            space: None,
            made_from: Vec::with_capacity(32),
            updates: Vec::new(),
        };
        let allowed = walk.translate(transaction).unwrap_or_else(Allowed::Refuses);
        let Walk { space, made_from, updates, .. } = walk;
        Ruling { allowed, space, made_from, updates }
    }
}

/// `Err(None)` is a silent abort.
type Result<T> = std::result::Result<T, Option<Fault>>;

/// One translation in the making.
struct Walk<'a> {
    on: &'a Reference,
    words: &'a dyn Words,
    /// The access after the overrides of the STE.
    access: Access,
    space: Option<AddressSpace>,
    made_from: Vec<Source>,
    updates: Vec<Update>,
}

impl Walk<'_> {
    /// Notes an update of a descriptor, whose bits are given as of a little-endian table.
    fn update(&mut self, pa: u64, set: u64, clear: u64, big_endian: bool) {
        let swapped = |bits: u64| if big_endian { bits.swap_bytes() } else { bits };
        if set | clear != 0 {
            let (set, clear) = (swapped(set), swapped(clear));
            self.updates.push(Update { pa: Pa(pa), set, clear });
        }
    }

    /// Reads one word and notes it.
    fn read(&mut self, pa: u64, why: Why) -> Option<u64> {
        let pa = Pa(pa & !7);
        if pa.0 >> self.on.features.oas_bits != 0 {
            return None;
        }
        let word = self.words.word(pa, why)?;
        self.made_from.push(Source { pa, word, why });
        Some(word)
    }

    /// Reads a structure of 64 bytes.
    fn read_structure(&mut self, pa: u64, why: Why) -> Option<[u64; 8]> {
        let mut words = [0; 8];
        for (at, word) in (pa..).step_by(8).zip(&mut words) {
            *word = self.read(at, why)?;
        }
        Some(words)
    }

    /// Section "Translation procedure".
    fn translate(&mut self, transaction: &Transaction) -> Result<Allowed> {
        let features = &self.on.features;
        let iova = transaction.iova.0;
        if !self.on.globals.smmuen {
            let passes = !self.on.globals.gbpa_abort && iova >> features.oas_bits == 0;
            return if passes { Ok(Allowed::Bypass(Pa(iova))) } else { Err(None) };
        }
        let ste = self.stream_table_entry(transaction.stream)?;
        if bits(&ste, 0, 0) == 0 {
            return Err(Some(Fault::BadSte));
        }
        let config = bits(&ste, 3, 1);
        if config < 4 {
            return Err(None);
        }
        if self.on.illegal_ste(&ste).is_some() {
            return Err(Some(Fault::BadSte));
        }
        let contexts = Contexts::of(features, &ste);
        let index = contexts.index(transaction.substream).map_err(Some)?;
        self.override_access(&ste);
        let stage2 = (config & 2 != 0).then(|| Stage2::of(features, &ste));
        match index {
            Some(index) => self.through_stage1(&ste, &contexts, index, stage2.as_ref(), iova),
            None => self.without_stage1(&ste, stage2.as_ref(), iova),
        }
    }

    /// STE.PRIVCFG and STE.INSTCFG, where IDR1.ATTR_PERMS_OVR = 1.
    fn override_access(&mut self, ste: &[u64; 8]) {
        if !self.on.features.attr_perms_ovr {
            return;
        }
        match bits(ste, 113, 112) {
            2 => self.access.privileged = false,
            3 => self.access.privileged = true,
            _ => {}
        }
        match bits(ste, 115, 114) {
            2 => self.access.instruction = false,
            3 => self.access.instruction = true,
            _ => {}
        }
    }

    fn without_stage1(
        &mut self,
        ste: &[u64; 8],
        stage2: Option<&Stage2>,
        iova: u64,
    ) -> Result<Allowed> {
        let features = &self.on.features;
        let limit = if stage2.is_some() { features.ias_bits() } else { features.oas_bits };
        if limit < 64 && iova >> limit != 0 {
            return Err(stage1_fault(StageFaultKind::AddressSize));
        }
        let Some(stage2) = stage2 else { return Ok(Allowed::Bypass(Pa(iova))) };
        let space = AddressSpace {
            world: StreamWorld::NsEl1,
            kind: EntryKind::Stage2,
            vmid: Vmid(bits(ste, 143, 128) as u16),
            asid: Asid(0),
            aset: false,
        };
        self.space = Some(space);
        let done = self.stage2(stage2, iova, self.access, FaultClass::In)?;
        Ok(Allowed::Translates(Translation {
            output: Pa(done.output),
            space,
            permissions: Permissions::new(StageRights::ALL, done.rights),
            global: false,
            input: iova,
            ipa: Some(Ipa(iova)),
            stage1: None,
            stage2: Some(done.leaf),
        }))
    }

    fn through_stage1(
        &mut self,
        ste: &[u64; 8],
        contexts: &Contexts,
        index: u32,
        stage2: Option<&Stage2>,
        iova: u64,
    ) -> Result<Allowed> {
        let cd = self.context_descriptor(contexts, index, stage2)?;
        let world = self.on.stream_world(ste);
        if self.on.illegal_cd(&cd, ste, world).is_some() {
            return Err(Some(Fault::BadCd));
        }
        let has_vmid = world.has_vmid() && self.on.features.s2p;
        let space = AddressSpace {
            world,
            kind: if stage2.is_some() { EntryKind::Combined } else { EntryKind::Stage1 },
            vmid: Vmid(if has_vmid { bits(ste, 143, 128) as u16 } else { 0 }),
            asid: Asid(if world.has_asid() { bits(&cd, 63, 48) as u16 } else { 0 }),
            aset: bits(&cd, 47, 47) == 1,
        };
        self.space = Some(space);
        let stage1 = Stage1::of(&self.on.features, &cd, world);
        let first = self.stage1(&stage1, stage2, iova)?;
        let second = match stage2 {
            Some(stage2) => Some(self.stage2(stage2, first.output, self.access, FaultClass::In)?),
            None => None,
        };
        Ok(Allowed::Translates(Translation {
            output: Pa(second.as_ref().map_or(first.output, |done| done.output)),
            space,
            permissions: Permissions::new(
                first.rights,
                second.as_ref().map_or(StageRights::ALL, |done| done.rights),
            ),
            global: first.global,
            input: first.input,
            ipa: second.as_ref().map(|_| Ipa(first.output)),
            stage1: Some(first.leaf),
            stage2: second.as_ref().map(|done| done.leaf),
        }))
    }
}

/// A fault of stage 1: CLASS = IN, no IPA.
const fn stage1_fault(kind: StageFaultKind) -> Option<Fault> {
    Some(Fault::Stage(StageFault {
        kind,
        stage: Stage::Stage1,
        class: FaultClass::In,
        ipa: Ipa(0),
        descriptor_write: false,
    }))
}

#[cfg(test)]
mod tests;
