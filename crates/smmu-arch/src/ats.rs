//! Address Translation Services: what an endpoint asks for and what it is told.
//!
//! Architecture: chapter "ATS and PRI" (IHI 0070), and PCI Express, section "Address Translation
//! Services", whose names the fields have.

use crate::{Access, Direction, Iova, StreamId, SubstreamId, Transaction};

/// A Translation Request of an endpoint, for one page.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TranslationRequest {
    /// StreamID of the endpoint.
    pub stream: StreamId,
    /// PASID, where the request has one.
    pub substream: Option<SubstreamId>,
    /// Untranslated address.
    pub iova: Iova,
    /// NW: the endpoint does not mean to write, so a clean page stays clean.
    pub no_write: bool,
    /// Exe: execute permission is wanted. Counts with a PASID only.
    pub execute: bool,
    /// Priv: privileged access is wanted. Counts with a PASID only.
    pub privileged: bool,
}

impl TranslationRequest {
    /// The transaction as which the request is looked up: a read, unprivileged without a PASID.
    #[must_use]
    pub fn transaction(&self) -> Transaction {
        let privileged = self.privileged && self.substream.is_some();
        let access = Access { privileged, ..Access::data(Direction::Read) };
        Transaction { stream: self.stream, substream: self.substream, iova: self.iova, access }
    }
}

/// How a Translation Request is completed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TranslationCompletion {
    /// Unsupported Request: ATS is not to be used by this function.
    UnsupportedRequest,
    /// Completer Abort: the configuration or the tables are in error.
    CompleterAbort,
    /// Success. Without any right the endpoint may ask for the page (PRI).
    Success(AtsTranslation),
}

/// A translation as an endpoint may cache it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AtsTranslation {
    /// Translated address of the first byte: a PA, or an IPA with STE.EATS = 0b10.
    pub address: u64,
    /// log2 of the bytes that it covers.
    pub size_log2: u8,
    /// R.
    pub read: bool,
    /// W.
    pub write: bool,
    /// Exe.
    pub execute: bool,
    /// Priv, as it was in the request.
    pub privileged: bool,
}

impl AtsTranslation {
    /// A translation that grants nothing, of the smallest translation unit.
    #[must_use]
    pub const fn nothing(size_log2: u8, privileged: bool) -> Self {
        let (read, write, execute) = (false, false, false);
        Self { address: 0, size_log2, read, write, execute, privileged }
    }
}
