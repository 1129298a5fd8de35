//! What the records say beyond their header.

use std::fmt;

use modular_bitfield::error::InvalidBitPattern;

use super::words::{
    AtsRequestWords, FetchWords, ForbiddenWords, PageRequestWords, StageWords, TlbConflictWords,
    UutWords, WalkAbortWords,
};
use crate::{Access, Direction, FaultClass, Iova, Ipa, Pa, Stage};

/// F_UUT: a transaction that the SMMU does not support.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UnsupportedEvent {
    /// IMPLEMENTATION DEFINED.
    pub reason: u16,
    /// Direction and incoming attributes.
    pub access: Access,
    /// Input address as presented.
    pub input: Iova,
}

/// F_STE_FETCH, F_CD_FETCH, F_VMS_FETCH: an external abort on a configuration structure.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FetchEvent {
    /// IMPLEMENTATION DEFINED.
    pub reason: u16,
    /// GPCF: a granule protection check refused the access.
    pub gpcf: bool,
    /// FetchAddr, bits 55:3.
    pub address: Pa,
}

/// F_BAD_ATS_TREQ: an ATS Translation Request that may not be made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AtsRequestEvent {
    /// Smallest translation units that were asked for, 4 bits.
    pub span: u8,
    /// Privileged.
    pub privileged: bool,
    /// Execute wanted.
    pub execute: bool,
    /// Write wanted.
    pub write: bool,
    /// Read wanted.
    pub read: bool,
    /// Input address, bits 63:12.
    pub input: Iova,
}

/// F_TRANSL_FORBIDDEN: an ATS Translated transaction that may not be made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ForbiddenEvent {
    /// Read or write.
    pub direction: Direction,
    /// Address as presented.
    pub input: Iova,
}

/// F_WALK_EABT: an external abort on a translation table descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WalkAbortEvent {
    /// IMPLEMENTATION DEFINED.
    pub reason: u16,
    /// GPCF: a granule protection check refused the access.
    pub gpcf: bool,
    /// Direction and attributes of the transaction.
    pub access: Access,
    /// NSIPA: the IPA is Non-secure; Secure streams only.
    pub ns_ipa: bool,
    /// Stage whose descriptor it was.
    pub stage: Stage,
    /// What the walk was for.
    pub class: FaultClass,
    /// Input address as presented.
    pub input: Iova,
    /// FetchAddr, bits 55:3 of where the descriptor stands.
    pub address: Pa,
}

/// F_TRANSLATION, F_ADDR_SIZE, F_ACCESS, F_PERMISSION.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StageEvent {
    /// STAG: names the stalled transaction to CMD_RESUME.
    pub stag: u16,
    /// The transaction waits for CMD_RESUME.
    pub stall: bool,
    /// Direction and attributes of the transaction.
    pub access: Access,
    /// NSIPA: the IPA is Non-secure; Secure streams only.
    pub ns_ipa: bool,
    /// Stage that faulted.
    pub stage: Stage,
    /// What the access was for that faulted.
    pub class: FaultClass,
    /// TTRnW = 0: the update of a stage 1 descriptor was refused. F_PERMISSION of class `Tt`
    /// only; no other record can say it.
    pub descriptor_write: bool,
    /// Input address as presented.
    pub input: Iova,
    /// IPA, bits 55:12; stage 2 only.
    pub ipa: Ipa,
}

/// F_TLB_CONFLICT: several entries of a TLB matched.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TlbConflictEvent {
    /// IMPLEMENTATION DEFINED.
    pub reason: u16,
    /// Direction and attributes of the transaction.
    pub access: Access,
    /// NSIPA: the IPA is Non-secure; Secure streams only.
    pub ns_ipa: bool,
    /// Stage.
    pub stage: Stage,
    /// Input address as presented.
    pub input: Iova,
    /// IPA, bits 55:12; stage 2 only.
    pub ipa: Ipa,
}

/// E_PAGE_REQUEST: a client foretells that it will use pages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PageRequestEvent {
    /// Read, write, execute, unprivileged.
    pub unprivileged: [bool; 3],
    /// Read, write, execute, privileged.
    pub privileged: [bool; 3],
    /// Pages of 4 KiB.
    pub span: u8,
    /// Address, bits 63:12.
    pub input: Iova,
}

type ReservedClass = InvalidBitPattern<u8>;

/// InD is 0 when RnW is 0, so a write is data whatever the bit says.
fn access(rnw: bool, pnu: bool, ind: bool) -> Access {
    Access { direction: direction(rnw), privileged: pnu, instruction: ind && rnw }
}

