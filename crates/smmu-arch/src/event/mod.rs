//! Records of the Event queue.
//!
//! Architecture: section "Event records". A record is four 64-bit words; the first says who, the
//! others what. Undefined bits are written as 0.

mod from_fault;
mod payload;
#[allow(dead_code, unreachable_pub, reason = "accessors that modular-bitfield generates")]
mod words;

use std::fmt;

use modular_bitfield::error::InvalidBitPattern;
use thiserror::Error;

pub use payload::{
    AtsRequestEvent, FetchEvent, ForbiddenEvent, PageRequestEvent, StageEvent, TlbConflictEvent,
    UnsupportedEvent, WalkAbortEvent,
};
use words::{
    AtsRequestWords, ConfigConflictWords, FetchWords, ForbiddenWords, HeaderWord, PageRequestWords,
    StageWords, StreamHeaderWord, SubstreamHeaderWord, TlbConflictWords, UutWords, WalkAbortWords,
};

use crate::layout;
use crate::{FieldInfo, StreamId, SubstreamId};

/// An event record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Event {
    /// Stream.
    pub stream: StreamId,
    /// Substream. F_STREAM_DISABLED and F_TRANSL_FORBIDDEN have no room for one;
    /// C_BAD_SUBSTREAMID always has one, 0 if the transaction had none.
    pub substream: Option<SubstreamId>,
    /// What happened.
    pub kind: EventKind,
}

/// What an event record tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventKind {
    /// F_UUT.
    Unsupported(UnsupportedEvent),
    /// C_BAD_STREAMID.
    BadStreamId,
    /// F_STE_FETCH.
    SteFetch(FetchEvent),
    /// C_BAD_STE.
    BadSte,
    /// F_BAD_ATS_TREQ.
    BadAtsRequest(AtsRequestEvent),
    /// F_STREAM_DISABLED.
    StreamDisabled,
    /// F_TRANSL_FORBIDDEN.
    TranslationForbidden(ForbiddenEvent),
    /// C_BAD_SUBSTREAMID.
    BadSubstreamId,
    /// F_CD_FETCH.
    CdFetch(FetchEvent),
    /// C_BAD_CD.
    BadCd,
    /// F_WALK_EABT.
    WalkExternalAbort(WalkAbortEvent),
    /// F_TRANSLATION.
    Translation(StageEvent),
    /// F_ADDR_SIZE.
    AddressSize(StageEvent),
    /// F_ACCESS.
    AccessFlag(StageEvent),
    /// F_PERMISSION.
    Permission(StageEvent),
    /// F_TLB_CONFLICT.
    TlbConflict(TlbConflictEvent),
    /// F_CFG_CONFLICT.
    ConfigConflict {
        /// IMPLEMENTATION DEFINED.
        reason: u16,
    },
    /// E_PAGE_REQUEST.
    PageRequest(PageRequestEvent),
    /// F_VMS_FETCH.
    VmsFetch(FetchEvent),
    /// IMPDEF_EVENTn.
    ImplementationDefined {
        /// n, 0 to 15: event numbers 0xE0 to 0xEF.
        number: u8,
    },
}

/// Why four words are no event record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum UnknownEvent {
    /// No event has this number.
    #[error("no event has number {0:#04x}")]
    Number(u8),
    /// CLASS = 3.
    #[error("the event has the reserved CLASS = 3")]
    ReservedClass,
}

impl From<InvalidBitPattern<u8>> for UnknownEvent {
    fn from(_: InvalidBitPattern<u8>) -> Self {
        Self::ReservedClass // CLASS is the only field with encodings to spare
    }
}

impl Event {
    /// Decodes a record.
    ///
    /// # Errors
    ///
    /// An event number or CLASS that the architecture does not define.
    pub fn decode(words: &[u64; 4]) -> Result<Self, UnknownEvent> {
        let [first, what @ ..] = words;
        let header = HeaderWord::from_words(&[*first]);
        let kind = EventKind::decode(header.id(), what)?;
        let substream = match kind.header() {
            Header::Stream => None,
            Header::Substream => Some(header.substream()),
            Header::Full => header.ssv().then(|| header.substream()),
        };
        Ok(Self { stream: header.stream(), substream, kind })
    }

    /// The words of the record.
    #[must_use]
    pub fn encode(&self) -> [u64; 4] {
        let (id, stream) = (self.id(), self.stream);
        let substream = self.substream.unwrap_or_default();
        let [who] = match self.kind.header() {
            Header::Stream => StreamHeaderWord::new().with_id(id).with_stream(stream).into_words(),
            Header::Substream => SubstreamHeaderWord::new()
                .with_id(id)
                .with_substream(substream)
                .with_stream(stream)
                .into_words(),
            Header::Full => HeaderWord::new()
                .with_id(id)
                .with_ssv(self.substream.is_some())
                .with_substream(substream)
                .with_stream(stream)
                .into_words(),
        };
        let what = self.kind.encode();
        [who, what[0], what[1], what[2]]
    }

