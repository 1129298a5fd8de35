//! The guest's fault as data: why a transaction got no translation.
//!
//! The configuration look-up and the walker report a [`Fault`]. Whether it stalls, aborts or
//! passes in silence, and the record, are the device's affair ([`Event::from_fault`]).
//!
//! Architecture: section "Event records", [`Fault::name`] is the name of the record.
//!
//! [`Event::from_fault`]: crate::Event::from_fault

use std::fmt;

use modular_bitfield::Specifier;

use crate::{Ipa, Pa, Stage};

/// CLASS: what the access was for that faulted.
#[derive(Specifier, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[bits = 2]
pub enum FaultClass {
    /// The fetch of a CD or of its level 1 descriptor.
    Cd = 0,
    /// The fetch or update of a stage 1 translation table descriptor.
    Tt = 1,
    /// The input address itself.
    In = 2,
}

impl fmt::Display for FaultClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cd => "CD",
            Self::Tt => "TT",
            Self::In => "IN",
        })
    }
}

/// The four kinds of fault that CD.A, CD.R, CD.S, STE.S2R and STE.S2S govern.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StageFaultKind {
    /// F_TRANSLATION: out of range, table walk disabled, or an invalid descriptor.
    Translation,
    /// F_ADDR_SIZE: an output address is wider than the stage's output size.
    AddressSize,
    /// F_ACCESS: Access flag clear.
    AccessFlag,
    /// F_PERMISSION: access not allowed.
    Permission,
}

/// A fault of one stage of translation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StageFault {
    /// Kind.
    pub kind: StageFaultKind,
    /// Stage that faulted.
    pub stage: Stage,
    /// What the access was for; `In` for a fault of stage 1.
    pub class: FaultClass,
    /// Stage 2: the IPA that it could not translate (of the CD, of the stage 1 descriptor, or of
    /// the access itself). 0 for stage 1.
    pub ipa: Ipa,
    /// Class `Tt` only: the hardware update of a descriptor was refused, not its read
    /// (TTRnW = 0).
    pub descriptor_write: bool,
}

/// Why a transaction got no translation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// C_BAD_STREAMID: no Stream table entry for the StreamID.
    BadStreamId,
    /// F_STE_FETCH: external abort on an STE or its level 1 descriptor at this address.
    SteFetch(Pa),
    /// C_BAD_STE: STE invalid or illegal.
    BadSte,
    /// F_BAD_ATS_TREQ: an ATS Translation Request where ATS is not to be used.
    BadAtsRequest {
        /// Write was asked for: not NW.
        write: bool,
        /// Execute was asked for.
        execute: bool,
        /// Privileged access was asked for.
        privileged: bool,
    },
    /// F_TRANSL_FORBIDDEN: an ATS Translated transaction where ATS is not to be used.
    TranslationForbidden,
    /// F_STREAM_DISABLED: no substream, or substream 0, where STE.S1DSS forbids it.
    StreamDisabled,
    /// C_BAD_SUBSTREAMID: no CD for the SubstreamID.
    BadSubstreamId,
    /// F_CD_FETCH: external abort on a CD or its level 1 descriptor at this address.
    CdFetch(Pa),
    /// C_BAD_CD: CD invalid or illegal.
    BadCd,
    /// F_WALK_EABT: external abort on a translation table descriptor.
    WalkExternalAbort {
        /// Stage whose descriptor it was.
        stage: Stage,
        /// What the walk was for; `Tt` for a descriptor of stage 1.
        class: FaultClass,
        /// Where the descriptor stands.
        address: Pa,
    },
    /// A fault of one stage.
    Stage(StageFault),
}

impl StageFaultKind {
    /// Name of the event record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Translation => "F_TRANSLATION",
            Self::AddressSize => "F_ADDR_SIZE",
            Self::AccessFlag => "F_ACCESS",
            Self::Permission => "F_PERMISSION",
        }
    }
}

impl Fault {
    /// Number of the event record.
    #[must_use]
    pub const fn number(&self) -> u8 {
        match self {
            Self::BadStreamId => 0x02,
            Self::SteFetch(_) => 0x03,
            Self::BadSte => 0x04,
            Self::BadAtsRequest { .. } => 0x05,
            Self::StreamDisabled => 0x06,
            Self::TranslationForbidden => 0x07,
            Self::BadSubstreamId => 0x08,
            Self::CdFetch(_) => 0x09,
            Self::BadCd => 0x0a,
            Self::WalkExternalAbort { .. } => 0x0b,
            Self::Stage(fault) => match fault.kind {
                StageFaultKind::Translation => 0x10,
                StageFaultKind::AddressSize => 0x11,
                StageFaultKind::AccessFlag => 0x12,
                StageFaultKind::Permission => 0x13,
            },
        }
    }

    /// Name of the event record.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BadStreamId => "C_BAD_STREAMID",
            Self::SteFetch(_) => "F_STE_FETCH",
            Self::BadSte => "C_BAD_STE",
            Self::BadAtsRequest { .. } => "F_BAD_ATS_TREQ",
            Self::TranslationForbidden => "F_TRANSL_FORBIDDEN",
            Self::StreamDisabled => "F_STREAM_DISABLED",
            Self::BadSubstreamId => "C_BAD_SUBSTREAMID",
            Self::CdFetch(_) => "F_CD_FETCH",
            Self::BadCd => "C_BAD_CD",
            Self::WalkExternalAbort { .. } => "F_WALK_EABT",
            Self::Stage(fault) => fault.kind.name(),
        }
    }
}

impl fmt::Display for StageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} class={}", self.kind.name(), self.stage, self.class)?;
        if self.stage == Stage::Stage2 {
            write!(f, " ipa={}", self.ipa)?;
        }
        f.write_str(if self.descriptor_write { " descriptor-write" } else { "" })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SteFetch(address) | Self::CdFetch(address) => {
                write!(f, "{} at {address}", self.name())
            }
            Self::WalkExternalAbort { stage, class, address } => {
                write!(f, "{} {stage} class={class} at {address}", self.name())
            }
            Self::Stage(fault) => fault.fmt(f),
            _ => f.write_str(self.name()),
        }
    }
}