fn direction(rnw: bool) -> Direction {
    if rnw { Direction::Read } else { Direction::Write }
}

fn stage(s2: bool) -> Stage {
    if s2 { Stage::Stage2 } else { Stage::Stage1 }
}

impl UnsupportedEvent {
    pub(super) fn encode(&self) -> [u64; 3] {
        UutWords::new()
            .with_reason(self.reason)
            .with_pnu(self.access.privileged)
            .with_ind(self.access.is_fetch())
            .with_rnw(!self.access.is_write())
            .with_input(self.input.0)
            .into_words()
    }

    pub(super) fn decode(words: &[u64; 3]) -> Self {
        let words = UutWords::from_words(words);
        Self {
            reason: words.reason(),
            access: access(words.rnw(), words.pnu(), words.ind()),
            input: Iova(words.input()),
        }
    }
}

impl FetchEvent {
    pub(super) fn encode(&self) -> [u64; 3] {
        FetchWords::new()
            .with_reason(self.reason)
            .with_gpcf(self.gpcf)
            .with_address(self.address.0)
            .into_words()
    }

    pub(super) fn decode(words: &[u64; 3]) -> Self {
        let words = FetchWords::from_words(words);
        Self { reason: words.reason(), gpcf: words.gpcf(), address: Pa(words.address()) }
    }
}

impl AtsRequestEvent {
    pub(super) fn encode(&self) -> [u64; 3] {
        AtsRequestWords::new()
            .with_span(self.span)
            .with_privileged(self.privileged)
            .with_execute(self.execute)
            .with_write(self.write)
            .with_read(self.read)
            .with_input(self.input.0)
            .into_words()
    }

    pub(super) fn decode(words: &[u64; 3]) -> Self {
        let words = AtsRequestWords::from_words(words);
        Self {
            span: words.span(),
            privileged: words.privileged(),
            execute: words.execute(),
            write: words.write(),
            read: words.read(),
            input: Iova(words.input()),
        }
    }
}

impl ForbiddenEvent {
    pub(super) fn encode(&self) -> [u64; 3] {
        let read = self.direction == Direction::Read;
        ForbiddenWords::new().with_rnw(read).with_input(self.input.0).into_words()
    }

    pub(super) fn decode(words: &[u64; 3]) -> Self {
        let words = ForbiddenWords::from_words(words);
        Self { direction: direction(words.rnw()), input: Iova(words.input()) }
    }
}

impl WalkAbortEvent {
    pub(super) fn encode(&self) -> [u64; 3] {
        WalkAbortWords::new()
            .with_reason(self.reason)
            .with_gpcf(self.gpcf)
            .with_pnu(self.access.privileged)
            .with_ind(self.access.is_fetch())
            .with_rnw(!self.access.is_write())
            .with_nsipa(self.ns_ipa)
            .with_s2(self.stage == Stage::Stage2)
            .with_class(self.class)
            .with_input(self.input.0)
            .with_address(self.address.0)
            .into_words()
    }

    pub(super) fn decode(words: &[u64; 3]) -> Result<Self, ReservedClass> {
        let words = WalkAbortWords::from_words(words);
        Ok(Self {
            reason: words.reason(),
            gpcf: words.gpcf(),
            access: access(words.rnw(), words.pnu(), words.ind()),
            ns_ipa: words.nsipa(),
            stage: stage(words.s2()),
            class: words.class_or_err()?,
            input: Iova(words.input()),
            address: Pa(words.address()),
        })
    }
}

impl StageEvent {
    /// The words of F_TRANSLATION, F_ADDR_SIZE or F_ACCESS, which leave TTRnW 0.
    pub(super) fn encode(&self) -> [u64; 3] {
        self.words().into_words()
    }

    /// The words of F_PERMISSION. TTRnW is UNKNOWN but for class `Tt`: 0 there.
    pub(super) fn encode_permission(&self) -> [u64; 3] {
        let read = self.class == FaultClass::Tt && !self.descriptor_write;
        self.words().with_ttrnw(read).into_words()
    }

    pub(super) fn decode(words: &[u64; 3]) -> Result<Self, ReservedClass> {
        Self::from_words(&StageWords::from_words(words), false)
    }

    pub(super) fn decode_permission(words: &[u64; 3]) -> Result<Self, ReservedClass> {
        let words = StageWords::from_words(words);
        let descriptor = words.class_or_err()? == FaultClass::Tt;
        Self::from_words(&words, descriptor && !words.ttrnw())
    }