    /// Event number.
    #[must_use]
    pub const fn id(&self) -> u8 {
        self.kind.id()
    }

    /// Name in the architecture, for example `F_TRANSLATION`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// The named fields of the record and their bits, lowest bit first.
    #[must_use]
    pub fn fields(&self) -> Vec<(FieldInfo, u64)> {
        let [first, what @ ..] = self.encode();
        let header = match self.kind.header() {
            Header::Stream => StreamHeaderWord::FIELDS,
            Header::Substream => SubstreamHeaderWord::FIELDS,
            Header::Full => HeaderWord::FIELDS,
        };
        let mut fields = layout::read(header, &[first]);
        let body = layout::read(self.kind.layout(), &what);
        fields.extend(body.into_iter().map(|(field, value)| (field.above(64), value)));
        fields.retain(|(field, _)| {
            field.name != "TTRnW" || matches!(self.kind, EventKind::Permission(_))
        });
        fields
    }

    /// The record of the same fault as of a transaction that stalls. The kinds that never stall
    /// stay as they are.
    #[must_use]
    pub fn stalled(mut self, stag: u16) -> Self {
        if let Some(event) = self.kind.stage_event_mut() {
            (event.stall, event.stag) = (true, stag);
        }
        self
    }

    /// Whether the transaction waits for CMD_RESUME.
    #[must_use]
    pub fn is_stall(&self) -> bool {
        self.kind.stage_event().is_some_and(|event| event.stall)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} stream={}", self.name(), self.stream)?;
        if let Some(substream) = self.substream {
            write!(f, " substream={substream}")?;
        }
        self.kind.fmt_payload(f)
    }
}

/// Which first word an event has.
enum Header {
    Full,
    Stream,
    Substream,
}

impl EventKind {
    /// Event number.
    #[must_use]
    pub const fn id(&self) -> u8 {
        self.identity().0
    }