    fn words(&self) -> StageWords {
        StageWords::new()
            .with_stag(self.stag)
            .with_stall(self.stall)
            .with_pnu(self.access.privileged)
            .with_ind(self.access.is_fetch())
            .with_rnw(!self.access.is_write())
            .with_nsipa(self.ns_ipa)
            .with_s2(self.stage == Stage::Stage2)
            .with_class(self.class)
            .with_input(self.input.0)
            .with_ipa(self.ipa.0)
    }

    fn from_words(words: &StageWords, descriptor_write: bool) -> Result<Self, ReservedClass> {
        Ok(Self {
            stag: words.stag(),
            stall: words.stall(),
            access: access(words.rnw(), words.pnu(), words.ind()),
            ns_ipa: words.nsipa(),
            stage: stage(words.s2()),
            class: words.class_or_err()?,
            descriptor_write,
            input: Iova(words.input()),
            ipa: Ipa(words.ipa()),
        })
    }
}

impl TlbConflictEvent {
    pub(super) fn encode(&self) -> [u64; 3] {
        TlbConflictWords::new()
            .with_reason(self.reason)
            .with_pnu(self.access.privileged)
            .with_ind(self.access.is_fetch())
            .with_rnw(!self.access.is_write())
            .with_nsipa(self.ns_ipa)
            .with_s2(self.stage == Stage::Stage2)
            .with_input(self.input.0)
            .with_ipa(self.ipa.0)
            .into_words()
    }

    pub(super) fn decode(words: &[u64; 3]) -> Self {
        let words = TlbConflictWords::from_words(words);
        Self {
            reason: words.reason(),
            access: access(words.rnw(), words.pnu(), words.ind()),
            ns_ipa: words.nsipa(),
            stage: stage(words.s2()),
            input: Iova(words.input()),
            ipa: Ipa(words.ipa()),
        }
    }
}

impl PageRequestEvent {
    pub(super) fn encode(&self) -> [u64; 3] {
        PageRequestWords::new()
            .with_unprivileged_read(self.unprivileged[0])
            .with_unprivileged_write(self.unprivileged[1])
            .with_unprivileged_execute(self.unprivileged[2])
            .with_privileged_read(self.privileged[0])
            .with_privileged_write(self.privileged[1])
            .with_privileged_execute(self.privileged[2])
            .with_span(self.span)
            .with_input(self.input.0)
            .into_words()
    }

    pub(super) fn decode(words: &[u64; 3]) -> Self {
        let w = PageRequestWords::from_words(words);
        Self {
            unprivileged: [w.unprivileged_read(), w.unprivileged_write(), w.unprivileged_execute()],
            privileged: [w.privileged_read(), w.privileged_write(), w.privileged_execute()],
            span: w.span(),
            input: Iova(w.input()),
        }
    }
}

/// Shows an access: `read`, `write` or `fetch`, and `privileged`.
struct Shown(Access);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.0.is_write(), self.0.is_fetch()) {
            (true, _) => "write",
            (false, true) => "fetch",
            (false, false) => "read",
        })?;
        f.write_str(if self.0.privileged { " privileged" } else { "" })
    }
}

impl fmt::Display for UnsupportedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} input={} reason={:#x}", Shown(self.access), self.input, self.reason)
    }
}

impl fmt::Display for FetchEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fetch={}", self.address)
    }
}

impl fmt::Display for AtsRequestEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |set, letter| if set { letter } else { "-" };
        let (r, w, x) =
            (letter(self.read, "r"), letter(self.write, "w"), letter(self.execute, "x"));
        write!(f, "{r}{w}{x} input={} span={}", self.input, self.span)
    }
}

impl fmt::Display for ForbiddenEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} input={}", Shown(Access::data(self.direction)), self.input)
    }
}

impl fmt::Display for WalkAbortEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (access, stage, class) = (Shown(self.access), self.stage, self.class);
        write!(f, "{access} input={} {stage} class={class} fetch={}", self.input, self.address)
    }
}

impl fmt::Display for StageEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (access, stage, class) = (Shown(self.access), self.stage, self.class);
        write!(f, "{access} input={} {stage} class={class}", self.input)?;
        if self.stage == Stage::Stage2 {
            write!(f, " ipa={}", self.ipa)?;
        }
        if self.descriptor_write {
            f.write_str(" descriptor-write")?;
        }
        if self.stall { write!(f, " stall stag={:#x}", self.stag) } else { Ok(()) }
    }
}

impl fmt::Display for TlbConflictEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} input={} {}", Shown(self.access), self.input, self.stage)
    }
}

impl fmt::Display for PageRequestEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "input={} span={}", self.input, self.span)
    }
}