    /// Name in the architecture.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.identity().1
    }

    const fn identity(&self) -> (u8, &'static str) {
        match self {
            Self::Unsupported(_) => (0x01, "F_UUT"),
            Self::BadStreamId => (0x02, "C_BAD_STREAMID"),
            Self::SteFetch(_) => (0x03, "F_STE_FETCH"),
            Self::BadSte => (0x04, "C_BAD_STE"),
            Self::BadAtsRequest(_) => (0x05, "F_BAD_ATS_TREQ"),
            Self::StreamDisabled => (0x06, "F_STREAM_DISABLED"),
            Self::TranslationForbidden(_) => (0x07, "F_TRANSL_FORBIDDEN"),
            Self::BadSubstreamId => (0x08, "C_BAD_SUBSTREAMID"),
            Self::CdFetch(_) => (0x09, "F_CD_FETCH"),
            Self::BadCd => (0x0a, "C_BAD_CD"),
            Self::WalkExternalAbort(_) => (0x0b, "F_WALK_EABT"),
            Self::Translation(_) => (0x10, "F_TRANSLATION"),
            Self::AddressSize(_) => (0x11, "F_ADDR_SIZE"),
            Self::AccessFlag(_) => (0x12, "F_ACCESS"),
            Self::Permission(_) => (0x13, "F_PERMISSION"),
            Self::TlbConflict(_) => (0x20, "F_TLB_CONFLICT"),
            Self::ConfigConflict { .. } => (0x21, "F_CFG_CONFLICT"),
            Self::PageRequest(_) => (0x24, "E_PAGE_REQUEST"),
            Self::VmsFetch(_) => (0x25, "F_VMS_FETCH"),
            Self::ImplementationDefined { number } => (0xe0 | (*number & 0xf), "IMPDEF_EVENTn"),
        }
    }

    /// The payload of the four kinds that may stall.
    #[must_use]
    pub const fn stage_event(&self) -> Option<&StageEvent> {
        match self {
            Self::Translation(event)
            | Self::AddressSize(event)
            | Self::AccessFlag(event)
            | Self::Permission(event) => Some(event),
            _ => None,
        }
    }

    const fn stage_event_mut(&mut self) -> Option<&mut StageEvent> {
        match self {
            Self::Translation(event)
            | Self::AddressSize(event)
            | Self::AccessFlag(event)
            | Self::Permission(event) => Some(event),
            _ => None,
        }
    }

    const fn header(&self) -> Header {
        match self {
            Self::StreamDisabled | Self::TranslationForbidden(_) => Header::Stream,
            Self::BadSubstreamId => Header::Substream,
            _ => Header::Full,
        }
    }

    fn decode(id: u8, words: &[u64; 3]) -> Result<Self, UnknownEvent> {
        Ok(match id {
            0x01 => Self::Unsupported(UnsupportedEvent::decode(words)),
            0x02 => Self::BadStreamId,
            0x03 => Self::SteFetch(FetchEvent::decode(words)),
            0x04 => Self::BadSte,
            0x05 => Self::BadAtsRequest(AtsRequestEvent::decode(words)),
            0x06 => Self::StreamDisabled,
            0x07 => Self::TranslationForbidden(ForbiddenEvent::decode(words)),
            0x08 => Self::BadSubstreamId,
            0x09 => Self::CdFetch(FetchEvent::decode(words)),
            0x0a => Self::BadCd,
            0x0b => Self::WalkExternalAbort(WalkAbortEvent::decode(words)?),
            0x10 => Self::Translation(StageEvent::decode(words)?),
            0x11 => Self::AddressSize(StageEvent::decode(words)?),
            0x12 => Self::AccessFlag(StageEvent::decode(words)?),
            0x13 => Self::Permission(StageEvent::decode_permission(words)?),
            0x20 => Self::TlbConflict(TlbConflictEvent::decode(words)),
            0x21 => {
                Self::ConfigConflict { reason: ConfigConflictWords::from_words(words).reason() }
            }
            0x24 => Self::PageRequest(PageRequestEvent::decode(words)),
            0x25 => Self::VmsFetch(FetchEvent::decode(words)),
            0xe0..=0xef => Self::ImplementationDefined { number: id & 0xf },
            _ => return Err(UnknownEvent::Number(id)),
        })
    }

    fn encode(&self) -> [u64; 3] {
        match self {
            Self::Unsupported(event) => event.encode(),
            Self::SteFetch(event) | Self::CdFetch(event) | Self::VmsFetch(event) => event.encode(),
            Self::BadAtsRequest(event) => event.encode(),
            Self::TranslationForbidden(event) => event.encode(),
            Self::WalkExternalAbort(event) => event.encode(),
            Self::Translation(event) | Self::AddressSize(event) | Self::AccessFlag(event) => {
                event.encode()
            }
            Self::Permission(event) => event.encode_permission(),
            Self::TlbConflict(event) => event.encode(),
            Self::ConfigConflict { reason } => {
                ConfigConflictWords::new().with_reason(*reason).into_words()
            }
            Self::PageRequest(event) => event.encode(),
            Self::BadStreamId
            | Self::BadSte
            | Self::StreamDisabled
            | Self::BadSubstreamId
            | Self::BadCd
            | Self::ImplementationDefined { .. } => [0; 3],
        }
    }

    const fn layout(&self) -> &'static [FieldInfo] {
        match self {
            Self::Unsupported(_) => UutWords::FIELDS,
            Self::SteFetch(_) | Self::CdFetch(_) | Self::VmsFetch(_) => FetchWords::FIELDS,
            Self::BadAtsRequest(_) => AtsRequestWords::FIELDS,
            Self::TranslationForbidden(_) => ForbiddenWords::FIELDS,
            Self::WalkExternalAbort(_) => WalkAbortWords::FIELDS,
            Self::Translation(_)
            | Self::AddressSize(_)
            | Self::AccessFlag(_)
            | Self::Permission(_) => StageWords::FIELDS,
            Self::TlbConflict(_) => TlbConflictWords::FIELDS,
            Self::ConfigConflict { .. } => ConfigConflictWords::FIELDS,
            Self::PageRequest(_) => PageRequestWords::FIELDS,
            Self::BadStreamId
            | Self::BadSte
            | Self::StreamDisabled
            | Self::BadSubstreamId
            | Self::BadCd
            | Self::ImplementationDefined { .. } => &[],
        }
    }

    fn fmt_payload(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(event) => write!(f, " {event}"),
            Self::SteFetch(event) | Self::CdFetch(event) | Self::VmsFetch(event) => {
                write!(f, " {event}")
            }
            Self::BadAtsRequest(event) => write!(f, " {event}"),
            Self::TranslationForbidden(event) => write!(f, " {event}"),
            Self::WalkExternalAbort(event) => write!(f, " {event}"),
            Self::Translation(event)
            | Self::AddressSize(event)
            | Self::AccessFlag(event)
            | Self::Permission(event) => write!(f, " {event}"),
            Self::TlbConflict(event) => write!(f, " {event}"),
            Self::ConfigConflict { reason } => write!(f, " reason={reason:#x}"),
            Self::PageRequest(event) => write!(f, " {event}"),
            Self::ImplementationDefined { number } => write!(f, " n={number}"),
            Self::BadStreamId
            | Self::BadSte
            | Self::StreamDisabled
            | Self::BadSubstreamId
            | Self::BadCd => Ok(()),
        }
    }
}
